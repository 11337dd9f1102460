#!/usr/bin/env python3
"""Connections leave nothing behind: descriptors, memory, table entries are where they were.

VMBUS_TEST_CYCLES says how many connections (3000 by default; 100000 is a good night's work).
"""

import json
import os
import socket
import subprocess
import unittest

import inside
import support

CYCLES = int(os.environ.get("VMBUS_TEST_CYCLES", "3000"))
WARM_UP = 60


def report(command):
    output = subprocess.run([support.VMBUS, command, "--json"], check=True, capture_output=True,
                            timeout=support.LIMIT).stdout
    return json.loads(output)


class Leaks(unittest.TestCase):

    def setUp(self):
        self.listeners = [inside.listener(self, side) for side in ("guest", "host")]

    def holdings(self):
        status = report("status")
        return {"descriptors": status["descriptors"], "sockets": status["sockets"],
                "clients": status["clients"],
                "guests": [(guest["name"], guest["channels"], guest["sockets"],
                            guest["guest_memory_bytes"]) for guest in status["guests"]]}

    def check(self, cycle, count):
        """`count` cycles hold no more than the first few did."""
        for number in range(WARM_UP):
            cycle(number)
        before = self.settled()
        for number in range(count):
            cycle(number)
        self.settle(before)
        with inside.vsock(self):
            self.assertLess(max(row["entry"] for row in report("ps")["sockets"]), count,
                            "entries of the table are not used again")

    def settle(self, before):
        after = {}

        def as_before():
            nonlocal after
            after = self.holdings()
            return after == before
        try:
            support.wait_until(as_before, limit=20)
        except AssertionError:
            self.assertEqual(after, before)

    def settled(self):
        """What is held once nothing is under way any more."""
        support.wait_until(lambda: report("status")["sockets"] == len(self.listeners), "quiet")
        support.wait_until(lambda: report("status")["guests"][0]["channels"] == 0, "no channels")
        return self.holdings()

    def test_connections(self):
        def cycle(number):
            listening, address = self.listeners[number % 2]
            with socket.socket(socket.AF_VSOCK) as client:
                client.connect(address)
                server, _ = listening.accept()
                with server:
                    client.sendall(b"x" * (number % 5000 + 1))
                    server.recv(1)
                    if number % 3 == 0:
                        client.close()
                    if number % 3 == 1:
                        server.shutdown(socket.SHUT_WR)
                        client.recv(1)

        self.check(cycle, CYCLES)

    def test_attempts_that_nobody_answers(self):
        def cycle(number):
            cid = (inside.GUEST, support.HOST)[number % 2]
            with socket.socket(socket.AF_VSOCK) as client, self.assertRaises(ConnectionResetError):
                client.connect((cid, 1))

        self.check(cycle, CYCLES // 10)

    def test_connections_that_nobody_accepts(self):
        def cycle(number):
            cid, bound = ((inside.GUEST, support.ANY), (support.HOST,) * 2)[number % 2]
            with socket.socket(socket.AF_VSOCK) as listening, \
                    socket.socket(socket.AF_VSOCK) as client:
                listening.bind((bound, support.ANY))
                listening.listen()
                client.connect((cid, listening.getsockname()[1]))

        self.check(cycle, CYCLES // 10)


if __name__ == "__main__":
    support.main(entered=True)
