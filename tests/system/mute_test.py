#!/usr/bin/env python3
"""A daemon that does not answer, or nobody behind its socket, costs 10 s and an errno, not a program.

The shim asks with signals blocked, so a program that waited for ever could not even be interrupted.
"""

import fcntl
import json
import os
import signal
import socket

import support
from support import ANY, GUEST, OUTCOME, PYTHON

setUpModule = support.require_shim


class Silent(support.BusTest):

    def listening(self, bus):
        """Somebody listens where the daemon should, and never says a word."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(sock.close)
        self.addCleanup(os.unlink, bus.socket)
        sock.bind(bus.socket)
        sock.listen(0)
        return bus

    def accepting_no_more(self, bus):
        self.listening(bus)
        while True:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self.addCleanup(sock.close)
            sock.setblocking(False)
            try:
                sock.connect(bus.socket)
            except BlockingIOError:
                return bus

    def starting_for_ever(self, bus):
        """A starter that was stopped holds the lock."""
        lock = open(bus.socket + ".lock", "w", encoding="utf-8")
        self.addCleanup(lock.close)
        fcntl.flock(lock, fcntl.LOCK_EX)
        return bus

    def test_socket_fails_in_the_end(self):
        waiting = {}
        for obstacle in (self.listening, self.accepting_no_more, self.starting_for_ever):
            bus = obstacle(support.Bus(self))
            waiting[obstacle.__name__] = bus.preload(
                PYTHON, "-c", OUTCOME + "print(outcome(vsock))", environment={"VMBUS_LOG": "on"})
        for name, program in waiting.items():
            with self.subTest(name):
                self.assertEqual(program.check(), b"EAFNOSUPPORT\n")
                self.assertIn(b"vmbus", program.errors)


class Stopped(support.BusTest):

    CODE = OUTCOME + f"""
def say(*words):
    os.write(1, json.dumps(words).encode() + b"\\n")  # whole: two processes say something at a time
listener, client = vsock(), vsock()
listener.bind(({ANY}, 0xffffffff))
listener.listen()
port = listener.getsockname()[1]
client.connect(({GUEST}, port))
server = listener.accept()[0]
print("connected", flush=True)
sys.stdin.readline()
child = os.fork()
if child == 0:
    say("child", outcome(vsock))
    os._exit(0)
say("parent", outcome(client.shutdown, socket.SHUT_WR), outcome(vsock), outcome(socket.socket),
    outcome(client.send, b"x"))
os.waitpid(child, 0)
sys.stdin.readline()
# The daemon goes on: what it was asked is done, and the sockets are as good as ever.
while outcome(vsock) != "fine":
    pass
server.sendall(b"words")
say("later", client.recv(64).decode(), listener.getsockname()[1] == port,
    outcome(vsock().connect, ({GUEST}, port)))
"""

    def test_requests_fail_and_work_again_when_it_goes_on(self):
        daemon = self.bus.start_daemon()
        program = self.bus.python(self.CODE)
        program.wait_for_output(b"connected\n")
        daemon.kill(signal.SIGSTOP)
        self.addCleanup(daemon.kill, signal.SIGCONT)
        program.write(b"\n")
        program.wait_for_output(b'["parent"')
        program.wait_for_output(b'["child"')
        daemon.kill(signal.SIGCONT)
        lines = program.check(b"\n").decode().splitlines()[1:]
        answers = {name: rest for name, *rest in map(json.loads, lines)}
        self.assertEqual(answers, {
            "child": ["EAFNOSUPPORT"],
            # send is no request: a byte that the daemon reads when it goes on
            "parent": ["ECONNRESET", "EAFNOSUPPORT", "fine", "fine"],
            "later": ["words", True, "fine"]})


if __name__ == "__main__":
    support.main()
