#!/usr/bin/env bash
# Installs what is missing: `setup.sh run` what the product needs, `setup.sh test` what its tests need, `setup.sh verify` what the checks need,
# `setup.sh ui` what the tests of the dashboard need, `setup.sh cluster` what the test cluster (tests/cluster) needs, `setup.sh image` what builds
# images where no registry is reachable.
set -euo pipefail

say() { printf '%s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

sudo_() { if [ "$(id -u)" = 0 ]; then "$@"; elif have sudo; then sudo "$@"; else say "error: this needs root: $*"; exit 1; fi; }

apt_updated=
apt_install() {
    if [ -z "$apt_updated" ]; then sudo_ apt-get update -qq; apt_updated=1; fi
    sudo_ env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

has_postgres() {
    have initdb && return 0
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null && return 0
    compgen -G '/opt/homebrew/opt/postgresql*/bin/initdb' >/dev/null && return 0
    compgen -G '/usr/local/opt/postgresql*/bin/initdb' >/dev/null
}

has_rabbitmq() {
    compgen -G '/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server' >/dev/null && return 0
    have rabbitmq-server || [ -x /opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server ] || [ -x /usr/local/opt/rabbitmq/sbin/rabbitmq-server ]
}

package() { # name-on-debian name-on-homebrew
    if have apt-get; then say "installing $1"; apt_install "$1"
    elif have brew; then say "installing $2"; brew install -q "$2"
    else say "error: install $1 by hand: neither apt-get nor brew is here"; exit 1; fi
}

pgbouncer() { # What it is compiled with, where the machine has none that is new enough. Without one its test is skipped.
    local make_it packages=()
    make_it=$(dirname "${BASH_SOURCE[0]}")/pgbouncer.sh
    if "$make_it" >/dev/null 2>&1; then return; fi
    if have apt-get; then
        dpkg -s libevent-dev >/dev/null 2>&1 || packages+=(libevent-dev)
        have pkg-config || packages+=(pkg-config)
        have make || packages+=(make)
        have dpkg-source || packages+=(dpkg-dev)
        have psql || packages+=(postgresql-client)
        if [ ${#packages[@]} -gt 0 ]; then say "installing ${packages[*]}"; apt_install "${packages[@]}"; fi
    fi
    "$make_it" >/dev/null || say "no PgBouncer: the test of it will be skipped"
}

cargo_tool() { # command crate version extra-arguments
    local have_version command=$1 crate=$2 version=$3
    shift 3
    have_version=$(cargo "$command" --version 2>/dev/null | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1 || true)
    if [ "$have_version" = "$version" ]; then return; fi
    say "installing $crate $version"
    # Its own target folder stays warm without growing the project's.
    CARGO_TARGET_DIR="$HOME/.cache/updraft/tools" cargo install -q --locked --root "$HOME/.cargo" "$crate" --version "$version" "$@"
}

test_cluster() { # Debian only: the cluster is made of its packages. See tests/cluster/README.md.
    have apt-get || { say "error: the test cluster needs Debian 12; with a cluster of your own set KUBECONFIG"; exit 1; }
    local packages=()
    have etcd || packages+=(etcd-server)
    have containerd || packages+=(containerd)
    have runc || packages+=(runc)
    have iptables || packages+=(iptables)
    have conntrack || packages+=(conntrack)
    have ip || packages+=(iproute2)
    have kubectl || packages+=(kubernetes-client)
    have openssl || packages+=(openssl)
    [ -x /usr/lib/cni/bridge ] || packages+=(containernetworking-plugins)
    # Not any busybox: the one of the task image must need no library.
    dpkg -s busybox-static >/dev/null 2>&1 || packages+=(busybox-static)
    # A compiler of 300 MB is not fetched for a cluster that is built already.
    if [ ! -f "${UPDRAFT_CLUSTER_HOME:-$HOME/.cache/updraft/cluster}/bin/complete" ]; then
        have go || packages+=(golang-go)
        have rsync || packages+=(rsync)
        have make || packages+=(make)
        have dpkg-source || packages+=(dpkg-dev)
    fi
    if [ ${#packages[@]} = 0 ]; then return; fi
    say "installing ${packages[*]}"
    apt_install "${packages[@]}"
    # The packages start servers of their own, which nobody asked for.
    if [ -d /run/systemd/system ]; then
        local package
        for package in "${packages[@]}"; do
            case $package in
                etcd-server) sudo_ systemctl disable -q --now etcd || true ;;
                containerd) sudo_ systemctl disable -q --now containerd || true ;;
            esac
        done
    fi
}

what=${1:-run}
# Needs neither Rust nor a database.
if [ "$what" = image ]; then
    have apt-get || { say "error: images without a registry are made of Debian's packages, on Debian; elsewhere install Docker and run make image"; exit 1; }
    packages=()
    have buildah || packages+=(buildah)
    have debootstrap || packages+=(debootstrap)
    if [ ${#packages[@]} -gt 0 ]; then say "installing ${packages[*]}"; apt_install "${packages[@]}"; fi
    exit
fi
if ! have cargo; then say "error: Rust is missing: install it with rustup (rustup.rs), then run this again"; exit 1; fi
# A fresh macOS has cc and python3 that only ask for the tools that contain them.
if [ "$(uname)" = Darwin ] && ! xcode-select -p >/dev/null 2>&1; then
    say "error: Apple's command line tools are missing: run xcode-select --install, then run this again"; exit 1
fi
have python3 || package python3 python3
have cc || package gcc gcc
has_postgres || {
    package postgresql postgresql@17
    # The package starts a server of its own, which nobody asked for.
    if have pg_dropcluster && have pg_lsclusters; then
        pg_lsclusters -h 2>/dev/null | while read -r version name _; do sudo_ pg_dropcluster --stop "$version" "$name" || true; done
    fi
}
case $what in
    run) ;;
    test)
        has_rabbitmq || {
            # Nobody asked for the node that the package would start: the tests start one of their own.
            policy=/usr/sbin/policy-rc.d
            if have apt-get && [ ! -e "$policy" ]; then
                printf '#!/bin/sh\nexit 101\n' | sudo_ tee "$policy" >/dev/null
                sudo_ chmod +x "$policy"
                package rabbitmq-server rabbitmq
                sudo_ rm -f "$policy"
            else
                package rabbitmq-server rabbitmq
            fi
        }
        pgbouncer
        have cargo-nextest || cargo_tool nextest cargo-nextest 0.9.143
        ;;
    verify)
        cargo_tool sqlx sqlx-cli 0.9.0 --no-default-features --features rustls,postgres
        cargo_tool machete cargo-machete 0.9.2
        cargo_tool deny cargo-deny 0.20.2
        ;;
    ui)
        have npm || { say "error: npm is missing: install Node.js 20.19 or newer (nodejs.org)"; exit 1; }
        have chromium-headless-shell || have chromium || package chromium-headless-shell chromium
        ;;
    cluster)
        have cargo-nextest || cargo_tool nextest cargo-nextest 0.9.143
        test_cluster
        ;;
    *) say "usage: setup.sh run|test|verify|ui|cluster|image"; exit 2 ;;
esac
