"""check_exports compares a built library with a version script."""

import subprocess
import unittest

import tree

MAP = "{ global: socket; connect; local: *; };\n"


class CheckExports(tree.TreeTest):
    def build(self, code, *flags):
        library = self.root / "build/dev/libvmbus_shim.so"
        library.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-o", library, "-", *flags],
                       input=code, text=True, check=True)

    def setUp(self):
        super().setUp()
        self.write("shim/exports.map", MAP)

    def test_match(self):
        self.build("int socket(void) { return 0; } int connect(void) { return 0; }")
        self.assert_clean("check_exports")

    def test_name_too_many(self):
        self.build("int socket(void) { return 0; } int connect(void) { return 0; } int extra;")
        self.assert_finding("check_exports", f"{self.root}/build/dev/libvmbus_shim.so:0: exports extra")

    def test_name_missing(self):
        self.build("int socket(void) { return 0; }")
        self.assert_finding("check_exports", "shim/exports.map:1: connect is listed")

    def test_library_beyond_libc(self):
        self.build("int socket(void) { return 0; } int connect(void) { return 0; }",
                   "-Wl,--no-as-needed", "-lm")
        self.assert_finding("check_exports",
                            f"{self.root}/build/dev/libvmbus_shim.so:0: needs libm.so.6")

    def test_nothing_built(self):
        self.assert_finding("check_exports", "build:0: there is no libvmbus_shim.so")


if __name__ == "__main__":
    unittest.main()
