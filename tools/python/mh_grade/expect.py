"""Compares what a guest did with what a test expects."""

from __future__ import annotations

import dataclasses
import math
import os
import re
import signal
import sys
from collections.abc import Sequence

from .process import Done, Stopper, run
from .suite import Suite, Test
from .text import difference, head, visible

JUDGE_PASSED, JUDGE_FAILED = 0, 1

MATCHES, DIFFERS = 10, 11  # exit statuses that no failure of Python has
SEARCH = """
import re, resource, sys
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[2]), int(sys.argv[2]) + 1))
sys.exit(10 if re.search(bytes.fromhex(sys.argv[1]), sys.stdin.buffer.read(), re.MULTILINE) else 11)
"""
WAIT_SECONDS = 60.0  # for a comparison, and ten times what processor time it may have: the host may be busy


@dataclasses.dataclass(frozen=True)
class Judgement:
    status: str  # "pass", "wrong" or "error"
    message: str = ""
    details: str = ""
    kind: str = ""


PASSED = Judgement("pass")


def machine_prefix(number: int, count: int) -> str:
    return f"guest {number}: " if count > 1 else ""


def check_texts(texts: Sequence[bytes], outputs: Sequence[bytes]) -> Judgement:
    for number, (expected, actual) in enumerate(zip(texts, outputs), 1):
        if expected != actual:
            line, diff = difference(expected, actual)
            prefix = machine_prefix(number, len(texts))
            return Judgement("wrong", f"{prefix}the output differs from line {line} on", diff, "diff")
    return PASSED


def compare(regex: re.Pattern[bytes], path: str, seconds: float, stopper: Stopper) -> Done:
    """Compare a file, in another process: output can be such that it never ends. The limit is on processor time, so that
    no point depends on what else the host does."""
    limit = math.ceil(seconds)
    with open(path, "rb") as stdin:
        return run([sys.executable, "-I", "-S", "-c", SEARCH, regex.pattern.hex(), str(limit)], cwd="/",
                   seconds=10 * seconds + WAIT_SECONDS, stopper=stopper, stdin=stdin.fileno())


def check_regex(regex: re.Pattern[bytes], path: str, seconds: float, stopper: Stopper) -> tuple[str, str]:
    """Status, and what is said of the output."""
    done = compare(regex, path, seconds, stopper)
    if done.ended_for or done.status not in (MATCHES, DIFFERS, -signal.SIGXCPU):
        why = f"no answer in {done.seconds:.0f} s" if done.ended_for else visible(done.err[-200:]).strip()
        return "error", f"cannot be compared ({why or f'exit status {done.status}'}) with"
    if done.status == MATCHES:
        return "pass", "matches"
    return "wrong", "does not match" if done.status == DIFFERS else "takes too long to compare with"


def check_regexes(regexes: Sequence[re.Pattern[bytes]], outputs: Sequence[bytes], directory: str, seconds: float,
                  stopper: Stopper) -> Judgement:
    for number, (regex, actual) in enumerate(zip(regexes, outputs), 1):
        status, what = check_regex(regex, os.path.join(directory, f"output-{number}"), seconds, stopper)
        if status != "pass":
            return Judgement(status, f"{machine_prefix(number, len(regexes))}the output {what} {regex.pattern.decode()}",
                             head(actual), "output")
    return PASSED


def check_files(expected: Sequence[tuple[str, str]], directory: str) -> Judgement:
    """Files that the guest must have written into its directory, which is flat."""
    for name, path in expected:
        written = os.path.join(directory, name)
        if not os.path.isfile(written):
            return Judgement("wrong", f"the guest did not write '{name}'")
        with open(path, "rb") as file, open(written, "rb") as own:
            wanted, got = file.read(), own.read()
        if wanted != got:
            line, diff = difference(wanted, got)
            return Judgement("wrong", f"'{name}' differs from line {line} on", diff, "diff")
    return PASSED


def write_outputs(outputs: Sequence[bytes], directory: str) -> None:
    for number, output in enumerate(outputs, 1):
        with open(os.path.join(directory, f"output-{number}"), "wb") as file:
            file.write(output)


def ask_judge(suite: Suite, test: Test, outputs: Sequence[bytes], guest_files: str, directory: str,
              stopper: Stopper) -> Judgement:
    """Run the judge in the suite's directory; stdin is the output of the first guest."""
    env = dict(os.environ, MH_OUTPUTS=directory, MH_FILES=guest_files)
    try:
        with open(os.path.join(directory, "output-1"), "rb") as stdin:
            done = run(test.expect.judge, cwd=suite.directory, seconds=test.limits.seconds, stopper=stopper,
                       stdin=stdin.fileno(), env=env)
    except OSError as error:
        return Judgement("error", f"the judge {test.expect.judge[0]} cannot be started: {error.strerror}")
    said = visible(done.out).strip()
    if done.ended_for or done.status not in (JUDGE_PASSED, JUDGE_FAILED):
        why = f"was ended for its {done.ended_for}" if done.ended_for else f"ended with exit status {done.status}"
        return Judgement("error", f"the judge {why}, and not with 0 or 1", head(done.out + done.err), "log")
    if done.status == JUDGE_PASSED:
        return PASSED
    return Judgement("wrong", said.split("\n")[0][:300] or "the judge does not accept the output", head(outputs[0]),
                     "output")


def judge(suite: Suite, test: Test, outputs: Sequence[bytes], guest_files: str, directory: str,
          stopper: Stopper) -> Judgement:
    """What a test says of the output of each guest, and of the files in `guest_files`."""
    expect = test.expect
    judgement = check_texts(expect.texts, outputs)
    if expect.regexes or expect.judge:
        write_outputs(outputs, directory)
    if judgement is PASSED:
        judgement = check_regexes(expect.regexes, outputs, directory, test.limits.seconds, stopper)
    if judgement is PASSED and expect.judge:
        judgement = ask_judge(suite, test, outputs, guest_files, directory, stopper)
    if judgement is PASSED:
        judgement = check_files(expect.files, guest_files)
    return judgement
