"""The goals of RING: which figure, how it is measured, the floor it must keep, the target beyond.

A floor must hold as a median whether the two CPUs are near or far from each other; see `docs/performance.md`.
"""

import statistics
from typing import NamedTuple

import transports

NO_SPIN = "VMBUS_SPIN_US=0"

# The server's work for a request and who else runs: one hog computes for ever, pairs do the same at once.
SITUATIONS = [{"work_us": work_us, "hogs": hogs, "pairs": pairs} for work_us, hogs, pairs in (
    (0, 0, 1), (30, 0, 1), (200, 0, 1), (0, 1, 1), (30, 1, 1), (0, 0, 2), (0, 0, 4))]

# The last one uses every page of both rings first: what of them is given back?
LAP_BYTES = 300 * 1024
IDLE = {"connections": 500, "size": 1}
RECLAIMED = {"connections": 1000, "size": LAP_BYTES}
HELD = [IDLE, {"connections": 1000, "size": 1}, RECLAIMED]


class Goal(NamedTuple):
    case: dict      # what cases.make() takes
    floor: float
    near: float     # target when the CPUs are near to each other
    far: float
    value: str = "speed"
    spin: bool = True
    at_most: bool = False  # floor and targets are ceilings


def timed(figure, pin, size, floor, near, far, wait="blocking", **more):
    return Goal({"figure": figure, "size": size, "wait": wait, "pin": pin}, floor, near, far, **more)


def ceiling(case, value, floor, target):
    return Goal(case, floor, target, target, value, at_most=True)


def rpc_goals():
    for situation in SITUATIONS:
        case = {"figure": "rpc", "size": 64, **situation}
        yield Goal(case, 0.9, 1.0, 1.0)
        yield ceiling(case, "cpu", 1.15, 1.0)


GOALS = [
    timed("rtt", "two", 64, 15, 28, 18),
    timed("rtt", "two", 1024, 8, 16, 10),
    timed("rtt", "two", 16384, 2.5, 8, 3.3),
    timed("rtt", "two", 64, 0.9, 0.97, 0.93, spin=False),
    timed("rtt", "one", 64, 1.4, 1.7, 1.7),
    timed("rtt", "two", 64, 15, 25, 22, wait="epoll"),
    timed("rtt", "two", 64, 1.0, 1.15, 1.2, wait="epoll", spin=False),
    timed("rtt", "two", 64, 0.85, 0.95, 0.95, wait="raw-epoll"),
    *(timed("stream", "two", *row) for row in (
        (16, 8, 10, 12), (64, 6, 10, 8.5), (256, 5, 8, 6.5), (1024, 3, 5, 3.6), (4096, 2.5, 3.2, 3.5),
        (16384, 2, 2.8, 2.6), (65536, 1.75, 3.8, 2.1), (1 << 20, 1.5, 2.0, 1.9))),
    *(timed("stream", "one", size, floor, target, target) for size, floor, target in (
        (64, 6, 9), (4096, 3, 4.3), (65536, 1.3, 1.7), (1 << 20, 0.75, 0.85))),
    *(timed("connect", pin, 0, 0.3, 0.8, 0.8) for pin in ("two", "one")),
    ceiling({"figure": "held", **IDLE}, "memory of one, KiB", 24, 21),
    ceiling({"figure": "held", **RECLAIMED}, "memory of all, MiB", 24, 24),
    ceiling({"figure": "pair", "size": 64}, "user instructions", 550, 420),
    ceiling({"figure": "pair", "size": 64}, "system calls", 0, 0),
    *rpc_goals(),
    Goal({"figure": "rtt", "size": 64, "wait": "blocking", "pin": "two"}, 3, 1.5, 1.5,
         "99th percentile / median", at_most=True),
]

SHOWN = {"speed": "speed", "cpu": "CPU time a request"}


def rate(one):
    return one["count"] / one["seconds"]


def cpu_us(one):
    """Of all who take part, for one of what is counted."""
    return one["cpu_seconds"] / one["count"] * 1e6


# What a goal is about, from its own measurement and AF_UNIX's of the same repetition. None: not measured.
VALUES = {
    "speed": lambda own, base: rate(own) / rate(base),
    "cpu": lambda own, base: cpu_us(own) / cpu_us(base),
    "99th percentile / median": lambda own, base: own.get("p99_us", 0) / own.get("p50_us", 1) or None,
    "memory of one, KiB": lambda own, base: own["bytes"] / own["connections"] / 1024,
    "memory of all, MiB": lambda own, base: own["bytes"] / (1 << 20),
    "user instructions": lambda own, base: own["instructions"],
    "system calls": lambda own, base: own["system_calls"],
}


def subject(data, spin):
    """Whose goals these are: the first transport of the bus that spins, or does not."""
    for name in data["settings"]["transports"]:
        one = transports.parse(name)
        if one.on_bus and (NO_SPIN in one.variables) != spin:
            return name
    return None


def case_of(data, goal):
    wanted = {"wait": "blocking", "pin": "none", **goal.case}
    return next((case for case in data["cases"]
                 if all(case.get(key) == value for key, value in wanted.items())), None)


def median(goal, repetitions, name):
    """None: nothing measured."""
    values = []
    for one in repetitions:
        own, base = one["results"].get(name), one["results"][transports.BASE]
        if own is None or "error" in own:
            continue
        values.append(VALUES[goal.value](own, base))
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def holds(goal, value):
    # What comes out of a difference of two counts may be off by a startup's moods.
    slack = 0.05 if goal.value == "system calls" else 0
    return value <= goal.floor + slack if goal.at_most else value >= goal.floor
