"""mh_grade's reports: hostile texts stay texts, in every format."""

import csv
import html.parser
import io
import os
import sys
import tempfile
import unittest
import xml.etree.ElementTree

sys.path.insert(0, os.path.join(os.environ["MH_SOURCE"], "tools", "python"))
from mh_grade import page, reports  # noqa: E402
from mh_grade.journal import Head, Merged  # noqa: E402
from mh_grade.results import STATUSES, CoveredFile, Place, SubmissionResult, TestResult, from_json, to_json  # noqa: E402

EVIL = "<script>alert('x')</script> \"&\\#\x00\x1b\ud800"


def submission(name, *tests):
    return SubmissionResult(name, name, "key", list(tests), 0.5)


def merged(*results, tests=(("one", 2.0), ("two", 1.0)), missing=()):
    names = [result.name for result in results]
    return Merged(Head("s", "p", f"Title {EVIL}", [list(test) for test in tests], names, 1, 1), list(results),
                  list(missing))


def bad(status="wrong", **more):
    return TestResult("one", 2.0, status, f"message {EVIL}", details=f"details {EVIL}", kind="output", **more)


GOOD = TestResult("two", 1.0, "pass", instructions=5)


class ElementCounter(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


class ReportsTest(unittest.TestCase):
    def test_csv(self):
        rows = list(csv.reader(io.StringIO(reports.as_csv(merged(submission("=1+1", bad(), GOOD),
                                                                 submission("b,\"c\"", GOOD, GOOD))))))
        self.assertEqual(rows[0][:4], ["submission", "points", "of", "status"])
        self.assertEqual(rows[0][5:], ["one (2)", "two (1)"])
        self.assertEqual(rows[1][:4] + rows[1][5:], ["'=1+1", "1", "3", "wrong result", "0", "1"])
        self.assertEqual(rows[2][0], "b,\"c\"")

    def test_junit(self):
        text = reports.as_junit(merged(submission(EVIL, bad(), GOOD), submission("b", bad("error"), GOOD)))
        suites = xml.etree.ElementTree.fromstring(text.encode())
        self.assertEqual([(suite.get("tests"), suite.get("failures"), suite.get("errors")) for suite in suites],
                         [("2", "1", "0"), ("2", "0", "1")])
        failure = suites.find(".//failure")
        self.assertEqual(failure.get("type"), "wrong result")
        self.assertIn("details <script>alert('x')</script>", failure.text)

    def test_tap(self):
        lines = reports.as_tap(merged(submission("a # SKIP\\", bad(), GOOD))).splitlines()
        self.assertEqual(lines[:2], ["TAP version 14", "1..2"])
        self.assertEqual(lines[2], "not ok 1 - a \\# SKIP\\\\: one")
        self.assertTrue(lines[3].startswith("# wrong result: message"))
        self.assertEqual(lines[4:], ["ok 2 - a \\# SKIP\\\\: two"])

    def test_page_has_no_elements_of_others(self):
        results = [submission(EVIL, bad(report=f"a\n{EVIL}", place=Place(EVIL, EVIL, 3, [(3, EVIL)])), GOOD),
                   submission("b", *(TestResult(EVIL, 1, "build", EVIL, details=EVIL, kind="log") for _ in range(2)))]
        text = page.as_html(merged(*results, tests=((EVIL, 1.0), ("two", 1.0)), missing=["c"]), "/nonexistent")
        text.encode("utf-8")
        elements = ElementCounter(text).tags
        self.assertEqual([tag for tag, _ in elements if tag == "script"], ["script"])
        self.assertEqual([attributes for _, attributes in elements if any(name.startswith("on") for name in attributes)],
                         [])

    def test_page_shows_every_status(self):
        self.assertEqual(set(page.MARKS), set(STATUSES))
        text = page.as_html(merged(*(submission(status, TestResult("one", 1.0, status, "why"), GOOD)
                                     for status in STATUSES)), "/nonexistent")
        for status, name in STATUSES.items():
            self.assertIn(f"data-status=\"{status}\"", text)
            self.assertIn(f"{name} (1)", text)

    def test_coverage(self):
        covered = submission("a", GOOD, GOOD)
        covered.coverage = [CoveredFile("guest.c", [(None, "{"), (3, "x;"), (0, "<y>;")])]
        text = page.as_html(merged(covered), "/nonexistent")
        self.assertIn("Coverage of guest.c: 1 of 2 lines executed", text)
        self.assertIn("<span class=\"miss\">    3           0  &lt;y&gt;;</span>", text)

    def test_page_of_nothing(self):
        self.assertIn("<tbody></tbody>", page.as_html(merged(missing=["a"]), "/nonexistent"))

    def test_recordings_are_embedded_if_they_are_small(self):
        with tempfile.TemporaryDirectory() as directory:
            for name, size in (("small", 1000), ("large", page.RECORDING_MAX + 1)):
                with open(os.path.join(directory, name), "wb") as file:
                    file.write(bytes(size))
            text = page.as_html(merged(submission("a", bad(recordings=["small"]), bad(recordings=["large", "none"]))),
                                directory)
        links = [attributes for tag, attributes in ElementCounter(text).tags if tag == "a"]
        self.assertEqual([(link["href"], "data-gz" in link, link["download"]) for link in links],
                         [("small", True, "a-1.mhr"), ("large", False, "a-2-1.mhr")])

    def test_json_and_back(self):
        result = submission(EVIL, bad(place=Place("main", "guest.c", 3, [])), GOOD)
        result.coverage = [CoveredFile("guest.c", [[None, "{"], [3, "x;"], [0, "y;"]])]
        self.assertEqual(from_json(to_json(result)), result)
        for values in ({}, {**to_json(result), "more": 1}, {**to_json(result), "tests": [{"place": None}]}):
            with self.assertRaises((KeyError, TypeError)):
                from_json(values)


if __name__ == "__main__":
    unittest.main()
