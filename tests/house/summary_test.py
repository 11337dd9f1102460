"""summarize_tests counts, and shows each reason for a skip."""

import subprocess
import sys
import unittest

import tree

CASE = '<testcase name="{}" status="{}">{}</testcase>'
PASSED = CASE.format("A.Passes", "run", "")
FAILED = CASE.format("A.Fails", "fail", '<failure message=""/>')
SKIPPED_GTEST = CASE.format(
    "A.Skips", "notrun", "<skipped message='SKIP_REGULAR_EXPRESSION_MATCHED'/>"
    "<system-out>a_test.cc:7: Skipped\nno io_uring here\n</system-out>")
SKIPPED_SCRIPT = CASE.format(
    "b", "notrun", "<skipped message='SKIP_RETURN_CODE=77'/><system-out>skipped: no ncat\n</system-out>")


class SummarizeTests(tree.TreeTest):
    def summary(self, *cases):
        self.write("results.xml", f"<testsuite>{''.join(cases)}</testsuite>")
        result = subprocess.run(
            [sys.executable, "-B", tree.TOOLS / "summarize_tests", self.root / "results.xml"],
            capture_output=True, text=True, check=False)
        return result.returncode, result.stdout.split("\n")[1:-1]

    def test_all_passed(self):
        self.assertEqual(self.summary(PASSED), (0, ["1 tests passed, 0 failed, 0 skipped."]))

    def test_failures_are_named(self):
        status, lines = self.summary(PASSED, FAILED)
        self.assertEqual((status, lines[-1]), (1, "  failed:  A.Fails"))

    def test_program_that_was_not_built_is_a_failure(self):
        not_built = CASE.format("c", "notrun", "<skipped message='Unable to find executable'/>")
        self.assertEqual(self.summary(PASSED, not_built)[0], 1)

    def test_skips_show_their_reason(self):
        status, lines = self.summary(SKIPPED_GTEST, SKIPPED_SCRIPT)
        self.assertEqual(status, 0)
        self.assertEqual(lines[1:], ["  skipped: no io_uring here: A.Skips", "  skipped: no ncat: b"])

    def test_nothing_ran(self):
        self.assertEqual(self.summary()[0], 1)


if __name__ == "__main__":
    unittest.main()
