#!/usr/bin/env python3
"""A program that maps its guest's memory and stores what it likes there disturbs its own guest's connections alone.

Guest `a` has the attackers; its connections, and the host's with it, are the victims': they may get errors and
wrong bytes, but nobody may crash or hang. Guest `b` and the host exchange checked bytes all the while.

VMBUS_HOSTILE_SECONDS says for how long, VMBUS_SEED with which seed; a failing run prints it.
By hand:  VMBUS_BIN_DIR=build/asan/bin VMBUS_HOSTILE_SECONDS=60 tests/fuzz/hostile_test.py
"""

import os
import pathlib
import random
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import support  # noqa: E402  pylint: disable=wrong-import-position

setUpModule = support.require_shim

SECONDS = int(os.environ.get("VMBUS_HOSTILE_SECONDS", "15"))
SEED = int(os.environ.get("VMBUS_SEED", random.SystemRandom().randrange(1 << 32)))
ROLES = str(support.BIN / "hostile_peer")
STRICT = {"VMBUS_QUIRKS": "room=ring"}
HOST, A, B = 2, 10, 11  # CIDs
# How long a role may take to come to its end: a connection's worth of bytes, with others at the processor.
END_LIMIT = 200


class HostilePeer(support.BusTest):

    def setUp(self):
        super().setUp()
        print(f"seed {SEED}, {SECONDS} s", flush=True)
        self.seed = SEED
        self.roles = []

    def start_role(self, partition, role, *numbers, mode="ring", **variables):
        # Each has a seed of its own.
        seed = () if role == "serve-honestly" else (self.seed,)
        self.seed += 1
        program = self.bus.start(ROLES, role, *numbers, *seed, as_=partition,
                                 environment={"VMBUS_MODE": mode, **variables})
        self.roles.append(program)
        return program

    def start_all(self):
        """In the order in which they are to end, the attackers first."""
        servers = [self.start_role("host", "serve-as-victim", 7000),
                   self.start_role("a", "serve-as-victim", 7001),
                   self.start_role("a", "serve-as-victim", 7002, mode="pump"),
                   self.start_role("host", "serve-as-victim", 7004, **STRICT),
                   self.start_role("host", "serve-honestly", 9000),
                   self.start_role("b", "serve-honestly", 9001)]
        for port in (7000, 7001, 7002, 7004, 9000, 9001):
            self.bus.wait_for_listener(port)
        honest = [self.start_role("b", "dial-honestly", HOST, 9000),
                  self.start_role("host", "dial-honestly", B, 9001)]
        victims = [self.start_role("a", "dial-as-victim", HOST, 7000),
                   self.start_role("a", "dial-as-victim", HOST, 7000),
                   self.start_role("a", "dial-as-victim", A, 7001),
                   self.start_role("host", "dial-as-victim", A, 7001),
                   self.start_role("host", "dial-as-victim", A, 7002),
                   self.start_role("a", "dial-as-victim", HOST, 7004, **STRICT),
                   self.start_role("host", "dial-as-victim", A, 7001, mode="pump")]
        attackers = [self.start_role("a", "attack", HOST, 7000) for _ in range(2)]
        return attackers + victims + honest + servers

    def watch(self, daemon):
        """Until the time is over: the daemon answers, and no role ends by itself."""
        slowest, end = 0.0, time.monotonic() + SECONDS
        while time.monotonic() < end:
            asked = time.monotonic()
            self.assertTrue(self.bus.json("status")["running"], daemon)
            self.assertIn("sockets", self.bus.json("ps"), daemon)
            slowest = max(slowest, time.monotonic() - asked)
            for role in (daemon, *self.roles):
                self.assertIsNone(role.process.poll(), role)
            support.select.select([], [], [], 0.5)
        print(f"the slowest answer of the daemon took {slowest:.2f} s", flush=True)

    def end_all(self, roles):
        outputs = []
        for role in roles:
            role.process.stdin.close()
        for role in roles:
            support.wait_until(lambda role=role: role.process.poll() is not None, f"the end of {role}", END_LIMIT)
            self.assertEqual(role.process.returncode, 0, role)
            outputs.append(role.output.decode().strip())
        return outputs

    def end(self, daemon):
        """With its sanitizers' last word: leaks are found at the end."""
        self.assertEqual(self.bus.vmbus("stop").returncode, 0)
        self.assertEqual(daemon.finish(), 0, daemon)
        self.assertNotRegex(daemon.errors.decode(errors="replace"), "Sanitizer|runtime error")

    def test_a_liar_disturbs_its_own_guest_alone(self):
        daemon = self.bus.start_daemon()
        self.bus.add_guest("a", "--cid", str(A))
        self.bus.add_guest("b", "--cid", str(B))
        before = self.bus.holdings()
        order = self.start_all()
        self.watch(daemon)
        attackers, others = order[:2], order[2:]
        outputs = self.end_all(attackers)
        for group in (others[:7], others[7:9], others[9:]):
            outputs += self.end_all(group)
        print(*outputs, sep="\n", flush=True)
        self.assert_all_did_something(outputs)
        counters = self.bus.json("status")["counters"]
        print({name: counters[name] for name in ("ring_faults", "bytes_direct", "requests")})
        self.bus.check_holdings(before)
        self.end(daemon)

    def assert_all_did_something(self, outputs):
        """An attack without lies, or without anybody to be lied to, shows nothing."""
        self.assertGreater(self.bus.json("status")["counters"]["ring_faults"], 0)
        for output in outputs:
            self.assertRegex(output, r"^(honest|victim|attacker): ")
            for number in re.findall(r"\d+", output)[:2]:
                self.assertGreater(int(number), 0, output)


# Accepts, and then neither sends nor receives.
MUTE = f"""
import socket, sys
listener = socket.socket(socket.AF_VSOCK)
listener.bind((socket.VMADDR_CID_ANY, 7003))
listener.listen()
held = [listener.accept() for _ in sys.stdin]
"""


class Pestered(support.BusTest):

    def run_role(self, role, **variables):
        server = self.bus.python(MUTE, as_="host")
        self.bus.wait_for_listener(7003)
        server.write(b"accept\n")
        program = self.bus.start(ROLES, role, str(HOST), "7003", as_="guest",
                                 environment={"VMBUS_MODE": "ring", **variables})
        output = program.check()
        server.check()
        self.bus.wait_for_sockets(0)
        return output

    def test_a_signal_ends_a_receive_whatever_a_liar_does_to_its_lane(self):
        for spin in ("0", "20", "1000"):
            with self.subTest(spin_us=spin):
                self.assertEqual(self.run_role("receive-pestered", VMBUS_SPIN_US=spin), b"interrupted\n")

    def test_a_signal_ends_a_strict_send_that_a_liar_shows_a_plug(self):
        self.assertEqual(self.run_role("send-pestered", **STRICT), b"interrupted\n")

    def test_what_somebody_read_before_he_died_is_given_back(self):
        self.assertEqual(self.run_role("receive-ahead"), b"given back\n")


if __name__ == "__main__":
    support.main()
