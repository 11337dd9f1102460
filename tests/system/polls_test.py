#!/usr/bin/env python3
"""Waits that look at rings say what the kernel says of its own sockets: each test runs on both, and compares.

A thread looks at the rings of sockets that it has waited for and read before, so each test begins with that.
"""

import ctypes
import errno
import os
import platform
import select
import signal
import socket
import subprocess
import threading
import time
import unittest

import inside
import support

LIBC = ctypes.CDLL(None, use_errno=True)
ROUNDS = 40


class Epoll:
    name = "epoll"

    def __init__(self, *files):
        self.poller = select.epoll()
        for file in files:
            self.poller.register(file, select.EPOLLIN)

    def __call__(self, limit=support.LIMIT):
        return sorted(fd for fd, mask in self.poller.poll(limit) if mask & select.EPOLLIN)


class Poll:
    name = "poll"

    def __init__(self, *files):
        self.poller = select.poll()
        for file in files:
            self.poller.register(file, select.POLLIN)

    def __call__(self, limit=support.LIMIT):
        return sorted(fd for fd, mask in self.poller.poll(limit * 1000) if mask & select.POLLIN)


class Select:
    name = "select"

    def __init__(self, *files):
        self.files = files

    def __call__(self, limit=support.LIMIT):
        readable = select.select(self.files, [], [], limit)[0]
        return sorted(file if isinstance(file, int) else file.fileno() for file in readable)


WAYS = (Epoll, Poll, Select)


class EpollEvent(ctypes.Structure):
    _pack_ = 1 if platform.machine() == "x86_64" else 0
    _fields_ = [("events", ctypes.c_uint32), ("data", ctypes.c_uint64)]


class Pollfd(ctypes.Structure):
    _fields_ = [("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short)]


def warm(wait, one, other):
    """The thread waits for `one`, and reads it, until its waits look at the ring."""
    for _ in range(ROUNDS):
        other.sendall(b"warm")
        while one.fileno() not in wait():
            pass
        inside.receive(one, 4)


class Dual(unittest.TestCase):

    def pairs(self):
        """(name, one end, the other): the kernel's and the bus's."""
        yield "unix", *(inside.closing(self, sock) for sock in socket.socketpair())
        yield "bus", *inside.connection(self)
        yield "bus, other side", *inside.connection(self, "host")

    def pairs_like(self, sock):
        """Of the family of `sock`: another (one end, the other)."""
        if sock.family == socket.AF_UNIX:
            yield tuple(inside.closing(self, end) for end in socket.socketpair())
        else:
            yield inside.connection(self)

    def check(self, scenario, ways=WAYS):
        """`scenario(wait class, one, other)` comes to the same on each pair."""
        for way in ways:
            results = []
            for name, one, other in self.pairs():
                with self.subTest(way=way.name, pair=name):
                    results.append((name, scenario(way, one, other)))
            for name, result in results[1:]:
                with self.subTest(way=way.name, pair=name):
                    self.assertEqual(result, results[0][1])

    def pipe(self):
        ends = os.pipe()
        for end in ends:
            self.addCleanup(self.close_if_open, end)
        return ends

    @staticmethod
    def close_if_open(fd):
        try:
            os.close(fd)
        except OSError:
            pass


class Levels(Dual):

    def test_what_is_unread_is_said_again_and_again(self):
        def scenario(way, one, other):
            wait = way(one)
            warm(wait, one, other)
            said = [len(wait(0))]
            other.sendall(b"abcdef")
            for _ in range(100):
                said.append(len(wait()))
            one.recv(2)
            said.append(len(wait()))
            one.recv(4)
            said.append(len(wait(0)))
            said.append(len(wait(0.01)))
            return said
        self.check(scenario)

    def test_a_limit_is_kept(self):
        def scenario(way, one, other):
            wait = way(one)
            warm(wait, one, other)
            before = time.monotonic()
            found = wait(0.05)
            self.assertGreaterEqual(time.monotonic() - before, 0.049)
            return found
        self.check(scenario)

    def test_others_are_seen_beside_a_ring_that_is_never_empty(self):
        def scenario(way, one, other):
            reads, writes = self.pipe()
            wait = way(one, reads)
            warm(wait, one, other)
            other.sendall(b"never read")
            counts = [len(wait()) for _ in range(10)]
            os.write(writes, b"x")
            counts += [len(wait()) for _ in range(10)]
            os.read(reads, 1)
            inside.receive(one, len("never read"))
            counts.append(len(wait(0)))
            os.write(writes, b"x")
            counts.append(len(wait()))
            return counts
        self.check(scenario)

    def test_the_end_comes_after_the_last_bytes(self):
        def scenario(way, one, other):
            wait = way(one)
            warm(wait, one, other)
            other.sendall(b"last")
            other.close()
            read = []
            while not read or read[-1]:
                self.assertEqual(len(wait()), 1)
                read.append(one.recv(100))
            return b"".join(read), len(wait()), one.recv(1)
        self.check(scenario)

    def test_room_is_said_beside_bytes(self):
        def scenario(_way, one, other):
            wait = Poll(one)
            warm(wait, one, other)
            both = select.poll()
            both.register(one, select.POLLIN | select.POLLOUT)
            said = [both.poll(0)[0][1]]
            other.sendall(b"x")
            wait()
            said.append(both.poll(0)[0][1])
            one.recv(1)
            said.append(both.poll(0)[0][1])
            return said
        self.check(scenario, [Poll])


class Sets(Dual):
    """epoll instances whose members change."""

    def scenario_of(self, change, limit=0.05):
        """Bytes come after `change(poller, one)`: what is said."""
        def scenario(way, one, other):
            wait = way(one)
            warm(wait, one, other)
            change(wait.poller, one)
            other.sendall(b"x")
            return [len(wait(limit)), len(wait(limit))]
        return scenario

    def test_nothing_is_said_of_what_was_removed(self):
        self.check(self.scenario_of(lambda poller, one: poller.unregister(one)), [Epoll])
        self.check(self.scenario_of(lambda poller, one: poller.modify(one, 0)), [Epoll])

    def test_removed_and_added(self):
        def change(poller, one):
            poller.unregister(one)
            poller.register(one, select.EPOLLIN)
        self.check(self.scenario_of(change, support.LIMIT), [Epoll])

    def test_once_only(self):
        def change(poller, one):
            poller.modify(one, select.EPOLLIN | select.EPOLLONESHOT)
        self.check(self.scenario_of(change, 0.2), [Epoll])

    def test_edges(self):
        def scenario(way, one, other):
            wait = way(one)
            warm(wait, one, other)
            wait.poller.modify(one, select.EPOLLIN | select.EPOLLET)
            said = []
            for _ in range(20):
                other.sendall(b"four")
                said.append(len(wait()))
                said.append(len(wait(0)))
                inside.receive(one, 4)
            return said
        self.check(scenario, [Epoll])

    def test_a_copy_of_the_instance_changes_it(self):
        def by_duplicate(poller, one):
            copy = select.epoll.fromfd(os.dup(poller.fileno()))
            copy.unregister(one)
            copy.close()

        def by_passing(poller, one):
            ours, theirs = socket.socketpair()
            with ours, theirs:
                socket.send_fds(ours, [b"x"], [poller.fileno()])
                _, fds, _, _ = socket.recv_fds(theirs, 1, 1)
            copy = select.epoll.fromfd(fds[0])
            copy.unregister(one)
            copy.close()

        def by_child(poller, one):
            child = os.fork()
            if child == 0:
                poller.unregister(one)
                os._exit(0)
            os.waitpid(child, 0)

        def by_program(poller, one):
            fds = poller.fileno(), one.fileno()
            code = "import select, sys; select.epoll.fromfd(int(sys.argv[1])).unregister(int(sys.argv[2]))"
            subprocess.run([support.PYTHON, "-c", code, *map(str, fds)], pass_fds=fds, check=True)
        for change in (by_duplicate, by_passing, by_child, by_program):
            with self.subTest(change.__name__):
                self.check(self.scenario_of(change), [Epoll])

    def test_a_duplicate_keeps_its_place_when_the_descriptor_is_closed(self):
        def scenario(way, one, other):
            wait = way(one)
            warm(wait, one, other)
            copy = inside.closing(self, one.dup())
            number = one.fileno()
            one.close()
            other.sendall(b"x")
            return wait() == [number], copy.recv(1)
        self.check(scenario, [Epoll])

    def test_a_closed_descriptor_has_left(self):
        def scenario(way, one, other):
            wait = way(one)
            warm(wait, one, other)
            one.close()
            return wait(0.02)
        self.check(scenario, [Epoll])

    def test_another_socket_with_the_same_number_is_another(self):
        for make in (socket.socketpair, lambda: inside.connection(self)):
            wait_class = Epoll
            one, other = inside.connection(self)
            number = one.fileno()
            wait = wait_class(one)
            warm(wait, one, other)
            fresh, peer = make()
            os.dup2(fresh.fileno(), number)
            peer.sendall(b"x")
            self.assertEqual(wait(0.05), [])
            wait.poller.register(number, select.EPOLLIN)
            self.assertEqual(wait(), [number])
            fresh.close()

    def test_where_there_is_room_for_one_event_all_come_by_turns(self):
        def scenario(way, one, other):
            reads, writes = self.pipe()
            wait = way(one, reads)
            warm(wait, one, other)
            other.sendall(b"x")
            os.write(writes, b"x")
            seen, events = set(), [0]
            while len(seen) < 2 and len(events) == 1:
                events = wait.poller.poll(support.LIMIT, 1)
                seen |= {"pipe" if events[0][0] == reads else "socket"}
            return sorted(seen), len(events)
        self.check(scenario, [Epoll])

    def test_two_with_the_same_data_are_two(self):
        def scenario(_way, one, other):
            second, peer = next(self.pairs_like(one))
            instance = select.epoll()
            for sock, far in ((one, other), (second, peer)):
                warm(Poll(sock), sock, far)
                event = EpollEvent(select.EPOLLIN, 42)
                self.assertEqual(LIBC.epoll_ctl(instance.fileno(), 1, sock.fileno(), ctypes.byref(event)), 0)
                far.sendall(b"x")
                Poll(sock)()
            events = (EpollEvent * 4)()
            found = LIBC.epoll_wait(instance.fileno(), events, 4, 1000 * support.LIMIT)
            return [(event.events, event.data) for event in events[:found]]
        self.check(scenario, [Epoll])

    def test_an_instance_within_another(self):
        def scenario(way, one, other):
            inner = way(one)
            warm(inner, one, other)
            outer = way(inner.poller)
            other.sendall(b"x")
            return outer() == [inner.poller.fileno()], len(inner())
        self.check(scenario, [Epoll])

    def test_one_that_was_closed_and_made_again_is_empty(self):
        def scenario(way, one, other):
            wait = way(one)
            warm(wait, one, other)
            number = wait.poller.fileno()
            wait.poller.close()
            again = way()
            other.sendall(b"x")
            return again.poller.fileno() == number, again(0.02)
        self.check(scenario, [Epoll])


class Threads(Dual):

    def test_a_change_wakes_who_waits(self):
        def scenario(way, one, other):
            reads, writes = self.pipe()
            os.write(writes, b"x")
            wait = way(one)
            warm(wait, one, other)
            adder = threading.Thread(
                target=lambda: (self.wait_until_asleep(main),
                                wait.poller.register(reads, select.EPOLLIN)))
            main = threading.get_native_id()
            adder.start()
            found = wait()
            adder.join()
            return found == [reads]
        self.check(scenario, [Epoll])

    def test_bytes_wake_who_waits_in_each_thread(self):
        def scenario(way, one, other):
            wait = way(one)
            warm(wait, one, other)
            found, ready = [], threading.Event()

            def wait_elsewhere():
                ids.append(threading.get_native_id())
                ready.set()
                found.append(len(wait()))
            ids = []
            waiter = threading.Thread(target=wait_elsewhere)
            waiter.start()
            ready.wait()
            self.wait_until_asleep(ids[0])
            other.sendall(b"x")
            waiter.join(support.LIMIT)
            return found, len(wait())
        self.check(scenario)

    @staticmethod
    def wait_until_asleep(thread):
        def asleep():
            with open(f"/proc/self/task/{thread}/stat", encoding="ascii") as stat:
                return stat.read().rpartition(")")[2].split()[0] == "S"
        support.wait_until(asleep, "the thread to wait")


class Interrupted(Exception):
    pass


class Signals(Dual):

    def test_a_handler_ends_a_wait(self):
        def interrupt(_number, _frame):
            raise Interrupted

        def scenario(way, one, other):
            wait = way(one)
            warm(wait, one, other)
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            try:
                return wait()
            except Interrupted:
                return "interrupted"
        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            self.check(scenario)
        finally:
            signal.signal(signal.SIGALRM, before)


class Pointers(Dual):
    """Bad ones are refused, and nothing is lost."""

    def refused(self, call, *arguments):
        ctypes.set_errno(0)
        return call(*arguments), errno.errorcode.get(ctypes.get_errno())

    def test_of_poll_and_epoll(self):
        def scenario(way, one, other):
            wait = way(one)
            warm(wait, one, other)
            other.sendall(b"kept")
            wait()
            said = [self.refused(LIBC.poll, ctypes.c_void_p(8), 1, 0)]
            if way is Epoll:
                instance = wait.poller.fileno()
                said.append(self.refused(LIBC.epoll_wait, instance, ctypes.c_void_p(8), 4,
                                         1000 * support.LIMIT))
                said.append(self.refused(LIBC.epoll_wait, instance, ctypes.c_void_p(8), 0, 0))
                said.append(self.refused(LIBC.epoll_wait, instance, ctypes.c_void_p(8), -1, 0))
                said.append(self.refused(LIBC.epoll_ctl, instance, 3, one.fileno(),
                                         ctypes.c_void_p(8)))
            return said, inside.receive(one, 4)
        self.check(scenario, [Epoll, Poll])

    def test_illegal_limits(self):
        def scenario(way, one, other):
            wait = way(one)
            warm(wait, one, other)
            other.sendall(b"x")
            wait()
            asked = Pollfd(one.fileno(), select.POLLIN, 0)
            limit = (ctypes.c_long * 2)(0, 2_000_000_000)
            return [self.refused(LIBC.ppoll, ctypes.byref(asked), 1, limit, None),
                    self.refused(LIBC.pselect, 0, None, None, None, limit, None)]
        self.check(scenario, [Poll])


if __name__ == "__main__":
    support.main(entered=True, profiles=("default", "strict"))
