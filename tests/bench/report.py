"""Tables of `compare`: what was measured, as ratios to AF_UNIX in the same repetition.

The data is what `compare --json` writes:

    machine    what it ran on
    settings   how it was measured
    cases      one for each row (cases.py), and its repetitions; each has its topology, whether it was
               disturbed, and what the worker printed for each transport, or {"error": ...}
"""

import goals
import values
from transports import BASE, title
from values import PINS, TAGS, case_text, chosen_repetitions, successes, tags

__all__ = ["MARKS", "PINS", "TAGS", "case_text", "errors", "markdown", "put_into", "tags", "text"]

MARKS = ("<!-- measured: begin -->", "<!-- measured: end -->")


# --- cells: what one transport did in one case -------------------------------------------------------

def speed_cell(case, repetitions, name):
    own = values.rate_text(case["figure"], values.median(repetitions, name, goals.rate))
    if name == BASE:
        return own
    return f"{values.ratio_cell(repetitions, name, goals.VALUES['speed'])} {own}"


def latency_cell(_, repetitions, name):
    """Half of all round trips took less than the first time, 99 of 100 less than the second."""
    if not all("p50_us" in one["results"][name] for one in repetitions):
        return "–"  # an older file
    half, most = (values.median(repetitions, name, lambda one, key=key: one[key])
                  for key in ("p50_us", "p99_us"))
    return f"{values.number_text(half, 3)} / {values.number_text(most, 3)} µs"


def request_cell(case, repetitions, name):
    cpu = values.number_text(values.median(repetitions, name, goals.cpu_us), 3)
    p99 = values.number_text(values.median(repetitions, name, lambda one: one["p99_us"]), 3)
    ratio = "" if name == BASE else values.ratio_cell(repetitions, name, goals.VALUES["cpu"]) + " "
    text = f"{speed_cell(case, repetitions, name)}; CPU {ratio}{cpu} µs; p99 {p99} µs"
    if case["hogs"] == 0:
        return text
    hogs = values.median(repetitions, name, lambda one: one["hog_seconds"] / one["seconds"])
    return f"{text}; hogs {hogs:.2f} CPUs"


def held_cell(_, repetitions, name):
    def each(get):
        return values.median(repetitions, name, lambda one: get(one) / one["connections"] / 1024)
    kinds = ", ".join(f"{kind} {each(lambda one, kind=kind: one['kinds'][kind]):.1f}"
                      for kind in ("shared", "private", "tables", "kernel"))
    at_once = each(lambda one: one.get("bytes_at_once", one["bytes"]))
    return f"**{each(lambda one: one['bytes']):.1f} KiB** ({kinds}); before they rest {at_once:.1f}"


def resting_cell(_, repetitions, name):
    def by_process(get):
        rows = zip(*(get(one["results"][name]) for one in repetitions))
        return [values.statistics.median(row) for row in rows]
    descriptors = " + ".join(f"{count:.1f}" for count in by_process(lambda one: one["descriptors"]))
    idle = " + ".join(f"{seconds * 1e3:.2f}" for seconds in by_process(lambda one: one["idle"]))
    return f"{descriptors}; {idle} ms/s"


def pair_cell(_, repetitions, name):
    texts = []
    for key, unit, digits in (("instructions", "instructions", 0), ("system_calls", "system calls", 2)):
        counts = [one["results"][name][key] for one in repetitions]
        if None not in counts:
            texts.append(f"{values.statistics.median(counts):,.{digits}f} {unit}")
    return ", ".join(texts) or "not counted here"


# --- tables ------------------------------------------------------------------------------------------

# Heading, what it says below, figures, cells.
TABLES = [
    ("Times", "", ("stream", "rtt", "connect"), speed_cell),
    ("Single round trips", "Median / 99th percentile; reading the clock adds 20 ns.", ("rtt",),
     latency_cell),
    ("Requests beside others", "Requests a second, CPU time of all who take part for each, 99th "
     "percentile.", ("rpc",), request_cell),
    ("Memory of a connection", "Both programs, the daemon and the kernel.", ("held",), held_cell),
    ("Resting connections", "Of dialler + listener + daemon: descriptors a connection; CPU time of the "
     "process while all of them rest.", ("held",), resting_cell),
    ("One send and recv", "", ("pair",), pair_cell),
]


def table(data, only, figures, cell):
    """Its rows, the header first; none if there is nothing to say."""
    names = data["settings"]["transports"]
    rows = []
    for case in data["cases"]:
        if case["figure"] not in figures:
            continue
        repetitions = chosen_repetitions(case, only)
        fine = {name: successes(repetitions, name) for name in names}
        cells = [cell(case, fine[name], name) if fine[name] else "–" for name in names]
        rows.append([case_text(case), PINS[case["pin"]], *cells, values.counts_text(repetitions)])
    if not rows:
        return []
    return [["figure", "runs on", *(title(name) for name in names), "repetitions"], *rows]


def goal_table(data, only):
    rows = []
    for goal in goals.GOALS:
        case, name = goals.case_of(data, goal), goals.subject(data, goal.spin)
        if case is None or name is None:
            continue
        chosen = chosen_repetitions(case, only)
        medians = {kind: goals.median(goal, [one for one in chosen if one["topology"] == kind], name)
                   for kind in ("near", "far")}
        overall = goals.median(goal, chosen, name)
        # Without CPUs that are near or far (counts; one CPU) all repetitions are one kind.
        found = [value for value in medians.values() if value is not None] or [overall]
        verdict = ("–" if None in found else "holds" if all(goals.holds(goal, value) for value in found)
                   else "**misses**")
        rows.append([goal_text(goal, case), f"{'≤' if goal.at_most else '≥'} {goal.floor:g}",
                     f"{goal.near:g} / {goal.far:g}",
                     *(values.ratio_text(value) for value in (*medians.values(), overall)), verdict])
    if not rows:
        return []
    return [["goal", "floor", "target near / far", "near", "far", "all", "verdict"], *rows]


def goal_text(goal, case):
    spin = "" if goal.spin else ", spin off"
    value = "" if goal.value == "speed" else f": {goals.SHOWN.get(goal.value, goal.value)}"
    pin = f", {PINS[case['pin']]}" if case["pin"] != "none" else ""
    return f"{case_text(case)}{pin}{spin}{value}"


def sections(data, only):
    """Heading, words and rows of each table that has any."""
    for heading, words, figures, cell in TABLES:
        if rows := table(data, only, figures, cell):
            yield heading, words, rows
    if rows := goal_table(data, only):
        names = dict.fromkeys(goals.subject(data, spin) for spin in (True, False))
        yield "Goals", "Of " + "; ".join(title(name) for name in names if name) + ".", rows


# --- pages -------------------------------------------------------------------------------------------

def markdown(data, only=None):
    """The machine in words, then the tables."""
    lines = [f"- {name}: {value}" for name, value in data["machine"].items()]
    lines += [f"- {name.replace('_', ' ')}: {value}" for name, value in data["settings"].items()
              if name != "transports"]
    for heading, words, (header, *rows) in sections(data, only):
        lines += ["", f"### {heading}", ""] + ([words, ""] if words else [])
        lines += ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)]
    return "\n".join(lines) + "\n"


def put_into(page, content):
    """Replaces what stands between the two marks."""
    before, begin, rest = page.read_text().partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not begin or not end:
        raise SystemExit(f"{page} has no lines {MARKS[0]} and {MARKS[1]}")
    page.write_text(f"{before}{begin}\n{content}{end}{after}")


def text(data, only=None):
    """The tables for a terminal: aligned, without marks."""
    result = []
    for heading, words, rows in sections(data, only):
        rows = [[cell.replace("**", "") for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(*rows)]
        result.append(": ".join(filter(None, (heading, words))))
        result += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
                   for row in rows]
        result.append("")
    return "\n".join(result)


def errors(data):
    return [f"{case_text(case)}, {title(name)}: {result['error']}"
            for case in data["cases"] for one in case["repetitions"]
            for name, result in one["results"].items() if "error" in result]
