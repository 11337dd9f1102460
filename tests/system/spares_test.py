#!/usr/bin/env python3
"""Programs that dial again and again get their next socket before they ask (emu/spare_sockets.h): nobody can tell."""

import os
import pathlib
import textwrap

import support
from support import PYTHON

setUpModule = support.require_shim
PORT = 7100

SERVE = textwrap.dedent(f"""
    import socket
    listener = socket.socket(socket.AF_VSOCK)
    listener.bind((2, {PORT}))
    listener.listen(64)
    print("listening", flush=True)
    while True:
        listener.accept()[0].close()
""")

# Does what each line of its input says.
DIALLER = textwrap.dedent(f"""
    import ctypes, errno, fcntl, os, resource, socket, sys
    def dial():
        sock = socket.socket(socket.AF_VSOCK)
        sock.connect((2, {PORT}))
        assert sock.recv(1) == b""
        return sock
    def outcome(call, *arguments):
        try:
            return call(*arguments)
        except OSError as error:
            return errno.errorcode[error.errno]
    for _ in range(8):
        dial().close()
    print("ready", flush=True)
    for line in sys.stdin:
        exec(line)
""")

UNHOOKED_CLOSE = "ctypes.CDLL('libc.so.6').close(spare); fcntl.fcntl(0, fcntl.F_DUPFD, spare)"


class Spares(support.BusTest):

    def setUp(self):
        super().setUp()
        self.daemon = self.bus.start_daemon()
        self.start_server()
        self.ends = 0

    def start_server(self):
        server = self.bus.start(PYTHON, "-c", SERVE, as_="host")
        server.wait_for_output(b"listening")

    def start_dialler(self, as_="guest", environment=None):
        dialler = self.bus.start(PYTHON, "-c", DIALLER, as_=as_, environment=environment)
        dialler.wait_for_output(b"ready")
        return dialler

    def do(self, dialler, *lines):
        """What the program printed for the lines."""
        before = len(dialler.output)
        self.ends += 1
        end = f"end {self.ends}"
        for line in [*lines, f"print('{end}', flush=True)"]:
            dialler.write(line.encode() + b"\n")
        dialler.wait_for_output(end.encode() + b"\n")
        return dialler.output[before:].decode().splitlines()[:-1]

    def guest_sockets(self, name):
        return [guest["sockets"] for guest in self.bus.json("status")["guests"] if guest["name"] == name]

    def test_a_spare_saves_a_request_and_is_in_no_number(self):
        dialler = self.start_dialler(environment={"VMBUS_MODE": "pump"})  # so that it never rings
        self.bus.wait_for_sockets(1)
        before = self.bus.json("status")["counters"]
        self.do(dialler, "for _ in range(50): dial().close()")
        self.bus.wait_for_sockets(1)
        status = self.bus.json("status")
        self.assertEqual(status["sockets"], 1)
        self.assertEqual(self.guest_sockets("guest"), [0])
        self.assertEqual(status["counters"]["sockets_created"], before["sockets_created"] + 100)
        # One for each connect, and those of the command. Without spares there would be a hundred.
        self.assertLess(status["counters"]["requests"], before["requests"] + 75)
        self.do(dialler, "kept = dial(); kept.shutdown(socket.SHUT_WR); kept.close()")  # not what a spare is for
        self.bus.wait_for_sockets(1)
        after = self.bus.json("status")["counters"]
        self.assertEqual(after["sockets_created"], before["sockets_created"] + 102)
        dialler.check()

    def test_a_spare_that_was_taken_is_shown_once_it_is_used(self):
        dialler = self.start_dialler()
        self.do(dialler, "kept = dial()")
        self.bus.wait_for_sockets(2)
        self.assertEqual(self.guest_sockets("guest"), [1])
        self.do(dialler, "kept.close()")
        self.bus.wait_for_sockets(1)
        dialler.check()

    def test_it_is_like_any_other_socket(self):
        dialler = self.start_dialler()
        lines = ["lowest = os.dup(0); os.close(lowest); sock = socket.socket(socket.AF_VSOCK)",
                 "print(sock.fileno() == lowest, os.get_inheritable(sock.fileno()), sock.getblocking())",
                 "print(sock.getsockname(), outcome(sock.getpeername), outcome(sock.recv, 1))",
                 "sock.bind((socket.VMADDR_CID_ANY, 9100)); sock.listen(); print(sock.getsockname())"]
        spare = self.do(dialler, *lines)
        self.do(dialler, "sock.close()")
        other = self.do(dialler, *lines)  # asked for, after bind and listen
        self.assertEqual(spare, other)
        dialler.check()

    def test_who_wants_another_kind_gets_that(self):
        dialler = self.start_dialler()
        kind = "print(outcome(lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_DGRAM)))"
        self.assertEqual(self.do(dialler, kind, "print(dial() is not None)"), ["ENODEV", "True"])
        unused = "sock = dial(); sock.close(); print(outcome(sock.bind, (3, 1)) is not None)"
        self.do(dialler, unused, "for _ in range(8): dial().close()")
        dialler.check()
        self.bus.wait_for_sockets(1)

    def test_its_number_is_the_programs_to_close_or_to_use(self):
        highest = "spare = max(map(int, os.listdir('/proc/self/fd')))"
        still_there = "print(os.path.sameopenfile(0, spare))"
        for lines, expected in [
                (["print(outcome(os.close, spare))"], "EBADF"),
                (["os.dup2(0, spare)", still_there], "True"),
                (["os.closerange(spare, spare + 1); print(outcome(os.fstat, spare))"], "EBADF"),
                # Past the hooks; what comes there is neither used nor closed instead.
                ([UNHOOKED_CLOSE, "dial().close(); dial().close()", still_there], "True"),
                ([f"sock = dial(); {UNHOOKED_CLOSE}; sock.shutdown(socket.SHUT_WR)", still_there], "True")]:
            with self.subTest(lines=lines):
                dialler = self.start_dialler()
                self.assertEqual(self.do(dialler, highest, *lines), [expected])
                self.do(dialler, "sock = None; dial().close(); dial().close()")
                self.bus.wait_for_sockets(1)
                dialler.check()

    def test_a_child_that_lives_on_keeps_no_connection(self):
        dialler = self.start_dialler()
        # One line: the next ones are for the parent alone.
        fork = "child = os.fork(); child or (os.close(ends[1]), os.read(ends[0], 1), os._exit(0))"
        self.do(dialler, "ends = os.pipe()", fork, "dial().close(); dial().close()")
        self.bus.wait_for_sockets(1)
        self.do(dialler, "os.close(ends[1]); os.wait()")
        dialler.check()

    def test_a_fork_beside_a_library_that_has_a_lock_of_its_own(self):
        source = pathlib.Path(__file__).with_name("fork_handlers.c")
        library = support.compile_c(source, "-shared", "-fPIC", "-DLIBRARY")
        forker = self.bus.start(support.compile_c(source, "-pthread"), "30", as_="guest", environment={"LD_PRELOAD": library})
        self.assertIn(b"all forked", forker.check())
        self.bus.wait_for_sockets(1)

    def test_none_is_held_where_descriptors_are_few(self):
        counts = []
        for limit in (128, 1024):
            words = [PYTHON, "-c", f"import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, ({limit},) * 2); "
                     "os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])", DIALLER]
            dialler = self.bus.start(*words, as_="guest")
            dialler.wait_for_output(b"ready")
            counts.append(len(os.listdir(f"/proc/{dialler.pid}/fd")))
            dialler.check()
        self.assertEqual(counts[1], counts[0] + 1)

    def test_a_program_that_counts_its_descriptors_sees_none_come_and_go(self):
        count = "len(os.listdir('/proc/self/fd'))"
        dialler = self.bus.start(PYTHON, "-c", DIALLER.replace("for _ in range(8)", "for _ in range(0)"), as_="guest")
        dialler.wait_for_output(b"ready")
        counts = [*self.do(dialler, f"sock = dial(); sock.close(); print({count})"),
                  *self.do(dialler, f"for _ in range(8): dial().close(); print({count})")]
        self.assertEqual(len(set(counts)), 1, counts)
        dialler.check()

    def test_a_full_table_of_descriptors_says_so(self):
        dialler = self.start_dialler()
        printed = self.do(
            dialler,
            "lowest = os.dup(0); os.close(lowest); limits = resource.getrlimit(resource.RLIMIT_NOFILE)",
            "resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))",
            "print(outcome(lambda: socket.socket(socket.AF_VSOCK)))",
            "resource.setrlimit(resource.RLIMIT_NOFILE, limits); print(dial() is not None)")
        self.assertEqual(printed, ["EMFILE", "True"])
        dialler.check()
        self.bus.wait_for_sockets(1)

    def test_a_child_has_none_and_its_parent_keeps_its_own(self):
        dialler = self.start_dialler()
        child = "child = os.fork(); [dial().close() for _ in range(8)]; child or os._exit(0); os.wait()"
        self.do(dialler, child, "dial().close()")
        dialler.check()
        self.bus.wait_for_sockets(1)

    def test_it_does_not_keep_its_guest_and_goes_with_it(self):
        self.bus.add_guest("other")
        dialler = self.start_dialler(as_="other")
        self.bus.wait_for_sockets(1)
        removed = self.bus.vmbus("vm", "remove", "other")
        self.assertEqual((removed.returncode, removed.stderr), (0, ""))
        answer = "print(outcome(lambda: socket.socket(socket.AF_VSOCK)))"
        self.assertEqual(self.do(dialler, answer), ["EINVAL"])
        self.bus.add_guest("other")
        self.do(dialler, "for _ in range(8): dial().close()")
        dialler.check()
        self.bus.wait_for_sockets(1)

    def test_who_got_it_from_another_program_has_it(self):
        self.bus.add_guest("other")
        # The program that took it never says so: it has become another one.
        passed_on = textwrap.dedent("""
            import socket, sys
            sock = socket.socket(fileno=int(sys.argv[1]))
            sock.bind((socket.VMADDR_CID_ANY, 9200))
            sock.listen()
            sys.stdin.read()
        """)
        dialler = self.start_dialler(as_="other")
        dialler.write(b"sock = socket.socket(socket.AF_VSOCK); sock.set_inheritable(True)\n")
        dialler.write(b"os.execv(sys.executable, [sys.executable, '-c', %r, str(sock.fileno())])\n" % passed_on.encode())
        self.bus.wait_for_listener(9200)
        self.assertEqual(self.guest_sockets("other"), [1])
        removed = self.bus.vmbus("vm", "remove", "other")
        self.assertNotEqual(removed.returncode, 0)
        self.assertIn("1 open sockets", removed.stderr)
        dialler.check()
        self.bus.wait_for_sockets(1)

    def test_a_daemon_that_is_gone_takes_it_along(self):
        dialler = self.start_dialler()
        self.daemon.kill()
        self.daemon.process.wait()
        # The kernel closes what an io_uring watches a moment after its process.
        support.wait_until(lambda: not self.bus.json("status")["running"])
        self.daemon = self.bus.start_daemon()
        self.start_server()
        self.do(dialler, "for _ in range(8): dial().close()")
        dialler.check()

    def test_whoever_ends_leaves_nothing(self):
        self.start_dialler().check()
        self.bus.wait_for_sockets(1)
        before = self.bus.holdings()
        for _ in range(3):
            self.start_dialler().check()
        killed = self.start_dialler()
        killed.kill()
        self.bus.check_holdings(before)


if __name__ == "__main__":
    support.main()
