"""Waiting, timeouts and errors of calls.py, over families that every Linux has."""

import array
import contextlib
import errno
import select
import signal
import socket
import struct
import threading
import unittest
import unittest.mock

from tests.support import SERVICE_ID, VM_ID, as_hyperv
from vmbus_hyperv import calls

SHORT = 0.05


def inet_name(sock):
    host, port = sock.getsockname()
    return struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + socket.inet_aton(host) + bytes(8)


class Fixture(unittest.TestCase):

    def make(self, *arguments):
        return self.enter(socket.socket(*arguments))

    def enter(self, sock):
        self.addCleanup(sock.close)
        return sock

    def listener(self, backlog=8):
        sock = self.make(socket.AF_INET)
        sock.bind(("127.0.0.1", 0))
        sock.listen(backlog)
        return sock

    def full_listener(self):
        """A listener whose queue takes no more, so that connecting to it stays under way."""
        sock = self.listener(0)
        while True:
            client = self.make(socket.AF_INET)
            client.setblocking(False)
            client.connect_ex(sock.getsockname())
            if not select.select([], [client], [], SHORT)[1]:
                return sock


class Connect(Fixture):

    def test_blocking(self):
        listener, client = self.listener(), self.make(socket.AF_INET)
        self.assertEqual(calls.connect(client, inet_name(listener)), 0)
        self.assertEqual(calls.getpeername(client)[:8], inet_name(listener)[:8])

    def test_with_a_timeout_that_suffices(self):
        listener, client = self.listener(), self.make(socket.AF_INET)
        client.settimeout(60)
        self.assertEqual(calls.connect(client, inet_name(listener)), 0)

    def test_with_a_timeout_of_months(self):
        listener, client = self.listener(), self.make(socket.AF_INET)
        for sock in (listener, client):
            sock.settimeout(1e7)
        self.assertEqual(calls.connect(client, inet_name(listener)), 0)
        fd, _ = calls.accept(listener)
        self.enter(socket.socket(fileno=fd))

    def test_refused(self):
        listener = self.listener()
        name = inet_name(listener)
        listener.close()
        for timeout in (None, 60):
            client = self.make(socket.AF_INET)
            client.settimeout(timeout)
            self.assertEqual(calls.connect(client, name), errno.ECONNREFUSED)

    def test_a_timeout_that_passes(self):
        name, client = inet_name(self.full_listener()), self.make(socket.AF_INET)
        client.settimeout(SHORT)
        with self.assertRaisesRegex(socket.timeout, "^timed out$"):
            calls.connect(client, name)

    def test_non_blocking_says_that_it_is_under_way(self):
        name, client = inet_name(self.full_listener()), self.make(socket.AF_INET)
        client.setblocking(False)
        self.assertEqual(calls.connect(client, name), errno.EINPROGRESS)
        self.assertEqual(calls.connect(client, name), errno.EALREADY)

    def test_a_handler_that_raises_ends_the_call(self):
        name, client = inet_name(self.full_listener()), self.make(socket.AF_INET)
        with interrupted_by(ZeroDivisionError), self.assertRaises(ZeroDivisionError):
            calls.connect(client, name)

    def test_a_signal_does_not_end_the_attempt(self):
        name, client = inet_name(self.full_listener()), self.make(socket.AF_INET)
        client.settimeout(4 * SHORT)
        with interrupted_by(None) as interrupted, self.assertRaises(socket.timeout):
            calls.connect(client, name)
        self.assertTrue(interrupted.is_set())


@contextlib.contextmanager
def interrupted_by(exception):
    """Signals whose handler sets the event given and raises `exception`, if any (then only once)."""
    interrupted = threading.Event()

    def handler(number, frame):
        interrupted.set()
        if exception is not None:
            raise exception

    previous = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, SHORT / 2, 0 if exception else SHORT / 2)
    try:
        yield interrupted
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


class Accept(Fixture):

    def test_gives_a_descriptor_and_the_peers_name(self):
        listener, client = self.listener(), self.make(socket.AF_INET)
        client.connect(listener.getsockname())
        fd, name = calls.accept(listener)
        accepted = self.enter(socket.socket(fileno=fd))
        self.assertFalse(accepted.get_inheritable())
        self.assertEqual(name[:8], inet_name(client)[:8])

    def test_a_wait_in_several_polls_ends_with_the_timeout(self):
        listener = self.listener()
        listener.settimeout(SHORT)
        with unittest.mock.patch.object(calls, "_LONGEST_POLL_MS", 1), \
                self.assertRaisesRegex(socket.timeout, "^timed out$"):
            calls.accept(listener)

    def test_a_timeout_that_passes(self):
        listener = self.listener()
        listener.settimeout(SHORT)
        with self.assertRaisesRegex(socket.timeout, "^timed out$"):
            calls.accept(listener)

    def test_non_blocking(self):
        listener = self.listener()
        listener.setblocking(False)
        with self.assertRaises(BlockingIOError):
            calls.accept(listener)

    def test_a_signal_does_not_end_it(self):
        listener, client = self.listener(), self.make(socket.AF_INET)

        def connect():
            interrupted.wait()
            client.connect(listener.getsockname())

        with interrupted_by(None) as interrupted:
            thread = threading.Thread(target=connect)
            thread.start()
            fd, _ = calls.accept(listener)
            self.enter(socket.socket(fileno=fd))
            thread.join()

    def test_a_closed_socket(self):
        listener = self.listener()
        listener.settimeout(60)
        listener.close()
        with self.assertRaises(OSError) as raised:
            calls.accept(listener)
        self.assertEqual(raised.exception.errno, errno.EBADF)


class Methods(Fixture):
    """The methods of a socket object that believes to be AF_HYPERV."""

    def pair(self):
        left, right = socket.socketpair()
        return self.enter(as_hyperv(left)), self.enter(right)

    def test_accept_makes_a_socket_of_the_same_family(self):
        plain, client = self.listener(), self.make(socket.AF_INET)
        client.connect(plain.getsockname())
        listener = self.enter(as_hyperv(plain))
        listener.settimeout(60)
        accepted, peer = listener.accept()
        self.enter(accepted)
        self.assertIs(accepted.family, socket.AF_HYPERV)
        self.assertEqual(accepted.proto, socket.HV_PROTOCOL_RAW)
        self.assertIsNone(accepted.gettimeout())
        self.assertEqual(peer, (int(socket.AF_INET), inet_name(client)[2:]))

    def test_connect_ex_gives_errno_and_connect_raises_it(self):
        sock = self.enter(as_hyperv(socket.socket()))
        self.assertEqual(sock.connect_ex((VM_ID, SERVICE_ID)), errno.EAFNOSUPPORT)
        with self.assertRaises(OSError) as raised:
            sock.connect((VM_ID, SERVICE_ID))
        self.assertEqual(raised.exception.errno, errno.EAFNOSUPPORT)

    def test_receiving_with_a_sender(self):
        sock, peer = self.pair()
        peer.sendall(b"abcdefgh")
        self.assertEqual(sock.recvfrom(2), (b"ab", None))
        buffer = bytearray(8)
        self.assertEqual(sock.recvfrom_into(buffer, nbytes=2), (2, None))
        self.assertEqual(sock.recvmsg(2), (b"ef", [], 0, None))
        first, second = bytearray(1), bytearray(4)
        self.assertEqual(sock.recvmsg_into([first, second]), (2, [], 0, None))
        self.assertEqual((bytes(buffer[:2]), bytes(first), second[:1]), (b"cd", b"g", b"h"))

    def test_the_plain_calls_are_the_c_codes(self):
        sock, peer = self.pair()
        sock.sendall(b"one\ntwo\n")
        self.assertEqual(peer.recv(8), b"one\ntwo\n")
        peer.sendall(b"three\n")
        with sock.makefile("r") as file:
            self.assertEqual(file.readline(), "three\n")
        self.assertEqual(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 0)

    def test_sendto_waits_no_longer_than_the_timeout(self):
        sock, _ = self.pair()
        sock.settimeout(SHORT)
        with self.assertRaises(socket.timeout):
            while True:
                sock.send(bytes(65536))
        with self.assertRaises(socket.timeout):
            sock.sendto(b"x", (VM_ID, SERVICE_ID))

    def test_sendto_judges_its_arguments_as_the_c_code_does(self):
        sock, _ = self.pair()
        other = self.make(socket.AF_INET, socket.SOCK_DGRAM)
        address = object()  # a placeholder for each family's own
        for given in ((), (b"",), ("text", address), (5, address), (None, 0, address),
                      (b"", "flags", address), (b"", 1.5, address), (b"", 0, address, 1)):
            messages = []
            for end, name in ((other, ("127.0.0.1", 9)), (sock, (VM_ID, SERVICE_ID))):
                with self.assertRaises(TypeError) as raised:
                    end.sendto(*(name if word is address else word for word in given))
                messages.append(str(raised.exception))
            self.assertEqual(*messages)

    def test_sendto_takes_every_kind_of_buffer(self):
        for data in (bytearray(b"bytes"), memoryview(b"bytes"), array.array("B", b"bytes")):
            sock, _ = self.pair()
            with unittest.mock.patch.object(calls, "sendto") as sent:
                sock.sendto(data, (VM_ID, SERVICE_ID))
            self.assertEqual(sent.call_args.args[1], b"bytes")


if __name__ == "__main__":
    unittest.main()
