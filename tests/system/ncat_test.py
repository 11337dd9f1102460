#!/usr/bin/env python3
"""ncat --vsock on both sides: interactive, serving many with -k -e, files both ways."""

import hashlib
import random

import support
from support import GUEST, HOST

setUpModule = support.require_shim
PORT = 4001

# Who listens, as which CID, and who dials it.
SIDES = [("guest", GUEST, "host"), ("host", HOST, "guest")]


class Ncat(support.BusTest):

    def setUp(self):
        self.ncat = support.require_program("ncat")
        super().setUp()

    def listen(self, *options, as_):
        listener = self.bus.start(self.ncat, "--vsock", "-l", *options, PORT, as_=as_)
        self.bus.wait_for_listener(PORT, partition=as_)
        return listener

    def dial(self, cid, *options, as_, **keywords):
        return self.bus.start(self.ncat, "--vsock", *options, cid, PORT, as_=as_, **keywords)

    def test_interactive(self):
        for server, cid, client in SIDES:
            with self.subTest(server=server):
                listener = self.listen(as_=server)
                dialler = self.dial(cid, as_=client)
                dialler.write(b"knock\n")
                listener.wait_for_output(b"knock\n")
                listener.write(b"who is there?\n")
                dialler.wait_for_output(b"who is there?\n")
                dialler.write(b"ncat\n")
                listener.wait_for_output(b"knock\nncat\n")
                self.assertEqual(dialler.check(), b"who is there?\n")
                self.assertEqual(listener.check(), b"knock\nncat\n")

    def test_keeps_serving_with_a_program_for_each(self):
        for server, cid, client in SIDES:
            with self.subTest(server=server):
                listener = self.listen("-k", "-e", "/bin/cat", as_=server)
                diallers = [self.dial(cid, as_=client) for _ in range(3)]
                for number, dialler in enumerate(diallers):
                    dialler.write(b"%d" % number)
                # ncat drops what its program has not answered yet when the dialler's end comes.
                for number, dialler in enumerate(diallers):
                    dialler.wait_for_output(b"%d" % number)
                for number, dialler in enumerate(diallers):
                    self.assertEqual(dialler.check(), b"%d" % number)
                listener.kill()
                listener.finish()

    def test_file_from_dialler_to_listener(self):
        for server, cid, client in SIDES:
            with self.subTest(server=server):
                listener = self.listen("--recv-only", as_=server)
                self.check_file(self.dial(cid, "--send-only", as_=client), listener)

    def test_file_from_listener_to_dialler(self):
        for server, cid, client in SIDES:
            with self.subTest(server=server):
                listener = self.listen("--send-only", as_=server)
                self.check_file(listener, self.dial(cid, "--recv-only", as_=client))

    def check_file(self, sender, receiver):
        content = random.Random(4001).randbytes(3_000_017)
        sender.check(content)
        received = receiver.check()
        self.assertEqual((len(received), hashlib.sha256(received).digest()),
                         (len(content), hashlib.sha256(content).digest()))

    def test_nobody_listens(self):
        for _, cid, client in SIDES:
            with self.subTest(client=client):
                dialler = self.dial(cid, as_=client)
                self.assertNotEqual(dialler.finish(b"hello"), 0)
                self.assertIn(b"Connection reset by peer", dialler.errors)


if __name__ == "__main__":
    support.main()
