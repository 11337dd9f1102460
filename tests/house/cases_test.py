"""gen_cases finds the test of each numbered socket case, and says what is missing or there twice."""

import unittest

import tree

ENUM = """\
enum Setup : std::uint32_t {
  kDefault = 1U << 0,  // a guest
  kStrict = 1U << 1,
  kTcp = 1U << 10,
  kNeedsRing = 1U << 31,
  kHyperV = kStrict | kDefault,
};
"""
SETUPS = '{kDefault, "default", {}}, {kStrict,\n "strict", {}}, {kTcp, "tcp", {}}\n'
HEAD = "# number\ttitle\tsetups\treason\n"
COUNT = 326
# In two pieces, so that this file names no case of the real list.
COMMENT = "# C" + "ase "


def case(number, setups="kStrict", title="holds", section="Bind"):
    return f'VMBUS_CASE({section}, {number}, {setups}, "{title}") {{\n}}\n'


class GenCases(tree.TreeTest):

    def setUp(self):
        super().setUp()
        self.write("tests/conformance/case.h", ENUM)
        self.write("tests/conformance/setup.cc", SETUPS)
        self.write("docs/conformance_cases.tsv", HEAD)
        self.write("tests/conformance/rest_cases.cc", "".join(map(case, range(4, COUNT + 1))))
        self.write_cases(case(1), case(2), case(3))

    def write_cases(self, *cases):
        self.write("tests/conformance/bind_cases.cc", "".join(cases))

    def page(self):
        status, lines = self.run_tool("gen_cases")
        self.assertEqual(status, 0, lines)
        return (self.root / "docs/socket_cases.md").read_text(encoding="utf-8")

    def test_page_names_setups_and_test(self):
        page = self.page()
        self.assertIn("\n## Addresses\n", page)
        self.assertIn("| 1 | holds | strict | `bind_cases.cc` Bind.Case001 | holds |\n", page)
        self.assertIn("| holds | tested in each of its setups, on every change | 326 |\n", page)
        self.assert_clean("gen_cases", "--check")

    def test_sets_of_setups(self):
        self.write_cases("constexpr std::uint32_t kAll = kHyperV | kTcp;\n", case(1, "kAll"),
                         case(2, "kAll & ~kDefault"), case(3, "kHyperV"))
        page = self.page()
        self.assertIn("| 1 | holds | default, strict, tcp |", page)
        self.assertIn("| 2 | holds | strict, tcp |", page)
        self.assertIn("| 3 | holds | default, strict |", page)

    def test_unknown_setups(self):
        self.write_cases(case(1), case(2), "\n" + case(3, "kBeOS"))
        self.assert_finding("gen_cases", "tests/conformance/bind_cases.cc:6: what are the setups")

    def test_macro_over_several_lines(self):
        self.write_cases('VMBUS_CASE(Bind, 1, kStrict |\n    kTcp,\n    "a \\"long\\" "\n    "title") {\n',
                         case(2), case(3))
        self.assertIn('| 1 | a "long" title | strict, tcp |', self.page())

    def test_ring(self):
        self.write_cases(case(1, "kStrict | kNeedsRing"), case(2), case(3))
        page = self.page()
        self.assertIn("| 1 | holds | strict | `bind_cases.cc` Bind.Case001 | RING only |\n", page)
        self.assertIn("on every change | 1 |\n", page)

    def test_elsewhere(self):
        self.write_cases(case(1))
        self.write("docs/conformance_cases.tsv",
                   HEAD + "2\tin Python\tdefault\n3\tnowhere\t\tno such machine\n")
        self.write("tests/system/a_test.py", COMMENT + "2: why\ndef test_it(self):\n  pass\n")
        page = self.page()
        self.assertIn("| 2 | in Python | default | `tests/system/a_test.py` test_it | holds |\n", page)
        self.assertIn("| 3 | nowhere |  |  | not built yet: no such machine |\n", page)
        self.assert_clean("gen_cases", "--check")

    def test_row_without_test_or_reason(self):
        self.write_cases(case(1), case(2))
        self.write("docs/conformance_cases.tsv", HEAD + "3\tnowhere\t\t\n")
        self.assert_finding("gen_cases",
                            "docs/conformance_cases.tsv:2: case 3 has neither a test nor a reason")

    def test_row_with_test_and_reason(self):
        self.write_cases(case(1), case(2))
        self.write("docs/conformance_cases.tsv", HEAD + "3\tboth\t\twhy\n")
        self.write("tests/system/a_test.py", COMMENT + "3\ndef test_it(self):\n  pass\n")
        self.assert_finding("gen_cases",
                            "docs/conformance_cases.tsv:2: case 3 has both a test and a reason")

    def test_number_twice(self):
        self.write_cases(case(1), case(2), case(3), case(3))
        self.assert_finding("gen_cases", "tests/conformance/bind_cases.cc:7: case 3 is also "
                            "tests/conformance/bind_cases.cc:5")
        self.write_cases(case(1), case(2), case(3))
        self.write("docs/conformance_cases.tsv", HEAD + "3\ttwice\t\twhy\n")
        self.assert_finding("gen_cases", "docs/conformance_cases.tsv:2: case 3 is also")

    def test_number_beyond_the_list(self):
        self.write_cases(case(1), case(2), case(3), case(327))
        self.assert_finding("gen_cases", "tests/conformance/bind_cases.cc:7: there is no case 327")

    def test_numbers_of_our_own(self):
        self.write_cases(case(1), case(2), case(3), case(1002), case(1001))
        page = self.page()
        self.assertIn("on every change | 326 |", page)
        self.assertIn("## Traps beside the list\n\n| case | what holds | setups | test | verdict |\n"
                      "|---|---|---|---|---|\n| 1001 |", page)
        self.assert_clean("gen_cases", "--check")

    def test_number_that_is_missing(self):
        self.write_cases(case(1), case(3))
        page = self.page()
        self.assertIn("| 2 |  |  |  | **open** |\n", page)
        self.assertIn("| open | nothing tests it yet | 1 |\n", page)
        self.assert_finding("gen_cases", "docs/conformance_cases.tsv:1: case 2 (Addresses) has",
                            "--check")

    def test_stale_page(self):
        self.page()
        self.write_cases(case(1), case(2, title="holds indeed"), case(3))
        self.assert_finding("gen_cases", "docs/socket_cases.md:1: is stale", "--check")


if __name__ == "__main__":
    unittest.main()
