#!/usr/bin/env bash
# Postgres and RabbitMQ inside the test cluster: builds their images of Debian's packages, puts them on the node, starts them.
#
#   services.sh archive postgres|rabbitmq     builds the image if need be, and prints the archive's path
#   services.sh load [postgres|rabbitmq]…     puts the images on the node: updraft-test/postgres:15, updraft-test/rabbitmq:3.10
#   services.sh up NAMESPACE                  the same, and starts both in that namespace: services `postgres` and `rabbitmq`, user and password updraft
#   services.sh down NAMESPACE                removes them from it
#
# Archives are kept in ~/.cache/updraft/images, by a stamp of what they are made of. Needs root, debootstrap and buildah (tools/setup.sh image).
# images/README.md says how the images are used.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${UPDRAFT_IMAGE_CACHE:-$HOME/.cache/updraft/images}
export BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot}

say() { printf 'services: %s\n' "$*" >&2; }
fail() { printf 'services: error: %s\n' "$*" >&2; exit 1; }
usage() { sed -n '/^#   services/s/^# *//p' "$0" >&2; exit 2; }

name_of() {
    case $1 in
        postgres) echo docker.io/updraft-test/postgres:15 ;;
        rabbitmq) echo docker.io/updraft-test/rabbitmq:3.10 ;;
        *) fail "there is no service $1: postgres, rabbitmq" ;;
    esac
}

archive() { # service
    local name folder=$here/images/$1 stamp file base log
    name=$(name_of "$1")
    stamp=$(cat "$folder/Dockerfile" "$folder/entry.sh" "$root/docker/base.sh" | sha256sum | cut -c 1-16)
    file=$cache/$1-$stamp.tar
    mkdir -p "$cache"
    # Two builds at once would install the same packages twice.
    exec {lock}>"$cache/$1.lock"
    flock "$lock"
    if [ ! -s "$file" ]; then
        base=$("$root/docker/base.sh")
        say "building $name"
        log=$cache/$1.log
        buildah build --build-arg "BASE=$base" --timestamp 1735689600 --tag "$name" "$folder" >"$log" 2>&1 || { tail -n 20 "$log" >&2; fail "the build of $name failed: all of it is in $log"; }
        rm -f "$file.new"
        buildah push --quiet "$name" "docker-archive:$file.new:$name" >>"$log" 2>&1 || { tail -n 5 "$log" >&2; fail "cannot write $file"; }
        mv "$file.new" "$file"
        # Of other stamps, as other checkouts may use them still: only what is old.
        find "$cache" -maxdepth 1 -name "$1-*.tar" -mtime +7 -delete
        # The file is what is kept; the builder's copy is twice the room.
        buildah rmi --force "$name" >/dev/null 2>&1 || true
    fi
    exec {lock}>&-
    printf '%s\n' "$file"
}

load() { # service…
    local service file
    for service in "$@"; do
        file=$(archive "$service")
        "$here/cluster" load "$file"
    done
}

cluster_kubectl() { kubectl --kubeconfig "${KUBECONFIG:-$("$here/cluster" kubeconfig)}" "$@"; }

case ${1:-} in
    archive) [ $# = 2 ] || usage; archive "$2" ;;
    load)
        shift
        if [ $# = 0 ]; then set -- postgres rabbitmq; fi
        load "$@"
        ;;
    up)
        [ $# = 2 ] || usage
        load postgres rabbitmq
        cluster_kubectl create namespace "$2" --dry-run=client --output yaml | cluster_kubectl apply --filename - >/dev/null
        cluster_kubectl --namespace "$2" apply --filename "$here/images/services.yaml" >/dev/null
        for one in postgres rabbitmq; do
            cluster_kubectl --namespace "$2" rollout status --timeout 180s "deployment/$one" >/dev/null || {
                cluster_kubectl --namespace "$2" logs --tail 20 "deployment/$one" >&2 || true
                fail "$one does not get ready: kubectl -n $2 describe pods"
            }
        done
        say "postgres://updraft:updraft@postgres.$2.svc.cluster.local/updraft"
        say "amqp://updraft:updraft@rabbitmq.$2.svc.cluster.local/%2F"
        ;;
    down) [ $# = 2 ] || usage; cluster_kubectl --namespace "$2" delete --ignore-not-found --filename "$here/images/services.yaml" ;;
    *) usage ;;
esac
