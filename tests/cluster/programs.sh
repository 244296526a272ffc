#!/usr/bin/env bash
# Builds the programs of Kubernetes that Debian ships only as source: programs.sh puts them into bin/ of the cluster's home, once.
#
# `cluster up` calls it each time. It downloads through apt alone, from the mirror that apt is told to use, and changes nothing of apt.
# The official binaries are newer, but come from a download host that a closed CI does not reach.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/settings.sh"

version=v1.20.2
programs=(kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet)

# Written last, so that a build that was cut off is not taken for a whole one.
complete=$BIN/complete
if [ -f "$complete" ] && [ "$(cat "$complete")" = "$version" ]; then exit 0; fi

for command in go rsync make dpkg-source apt-get tar; do
    command -v "$command" >/dev/null || fail "$command is missing: run tools/setup.sh cluster"
done

mkdir -p "$BIN" "$LOG"
rm -f "$complete"
# What an earlier build left when it was killed.
rm -rf "$CLUSTER_HOME"/build.*
work=$(mktemp -d "$CLUSTER_HOME/build.XXXXXX")
# The module cache of Go is read-only, which rm respects.
clean() { chmod -R u+w "$work" 2>/dev/null || true; rm -rf "$work"; }
trap clean EXIT
trap 'exit 130' INT TERM

# Where this machine gets Debian from. A list of our own beside it: the machine's may have no sources enabled, and is not ours to edit.
source_list() {
    local keys=/usr/share/keyrings/debian-archive-keyring.gpg
    # apt's variables, not the shell's.
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' 'Component: main' | sort -u |
    while read -r codename uri; do
        if [ "$codename" = bookworm ]; then echo "deb-src [signed-by=$keys] $uri bookworm main"; fi
    done
}

fetch() {
    mkdir -p "$work/lists/partial"
    source_list >"$work/sources.list"
    [ -s "$work/sources.list" ] || { echo "apt knows no source of Debian 12 (bookworm)"; return 1; }
    local apt=(apt-get -q -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$work/lists"
        -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root -o Acquire::Retries=3)
    "${apt[@]}" update
    (cd "$work" && "${apt[@]}" source --download-only kubernetes)
    # Its build wants to lie in a GOPATH: it generates code by import path.
    mkdir -p "$work/go/src/k8s.io/kubernetes"
    tar -xzf "$work"/kubernetes_*.orig.tar.gz --strip-components=1 -C "$work/go/src/k8s.io/kubernetes"
}

build() {
    cd "$work/go/src/k8s.io/kubernetes"
    # Without cgo there is nothing to link against; the version is told, since the archive has no history to take it from.
    # Upstream's make, and not `go build`: this release generates much of its code.
    env -u GOFLAGS -u MAKEFLAGS -u MAKELEVEL GOPATH="$work/go" GOCACHE="$work/cache" GOPROXY=off CGO_ENABLED=0 \
        KUBE_GIT_VERSION=$version KUBE_GIT_COMMIT=none KUBE_GIT_TREE_STATE=clean \
        nice -n 5 make WHAT="${programs[*]/#/cmd/}" GOLDFLAGS="-s -w"
    local program
    for program in "${programs[@]}"; do install -m 0755 "_output/bin/$program" "$BIN/$program" || return 1; done
}

say "building Kubernetes $version from Debian's source, some 10 minutes (log: $LOG/build.log)"
# Each in a shell of its own, called plainly: in a condition `set -e` would be off.
set +e
(set -e; fetch) >"$LOG/build.log" 2>&1
fetched=$?
if [ $fetched = 0 ]; then (set -e; build) >>"$LOG/build.log" 2>&1; built=$?; else built=1; fi
set -e
if [ $built != 0 ]; then
    tail -n 25 "$LOG/build.log" >&2
    if [ $fetched != 0 ]; then fail "cannot fetch the source package kubernetes: see above, and whether apt-get update works here"; fi
    fail "cannot build Kubernetes: see above and $LOG/build.log; it needs 6 GB of disk below $CLUSTER_HOME"
fi
echo "$version" >"$complete"
