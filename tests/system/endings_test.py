#!/usr/bin/env python3
"""How connections end: what was sent is read, then comes the end, however the other side went."""

import os
import signal
import socket
import subprocess
import sys
import unittest

import inside
import support
from inside import events, wait_for_events

SIDES = ("guest", "host")
FULL = 100_000  # bytes that fit into a connection whose reader does nothing

# Connects, sends as many bytes as asked, says so, and then waits to be ended.
DIALLER = """
import signal, socket, sys
cid, port, count = map(int, sys.argv[1:])
sock = socket.socket(socket.AF_VSOCK)
sock.connect((cid, port))
sock.sendall(b"x" * count)
print("sent", flush=True)
signal.pause()
"""

# The same from the other side: listens, and sends to whoever comes.
SERVER = """
import signal, socket, sys
cid, port, count = map(int, sys.argv[1:])
sock = socket.socket(socket.AF_VSOCK)
sock.bind((cid, 0xffffffff))
sock.listen()
print(sock.getsockname()[1], flush=True)
accepted = sock.accept()[0]
accepted.sendall(b"x" * count)
print("sent", flush=True)
signal.pause()
"""


def broken(sock):
    """Sending fails: a little after the end of the peer's bytes, as FIN comes before RESCIND."""
    try:
        sock.send(b"x", socket.MSG_NOSIGNAL)
    except BrokenPipeError:
        return True
    return False


class Killed(unittest.TestCase):

    def start(self, code, *arguments):
        child = subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)],
                                 stdout=subprocess.PIPE, text=True)
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        return child

    def check_end(self, sock, child):
        self.assertEqual(child.stdout.readline(), "sent\n")
        child.kill()
        child.wait()
        self.assertEqual(len(sock.makefile("rb").read()), FULL)
        self.assertEqual(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 0)
        support.wait_until(lambda: broken(sock), "EPIPE")

    def test_a_dialler(self):
        for side in SIDES:
            with self.subTest(server=side):
                listening, address = inside.listener(self, side)
                child = self.start(DIALLER, *address, FULL)
                self.check_end(inside.closing(self, listening.accept()[0]), child)

    def test_a_server(self):
        for side, (bound, dialled) in {"guest": (support.ANY, inside.GUEST),
                                       "host": (support.HOST, support.HOST)}.items():
            with self.subTest(server=side):
                child = self.start(SERVER, bound, 0, FULL)
                client = inside.vsock(self)
                client.connect((dialled, int(child.stdout.readline())))
                self.check_end(client, child)

    def test_while_it_is_sending(self):
        listening, address = inside.listener(self)
        child = self.start(DIALLER, *address, 1 << 30)
        server = inside.closing(self, listening.accept()[0])
        received = len(inside.receive(server, 1 << 20))
        child.kill()
        child.wait()
        received += len(server.makefile("rb").read())
        self.assertLess(received, 1 << 30)

    def test_while_the_other_side_waits_for_room(self):
        child = self.start(SERVER, support.ANY, 0, 0)
        client = inside.vsock(self)
        client.connect((inside.GUEST, int(child.stdout.readline())))
        self.assertEqual(child.stdout.readline(), "sent\n")
        waiting = os.fork()
        if waiting == 0:
            signal.signal(signal.SIGPIPE, signal.SIG_IGN)
            try:
                client.setblocking(True)
                while True:
                    client.sendall(b"x" * (1 << 20))
            except BrokenPipeError:
                os._exit(0)
            finally:
                os._exit(1)
        support.wait_until(lambda: "OUT" not in events(client), "a full connection")
        child.kill()
        self.assertTrue(support.wait_for_end(waiting))
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(waiting, 0)[1]), 0)


class Closed(unittest.TestCase):

    def test_what_was_sent_before_is_read(self):
        for side in SIDES:
            for closing_end in (0, 1):
                with self.subTest(server=side, closing_end=closing_end):
                    ends = inside.connection(self, side)
                    ends[closing_end].sendall(b"x" * FULL)
                    ends[closing_end].close()
                    self.assertEqual(len(ends[1 - closing_end].makefile("rb").read()), FULL)

    def test_with_unread_bytes_it_is_no_reset(self):
        for side in SIDES:
            with self.subTest(server=side):
                client, server = inside.connection(self, side)
                client.sendall(b"never read")
                wait_for_events(server, {"IN", "OUT"})
                server.close()
                self.assertEqual(client.recv(1), b"")
                self.assertEqual(client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 0)

    def test_with_both_directions_full(self):
        for side in SIDES:
            for closing_end in (0, 1):
                with self.subTest(server=side, closing_end=closing_end):
                    ends = inside.connection(self, side)
                    count = [inside.fill(end) for end in ends][closing_end]
                    ends[closing_end].close()
                    other = ends[1 - closing_end]
                    support.wait_until(lambda: "OUT" in events(other), "room", limit=20)
                    other.settimeout(support.LIMIT)
                    self.assertEqual(len(inside.receive(other, count)), count)
                    self.assertEqual(other.recv(1), b"")

    def test_sending_to_nobody_is_a_broken_pipe_and_a_signal(self):
        for side in SIDES:
            with self.subTest(server=side):
                client, server = inside.connection(self, side)
                server.close()
                self.assertEqual(client.recv(1), b"")
                support.wait_until(lambda: broken(client), "EPIPE")
                child = os.fork()
                if child == 0:
                    try:
                        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
                        client.send(b"x")
                    finally:
                        os._exit(0)
                self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]),
                                 -signal.SIGPIPE)

    def test_a_listener_ends_what_waits_in_its_queue(self):
        for side in SIDES:
            with self.subTest(server=side):
                listening, address = inside.listener(self, side)
                waiting = [inside.vsock(self) for _ in range(3)]
                for sock in waiting:
                    sock.connect(address)
                listening.close()
                for sock in waiting:
                    self.assertEqual(sock.recv(1), b"")

    def test_a_connection_outlives_its_listener(self):
        for side in SIDES:
            with self.subTest(server=side):
                listening, address = inside.listener(self, side)
                client = inside.vsock(self)
                client.connect(address)
                server = inside.closing(self, listening.accept()[0])
                listening.close()
                inside.exchange(self, client, server)

    def test_a_non_blocking_attempt_closed_before_it_was_accepted(self):
        listening, address = inside.listener(self)
        client = inside.vsock(self)
        client.setblocking(False)
        client.connect_ex(address)
        client.close()
        listening.setblocking(False)
        # It may have reached the queue or not; either way the listener goes on.
        support.wait_until(lambda: self.drained(listening), "an empty queue")
        listening.setblocking(True)
        second = inside.vsock(self)
        second.connect(address)
        inside.exchange(self, second, inside.closing(self, listening.accept()[0]))

    def drained(self, listening):
        try:
            sock, _ = listening.accept()
        except BlockingIOError:
            return True
        with sock:
            sock.settimeout(support.LIMIT)
            self.assertEqual(sock.recv(1), b"")
        return False


if __name__ == "__main__":
    support.main(entered=True)
