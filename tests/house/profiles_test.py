"""gen_profiles writes the profiles page from the quirk table, and says when it is stale."""

import unittest

import tree

TABLE = """\
// A comment with "quotes" and (parentheses).
VMBUS_PROFILE("plain", "as expected")
VMBUS_PROFILE("odd", "as found")
VMBUS_QUIRK(kPeek, "peek", "Q1", kGuest, "off|on", "on", "off", kObeyed, "looks, "
            "once (or twice)", "a.c", "")
VMBUS_QUIRK(kLinger, "linger", "", kAny, "off|on", "off", "on", kNotYet, "waits", "b.c", "off everywhere")
VMBUS_VINTAGE("1.0", "the first")
VMBUS_VINTAGE("1.1", "")
"""


class GenProfiles(tree.TreeTest):
    def setUp(self):
        super().setUp()
        self.write("docs/index.md", "")
        self.write("emu/protocol/quirk_table.inc", TABLE)

    def page(self):
        status, lines = self.run_tool("gen_profiles")
        self.assertEqual(status, 0, lines)
        return (self.root / "docs/profiles.md").read_text(encoding="utf-8")

    def test_page_has_a_column_a_profile(self):
        page = self.page()
        self.assertIn("| quirk | | plain | odd | |\n", page)
        self.assertIn("| [`peek`](#peek) | Q1 | on | off |  |\n", page)
        self.assertIn("| guest | `off`, `on` | looks, once (or twice) | a.c |\n", page)
        self.assert_clean("gen_profiles", "--check")

    def test_what_is_not_obeyed_is_listed(self):
        self.assertIn("| `linger`  | off everywhere |\n", self.page())

    def test_vintages_without_a_change_are_left_out(self):
        page = self.page()
        self.assertIn("| 1.0 | the first |\n", page)
        self.assertNotIn("1.1", page)

    def test_stale_page(self):
        self.page()
        self.write("emu/protocol/quirk_table.inc", TABLE.replace('"off", kObeyed', '"on", kObeyed'))
        self.assert_finding("gen_profiles", "docs/profiles.md:1: is stale", "--check")

    def test_row_without_all_its_cells(self):
        self.write("emu/protocol/quirk_table.inc", TABLE.replace(', "b.c"', ""))
        self.assert_finding("gen_profiles",
                            "emu/protocol/quirk_table.inc:1: row kLinger has 10 cells", "--check")


if __name__ == "__main__":
    unittest.main()
