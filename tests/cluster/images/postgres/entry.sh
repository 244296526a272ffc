#!/bin/sh
# Makes the database when there is none, then becomes the server. Writes to $PGDATA and /tmp alone.
#
#   POSTGRES_PASSWORD, or POSTGRES_PASSWORD_FILE   the password; needed when the database is made
#   POSTGRES_USER (postgres), POSTGRES_DB (the user's name), PGDATA
#   arguments                                       more flags of the server: -c max_connections=300
set -eu

fail() { echo "entry: error: $*" >&2; exit 1; }

case ${1:-postgres} in
    postgres) [ $# = 0 ] || shift ;;
    -*) ;;
    *) exec "$@" ;;
esac

user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}
# A volume belongs to root, and the server insists on a folder of its own.
volume=${PGDATA:-/var/lib/postgresql/data}
mkdir -p "$volume"
data=$volume/server new=$volume/server.new

if [ ! -s "$data/PG_VERSION" ]; then
    password=${POSTGRES_PASSWORD:-}
    if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then password=$(cat "$POSTGRES_PASSWORD_FILE"); fi
    [ -n "$password" ] || fail "set POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE"
    # What a start that was killed left is no database: it gets its name when it is whole.
    rm -rf "$new"
    secret=$(mktemp)
    printf '%s\n' "$password" >"$secret"
    initdb -D "$new" -U "$user" --pwfile="$secret" --auth-local=trust --auth-host=scram-sha-256 -E UTF8 --locale=C.UTF-8 --no-instructions >/tmp/initdb.log 2>&1 ||
        { cat /tmp/initdb.log >&2; rm -f "$secret"; fail "initdb failed"; }
    rm -f "$secret"
    echo 'host all all all scram-sha-256' >>"$new/pg_hba.conf"
    if [ "$database" != postgres ]; then
        printf 'create database "%s" owner "%s";\n' "$database" "$user" | postgres --single -j -D "$new" postgres >/dev/null
    fi
    mv "$new" "$data"
fi
# As long as the volume lives, so does a lock of a server that was killed; its number may be ours now.
rm -f "$data/postmaster.pid"

sockets=/tmp
if [ -w /var/run/postgresql ]; then sockets=/tmp,/var/run/postgresql; fi
exec postgres -D "$data" -c listen_addresses='*' -c "unix_socket_directories=$sockets" -c jit=off -c password_encryption=scram-sha-256 "$@"
