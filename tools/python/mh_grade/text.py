"""Bytes of guests as text for people, and how two of them differ."""

from __future__ import annotations

import difflib

DIFF_LINES = 200  # of each side, from the first difference on
LINE_LENGTH = 300
CONTEXT = 3
HEAD = 4000  # bytes of output that reports show

# Control characters as the pictures that Unicode has of them, so that neither a page nor a terminal obeys them.
PICTURES = {code: 0x2400 + code for code in range(32) if code not in (9, 10)} | {0x7f: 0x2421}


def visible(data: bytes) -> str:
    """Bytes as text: what is not UTF-8 as \\xNN, control characters as pictures."""
    return data.decode("utf-8", "backslashreplace").translate(PICTURES)


def head(data: bytes) -> str:
    """The beginning of some output."""
    return visible(data[:HEAD]) + ("" if len(data) <= HEAD else f"\n... {len(data) - HEAD} more bytes")


def lines_of(data: bytes) -> list[str]:
    """Lines of a text; the last one says so if it does not end."""
    lines = data.decode("utf-8", "backslashreplace").split("\n")
    if lines[-1] == "":
        lines.pop()
    else:
        lines[-1] += "  (no newline at the end)"
    return [line.translate(PICTURES)[:LINE_LENGTH] for line in lines]


def first_difference(expected: list[str], actual: list[str]) -> int:
    """Index of the first line that differs; the length of the shorter when none does."""
    for index, (one, other) in enumerate(zip(expected, actual)):
        if one != other:
            return index
    return min(len(expected), len(actual))


def difference(expected: bytes, actual: bytes) -> tuple[int, str]:
    """The number of the first line that differs, and a unified diff from there on."""
    wanted, got = lines_of(expected), lines_of(actual)
    first = first_difference(wanted, got)
    start = max(0, first - CONTEXT)
    diff = list(difflib.unified_diff(wanted[start:start + DIFF_LINES], got[start:start + DIFF_LINES], "expected", "guest",
                                     n=CONTEXT, lineterm=""))
    if start:  # difflib's line numbers begin at the part that was compared
        diff = [f"@@ from line {start + 1} @@" if line.startswith("@@") and index == 2 else line
                for index, line in enumerate(diff)]
    if max(len(wanted), len(got)) > start + DIFF_LINES:
        diff.append(f"... compared up to line {start + DIFF_LINES}")
    return first + 1, "\n".join(diff)
