"""What becomes of a submission, and how it is kept in files."""

from __future__ import annotations

import dataclasses
from typing import Any

# Statuses of a test, and what each is called in reports.
STATUSES = {
    "pass": "passed",
    "wrong": "wrong result",
    "crash": "crashed",
    "limit": "limit reached",
    "flood": "too much output",
    "image": "no usable image",
    "build": "build failed",
    "rejected": "rejected",
    "error": "not graded",
}


@dataclasses.dataclass
class Place:
    """Where in the source a guest stopped."""
    function: str
    file: str
    line: int
    lines: list[tuple[int, str]]  # the lines around it, with their numbers; may be empty


@dataclasses.dataclass
class CoveredFile:
    """A source file, and how often each line was executed; None: there is no code in it."""
    name: str
    lines: list[tuple[int | None, str]]

    @property
    def with_code(self) -> int:
        return sum(count is not None for count, _ in self.lines)

    @property
    def executed(self) -> int:
        return sum(bool(count) for count, _ in self.lines)


@dataclasses.dataclass
class TestResult:
    name: str
    most: float  # points that could be had
    status: str
    message: str = ""  # one line; "" only if passed
    instructions: int | None = None  # executed by all machines
    seconds: float = 0.0
    details: str = ""  # a diff, output, or the log of the build
    kind: str = ""  # what details are: "diff", "output", "log"
    report: str = ""  # of a crash
    place: Place | None = None
    recordings: list[str] = dataclasses.field(default_factory=list)  # paths in the directory of results

    @property
    def passed(self) -> bool:
        return self.status == "pass"

    @property
    def points(self) -> float:
        return self.most if self.passed else 0.0


@dataclasses.dataclass
class SubmissionResult:
    name: str
    shown: str
    key: str  # of suite, program and submission
    tests: list[TestResult]
    seconds: float = 0.0
    coverage: list[CoveredFile] = dataclasses.field(default_factory=list)

    @property
    def points(self) -> float:
        return sum(test.points for test in self.tests)

    @property
    def most(self) -> float:
        return sum(test.most for test in self.tests)

    @property
    def status(self) -> str:
        """That of the first test that did not pass."""
        return next((test.status for test in self.tests if not test.passed), "pass")

    @property
    def is_graded(self) -> bool:
        return all(test.status != "error" for test in self.tests)


def to_json(result: SubmissionResult) -> dict[str, Any]:
    return dataclasses.asdict(result)


def test_from_json(values: dict[str, Any]) -> TestResult:
    place = values.pop("place")
    test = TestResult(**values)
    if place is not None:
        test.place = Place(**place)
    return test


def from_json(values: dict[str, Any]) -> SubmissionResult:
    """What to_json() made; TypeError, KeyError or ValueError for anything else."""
    values = dict(values)
    tests = [test_from_json(dict(test)) for test in values.pop("tests")]
    coverage = [CoveredFile(**file) for file in values.pop("coverage")]
    result = SubmissionResult(tests=tests, coverage=coverage, **values)
    if not all(test.status in STATUSES for test in tests):
        raise ValueError("unknown status")
    return result


def points_text(points: float) -> str:
    return f"{points:.2f}".rstrip("0").rstrip(".")
