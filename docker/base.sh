#!/usr/bin/env bash
# Makes a base image from Debian's packages, for machines that reach a Debian mirror and no registry, and prints its name:
#
#   BASE=$(docker/base.sh) make image
#
# It is what debian:bookworm-slim is: debootstrap's smallest variant without documentation and translations. Kept in
# ~/.cache/updraft/images; made again when this file changes, or by rm -r of that folder. Needs root, debootstrap and buildah (tools/setup.sh image).
# UPDRAFT_DEBIAN_MIRROR names another mirror than the machine's own.
set -euo pipefail
suite=bookworm
name=localhost/updraft-base:$suite
cache=${UPDRAFT_IMAGE_CACHE:-$HOME/.cache/updraft/images}
# Of all files: the same packages give the same layer.
epoch=1735689600
export BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot}

say() { printf 'base: %s\n' "$*" >&2; }
fail() { printf 'base: error: %s\n' "$*" >&2; exit 1; }

for command in debootstrap buildah; do
    command -v "$command" >/dev/null || fail "$command is missing: run tools/setup.sh image"
done
[ "$(id -u)" = 0 ] || fail "debootstrap needs root: run it with sudo -E"
mirror=${UPDRAFT_DEBIAN_MIRROR:-$(awk '/^URIs:/ { print $2; exit } /^deb / { for (i = 2; i <= NF; i++) if ($i ~ /^http/) { print $i; exit } }' \
    /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null || true)}
mirror=${mirror:-http://deb.debian.org/debian}
security=${mirror%/debian*}/debian-security

stamp=$(printf '%s %s\n' "$mirror" "$(sha256sum <"${BASH_SOURCE[0]}")" | sha256sum | cut -c 1-16)
archive=$cache/base-$stamp.tar
mkdir -p "$cache"
exec {lock}>"$cache/base.lock"
flock "$lock"

if [ ! -s "$archive" ]; then
    work=$(mktemp -d "$cache/base.XXXXXX")
    trap 'rm -rf --one-file-system "$work"' EXIT
    say "debootstrap of Debian $suite from $mirror"
    # Its temporary files are of root alone, and so would be the image's first folder.
    mkdir -m 0755 "$work/root"
    debootstrap --variant=minbase --include=ca-certificates "$suite" "$work/root" "$mirror" >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; fail "debootstrap failed"; }
    (
        cd "$work/root"
        printf 'deb %s %s main\ndeb %s %s-updates main\ndeb %s %s-security main\n' "$mirror" "$suite" "$mirror" "$suite" "$security" "$suite" >etc/apt/sources.list
        # As Debian's own images: packages that are installed later bring neither manuals nor translations, start no server, leave no cache.
        {
            printf 'path-exclude=%s\n' '/usr/share/doc/*' '/usr/share/man/*' '/usr/share/locale/*' '/usr/share/info/*' '/usr/share/lintian/*'
            printf 'path-include=%s\n' '/usr/share/doc/*/copyright'
        } >etc/dpkg/dpkg.cfg.d/docker
        printf '#!/bin/sh\nexit 101\n' >usr/sbin/policy-rc.d
        chmod +x usr/sbin/policy-rc.d
        printf 'Acquire::Languages "none";\nAPT::Install-Recommends "false";\n' >etc/apt/apt.conf.d/90image
        find usr/share/doc -type f ! -name copyright -delete
        find usr/share/doc -type l -delete
        find usr/share/doc -mindepth 1 -type d -empty -delete
        rm -rf usr/share/man/* usr/share/locale/* usr/share/info/* usr/share/lintian
        rm -rf var/cache/apt/* var/lib/apt/lists/* var/log/* var/cache/debconf/*-old var/cache/ldconfig/* var/lib/dpkg/*-old tmp/* run/* dev/* proc/* sys/*
        rm -f etc/passwd- etc/group- etc/shadow- etc/gshadow- etc/machine-id etc/resolv.conf etc/hostname
    )
    tar --create --file "$work/base.tar" --directory "$work/root" --sort=name --numeric-owner --mtime="@$epoch" --pax-option=delete=atime,delete=ctime .
    mv "$work/base.tar" "$archive"
fi

# What the engine has may be of an older stamp.
if [ "$(buildah inspect --type image --format '{{index .OCIv1.Config.Labels "dev.updraft.stamp"}}' "$name" 2>/dev/null || true)" != "$stamp" ]; then
    say "importing $name"
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$archive" / >/dev/null
    buildah config --label "dev.updraft.stamp=$stamp" --cmd bash --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
    buildah commit --quiet --rm --timestamp "$epoch" "$container" "$name" >/dev/null
fi
printf '%s\n' "$name"
