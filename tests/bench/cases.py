"""What `compare` measures: each case becomes a row of a table.

    figure       stream, rtt, connect, rpc: times; held, pair: counts
    size         bytes of a write or message; held: bytes each way before the connections rest
    wait         blocking, epoll, raw-epoll
    pin          none, two, one
    rpc          work_us, hogs, pairs: the server's work for a request, and who else runs
    held         connections
"""

import itertools
import os

import goals

TIMED = ("stream", "rtt", "connect", "rpc")
COUNTED = ("held", "pair")
FIGURES = TIMED + COUNTED
WAITS = ("blocking", "epoll", "raw-epoll")
PINS = ("none", "two", "one")
ALL_STREAM_SIZES = [16, 64, 256, 1024, 4096, 16384, 65536, 1 << 20]
ALL_RTT_SIZES = [1, 64, 1024, 16384]


def make(figure, **given):
    return {"figure": figure, "size": 0, "wait": "blocking", "pin": "none", **given,
            "repetitions": []}


def chosen(arguments):
    """The cases that the command line asks for, without numbers yet."""
    if arguments.goals:
        wanted = {tuple(sorted(goal.case.items())): make(**goal.case) for goal in goals.GOALS}
        found = list(wanted.values())
    else:
        found = [case for figure in arguments.figures for case in of_figure(figure, arguments)]
    if len(os.sched_getaffinity(0)) > 1:
        return found
    print("skipped: whatever is pinned, for this process may use one CPU only")
    return [case for case in found if case["pin"] == "none"]


def of_figure(figure, arguments):
    if figure == "rpc":
        situations = goals.SITUATIONS[3:4] if arguments.quick else goals.SITUATIONS
        return [make("rpc", size=64, **situation) for situation in situations]
    if figure == "held":
        return [make("held", **held) for held in ([{"connections": 10, "size": 1}]
                                                 if arguments.quick else goals.HELD)]
    if figure == "pair":
        return [make("pair", size=64)]
    sizes = {"stream": arguments.stream_sizes, "rtt": arguments.rtt_sizes}.get(figure, [0])
    waits = arguments.wait if figure == "rtt" else ["blocking"]
    return [make(figure, size=size, wait=wait, pin=pin)
            for pin, size, wait in itertools.product(arguments.pin, sizes, waits)]
