"""gen_coverage finds the tests of each row, and says what is missing."""

import unittest

import tree

HEAD = "# row\tarea\tbehaviour\treason\n"
# In two pieces, so that this file names no row of the real checklist.
CPP_ROW = "// R" + "ow "
PYTHON_ROW = "# R" + "ow "


class GenCoverage(tree.TreeTest):
    def setUp(self):
        super().setUp()
        self.write("docs/conformance_rows.tsv", HEAD + "1\tRing\tfirst\n2\tRing\tsecond\tno ring\n")
        self.write("ringbuf/a_test.cc", CPP_ROW + "1: says so\nTEST(Ring, First) {}\n")

    def page(self):
        status, lines = self.run_tool("gen_coverage")
        self.assertEqual(status, 0, lines)
        return (self.root / "docs/conformance.md").read_text(encoding="utf-8")

    def test_page_names_test_or_reason(self):
        page = self.page()
        self.assertIn("| 1 | first | `ringbuf/a_test.cc` Ring.First |\n", page)
        self.assertIn("| 2 | second | *left out: no ring* |\n", page)
        self.assertIn("1 of 2 rows have tests, 1 are left out", page)
        self.assert_clean("gen_coverage", "--check")

    def test_comment_inside_a_test_belongs_to_it(self):
        self.write("ringbuf/a_test.cc",
                   "TEST_F(Ring, Before) {\n  " + CPP_ROW + "1: here\n  x();\n}\nTEST(Ring, After) {}\n")
        self.assertIn("`ringbuf/a_test.cc` Ring.Before |", self.page())

    def test_other_languages(self):
        self.write("tests/system/a.py", PYTHON_ROW + "1: x\ndef test_first(self):\n  pass\n")
        self.write("tests/system/b.sh", PYTHON_ROW + "1: x\ntrue\n")
        self.assertIn("`tests/system/a.py` test_first<br>`tests/system/b.sh` |", self.page())

    def test_two_rows_in_one_comment(self):
        self.write("docs/conformance_rows.tsv", HEAD + "1\tRing\tfirst\n2\tRing\tsecond\n")
        self.write("ringbuf/a_test.cc", CPP_ROW + "1, 2: says so\nTEST(Ring, Both) {}\n")
        self.assertIn("| 2 | second | `ringbuf/a_test.cc` Ring.Both |", self.page())

    def test_comments_outside_tests_do_not_count(self):
        self.write("ringbuf/a.cc", CPP_ROW + "2: says so\n")
        self.assertIn("*left out: no ring*", self.page())

    def test_stale_page(self):
        self.page()
        self.write("ringbuf/a_test.cc", CPP_ROW + "1: says so\nTEST(Ring, Renamed) {}\n")
        self.assert_finding("gen_coverage", "docs/conformance.md:1: is stale", "--check")

    def test_row_without_test_or_reason(self):
        self.write("ringbuf/a_test.cc", "TEST(Ring, First) {}\n")
        self.assertIn("1 are open", self.page())
        self.assert_finding("gen_coverage", "docs/conformance_rows.tsv:2: row 1 has neither", "--check")

    def test_row_with_test_and_reason(self):
        self.write("ringbuf/a_test.cc", CPP_ROW + "1, 2: says so\nTEST(Ring, First) {}\n")
        self.page()
        self.assert_finding("gen_coverage", "docs/conformance_rows.tsv:3: row 2 is left out", "--check")

    def test_unknown_row(self):
        self.write("ringbuf/a_test.cc", CPP_ROW + "3: says so\nTEST(Ring, First) {}\n")
        self.assert_finding("gen_coverage", "ringbuf/a_test.cc:1: there is no row 3")


if __name__ == "__main__":
    unittest.main()
