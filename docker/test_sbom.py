#!/usr/bin/env python3
"""python3 docker/test_sbom.py"""
import unittest

import sbom


def package(name, source="registry", kind="lib", license="MIT/Apache-2.0"):
    return {"id": name, "name": name, "version": "1.0.0", "source": source, "license": license, "targets": [{"kind": [kind]}]}


def needs(id, *others):
    return {"id": id, "deps": [{"pkg": other, "dep_kinds": [{"kind": kind}]} for other, kind in others]}


METADATA = {
    "packages": [package("updraft", source=None, kind="bin"), package("used"), package("deep"), package("tests"), package("build"),
                 package("macro", kind="proc-macro"), package("syn"), package("elsewhere")],
    "resolve": {"nodes": [needs("updraft", ("used", None), ("tests", "dev"), ("build", "build"), ("macro", None)), needs("used", ("deep", None)),
                          needs("macro", ("syn", None)), *(needs(name) for name in ("deep", "tests", "build", "syn", "elsewhere"))]},
}
LOCK = {"package": [{"name": "deep", "version": "1.0.0", "checksum": "ab" * 32}, {"name": "updraft", "version": "1.0.0"}]}
STATUS = """Package: git
Status: install ok installed
Architecture: amd64
Version: 1:2.39.5-0+deb12u2
Description: fast
 Homepage: no field, but a line of the text

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: libc6
Status: install ok installed
Source: glibc (2.36)
Architecture: amd64
Version: 2.36-9
"""


class Sbom(unittest.TestCase):
    def document(self):
        return sbom.document(METADATA, LOCK, STATUS, 1_700_000_000)

    def test_what_is_shipped_and_nothing_else(self):
        names = [component["name"] for component in self.document()["components"]]
        self.assertEqual(names, ["deep", "used", "git", "libc6"])

    def test_names_hashes_licenses(self):
        deep, used, git, libc = self.document()["components"]
        self.assertEqual(deep["hashes"], [{"alg": "SHA-256", "content": "ab" * 32}])
        self.assertEqual(used["licenses"], [{"expression": "MIT OR Apache-2.0"}])
        self.assertEqual(git["purl"], "pkg:deb/debian/git@1%3A2.39.5-0+deb12u2?arch=amd64")
        self.assertEqual(libc["properties"], [{"name": "debian:source", "value": "glibc"}])

    def test_the_same_twice(self):
        self.assertEqual(self.document(), self.document())


if __name__ == "__main__":
    unittest.main()
