#!/usr/bin/env bash
# Builds the image of Updraft with docker, podman or buildah, whichever works here: make image.
#
#   build.sh [--image NAME:TAG] [--platform linux/amd64,linux/arm64] [--binary FILE] [--archive FILE] [--push] [--digest-file FILE]
#
#   --image        name of the image; default $IMAGE, or updraft:<version>
#   --platform     what it is for; default $PLATFORM, or this machine. Several need docker with buildx, or podman, and --push
#   --binary       takes this binary instead of compiling in a container; for one platform
#   --archive      also writes the image as a file that `docker load` and tests/cluster/cluster load take
#   --push         pushes it
#   --digest-file  with --push: writes the digest of what was pushed
#
# Environment: ENGINE=docker|podman|buildah, BASE and RUST (images to build from; docker/base.sh makes a BASE where no registry is reachable).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf 'image: %s\n' "$*" >&2; }
fail() { printf 'image: error: %s\n' "$*" >&2; exit 1; }

version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)
image=${IMAGE:-updraft:$version}
platform=${PLATFORM:-}
binary='' archive='' push='' digest_file=''
while [ $# -gt 0 ]; do
    case $1 in
        --push) push=1; shift; continue ;;
        --image|--platform|--binary|--archive|--digest-file) [ $# -ge 2 ] || fail "$1 wants a value" ;;
        *) sed -n '/^#   /s/^# *//p' "$0" >&2; exit 2 ;;
    esac
    case $1 in
        --image) image=$2 ;;
        --platform) platform=$2 ;;
        --binary) binary=$2 ;;
        --archive) archive=$2 ;;
        --digest-file) digest_file=$2 ;;
    esac
    shift 2
done

# A docker command without its daemon is common, so it is asked for the daemon.
works() {
    case $1 in
        docker) docker info >/dev/null 2>&1 ;;
        podman|buildah) "$1" --version >/dev/null 2>&1 ;;
    esac
}
engine=${ENGINE:-}
if [ -z "$engine" ]; then
    for engine in docker podman buildah none; do
        if [ "$engine" = none ] || works "$engine"; then break; fi
    done
fi
case $engine in
    docker|podman|buildah) works "$engine" || fail "$engine does not work here: is it installed, and does its daemon run?" ;;
    none) fail "no docker, podman or buildah works here: install one of them (on Debian: tools/setup.sh image)" ;;
    *) fail "ENGINE=$engine is not known: docker, podman or buildah" ;;
esac
case $platform in
    *,*)
        [ -z "$binary" ] || fail "--binary is for one platform, not for $platform"
        [ -n "$push" ] || fail "an image for several platforms can only be pushed: add --push"
        [ "$engine" = docker ] || fail "several platforms at once need docker with buildx; build each one with --platform otherwise"
        ;;
esac

# The time of the commit, for every file and for the image: the same commit on the same base gives the same layers.
epoch=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct 2>/dev/null || echo 0)}
revision=$(git -C "$root" rev-parse HEAD 2>/dev/null || echo unknown)
created=$(python3 -c 'import datetime, sys; print(datetime.datetime.fromtimestamp(int(sys.argv[1]), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"))' "$epoch")

context=$root target=updraft
work=
trap 'if [ -n "$work" ]; then rm -rf "$work"; fi' EXIT
if [ -n "$binary" ]; then
    [ -f "$binary" ] || fail "there is no $binary: run make build"
    case ${platform:-$(uname -m)} in
        linux/amd64|x86_64) architecture=amd64 ;;
        linux/arm64|aarch64|arm64) architecture=arm64 ;;
        *) fail "no image for ${platform:-$(uname -m)}: linux/amd64 and linux/arm64" ;;
    esac
    # A context of one file: nothing else of the checkout is sent to the builder.
    work=$(mktemp -d)
    mkdir "$work/$architecture"
    # A link costs nothing, but not across file systems.
    ln "$(readlink -f "$binary")" "$work/$architecture/updraft" 2>/dev/null || cp "$binary" "$work/$architecture/updraft"
    context=$work target=prebuilt
fi

arguments=(--file "$root/docker/Dockerfile" --target "$target"
    --build-arg "VERSION=$version" --build-arg "REVISION=$revision" --build-arg "CREATED=$created")
if [ -n "${BASE:-}" ]; then arguments+=(--build-arg "BASE=$BASE"); fi
if [ -n "${RUST:-}" ]; then arguments+=(--build-arg "RUST=$RUST"); fi
# Older buildah sets it too late and warns.
if [ -n "$binary" ]; then arguments+=(--build-arg "TARGETARCH=$architecture"); fi
if [ -n "$platform" ]; then arguments+=(--platform "$platform"); fi

say "building $image with $engine${platform:+ for $platform}"
case $engine in
    docker)
        docker buildx version >/dev/null 2>&1 || fail "docker has no buildx: install its plugin (docker-buildx-plugin), or use podman or buildah (ENGINE=)"
        arguments+=(--build-arg "SOURCE_DATE_EPOCH=$epoch" --tag "$image" --provenance=false)
        if [ -n "$push" ]; then
            docker buildx build "${arguments[@]}" --output type=image,push=true,rewrite-timestamp=true --metadata-file "${work:=$(mktemp -d)}/metadata" "$context"
            if [ -n "$digest_file" ]; then python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["containerimage.digest"])' "$work/metadata" >"$digest_file"; fi
        elif ! docker buildx build "${arguments[@]}" --output type=docker,rewrite-timestamp=true "$context"; then
            # Builders before BuildKit 0.13 know no rewrite-timestamp.
            fail "the build failed, see above; if it was about rewrite-timestamp: docker buildx create --use"
        fi
        if [ -n "$archive" ]; then docker save --output "$archive" "$image"; fi
        ;;
    podman|buildah)
        # What RUN does is to install Debian's packages. This kind of isolation needs the least of the machine.
        if [ "$engine" = buildah ]; then
            export BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot}
            # Its own version is no reason for another image.
            arguments+=(--identity-label=false)
        fi
        "$engine" build "${arguments[@]}" --timestamp "$epoch" --tag "$image" "$context"
        if [ -n "$archive" ]; then
            rm -f "$archive"
            "$engine" push "$image" "docker-archive:$archive:$image"
        fi
        if [ -n "$push" ]; then "$engine" push ${digest_file:+--digestfile "$digest_file"} "$image" "docker://$image"; fi
        ;;
esac
say "built $image${archive:+, and as a file: $archive}"
