"""What the system tests share: a bus of one's own, programs under guard and shim, and waiting.

Guard     Whatever could open an AF_VSOCK socket runs under `novsock`, which refuses that call in
          the kernel; so a missing preload is an error and never a connection to a real device.
Bus       Each Bus has a directory of its own and ends its daemon. Only processes started here are
          ended, each by its number.
Waiting   For the thing itself, with a limit that only a hang reaches. Nothing is measured.
Where     VMBUS_BIN_DIR (vmbus, vmbusd, novsock) and VMBUS_SHIM say which build is tested; by
          default that of preset dev.
"""

import atexit
import contextlib
import faulthandler
import functools
import itertools
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("VMBUS_BIN_DIR", ROOT / "build" / "dev" / "bin"))
SHIM = os.environ.get("VMBUS_SHIM", str(BIN.parent / "lib" / "vmbus" / "libvmbus_shim.so"))
VMBUS, VMBUSD = str(BIN / "vmbus"), str(BIN / "vmbusd")
PYTHON = "/usr/bin/python3"

HOST, GUEST, ANY = 2, 3, 0xFFFFFFFF  # CIDs; also VMADDR_PORT_ANY
LIMIT = 100  # seconds; a test that gets there hangs
# Seconds for a whole file: says where it hangs, before ctest ends it without a word.
HANG_LIMIT = int(os.environ.get("VMBUS_TEST_LIMIT", "250"))
EXIT_SKIPPED = 77
# Variables for these tests, not for the programs; and the daemon's back end, to test with either.
OURS = {"VMBUS_LOOP", "VMBUS_REQUIRE_PROGRAMS", "VMBUS_TEST_CYCLES", "VMBUS_TEST_LIMIT"}

# A process asks itself whether both the guard and the shim are around it.
PROBE = r"""
import os, re, socket, sys
if not re.search(r"^Seccomp:\s*2$", open("/proc/self/status").read(), re.MULTILINE):
    sys.exit("no guard around this process")
probe = socket.socket(socket.AF_VSOCK)
inode = re.search(r"\d+", os.readlink(f"/proc/self/fd/{probe.fileno()}")).group()
# Whoever else is on the machine may have given a socket a name that is no UTF-8.
if not re.search(rf" {inode}$", open("/proc/net/unix", errors="replace").read(), re.MULTILINE):
    sys.exit("this socket is none of the shim's")
if probe.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN) != socket.AF_VSOCK:
    sys.exit("the shim does not answer")
probe.close()
"""


# For the code of a program: what a call gives, as "fine" or the name of an errno.
OUTCOME = r"""
import errno, json, os, resource, select, socket, sys
def outcome(call, *arguments):
    try:
        call(*arguments)
        return "fine"
    except OSError as error:
        return errno.errorcode[error.errno]
def vsock():
    return socket.socket(socket.AF_VSOCK)
"""


def wait_until(condition, what="a condition", limit=LIMIT):
    """The first true value of condition(); asks again and again."""
    pause = threading.Event()
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if value := condition():
            return value
        pause.wait(0.01)
    raise AssertionError(f"waited {limit} s in vain for {what}")


def wait_for_end(pid, limit=LIMIT):
    """False: process `pid`, which need not be a child, is still there at the limit."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], limit)[0])
    finally:
        os.close(descriptor)


@functools.cache
def scratch():
    """A folder for what is compiled; it goes away with this process."""
    folder = tempfile.TemporaryDirectory(prefix="vmbus-")
    atexit.register(folder.cleanup)
    return pathlib.Path(folder.name)


def compile_c(source, *options):
    program = scratch() / "-".join([source.stem, *(option.strip("-") for option in options)])
    if not program.exists():
        subprocess.run(["cc", "-O2", "-I", ROOT, "-o", program, *options, source], check=True)
    return str(program)


@functools.cache
def guard():
    """The path of novsock."""
    built = BIN / "novsock"
    return str(built) if built.exists() else compile_c(ROOT / "tests" / "support" / "novsock.c")


def require_program(name, packages=""):
    """The path of a program of the distribution, or of any file given by its path.

    A skip when it is not there; a failure where none may be missing. `packages`: who brings it.
    """
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None and "/" in name and os.path.exists(name):
        path = name
    if path is not None:
        return path
    missing = f"{name} is not installed" + (f" (packages: {packages})" if packages else "")
    if os.environ.get("VMBUS_REQUIRE_PROGRAMS") == "1":
        raise AssertionError(f"{missing}; tools/dev/install_packages does that")
    raise unittest.SkipTest(missing)


MODES = itertools.cycle(("ring", "pump"))


def mode_of_program():
    """In a mixed run each program has the other mode than the one before."""
    return {"VMBUS_MODE": next(MODES)} if os.environ.get("VMBUS_TEST_MODE") == "mixed" else {}


def clean_environment(**variables):
    """Ours, without what would lead a program to another bus, shim or Python package."""
    kept = {name: value for name, value in os.environ.items()
            if name in OURS or not name.startswith(("VMBUS_", "LD_", "PYTHON"))}
    # A whole run of the tests in another mode than the default one.
    if (mode := os.environ.get("VMBUS_TEST_MODE", "mixed")) != "mixed":
        kept["VMBUS_MODE"] = mode
    kept["PYTHONDONTWRITEBYTECODE"] = kept["PYTHONUNBUFFERED"] = "1"
    return {**kept, **variables}


class Program:
    """A started program. Output goes to files, so it never waits for a reader."""

    def __init__(self, test, command, environment, **options):
        self.command = [word if isinstance(word, bytes) else str(word) for word in command]
        self._output, self._errors = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        options = {"stdin": subprocess.PIPE, "stdout": self._output, "stderr": self._errors,
                   "start_new_session": True, **options}
        self.process = subprocess.Popen(self.command, env=environment, **options)
        self.pid = self.process.pid
        test.addCleanup(self._discard)

    @staticmethod
    def _content(file):
        return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)

    @property
    def output(self):
        return self._content(self._output)

    @property
    def errors(self):
        return self._content(self._errors)

    def write(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def wait_for_output(self, wanted):
        def arrived_or_ended():
            return wanted in self.output or self.process.poll() is not None
        wait_until(arrived_or_ended, f"{wanted!r} of {self}")
        if wanted not in self.output:
            raise AssertionError(f"{self} ended without {wanted!r}")

    def finish(self, data=b""):
        """Gives it `data` and then end of file, and waits. The exit status, as Popen has it."""
        try:
            with contextlib.suppress(BrokenPipeError):
                self.process.communicate(data, timeout=LIMIT)
            return self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self} does not end") from None

    def check(self, data=b""):
        """finish(), which must be a success; the output."""
        status = self.finish(data)
        if status != 0:
            raise AssertionError(f"{self} ended with {status}")
        return self.output

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)

    def _discard(self):
        # It leads a process group: its children go with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        for file in (self.process.stdin, self._output, self._errors):
            if file is not None:
                with contextlib.suppress(BrokenPipeError):
                    file.close()

    def __str__(self):
        words = " ".join(os.fsdecode(word) for word in self.command)
        return (f"{ascii(words)[:300]}\n--- output: {self.output[-2000:]!r}"
                f"\n--- errors: {self.errors[-2000:].decode(errors='replace')}")


class Bus:
    """A bus of the test's own; nothing runs on it yet."""

    def __init__(self, test):
        self.test = test
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="vmbus-"))
        self.socket = str(self.directory / "bus")
        test.addCleanup(self._close)

    def environment(self, **variables):
        return {**clean_environment(VMBUS_SOCKET=self.socket), **variables}

    def _close(self):
        # The lock stays taken while a daemon starts or leaves; so `stop` sees the one there is.
        status = self.json("status")
        if status["running"]:
            self.vmbus("stop")
            if not wait_for_end(status["pid"]):
                os.kill(status["pid"], signal.SIGKILL)
                raise AssertionError("the daemon did not stop")
        shutil.rmtree(self.directory)

    # --- the vmbus command

    def vmbus(self, *arguments):
        return subprocess.run([VMBUS, *arguments], env=self.environment(), text=True,
                              capture_output=True, timeout=LIMIT, check=False)

    def json(self, *arguments):
        return json.loads(self.vmbus(*arguments, "--json").stdout)

    def add_guest(self, name, *options):
        done = self.vmbus("vm", "add", name, *options)
        self.test.assertEqual((done.returncode, done.stderr), (0, ""))

    def sockets(self, **wanted):
        """The rows of `vmbus ps` whose columns are as wanted."""
        return [row for row in self.json("ps").get("sockets", ())
                if all(row[name] == value for name, value in wanted.items())]

    def wait_for_listener(self, port, **wanted):
        """The row of whoever listens on `port`, once somebody does."""
        def found():
            return [row for row in self.sockets(**wanted)
                    if row["state"] == "listening" and row["local"].endswith(f":{port}")]
        return wait_until(found, f"a listener on port {port}")[0]

    def wait_for_sockets(self, count):
        wait_until(lambda: len(self.sockets()) == count, f"{count} sockets")

    def holdings(self):
        """What the daemon holds: the same before and after programs that have ended."""
        status = self.json("status")
        return {"descriptors": status["descriptors"], "sockets": status["sockets"],
                "clients": status["clients"],
                "guests": [(guest["name"], guest["channels"], guest["sockets"],
                            guest["guest_memory_bytes"]) for guest in status["guests"]]}

    def check_holdings(self, before, limit=30):
        """Waits until all is as `before`; and entries of the endpoint table are used again."""
        after = {}

        def as_before():
            nonlocal after
            after = self.holdings()
            return after == before
        try:
            wait_until(as_before, limit=limit)
        except AssertionError:
            self.test.assertEqual(after, before, self.sockets())
        probe = self.python("import socket, sys; s = socket.socket(socket.AF_VSOCK);"
                            "print('here', flush=True); sys.stdin.read()")
        probe.wait_for_output(b"here")
        self.test.assertLess(self.sockets()[0]["entry"], 100, "entries are not used again")
        probe.check()

    @contextlib.contextmanager
    def held(self):
        """A user of the bus, so that its daemon is there meanwhile."""
        holder = self.start("/bin/sh", "-c", "echo here; read line")
        holder.wait_for_output(b"here")
        yield
        holder.check(b"\n")

    # --- programs on it

    def start(self, *command, as_=None, options=(), environment=None, **popen):
        """`vmbus run -- COMMAND`, under the guard."""
        partition = [] if as_ is None else ["--as", as_]
        words = [guard(), VMBUS, "run", *partition, *options, "--", *command]
        variables = {**mode_of_program(), **(environment or {})}
        return Program(self.test, words, self.environment(**variables), **popen)

    def preload(self, *command, environment=None, **popen):
        """COMMAND with the bare library, under the guard."""
        words = [guard(), "env", f"LD_PRELOAD={SHIM}", *command]
        variables = {**mode_of_program(), **(environment or {})}
        return Program(self.test, words, self.environment(**variables), **popen)

    def python(self, code, *arguments, **options):
        return self.start(PYTHON, "-c", code, *arguments, **options)

    def start_daemon(self, *options):
        """A daemon started by hand, which stays until it is stopped."""
        daemon = Program(self.test, [VMBUSD, "--foreground", *options], self.environment())
        wait_until(lambda: self.json("status")["running"] or daemon.process.poll() is not None)
        if daemon.process.poll() is not None:
            raise AssertionError(f"{daemon} did not start")
        return daemon


class BusTest(unittest.TestCase):
    """Base of the tests that look at programs from outside: self.bus is a bus of their own."""

    def setUp(self):
        self.bus = Bus(self)


@functools.cache
def require_shim():
    """To be called before anything connects: guard and shim are really around what we start."""
    test = unittest.TestCase()
    try:
        bus = Bus(test)
        bus.python(PROBE).check()
        bus.preload(PYTHON, "-c", PROBE).check()
    finally:
        test.doCleanups()


def enter_bus(profiles):
    """Starts this file again on a private bus, under guard and shim, unless it is there already.

    For tests whose own sockets are what is tested (inside.py). Once for each profile; the exit status
    is the first that is no success.
    """
    if os.environ.get("VMBUS_TEST_ENTERED") == "1":
        exec(PROBE, {})
        return
    environment = clean_environment(VMBUS_BIN_DIR=str(BIN), VMBUS_SHIM=SHIM)
    environment["VMBUS_TEST_ENTERED"] = "1"
    statuses = []
    for profile in profiles:
        print(f"profile {profile}", flush=True)
        command = [guard(), VMBUS, "run", "--private", "--profile", profile, "--", PYTHON, "-B",
                   *sys.argv]
        # Not exec: novsock may be in our scratch folder, which goes away with this process.
        statuses.append(subprocess.run(command, env=environment, check=False).returncode)
    sys.exit(next(filter(None, statuses), 0))


def main(entered=False, profiles=("default",)):
    """Runs the tests of a file; exit status 77 when each of them was skipped."""
    if entered:
        enter_bus(profiles)
    faulthandler.dump_traceback_later(HANG_LIMIT, exit=True)
    program = unittest.main(exit=False, verbosity=2)
    result = program.result
    for _, reason in result.skipped:
        print(f"skipped: {reason}")
    if result.skipped and result.wasSuccessful() and result.testsRun <= len(result.skipped):
        sys.exit(EXIT_SKIPPED)
    sys.exit(not result.wasSuccessful())
