"""install_packages asks for what is missing, and for nothing else. dpkg-query and apt-get are stand-ins."""

import pathlib
import shutil
import subprocess
import tempfile
import unittest

import tree

TOOLS_OF_ITS_OWN = ("cat", "cut", "dirname", "env", "grep", "printf", "sed", "sh")
QUERY = """#!/bin/sh
for package in {installed}; do
  [ "$4" = "$package" ] && echo installed
done
exit 0
"""


class InstallPackages(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.log = self.folder / "apt.log"
        for name in TOOLS_OF_ITS_OWN:
            (self.folder / name).symlink_to(shutil.which(name))
        self.program("apt-get", f'#!/bin/sh\necho "$@" >>{self.log}\n')
        self.user(0)

    def program(self, name, text):
        (self.folder / name).write_text(text, encoding="utf-8")
        (self.folder / name).chmod(0o755)

    def user(self, uid):
        self.program("id", f"#!/bin/sh\necho {uid}\n")

    def installed(self, *packages):
        self.program("dpkg-query", QUERY.format(installed=" ".join(packages)))

    def run_it(self, *arguments):
        result = subprocess.run(
            [tree.TOOLS / "install_packages", *arguments], env={"PATH": str(self.folder)},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        commands = self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
        return result, commands

    def listed(self):
        rows = (tree.TOOLS / "packages-programs.txt").read_text(encoding="utf-8").splitlines()
        return {row.split()[0] for row in rows if not row.startswith("#")}

    def all_but(self, missing):
        names = self.listed()
        self.assertIn(missing, names)
        self.installed(*(names - {missing}))

    def test_nothing_missing_needs_nobody(self):
        self.installed(*self.listed())
        self.user(1000)
        result, commands = self.run_it("programs")
        self.assertEqual((result.returncode, result.stdout, commands), (0, "", []))

    def test_installs_what_is_missing_and_says_why(self):
        self.all_but("ncat")
        result, commands = self.run_it("programs")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stdout, r"  ncat +system tests: ncat --vsock")
        self.assertEqual(len(commands), 2, commands)
        self.assertTrue(commands[0].endswith(" update"), commands)
        self.assertTrue(commands[1].endswith("install --yes --no-install-recommends ncat"), commands)

    def test_stale_lists_do_not_stop_it(self):
        self.all_but("perl")
        self.program("apt-get", f'#!/bin/sh\necho "$@" >>{self.log}\n[ "$4" != update ]\n')
        result, commands = self.run_it("programs")
        self.assertEqual((result.returncode, len(commands)), (0, 2), commands)

    def test_failed_installation_is_a_failure(self):
        self.all_but("perl")
        self.program("apt-get", '#!/bin/sh\n[ "$4" = update ]\n')
        self.assertNotEqual(self.run_it("programs")[0].returncode, 0)

    def test_through_sudo(self):
        self.all_but("perl")
        self.user(1000)
        self.program("sudo", f'#!/bin/sh\necho "sudo $*" >>{self.log}\n')
        result, commands = self.run_it("programs")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertTrue(commands[-1].startswith("sudo -n env DEBIAN_FRONTEND=noninteractive apt-get"))

    def test_without_root_or_sudo_it_says_what_to_run(self):
        self.all_but("perl")
        self.user(1000)
        result, commands = self.run_it("programs")
        self.assertEqual((result.returncode, commands), (1, []))
        self.assertIn("apt-get install --no-install-recommends perl\n", result.stderr)

    def test_check_installs_nothing(self):
        self.all_but("socat")
        result, commands = self.run_it("--check", "programs")
        self.assertEqual((result.returncode, commands), (1, []))

    def test_unknown_list(self):
        self.installed()
        self.assertEqual(self.run_it("everything")[0].returncode, 2)
        self.assertEqual(self.run_it()[0].returncode, 2)

    def test_every_row_has_a_reason_and_stands_once(self):
        names = []
        for file in sorted(tree.TOOLS.glob("packages-*.txt")):
            for line in file.read_text(encoding="utf-8").splitlines():
                if not line.startswith("#"):
                    self.assertRegex(line, r"^[a-z0-9][a-z0-9.+-]*\s+# \S", f"{file.name}: {line}")
                    names.append(line.split()[0])
        self.assertEqual(len(names), len(set(names)))


if __name__ == "__main__":
    unittest.main()
