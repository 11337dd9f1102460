"""Medians, ratios and names of what `compare` measured, as text."""

import math
import statistics

from transports import BASE

PINS = {"none": "any CPU", "one": "one CPU", "two": "two CPUs"}
WAITS = {"blocking": "", "epoll": ", epoll", "raw-epoll": ", unhooked epoll"}
# The last one: quiet, and not mixed.
TAGS = ("near", "far", "mixed", "quiet", "disturbed", "clean")


# --- repetitions -------------------------------------------------------------------------------------

def tags(repetition):
    found = {repetition["topology"], "disturbed" if repetition["disturbed"] else "quiet"}
    if not found & {"mixed", "disturbed"}:
        found.add("clean")
    return found


def chosen_repetitions(case, only):
    return [one for one in case["repetitions"] if only is None or only in tags(one)]


def successes(repetitions, name):
    return [one for one in repetitions if "error" not in one["results"].get(name, {"error": ""})]


def median(repetitions, name, get):
    return statistics.median(get(one["results"][name]) for one in repetitions)


def ratios(repetitions, name, get):
    """`get`: from a measurement and AF_UNIX's of the same repetition."""
    return [get(one["results"][name], one["results"][BASE]) for one in repetitions]


# --- words -------------------------------------------------------------------------------------------

def size_text(size):
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} B"


def case_text(case):
    figure = case["figure"]
    if figure == "connect":
        return "connections"
    if figure == "rpc":
        return situation_text(case)
    size = size_text(case["size"])
    if figure == "held":
        return f"{case['connections']:,} connections, {size} each way"
    if figure == "rtt":
        return f"round trip, {size}{WAITS[case['wait']]}"
    return f"writes of {size}" if figure == "stream" else f"send and recv, {size}"


def situation_text(case):
    words = ["requests"]
    if case["work_us"]:
        words.append(f"{case['work_us']} µs of work")
    if case["hogs"]:
        words.append(f"{case['hogs']} hog{'s' * (case['hogs'] > 1)}")
    if case["pairs"] > 1:
        words.append(f"{case['pairs']} pairs")
    return ", ".join(words)


def number_text(value, digits):
    """With so many significant digits, but never an exponent and no digit of the whole part lost."""
    if value == 0:
        return "0"
    return f"{value:,.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"


def ratio_text(ratio):
    if ratio is None:
        return "–"
    if ratio >= 100:
        return number_text(ratio, 3)
    return f"{ratio:.2f}" if ratio >= 0.1 else number_text(ratio, 2)


def rate_text(figure, per_second):
    """In the unit in which one speaks of this figure."""
    if figure == "stream":
        return f"{number_text(per_second / 1e9, 3)} GB/s"
    if figure == "rtt":
        return f"{number_text(1e6 / per_second, 3)} µs"
    return f"{per_second:,.0f} /s"


def ratio_cell(repetitions, name, get):
    found = ratios(repetitions, name, get)
    return (f"**{ratio_text(statistics.median(found))}** "
            f"({ratio_text(min(found))}–{ratio_text(max(found))})")


def counts_text(repetitions):
    """How many there are of each kind, e.g. `9: 6 near, 3 far; 1 disturbed`."""
    found = [tag for one in repetitions for tag in tags(one)]
    kinds = ", ".join(f"{found.count(tag)} {tag}" for tag in TAGS[:3] if tag in found)
    disturbed = f"; {found.count('disturbed')} disturbed" if "disturbed" in found else ""
    return f"{len(repetitions)}{': ' if kinds else ''}{kinds}{disturbed}"
