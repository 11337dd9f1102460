#!/usr/bin/env python3
"""A program that inherited sockets knows them whatever it does before its first call on them."""

import pathlib
import textwrap

import support
from support import PYTHON

setUpModule = support.require_shim

HERE = pathlib.Path(__file__).resolve().parent

# A forked child whose descriptor table has no room, on a socket that its parent made.
FULL_CHILD = textwrap.dedent("""
    import os, socket
    listener = socket.socket(socket.AF_VSOCK)
    listener.bind((socket.VMADDR_CID_ANY, 7000))
    listener.listen(1)
    client = socket.socket(socket.AF_VSOCK)
    client.connect((1, 7000))
    child = os.fork()
    if child == 0:
        try:
            while True:
                os.open("/dev/null", os.O_RDONLY)
        except OSError:
            client.shutdown(socket.SHUT_WR)
            os._exit(0)
    print(os.waitpid(child, 0)[1], listener.accept()[0].recv(1))
""")

# Clears what tells it its bus before its first socket.
FORGETFUL = textwrap.dedent("""
    import os
    os.environ.clear()
    import socket
    listener = socket.socket(socket.AF_VSOCK)
    listener.bind((socket.VMADDR_CID_ANY, 7000))
    listener.listen(1)
    print("listening", flush=True)
    input()
""")


class Inherited(support.BusTest):

    def setUp(self):
        super().setUp()
        self.program = support.compile_c(HERE / "inherited.c")

    def inherited(self, change):
        return self.bus.start(self.program, change).check().decode().split()

    def test_what_is_known_does_not_depend_on_when_it_is_asked(self):
        for change in ("nothing", "environment", "table", "limit", "memory"):
            with self.subTest(change):
                self.assertEqual(self.inherited(change), ["40", "5555", "EAGAIN"])

    def test_another_root(self):
        program = self.bus.start(self.program, "root")
        if program.finish() == 77:
            self.skipTest("nobody lets this user change its root")
        self.assertEqual(program.output.decode().split(), ["40", "5555", "EAGAIN"])

    def test_a_daemon_that_died_meanwhile_is_a_reset(self):
        self.bus.start_daemon()
        end = f"end {self.bus.json('status')['pid']}"
        self.assertEqual(self.inherited(end)[2], "ECONNRESET")


class Forked(support.BusTest):

    def test_a_child_with_a_full_table_asks_the_daemon_all_the_same(self):
        self.assertEqual(self.bus.python(FULL_CHILD).check(), b"0 b''\n")


class Environment(support.BusTest):

    def test_a_program_that_clears_its_variables_stays_on_its_bus(self):
        program = self.bus.start(PYTHON, "-c", FORGETFUL)
        program.wait_for_output(b"listening")
        self.bus.wait_for_listener(7000)
        program.finish(b"\n")


if __name__ == "__main__":
    support.main()
