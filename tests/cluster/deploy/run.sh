#!/usr/bin/env bash
# Installs, upgrades, scales and removes Updraft on the test cluster with Helm's own engine: run.sh [--only NAME] [--keep], called by ../run.sh.
#
# The image is made of the `updraft` that the tests have built, $UPDRAFT_BINARY or the debug build; Postgres and RabbitMQ are those of ../services.sh. Images
# are kept in ~/.cache/updraft/images. Needs KUBECONFIG of the cluster of ../cluster: on another one the images could not be loaded.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
cache=${UPDRAFT_IMAGE_CACHE:-$HOME/.cache/updraft/images}
target=${CARGO_TARGET_DIR:-$root/target}
binary=${UPDRAFT_BINARY:-$target/debug/updraft}
say() { printf 'deploy: %s\n' "$*" >&2; }

[ -x "$binary" ] || { echo "error: there is no $binary: build it (cargo build -p updraft), or name another with UPDRAFT_BINARY" >&2; exit 1; }
mkdir -p "$cache"
work=$(mktemp -d "$cache/deploy.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Most of a debug build are the names of what is in it.
strip -o "$work/updraft" "$binary"
stamp=$(cat "$work/updraft" "$root/docker/Dockerfile" "$root/docker/base.sh" | sha256sum | cut -c 1-16)
archive=$cache/updraft-$stamp.tar
BASE=$("$root/docker/base.sh")
export BASE
if [ ! -s "$archive" ]; then
    ENGINE=buildah "$root/docker/build.sh" --image docker.io/updraft-test/updraft:1 --binary "$work/updraft" --archive "$work/image.tar"
    find "$cache" -name 'updraft-*.tar' -delete
    mv "$work/image.tar" "$archive"
fi
"$root/tests/cluster/cluster" load "$archive"
"$root/tests/cluster/services.sh" load postgres rabbitmq
python=$("$root/tests/chart/run.sh" --python)
say "images are on the node"
exec env UPDRAFT_IMAGE_ARCHIVE="$archive" UPDRAFT_CLI="$binary" "$python" "$here/deploy.py" "$@"
