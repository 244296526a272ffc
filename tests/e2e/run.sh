#!/usr/bin/env bash
# The dashboard in headless Chromium against `updraft standalone`: run.sh [arguments of node --test]. UPDRAFT_E2E_SHOTS=FOLDER keeps pictures,
# UPDRAFT_E2E_SLACK=N lets what is timed take N times as long.
#
# Starts a server of its own, on a free port, with a private data folder, and stops and removes all of it at the end. The binary is
# $UPDRAFT_BINARY or the debug build; the dashboard must have been built before it (make web).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
binary=${UPDRAFT_BINARY:-$target/debug/updraft}
[ -f "$root/crates/dashboard/dist/web/index.html" ] || { echo "error: the dashboard is not built: make web, then cargo build -p updraft" >&2; exit 1; }
[ -n "${UPDRAFT_BINARY:-}" ] || (cd "$root" && cargo build -q --locked -p updraft)
CHROMIUM=${CHROMIUM:-$(command -v chromium-headless-shell || command -v chromium || true)}
[ -n "$CHROMIUM" ] || { echo "error: there is no Chromium: tools/setup.sh ui, or name one with CHROMIUM" >&2; exit 1; }
export CHROMIUM

work=$(mktemp -d "${TMPDIR:-/tmp}/updraft-e2e.XXXXXX")
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
        echo "e2e: the end of the server's log:" >&2
        grep -E "WARN|ERROR|panicked" "$work/server.log" | tail -n 20 >&2 || true
    fi
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir "$work/dags"
cp "$here"/dags/*.yaml "$root"/dags/diamond.yaml "$root"/dags/retries_and_pool.yaml "$work/dags"
sed 's/^dag_id: .*/dag_id: diamond/' "$root/dags/diamond.yaml" >"$work/dags/diamond_2.yaml"
node "$here/big.mjs" 100 hundred >"$work/dags/hundred.yaml"
node "$here/big.mjs" 10000 thousands >"$work/dags/thousands.yaml"
# A repository whose last commit has a subject that must stay text.
mkdir "$work/clone"
git_in() { git -C "$work/clone" -c user.name=Eve -c user.email=eve@example.org -c commit.gpgsign=false "$@"; }
git init -q --bare -b main "$work/dags.git"
git init -q -b main "$work/clone"
printf 'dag_id: from_git\ndescription: Comes from a repository\nschedule: null\ntasks:\n  a: { bash_command: echo a }\n' >"$work/clone/from_git.yaml"
git_in add .
git_in commit -q -m 'Say <img src=x onerror=window.__hit=1>'
git_in push -q "$work/dags.git" main
port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
# A debug build is several times slower than what people run; times are the product's with UPDRAFT_BINARY.
[ -n "${UPDRAFT_BINARY:-}" ] || export UPDRAFT_E2E_SLACK=${UPDRAFT_E2E_SLACK:-3}
# Nothing of the caller's installation.
for name in $(compgen -e | grep '^\(UPDRAFT\|AIRFLOW\)_' | grep -vE '^UPDRAFT_E2E_(SHOTS|SECONDS|SLACK)$' || true); do unset "$name"; done
"$binary" standalone --port "$port" --data-dir "$work/data" --dags "$work/dags" --dags "git+file://$work/dags.git@main" --git-period 3600 >"$work/server.log" 2>&1 &
server=$!
# Tests write files into it, to have other versions and large DAGs.
export UPDRAFT_E2E_DAGS=$work/dags
export UPDRAFT_E2E_URL=http://127.0.0.1:$port UPDRAFT_E2E_WORK=$work UPDRAFT_E2E_BINARY=$binary
for _ in $(seq 600); do
    kill -0 "$server" 2>/dev/null || { cat "$work/server.log" >&2; exit 1; }
    # Ready when it knows the DAGs, which are what every test looks at.
    if curl -fs "$UPDRAFT_E2E_URL/api/v2/dags?limit=1" 2>/dev/null | grep -q '"total_entries":[1-9]'; then break; fi
    sleep 0.1
done
# For what no process of this host leaves behind: the record of a pod.
export UPDRAFT_E2E_DATABASE="postgres://updraft@localhost:5432/postgres?host=$work/data/postgres/run"
export NODE_PATH=$root/crates/dashboard/web/node_modules
# Modules are found beside the file that asks for them, and those of the dashboard are beside the dashboard.
ln -s "$NODE_PATH" "$work/node_modules"
mkdir "$work/tests" && cp "$here"/*.mjs "$work/tests"
node --test --test-concurrency=1 "$@" "$work"/tests/*.test.mjs
