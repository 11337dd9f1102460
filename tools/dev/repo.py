"""What the checks of this folder share: the tree's files, stripped sources, exceptions, reports.

Each check is one program that prints `file:line: message` for every finding and exits 1 when there
was one. All take --root, so that tests/house can run them over deliberately broken trees.
"""

import argparse
import os
import pathlib
import re
import sys

SKIPPED_FOLDERS = {".git", "build", "__pycache__", ".cache"}
SOURCE_SUFFIXES = {".cc", ".h", ".inc", ".c"}
EXCEPTIONS_FILE = "tools/dev/exceptions.txt"

_COMMENT_OR_STRING = re.compile(
    r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


class Report:
    """Findings of one check; at the end says how it went and gives the exit status."""

    def __init__(self, name):
        self.name = name
        self.findings = 0

    def add(self, path, line, message):
        self.findings += 1
        print(f"{path}:{line}: {message}")

    def finish(self):
        if self.findings:
            print(f"{self.name}: {self.findings} finding(s)", file=sys.stderr)
            return 1
        print(f"{self.name}: ok")
        return 0


class Exceptions:
    """The rows `rule  path  # reason` of exceptions.txt for one rule."""

    def __init__(self, root, rule, report):
        self._rule = rule
        self._report = report
        self._lines = {}
        self._used = set()
        file = root / EXCEPTIONS_FILE
        if not file.exists():
            return
        for number, text in enumerate(file.read_text().splitlines(), 1):
            entry, _, reason = text.partition("#")
            words = entry.split()
            if not words or words[0] != rule:
                continue
            if len(words) != 2 or not reason.strip():
                report.add(EXCEPTIONS_FILE, number, "want: rule path # reason")
                continue
            self._lines[words[1]] = number

    def allow(self, path):
        """True when `path` is listed; call it only for a file that would be a finding."""
        if path not in self._lines:
            return False
        self._used.add(path)
        return True

    def report_unused(self):
        for path, number in self._lines.items():
            if path not in self._used:
                self._report.add(EXCEPTIONS_FILE, number,
                                 f"{path} needs no exception from {self._rule} any more")


def parser(description):
    """An argument parser with --root already in it."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--root", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parents[2],
                        help="the tree to look at (default: the one this script is in)")
    return result


def files(root, suffixes=None):
    """Paths relative to `root`, sorted, as strings; generated and hidden folders are left out."""
    found = []
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if name not in SKIPPED_FOLDERS)
        for name in names:
            if suffixes is None or pathlib.PurePath(name).suffix in suffixes:
                found.append(os.path.relpath(os.path.join(folder, name), root))
    return sorted(found)


def read(root, path):
    """The file's text, or None for a file that is not text."""
    try:
        return (root / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def write_page(root, path, page, checking, report):
    """Writes a generated page; `checking`: writes nothing, and a page that differs is a finding."""
    if not checking:
        (root / path).write_text(page, encoding="utf-8")
    elif not (root / path).exists() or read(root, path) != page:
        report.add(path, 1, f"is stale; run tools/dev/{report.name}")


def code_only(text):
    """`text` with comments and literals blanked out; line numbers stay as they were."""
    return _COMMENT_OR_STRING.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def is_test(path):
    return path.startswith("tests/") or path.endswith("_test.cc")
