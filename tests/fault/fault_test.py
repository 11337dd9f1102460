#!/usr/bin/env python3
"""kill -9 at each store of the data path: who is left reads what was published, and nothing stays behind.

The points are those of ringbuf/fault_points.inc. Each situation is run once without a kill, to learn which points it
passes; then once for each of these and each of PASSES, with a kill there. Some a run passes only as the processes meet,
so a run may end without a death; a point where nobody died in any of them is a failure. The list says whose a point is.
"""

import array
import errno
import os
import pathlib
import re
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import support  # noqa: E402  pylint: disable=wrong-import-position

setUpModule = support.require_shim

ROLES = str(support.BIN / "fault_roles")
POINTS_FILE = support.ROOT / "ringbuf" / "fault_points.inc"
POINTS = re.findall(r"^VMBUS_POINT\((\w+)\)", POINTS_FILE.read_text(encoding="utf-8"), re.MULTILINE)
SENDERS = POINTS[:POINTS.index("kReceiveGateTaken")]
RECEIVERS = POINTS[len(SENDERS):POINTS.index("kGateGiven")]
BOTH = ["kGateGiven", "kBellSet"]
DAEMONS = POINTS[POINTS.index("kPumpInTaken"):]
PORT = 7000
PASSES = (1, 4)  # the death is at the first, or at the fourth time
LATER_PASSES = (1, 4, 8)  # the daemon's: later, bytes wait in a carrier
MORE_ROUNDS = 10  # for points that a run passes by chance alone
LIMIT = 10  # seconds, for the survivor to see the end
KILLED = -signal.SIGKILL
GONE = (errno.EPIPE, errno.ECONNRESET)

# Name: bytes in all; then of the sender and the receiver: longest piece, habit, environment.
RING, COLD, PUMP = {"VMBUS_MODE": "ring"}, {"VMBUS_MODE": "ring", "VMBUS_SPIN_US": "0"}, {"VMBUS_MODE": "pump"}
STRICT = {"VMBUS_MODE": "ring", "VMBUS_QUIRKS": "room=ring"}
SMALL, LARGE = 40_000, 3_000_000
SITUATIONS = {
    "small": (SMALL, (64, "calm", RING), (4096, "calm", RING)),
    "small without spinning": (SMALL, (64, "calm", COLD), (4096, "calm", COLD)),
    "handlers": (SMALL, (700, "signals", COLD), (4096, "signals", COLD)),
    "large": (LARGE, (200_000, "calm", RING), (100_000, "calm", RING)),
    "slow reader": (LARGE, (200_000, "calm", COLD), (3000, "signals", COLD)),
    "polls unseen": (400_000, (64, "calm", RING), (4096, "raw", RING)),
    "polls unseen, handlers": (LARGE, (700, "signals", RING), (4096, "raw", RING)),
    "polls": (LARGE, (50_000, "poll", RING), (50_000, "poll", RING)),
    "polls, slow reader": (LARGE, (200_000, "poll", COLD), (3000, "signals", COLD)),
    "reader without rings": (LARGE, (50_000, "calm", RING), (50_000, "calm", PUMP)),
    "strict rings": (LARGE, (50_000, "calm", STRICT), (50_000, "poll", STRICT)),
    "writer without rings": (LARGE, (50_000, "calm", PUMP), (50_000, "signals", RING)),
}


def stream(count):
    """The first bytes of the stream."""
    return array.array("Q", range(count // 8 + 1)).tobytes()[:count]


def record(number, count):
    return array.array("Q", range(number << 32, (number << 32) + count // 8 + 1)).tobytes()[:count]


def records_of(situation):
    """Who shares an end must have rung the daemon several times before it has a feed."""
    return 1000 if situation == "polls unseen" else 200


def lengths(piece):
    """As fault_roles chooses them."""
    state = 1
    while True:
        state = (state * 1103515245 + 12345) % (1 << 32)
        yield 1 + (state >> 4) % piece


def says(program, what):
    """The numbers that it said with this word."""
    return [int(number) for number in re.findall(rf"^{what} (\d+)$", program.output.decode(), re.MULTILINE)]


class FaultTest(support.BusTest):

    def setUp(self):
        super().setUp()
        self.slowest = 0.0
        self.deaths = []
        self.file = support.scratch() / "received"
        self.notes = support.scratch() / "notes"

    def start_pair(self, situation, fault=None, who=None, shared=None):
        """(sender, receiver), one of which has VMBUS_FAULT, or shares its end with a child that has."""
        total, sends, receives = SITUATIONS[situation]
        self.file.unlink(missing_ok=True)
        programs = {}
        for role, (piece, habit, mode) in (("receive", receives), ("send", sends)):
            environment = dict(mode)
            if role == who:
                environment["CHILD_FAULT" if shared else "VMBUS_FAULT"] = fault
            count = total if role == "send" else 0
            if role == "send" and role == shared:
                count = records_of(situation)
            name = role + ("-shared" if role == shared else "")
            words = [PORT] if role == "receive" else [support.HOST, PORT]
            programs[role] = self.bus.start(ROLES, name, *words, piece, count, habit, self.file,
                                            as_="host" if role == "receive" else "guest", environment=environment)
            if role == "receive":
                self.bus.wait_for_listener(PORT)
        return programs["send"], programs["receive"]

    def points_of(self, run, situation, wanted):
        """Which of `wanted` the situation passes."""
        self.notes.unlink(missing_ok=True)
        run(situation, f"note:{self.notes}")
        passed = self.notes.read_text(encoding="utf-8").split() if self.notes.exists() else []
        return [point for point in wanted if point in passed]

    def check_all(self, run, wanted, situations=tuple(SITUATIONS), passes=PASSES):
        for situation in situations:
            for point in self.points_of(run, situation, wanted):
                for nth in passes:
                    self.check(run, situation, point, nth)
        for _ in range(MORE_ROUNDS):
            for point in [point for point in wanted if point not in self.deaths]:
                for situation in situations:
                    self.check(run, situation, point, 1)
        print(f"{len(self.deaths)} deaths; the slowest end came {self.slowest:.2f} s later", flush=True)
        self.assertEqual(set(wanted) - set(self.deaths), set(), "points where nobody died")

    def check(self, run, situation, point, nth):
        with self.subTest(situation=situation, point=point, nth=nth):
            run(situation, f"{point}:{nth}")

    def finish(self, program, limit=LIMIT):
        """Its end, which comes within the limit."""
        started = time.monotonic()
        support.wait_until(lambda: program.process.poll() is not None, f"the end of {program}", limit)
        self.slowest = max(self.slowest, time.monotonic() - started)

    def ended_as_planned(self, program, fault):
        """Waits for the one that is to die. Whether it did."""
        support.wait_until(lambda: program.process.poll() is not None, f"the death of {program}")
        return self.note_death(program.process.returncode == KILLED, fault, program)

    def note_death(self, died, fault, program):
        if died:
            self.deaths.append(fault.split(":")[0])
        else:
            self.assertIn(program.process.poll(), (0, None), program)
        return died

    def received(self):
        return self.file.read_bytes() if self.file.exists() else b""

    def check_prefix(self, sent, longest):
        """`sent` bytes went out for certain, and at most one call's more."""
        received = self.received()
        self.assertEqual(received, stream(len(received)), "not what was sent")
        self.assertGreaterEqual(len(received), sent, "bytes that a send returned for are lost")
        self.assertLessEqual(len(received), sent + longest)


class Programs(FaultTest):
    """Who dies is a program: the daemon goes on, and holds no more than before."""

    def setUp(self):
        super().setUp()
        self.daemon = self.bus.start_daemon()
        self.before = self.bus.holdings()

    def tearDown(self):
        self.bus.check_holdings(self.before)
        super().tearDown()


class Senders(Programs):

    def run_one(self, situation, fault):
        sender, receiver = self.start_pair(situation, fault, "send")
        self.ended_as_planned(sender, fault)
        self.finish(receiver)
        self.assertEqual((receiver.process.returncode, says(receiver, "end")), (0, [0]), receiver)
        self.check_prefix(sum(says(sender, "sent")), SITUATIONS[situation][1][0])
        self.bus.wait_for_sockets(0)

    def test_the_receiver_reads_what_was_published(self):
        self.check_all(self.run_one, SENDERS + BOTH)


class Receivers(Programs):

    def run_one(self, situation, fault):
        sender, receiver = self.start_pair(situation, fault, "receive")
        died = self.ended_as_planned(receiver, fault)
        self.finish(sender)
        self.assertEqual(sender.process.returncode, 0, sender)
        received = self.received()
        self.assertEqual(received, stream(len(received)))
        total = SITUATIONS[situation][0]
        if not died:
            self.assertEqual(len(received), total)
        elif says(sender, "failed") or total == LARGE and len(received) < total // 2:
            self.assertIn(says(sender, "failed")[0], GONE, sender)
        self.bus.wait_for_sockets(0)

    def test_the_sender_learns_of_it(self):
        self.check_all(self.run_one, RECEIVERS + BOTH)


class Holders(Programs):
    """Two processes take turns at one socket, and one dies in its call: the other one goes on."""

    SHARED = ("small", "small without spinning", "handlers", "large", "slow reader",
              "polls unseen", "polls, slow reader", "strict rings", "reader without rings")

    def run_senders(self, situation, fault):
        sender, receiver = self.start_pair(situation, fault, "send", shared="send")
        self.finish(sender, support.LIMIT)
        self.finish(receiver)
        self.assertEqual((sender.process.returncode, receiver.process.returncode), (0, 0), sender)
        self.note_death(says(sender, "child-killed") == [signal.SIGKILL], fault, sender)
        self.check_records(sender, SITUATIONS[situation][1][0], records_of(situation))
        self.bus.wait_for_sockets(0)

    def check_records(self, sender, piece, count):
        """All whole but for the one that the child was about to send when it died."""
        begun, whole = says(sender, "child-begins"), set(says(sender, "child-ends"))
        torn = [number for number in begun if number not in whole]
        self.assertEqual(bool(torn), says(sender, "child-killed") == [signal.SIGKILL], sender)
        whole.update(says(sender, "parent-ends"))
        self.assertEqual(set(says(sender, "parent-ends")), set(range(1, count, 2)))
        expected, rest = b"", self.received()
        for number, length in zip(range(count), lengths(piece)):
            data = record(number, length)
            if number in whole:
                expected += data
            elif number in torn:
                self.assertTrue(rest.startswith(expected), "before the death")
                rest, expected = rest[len(expected):], b""
                rest = rest[len(os.path.commonprefix([rest, data])):]
                # What follows it may begin as it goes on.
                torn_data = data
        if rest != expected and torn:
            extra = len(expected) - len(rest)
            self.assertTrue(0 <= extra < 8 and expected.endswith(rest) and torn_data, "after the death")
        else:
            self.assertEqual(rest, expected, "after the death")

    def run_receivers(self, situation, fault):
        sender, receiver = self.start_pair(situation, fault, "receive", shared="receive")
        self.finish(receiver, support.LIMIT)
        self.finish(sender)
        self.assertEqual((sender.process.returncode, receiver.process.returncode), (0, 0), receiver)
        total, _, (piece, _, _) = SITUATIONS[situation]
        received, whole = self.received(), stream(total)
        lost = total - len(received)
        killed = self.note_death(says(receiver, "child-killed") == [signal.SIGKILL], fault, receiver)
        self.assertTrue(lost == 0 or killed and 0 < lost <= piece, f"{lost} bytes are lost")
        before = len(os.path.commonprefix([received, whole]))
        self.assertTrue(whole.endswith(received[before:]), "lost in one piece, and nothing else changed")
        self.bus.wait_for_sockets(0)

    def test_of_a_sending_socket(self):
        self.check_all(self.run_senders, SENDERS + BOTH, self.SHARED)

    def test_of_a_receiving_socket(self):
        # Whether the child is the one that meets the end is chance; Receivers sees to that point.
        wanted = [point for point in RECEIVERS + BOTH if point != "kReceiveAtFin"]
        self.check_all(self.run_receivers, wanted, self.SHARED)


class Daemons(FaultTest):
    """The daemon dies: both programs learn of it, and what was received is a prefix of what was sent."""

    def run_one(self, situation, fault):
        daemon = support.Program(self, [support.VMBUSD, "--foreground"],
                                 self.bus.environment(VMBUS_FAULT=fault))
        support.wait_until(lambda: self.bus.json("status")["running"])
        sender, receiver = self.start_pair(situation)
        is_note = fault.startswith("note:")
        if not is_note:
            support.wait_until(lambda: daemon.process.poll() is not None or None not in
                               (sender.process.poll(), receiver.process.poll()), "a death, or the end")
        self.finish(sender, support.LIMIT if is_note else LIMIT)
        self.finish(receiver)
        received = self.received()
        self.assertEqual(received, stream(len(received)), "not what was sent")
        self.assertEqual((sender.process.returncode, receiver.process.returncode), (0, 0), receiver)
        if self.note_death(daemon.process.poll() == KILLED, fault, daemon):
            self.assertTrue(says(receiver, "end") or says(receiver, "failed")[0] in GONE, receiver)
        else:
            self.assertEqual(len(received), SITUATIONS[situation][0])
            self.assertEqual(self.bus.vmbus("stop").returncode, 0)
            self.finish(daemon)

    def test_both_learn_of_it(self):
        self.check_all(self.run_one, DAEMONS + ["kGateGiven"],
                       ("small without spinning", "slow reader", "polls", "reader without rings",
                        "writer without rings"), LATER_PASSES)


if __name__ == "__main__":
    support.main()
