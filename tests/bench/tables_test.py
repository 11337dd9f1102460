#!/usr/bin/python3
"""What `compare` makes of measurements: names of transports, tags, verdicts, pages, the drawing."""

import pathlib
import tempfile
import unittest
import xml.dom.minidom

import cases
import goals
import plot
import report
import transports
import values

OURS, SPIN_OFF = "guest-to-host", f"guest-to-host/{goals.NO_SPIN}"


def timed(speed, **more):
    return {"count": speed, "seconds": 1, "cpu_seconds": 1, "p50_us": 1, "p99_us": 2, **more}


def repetition(speed, topology="near", disturbed=False):
    """AF_UNIX has speed 100."""
    return {"topology": topology, "line_ns": [], "disturbed": disturbed,
            "results": {"unix": timed(100), OURS: timed(speed), SPIN_OFF: {"error": "it hangs"}}}


def data(*repetitions):
    case = cases.make("rtt", size=64, pin="two")
    case["repetitions"] = list(repetitions)
    return {"machine": {"CPUs": 2}, "cases": [case],
            "settings": {"transports": ["unix", OURS, SPIN_OFF], "repetitions": len(repetitions)}}


class Transports(unittest.TestCase):
    def test_a_name_says_how_it_runs(self):
        one = transports.parse("loopback/strict/VMBUS_SPIN_US=0/ring")
        self.assertEqual((one.route, one.mode, one.profile, one.environment),
                         ("loopback", "ring", "strict", {"VMBUS_SPIN_US": "0"}))

    def test_the_command_line_says_the_rest(self):
        self.assertEqual(transports.parse(OURS, "pump", "strict")[2:4], ("pump", "strict"))

    def test_the_kernels_sockets_have_no_mode(self):
        with self.assertRaises(ValueError):
            transports.parse("tcp/ring")

    def test_several_modes_are_several_transports(self):
        self.assertEqual(transports.expand(["unix", OURS], ["pump", "ring"], ["default"]),
                         ["unix", OURS + "/pump", OURS + "/ring"])


class Tables(unittest.TestCase):
    def test_clean_is_neither_mixed_nor_disturbed(self):
        found = ["clean" in values.tags(one) for one in (
            repetition(1), repetition(1, "mixed"), repetition(1, disturbed=True))]
        self.assertEqual(found, [True, False, False])

    def test_a_cell_has_the_median_of_ratios_and_their_bounds(self):
        page = report.markdown(data(*map(repetition, (100, 300, 200))))
        self.assertIn("| **2.00** (1.00–3.00) ", page)

    def test_what_failed_is_a_dash_and_an_error(self):
        measured = data(repetition(100))
        self.assertIn("| – | 1: 1 near |", report.markdown(measured))
        self.assertEqual(len(report.errors(measured)), 1)

    def test_a_floor_must_hold_near_and_far(self):
        def verdict(*repetitions):
            return report.goal_table(data(*repetitions), None)[1][-1]
        self.assertEqual(verdict(repetition(1600), repetition(1600, "far")), "holds")
        self.assertEqual(verdict(repetition(9999), repetition(1400, "far")), "**misses**")
        self.assertEqual(verdict(repetition(9999), repetition(1400, "mixed")), "holds")

    def test_a_page_keeps_what_is_around_the_marks(self):
        with tempfile.TemporaryDirectory() as folder:
            page = pathlib.Path(folder) / "page.md"
            page.write_text("a\n{}\nold\n{}\nb\n".format(*report.MARKS))
            report.put_into(page, "new\n")
            self.assertEqual(page.read_text(), "a\n{}\nnew\n{}\nb\n".format(*report.MARKS))

    def test_the_drawing_is_xml_even_of_nothing(self):
        for measured in (data(repetition(100)), data()):
            xml.dom.minidom.parseString(plot.svg(measured))


if __name__ == "__main__":
    unittest.main()
