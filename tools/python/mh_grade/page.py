"""The page for people: one HTML file with everything in it, also the recordings. Nothing in it comes from elsewhere."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import os
import statistics
from collections import Counter
from collections.abc import Sequence

from .journal import Merged
from .results import STATUSES, CoveredFile, Place, SubmissionResult, TestResult, points_text
from .submissions import plain_name

RECORDING_MAX = 1 << 20  # bytes of a recording; larger ones are only linked
BINS = 10
MARKS = {"pass": "\N{CHECK MARK}", "wrong": "\N{NOT EQUAL TO}", "crash": "\N{HEAVY BALLOT X}", "limit": "\N{INFINITY}",
         "flood": "\N{DOWNWARDS PAIRED ARROWS}", "image": "\N{EMPTY SET}", "build": "!", "rejected": "\N{EM DASH}",
         "error": "?"}


def read_part(name: str) -> str:
    with open(os.path.join(os.path.dirname(__file__), name), encoding="utf-8") as file:
        return file.read()


def sha256(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def esc(text: str) -> str:
    """Text as HTML. Lone surrogates, which UTF-8 does not have, become replacement characters."""
    return html.escape(text.encode("utf-8", "replace").decode())


# ---- one submission ----

def diff_html(diff: str) -> str:
    kinds = {"+": "add", "-": "del", "@": "at"}
    lines = []
    for index, line in enumerate(diff.split("\n")):
        kind = "at" if index < 2 and line.startswith(("--- ", "+++ ")) else kinds.get(line[:1], "")
        lines.append(f"<span class=\"{kind}\">{esc(line)}</span>" if kind else esc(line))
    return "<pre class=\"diff\">" + "\n".join(lines) + "</pre>"


def place_html(place: Place) -> str:
    text = f"<p>at <b>{esc(place.file)}:{place.line}</b> in <code>{esc(place.function)}</code></p>"
    if not place.lines:
        return text
    rows = "\n".join(f"<span class=\"{'here' if number == place.line else 'near'}\">{number:5} {esc(line)}</span>"
                     for number, line in place.lines)
    return f"{text}<pre class=\"source\">{rows}</pre>"


def recording_html(path: str, out: str, name: str) -> str:
    """A link to the file, which the script turns into one to what is embedded."""
    try:
        with open(os.path.join(out, path), "rb") as file:
            data = file.read(RECORDING_MAX + 1)
    except OSError:
        return ""
    packed = ""
    if len(data) <= RECORDING_MAX:
        packed = f" data-gz=\"{base64.b64encode(gzip.compress(data, mtime=0)).decode()}\""
    return (f"<p><a class=\"recording\" download=\"{esc(name)}\" href=\"{esc(path)}\"{packed}>Download the recording</a> "
            f"and debug it: <code>mini_hypervisor --replay {esc(name)} --gdb</code></p>")


def details_html(test: TestResult) -> str:
    if not test.details:
        return ""
    if test.kind == "diff":
        return diff_html(test.details)
    title = {"output": "Output", "log": "Log"}[test.kind]
    return f"<h4>{title}</h4><pre>{esc(test.details)}</pre>"


def recordings_html(number: int, test: TestResult, out: str, submission: str) -> str:
    names = [f"{submission}-{number}" + (f"-{machine}" if len(test.recordings) > 1 else "") + ".mhr"
             for machine in range(1, len(test.recordings) + 1)]
    return "".join(recording_html(path, out, name) for path, name in zip(test.recordings, names))


def test_html(number: int, test: TestResult, out: str, submission: str) -> str:
    facts = f"{points_text(test.points)} of {points_text(test.most)} points"
    if test.instructions is not None:
        facts += f", {test.instructions:,} instructions"
    text = (f"<section class=\"{'ok' if test.passed else 'failed'}\"><h3><span class=\"mark {test.status}\">"
            f"{MARKS[test.status]}</span> {number}. {esc(test.name)}</h3><p class=\"facts\">{facts}</p>")
    if test.message:
        text += f"<p class=\"message\">{esc(STATUSES[test.status])}: {esc(test.message)}</p>"
    if test.place:
        text += place_html(test.place)
    text += details_html(test)
    if "\n" in test.report:
        text += f"<details><summary>Report of the machine</summary><pre>{esc(test.report)}</pre></details>"
    return text + recordings_html(number, test, out, submission) + "</section>"


def coverage_html(file: CoveredFile) -> str:
    """A source file; lines that were never executed are marked."""
    lines = []
    for number, (count, text) in enumerate(file.lines, 1):
        kind = "near" if count is None else "miss" if count == 0 else "hit"
        shown = "" if count is None else f"{count:,}"
        lines.append(f"<span class=\"{kind}\">{number:5} {shown:>11}  {esc(text)}</span>")
    share = f"{file.executed} of {file.with_code} lines executed by all tests together"
    return (f"<section><details><summary>Coverage of {esc(file.name)}: {share}</summary><pre class=\"source\">" +
            "\n".join(lines) + "</pre></details></section>")


def submission_html(result: SubmissionResult, out: str) -> str:
    """What opens below the row. Where all tests failed for one reason, it is shown once."""
    reasons = {(test.status, test.message) for test in result.tests}
    if len(reasons) == 1 and result.status in ("build", "image", "rejected"):
        first = result.tests[0]
        return (f"<section><p class=\"message\">{esc(STATUSES[first.status])}: {esc(first.message)}</p>"
                f"{details_html(first)}</section>")
    name = plain_name(result.shown)
    tests = "".join(test_html(number, test, out, name) for number, test in enumerate(result.tests, 1))
    return tests + "".join(map(coverage_html, result.coverage))


def row_html(index: int, result: SubmissionResult) -> str:
    instructions = sum(test.instructions or 0 for test in result.tests)
    marks = "".join(f"<td class=\"test\"><span class=\"mark {test.status}\" title=\"{esc(test.name)}: "
                    f"{esc(test.message or 'passed')}\">{MARKS[test.status]}</span></td>" for test in result.tests)
    return (f"<tr class=\"row\" data-status=\"{result.status}\"><td class=\"name\"><button aria-expanded=\"false\" "
            f"data-index=\"{index}\">{esc(result.shown)}</button></td><td class=\"points\" data-value=\"{result.points}\">"
            f"{points_text(result.points)}</td>{marks}<td class=\"status\">{STATUSES[result.status]}</td>"
            f"<td class=\"count\" data-value=\"{instructions}\">{instructions:,}</td></tr>")


# ---- all of them ----

def bin_of(points: float, most: float) -> int:
    return min(BINS - 1, int(points / most * BINS)) if most > 0 else BINS - 1


def histogram_html(results: Sequence[SubmissionResult]) -> str:
    counts = Counter(bin_of(result.points, result.most) for result in results)
    highest = max(counts.values(), default=1)
    bars = []
    for index in range(BINS):
        height = 60 * counts[index] / highest
        label = f"{counts[index]} with {index * 10} to {index * 10 + 10} %"
        bars.append(f"<g><title>{label}</title><rect class=\"bar\" x=\"{index * 24}\" y=\"{74 - height:.1f}\" width=\"20\" "
                    f"height=\"{height:.1f}\" rx=\"2\"/><text x=\"{index * 24 + 10}\" y=\"{70 - height:.1f}\">"
                    f"{counts[index] or ''}</text><text x=\"{index * 24 + 10}\" y=\"86\">{index * 10}</text></g>")
    return (f"<figure><figcaption>Submissions by points, in %</figcaption><svg viewBox=\"0 -2 240 92\" role=\"img\" "
            f"aria-label=\"Submissions by points\">{''.join(bars)}</svg></figure>")


def tests_html(merged: Merged) -> str:
    rows = []
    for index, (name, points) in enumerate(merged.head.tests):
        passed = sum(result.tests[index].passed for result in merged.results)
        width = 100 * passed / max(1, len(merged.results))
        rows.append(f"<li><span class=\"what\">{esc(name)} <small>{points_text(points)} p.</small></span>"
                    f"<svg viewBox=\"0 0 100 6\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect class=\"back\" "
                    f"width=\"100\" height=\"6\"/><rect class=\"bar\" width=\"{width:.1f}\" height=\"6\"/></svg>"
                    f"<span class=\"share\">{passed} of {len(merged.results)}</span></li>")
    return f"<ol class=\"tests\">{''.join(rows)}</ol>"


def facts_html(merged: Merged) -> str:
    points = [result.points for result in merged.results] or [0.0]
    most = sum(test[1] for test in merged.head.tests)
    facts = [("submissions", str(len(merged.results))), ("mean", points_text(statistics.mean(points))),
             ("median", points_text(statistics.median(points))), ("possible", points_text(most)),
             ("all passed", str(sum(result.status == "pass" for result in merged.results)))]
    if merged.missing:
        facts.append(("missing", str(len(merged.missing))))
    return "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)


def status_options(merged: Merged) -> str:
    counts = Counter(result.status for result in merged.results)
    return "".join(f"<option value=\"{status}\">{text} ({counts[status]})</option>" for status, text in STATUSES.items()
                   if counts[status])


def heads_html(merged: Merged) -> str:
    columns = [("Submission", "text", "name")] + [("Points", "number", "points")]
    columns += [(str(number), "text", "test") for number in range(1, len(merged.head.tests) + 1)]
    columns += [("Result", "text", "status"), ("Instructions", "number", "count")]
    cells = []
    for title, kind, name in columns:
        shown = f"title=\"{esc(merged.head.tests[int(title) - 1][0])}\" " if name == "test" else ""
        cells.append(f"<th class=\"{name}\" scope=\"col\"><button {shown}data-kind=\"{kind}\">{title}</button></th>")
    return "".join(cells)


def as_html(merged: Merged, out: str) -> str:
    """The page; `out` is the directory of results, where the recordings are."""
    style, script = read_part("page.css"), read_part("page.js")
    policy = f"default-src 'none'; style-src {sha256(style)}; script-src {sha256(script)}; base-uri 'none'"
    rows = "".join(row_html(index, result) for index, result in enumerate(merged.results))
    details = "".join(f"<template id=\"s{index}\">{submission_html(result, out)}</template>"
                      for index, result in enumerate(merged.results))
    title = esc(merged.head.title)
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}"><meta name="color-scheme" content="light dark">
<title>{title}</title><style>{style}</style></head>
<body><header><h1>{title}</h1><dl class="facts">{facts_html(merged)}</dl></header>
<div class="overview">{histogram_html(merged.results)}{tests_html(merged)}</div>
<main><form class="filter" role="search"><input type="search" id="filter" placeholder="Filter by name  ( / )"
aria-label="Filter by name" autocomplete="off"><select id="status" aria-label="Filter by result"><option value="">all
results</option>{status_options(merged)}</select><select id="sort" aria-label="Sort by"><option value="0">by name</option>
<option value="1">by points</option></select><output id="shown"></output></form>
<table><thead><tr>{heads_html(merged)}</tr></thead><tbody>{rows}</tbody></table>
<p class="help">Keys: <kbd>/</kbd> filter, <kbd>\N{UPWARDS ARROW}</kbd> <kbd>\N{DOWNWARDS ARROW}</kbd> move, <kbd>Enter</kbd>
open and close, <kbd>Esc</kbd> close all.</p></main>{details}<script>{script}</script></body></html>
"""
