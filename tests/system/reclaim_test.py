#!/usr/bin/env python3
"""Rings at rest give their memory back while real programs are at them, and no byte gets lost."""

import mmap
import os
import pathlib
import re
import textwrap
import unittest

import support
from ring_test import CID_HOST, ECHO, NO_SPIN, PUMP, RING, SHORT_LIVED, TALKER
from support import GUEST, PYTHON

setUpModule = support.require_shim

PAGE = 4096

# An echo of rounds of 1 MiB; each waits for a line, so that a rest comes in between.
ROUNDS = textwrap.dedent("""
    import hashlib, random, socket, sys, threading
    sock = socket.socket(socket.AF_VSOCK)
    sock.connect((int(sys.argv[1]), 7000))
    random.seed(1)
    for number, _ in enumerate(sys.stdin):
        data = random.randbytes(1 << 20)
        sender = threading.Thread(target=sock.sendall, args=(data,))
        sender.start()
        back = b""
        while len(back) < len(data):
            back += sock.recv(65536)
        sender.join()
        assert back == data
        print("round", number, flush=True)
""")


# At a line, a program makes many connections to itself, each of which carries a byte; at another one all carry more.
MANY = textwrap.dedent("""
    import socket, sys
    count = int(sys.argv[1])
    def carry(pairs, message):
        for near, far in pairs:
            near.sendall(message)
            assert far.recv(len(message), socket.MSG_WAITALL) == message
            far.sendall(message)
            assert near.recv(len(message), socket.MSG_WAITALL) == message
    listener = socket.socket(socket.AF_VSOCK)
    listener.bind((socket.VMADDR_CID_ANY, 7000))
    listener.listen()
    pairs = []
    print("listening", flush=True)
    sys.stdin.readline()
    for _ in range(count):
        near = socket.socket(socket.AF_VSOCK)
        near.connect((1, 7000))
        pairs.append((near, listener.accept()[0]))
        carry(pairs[-1:], b".")
    print("made", flush=True)
    sys.stdin.readline()
    carry(pairs, b"again" * 1000)
    print("carried", flush=True)
""")


def page_tables(pid):
    """In KiB."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmPTE:\s+(\d+) kB", status).group(1))


def kernel_gives_tables_back():
    """Asks it: 32 pages with a table each."""
    step, count = 2 << 20, 32
    file = os.memfd_create("vmbus-probe")
    try:
        os.truncate(file, count * step)
        with mmap.mmap(file, count * step) as memory:
            for page in range(count):
                memory[page * step] = 1
            before = page_tables("self")
            memory.madvise(mmap.MADV_DONTNEED)
            return page_tables("self") <= before - 4 * count // 2
    finally:
        os.close(file)


needs_tables_back = unittest.skipUnless(kernel_gives_tables_back(), "this kernel keeps page tables that map nothing")


def memory_of_guests(daemon_pid):
    """Bytes of the memory files of all partitions."""
    total = 0
    for entry in pathlib.Path(f"/proc/{daemon_pid}/fd").iterdir():
        if os.readlink(entry).startswith("/memfd:vmbus-guest-memory"):
            total += entry.stat().st_blocks * 512
    return total


class Reclaim(support.BusTest):

    def given_back(self):
        return self.bus.json("status")["counters"]["rings_given_back"]

    def start_echo(self, environment, as_):
        server = self.bus.start(PYTHON, "-c", ECHO.replace("(2, 7000)", "(socket.VMADDR_CID_ANY, 7000)"),
                                environment=environment, as_=as_)
        server.wait_for_output(b"listening")
        return server

    def check_rests(self, near, far, cid):
        daemon = self.bus.start_daemon("--ring-rest", "20")
        self.start_echo(far, "host" if cid == CID_HOST else "guest")
        client = self.bus.start(PYTHON, "-c", ROUNDS, str(cid), environment=near,
                                as_="host" if cid == GUEST else "guest")

        def has_given_all_back():
            # What is left: two control pages, and some of lanes and bells.
            return memory_of_guests(daemon.process.pid) <= 8 * PAGE
        for number in range(4):
            before = self.given_back()
            client.write(b"\n")
            client.wait_for_output(b"round %d" % number)
            support.wait_until(has_given_all_back, "the rings' memory")
            self.assertGreaterEqual(self.given_back(), before + 2)
        client.check()

    def test_a_rest_of_rings_that_programs_work(self):
        self.check_rests(RING, RING, CID_HOST)

    def test_a_rest_of_rings_of_programs_that_sleep(self):
        self.check_rests(NO_SPIN, NO_SPIN, GUEST)

    def test_a_rest_of_rings_that_the_daemon_works(self):
        self.check_rests(PUMP, PUMP, CID_HOST)

    def test_a_rest_of_a_loopback_connection_that_programs_work(self):
        self.check_rests(RING, RING, 1)

    def test_a_rest_of_a_loopback_connection_that_the_daemon_works(self):
        self.check_rests(PUMP, PUMP, 1)

    # With no rest at all, free pages go each millisecond, whatever is under way.
    def test_every_byte_arrives_while_pages_go_all_the_time(self):
        self.bus.start_daemon("--ring-rest", "0")
        for near, far, cid in ((RING, RING, CID_HOST), (RING, PUMP, CID_HOST), (PUMP, PUMP, CID_HOST),
                               (NO_SPIN, RING, CID_HOST), (RING, NO_SPIN, GUEST), (RING, RING, 1), (PUMP, PUMP, 1)):
            with self.subTest(near=near, far=far, cid=cid):
                before = self.given_back()
                server = self.bus.start(PYTHON, "-c", TALKER, "server", "1", "12", environment=far,
                                        as_="host" if cid == CID_HOST else "guest")
                self.bus.wait_for_listener(7000)
                client = self.bus.start(PYTHON, "-c", TALKER, "client", "2", "12", str(cid),
                                        environment=near, as_="host" if cid == GUEST else "guest")
                sent, received = client.check().split()
                self.assertEqual(server.check().split(), [received, sent])
                self.assertGreater(self.given_back(), before)
                self.bus.wait_for_sockets(0)

    # A pair of rings takes a quarter of a table, 1 KiB, of each process that touches it.
    def check_page_tables(self, environment):
        daemon = self.bus.start_daemon("--ring-rest", "20").pid
        program = self.bus.start(PYTHON, "-c", MANY, "512", environment=environment)
        program.wait_for_output(b"listening")
        pids = (daemon, program.pid)
        before = [page_tables(pid) for pid in pids]
        program.write(b"\n")
        program.wait_for_output(b"made")
        for pid, tables in zip(pids, before):
            support.wait_until(lambda pid=pid, tables=tables: page_tables(pid) - tables < 200, f"page tables of {pid}")
        program.write(b"\n")
        program.wait_for_output(b"carried")
        program.check()

    @needs_tables_back
    def test_page_tables_of_rings_at_rest_that_programs_work_go(self):
        self.check_page_tables(RING)

    @needs_tables_back
    def test_page_tables_of_rings_at_rest_that_the_daemon_works_go(self):
        self.check_page_tables(PUMP)

    def test_programs_that_are_killed_at_it_leave_nothing_behind(self):
        self.bus.start_daemon("--ring-rest", "0")
        self.start_echo(RING, "host")
        for _ in range(20):
            programs = [self.bus.start(PYTHON, "-c", SHORT_LIVED, environment=RING) for _ in range(2)]
            for program in programs:
                program.wait_for_output(b"connected")
            for program in programs:
                program.kill()
                program.process.wait(support.LIMIT)
            self.bus.wait_for_sockets(1)
        self.assertGreater(self.given_back(), 0)
        status = self.bus.json("status")
        self.assertEqual(sum(guest["channels"] for guest in status["guests"]), 0)


if __name__ == "__main__":
    support.main()
