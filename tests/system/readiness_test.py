#!/usr/bin/env python3
"""What poll, select and epoll say of a socket in each state, and epoll's edges."""

import errno
import random
import select
import socket
import unittest

import inside
import support
from inside import EVENT_NAMES

SIDES = ("guest", "host")


def names_of(mask):
    return {name for bit, name in EVENT_NAMES.items() if mask & bit}


def by_epoll(sock):
    with select.epoll() as poller:
        poller.register(sock, sum(EVENT_NAMES) & ~(select.EPOLLHUP | select.EPOLLERR))
        return names_of(poller.poll(0)[0][1]) if poller.poll(0) else set()


def by_select(sock):
    readable, writable, exceptional = select.select([sock], [sock], [sock], 0)
    return {name for name, ready in (("IN", readable), ("OUT", writable), ("PRI", exceptional))
            if ready}


def as_select_says(names):
    """select knows less: readable is IN or HUP or ERR, writable OUT or ERR."""
    return ({"IN"} if names & {"IN", "HUP", "ERR"} else set()) | (
        {"OUT"} if names & {"OUT", "ERR"} else set())


class Level(unittest.TestCase):

    def check(self, sock, *names):
        """All three calls agree on the events, which may take a moment to come."""
        names = set(names)
        inside.wait_for_events(sock, names)
        self.assertEqual((by_epoll(sock), by_select(sock)), (names, as_select_says(names)))

    def test_before_a_connection(self):
        sock = inside.vsock(self)
        self.check(sock, "OUT")
        sock.bind((support.ANY, support.ANY))
        self.check(sock, "OUT")

    def test_listening(self):
        for side in SIDES:
            with self.subTest(side):
                listening, address = inside.listener(self, side)
                self.check(listening)
                diallers = [inside.vsock(self) for _ in range(2)]
                for dialler in diallers:
                    dialler.connect(address)
                self.check(listening, "IN")
                for left in (1, 0):
                    inside.closing(self, listening.accept()[0])
                    self.check(listening, *(["IN"] if left else []))

    def test_life_of_a_connection(self):
        for side in SIDES:
            for swapped in (False, True):
                with self.subTest(server=side, swapped=swapped):
                    ends = inside.connection(self, side)
                    self.follow_life(*(reversed(ends) if swapped else ends))

    def follow_life(self, near, far):
        self.check(near, "OUT")
        far.sendall(b"ab")
        self.check(near, "IN", "OUT")
        near.recv(1)
        self.check(near, "IN", "OUT")
        near.recv(1)
        self.check(near, "OUT")
        near.shutdown(socket.SHUT_WR)
        self.check(near)
        self.check(far, "IN", "OUT", "RDHUP")
        far.sendall(b"c")
        self.check(near, "IN")
        near.recv(1)
        self.check(near)
        far.shutdown(socket.SHUT_WR)
        self.check(near, "IN", "RDHUP", "HUP")
        self.check(far, "IN", "RDHUP", "HUP")

    def test_peer_closed(self):
        for side in SIDES:
            with self.subTest(server=side):
                near, far = inside.connection(self, side)
                far.sendall(b"a")
                far.close()
                self.check(near, "IN", "OUT", "RDHUP")
                self.assertEqual(near.makefile("rb").read(), b"a")
                self.check(near, "IN", "OUT", "RDHUP")

    def test_own_shutdown(self):
        for how, names in ((socket.SHUT_RD, ("IN", "OUT", "RDHUP")), (socket.SHUT_WR, ()),
                           (socket.SHUT_RDWR, ("IN", "RDHUP", "HUP"))):
            with self.subTest(how=how):
                near, _ = inside.connection(self)
                near.shutdown(how)
                self.check(near, *names)

    def test_full(self):
        for side in SIDES:
            with self.subTest(server=side):
                near, far = inside.connection(self, side)
                count = inside.fill(near)
                self.check(near)
                far.sendall(b"a")
                self.check(near, "IN")
                self.assertEqual(len(inside.receive(far, count)), count)
                self.check(near, "IN", "OUT")

    def test_nothing_stale_after_eagain(self):
        near, far = inside.connection(self)
        near.setblocking(False)
        chance = random.Random(1)
        for _ in range(200):
            far.sendall(b"x" * chance.randrange(1, 20_000))
            select.select([near], [], [], support.LIMIT)
            while True:
                try:
                    near.recv(chance.randrange(1, 8_000))
                except BlockingIOError:
                    break
                # More may arrive behind a read that found nothing, so IN alone proves nothing here.
            if "IN" in inside.events(near):
                near.recv(1)


class Connecting(unittest.TestCase):

    def dial(self, address):
        sock = inside.vsock(self)
        sock.setblocking(False)
        self.assertIn(sock.connect_ex(address), (0, errno.EINPROGRESS))
        support.wait_until(lambda: "OUT" in inside.events(sock), "the end of the attempt")
        return sock, sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def test_success(self):
        for side in SIDES:
            with self.subTest(server=side):
                listening, address = inside.listener(self, side)
                sock, error = self.dial(address)
                self.assertEqual(error, 0)
                self.assertEqual(sock.getpeername(), address)
                self.assertEqual(inside.events(sock), {"OUT"})
                inside.closing(self, listening.accept()[0])

    def test_nobody_there(self):
        for cid in (inside.GUEST, support.HOST):
            with self.subTest(cid=cid):
                sock, error = self.dial((cid, 1))
                self.assertEqual(error, errno.ECONNRESET)
                self.assertEqual(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 0)
                self.assertEqual(inside.events(sock), {"OUT"})

    def test_the_same_socket_may_try_again(self):
        listening, address = inside.listener(self, "host")
        sock, _ = self.dial((support.HOST, 1))
        sock.setblocking(True)
        sock.connect(address)
        inside.exchange(self, sock, inside.closing(self, listening.accept()[0]))


class Edges(unittest.TestCase):

    def watch(self, sock, mask=select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP):
        self.poller = select.epoll()
        self.addCleanup(self.poller.close)
        self.poller.register(sock, mask | select.EPOLLET)

    def wait_for(self, *wanted):
        """Edges come until all of the wanted events have been reported."""
        seen = set()
        while not set(wanted) <= seen:
            reported = self.poller.poll(support.LIMIT)
            self.assertTrue(reported, f"waited for {wanted}, saw {seen}")
            seen |= names_of(reported[0][1])
        return seen

    def assert_quiet(self):
        self.assertEqual(self.poller.poll(0), [])

    def test_what_is_so_already_is_reported_once(self):
        near, far = inside.connection(self)
        far.sendall(b"a")
        inside.wait_for_events(near, {"IN", "OUT"})
        self.watch(near)
        self.wait_for("IN", "OUT")
        self.assert_quiet()

    def test_each_arrival(self):
        for side in SIDES:
            with self.subTest(server=side):
                near, far = inside.connection(self, side)
                self.watch(near, select.EPOLLIN)
                for size in (1, 2, 30_000):
                    far.sendall(b"x" * size)
                    self.wait_for("IN")
                    self.assertEqual(len(inside.receive(near, size)), size)

    def test_arrival_on_top_of_unread_bytes(self):
        near, far = inside.connection(self)
        self.watch(near, select.EPOLLIN)
        for _ in range(3):
            far.sendall(b"a")
            self.wait_for("IN")
            self.assert_quiet()

    def test_room_again(self):
        near, far = inside.connection(self)
        self.watch(near, select.EPOLLOUT)
        for _ in range(3):
            count = inside.fill(near)
            while self.poller.poll(0):
                pass
            self.assertEqual(len(inside.receive(far, count)), count)
            self.wait_for("OUT")

    def test_end_of_an_attempt(self):
        for address_of in (lambda: inside.listener(self)[1], lambda: (support.HOST, 1)):
            sock = inside.vsock(self)
            sock.setblocking(False)
            self.watch(sock, select.EPOLLOUT)
            self.wait_for("OUT")  # a fresh socket is writable
            self.assertIn(sock.connect_ex(address_of()), (0, errno.EINPROGRESS))
            self.wait_for("OUT")

    def test_each_connection_that_waits(self):
        listening, address = inside.listener(self)
        self.watch(listening, select.EPOLLIN)
        for _ in range(3):
            inside.vsock(self).connect(address)
            self.wait_for("IN")
        for _ in range(3):
            inside.closing(self, listening.accept()[0])

    def test_ends(self):
        for end in (lambda sock: sock.shutdown(socket.SHUT_WR), socket.socket.close):
            for side in SIDES:
                with self.subTest(server=side):
                    near, far = inside.connection(self, side)
                    self.watch(near, select.EPOLLIN | select.EPOLLRDHUP)
                    end(far)
                    self.wait_for("IN", "RDHUP")


if __name__ == "__main__":
    support.main(entered=True)
