#!/usr/bin/env bash
# Writes what a release consists of into dist/: dist.sh BINARY, called by make dist. Linux alone: it is the binary of this machine.
#
#   updraft-V-linux-A.tar.gz        the program
#   updraft-V-linux-A.image.tar.gz  the image, for docker load
#   updraft-V-linux-A.cdx.json      what is in both (CycloneDX)
#   updraft-V.tgz                   the chart, as `helm package` makes it but for the times in it, which are the commit's
#   SHA256SUMS
#
# The same commit on the same base gives the same files. BASE names the image's base; OFFLINE=1 makes one of Debian's packages.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

say() { printf 'dist: %s\n' "$*" >&2; }
fail() { printf 'dist: error: %s\n' "$*" >&2; exit 1; }

binary=${1:-}
[ -f "$binary" ] || fail "there is no program ${binary:-(none named)}: run make dist"
[ "$(uname)" = Linux ] || fail "the image needs a program for Linux: make image compiles in a container on any system"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH=$epoch
case $(uname -m) in
    x86_64) architecture=amd64 target=x86_64-unknown-linux-gnu ;;
    aarch64) architecture=arm64 target=aarch64-unknown-linux-gnu ;;
    *) fail "no release for $(uname -m)" ;;
esac
name=updraft-$version-linux-$architecture
# Modes are in the archives too.
umask 022
rm -rf dist
mkdir dist
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say "the program"
mkdir "$work/$name"
install -m 0755 "$binary" "$work/$name/updraft"
install -m 0644 LICENSE NOTICE README.md CHANGELOG.md "$work/$name/"
tar --create --directory "$work" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$epoch" "$name" | gzip -n -9 >"dist/$name.tar.gz"

say "the image"
if [ -n "${OFFLINE:-}" ]; then BASE=$(docker/base.sh); export BASE; fi
docker/build.sh --image "${IMAGE:-updraft:$version}" --binary "$binary" --archive "dist/$name.image.tar"

if command -v cargo >/dev/null; then
    say "the SBOM"
    cargo tree --locked -p updraft -e normal,no-proc-macro --target "$target" --prefix none >"$work/tree"
    cargo metadata --locked --format-version 1 --filter-platform "$target" |
        python3 -B docker/sbom.py --lock Cargo.lock --tree "$work/tree" --image "dist/$name.image.tar" --time "$epoch" >"dist/$name.cdx.json"
else
    fail "cargo is missing: without it there is no SBOM"
fi

gzip -n -6 "dist/$name.image.tar"

say "the chart"
chart=$(sed -n 's/^version: //p' deploy/helm/updraft/Chart.yaml)
# Helm's own package has the time of its making in it. A folder's name ends with a slash in .helmignore, which tar does not know.
sed 's,/$,,' deploy/helm/updraft/.helmignore >"$work/ignored"
tar --create --directory deploy/helm --sort=name --owner=0 --group=0 --numeric-owner --mode=u=rw,go=r,a+X --mtime="@$epoch" \
    --exclude-from="$work/ignored" updraft | gzip -n -9 >"dist/updraft-$chart.tgz"
(cd dist && sha256sum -- *.* >"$work/sums" && mv "$work/sums" SHA256SUMS && chmod 0644 SHA256SUMS)
say "done:"
(cd dist && ls -l) >&2
