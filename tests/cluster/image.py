#!/usr/bin/env python3
"""Writes a container image of one layer from a folder: image.py NAME FOLDER ARCHIVE [COMMAND...].

The archive has the form that `docker save` writes. Files belong to root and have no time, so the same folder gives the same image.
"""
import hashlib
import io
import json
import os
import platform
import sys
import tarfile
import tempfile

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


def write_layer(folder: str, to) -> str:
    """Writes the files below the folder as a tar and returns its digest."""
    with tarfile.open(fileobj=to, mode="w") as layer:
        for entry in sorted(os.listdir(folder)):
            layer.add(os.path.join(folder, entry), arcname=entry, filter=anonymous)
    to.seek(0)
    digest = hashlib.sha256()
    while block := to.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def add(archive: tarfile.TarFile, name: str, content, size: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = size
    archive.addfile(entry, content)


def main() -> None:
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    name, folder, path, *command = sys.argv[1:]
    with tempfile.TemporaryFile() as layer, tarfile.open(path, "w") as archive:
        digest = write_layer(folder, layer)
        size = layer.tell()
        layer.seek(0)
        config = json.dumps(
            {
                "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
                "os": "linux",
                "config": {"Cmd": command, "Env": [PATH]},
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
            }
        ).encode()
        config_name = hashlib.sha256(config).hexdigest() + ".json"
        manifest = json.dumps([{"Config": config_name, "RepoTags": [name], "Layers": [f"{digest}/layer.tar"]}]).encode()
        add(archive, config_name, io.BytesIO(config), len(config))
        add(archive, f"{digest}/layer.tar", layer, size)
        add(archive, "manifest.json", io.BytesIO(manifest), len(manifest))


if __name__ == "__main__":
    main()
