#!/usr/bin/env bash
# All tests: the Python stand-in's, documentation tests, and the Rust ones on a real Postgres and a real RabbitMQ.
set -euo pipefail
cd "$(dirname "$0")/.."
python3 -m unittest discover -q -s crates/dagfile/python/tests
cargo test --locked --workspace --doc -q
tools/with-postgres.sh tools/with-rabbitmq.sh cargo nextest run --locked --workspace --no-fail-fast "$@"
