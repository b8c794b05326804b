"""Results on disk: one line of JSON for each submission, appended when it is graded, so that a run can be continued."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import glob
import json
import os
import threading
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from .results import SubmissionResult, from_json, to_json

FORMAT = 1
PATTERN = "results-*.jsonl"


class JournalError(Exception):
    """Results that cannot be used, and why."""


@dataclasses.dataclass(frozen=True)
class Head:
    """The first line: what the results belong to."""
    suite: str  # hashes of suite and program
    program: str
    title: str
    tests: list[list[Any]]  # name and points
    submissions: list[str]  # all of them, also those of other shards
    shard: int
    shards: int

    def as_line(self) -> str:
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}) + "\n"

    @property
    def own_submissions(self) -> list[str]:
        return self.submissions[self.shard - 1::self.shards]


def read_lines(path: str) -> Iterable[dict[str, Any]]:
    """The lines of a file that are whole; a grader that was killed may have left part of one."""
    with open(path, encoding="ascii", errors="replace") as file:
        for line in file:
            try:
                values = json.loads(line)
            except ValueError:
                continue
            if isinstance(values, dict):
                yield values


def read_journal(path: str) -> tuple[Head, dict[str, SubmissionResult]]:
    """Head and results by names of submissions. JournalError when it is none; OSError."""
    lines = iter(read_lines(path))
    try:
        values = next(lines)
        if values.pop("format") != FORMAT:
            raise JournalError(f"{path}: results of another version of grade; grade again into another directory")
        head = Head(**values)
    except (StopIteration, KeyError, TypeError):
        raise JournalError(f"{path}: these are no results of grade") from None
    results = {}
    for values in lines:
        try:
            result = from_json(values)
        except (KeyError, TypeError, ValueError):
            continue
        results[result.name] = result
    return head, results


class Journal:
    """The file of one shard, locked while it is written. Threads may append."""

    def __init__(self, directory: str, head: Head) -> None:
        """OSError when it cannot be written, JournalError when somebody else writes it."""
        self.path = os.path.join(directory, f"results-{head.shard}-of-{head.shards}.jsonl")
        self.mutex = threading.Lock()
        self.lock = self.take_lock(self.path + ".lock")
        self.head = head
        self.file: TextIO | None = None

    def take_lock(self, path: str) -> int:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise JournalError(f"{self.path}: another grade is writing it; wait for its end, or choose another "
                               "directory with --out") from None
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):  # some network file systems
                raise
        return lock

    def open(self, keys: dict[str, str]) -> dict[str, SubmissionResult]:
        """Begin to write; returns earlier results that still count: those with these keys, by names of submissions."""
        try:
            earlier = read_journal(self.path)[1]
        except (FileNotFoundError, JournalError):
            earlier = {}
        kept = {name: result for name, result in earlier.items() if keys.get(name) == result.key and result.is_graded}
        with open(self.path + ".new", "w", encoding="ascii") as file:
            file.write(self.head.as_line())
            for result in kept.values():
                file.write(json.dumps(to_json(result)) + "\n")
        os.replace(self.path + ".new", self.path)
        self.file = open(self.path, "a", encoding="ascii")
        return kept

    def append(self, result: SubmissionResult) -> None:
        line = json.dumps(to_json(result)) + "\n"
        with self.mutex:
            assert self.file is not None
            self.file.write(line)
            self.file.flush()

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
        os.close(self.lock)


@dataclasses.dataclass
class Merged:
    head: Head
    results: list[SubmissionResult]  # in order of names of submissions
    missing: list[str]  # names without a result


def merge(directories: Sequence[str]) -> Merged:
    """The results in some directories, of shards of one grading. JournalError when they do not belong together."""
    heads: dict[str, Head] = {}
    results: dict[str, SubmissionResult] = {}
    for directory in directories:
        paths = sorted(glob.glob(os.path.join(glob.escape(directory), PATTERN)))
        if not paths:
            raise JournalError(f"{directory}: there are no results (results-I-of-N.jsonl) in it")
        for path in paths:
            heads[path], own = read_journal(path)
            for result in own.values():
                for test in result.tests:
                    test.recordings = [os.path.join(directory, recording) for recording in test.recordings]
            results |= own
    first_path, first = next(iter(heads.items()))
    for path, head in heads.items():
        if (head.suite, head.program, head.shards) != (first.suite, first.program, first.shards):
            raise JournalError(f"{path} and {first_path} do not belong together: suite, program or number of shards "
                               "differ; grade again what is older, or remove it")
        if head.submissions != first.submissions:
            raise JournalError(f"{path} and {first_path} do not belong together: the submissions differ")
    ordered = [results[name] for name in first.submissions if name in results]
    return Merged(first, ordered, [name for name in first.submissions if name not in results])
