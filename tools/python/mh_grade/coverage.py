"""Which lines of its source a submission executed, from what mini_hypervisor --coverage writes."""

from __future__ import annotations

import os
import sys

from .place import find_source
from .process import Stopper, run
from .results import CoveredFile

LINES_MAX = 5000  # of a file
REPORT_MAX = 20_000_000  # bytes

Counts = dict[str, dict[int, int]]  # how often each line of a source file was executed


def read_lcov(text: str) -> Counts:
    """The DA lines of a tracefile."""
    counts: Counts = {}
    lines: dict[int, int] = {}
    for record in text.splitlines():
        if record.startswith("SF:"):
            lines = counts.setdefault(record[3:], {})
        elif record.startswith("DA:"):
            fields = record[3:].split(",")
            if len(fields) >= 2 and fields[0].isdigit() and fields[1].isdigit():
                lines[int(fields[0])] = lines.get(int(fields[0]), 0) + int(fields[1])
    return counts


def lcov_of(path: str, image: str, elf: str, reporter: str, stopper: Stopper) -> str:
    """The tracefile of a run, with lines; that of a flat image has addresses, which coverage_report turns into lines."""
    if image == elf:
        with open(path, "rb") as file:
            return os.fsdecode(file.read(REPORT_MAX))
    done = run([sys.executable, "-B", reporter, "--image", elf, path], cwd="/", seconds=60, stopper=stopper,
               output=REPORT_MAX)
    return os.fsdecode(done.out) if done.status == 0 and not done.ended_for else ""


def add_counts(total: Counts, more: Counts) -> None:
    for name, lines in more.items():
        own = total.setdefault(name, {})
        for line, count in lines.items():
            own[line] = own.get(line, 0) + count


def covered_files(counts: Counts, directory: str) -> list[CoveredFile]:
    """The files that belong to a submission, with their text: that of the SDK is of no interest."""
    files = []
    for name, lines in sorted(counts.items()):
        path = find_source(name, directory)
        if path is None:
            continue
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read().split("\n")[:LINES_MAX]
        shown = [(lines.get(number), line[:200]) for number, line in enumerate(text, 1)]
        files.append(CoveredFile(os.path.relpath(path, directory), shown))
    return files
