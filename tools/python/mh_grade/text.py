"""Bytes of guests as text for people, and how two of them differ."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

DIFF_LINES = 200  # of each side, from the first difference on
LINE_LENGTH = 300
CONTEXT = 3
BYTES = 60  # shown where lines look the same
HEAD = 4000  # bytes of output that reports show

# Control characters as the pictures that Unicode has of them, so that neither a page nor a terminal obeys them.
PICTURES = {code: 0x2400 + code for code in range(32) if code not in (9, 10)} | {0x7f: 0x2421}


def visible(data: bytes) -> str:
    """Bytes as text: what is not UTF-8 as \\xNN, control characters as pictures."""
    return data.decode("utf-8", "backslashreplace").translate(PICTURES)


def head(data: bytes) -> str:
    """The beginning of some output."""
    return visible(data[:HEAD]) + ("" if len(data) <= HEAD else f"\n... {len(data) - HEAD} more bytes")


def lines_of(data: bytes) -> list[bytes]:
    """Lines with their ends; only the last one may have none."""
    parts = data.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def show_line(line: bytes) -> str:
    """A line of a diff; it says so if it does not end."""
    end = "" if line.endswith(b"\n") else "  (no newline at the end)"
    return visible(line.removesuffix(b"\n"))[:LINE_LENGTH] + end


def first_difference(expected: Sequence[object], actual: Sequence[object]) -> int:
    """The index of what differs first; the length of the shorter when nothing does."""
    for index, (one, other) in enumerate(zip(expected, actual)):
        if one != other:
            return index
    return min(len(expected), len(actual))


def byte_difference(number: int, expected: bytes, actual: bytes) -> list[str]:
    """The bytes of a line from the first one that differs."""
    at = first_difference(expected, actual)
    return ["--- expected", "+++ guest", f"@@ line {number} from byte {at + 1} @@",
            f"-{expected[at:at + BYTES]!r}", f"+{actual[at:at + BYTES]!r}"]


def difference(expected: bytes, actual: bytes) -> tuple[int, str]:
    """The number of the first line that differs, and a unified diff from there on."""
    wanted, got = lines_of(expected), lines_of(actual)
    first = first_difference(wanted, got)
    start = max(0, first - CONTEXT)
    shown = [[show_line(line) for line in lines[start:start + DIFF_LINES]] for lines in (wanted, got)]
    diff = list(difflib.unified_diff(*shown, "expected", "guest", n=CONTEXT, lineterm=""))
    if not diff:
        diff = byte_difference(first + 1, wanted[first], got[first])
    elif start:  # difflib's line numbers begin at the part that was compared
        diff[2] = f"@@ from line {start + 1} @@"
    if max(len(wanted), len(got)) > start + DIFF_LINES:
        diff.append(f"... compared up to line {start + DIFF_LINES}")
    return first + 1, "\n".join(diff)
