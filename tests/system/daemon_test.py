#!/usr/bin/env python3
"""The daemon comes with its first user and leaves with its last; its death hangs nobody."""

import errno
import json
import os
import shutil
import signal
import unittest

import support
from support import GUEST, PYTHON, SHIM, VMBUS, VMBUSD, Program

setUpModule = support.require_shim
PORT = 4006
RESET = errno.errorcode[errno.ECONNRESET]

# Holds a listening socket until its standard input ends.
HOLDER = f"""
import socket, sys
sock = socket.socket(socket.AF_VSOCK)
sock.bind((0xffffffff, {PORT}))
sock.listen()
sys.stdin.read()
"""


class Life(support.BusTest):

    def assert_left(self, pid):
        self.assertTrue(support.wait_for_end(pid), "the daemon stays")
        self.assertFalse(os.path.exists(self.bus.socket))
        self.assertFalse(self.bus.json("status")["running"])

    def daemon_of(self, holder):
        self.bus.wait_for_listener(PORT)
        return self.bus.json("status")["pid"]

    def test_leaves_with_its_last_user(self):
        first = self.bus.python(HOLDER)
        daemon = self.daemon_of(first)
        second = self.bus.python(HOLDER.replace(str(PORT), str(PORT + 1)))
        self.bus.wait_for_listener(PORT + 1)
        first.check()
        self.assertEqual(self.bus.json("status")["pid"], daemon)
        second.check()
        self.assert_left(daemon)

    def test_the_bare_library_starts_it_too(self):
        holder = self.bus.preload(PYTHON, "-c", HOLDER)
        daemon = self.daemon_of(holder)
        holder.check()
        self.assert_left(daemon)

    def test_the_library_leaves_the_program_no_child_and_no_preload_in_the_daemon(self):
        code = HOLDER.replace("sys.stdin.read()", "import os; os.wait()")
        self.assertNotEqual(self.bus.preload(PYTHON, "-c", code).finish(), 0)
        holder = self.bus.preload(PYTHON, "-c", HOLDER)
        daemon = self.daemon_of(holder)
        with open(f"/proc/{daemon}/environ", "rb") as file:
            self.assertNotIn(b"LD_PRELOAD=" + SHIM.encode(), file.read().split(b"\0"))
        with open(f"/proc/{daemon}/maps", encoding="utf-8") as file:
            self.assertNotIn("libvmbus_shim", file.read())
        self.assertNotEqual(os.getsid(daemon), os.getsid(holder.pid))

    def test_leaves_when_its_last_user_is_killed(self):
        holder = self.bus.python(HOLDER)
        daemon = self.daemon_of(holder)
        holder.kill()
        holder.finish()
        self.assert_left(daemon)

    def test_stays_while_a_program_without_the_shim_holds_a_socket(self):
        code = HOLDER.replace("sys.stdin.read()", """
import os
os.set_inheritable(sock.fileno(), True)
os.execve("/bin/cat", ["cat"], {})
""")
        holder = self.bus.python(code)
        daemon = self.daemon_of(holder)
        support.wait_until(lambda: os.readlink(f"/proc/{holder.pid}/exe").endswith("/cat"))
        self.assertEqual(len(self.bus.sockets()), 1)
        holder.check()
        self.assert_left(daemon)

    def test_started_by_hand_it_stays(self):
        daemon = self.bus.start_daemon()
        holder = self.bus.python(HOLDER)
        self.bus.wait_for_listener(PORT)
        holder.check()
        self.bus.wait_for_sockets(0)
        self.assertTrue(self.bus.json("status")["stays"])
        self.assertEqual(self.bus.vmbus("stop").returncode, 0)
        self.assertEqual(daemon.finish(), 0)

    def test_a_guest_added_by_hand_keeps_it(self):
        self.bus.add_guest("second")
        daemon = self.bus.json("status")["pid"]
        self.assertEqual(self.bus.vmbus("vm", "remove", "second").returncode, 0)
        self.assert_left(daemon)

    def test_leaves_when_its_directory_was_removed(self):
        holder = self.bus.python(HOLDER)
        daemon = self.daemon_of(holder)
        shutil.rmtree(self.bus.directory)
        holder.check()
        self.assertTrue(support.wait_for_end(daemon), "the daemon stays")
        os.mkdir(self.bus.directory, 0o700)

    def test_a_second_one_on_the_same_socket_is_refused(self):
        self.bus.start_daemon()
        second = Program(self, [VMBUSD, "--foreground"], self.bus.environment())
        self.assertNotEqual(second.finish(), 0)
        self.assertEqual(second.errors.count(b"\n"), 1, second)
        self.assertIn(self.bus.socket.encode(), second.errors)

    def test_ends_on_a_signal(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number):
                daemon = self.bus.start_daemon()
                daemon.kill(number)
                self.assertEqual(daemon.finish(), 0)
                self.assertFalse(os.path.exists(self.bus.socket))


# One socket in each state, and threads that wait in calls. Says "ready", reads a line when the
# daemon is dead, and prints what each call then says.
VICTIM = """
import errno, json, os, select, socket, sys, threading
CID = int(sys.argv[1])
def vsock(): return socket.socket(socket.AF_VSOCK)
def listening():
    sock = vsock()
    sock.bind((0xffffffff, 0xffffffff))
    sock.listen()
    return sock
def connected():
    listener, client = listening(), vsock()
    client.connect((CID, listener.getsockname()[1]))
    return client, listener.accept()[0], listener
def outcome(call, *arguments):
    try:
        return repr(call(*arguments))
    except OSError as error:
        return errno.errorcode[error.errno]
host, guest, listener = connected()
fresh, bound = vsock(), vsock()
bound.bind((0xffffffff, 0xffffffff))
waiting = {}
def wait_in(name, call, *arguments):
    def run(): waiting[name] = outcome(call, *arguments)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread
ends = [connected() for _ in range(3)]
queue = listening()
threads = [wait_in("recv", ends[0][0].recv, 1), wait_in("recv of the server", ends[1][1].recv, 1),
           wait_in("sendall", ends[2][0].sendall, b"x" * (1 << 28)),
           wait_in("accept", queue.accept)]
while select.select([], [ends[2][0]], [], 0.5)[1]:
    pass
print("ready", flush=True)
sys.stdin.readline()
poller = select.poll()
sockets = [host, guest, listener, fresh, bound]
for sock in sockets:
    poller.register(sock, 0)
hung_up = 0
while hung_up < len(sockets):
    hung_up = sum(bool(mask & select.POLLHUP) for _, mask in poller.poll())
for thread in threads:
    thread.join()
calls = {
    "recv": (host.recv, 1), "recv of the server": (guest.recv, 1), "send": (host.send, b"x"),
    "accept": (listener.accept,), "listen": (bound.listen,), "bind": (fresh.bind, (0xffffffff, 5)),
    "connect": (fresh.connect, (CID, 5)), "shutdown": (host.shutdown, socket.SHUT_WR),
    "setsockopt": (host.setsockopt, 40, 0, 1 << 18),
    "read": (os.read, host.fileno(), 1), "write": (os.write, host.fileno(), b"x"),
}
answers = {name: outcome(*call) for name, call in calls.items()}
print(json.dumps({"waiting": waiting, "answers": answers}), flush=True)
"""


class Death(support.BusTest):

    def kill_daemon(self):
        status = self.bus.json("status")
        os.kill(status["pid"], signal.SIGKILL)
        self.assertTrue(support.wait_for_end(status["pid"]))

    def test_every_descriptor_hangs_up_and_every_call_fails(self):
        victim = self.bus.python(VICTIM, GUEST)
        victim.wait_for_output(b"ready\n")
        self.kill_daemon()
        report = json.loads(victim.check(b"\n").splitlines()[-1])
        for name, answer in {**report["waiting"], **report["answers"]}.items():
            with self.subTest(name):
                self.assertEqual(answer, RESET)

    def test_a_new_socket_starts_a_new_daemon(self):
        code = HOLDER + """
other = socket.socket(socket.AF_VSOCK)
other.bind((0xffffffff, 5000))
print(other.getsockname()[1], flush=True)
"""
        for start in (self.bus.python, lambda code: self.bus.preload(PYTHON, "-c", code)):
            with self.subTest():
                holder = start(code)
                self.bus.wait_for_listener(PORT)
                self.kill_daemon()
                self.assertEqual(holder.check(), b"5000\n")

    def test_a_dead_socket_file_is_no_obstacle(self):
        holder = self.bus.python(HOLDER)
        self.bus.wait_for_listener(PORT)
        self.kill_daemon()
        self.assertTrue(os.path.exists(self.bus.socket))
        self.assertFalse(self.bus.json("status")["running"])
        next_holder = self.bus.python(HOLDER)
        self.bus.wait_for_listener(PORT)
        next_holder.check()
        holder.check()

    def test_in_the_middle_of_a_transfer(self):
        socat = support.require_program("socat")
        receiver = self.bus.start(socat, "-d", "-u", f"VSOCK-LISTEN:{PORT}", "STDOUT", as_="guest")
        self.bus.wait_for_listener(PORT)
        sender = self.bus.start(socat, "-u", "/dev/zero", f"VSOCK-CONNECT:{GUEST}:{PORT}",
                                as_="host")
        support.wait_until(lambda: len(receiver.output) > 1 << 20, "a first megabyte")
        self.kill_daemon()
        for program in (receiver, sender):
            with self.subTest(program.command[-1]):
                program.finish()
                self.assertIn(b"Connection reset by peer", program.errors)

    def test_stopped_it_resets_connections_too(self):
        victim = self.bus.python(VICTIM, GUEST)
        victim.wait_for_output(b"ready\n")
        self.assertEqual(self.bus.vmbus("stop").returncode, 0)
        report = json.loads(victim.check(b"\n").splitlines()[-1])
        for name in ("recv", "sendall", "accept"):
            with self.subTest(name):
                self.assertEqual(report["waiting"][name], RESET)


if __name__ == "__main__":
    support.main()
