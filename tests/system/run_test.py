#!/usr/bin/env python3
"""`vmbus run` is out of the way: status, signals, streams and terminal are the program's own."""

import errno
import json
import os
import pty
import shutil
import signal
import subprocess

import support
from support import GUEST, PYTHON, SHIM, VMBUS, Program

setUpModule = support.require_shim
PORT = 4008


class Streams(support.BusTest):

    def test_exit_status(self):
        for status in (0, 1, 2, 77, 125, 255):
            with self.subTest(status):
                self.assertEqual(self.bus.start("/bin/sh", "-c", f"exit {status}").finish(), status)

    def test_a_program_that_cannot_run(self):
        for command, status, words in (("/nonexistent", 127, b"No such file"),
                                       ("no-such-program-anywhere", 127, b"No such file"),
                                       ("/etc/passwd", 126, b"Permission denied")):
            with self.subTest(command):
                program = self.bus.start(command, environment={"PATH": "/usr/bin:/bin"})
                self.assertEqual(program.finish(), status)
                self.assertEqual((program.output, program.errors.count(b"\n")), (b"", 1))
                self.assertIn(words, program.errors)
                self.assertIn(command.encode(), program.errors)

    def test_standard_streams(self):
        program = self.bus.start("/bin/sh", "-c", "cat; echo complaint >&2")
        content = bytes(range(256)) * 1000
        self.assertTrue(program.check(content) == content)
        self.assertEqual(program.errors, b"complaint\n")

    def test_arguments(self):
        words = ["--private", "--", "-x", "", "a b", "$HOME", "*", "\n"]
        code = "import sys; print(ascii(sys.argv[1:]))"
        self.assertEqual(self.bus.python(code, *words).check().decode(), ascii(words) + "\n")

    def test_it_becomes_the_program(self):
        program = self.bus.python("import os; print(os.getpid(), flush=True); input()")
        program.wait_for_output(b"%d\n" % program.pid)
        program.check(b"\n")

    def test_no_low_descriptor_is_left_open(self):
        # Programs count on numbers: shells, LISTEN_FDS, whoever passes 3.
        program = self.bus.start("/bin/ls", "/proc/self/fd")
        numbers = {int(word) for word in program.check().split()}
        self.assertEqual({number for number in numbers if 4 <= number < 100}, set())


class Signals(support.BusTest):

    def test_of_all_kinds_reach_the_program(self):
        code = ("import signal\n"
                "def tell(number, _): print(number, flush=True)\n"
                "for number in ({0}, {1}): signal.signal(number, tell)\n"
                "print('ready', flush=True)\n"
                "while True: signal.pause()")
        first, second = signal.SIGTERM, signal.SIGUSR1
        program = self.bus.python(code.format(int(first), int(second)))
        program.wait_for_output(b"ready\n")
        for number in (first, second):
            program.kill(number)
            program.wait_for_output(b"%d\n" % number)
        program.kill(signal.SIGKILL)
        self.assertEqual(program.finish(), -signal.SIGKILL)

    def test_end_by_signal_is_seen_as_such(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            with self.subTest(number):
                program = self.bus.start("/bin/cat")
                support.wait_until(lambda: b"cat" in self.name_of(program.pid), "cat")
                program.kill(number)
                self.assertEqual(program.finish(), -number)

    def name_of(self, pid):
        with open(f"/proc/{pid}/comm", "rb") as file:
            return file.read()


class Terminal(support.BusTest):

    def start(self, code):
        """(pid, the other side of its terminal) of a program with a terminal of its own."""
        words = [support.guard(), VMBUS, "run", "--", PYTHON, "-c", code]
        pid, master = pty.fork()
        if pid == 0:
            try:
                os.execve(words[0], words, self.bus.environment())
            finally:
                os._exit(1)
        self.addCleanup(os.close, master)
        return pid, master

    def test_is_the_programs_own(self):
        code = ("import os, sys\n"
                "print([os.isatty(fd) for fd in (0, 1, 2)], os.tcgetpgrp(0) == os.getpgrp())\n"
                "print('said', input())")
        pid, master = self.start(code)
        os.write(master, b"hello\n")
        shown = b""
        try:
            while part := os.read(master, 4096):
                shown += part
        except OSError as error:  # how a terminal says that nobody is left
            self.assertEqual(error.errno, errno.EIO)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0, shown)
        self.assertIn(b"[True, True, True] True\r\n", shown)
        self.assertIn(b"said hello\r\n", shown)

    def test_its_interrupt_key_reaches_the_program(self):
        # The kernel's own answer to the signal: Python's handler only sets a flag, and one that comes
        # just before the read would be seen after it, which is never.
        pid, master = self.start("import signal; signal.signal(signal.SIGINT, signal.SIG_DFL); "
                                 "print('ready', flush=True); input()")
        shown = b""
        while b"ready" not in shown:
            shown += os.read(master, 4096)
        os.write(master, b"\x03")
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), -signal.SIGINT)


class Environment(support.BusTest):

    def variables(self, *options, as_=None, **environment):
        program = self.bus.start("/usr/bin/env", "-0", options=options, as_=as_,
                                 environment=environment)
        return dict(word.split("=", 1) for word in program.check().decode().split("\0") if word)

    def test_what_is_added(self):
        added = self.variables()
        plain = self.bus.environment()
        self.assertEqual(added["VMBUS_SOCKET"], self.bus.socket)
        self.assertEqual(added["VMBUS_CID"], str(GUEST))
        self.assertRegex(added["VMBUS_VM_ID"], "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
        self.assertEqual(added["LD_PRELOAD"], SHIM)
        self.assertEqual(added.keys() - plain.keys(),
                         {"VMBUS_CID", "VMBUS_VM_ID", "LD_PRELOAD", "PYTHONPATH"})
        for name in plain:
            self.assertEqual(added[name], plain[name])

    def test_options_become_variables(self):
        options = ("--profile", "strict", "--mode", "pump", "--vm", "second,cid=9", "--no-python")
        variables = self.variables(*options, as_="second")
        self.assertEqual({name: variables.get(name) for name in (
            "VMBUS_PROFILE", "VMBUS_MODE", "VMBUS_PARTITION", "VMBUS_CID", "VMBUS_PYTHON",
            "PYTHONPATH")}, {
                "VMBUS_PROFILE": "strict", "VMBUS_MODE": "pump", "VMBUS_PARTITION": "second",
                "VMBUS_CID": "9", "VMBUS_PYTHON": "0", "PYTHONPATH": None})

    def test_what_others_preload_stays(self):
        libm = "libm.so.6"
        self.assertEqual(self.variables(LD_PRELOAD=libm)["LD_PRELOAD"], f"{SHIM}:{libm}")

    def test_run_inside_run_adds_nothing(self):
        inner = self.bus.start(VMBUS, "run", "--", "/usr/bin/env")
        outer = self.bus.start("/usr/bin/env")
        self.assertEqual(sorted(inner.check().splitlines()), sorted(outer.check().splitlines()))


class Unaffected(support.BusTest):
    """A program that opens no socket of ours behaves as without the library."""

    PROGRAMS = (
        ("/bin/echo", "words"), ("/bin/sh", "-c", "echo $(( 6 * 7 )) | tr 4 x; exit 3"),
        ("/bin/cat", "/etc/hostname"), ("/bin/ls", "-la", "/etc"),
        (PYTHON, "-c", "import socket as s; a, b = s.socketpair(); a.send(b'x'); print(b.recv(1),"
                       "s.socket().getsockopt(1, 39))"),
        (PYTHON, "-c", "import os; print(sorted(os.listdir('/proc/self/fd')))"),
        ("/bin/sh", "-c", "kill -9 $$"),
    )

    def test_output_and_exit_status(self):
        for command in self.PROGRAMS:
            with self.subTest(command):
                plain = Program(self, command, self.bus.environment())
                under = self.bus.preload(*command)
                self.assertEqual((under.finish(), under.output, under.errors),
                                 (plain.finish(), plain.output, plain.errors))

    def test_no_daemon_is_started(self):
        self.bus.preload("/bin/sh", "-c", "echo x | cat; ls / >/dev/null").check()
        self.assertFalse(os.path.exists(self.bus.socket))


class OutOfReach(support.BusTest):
    """Programs that no preloaded library reaches: they run, and `vmbus run` says so."""

    def test_static(self):
        echo = support.compile_c(support.ROOT / "tests" / "system" / "echo_fd.c", "-static")
        program = self.bus.start(echo, "0", stdin=subprocess.DEVNULL)
        self.assertEqual(program.finish(), 0)
        self.assertIn(b"warning: ", program.errors)
        self.assertIn(b"static", program.errors)

    def test_set_user_id(self):
        if os.geteuid() == 0:
            self.skipTest("root gains nothing by a set-user-id program")
        program = self.bus.start("/bin/su", "--version")
        self.assertEqual(program.finish(), 0)
        self.assertIn(b"warning: ", program.errors)


class Private(support.BusTest):

    SERVER = f"""
import socket, sys
listener = socket.socket(socket.AF_VSOCK)
listener.bind((0xffffffff, {PORT}))
listener.listen()
print("listening", flush=True)
word = sys.stdin.readline()
client = socket.socket(socket.AF_VSOCK)
client.connect(({GUEST}, {PORT}))
client.sendall(word.encode())
print(listener.accept()[0].recv(64).decode(), end="", flush=True)
"""

    def start_private(self, code):
        return self.bus.python(code, options=["--private"])

    def test_two_on_the_same_port_never_meet(self):
        both = [self.start_private(self.SERVER) for _ in range(2)]
        for program in both:
            program.wait_for_output(b"listening\n")
        for program, word in zip(both, (b"first\n", b"second\n")):
            self.assertEqual(program.check(word), b"listening\n" + word)

    def test_its_children_share_the_bus_and_nothing_is_left(self):
        socat = support.require_program("socat")
        script = (f"{socat} VSOCK-LISTEN:{PORT} EXEC:cat & "
                  f"until {VMBUS} ps | grep -q ':{PORT} '; do :; done; "
                  f"echo words | {socat} - VSOCK-CONNECT:{GUEST}:{PORT}; wait; "
                  f"echo $VMBUS_SOCKET; {VMBUS} status --json")
        program = self.bus.start("/bin/sh", "-c", script, options=["--private"])
        echoed, path, report = program.check().decode().split("\n", 2)
        self.assertEqual(echoed, "words")
        self.assertNotEqual(path, self.bus.socket)
        self.assertTrue(path.startswith(str(self.bus.directory)), path)
        pid = int(report.split('"pid": ')[1].split(",")[0])
        self.assertTrue(support.wait_for_end(pid))
        self.assertFalse(os.path.exists(os.path.dirname(path)))
        self.assertFalse(self.bus.json("status")["running"])


    def test_one_inside_another_leaves_nothing_either(self):
        # Both daemons leave at the same time, in either order.
        for _ in range(20):
            self.bus.start(VMBUS, "run", "--private", "--", "/bin/true",
                           options=["--private"]).check()
        support.wait_until(lambda: not os.listdir(self.bus.directory), "an empty directory")

    def test_a_guest_added_to_it_does_not_outlive_the_command(self):
        script = f"{VMBUS} vm add db && echo $VMBUS_SOCKET && {VMBUS} status --json"
        program = self.bus.start("/bin/sh", "-c", script, options=["--private"])
        path, report = program.check().decode().split("\n", 1)
        report = json.loads(report)
        self.assertEqual([guest["name"] for guest in report["guests"]], ["guest", "db"])
        self.assertTrue(support.wait_for_end(report["pid"]))
        self.assertFalse(os.path.exists(os.path.dirname(path)))


class OddPaths(support.BusTest):

    def test_a_colon_in_the_path_of_the_installation(self):
        tree = self.bus.directory / "co:lon, and blanks"
        for part in ("bin", "lib"):
            (tree / part).mkdir(parents=True)
        for program in ("vmbus", "vmbusd"):
            shutil.copy(support.BIN / program, tree / "bin")
        (tree / "lib" / "vmbus").mkdir()
        shutil.copy(SHIM, tree / "lib" / "vmbus")
        shutil.copytree(support.ROOT / "tools" / "python", tree / "lib" / "vmbus" / "python")
        code = ("import socket\n"
                "socket.socket(socket.AF_HYPERV, socket.SOCK_STREAM, socket.HV_PROTOCOL_RAW)\n"
                "print('made')")
        command = [support.guard(), tree / "bin" / "vmbus", "run", "--private", "--"]
        inner = [tree / "bin" / "vmbus", "run", "--private", "--"]
        for words in (command, command + inner):
            program = Program(self, [*words, PYTHON, "-c", code], self.bus.environment())
            self.assertEqual((program.check(), program.errors), (b"made\n", b""))
        support.wait_until(lambda: not list(self.bus.directory.glob("private-*")), "the buses' end")


class Names(support.BusTest):
    """A program may be called anything; `vmbus ps` shows what can be shown."""

    SLEEPER = (f"import socket; s = socket.socket(socket.AF_VSOCK); s.bind((0xffffffff, {PORT}));"
               "s.listen(); print('up', flush=True); input()")

    def test_in_any_encoding(self):
        for name, shown in ((b"caf\xe9", "caf?"), ("caf\u00e9".encode(), "caf\u00e9"),
                            (("x" * 62 + "\u00e9").encode(), "x" * 62 + "?"),
                            (b"\x1b[2J", "?[2J")):
            with self.subTest(name):
                program = self.bus.start("/bin/bash", "-c", 'exec -a "$0" "$@"', name, PYTHON, "-c",
                                         self.SLEEPER)
                program.wait_for_output(b"up")
                self.assertEqual([row["program"] for row in self.bus.sockets()], [shown])
                program.check(b"\n")


class Device(support.BusTest):
    """/dev/vsock answers with the guest's CID, whether or not the machine has such a node."""

    CODE = ("import fcntl, os, socket, stat, sys\n"
            "with open('/dev/vsock', 'rb') as device:\n"
            "    cid = bytearray(4)\n"
            "    fcntl.ioctl(device, socket.IOCTL_VM_SOCKETS_GET_LOCAL_CID, cid)\n"
            "    print(int.from_bytes(cid, sys.byteorder))\n"
            "print(stat.S_ISCHR(os.stat('/dev/vsock').st_mode),"
            " os.access('/dev/vsock', os.R_OK))\n")

    def test_local_cid(self):
        for partition, options, cid in ((None, (), GUEST), ("guest", (), GUEST), ("host", (), 2),
                                        ("second", ("--vm", "second,cid=9"), 9),
                                        ("guest", ("--profile", "strict"), 0xFFFFFFFF)):
            with self.subTest(partition=partition, options=options):
                program = self.bus.python(self.CODE, as_=partition, options=options)
                self.assertEqual(program.check().decode(), f"{cid}\nTrue True\n")


if __name__ == "__main__":
    support.main()
