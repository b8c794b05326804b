"""Runs one test of one submission."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import signal
import sys
from collections.abc import Sequence

from .build import Prepared, Room
from .coverage import Counts, add_counts, lcov_of, read_lcov
from .expect import Judgement, judge
from .place import find_place, stopped_at
from .process import OUTPUT, Done, Stopper, run
from .results import TestResult
from .suite import SUBMISSION, Suite, Test
from .text import LINE_LENGTH, head, visible

# Exit statuses of mini_hypervisor.
HALTED, IMAGE, CRASHED, TIMEOUT = 0, 4, 5, 124
GRACE = 10.0  # seconds beyond --timeout, and for gdb to start
GDB_LINES = 400  # of gdb's output that reports show
FILE_MAX = 80 << 20  # bytes of each file that several guests write or print to; --max-written is 64 MB

STATISTICS = re.compile(r"^VM \d+ \(.*\):\nprocessor: ", re.MULTILINE)
INSTRUCTIONS = re.compile(r"^instructions: (\d+)$", re.MULTILINE)
AT_LIMIT = re.compile(r"still running after (\d+) instructions")


@dataclasses.dataclass(frozen=True)
class Programs:
    """What is started for tests."""
    hypervisor: str
    gdbtest: str
    coverage_report: str
    sdk: str


@dataclasses.dataclass(frozen=True)
class Messages:
    """What mini_hypervisor said on stderr."""
    text: str  # without the statistics
    instructions: int | None

    @staticmethod
    def read(errors: bytes) -> Messages:
        text = visible(errors).replace("mini_hypervisor: ", "")
        statistics = STATISTICS.search(text)
        if statistics is None:
            return Messages(text.strip(), None)
        counts = [int(count) for count in INSTRUCTIONS.findall(text, statistics.start())]
        return Messages(text[:statistics.start()].strip(), sum(counts) if counts else None)

    @property
    def first_line(self) -> str:
        """Without the machine's name."""
        return re.sub(r"^VM 1 \(.*?\): ", "", self.text.split("\n")[0])[:300]


def spell_end(status: int) -> str:
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"


class GuestRun:
    """A test of a submission, in directories of its own."""

    def __init__(self, suite: Suite, test: Test, prepared: Prepared, room: Room, programs: Programs,
                 stopper: Stopper) -> None:
        """NoImage if the submission has none."""
        self.suite, self.test, self.prepared, self.programs, self.stopper = suite, test, prepared, programs, stopper
        self.image, self.elf = prepared.find_image(test.image)
        self.directory = room.run
        self.files = os.path.join(room.run, "files")
        self.count = len(test.guests)
        self.counts: Counts = {}  # of the lines that were executed, if the suite wants to know

    def path(self, *names: str) -> str:
        return os.path.join(self.directory, *names)

    @property
    def images(self) -> list[str]:
        return [self.image if guest == SUBMISSION else guest for guest in self.test.guests]

    def options(self) -> list[str]:
        """Those that a run under gdb has as well."""
        files = ["--file", *self.test.files] if self.test.files else []
        return ["--accel", "soft", *self.test.options, "--files-dir", self.files, *files]

    def command(self, recorded: bool) -> list[str]:
        """To be run in the directory: its path may itself have %n in it."""
        limits = self.test.limits
        command = [self.programs.hypervisor, "--guest", *self.images, *self.options(), "--timeout", f"{limits.seconds:g}",
                   "--max-instructions", str(limits.instructions), "--stats"]
        if recorded:
            command += ["--record", "recording-%n.mhr"]
        elif self.wants_coverage:
            command += ["--coverage", "coverage-%n"]
        if self.count == 1:
            return command
        # each prints into a file, which must not fill the disk, but may be seen to be larger than the limit
        return ["prlimit", f"--fsize={max(FILE_MAX, limits.output + 1)}", *command, "--serial",
                "file:serial-%n"]

    @property
    def wants_coverage(self) -> bool:
        return self.suite.coverage and self.elf != ""

    def read_coverage(self) -> None:
        for number, guest in enumerate(self.test.guests, 1):
            path = self.path(f"coverage-{number}")
            if guest == SUBMISSION and os.path.isfile(path):
                text = lcov_of(path, self.image, self.elf, self.programs.coverage_report, self.stopper)
                add_counts(self.counts, read_lcov(text))

    def run_program(self, recorded: bool) -> tuple[Done, list[bytes]]:
        """One run, and what each guest printed."""
        limits = self.test.limits
        stdin = self.open_input()
        serials = [] if self.count == 1 else [self.path(f"serial-{number}") for number in range(1, self.count + 1)]
        try:
            done = run(self.command(recorded), cwd=self.directory, seconds=limits.seconds + GRACE, stopper=self.stopper,
                       output=limits.output, stdin=stdin, files=serials)
        finally:
            os.close(stdin)
        if self.count == 1:
            return done, [done.out]
        outputs = [self.serial_output(number) for number in range(1, self.count + 1)]
        if any(len(output) > limits.output for output in outputs):
            done.ended_for = OUTPUT
        return done, [output[:limits.output] for output in outputs]

    def serial_output(self, number: int) -> bytes:
        try:
            with open(self.path(f"serial-{number}"), "rb") as file:
                return file.read(self.test.limits.output + 1)
        except FileNotFoundError:
            return b""

    def open_input(self) -> int:
        if not self.test.input:
            return os.open(os.devnull, os.O_RDONLY)
        with open(self.path("input"), "wb") as file:
            file.write(self.test.input)
        return os.open(self.path("input"), os.O_RDONLY)

    def guest_files(self) -> str:
        """The directory of files that the first submission among the guests wrote."""
        number = self.test.guests.index(SUBMISSION) + 1
        names = os.listdir(self.files) if os.path.isdir(self.files) else []
        return os.path.join(self.files, next((name for name in names if name.startswith(f"{number}-")), "none"))

    # ---- verdicts ----

    def end_of(self, done: Done, messages: Messages) -> tuple[str, str]:
        """How the guests ended: "halt", or a status, and a message."""
        limits = self.test.limits
        if done.ended_for == OUTPUT:
            return "flood", f"more than {limits.output} bytes of output"
        if done.ended_for:
            return "limit", f"still running after {limits.seconds + GRACE:g} s"
        if done.status == TIMEOUT:
            at_limit = AT_LIMIT.search(messages.text)
            return "limit", (f"still running after {int(at_limit[1]):,} instructions" if at_limit else
                             f"still running after {limits.seconds:g} s")
        if done.status in (HALTED, CRASHED, IMAGE):
            return {HALTED: "halt", CRASHED: "crash", IMAGE: "image"}[done.status], messages.first_line
        return "error", f"mini_hypervisor {spell_end(done.status)}: {messages.first_line}"

    def judge_end(self, end: str, message: str) -> Judgement | None:
        """None when it ended as it should."""
        wanted = self.test.expect.end
        if end == wanted or (wanted == "any" and end in ("halt", "crash")):
            return None
        if end == "halt":
            return Judgement("wrong", "the guest ended with hlt, but should have crashed")
        return Judgement(end, message)

    def run(self) -> TestResult:
        done, outputs = self.run_program(recorded=False)
        messages = Messages.read(done.err)
        end, message = self.end_of(done, messages)
        judgement = self.judge_end(end, message)
        if judgement is None:
            judgement = judge(self.suite, self.test, outputs, self.guest_files(), self.directory, self.stopper)
        elif any(outputs):
            judgement = dataclasses.replace(judgement, details=head(outputs[0]), kind="output")
        result = TestResult(self.test.name, self.test.points, judgement.status, judgement.message,
                            messages.instructions, done.seconds, judgement.details, judgement.kind)
        if self.wants_coverage:
            self.read_coverage()
        if not result.passed:
            self.explain(result, done, messages)
        return result

    def explain(self, result: TestResult, done: Done, messages: Messages) -> None:
        """Add what helps with a failure: the report, the place in the source, a recording."""
        result.report = messages.text
        stopped = stopped_at(messages.text)
        if stopped and self.elf and stopped[0] <= self.count and self.test.guests[stopped[0] - 1] == SUBMISSION:
            result.place = find_place(self.elf, stopped[1], self.prepared.directory, self.stopper)
        if result.status in ("wrong", "crash", "flood") or (result.status == "limit" and AT_LIMIT.search(messages.text)):
            self.record(result, done)

    def record(self, result: TestResult, done: Done) -> None:
        """Run it again, with --record: it costs too much for runs that pass, and software repeats itself."""
        shutil.rmtree(self.files, ignore_errors=True)
        again, _ = self.run_program(recorded=True)
        paths = [self.path(f"recording-{number}.mhr") for number in range(1, self.count + 1)]
        if (again.status, again.ended_for) == (done.status, done.ended_for):
            result.recordings = [path for path in paths if os.path.isfile(path)]


def run_gdb_test(run_of: GuestRun) -> TestResult:
    """A test that is a script of gdb's, by gdbtest."""
    test = run_of.test
    stdin = run_of.open_input()
    os.close(stdin)
    command = [sys.executable, "-B", run_of.programs.gdbtest, "--hypervisor", run_of.programs.hypervisor, "--timeout",
               f"{test.limits.seconds:g}", *(["--input", run_of.path("input")] if test.input else []),
               run_of.elf or run_of.image, test.gdb, "--", *run_of.options()]
    done = run(command, cwd=run_of.directory, seconds=test.limits.seconds + GRACE, stopper=run_of.stopper,
               output=test.limits.output, interrupts=True)
    lines = visible(done.out).splitlines()
    result = TestResult(test.name, test.points, "pass", seconds=done.seconds)
    verdict = next((line for line in lines if re.match(r"(not )?ok 1 - ", line)), "")
    if verdict.startswith("ok"):
        return result
    if not verdict:
        result.status = "error"
        result.message = f"gdbtest {spell_end(done.status)}: {visible(done.err).strip()[:300]}"
        return result
    reason = verdict.split(f"{test.gdb}: ", 1)[-1]
    result.status = "limit" if reason.startswith("still running") else "wrong"
    result.message = f"gdb script: {reason}"
    result.details, result.kind = gdb_details(lines)
    return result


def gdb_details(lines: Sequence[str]) -> tuple[str, str]:
    """What gdbtest says of a failure, and of which kind it is."""
    comments = [line[2:][:LINE_LENGTH] for line in lines if line.startswith("# ")]
    is_diff = bool(comments) and comments[0].startswith("--- expected")
    return "\n".join(comments[:GDB_LINES]), "diff" if is_diff else "log"
