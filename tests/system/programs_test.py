#!/usr/bin/env python3
"""Each row of programs.py, in each of its directions, as a test."""

import re
import unittest

import support
from program_row import RowTest
from programs import ROWS

setUpModule = support.require_shim


class Programs(RowTest):
    pass


Programs.add(ROWS)


class Table(unittest.TestCase):

    def test_no_name_is_there_twice(self):
        names = [row.name for row in ROWS]
        self.assertEqual(len(names), len(set(names)))

    def test_each_package_is_in_a_list(self):
        lists = (support.ROOT / "tools" / "dev").glob("packages-*.txt")
        listed = {name for file in lists
                  for name in re.findall(r"^([a-z0-9][a-z0-9.+-]*)\s", file.read_text(), re.MULTILINE)}
        for row in ROWS:
            with self.subTest(row.name):
                self.assertEqual(set(row.packages.split()) - listed, set())


if __name__ == "__main__":
    support.main()
