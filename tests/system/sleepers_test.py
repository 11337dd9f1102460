#!/usr/bin/env python3
"""Programs that sleep on their sockets' lanes: they are woken without the daemon, and by all that ends a wait."""

import os
import pathlib
import signal
import subprocess
import textwrap

import support
from support import PYTHON

setUpModule = support.require_shim

# No spins: whoever has to wait sleeps.
NO_SPIN = {"VMBUS_MODE": "ring", "VMBUS_SPIN_US": "0"}
PORT = 7000

LISTEN = textwrap.dedent("""
    import errno, os, socket, sys, threading
    listener = socket.socket(socket.AF_VSOCK)
    listener.bind((2, 7000))
    listener.listen(8)
    print("listening", flush=True)
    sock, _ = listener.accept()
""")
CONNECT = textwrap.dedent("""
    import errno, os, socket, sys, threading
    sock = socket.socket(socket.AF_VSOCK)
    sock.connect((2, 7000))
    print("connected", flush=True)
""")

# Each message waits for its answer, so each receive has to wait.
ANSWER = LISTEN + textwrap.dedent("""
    while message := sock.recv(4096):
        sock.sendall(message[::-1])
""")
ASK = CONNECT + textwrap.dedent("""
    for number in range(int(sys.argv[1])):
        message = b"message %6d" % number
        sock.sendall(message)
        answer = sock.recv(4096)
        if answer != message[::-1]:
            sys.exit(f"{answer!r} for {message!r}")
        if number == 500:
            print("halfway", flush=True)
    sock.close()
    print("all answered", flush=True)
""")

# Sends more than a ring holds to somebody who reads a little at a time.
FLOOD = CONNECT + textwrap.dedent("""
    import hashlib
    total, block = int(sys.argv[1]), bytes(range(256)) * 16
    for _ in range(total // len(block)):
        sock.sendall(block)
    sock.close()
    print("all sent", flush=True)
""")
SIP = LISTEN + textwrap.dedent("""
    total, block = 0, bytes(range(256)) * 16
    while data := sock.recv(1000):
        at = total % 256
        if data != (block[at:] + block)[:len(data)]:
            sys.exit(f"wrong bytes at {total}")
        total += len(data)
        if total > 1 << 20 and total - len(data) <= 1 << 20:
            print("halfway", flush=True)
    print("total", total, flush=True)
""")

# Waits for bytes, and says what the wait came to.
WAIT = CONNECT + textwrap.dedent("""
    def wait(name):
        try:
            outcome = sock.recv(100)
        except OSError as error:
            outcome = errno.errorcode[error.errno]
        os.write(1, f"{name} {outcome}\\n".encode())  # at once: others write, too
""")
TWO = textwrap.dedent("""
    child = os.fork()
    wait("child" if child == 0 else "parent")
    if child == 0:
        os._exit(0)
    os.wait()
""")
STAY = LISTEN + textwrap.dedent("""
    for command in sys.stdin:
        exec(command)
""")


class Sleepers(support.BusTest):

    def setUp(self):
        super().setUp()
        self.daemon = self.bus.start_daemon()

    def start(self, code, *arguments, as_=None, options=()):
        return self.bus.start(PYTHON, "-c", code, *arguments, environment=NO_SPIN, as_=as_,
                              options=options)

    def direct_bytes(self):
        """That went past the pump."""
        return self.bus.json("status")["counters"]["bytes_direct"]

    @staticmethod
    def pids_of(program):
        """The program and its descendants: `vmbus run` may stand in front of it."""
        pids = [program.pid]
        for pid in pids:
            try:
                with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
                    pids += [int(child) for child in children.read().split()]
            except FileNotFoundError:
                pass
        return pids

    def wait_until_asleep(self, program, count=1):
        """`count` threads of it, or of its children, wait in a futex call on a lane."""
        def sleepers():
            self.assertIsNone(program.process.poll(), f"{program} ended: {program.output}")
            found = 0
            for pid in self.pids_of(program):
                for task in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{task}/syscall", encoding="ascii") as call:
                        words = call.read().split()
                    found += words[0] == "449"  # futex_waitv
            return found >= count
        support.wait_until(sleepers, f"{count} sleepers in {program}")

    def start_waiters(self, code, count=1):
        """Somebody who stays, and a program whose thread or threads sleep until he does something."""
        peer = self.start(STAY, as_="host")
        peer.wait_for_output(b"listening")
        waiter = self.start(WAIT + textwrap.dedent(code), as_="guest")
        self.wait_until_asleep(waiter, count)
        return peer, waiter

    # --- how a receive waits may change

    def test_a_receive_that_may_wait_no_longer_or_not_for_long(self):
        # The program remembers that its receives may sleep. A change that a hook sees holds at once; one that none
        # sees, after one sleep at most, which has an end.
        program = support.compile_c(pathlib.Path(__file__).with_name("changed_waits.c"))
        at_once, after_a_wait = "EAGAIN, did not wait", "EAGAIN, waited"
        for how, expected in {
                "setfl": [at_once, at_once],
                "fionbio": [at_once, at_once],
                "limit": [after_a_wait, after_a_wait],
                "unhooked-setfl": [after_a_wait, at_once],
                "unhooked-fionbio": [after_a_wait, at_once],
                "unhooked-limit": [after_a_wait, after_a_wait]}.items():
            with self.subTest(how=how):
                server = self.start(ANSWER, as_="host")
                server.wait_for_output(b"listening")
                asker = self.bus.start(program, str(PORT), how, as_="guest", environment=NO_SPIN)
                asker.check()
                self.assertEqual(asker.output.decode().splitlines(), expected)
                server.check()

    def test_a_receive_that_sleeps_takes_signals_and_changes_as_the_kernels_does(self):
        program = support.compile_c(pathlib.Path(__file__).with_name("interrupted.c"), "-pthread")
        handlers = {"plain": "EINTR", "restart": "none", "resethand": "EINTR", "bsd": "none", "sysv": "EINTR",
                    "sigset": "EINTR", "gone": "EINTR", "two": "none"}
        changes = {"setfl": "none", "limit": "none"}  # they are for the next call
        for when, rows in {"first": handlers, "asleep": {**handlers, **changes}}.items():
            for how, expected in rows.items():
                with self.subTest(how=how, when=when):
                    kernel = subprocess.run([program, "unix", how, when], check=True, stdout=subprocess.PIPE)
                    self.assertEqual(kernel.stdout.decode().strip(), expected)
                    ours = self.bus.start(program, "vsock", how, when, as_="guest", environment=NO_SPIN)
                    self.assertEqual(ours.check().decode().strip(), expected)

    # --- woken directly

    def test_a_reader_that_sleeps_is_woken_without_the_daemon(self):
        server = self.start(ANSWER, as_="host")
        server.wait_for_output(b"listening")
        self.start(ASK, "4000", as_="guest").check()
        server.check()
        self.bus.wait_for_sockets(0)
        sent = 2 * 4000 * len(b"message 123456")
        # Sender and reader both count. The pump helps whom nobody lets run for a millisecond, so on a busy
        # machine it is not nearly all.
        self.assertGreater(self.direct_bytes(), 2 * sent // 4)

    def test_a_writer_that_sleeps_is_woken_without_the_daemon(self):
        server = self.start(SIP, as_="host")
        server.wait_for_output(b"listening")
        self.start(FLOOD, str(3 << 20), as_="guest").check()
        self.assertIn(b"total %d" % (3 << 20), server.check())
        self.bus.wait_for_sockets(0)
        # Of six times as much: who slept for milliseconds goes on through the carrier.
        self.assertGreater(self.direct_bytes(), 1 << 20)

    def test_stopping_either_side_for_a_while_changes_nothing(self):
        for stopped in ("server", "client"):
            with self.subTest(stopped=stopped):
                server = self.start(ANSWER, as_="host")
                server.wait_for_output(b"listening")
                client = self.start(ASK, "4000", as_="guest")
                client.wait_for_output(b"halfway")
                program, other = (server, client) if stopped == "server" else (client, server)
                for _ in range(20):
                    self.stop_and_continue(program, other)
                self.assertIn(b"all answered", client.check())
                server.check()

    def test_stopping_a_slow_reader_holds_its_writer_up_and_no_more(self):
        server = self.start(SIP, as_="host")
        server.wait_for_output(b"listening")
        client = self.start(FLOOD, str(2 << 20), as_="guest")
        server.wait_for_output(b"halfway")
        for program in (server, client):
            self.stop_and_continue(program, None)
        client.check()
        self.assertIn(b"total %d" % (2 << 20), server.check())

    def stop_and_continue(self, program, other):
        """Until its peer waits, if it still runs."""
        pids = self.pids_of(program)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            for pid in pids:
                support.wait_until(lambda pid=pid: self.state_of(pid) in "TZ", f"{pid} to stop")
            if other is not None:
                support.wait_until(lambda: self.is_quiet(other) or other.process.poll() is not None,
                                   f"{other} to wait")
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    @staticmethod
    def state_of(pid):
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0]

    def is_quiet(self, program):
        try:
            return all(self.state_of(pid) in "SZ" for pid in self.pids_of(program))
        except FileNotFoundError:
            return False

    # --- what ends a sleep

    def test_bytes_for_two_who_sleep_in_two_processes_reach_both(self):
        peer, waiter = self.start_waiters(TWO, count=2)
        peer.write(b"sock.sendall(b'first')\n")
        support.wait_until(lambda: b"first" in waiter.output, "the first")
        peer.write(b"sock.sendall(b'second')\n")
        output = waiter.check()
        self.assertEqual(sorted(line.split()[1] for line in output.splitlines()[1:]),
                         [b"b'first'", b"b'second'"])
        peer.check()

    def test_the_end_reaches_two_who_sleep_in_two_processes(self):
        peer, waiter = self.start_waiters(TWO, count=2)
        peer.write(b"sock.close()\n")
        self.assertEqual(sorted(waiter.check().splitlines()[1:]), [b"child b''", b"parent b''"])
        peer.check()

    def test_a_sleeper_whose_peer_shuts_closes_or_dies(self):
        for what in (b"sock.shutdown(socket.SHUT_WR)\n", b"sock.close()\n", b"os._exit(0)\n"):
            with self.subTest(what=what):
                peer, waiter = self.start_waiters("wait('reader')")
                peer.write(what)
                self.assertIn(b"reader b''", waiter.check())
                peer.check()
                self.bus.wait_for_sockets(0)

    def test_a_sleeper_whose_own_end_is_shut(self):
        for how in ("SHUT_RD", "SHUT_RDWR"):
            with self.subTest(how=how):
                peer, waiter = self.start_waiters(f"""
                    reader = threading.Thread(target=wait, args=("reader",))
                    reader.start()
                    sys.stdin.readline()
                    sock.shutdown(socket.{how})
                    reader.join()
                """)
                self.assertIn(b"reader b''", waiter.check(b"\n"))
                peer.check()
                self.bus.wait_for_sockets(0)

    def test_a_sleeper_whose_guest_is_removed(self):
        self.bus.add_guest("brief")
        peer = self.start(STAY, as_="host")
        peer.wait_for_output(b"listening")
        waiter = self.start(WAIT + "wait('reader')", as_="brief")
        self.wait_until_asleep(waiter)
        self.assertEqual(self.bus.vmbus("vm", "remove", "brief", "--force").returncode, 0)
        self.assertRegex(waiter.check(), b"reader (b''|ECONNRESET)")
        peer.check()

    def test_a_sleeper_whose_daemon_is_killed(self):
        peer, waiter = self.start_waiters("wait('reader')")
        self.daemon.kill()
        self.assertIn(b"reader ECONNRESET", waiter.check())
        peer.check()

    def test_a_writer_that_sleeps_for_exact_room_and_whose_daemon_is_killed(self):
        peer = self.start(STAY, as_="host")
        peer.wait_for_output(b"listening")
        writer = self.start(CONNECT + textwrap.dedent("""
            try:
                while True:
                    sock.sendall(bytes(1000))
            except OSError as error:
                print("writer", errno.errorcode[error.errno], flush=True)
        """), as_="guest", options=("--profile", "strict"))
        self.wait_until_asleep(writer)
        self.daemon.kill()
        self.assertIn(b"writer ECONNRESET", writer.check())
        peer.check()


if __name__ == "__main__":
    support.main()
