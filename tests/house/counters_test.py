"""gen_counters writes the counters page from its table, and says when it is stale."""

import unittest

import tree

TABLE = """\
// VMBUS_COUNTER(id, name, meaning): one row a counter.
// --- messages: a word about them
VMBUS_COUNTER(kSent, "sent", "messages sent (all of them)")
#define VMBUS_ERROR(id, name, meaning) VMBUS_COUNTER(id, name, meaning)
#include "emu/errors.inc"
#undef VMBUS_ERROR
// --- sockets
VMBUS_COUNTER(kMade, "made", "sockets made")
"""
ERRORS = """\
VMBUS_ERROR(kBad, "bad", "messages refused")
"""


class GenCounters(tree.TreeTest):
    def setUp(self):
        super().setUp()
        self.write("docs/index.md", "")
        self.write("emu/counters.inc", TABLE)
        self.write("emu/errors.inc", ERRORS)

    def page(self):
        status, lines = self.run_tool("gen_counters")
        self.assertEqual(status, 0, lines)
        return (self.root / "docs/counters.md").read_text(encoding="utf-8")

    def test_a_table_a_group_with_the_included_rows_in_place(self):
        page = self.page()
        self.assertIn("## Messages\n\n| counter | counts |\n|---|---|\n"
                      "| `sent` | messages sent (all of them) |\n| `bad` | messages refused |\n\n"
                      "## Sockets\n", page)
        self.assertTrue(page.endswith("| `made` | sockets made |\n"))
        self.assert_clean("gen_counters", "--check")

    def test_stale_page(self):
        self.page()
        self.write("emu/errors.inc", ERRORS.replace("refused", "thrown away"))
        self.assert_finding("gen_counters", "docs/counters.md:1: is stale", "--check")

    def test_a_row_that_cannot_be_read(self):
        self.page()
        self.write("emu/counters.inc", TABLE.replace(', "sockets made"', ""))
        self.assert_finding("gen_counters", "emu/counters.inc:8: not a row", "--check")


if __name__ == "__main__":
    unittest.main()
