#!/usr/bin/env python3
"""Writes what is in an image of Updraft as CycloneDX 1.5 (JSON): the crates that the binary is made of, and the Debian packages around it.

    cargo tree --locked -p updraft -e normal,no-proc-macro --target TARGET --prefix none > tree
    cargo metadata --locked --format-version 1 --filter-platform TARGET |
        sbom.py --lock Cargo.lock --tree tree [--image ARCHIVE] [--time SECONDS] > updraft.cdx.json

--image is an archive of the image (docker save, build.sh --archive), whose list of packages is read. Without it the list is that of the binary.

Why not a tool of others: those for crates read the same `cargo metadata` and take minutes to compile, those for images need a registry or a
daemon and find no crates in a stripped binary. What both know is in the files above. The same input gives the same bytes.

Why two words of cargo: `metadata` knows licenses, and lists every crate that some feature of some crate could switch on (ring, SQLite, MySQL);
`tree` knows what is compiled.
"""
import argparse
import datetime
import hashlib
import json
import sys
import tarfile
import tomllib
import urllib.parse
import uuid

PACKAGE = "updraft"


def shipped(metadata: dict, tree: str) -> list:
    """The packages that end up in the binary: a macro runs in the compiler, and neither it nor what it is made of is part of what comes out."""
    packages = {(package["name"], package["version"]): package for package in metadata["packages"]}
    # A line is `name v1.2.3 (where)`, and may come again.
    named = {(line.split()[0], line.split()[1].removeprefix("v")) for line in tree.splitlines() if line.strip()}
    if not any(name == PACKAGE for name, _ in named):
        sys.exit(f"sbom: error: there is no package {PACKAGE} in the tree")
    if unknown := sorted(named - packages.keys()):
        sys.exit(f"sbom: error: cargo metadata does not know {unknown}: are both of the same target?")
    return [packages[key] for key in sorted(named)]


def crate(package: dict, checksums: dict) -> dict:
    name, version = package["name"], package["version"]
    purl = f"pkg:cargo/{name}@{urllib.parse.quote(version)}"
    component = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    if package.get("license"):
        # Before SPDX had a word for it, crates wrote a slash for OR.
        component["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if checksum := checksums.get((name, version)):
        component["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return component


def dpkg_status(archive: str) -> str:
    """What dpkg of the image in the archive has installed, by the topmost layer that says so."""
    with tarfile.open(archive) as image:
        layers = json.load(image.extractfile("manifest.json"))[0]["Layers"]
        for name in reversed(layers):
            with tarfile.open(fileobj=image.extractfile(name)) as layer:
                for path in ("var/lib/dpkg/status", "./var/lib/dpkg/status"):
                    try:
                        return layer.extractfile(path).read().decode()
                    except KeyError:
                        pass
    sys.exit(f"sbom: error: no layer of {archive} has Debian's list of packages")


def debian(status: str) -> list:
    components = []
    for paragraph in status.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and not line.startswith(" "))
        if not fields.get("Status", "").endswith(" installed"):
            continue
        name, version = fields["Package"], fields["Version"]
        purl = f"pkg:deb/debian/{urllib.parse.quote(name)}@{urllib.parse.quote(version, safe='.+~-')}?arch={fields['Architecture']}"
        source = fields.get("Source", name).split(" ")[0]
        components.append({"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl,
                           "properties": [{"name": "debian:source", "value": source}]})
    return sorted(components, key=lambda component: component["name"])


def document(metadata: dict, tree: str, lock: dict, status: str, time: int) -> dict:
    checksums = {(package["name"], package["version"]): package["checksum"] for package in lock["package"] if "checksum" in package}
    packages = shipped(metadata, tree)
    ours = next(package for package in packages if package["name"] == PACKAGE)
    components = [crate(package, checksums) for package in packages if package is not ours] + debian(status)
    purl = f"pkg:github/updraft-dev/updraft@v{ours['version']}"
    # The number follows from the content, so the same content has the same.
    content = hashlib.sha256(json.dumps(components, sort_keys=True).encode()).hexdigest()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, purl + '#' + content)}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.datetime.fromtimestamp(time, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tools": {"components": [{"type": "application", "name": "updraft docker/sbom.py"}]},
            "component": {"type": "application", "bom-ref": purl, "name": PACKAGE, "version": ours["version"], "purl": purl,
                          "licenses": [{"expression": "Apache-2.0"}]},
        },
        "components": components,
        "dependencies": [{"ref": purl, "dependsOn": sorted(component["bom-ref"] for component in components)}],
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--lock", required=True)
    options.add_argument("--tree", required=True)
    options.add_argument("--image")
    options.add_argument("--time", type=int, default=0)
    given = options.parse_args()
    with open(given.lock, "rb") as file:
        lock = tomllib.load(file)
    with open(given.tree, encoding="utf-8") as file:
        tree = file.read()
    status = dpkg_status(given.image) if given.image else ""
    json.dump(document(json.load(sys.stdin), tree, lock, status, given.time), sys.stdout, indent=1, ensure_ascii=False)
    print()


if __name__ == "__main__":
    main()
