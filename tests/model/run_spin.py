#!/usr/bin/env python3
"""Checks the Spin models of this folder: the right protocols pass, the wrong ones fail.

One row of CASES is a model, a variant (preprocessor names) and what Spin must find. A model that
passes is searched twice, completely: for deadlocks and violated assertions, and for cycles without
progress. No model marks any state as progress, so the second search (which keeps two copies of
each state) shows that each run ends. All its statements must have been reached, too. A variant
that must fail has to fail in the way it stands for; another failure is not accepted instead.

Exit status: 0 all as expected, 1 not, 2 bad usage, 77 Spin or a C compiler is missing (skipped).
"""

import argparse
import concurrent.futures
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SKIPPED = 77
SPIN_SECONDS = 20
SEARCH_SECONDS = 120
MEMORY_MIB = 1024
DEPTH = 100_000

PASS = "pass"
DEADLOCK = "deadlock"  # an invalid end state: somebody sleeps for ever
ASSERTION = "assertion"  # something lost, doubled, torn or out of order
LIVELOCK = "livelock"  # a cycle without progress: somebody spins for ever

# model, variant, what must be found
CASES = [
    ("ring_wake", "", PASS),
    ("ring_wake", "NEVER_MASKS", PASS),
    ("ring_wake", "DEFERRED", PASS),
    ("ring_wake", "DEFERRED NEVER_MASKS", PASS),
    ("ring_wake", "DECIDE_BEFORE_PUBLISH", DEADLOCK),
    ("ring_wake", "NO_RECHECK", DEADLOCK),
    ("ring_wake", "SLEEP_UNRELEASED", DEADLOCK),
    ("ring_wake", "DEFERRED LAST_PACKET_ONLY", DEADLOCK),
    ("ring_wake", "DEFERRED FIRST_PACKET_ONLY", DEADLOCK),
    ("ring_wake", "DEFERRED SPAN=4", PASS),
    ("ring_wake", "DEFERRED SPAN=4 INDEX_INTERVAL", DEADLOCK),
    ("ring_wake", "DEFERRED WAITS_UNANNOUNCED", DEADLOCK),
    ("ring_wake", "INDEX_BEFORE_PAYLOAD", ASSERTION),
    ("ring_wake", "RELEASE_BEFORE_COPY", ASSERTION),
    ("ring_wake", "DOORBELL_KEPT", LIVELOCK),
    ("ring_wake", "STORE_BUFFER=1", PASS),
    ("ring_wake", "STORE_BUFFER=1 NEVER_MASKS", PASS),
    ("ring_wake", "STORE_BUFFER=1 DEFERRED", PASS),
    ("ring_wake", "STORE_BUFFER=2", PASS),
    ("ring_wake", "STORE_BUFFER=1 NO_WRITER_FENCE", DEADLOCK),
    ("ring_wake", "STORE_BUFFER=1 NO_READER_FENCE", DEADLOCK),
    ("ring_wake", "STORE_BUFFER=1 NO_WRITER_FENCE DEFERRED", DEADLOCK),
    ("ring_wake", "STORE_BUFFER=1 NO_READER_FENCE NEVER_MASKS", DEADLOCK),
    ("ring_space", "", PASS),
    ("ring_space", "ASKS_FOR_MORE", PASS),
    ("ring_space", "STICKY_PENDING", PASS),
    ("ring_space", "LOADS_SWAPPED", PASS),
    ("ring_space", "LOADS_SWAPPED STICKY_PENDING", PASS),
    ("ring_space", "INDEX_BEFORE_PENDING", DEADLOCK),
    ("ring_space", "INDEX_BEFORE_PENDING STICKY_PENDING", DEADLOCK),
    ("ring_space", "NO_RECHECK", DEADLOCK),
    ("ring_space", "STAGED_NOT_COMMITTED", DEADLOCK),
    ("ring_space", "DECIDE_BEFORE_RELEASE", DEADLOCK),
    ("ring_space", "LAST_PACKET_ONLY", DEADLOCK),
    ("ring_space", "ASKS_TOO_MUCH", DEADLOCK),
    ("ring_space", "STORE_BUFFER=1", PASS),
    ("ring_space", "STORE_BUFFER=1 STICKY_PENDING", PASS),
    ("ring_space", "STORE_BUFFER=2", PASS),
    ("ring_space", "STORE_BUFFER=1 NO_WRITER_FENCE", DEADLOCK),
    ("ring_space", "STORE_BUFFER=1 NO_READER_FENCE", DEADLOCK),
    ("ring_space", "STORE_BUFFER=1 NO_WRITER_FENCE STICKY_PENDING", DEADLOCK),
    ("shared_event", "", PASS),
    ("shared_event", "CLEARED_AFTER_SCAN", DEADLOCK),
    ("shared_event", "WAKES_ONE_WAITER", DEADLOCK),
    ("shared_event", "WAITERS_COMPETE", DEADLOCK),
    ("shared_event", "MASK_SILENCES_SPACE", DEADLOCK),
    ("shared_event", "SIGNAL_BEFORE_CLOSED", DEADLOCK),
    ("shared_event", "FLAG_KEPT", LIVELOCK),
    ("synic_slot", "", PASS),
    ("synic_slot", "PLAIN_STORE", PASS),
    ("synic_slot", "TWO_CONSUMERS", PASS),
    ("synic_slot", "TWO_CONSUMERS PLAIN_STORE", DEADLOCK),
    ("synic_slot", "TWO_CONSUMERS SAME_TYPE", DEADLOCK),
    ("synic_slot", "PENDING_READ_FIRST", DEADLOCK),
    ("synic_slot", "NO_EOM", DEADLOCK),
    ("synic_slot", "NO_HOST_RECHECK", DEADLOCK),
    ("synic_slot", "TWO_CONSUMERS TYPE_BEFORE_PAYLOAD", ASSERTION),
    ("synic_slot", "POST_OVERTAKES", ASSERTION),
    ("synic_slot", "STORE_BUFFER=2", PASS),
    ("synic_slot", "STORE_BUFFER=2 PLAIN_STORE", PASS),
    ("synic_slot", "STORE_BUFFER=2 PLAIN_STORE NO_GUEST_FENCE", DEADLOCK),
    ("synic_slot", "STORE_BUFFER=2 NO_HOST_FENCE", DEADLOCK),
    ("lane_in", "", PASS),
    ("lane_in", "TWO_HOOKED PACKETS=3", PASS),
    ("lane_in", "READER_DIES", PASS),
    ("lane_in", "PROMPT", PASS),
    ("lane_in", "AS_FOUND", PASS),
    ("lane_in", "PACKETS=3 RUNG_AFTER", PASS),
    ("lane_in", "PACKETS=3 SWEEP_PENDS", PASS),
    ("lane_in", "CARRIER_WARM", PASS),
    ("lane_in", "CARRIER_WARM TWO_HOOKED", PASS),
    ("lane_in", "CARRIER_WARM WATCHED_WAITS", PASS),
    ("lane_in", "WATCHED_WAITS", PASS),
    ("lane_in", "FRESH", PASS),
    ("lane_in", "FRESH CARRIER_WARM WATCHED_WAITS", PASS),
    ("lane_in", "NO_RECHECK", PASS),
    ("lane_in", "END_UNSAID", PASS),
    ("lane_in", "PROMPT NO_RECHECK", DEADLOCK),
    ("lane_in", "PROMPT END_UNSAID", DEADLOCK),
    ("lane_in", "UNWATCHED", DEADLOCK),
    ("lane_in", "WATCH_UNRUNG", DEADLOCK),
    ("lane_in", "FRESH FRESH_UNSEEN", DEADLOCK),
    ("lane_in", "UNWATCH_WITHOUT_GATE", DEADLOCK),
    ("lane_in", "PUMP_NO_RECHECK", DEADLOCK),
    ("lane_in", "BIT_CLEARED_LATE", DEADLOCK),
    ("lane_in", "WANTED_IGNORED", DEADLOCK),
    ("lane_in", "WANTED_APART", DEADLOCK),
    ("lane_in", "RING_FIRST", ASSERTION),
    ("lane_in", "HOLDS_UNSAID", ASSERTION),
    ("lane_in", "CLEAR_WITHOUT_GATE", ASSERTION),
    ("lane_in", "POSITION_PRIVATE", ASSERTION),
    ("lane_in", "POSITION_OF_HALVES PACKETS=6", ASSERTION),
    ("lane_in", "READER_DIES READ_INDEX_FIRST", ASSERTION),
    ("lane_in", "READER_DIES NOT_BROUGHT_UP", ASSERTION),
    ("lane_in", "READER_DIES NO_LAST_LOOK", DEADLOCK),
    ("lane_in", "READER_DIES BELL_LEFT", DEADLOCK),
    ("lane_wake", "", PASS),
    ("lane_wake", "TWO_HOOKED", PASS),
    ("lane_wake", "READER_DIES", PASS),
    ("lane_wake", "WRITER_DIES", PASS),
    ("lane_wake", "CLOSES", PASS),
    ("lane_wake", "PROMPT", PASS),
    ("lane_wake", "MASK_FIRST", PASS),
    ("lane_wake", "LOOKED_FIRST", PASS),
    ("lane_wake", "NO_RECHECK", PASS),
    ("lane_wake", "WOKEN_FIRST", PASS),
    ("lane_wake", "SHUT_LATE END_STAYS", PASS),
    ("lane_wake", "TWO_HOOKED SHUT_LATE END_UNGATED TAKEN_BACK", PASS),
    ("lane_wake", "PROMPT NO_RECHECK", DEADLOCK),
    ("lane_wake", "SLEEPERS_LATE", DEADLOCK),
    ("lane_wake", "UNWATCHED", DEADLOCK),
    ("lane_wake", "WATCH_UNRUNG", DEADLOCK),
    ("lane_wake", "WATCH_AS_SIGNAL", DEADLOCK),
    ("lane_wake", "UNWATCHED_LATE", DEADLOCK),
    ("lane_wake", "CLEARED_AFTER", DEADLOCK),
    ("lane_wake", "TWO_HOOKED WAKES_ONE", DEADLOCK),
    ("lane_wake", "TWO_HOOKED PUMP_WAKES_NOBODY", DEADLOCK),
    ("lane_wake", "END_WAKES_NOBODY", DEADLOCK),
    ("lane_wake", "CLOSES CLOSING_WAKES_NOBODY", DEADLOCK),
    ("lane_wake", "END_UNHELD", DEADLOCK),
    ("lane_wake", "SHUT_LATE", DEADLOCK),
    ("lane_wake", "SHUT_LATE END_UNGATED TAKEN_BACK END_UNSEEN", DEADLOCK),
    ("lane_wake", "TWO_HOOKED SHUT_LATE END_UNGATED", DEADLOCK),
    ("lane_wake", "WRITER_DIES WOKEN_BY_WORD", DEADLOCK),
    ("lane_wake", "CLOSES NO_GENERATION", DEADLOCK),
    ("lane_out", "", PASS),
    ("lane_out", "RAW", PASS),
    ("lane_out", "UNMARKED", PASS),
    ("lane_out", "LEAVES BYTES=4", PASS),
    ("lane_out", "DIES", PASS),
    ("lane_out", "UNMARKED TAKES_BACK", PASS),
    ("lane_out", "UNMARKED LEAVES_CLEAN", PASS),
    ("lane_out", "RAW LEAVES_CLEAN", PASS),
    ("lane_out", "DIRTY_LATE", PASS),
    ("lane_out", "NO_NUMBER", ASSERTION),
    ("lane_out", "LOOKED_FIRST", ASSERTION),
    ("lane_out", "COUNT_IGNORED", ASSERTION),
    ("lane_out", "LEAVES DIRTY_LATE", ASSERTION),
    ("lane_out", "RAW RAW_UNASKED", ASSERTION),
    ("lane_out", "UNMARKED TAKES_BACK LEAVES_CLEAN", DEADLOCK),
    ("lane_out", "WANTED_IGNORED", DEADLOCK),
    ("lane_out", "UNGATED", ASSERTION),
    ("lane_out", "DIES HUP_UNASKED", ASSERTION),
    ("lane_out", "DIES HUP_FIRST", ASSERTION),
    ("lane_feed", "", PASS),
    ("lane_feed", "UNHOOKED", PASS),
    ("lane_feed", "FEEDER_DIES", PASS),
    ("lane_feed", "RING_UNASKED", PASS),
    ("lane_feed", "FEEDER_DIES POSITION_FIRST", DEADLOCK),
    ("lane_feed", "FEEDER_DIES HOLDS_LATE", ASSERTION),
    ("lane_feed", "FEEDER_DIES UNMARKED", ASSERTION),
    ("lane_feed", "FEEDER_DIES MARK_IGNORED", ASSERTION),
    ("lane_feed", "FEEDER_DIES CARRIER_UNASKED", DEADLOCK),
    ("lane_feed", "FEEDER_DIES CARRIER_UNLOOKED", DEADLOCK),
    ("lane_feed", "UNGATED", ASSERTION),
    ("lane_feed", "SLEEPER_UNSEEN", DEADLOCK),
    ("lane_feed", "UNHOOKED REFUSED_UNTOLD", DEADLOCK),
    ("lane_crash", "", PASS),
    ("lane_crash", "LOOKS_AT_ALL RUNG_AFTER WANT_FORGOTTEN", PASS),
    ("lane_crash", "RUNG_AFTER", DEADLOCK),
    ("lane_crash", "WANT_FORGOTTEN", DEADLOCK),
    ("lane_crash", "BELL_LEFT", DEADLOCK),
    ("lane_crash", "NO_LAST_LOOK", DEADLOCK),
    ("lane_crash", "GATE_LEFT", DEADLOCK),
]

# How pan is built and called for each kind of search. -A ignores assertions, -E ignores end
# states: so a variant is judged by the failure that it stands for.
SEARCHES = {
    PASS: [(["-DSAFETY"], []), (["-DNP"], ["-l"])],
    DEADLOCK: [(["-DSAFETY"], ["-A"])],
    ASSERTION: [(["-DSAFETY"], ["-E"])],
    LIVELOCK: [(["-DNP"], ["-l"])],
}

FAILURES = {
    "invalid end state": DEADLOCK,
    "assertion violated": ASSERTION,
    "non-progress cycle": LIVELOCK,
}


class Broken(Exception):
    """The check itself did not work; neither a pass nor a failure of the model."""


@dataclasses.dataclass
class Outcome:
    found: str
    states: int
    detail: str = ""


def run(command, directory, seconds):
    try:
        done = subprocess.run(command, cwd=directory, timeout=seconds, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    except subprocess.TimeoutExpired as error:
        raise Broken(f"{command[0]}: not done after {seconds} s") from error
    return done.returncode, done.stdout


def run_or_break(command, directory, seconds):
    status, output = run(command, directory, seconds)
    if status != 0:
        raise Broken(f"{command[0]}: exit status {status}\n{output}")
    return output


def unreached_statements(report):
    """Statements that no run ever executed; the end of an endless loop aside."""
    lines = re.findall(r'^\t\S+\.(?:pml|inc):\d+, state \d+, .*$', report, re.MULTILINE)
    return [line.strip() for line in lines if not line.endswith('"-end-"')]


def read_report(report):
    """pan's report as an Outcome; Broken if the search was not complete."""
    if re.search(r"max search depth too small|MEMLIM bound|out of memory", report):
        raise Broken(f"the search was cut short\n{report}")
    errors = re.search(r"errors: (\d+)", report)
    states = re.search(r"(\d+) states, stored", report)
    if not errors or not states:
        raise Broken(f"pan did not finish\n{report}")
    if errors[1] == "0":
        return Outcome(PASS, int(states[1]))
    for words, kind in FAILURES.items():
        if re.search(rf"^pan:\d+: {words}", report, re.MULTILINE):
            return Outcome(kind, int(states[1]))
    raise Broken(f"an error this script does not know\n{report}")


def search(model, defines, compile_flags, pan_flags, directory):
    """One search by Spin in `directory`. No -O: compiling pan takes longer than running it."""
    run_or_break(["spin", *defines, "-a", f"{model}.pml"], directory, SPIN_SECONDS)
    compiler = os.environ.get("CC", "cc").split()
    run_or_break([*compiler, "-w", f"-DMEMLIM={MEMORY_MIB}", *compile_flags, "-o", "pan", "pan.c"],
                 directory, SPIN_SECONDS)
    _, report = run(["./pan", f"-m{DEPTH}", "-w20", *pan_flags], directory, SEARCH_SECONDS)
    outcome = read_report(report)
    unreached = unreached_statements(report)
    if outcome.found == PASS and unreached:
        raise Broken("passes, but some statements are never reached:\n" + "\n".join(unreached))
    return outcome


def check(case, with_trail):
    """Runs all searches of one case, up to the first failure, in a folder of its own."""
    model, variant, expected = case
    defines = [f"-D{name}" for name in variant.split()]
    with tempfile.TemporaryDirectory(prefix="vmbus-spin-") as directory:
        for source in (f"{model}.pml", "memory.inc"):
            shutil.copy(HERE / source, directory)
        for compile_flags, pan_flags in SEARCHES[expected]:
            outcome = search(model, defines, compile_flags, pan_flags, directory)
            if outcome.found != PASS:
                break
        if outcome.found != PASS and (with_trail or outcome.found != expected):
            _, outcome.detail = run(["spin", *defines, "-t", "-p", "-g", f"{model}.pml"],
                                    directory, SPIN_SECONDS)
    return outcome


def report_case(case, with_trail):
    """One line (and the details that help) for one case; True if it is as expected."""
    model, variant, expected = case
    try:
        outcome = check(case, with_trail)
    except Broken as error:
        outcome = Outcome("broken", 0, str(error))
    good = outcome.found == expected
    found = outcome.found if good else f"{outcome.found}, expected {expected}"
    text = (f"{'ok  ' if good else 'FAIL'}  {model:12}  {variant or '(as specified)':45}  "
            f"{found:9}  {outcome.states:7} states")
    return good, text + (f"\n{outcome.detail}" if outcome.detail else "")


def names_out_of_step():
    """Names that a model tests for but no case sets, or that a case sets but no model tests for."""
    problems = []
    for model in sorted({case[0] for case in CASES}):
        text = (HERE / f"{model}.pml").read_text(encoding="utf-8")
        if '#include "memory.inc"' in text:
            text += (HERE / "memory.inc").read_text(encoding="utf-8")
        conditions = "\n".join(re.findall(r"^#\s*(?:el)?if.*$", text, re.MULTILINE))
        tested = set(re.findall(r"\b[A-Z][A-Z_]+\b", conditions))
        variants = " ".join(case[1] for case in CASES if case[0] == model)
        used = {name.split("=")[0] for name in variants.split()}
        problems += [f"{model}.pml tests for {name}; no case sets it" for name in tested - used]
        problems += [f"a case sets {name}; {model}.pml does not know it" for name in used - tested]
    return problems


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Check the Spin models: right protocols pass, wrong ones fail.",
        epilog="example: run_spin.py --only 'ring_wake NO_RECHECK' --trail")
    parser.add_argument("--only", default="", metavar="TEXT",
                        help="only the cases whose 'model variant' begins with TEXT")
    parser.add_argument("--trail", action="store_true",
                        help="print the interleaving that each failure was found in")
    parser.add_argument("--require", action="store_true",
                        help="a missing spin is a failure, not a skip (for CI)")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), metavar="N",
                        help="cases at a time (default: %(default)s)")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    compiler = os.environ.get("CC", "cc").split()[0]
    missing = [program for program in ("spin", compiler) if not shutil.which(program)]
    if missing:
        print(f"{'FAIL' if arguments.require else 'skipped'}: not installed: {', '.join(missing)} "
              "(Debian: apt install spin gcc)")
        return 1 if arguments.require else SKIPPED

    problems = names_out_of_step()
    if problems:
        print("\n".join(problems))
        return 1
    cases = [case for case in CASES if f"{case[0]} {case[1]}".startswith(arguments.only)]
    if not cases:
        print(f"no case begins with '{arguments.only}'", file=sys.stderr)
        return 2

    good_count = 0
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, arguments.jobs)) as pool:
        for good, text in pool.map(lambda case: report_case(case, arguments.trail), cases):
            good_count += good
            print(text, flush=True)
    print(f"{good_count} of {len(cases)} as expected")
    return 0 if good_count == len(cases) else 1


if __name__ == "__main__":
    sys.exit(main())
