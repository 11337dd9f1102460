#!/usr/bin/env python3
"""Two programs under the shim, stopped and killed at any moment: every byte arrives in its place, nobody hangs.

A round is two processes and some connections between them; what they do is drawn from the seed and the round's
number (class Round). Meanwhile ring_watch parses the guest's rings as a stranger would.

    VMBUS_STRESS_SECONDS, VMBUS_STRESS_TRANSFERS   how long; whichever comes first
    VMBUS_SEED            the seed; a failing run prints it
    VMBUS_STRESS_ROUND    this round alone, VMBUS_STRESS_TIMES times
"""

import mmap
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import support  # noqa: E402  pylint: disable=wrong-import-position

setUpModule = support.require_shim

SEED = int(os.environ.get("VMBUS_SEED", random.SystemRandom().randrange(1 << 32)))
TRANSFERS = int(os.environ.get("VMBUS_STRESS_TRANSFERS", "1000000000"))
SECONDS = float(os.environ.get("VMBUS_STRESS_SECONDS", "25" if TRANSFERS == 1000000000 else "1000000"))
ONLY = os.environ.get("VMBUS_STRESS_ROUND")
TIMES = int(os.environ.get("VMBUS_STRESS_TIMES", "1"))
PEER, WATCH = str(support.BIN / "stress_peer"), str(support.BIN / "ring_watch")
PORT, WATCH_PORT = 7000, 7100
STANDSTILL = 40  # seconds without a single byte, while nobody is stopped
END_LIMIT = 60  # seconds, for a survivor
KILLED = -signal.SIGKILL

BLOCKING = "blocking"
WAYS = (BLOCKING, "poll", "select", "level", "edge", "uring")
LIKELY_WAYS = (*WAYS, "edge")  # who waits for edges looks longest before he waits
RING, COLD, PUMP = {"VMBUS_MODE": "ring"}, {"VMBUS_MODE": "ring", "VMBUS_SPIN_US": "0"}, {"VMBUS_MODE": "pump"}
# Near and far end; RING on both is what most are to be.
MODES = ((RING, RING), (RING, RING), (COLD, RING), (RING, COLD), (COLD, COLD), (RING, PUMP), (PUMP, RING))
SMALL_RINGS = "client-ring=24576,accepted-ring=24576"
QUIRKS = ("", "", SMALL_RINGS, f"{SMALL_RINGS},packet=4088", f"{SMALL_RINGS},room=ring,packet=4088",
          f"{SMALL_RINGS},room=ring,credit=drained,packet=4088")
# Who dials whom: partition of the dialler, of the server, and the CID.
PLACES = (("guest", "host", support.HOST), ("host", "guest", support.GUEST), ("guest", "guest", 1))
# Bytes of the longest transfer, and how many of them: beyond every ring, and next to nothing.
SIZES = ((64, 2500), (3000, 2000), (20_000, 1200), (70_000, 600), (700_000, 120))


class Progress:
    """What progress.h says of one end."""

    WORDS = 6 + 5 * 8

    def __init__(self, path):
        self.path = path
        path.write_bytes(bytes(8 * self.WORDS))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 8 * self.WORDS)

    def word(self, index):
        return int.from_bytes(self._map[8 * index:8 * index + 8], "little")

    transfers = property(lambda self: self.word(0))
    calls = property(lambda self: self.word(1))
    waits = property(lambda self: {"in": self.word(2), "out": self.word(3)})
    refused = property(lambda self: self.word(4))
    connections = property(lambda self: self.word(5))

    def connection(self, number):
        names = ("begun", "sent", "received", "out_end", "in_end")
        return dict(zip(names, (self.word(6 + 5 * number + i) for i in range(5))))


class Round:
    """What is drawn for one round: the words of both programs, their environment, and who is hit when."""

    def __init__(self, number):
        self.random = draw = random.Random(f"{SEED}/{number}")
        self.number = number
        longest, transfers = draw.choice(SIZES)
        self.dialler_in, self.server_in, self.cid = draw.choice(PLACES)
        self.connections = draw.randint(1, 3)
        # Ends that take turns need every single wake-up, and their time.
        ahead = draw.choice((0, 0, 1, 1, 5))
        transfers = min(transfers, 500) if ahead else transfers
        self.transfers = draw.randint(transfers // 4 + 1, transfers)
        self.environments = [dict(mode) for mode in draw.choice(MODES)]
        if quirks := draw.choice(QUIRKS):
            for environment in self.environments:
                environment["VMBUS_QUIRKS"] = quirks
        if draw.random() < 0.15:  # an end that only the daemon's pump works
            pumped = draw.choice(self.environments)
            pumped["VMBUS_QUIRKS"] = pumped.get("VMBUS_QUIRKS", "loopback=on") + ",low-water-poll=on"
        self.kills = draw.random() < 0.3
        common = [f"port={PORT}", f"seed={draw.randrange(1 << 60)}", f"connections={self.connections}",
                  f"transfers={self.transfers}", f"longest={longest}", f"ahead={ahead}"]
        common += ["may-break"] if self.kills else []
        # Each way has its turn; the others at the two ends are chance.
        ways = [draw.choice(LIKELY_WAYS) for _ in range(4)]
        ways[draw.randrange(4)] = WAYS[number % len(WAYS)]
        self.ways = (tuple(ways[:2]), tuple(ways[2:]))
        self.words = [common + self.draw_end(*ways) for ways in self.ways]
        self.words[0] += ["dials", f"cid={self.cid}"]
        for words, cpus in zip(self.words, self.draw_cpus()):
            words.append(f"cpus={','.join(map(str, cpus))}")
        self.draw_blows()

    def draw_end(self, way_in, way_out):
        draw = self.random
        words = [f"in={way_in}", f"out={way_out}", f"pauses={draw.choice((0, 0, 30, 400))}"]
        if BLOCKING not in (way_in, way_out):
            words += draw.choice(([], ["mixes"], ["mixes"], ["nonblocking"], ["nonblocking", "loops"], ["loops"]))
        words += draw.choice(([], ["odd"]))
        words += draw.choice(([], [], ["signal-ms=7"], ["signal-ms=3", "restarts"]))
        return words

    def draw_cpus(self):
        cpus = sorted(os.sched_getaffinity(0))
        one, other = cpus[0], cpus[-1]
        return self.random.choice((([one], [one]), ([one], [other]), (cpus, cpus)))

    def draw_blows(self):
        """[(part of all transfers, who: 0 or 1 or both, seconds it is stopped or None: killed)]"""
        draw = self.random
        count = draw.choice((0, 0, 2, 6))
        self.blows = [(draw.random(), draw.choice(((0,), (1,), (0, 1))), draw.choice((0, 0.001, 0.02, 0.1)))
                      for _ in range(count)]
        if self.kills:
            last = draw.random()
            self.blows = [blow for blow in self.blows if blow[0] < last]
            self.blows.append((last, (draw.randrange(2),), None))
        self.blows.sort(key=lambda blow: blow[0])

    def __str__(self):
        lines = [f"VMBUS_SEED={SEED} VMBUS_STRESS_ROUND={self.number}"]
        for place, environment, words in zip((self.dialler_in, self.server_in), self.environments, self.words):
            lines.append(f"{place} {environment} {' '.join(words)}")
        return "\n  ".join([*lines, str(self.blows)])


class Pair:
    """The two processes of a round, dialler first."""

    def __init__(self, test, plan):
        self.test, self.plan = test, plan
        self.progress = [Progress(support.scratch() / name) for name in ("dialler", "server")]
        self.killed = None
        server = self.start(1)
        test.bus.wait_for_listener(PORT)
        self.programs = [self.start(0), server]
        self.stopped, self.stops = False, 0
        self.last = (0, time.monotonic())  # calls, and when they became more

    def start(self, side):
        plan = self.plan
        return self.test.bus.start(PEER, *plan.words[side], f"progress={self.progress[side].path}",
                                   as_=(plan.dialler_in, plan.server_in)[side],
                                   environment=plan.environments[side])

    @property
    def transfers(self):
        return sum(progress.transfers for progress in self.progress)

    def has_ended(self):
        return all(program.process.poll() is not None for program in self.programs)

    def has_failed(self):
        return any(program.process.poll() not in (None, 0, KILLED if number == self.killed else 0)
                   for number, program in enumerate(self.programs))

    def wait_until(self, condition):
        """Or until both have ended. A standstill is an error."""
        pause = threading.Event()
        while not condition() and not self.has_ended() and not self.has_failed():
            pause.wait(0.0005)
            calls = sum(progress.calls + progress.connections for progress in self.progress)
            if calls != self.last[0]:
                self.last = (calls, time.monotonic())
            if time.monotonic() - self.last[1] > STANDSTILL:
                raise AssertionError(f"a standstill\n{self.describe()}")

    def hit(self, sides, seconds):
        targets = [self.programs[side] for side in sides if self.programs[side].process.poll() is None]
        for target in targets:
            target.kill(signal.SIGKILL if seconds is None else signal.SIGSTOP)
        if seconds is None:
            self.killed = sides[0]
            # A server has nobody more to wait for.
            self.programs[1 - self.killed].process.stdin.close()
            return
        threading.Event().wait(seconds)
        self.stops += len(targets)
        for target in targets:
            target.kill(signal.SIGCONT)

    def run(self):
        planned = 2 * self.plan.connections * self.plan.transfers
        for part, sides, seconds in self.plan.blows:
            self.wait_until(lambda part=part: self.transfers >= part * planned)
            self.hit(sides, seconds)
        self.wait_until(lambda: False)
        self.judge()

    def judge(self):
        for number, program in enumerate(self.programs):
            support.wait_until(lambda program=program: program.process.poll() is not None,
                               f"the end of\n{self.describe()}", END_LIMIT)
            expected = (0, KILLED) if number == self.killed else (0,)
            self.test.assertIn(program.process.returncode, expected, self.describe())
        if self.killed is not None and self.programs[self.killed].process.returncode == KILLED:
            self.judge_survivor(self.progress[1 - self.killed], self.progress[self.killed])
        else:
            self.test.assertEqual({progress.connections for progress in self.progress},
                                  {self.plan.connections}, self.describe())

    def judge_survivor(self, survivor, victim):
        """That all bytes were right it has seen itself; here, that they are as many as can be."""
        for number in range(self.plan.connections):
            alive, dead = survivor.connection(number), victim.connection(number)
            self.test.assertLessEqual(alive["received"], dead["begun"], self.describe())
            self.test.assertLessEqual(dead["received"], alive["begun"], self.describe())
            if alive["in_end"] == 1:  # end of file: nothing that was sent is missing
                self.test.assertGreaterEqual(alive["received"], dead["sent"], self.describe())

    def describe(self):
        lines = [str(self.plan)]
        for program, progress in zip(self.programs, self.progress):
            lines += [str(program), f"transfers {progress.transfers}, calls {progress.calls}, waits {progress.waits}"]
            lines += [str(progress.connection(number)) for number in range(self.plan.connections)]
            lines.append(where_it_stands(program))
        lines += [self.test.bus.vmbus("ps").stdout, f"the rings: {self.test.watch.output.decode()}"]
        return "\n".join(lines)


def where_it_stands(program):
    """What each of its threads is at, as far as this machine tells."""
    if program.process.poll() is not None:
        return f"ended with {program.process.returncode}"
    if debugger := shutil.which("gdb"):
        return subprocess.run([debugger, "-p", str(program.pid), "-batch", "-ex", "thread apply all bt"],
                              capture_output=True, text=True, check=False).stdout
    lines = []
    for task in pathlib.Path(f"/proc/{program.pid}/task").iterdir():
        lines.append(f"thread {task.name}: {(task / 'wchan').read_text()} {(task / 'syscall').read_text().strip()}")
    return "\n".join(lines)


class Stress(support.BusTest):

    def setUp(self):
        super().setUp()
        print(f"seed {SEED}", flush=True)
        self.bus.start_daemon()
        self.watch = self.bus.start(WATCH, WATCH_PORT, as_="guest")
        self.watch.wait_for_output(b"watching")
        self.before = self.bus.holdings()
        self.sums = {"rounds": 0, "transfers": 0, "calls": 0, "bytes": 0, "kills": 0, "stops": 0, "refused": 0}
        self.waits = dict.fromkeys(WAYS, 0)

    def add_up(self, pair):
        self.sums["rounds"] += 1
        self.sums["transfers"] += pair.transfers
        self.sums["stops"] += pair.stops
        self.sums["kills"] += any(program.process.returncode == KILLED for program in pair.programs)
        for progress, words, (way_in, way_out) in zip(pair.progress, pair.plan.words, pair.plan.ways):
            self.sums["calls"] += progress.calls
            self.sums["refused"] += progress.refused
            self.sums["bytes"] += sum(progress.connection(number)["received"] for number in range(8))
            self.waits[way_out if "loops" in words else way_in] += progress.waits["in"]
            self.waits[way_out] += progress.waits["out"]
            if way_in == BLOCKING:
                self.waits[BLOCKING] += progress.calls

    def run_round(self, number):
        plan = Round(number)
        pair = Pair(self, plan)
        try:
            pair.run()
        except AssertionError:
            print(f"in {plan}", flush=True)
            raise
        self.add_up(pair)
        if self.watch.process.poll() is not None:
            self.fail(f"{self.watch}\nin {plan}")
        support.wait_until(lambda: self.bus.holdings() == self.before, f"nothing to be left of\n{plan}")

    def rounds(self):
        if ONLY is not None:
            yield from [int(ONLY)] * TIMES
            return
        end, number = time.monotonic() + SECONDS, 0
        while time.monotonic() < end and self.sums["transfers"] < TRANSFERS:
            yield number
            number += 1

    def test_every_byte_arrives_and_nobody_hangs(self):
        started = time.monotonic()
        for number in self.rounds():
            self.run_round(number)
        print(f"{time.monotonic() - started:.0f} s: {self.sums}, waits {self.waits}", flush=True)
        seen = self.watch.check().decode()
        print(f"the rings: {seen.splitlines()[-1]}", flush=True)
        looks, packets = (int(words.split()[0]) for words in seen.splitlines()[-1].split(", ")[:2])
        self.assertGreater(min(looks, packets), 0, "nobody looked")
        if ONLY is None:
            self.assert_all_was_tried()

    def assert_all_was_tried(self):
        counters = self.bus.json("status")["counters"]
        self.assertGreater(counters["bytes_direct"], 0)
        self.assertEqual(counters["ring_faults"], 0)
        self.assertGreater(min(self.sums["kills"], self.sums["stops"]), 0, "nobody was hit")
        if self.sums["refused"]:
            print("skipped: io_uring's POLL_ADD, which is refused here; poll in its place", flush=True)
        self.assertEqual([way for way, count in self.waits.items() if count == 0], [], "nobody waited this way")


if __name__ == "__main__":
    support.main()
