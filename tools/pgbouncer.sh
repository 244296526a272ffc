#!/usr/bin/env bash
# Prints the path of a PgBouncer that keeps prepared statements in transaction mode (1.21 and later), for tests/fleet/pgbouncer.py:
# $UPDRAFT_TEST_PGBOUNCER, that of the PATH, or one made of the sources of a newer Debian, since Debian 12 has 1.18. The last is kept in
# ~/.cache/updraft/pgbouncer and takes half a minute. tools/setup.sh test installs what it is compiled with.
# UPDRAFT_DEBIAN_MIRROR names another mirror than the machine's own.
set -euo pipefail
suite=trixie
least=1.21
home=${UPDRAFT_PGBOUNCER_HOME:-$HOME/.cache/updraft/pgbouncer}

say() { printf 'pgbouncer: %s\n' "$*" >&2; }
fail() { printf 'pgbouncer: error: %s\n' "$*" >&2; exit 1; }
new_enough() { # program
    local has
    has=$("$1" --version 2>/dev/null | sed -n 's/^PgBouncer \([0-9]*\)\.\([0-9]*\).*/\1 \2/p')
    [ -n "$has" ] && [ "${has% *}" -ge "${least%.*}" ] && { [ "${has% *}" -gt "${least%.*}" ] || [ "${has#* }" -ge "${least#*.}" ]; }
}

if [ -n "${UPDRAFT_TEST_PGBOUNCER:-}" ]; then
    new_enough "$UPDRAFT_TEST_PGBOUNCER" || fail "UPDRAFT_TEST_PGBOUNCER: $UPDRAFT_TEST_PGBOUNCER is no PgBouncer $least or later"
    echo "$UPDRAFT_TEST_PGBOUNCER"; exit
fi
for program in "$(command -v pgbouncer || true)" /usr/sbin/pgbouncer "$home/pgbouncer"; do
    if [ -x "$program" ] && new_enough "$program"; then echo "$program"; exit; fi
done

command -v apt-get >/dev/null || fail "there is no PgBouncer $least or later: install one, or name it in UPDRAFT_TEST_PGBOUNCER"
for command in cc make pkg-config dpkg-source flock; do
    command -v "$command" >/dev/null || fail "$command is missing: run tools/setup.sh test"
done
pkg-config --exists libevent || fail "libevent-dev is missing: run tools/setup.sh test"
mirror=${UPDRAFT_DEBIAN_MIRROR:-$(awk '/^URIs:/ { print $2; exit } /^deb / { for (i = 2; i <= NF; i++) if ($i ~ /^http/) { print $i; exit } }' \
    /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null || true)}
[ -n "$mirror" ] || fail "apt names no mirror of Debian here: set UPDRAFT_DEBIAN_MIRROR, or name a PgBouncer in UPDRAFT_TEST_PGBOUNCER"
mkdir -p "$home"
exec {lock}>"$home/lock"
flock "$lock"
if [ ! -x "$home/pgbouncer" ] || ! new_enough "$home/pgbouncer"; then
    work=$(mktemp -d "$home/build.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    say "making one of Debian $suite's sources"
    # An apt of its own: the machine's lists and packages stay as they are. Signatures are checked as always.
    mkdir -p "$work/lists/partial" "$work/archives/partial"
    printf 'deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$mirror" "$suite" >"$work/sources.list"
    apt=(-qq -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$work/lists"
        -o "Dir::Cache::Archives=$work/archives" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o Acquire::Languages=none
        -o "APT::Sandbox::User=$(id -un)")
    # It speaks neither TLS nor c-ares: the tests meet it on this machine.
    (
        cd "$work"
        apt-get "${apt[@]}" update && apt-get "${apt[@]}" source --download-only pgbouncer && dpkg-source -x pgbouncer_*.dsc source
        cd source
        ./configure --without-openssl --without-cares && make pgbouncer
    ) >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; fail "it could not be made"; }
    new_enough "$work/source/pgbouncer" || fail "what was made is too old: $("$work/source/pgbouncer" --version | head -n 1)"
    install -m 0755 "$work/source/pgbouncer" "$home/pgbouncer"
fi
echo "$home/pgbouncer"
