#!/usr/bin/env bash
# All tests: the Python stand-in's, Airflow's own example files, documentation tests, the Rust ones on a real Postgres and a real RabbitMQ, and a fleet behind a PgBouncer.
set -euo pipefail
cd "$(dirname "$0")/.."
python3 -m unittest discover -q -s crates/dagfile/python/tests
python3 -B -m unittest discover -q -s tests/airflow
cargo test --locked --workspace --doc -q
tools/with-postgres.sh tools/with-rabbitmq.sh cargo nextest run --locked --workspace --no-fail-fast "$@"
# Those above have built the program. Not when somebody asked for some of them.
if [ $# = 0 ]; then
    tools/with-postgres.sh tools/with-rabbitmq.sh tests/fleet/pgbouncer.py --updraft "${CARGO_TARGET_DIR:-target}/debug/updraft"
fi
