"""Runs the worker, socket_bench, once: on a bus under guard and shim, or beside it."""

import contextlib
import json
import os
import pathlib
import tempfile
import time
import unittest

import goals
import outside
import support  # tests/system; compare says where it is
import transports

WORKER = support.BIN / "socket_bench"
WRAPPER = "libsocket_wrapper.so"

# The round trip of a cache line between two CPUs of this many nanoseconds and more is called far.
# Virtual machines are moved between CPUs that share a cache (about 100 ns) and such that do not (500).
FAR_NS = 250

# A repetition counts as disturbed when AF_UNIX, which needs no third process, lost more than this part
# of its time to others.
DISTURBED = 0.06


@contextlib.contextmanager
def owner_of_what_starts():
    """Stands in for a test: what support.py starts for it ends with the block."""
    owner = unittest.TestCase()
    try:
        yield owner
    finally:
        owner.doCleanups()


@contextlib.contextmanager
def a_bus():
    """A bus of one's own and its daemon's process number."""
    with owner_of_what_starts() as owner:
        bus = support.Bus(owner)
        yield bus, bus.start_daemon().pid


def set_priority(pid, nice):
    """Of a process, and of its group of processes where the kernel weighs those against each other."""
    if nice == 0:
        return
    os.setpriority(os.PRIO_PROCESS, pid, nice)
    with contextlib.suppress(FileNotFoundError):
        pathlib.Path(f"/proc/{pid}/autogroup").write_text(str(nice))


def wrapper_is_there():
    """Asks the loader, which says what it cannot preload and goes on without."""
    with owner_of_what_starts() as owner:
        program = support.Program(owner, ["true"], support.clean_environment(LD_PRELOAD=WRAPPER))
        program.check()
        return not program.errors


class Runner:
    """Runs the worker on `bus`, whose daemon is `daemon_pid`."""

    def __init__(self, bus, daemon_pid, arguments):
        self._bus = bus
        self._daemon_pid = daemon_pid
        self._arguments = arguments
        set_priority(daemon_pid, arguments.nice)

    def measure(self, case, transport):
        if case["figure"] == "held":
            # On a bus of its own: a daemon that had connections before may have kept their memory.
            with a_bus() as (bus, daemon_pid):
                return Runner(bus, daemon_pid, self._arguments)._hold(case, transport)
        if case["figure"] == "pair":
            return self._count(transport)
        return self._time(case, transport)

    def line_ns(self):
        """Nanoseconds of a cache line's round trip; None with one CPU."""
        if len(os.sched_getaffinity(0)) == 1:
            return None
        with self._started(transports.parse(transports.BASE), "line") as program:
            return 1e9 / goals.rate(json.loads(program.check()))

    # --- times

    def _time(self, case, transport):
        milliseconds = self._arguments.milliseconds
        figure = "rtt" if case["figure"] == "rpc" else case["figure"]
        words = [figure, "--size", max(case["size"], 1), "--wait", case["wait"], "--pin", case["pin"],
                 "--milliseconds", milliseconds, "--warm-up-milliseconds", milliseconds // 4]
        if case["figure"] == "rpc":
            words += ["--work-us", case["work_us"], "--hogs", case["hogs"], "--pairs", case["pairs"]]
        if transport.on_bus:
            self._place_daemon(case["pin"])
            words += ["--also", self._daemon_pid]
        with self._started(transport, *words) as program:
            return json.loads(program.check())

    def _place_daemon(self, pin):
        """The daemon is part of what is measured, so "one CPU" holds for it, too."""
        cpus = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(self._daemon_pid, cpus[:1] if pin == "one" else cpus)

    # --- counts

    def _hold(self, case, transport):
        """What connections cost beyond the first one, which brings what is there once."""
        words = ["held", "--size", case["size"], "--connections", case["connections"]]
        with self._started(transport, *words) as program:
            program.wait_for_output(b'"open": 1,')
            pids = json.loads(program.output)["pids"]
            pids += [self._daemon_pid] * transport.on_bus
            time.sleep(self._arguments.settle)
            files = outside.memory_files(pids)
            few = self._look_at(pids, files)
            program.write(b"\n")
            program.wait_for_output(b'"open": %d,' % case["connections"])
            at_once = self._look_at(pids, files)
            time.sleep(self._arguments.settle)
            idle = self._idle(pids)
            many = self._look_at(pids, files)
            program.check()
        more = case["connections"] - 1
        kinds = {kind: many[0][kind] - few[0][kind] for kind in few[0]}
        return {"connections": more, "kinds": kinds, "bytes": sum(kinds.values()),
                "bytes_at_once": sum(at_once[0].values()) - sum(few[0].values()),
                "descriptors": [(after - before) / more for before, after in zip(few[1], many[1])],
                "idle": idle}

    @staticmethod
    def _look_at(pids, files):
        return outside.memory(pids, files), [outside.descriptors(pid) for pid in pids]

    def _idle(self, pids):
        """CPU time of each process for each second that nothing happens."""
        start, before = time.monotonic(), [outside.cpu_seconds(pid) for pid in pids]
        time.sleep(self._arguments.idle_seconds)
        after, end = [outside.cpu_seconds(pid) for pid in pids], time.monotonic()
        return [(new - old) / (end - start) for old, new in zip(before, after)]

    def _count(self, transport):
        return {"instructions": self._for_each_pair(transport, outside.instruction_counter,
                                                    outside.instructions),
                "system_calls": self._for_each_pair(transport, outside.call_counter,
                                                    outside.system_calls)}

    def _for_each_pair(self, transport, counter, result):
        """None: nobody here counts that."""
        count = 200 if self._arguments.quick else 5000
        with tempfile.TemporaryDirectory(prefix="vmbus-") as folder:
            output = pathlib.Path(folder) / "counted"
            before = counter(output)
            if before is None:
                return None
            totals = []
            for iterations in (count, 2 * count):
                with self._started(transport, "pair", "--iterations", iterations,
                                   before=before) as program:
                    program.check()
                totals.append(result(output))
        return (totals[1] - totals[0]) / count

    # --- the worker

    @contextlib.contextmanager
    def _started(self, transport, *words, before=()):
        """The worker while the block runs; `before`: a program that runs it."""
        words = [*before, WORKER, *words]
        if words[-1] != "line":
            words += ["--transport", transport.route]
        with contextlib.ExitStack() as stack:
            environment = support.clean_environment()
            if transport.on_bus:
                environment = self._bus.environment(**transport.environment)
                words = [support.guard(), support.VMBUS, "run", "--mode", transport.mode,
                         "--profile", transport.profile, "--", *words]
            elif transport.route == "socket-wrapper":
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="vmbus-"))
                environment.update(LD_PRELOAD=WRAPPER, SOCKET_WRAPPER_DIR=folder)
            owner = stack.enter_context(owner_of_what_starts())
            yield support.Program(owner, words, environment, preexec_fn=self._before_exec)

    def _before_exec(self):
        set_priority(os.getpid(), self._arguments.nice)


# --- one repetition -----------------------------------------------------------------------------

def topology(line_before, line_after):
    if line_before is None:
        return "one CPU"
    kinds = {line >= FAR_NS for line in (line_before, line_after)}
    return "mixed" if len(kinds) == 2 else "far" if kinds.pop() else "near"


def lost_part(case, base):
    """Of AF_UNIX's time, what others took. Where its programs wait for each other or for hogs, that is
    seen from the CPU time that they and the hogs should have had."""
    seconds, cpus = base["seconds"], len(os.sched_getaffinity(0))
    if case["pin"] == "one":
        return 1 - base["cpu_seconds"] / seconds
    if case.get("hogs", 0) > 0:
        return 1 - base["hog_seconds"] / seconds / min(case["hogs"], cpus)
    if case.get("pairs", 1) > 1:
        return 1 - base["cpu_seconds"] / seconds / cpus
    return base["waited"]


def measure_safely(runner, case, transport):
    """AF_UNIX must work; what else fails is noted, and hours of measuring are not lost."""
    try:
        return runner.measure(case, transport)
    except AssertionError as error:
        if transport.name == transports.BASE:
            raise
        return {"error": str(error)}


def repeat(runner, case, every, number):
    """One repetition: each of the transports once; the next one begins with another."""
    first = number % len(every)
    timed = case["figure"] not in ("held", "pair")
    before = runner.line_ns() if timed else None
    results = {one.name: measure_safely(runner, case, one) for one in every[first:] + every[:first]}
    after = runner.line_ns() if timed else None
    if not timed:
        return {"topology": None, "line_ns": [], "disturbed": False, "results": results}
    return {"topology": topology(before, after), "line_ns": [before, after],
            "disturbed": lost_part(case, results[transports.BASE]) > DISTURBED, "results": results}
