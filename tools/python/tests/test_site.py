"""site/sitecustomize.py: adds AF_HYPERV, and leaves the program's own start-up alone."""

import contextlib
import pathlib
import tempfile
import unittest

from tests.support import SITE, run_python

PRINT_NAMES = "import socket; print(hasattr(socket, 'AF_HYPERV'))"


class Adding(unittest.TestCase):

    def expect(self, code, output, **kwargs):
        result = run_python(code, **kwargs)
        self.assertEqual((result.stdout, result.stderr), (output, ""))

    def test_import_socket_brings_the_names(self):
        self.expect(PRINT_NAMES, "True\n")
        self.expect("from socket import *; print(AF_HYPERV + 0, HV_PROTOCOL_RAW)", "34 1\n")

    def test_any_import_of_socket_will_do(self):
        self.expect("import http.client, sys; print(sys.modules['socket'].HV_PROTOCOL_RAW)", "1\n")

    def test_a_reloaded_module_has_them_too(self):
        self.expect("import socket, sys; del sys.modules['socket']\n" + PRINT_NAMES, "True\n")

    def test_off(self):
        self.expect(PRINT_NAMES, "False\n", VMBUS_PYTHON="0")

    def test_options_that_leave_us_out(self):
        for option in ("-I", "-E", "-S"):
            with self.subTest(option):
                self.expect(PRINT_NAMES, "False\n", arguments=[option])

    def test_the_module_shows_its_own_loader(self):
        self.expect(
            "import socket; print(type(socket.__loader__).__name__, "
            "socket.__spec__.loader is socket.__loader__)", "SourceFileLoader True\n")

    def test_this_folder_leaves_sys_path(self):
        self.expect(f"import sys; print({str(SITE)!r} in sys.path)", "False\n")

    def test_failing_to_add_is_a_warning(self):
        result = run_python("import sys; sys.modules['vmbus_hyperv'] = None\n" + PRINT_NAMES)
        self.assertEqual(result.stdout, "False\n")
        self.assertIn("RuntimeWarning: vmbus: no socket.AF_HYPERV here", result.stderr)

    def test_a_spawned_process_has_the_family(self):
        self.expect(
            "import multiprocessing, operator, socket\n"
            "context = multiprocessing.get_context('spawn')\n"
            "with context.Pool(1) as pool:\n"
            "    print(pool.apply(operator.attrgetter('name'), (socket.AF_HYPERV,)))\n",
            "AF_HYPERV\n")


class Cost(unittest.TestCase):
    LIST = "print(sorted({'socket', '_socket', 'vmbus_hyperv', 'ctypes', 're', 'importlib.util'}" \
           " & sys.modules.keys() - before))"

    def test_a_program_without_sockets_loads_nothing(self):
        # -S leaves out what the distribution adds at start-up.
        result = run_python(
            "import sys\nbefore = set(sys.modules)\n"
            f"sys.path.insert(0, {str(SITE)!r})\n"
            "try:\n    import sitecustomize\nexcept ImportError:\n    pass\n" + self.LIST,
            arguments=["-S"])
        self.assertEqual((result.stdout, result.stderr), ("[]\n", ""))

    def test_import_socket_does_not_load_ctypes(self):
        result = run_python("import socket, sys; print('ctypes' in sys.modules)")
        self.assertEqual(result.stdout, "False\n")


class TheProgramsOwn(unittest.TestCase):
    """A program's sitecustomize, with and without ours before it on the path."""

    SHOW = "import sys; print(getattr(sys.modules.get('sitecustomize'), '__file__', None))"

    def setUp(self):
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))

    def write(self, text):
        (self.folder / "sitecustomize.py").write_text(text)

    def outcome(self, with_ours):
        result = run_python(self.SHOW, folders=[self.folder],
                            **({} if with_ours else {"PYTHONPATH": str(self.folder)}))
        return result.returncode, result.stdout, result.stderr

    def check_same(self):
        with_ours = self.outcome(True)
        self.assertEqual(with_ours, self.outcome(False))
        return with_ours

    def test_it_runs_under_its_name(self):
        self.write("print('mine', __name__)\n")
        _, output, _ = self.check_same()
        self.assertEqual(output, f"mine sitecustomize\n{self.folder}/sitecustomize.py\n")

    def test_it_sees_the_same_path(self):
        self.write("import sys; print(sys.path)\n")
        self.check_same()

    def test_it_may_use_the_family(self):
        self.write("import socket; print(socket.AF_HYPERV + 0)\n")
        self.assertEqual(self.outcome(True)[1].splitlines()[0], "34")

    def test_it_fails_as_without_us(self):
        self.write("1 / 0\n")
        status, output, errors = self.check_same()
        self.assertEqual((status, output), (0, "None\n"))
        self.assertIn("ZeroDivisionError", errors)

    def test_a_missing_import_in_it_is_reported(self):
        self.write("import no_such_module\n")
        self.assertIn("no_such_module", self.check_same()[2])

    def test_a_package_will_do(self):
        (self.folder / "sitecustomize").mkdir()
        (self.folder / "sitecustomize" / "__init__.py").write_text("print('package')\n")
        self.assertTrue(self.check_same()[1].startswith("package\n"))

    def test_there_may_be_none(self):
        # -S and -s leave nothing on the path but the interpreter's own library.
        code = f"import sys; sys.path.insert(0, {str(SITE)!r})\n" \
               "try:\n    import sitecustomize\n" \
               "except ImportError as error:\n    print(error.name, 'sitecustomize' in sys.modules)"
        library = run_python("import sysconfig; print(sysconfig.get_path('stdlib'))").stdout.strip()
        if (pathlib.Path(library) / "sitecustomize.py").exists():
            code = f"import sys; sys.path.remove({library!r})\n" + code
        result = run_python(code, arguments=["-S"])
        self.assertEqual((result.stdout, result.stderr), ("sitecustomize False\n", ""))


if __name__ == "__main__":
    unittest.main()
