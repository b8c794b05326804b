"""How far the grading is: one line that changes on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from typing import TextIO

from .results import STATUSES, SubmissionResult

REDRAW_SECONDS = 0.1
STEPS = 10  # lines, where there is no terminal


class Progress:
    """Threads may report to it."""

    def __init__(self, total: int, kept: int, to: TextIO) -> None:
        self.total, self.kept, self.to = total, kept, to
        self.done = kept
        self.counts: Counter[str] = Counter()
        self.start = time.monotonic()
        self.drawn = 0.0
        self.mutex = threading.Lock()
        self.is_terminal = to.isatty() and os.environ.get("TERM") != "dumb"

    def add(self, result: SubmissionResult) -> None:
        with self.mutex:
            self.done += 1
            self.counts[result.status] += 1
            now = time.monotonic()
            if self.is_terminal and (now - self.drawn >= REDRAW_SECONDS or self.done == self.total):
                self.drawn = now
                self.to.write("\r\x1b[K" + self.fit(self.line(now)))
                self.to.flush()
            elif not self.is_terminal and self.is_step():
                self.to.write(self.line(now) + "\n")
                self.to.flush()

    def is_step(self) -> bool:
        return self.done * STEPS // self.total != (self.done - 1) * STEPS // self.total

    def line(self, now: float) -> str:
        seconds = max(now - self.start, 1e-6)
        rate = (self.done - self.kept) / seconds
        parts = [f"{self.done}/{self.total}", f"{rate:.1f}/s"]
        if self.done < self.total:
            parts.append(f"{(self.total - self.done) / rate:.0f} s left")
        parts += [f"{self.counts[status]} {text}" for status, text in STATUSES.items() if self.counts[status]]
        return "grade: " + "  ".join(parts)

    def fit(self, line: str) -> str:
        try:
            return line[:os.get_terminal_size(self.to.fileno()).columns - 1]
        except OSError:
            return line[:79]

    def clear(self) -> None:
        """Leave an empty line for what is printed next."""
        if self.is_terminal:
            self.to.write("\r\x1b[K")
            self.to.flush()
