"""Grades submissions, several at once, each in processes and directories of its own."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

from .build import BuildFailed, NoImage, Prepared, Room, prepare
from .coverage import Counts, add_counts, covered_files
from .guest_run import GuestRun, Programs, run_gdb_test
from .process import Stopped, Stopper
from .results import CoveredFile, SubmissionResult, TestResult
from .sandbox import Sandbox
from .submissions import Rejected, Submission, hash_submission
from .suite import Suite

RECORDINGS = "recordings"


def remove_tree(directory: str) -> None:
    """Remove what a build made, which may be nested deeply or not be writable."""
    try:
        shutil.rmtree(directory)
    except FileNotFoundError:
        pass
    except (OSError, RecursionError):
        subprocess.run(["chmod", "-R", "u+rwX", "--", directory], stderr=subprocess.DEVNULL, check=False)
        subprocess.run(["rm", "-rf", "--", directory], stderr=subprocess.DEVNULL, check=False)


def empty_directory(directory: str) -> None:
    for entry in list(os.scandir(directory)):  # before any of them goes
        if entry.is_dir(follow_symlinks=False):
            remove_tree(entry.path)
        else:
            os.remove(entry.path)


def key_of(suite_hash: str, program_hash: str, submission: Submission) -> str:
    """What the result of a submission depends on."""
    contents = hash_submission(submission)
    return hashlib.sha256(f"{suite_hash} {program_hash} {contents}".encode()).hexdigest()[:32]


@dataclasses.dataclass
class Grader:
    """What all workers share."""
    suite: Suite
    programs: Programs
    sandbox: Sandbox | None  # None: nothing is built
    out: str
    work: str  # directory for workers
    stopper: Stopper

    def failed(self, status: str, message: str, log: str = "") -> list[TestResult]:
        """No test could be run: all failed for the same reason. The log is kept once."""
        results = [TestResult(test.name, test.points, status, message) for test in self.suite.tests]
        if log:
            results[0].details, results[0].kind = log, "log"
        return results

    def run_tests(self, prepared: Prepared, room: Room, key: str) -> tuple[list[TestResult], list[CoveredFile]]:
        results = []
        counts: Counts = {}
        for test in self.suite.tests:
            empty_directory(room.run)
            try:
                run_of = GuestRun(self.suite, test, prepared, room, self.programs, self.stopper)
                result = run_gdb_test(run_of) if test.gdb else run_of.run()
                add_counts(counts, run_of.counts)
            except NoImage as why:
                result = TestResult(test.name, test.points, "image", str(why), details=prepared.log, kind="log")
            except OSError as error:
                result = TestResult(test.name, test.points, "error", f"cannot run: {error}")
            results.append(result)
            self.keep_recordings(result, f"{key}-test{len(results)}")
        return results, covered_files(counts, prepared.directory)

    def keep_recordings(self, result: TestResult, prefix: str) -> None:
        """Move them to the results."""
        kept = []
        for path in result.recordings:
            name = prefix + path.rpartition("recording")[2]
            os.replace(path, os.path.join(self.out, RECORDINGS, name))
            kept.append(os.path.join(RECORDINGS, name))
        result.recordings = kept

    def grade(self, submission: Submission, key: str, worker: int) -> SubmissionResult:
        """Stopped when the grading is to end."""
        start = time.monotonic()
        coverage: list[CoveredFile] = []
        room = Room(os.path.join(self.work, f"run-{worker}"), os.path.join(self.work, f"build-{worker}"), submission.plain)
        try:
            os.makedirs(room.run, exist_ok=True)
            prepared = prepare(submission, self.suite, room, self.programs.sdk, self.sandbox, worker, self.stopper)
            tests, coverage = self.run_tests(prepared, room, key)
        except Rejected as why:
            tests = self.failed("rejected", str(why))
        except BuildFailed as failure:
            tests = self.failed("build", str(failure), failure.log)
        except OSError as error:
            tests = self.failed("error", f"the host: {error}")
        finally:
            if self.suite.build is not None:
                remove_tree(room.build)
        return SubmissionResult(submission.name, submission.shown, key, tests, time.monotonic() - start, coverage)


class Workers:
    """Threads that grade one submission after the other."""

    def __init__(self, grader: Grader, work: list[tuple[Submission, str]],
                 report: Callable[[SubmissionResult], None]) -> None:
        self.grader, self.report = grader, report
        self.left: Iterator[tuple[Submission, str]] = iter(work)
        self.mutex = threading.Lock()
        self.error: BaseException | None = None  # a worker failed: a mistake in the grader, or the disk is full

    def next(self) -> tuple[Submission, str] | None:
        with self.mutex:
            return next(self.left, None)

    def work(self, worker: int) -> None:
        try:
            while not self.grader.stopper.is_stopped and (item := self.next()) is not None:
                self.report(self.grader.grade(*item, worker))
        except Stopped:
            pass
        except BaseException as error:  # the others are to end as well, and main() reports it
            self.error = error
            self.grader.stopper.stop()

    def run(self, count: int) -> None:
        """Grade everything, or until the stopper says so."""
        threads: list[threading.Thread] = []
        try:
            for worker in range(count):
                thread = threading.Thread(target=self.work, args=(worker,))
                thread.start()
                threads.append(thread)
        except RuntimeError as error:  # the host allows no more
            self.grader.stopper.stop()
            raise OSError(f"{error}; give a smaller number with --jobs") from None
        finally:
            for thread in threads:
                thread.join()
        if self.error is not None:
            raise self.error
