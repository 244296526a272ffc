#!/usr/bin/env bash
# Runs a command with DATABASE_URL set to a fresh Postgres that has the migrations of this checkout, and takes the server away afterwards.
# As root the server runs as an unprivileged user, since it refuses root. Written for bash 3.2 and BSD tools too: macOS has no others.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

initdb=$(command -v initdb 2>/dev/null || true)
if [ -z "$initdb" ]; then
    # A pattern that fits nothing stays as it is and is no program.
    found=$(for path in /usr/lib/postgresql/*/bin/initdb /opt/homebrew/opt/postgresql*/bin/initdb /usr/local/opt/postgresql*/bin/initdb; do
        if [ -x "$path" ]; then printf '%s\n' "$path"; fi
    done)
    # The newest. Not every sort knows versions.
    initdb=$(printf '%s\n' "$found" | { sort -V 2>/dev/null || sort; } | tail -n 1)
fi
[ -n "$initdb" ] || { echo "error: no postgres server found; run tools/setup.sh" >&2; exit 1; }
# The real folder: the programs look for each other beside themselves.
bin=$(dirname "$(python3 -c 'import os, sys; print(os.path.realpath(sys.argv[1]))' "$initdb")")
[ -x "$bin/postgres" ] || { echo "error: no postgres server found in $bin; run tools/setup.sh" >&2; exit 1; }

# Not below TMPDIR, which may be a folder that only its owner can enter, or too long for a socket.
folder=$(mktemp -d /tmp/updraft-pg.XXXXXX)
user=
if [ "$(id -u)" = 0 ]; then
    for user in postgres _postgres nobody; do
        if id "$user" >/dev/null 2>&1; then break; fi
    done
    chown "$user" "$folder"
fi
# macOS: with a locale that it does not know the server starts threads, which it refuses itself.
case $(uname) in Darwin) export LC_ALL=C ;; esac

as_server() { # command arguments…
    if [ -z "$user" ]; then "$@"
    elif command -v setpriv >/dev/null 2>&1; then setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups env HOME="$folder" "$@"
    else sudo -n -u "$user" env HOME="$folder" "$@"; fi
}
stop() {
    if [ -f "$folder/data/postmaster.pid" ]; then (cd / && as_server "$bin/pg_ctl" -D "$folder/data" -m immediate stop >/dev/null 2>&1) || true; fi
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 130' INT TERM

cd /
as_server "$bin/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --locale=C >"$folder/initdb.log" 2>&1 || { cat "$folder/initdb.log" >&2; exit 1; }
# Durability is off for unit tests alone: each database lives for a second. Benchmarks and `standalone` keep it on.
as_server "$bin/pg_ctl" -D "$folder/data" -l "$folder/log" -w -o "-c listen_addresses= -k $folder -c max_connections=300 -c fsync=${UPDRAFT_POSTGRES_FSYNC:-off} -c shared_buffers=128MB" start >/dev/null \
    || { cat "$folder/log" >&2; exit 1; }
cat "$root"/migrations/*.sql | "$bin/psql" -q -h "$folder" -U postgres -v ON_ERROR_STOP=1 -1 postgres >/dev/null

export DATABASE_URL="postgres://postgres@localhost/postgres?host=$folder"
cd "$root"
"$@"
