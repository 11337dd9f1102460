"""Tables of `compare`: what was measured, as ratios to AF_UNIX in the same repetition.

The data is what `compare --json` writes:

    machine    what it ran on
    settings   how it was measured
    cases      one for each row of the table: figure, size, wait, pin, and its repetitions; each has
               its topology, whether it was disturbed, and one measurement for each transport
"""

import math
import statistics

BASE = "unix"
TITLES = {"unix": "AF_UNIX", "tcp": "TCP", "guest-to-host": "guest → host",
          "host-to-guest": "host → guest", "loopback": "in one guest"}
PINS = {"none": "any CPU", "one": "one CPU", "two": "two CPUs"}
TAGS = ("near", "far", "mixed", "quiet", "disturbed")


def rate(measurement):
    return measurement["count"] / measurement["seconds"]


def size_text(size):
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} B"


def case_text(case):
    if case["figure"] == "stream":
        return f"writes of {size_text(case['size'])}"
    if case["figure"] == "rtt":
        epoll = ", epoll" if case["wait"] == "epoll" else ""
        return f"round trip, {size_text(case['size'])}{epoll}"
    return "connections"


def number_text(value, digits):
    """With so many significant digits, but never an exponent and no digit of the whole part lost."""
    if value == 0:
        return "0"
    return f"{value:,.{max(0, digits - 1 - math.floor(math.log10(value)))}f}"


def ratio_text(ratio):
    return f"{ratio:.2f}" if ratio >= 0.1 else number_text(ratio, 2)


def rate_text(figure, per_second):
    """In the unit in which one speaks of this figure."""
    if figure == "stream":
        return f"{number_text(per_second / 1e9, 3)} GB/s"
    if figure == "rtt":
        return f"{number_text(1e6 / per_second, 3)} µs"
    return f"{per_second:,.0f} /s"


def tags(repetition):
    return {repetition["topology"], "disturbed" if repetition["disturbed"] else "quiet"}


def chosen_repetitions(case, only):
    return [one for one in case["repetitions"] if only is None or only in tags(one)]


def ratios(repetitions, transport):
    return [rate(one["results"][transport]) / rate(one["results"][BASE]) for one in repetitions]


def cell(case, repetitions, transport):
    median = statistics.median(rate(one["results"][transport]) for one in repetitions)
    text = rate_text(case["figure"], median)
    if transport == BASE:
        return text
    all_ratios = ratios(repetitions, transport)
    return (f"**{ratio_text(statistics.median(all_ratios))}** "
            f"({ratio_text(min(all_ratios))}–{ratio_text(max(all_ratios))}) {text}")


def table_rows(data, only):
    transports = data["settings"]["transports"]
    yield ["figure", "runs on", *(TITLES[name] for name in transports), "repetitions"]
    for case in data["cases"]:
        repetitions = chosen_repetitions(case, only)
        cells = [cell(case, repetitions, name) if repetitions else "–" for name in transports]
        yield [case_text(case), PINS[case["pin"]], *cells, counts_text(repetitions)]


def counts_text(repetitions):
    """How many there are of each kind, e.g. `9: 6 near, 3 far; 1 disturbed`."""
    found = [tag for one in repetitions for tag in sorted(tags(one))]
    kinds = ", ".join(f"{found.count(tag)} {tag}" for tag in TAGS[:3] if tag in found)
    disturbed = f"; {found.count('disturbed')} disturbed" if "disturbed" in found else ""
    return f"{len(repetitions)}{': ' if kinds else ''}{kinds}{disturbed}"


def markdown(data, only=None):
    """The machine in words, then the table."""
    lines = [f"- {name}: {value}" for name, value in data["machine"].items()]
    lines += [f"- {name.replace('_', ' ')}: {value}" for name, value in data["settings"].items()
              if name != "transports"]
    lines.append("")
    header, *rows = table_rows(data, only)
    lines += ["| " + " | ".join(row) + " |"
              for row in (header, ["---"] * len(header), *rows)]
    return "\n".join(lines) + "\n"


def text(data, only=None):
    """The table for a terminal: aligned, without marks."""
    rows = [[cell.replace("**", "") for cell in row] for row in table_rows(data, only)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() + "\n"
                   for row in rows)
