"""Which test a comment belongs to, in C++, Python and shell; for the pages that say what is tested where."""

import re

TEST_START = re.compile(
    r"^\s*(?:TEST(?:_F|_P)?\(\s*(\w+)\s*,\s*(\w+)|TYPED_TEST(?:_P)?\(\s*(\w+)\s*,\s*(\w+)"
    r"|(?:async )?def (test_\w+)|(test_\w+)\(\))")
COMMENT_LINE = re.compile(r"^\s*(?://|#|\*|/\*|@|$)")


def _name(match):
    names = [group for group in match.groups() if group]
    return ".".join(names)


def near(lines, index):
    """The test that a comment at `index` belongs to: the one right below, else the one around it."""
    for line in lines[index + 1:]:
        if match := TEST_START.match(line):
            return _name(match)
        if not COMMENT_LINE.match(line):
            break
    for line in reversed(lines[:index]):
        if match := TEST_START.match(line):
            return _name(match)
    return ""
