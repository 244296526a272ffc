#!/usr/bin/env bash
# All tests: the Python stand-in's, the Rust ones on a real Postgres, documentation tests.
set -euo pipefail
cd "$(dirname "$0")/.."
python3 -m unittest discover -q -s crates/dagfile/python/tests
tools/with-postgres.sh cargo nextest run --locked --workspace --no-fail-fast "$@"
cargo test --locked --workspace --doc -q
