"""A small source tree in a temporary folder, and a way to run one of our tools over it."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools" / "dev"


class TreeTest(unittest.TestCase):
    """Base of the tests: self.root is an empty tree that goes away afterwards."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def run_tool(self, tool, *arguments):
        """(exit status, lines of standard output) of a Python tool of tools/dev."""
        result = subprocess.run(
            [sys.executable, "-B", TOOLS / tool, "--root", self.root, *arguments],
            capture_output=True, text=True, check=False)
        return result.returncode, result.stdout.splitlines()

    def assert_clean(self, tool, *arguments):
        status, lines = self.run_tool(tool, *arguments)
        self.assertEqual((status, lines[:-1]), (0, []), lines)

    def assert_finding(self, tool, start, *arguments):
        """The tool fails, and one of its lines begins with `start`."""
        status, lines = self.run_tool(tool, *arguments)
        self.assertEqual(status, 1, lines)
        self.assertTrue(any(line.startswith(start) for line in lines), lines)
