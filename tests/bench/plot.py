"""Draws ratios to AF_UNIX over sizes as SVG: a row for each figure, a column for each way to pin.

A point is the median, its line reaches from the smallest to the largest repetition. Both axes are
logarithmic; the thick line at 1 is AF_UNIX, short dashes are floors of the goals.
"""

import math
import statistics
from html import escape

import goals
import values
from transports import BASE, title

ROWS = [("stream", "blocking", "one way, by size of a write"), ("rtt", "blocking", "round trip, by size"),
        ("rtt", "epoll", "round trip, epoll, by size"),
        ("rtt", "raw-epoll", "round trip, unhooked epoll, by size")]
# Okabe and Ito's, which nearly everybody can tell apart.
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d1f", "#555555"]
WIDTH, HEIGHT, LEFT, TOP, GAP = 330, 220, 60, 34, 46
LEGEND_COLUMNS = 2


def points(data, only, row, pin, name):
    """Size -> ratios, of one line in one panel."""
    found = {}
    for case in data["cases"]:
        if (case["figure"], case["wait"], case["pin"]) == (*row[:2], pin):
            repetitions = values.successes(values.chosen_repetitions(case, only), name)
            if repetitions:
                found[case["size"]] = values.ratios(repetitions, name, goals.VALUES["speed"])
    return found


def collect(data, only):
    """(row, pin) -> name -> size -> ratios; without what has none."""
    names = [name for name in data["settings"]["transports"] if name != BASE]
    panels = {}
    for row in ROWS:
        for pin in values.PINS:
            lines = {name: points(data, only, row, pin, name) for name in names}
            if any(lines.values()):
                panels[row, pin] = {name: line for name, line in lines.items() if line}
    return panels


class Scale:
    """Values to positions, logarithmically."""

    def __init__(self, numbers, start, end):
        low, high = math.log(min(numbers)), math.log(max(numbers))
        room = max((high - low) * 0.06, 0.2)
        self._low, self._high, self._start, self._end = low - room, high + room, start, end

    def __call__(self, number):
        part = (math.log(number) - self._low) / (self._high - self._low)
        return round(self._start + part * (self._end - self._start), 1)

    def ticks(self):
        steps = [base * 10.0 ** power for power in range(-5, 5) for base in (1, 2, 5)]
        inside = [step for step in steps if self._low <= math.log(step) <= self._high]
        return inside if len(inside) <= 8 else [step for step in inside if f"{step:e}"[0] == "1"]


def label(x, y, text, anchor="middle", **more):
    extra = "".join(f' {key.replace("_", "-")}="{value}"' for key, value in more.items())
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}"{extra}>{escape(text)}</text>'


def line(x1, y1, x2, y2, colour, width=1, **more):
    extra = "".join(f' {key.replace("_", "-")}="{value}"' for key, value in more.items())
    return (f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" '
            f'stroke-width="{width}"{extra}/>')


def axes(across, up, sizes, left, top):
    right, bottom = left + WIDTH, top + HEIGHT
    yield f'<rect x="{left}" y="{top}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#999"/>'
    for tick in up.ticks():
        yield line(left, up(tick), right, up(tick), "#ddd")
        yield label(left - 6, up(tick) + 4, f"{tick:g}", "end")
    yield line(left, up(1), right, up(1), "#333", 2)
    for size in sizes:
        yield label(across(size), bottom + 16, values.size_text(size).replace("iB", ""))


def floors(row, pin):
    """Size -> floor, of one panel."""
    found = {}
    for goal in goals.GOALS:
        case = {"wait": "blocking", "pin": "none", **goal.case}
        if (case["figure"], case["wait"], case["pin"]) == (*row[:2], pin) \
                and goal.value == "speed" and goal.spin:
            found[case["size"]] = goal.floor
    return found


def dashes(marks, across, up):
    for size, floor in marks.items():
        x, y = across(size), up(floor)
        yield line(x - 9, y, x + 9, y, "#000", 2, stroke_dasharray="4 2")


def curve(found, across, up, colour):
    medians = {size: statistics.median(ratios) for size, ratios in sorted(found.items())}
    path = " ".join(f"{across(size)},{up(ratio)}" for size, ratio in medians.items())
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
    for size, ratio in medians.items():
        x = across(size)
        yield line(x, up(min(found[size])), x, up(max(found[size])), colour)
        yield f'<circle cx="{x}" cy="{up(ratio)}" r="3" fill="{colour}"/>'


def panel(row, pin, lines, colours, left, top, all_ratios):
    sizes = sorted({size for found in lines.values() for size in found})
    marks = {size: floor for size, floor in floors(row, pin).items() if size in sizes}
    across, up = Scale(sizes, left, left + WIDTH), Scale(all_ratios, top + HEIGHT, top)
    yield label(left + WIDTH / 2, top - 8, f"{row[2]}; {values.PINS[pin]}", font_weight="bold")
    yield from axes(across, up, sizes, left, top)
    yield from dashes(marks, across, up)
    for name, found in lines.items():
        yield from curve(found, across, up, colours[name])


def legend(colours, top):
    for number, (name, colour) in enumerate(colours.items()):
        x = LEFT + number % LEGEND_COLUMNS * (WIDTH + LEFT)
        y = top + number // LEGEND_COLUMNS * 18
        yield f'<circle cx="{x}" cy="{y - 4}" r="5" fill="{colour}"/>'
        yield label(x + 12, y, title(name), "start")


def svg(data, only=None):
    panels = collect(data, only)
    colours = {name: COLOURS[number % len(COLOURS)]
               for number, name in enumerate(data["settings"]["transports"][1:])}
    pins = [pin for pin in values.PINS if any(pin == at for _, at in panels)]
    rows = [row for row in ROWS if any(row == at for at, _ in panels)]
    # One scale for all panels, so that they can be compared; the floors of the goals are on it.
    ratios = [ratio for lines in panels.values() for found in lines.values()
              for some in found.values() for ratio in some]
    ratios += [floor for at in panels for floor in floors(*at).values()] + [1]
    legend_height = 18 * math.ceil(len(colours) / LEGEND_COLUMNS) + 34
    width = len(pins) * (WIDTH + LEFT) + 30 if len(pins) > 1 else 2 * (WIDTH + LEFT) + 30
    height = legend_height + len(rows) * (TOP + HEIGHT + GAP)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
             f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
             f'<rect width="{width}" height="{height}" fill="white"/>',
             label(LEFT, 20, "Speed as a multiple of AF_UNIX in the same repetition", "start",
                   font_weight="bold"), *legend(colours, 42)]
    for (row, pin), lines in panels.items():
        left = LEFT + pins.index(pin) * (WIDTH + LEFT)
        top = legend_height + TOP + rows.index(row) * (TOP + HEIGHT + GAP)
        parts += panel(row, pin, lines, colours, left, top, ratios)
    return "\n".join([*parts, "</svg>", ""])
