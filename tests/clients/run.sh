#!/usr/bin/env bash
# Airflow's own clients against `updraft standalone`: run.sh [arguments of pytest]. Files are named as from here: run.sh test_dags.py -k delete
#
# Makes a venv with the clients, once per version of the requirements. Starts a server of its own, on a free port, with a private data folder
# and a copy of dags/, and stops and removes all of it at the end. Standalone has no password, so `updraft api` with one stands beside it, on
# the same database and without a broker, for the tests of who may ask. The binary is $UPDRAFT_BINARY or the debug build.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
binary=${UPDRAFT_BINARY:-$target/debug/updraft}
[ -x "$binary" ] || { echo "error: there is no $binary: build it (cargo build -p updraft), or name another with UPDRAFT_BINARY" >&2; exit 1; }

venv=${UPDRAFT_CLIENTS_VENV:-$HOME/.cache/updraft/clients-venv}
"$root/tools/venv.sh" "$venv" "$here/requirements.txt"

work=$(mktemp -d "${TMPDIR:-/tmp}/updraft-clients.XXXXXX")
# Where this is root, Postgres is somebody else, who must get through.
chmod 755 "$work"
server=
guarded=
finish() {
    local status=$? pid
    trap - EXIT INT TERM
    for pid in $guarded $server; do
        kill -TERM "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    if [ "$status" != 0 ]; then
        for log in server guarded; do
            [ -s "$work/$log.log" ] || continue
            echo "clients: the end of the log of $log:" >&2
            tail -n 20 "$work/$log.log" >&2
        done
    fi
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

cp -r "$here/dags" "$work/dags"
free_port() { "$venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port) guarded_port=$(free_port)
# Nothing of the caller's installation.
for name in $(compgen -e | grep '^\(UPDRAFT\|AIRFLOW\)_' || true); do unset "$name"; done
# Both seal with the same key: standalone would make one of its own.
mkdir -m 711 "$work/data"
"$binary" secrets new-key >"$work/data/secret-keys"
"$binary" standalone --port "$port" --data-dir "$work/data" --dags "$work/dags" >"$work/server.log" 2>&1 &
server=$!

answers() { # PORT PID: waits until it does
    local tries
    for tries in $(seq 300); do
        kill -0 "$2" 2>/dev/null || return 1
        if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return 0; fi
        sleep 0.1
    done
    return 1
}
answers "$port" "$server" || { echo "error: the server does not come up" >&2; exit 1; }

export UPDRAFT_TEST_URL=http://127.0.0.1:$port UPDRAFT_TEST_GUARDED_URL=http://127.0.0.1:$guarded_port
export UPDRAFT_TEST_DAGS=$work/dags UPDRAFT_TEST_WORK=$work
UPDRAFT_TEST_PASSWORD=$(head -c 18 /dev/urandom | od -An -tx1 | tr -d ' \n')
export UPDRAFT_TEST_PASSWORD
# No broker is at this address: the roles do without one.
UPDRAFT_SECRET_KEYS_FILE=$work/data/secret-keys UPDRAFT_API_PASSWORD=$UPDRAFT_TEST_PASSWORD "$binary" api --port "$guarded_port" --broker-url amqp://127.0.0.1:1/ \
    --database-url "postgres://updraft@localhost:5432/postgres?host=$work/data/postgres/run&sslmode=disable" >"$work/guarded.log" 2>&1 &
guarded=$!
answers "$guarded_port" "$guarded" || { echo "error: the API with a password does not come up" >&2; exit 1; }

export PYTHONDONTWRITEBYTECODE=1
cd "$here"
"$venv/bin/python" -m pytest -p no:cacheprovider "$@"
