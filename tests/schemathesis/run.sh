#!/usr/bin/env bash
# Asks `updraft standalone` everything that its OpenAPI document allows, and much that it does not: run.sh [full] [arguments of `st run`].
#
# No answer may be a server's error (501 is said on purpose), have a status that the document does not name for its operation, or a body that
# is not of its schema. Without `full` it is short enough for every change; `full` asks at least 10 000 times. `--seed N` does the same again.
#
# Makes a venv with schemathesis, once per version of the requirements. Starts a server of its own, on a free port, with a private data folder
# and the DAGs of tests/clients, and stops and removes all of it at the end. The binary is $UPDRAFT_BINARY or the debug build.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
binary=${UPDRAFT_BINARY:-$target/debug/updraft}
[ -x "$binary" ] || { echo "error: there is no $binary: build it (cargo build -p updraft), or name another with UPDRAFT_BINARY" >&2; exit 1; }
least=5000 load=(--max-examples 5 --phases examples,coverage,fuzzing --seed 20261126)
if [ "${1:-}" = full ]; then
    shift
    least=10000 load=(--max-examples 60 --phases examples,coverage,fuzzing,stateful)
fi

venv=${UPDRAFT_SCHEMATHESIS_VENV:-$HOME/.cache/updraft/schemathesis-venv}
"$root/tools/venv.sh" "$venv" "$here/requirements.txt"

work=$(mktemp -d "${TMPDIR:-/tmp}/updraft-schemathesis.XXXXXX")
# Where this is root, Postgres is somebody else, who must get through.
chmod 755 "$work"
server=
finish() {
    local status=$?
    trap - EXIT INT TERM
    if [ -n "$server" ]; then
        kill -TERM "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    if [ "$status" != 0 ] && [ -s "$work/server.log" ]; then
        echo "schemathesis: the end of the server's log:" >&2
        grep -E "WARN|ERROR|panicked" "$work/server.log" | tail -n 40 >&2
    fi
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

cp -r "$here/../clients/dags" "$work/dags"
port=$("$venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
# Nothing of the caller's installation.
for name in $(compgen -e | grep '^\(UPDRAFT\|AIRFLOW\)_' || true); do unset "$name"; done
"$binary" standalone --port "$port" --data-dir "$work/data" --dags "$work/dags" >"$work/server.log" 2>&1 &
server=$!
url=http://127.0.0.1:$port
for _ in $(seq 300); do
    kill -0 "$server" 2>/dev/null || break
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then break; fi
    sleep 0.1
done
"$venv/bin/python" "$here/seed.py" "$url"

cd "$work"
status=0
"$venv/bin/st" --config-file "$here/schemathesis.toml" run "$url/openapi.json" --url "$url" --workers 2 "${load[@]}" "$@" 2>&1 | tee "$work/report.txt" || status=$?
if grep -q "panicked at" "$work/server.log"; then
    echo "error: the server panicked" >&2
    status=1
fi
asked=$(sed -n 's/^ *\([0-9,]*\) generated.*/\1/p' "$work/report.txt" | tr -d , | tail -n 1)
if [ "$#" = 0 ] && [ "${asked:-0}" -lt "$least" ]; then
    echo "error: only ${asked:-0} requests were made, of at least $least: give more examples in run.sh" >&2
    status=1
fi
exit "$status"
