#!/usr/bin/env python3
"""python3 docker/test_sbom.py"""
import unittest

import sbom


def package(name, version="1.0.0"):
    return {"name": name, "version": version, "license": "MIT/Apache-2.0"}


METADATA = {"packages": [package("updraft"), package("used"), package("used", "0.9.0"), package("deep"), package("switched-off"), package("macro")]}
TREE = """updraft v1.0.0 (/src/crates/updraft)
used v1.0.0
deep v1.0.0
deep v1.0.0 (*)
"""
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
        return sbom.document(METADATA, TREE, LOCK, STATUS, 1_700_000_000)

    def test_what_is_shipped_and_nothing_else(self):
        names = [component["name"] for component in self.document()["components"]]
        self.assertEqual(names, ["deep", "used", "git", "libc6"])

    def test_names_hashes_licenses(self):
        deep, used, git, libc = self.document()["components"]
        self.assertEqual(deep["hashes"], [{"alg": "SHA-256", "content": "ab" * 32}])
        self.assertEqual(used["licenses"], [{"expression": "MIT OR Apache-2.0"}])
        self.assertEqual(git["purl"], "pkg:deb/debian/git@1%3A2.39.5-0+deb12u2?arch=amd64")
        self.assertEqual(libc["properties"], [{"name": "debian:source", "value": "glibc"}])

    def test_a_tree_of_another_target_is_refused(self):
        with self.assertRaises(SystemExit):
            sbom.document(METADATA, TREE + "windows-sys v1.0.0\n", LOCK, STATUS, 0)
        with self.assertRaises(SystemExit):
            sbom.document(METADATA, "used v1.0.0\n", LOCK, STATUS, 0)

    def test_the_same_twice(self):
        self.assertEqual(self.document(), self.document())


if __name__ == "__main__":
    unittest.main()
