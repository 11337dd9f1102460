#!/usr/bin/env python3
"""Makes what follows from shim/call_table.inc: shim/exports.map and the table in docs/shim.md.

Without an option it writes both; with --check it changes nothing and fails if one is out of date.
"""

import argparse
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
TABLE = ROOT / "shim/call_table.inc"
MAP = ROOT / "shim/exports.map"
PAGE = ROOT / "docs/shim.md"
BEGIN = "<!-- made by shim/make_exports.py from shim/call_table.inc -->\n"
END = "<!-- end of the made part -->\n"

ROW = re.compile(r'^VMBUS_(?:THEME\("(?P<theme>[^"]+)"\)|CALL\([^,]+, (?P<name>\w+), '
                 r'\((?P<parameters>.*)\), (?P<point>yes|no), "(?P<ours>[^"]+)"\))$')


def rows():
    """(theme, name, is a cancellation point, what we do), in the table's order."""
    theme = None
    for number, line in enumerate(TABLE.read_text().splitlines(), 1):
        if not line.startswith("VMBUS_"):
            continue
        row = ROW.match(line)
        if row is None:
            sys.exit(f"{TABLE}:{number}: not a row")
        if row["theme"]:
            theme = row["theme"]
        else:
            yield theme, row["name"], row["point"] == "yes", row["ours"]


def make_map():
    names = sorted(name for _, name, _, _ in rows())
    lines = "".join(f"    {name};\n" for name in names)
    return ("# Made by shim/make_exports.py from shim/call_table.inc: what the shim interposes.\n"
            "{\n  global:\n" + lines + "  local:\n    *;\n};\n")


def make_table():
    text, last_theme = "", None
    for theme, name, is_point, ours in rows():
        if theme != last_theme:
            text += f"\n**{theme}**\n\n| call | cancellation point | on a socket of ours |\n|---|---|---|\n"
            last_theme = theme
        text += f"| `{name}` | {'yes' if is_point else ''} | {ours} |\n"
    return text.lstrip("\n")


def make_page(old):
    before, rest = old.split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + "\n" + make_table() + "\n" + END + after


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare")
    check = parser.parse_args().check
    stale = 0
    for path, text in ((MAP, make_map()), (PAGE, make_page(PAGE.read_text()))):
        if path.exists() and path.read_text() == text:
            continue
        stale += 1
        if check:
            print(f"{path}: out of date, run shim/make_exports.py")
        else:
            path.write_text(text)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
