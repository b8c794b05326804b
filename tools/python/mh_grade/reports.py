"""Reports for machines: CSV, JUnit XML and TAP."""

from __future__ import annotations

import csv
import io
import re
from xml.sax.saxutils import escape, quoteattr

from .journal import Merged
from .results import STATUSES, SubmissionResult, TestResult, points_text

NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def csv_text(text: str) -> str:
    """A field that no spreadsheet takes for a formula."""
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def as_csv(merged: Merged) -> str:
    """A row for each submission."""
    to = io.StringIO()
    writer = csv.writer(to)
    writer.writerow(["submission", "points", "of", "status", "message",
                     *(csv_text(f"{name} ({points_text(points)})") for name, points in merged.head.tests)])
    for result in merged.results:
        message = next((test.message for test in result.tests if not test.passed), "")
        writer.writerow([csv_text(result.shown), points_text(result.points), points_text(result.most),
                         STATUSES[result.status], csv_text(message),
                         *(points_text(test.points) for test in result.tests)])
    return to.getvalue()


def xml_text(text: str) -> str:
    return escape(NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text))


def xml_value(text: str) -> str:
    return quoteattr(NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text))


def junit_case(result: SubmissionResult, test: TestResult) -> str:
    start = f"    <testcase classname={xml_value(result.shown)} name={xml_value(test.name)} time=\"{test.seconds:.3f}\""
    if test.passed:
        return start + "/>\n"
    kind = "error" if test.status == "error" else "failure"
    text = "\n".join(part for part in (test.message, test.details, test.report) if part)
    return (f"{start}>\n      <{kind} type={xml_value(STATUSES[test.status])} message={xml_value(test.message)}>"
            f"{xml_text(text)}</{kind}>\n    </testcase>\n")


def junit_suite(result: SubmissionResult) -> str:
    errors = sum(test.status == "error" for test in result.tests)
    failures = sum(not test.passed for test in result.tests) - errors
    cases = "".join(junit_case(result, test) for test in result.tests)
    return (f"  <testsuite name={xml_value(result.shown)} tests=\"{len(result.tests)}\" failures=\"{failures}\" "
            f"errors=\"{errors}\" time=\"{result.seconds:.3f}\">\n{cases}  </testsuite>\n")


def as_junit(merged: Merged) -> str:
    """A test suite for each submission."""
    suites = "".join(map(junit_suite, merged.results))
    return (f"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name={xml_value(merged.head.title)}>\n{suites}"
            "</testsuites>\n")


def tap_text(text: str) -> str:
    """A description: one line in which nothing is a directive."""
    return text.replace("\\", "\\\\").replace("#", "\\#").replace("\n", " ")


def as_tap(merged: Merged) -> str:
    """TAP 14, a test point for each test of each submission."""
    lines = ["TAP version 14", f"1..{sum(len(result.tests) for result in merged.results)}"]
    number = 0
    for result in merged.results:
        for test in result.tests:
            number += 1
            ok = "ok" if test.passed else "not ok"
            lines.append(f"{ok} {number} - {tap_text(result.shown)}: {tap_text(test.name)}")
            if not test.passed:
                lines.append(f"# {STATUSES[test.status]}: " + test.message.replace("\n", " "))
    return "\n".join(lines) + "\n"
