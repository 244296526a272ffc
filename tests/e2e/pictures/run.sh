#!/usr/bin/env bash
# The pictures of the dashboard under docs/pictures: run.sh [minutes]. Runs DAGs of its own that long, 10 minutes if not said, so that there is
# something to see, then takes each view light and dark, 1440 and 390 pixels wide. The binary is $UPDRAFT_BINARY or the debug build, with the dashboard in it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
binary=${UPDRAFT_BINARY:-${CARGO_TARGET_DIR:-$root/target}/debug/updraft}
CHROMIUM=${CHROMIUM:-$(command -v chromium-headless-shell || command -v chromium || true)}
export CHROMIUM
work=$(mktemp -d "${TMPDIR:-/tmp}/updraft-pictures.XXXXXX")
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
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

git init -q --bare -b main "$work/dags.git"
git init -q -b main "$work/clone"
commit() {
    git -C "$work/clone" add .
    git -C "$work/clone" -c user.name="$1" -c user.email="$2" -c commit.gpgsign=false commit -q -m "$3"
    git -C "$work/clone" push -q "$work/dags.git" main
}
cp "$here"/dags/*.yaml "$work/clone"
commit 'Ada Example' ada@example.org 'Move the nightly DAGs here'
mkdir "$work/local"
cp "$root"/dags/diamond.py "$root"/dags/failing.yaml "$work/local"
port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
for name in $(compgen -e | grep '^\(UPDRAFT\|AIRFLOW\)_' || true); do unset "$name"; done
"$binary" standalone --port "$port" --data-dir "$work/data" --dags "git+file://$work/dags.git@main" --dags "$work/local" >"$work/server.log" 2>&1 &
server=$!
export UPDRAFT_E2E_URL=http://127.0.0.1:$port UPDRAFT_E2E_PICTURES=$root/docs/pictures UPDRAFT_E2E_WORK=$work UPDRAFT_E2E_BINARY=$binary
until curl -fs "$UPDRAFT_E2E_URL/api/v2/dags?limit=1" 2>/dev/null | grep -q '"total_entries":[1-9]'; do
    kill -0 "$server" 2>/dev/null || { cat "$work/server.log" >&2; exit 1; }
    sleep 0.2
done
post() { curl -fsS -o /dev/null -H 'content-type: application/json' -d "$2" "$UPDRAFT_E2E_URL$1"; }
post /api/v2/pools '{"name": "gpu", "slots": 2, "description": "Cards that may be used at once"}'
post /api/v2/pools '{"name": "polite", "slots": 2, "description": "Requests that the catalogue bears"}'
post /api/v2/variables '{"key": "warehouse_schema", "value": "sales", "description": "Where facts go"}'
post /api/v2/variables '{"key": "partner_api_key", "value": "a-secret", "description": "Masked, as its name says"}'
post /api/v2/connections '{"connection_id": "warehouse", "conn_type": "postgres", "host": "warehouse.example", "port": 5432, "login": "etl", "password": "x", "schema": "sales"}'
# A second commit, which changes what runs, and one that cannot be read.
sleep 100
sed -i 's/order_items/items/; s/8 of {{ params.region }}/8 of {{ params.region | upper }}/' "$work/clone/sales_daily.yaml"
commit 'Bo Example' bo@example.org 'Say the region in capitals'
sleep 100
printf 'dag_id: invoices\nschedule: "0 6 1 * *"\ntasks:\n  collect: { bash_command: echo collected }\n  send: { bash_command: echo sent, needs: [colect] }\n' >"$work/clone/invoices.yaml"
commit 'Ada Example' ada@example.org 'Send the invoices'
sleep $((${1:-10} * 60 - 200))
export NODE_PATH=$root/crates/dashboard/web/node_modules
ln -s "$NODE_PATH" "$work/node_modules"
mkdir "$work/tests" && cp "$here"/take.mjs "$here"/../harness.mjs "$here"/../server.mjs "$work/tests"
node "$work/tests/take.mjs"
