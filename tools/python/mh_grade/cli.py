"""The command line."""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence

from . import page, reports
from .grader import RECORDINGS, Grader, Workers, key_of, remove_tree
from .guest_run import Programs
from .journal import Head, Journal, JournalError, Merged, merge
from .process import Stopper
from .progress import Progress
from .results import STATUSES, SubmissionResult, points_text
from .sandbox import find_sandbox
from .submissions import Submission, find_submissions, hash_directory
from .suite import Suite, SuiteError, read_suite

HELP = """Grades every submission in the directory SUBMISSIONS with the tests of SUITE, on all processors at once, and
writes a page to look at, a table and reports for machines. What has been graded is not graded again, unless the suite,
the submission or mini_hypervisor has changed. docs/grading.md explains how to write a suite."""

EPILOG = """examples:
  grade suite/ submissions/                          results are in grades/, the page is grades/index.html
  grade suite/ submissions/ --shard 3/8 --out /net/grades      one of eight jobs
  grade --merge /net/grades                          when all eight have ended

exit status: 0 all submissions were graded, whatever their points; 1 some could not be graded, or a shard is missing;
2 the command line or the suite is wrong; 128 + n ended by signal n, and the same command continues"""


class Problem(Exception):
    """Something the user has to change; exit status 2."""


def say(text: str) -> None:
    print(f"grade: {text}", file=sys.stderr)


def shard_of(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise argparse.ArgumentTypeError(f"'{text}': give I/N, where I is from 1 to N")
    return int(found[1]), int(found[2])


def jobs_of(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"'{text}': give a number from 1 to 1024")
    return int(text)


def parse_arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="grade", description=HELP, epilog=EPILOG,
                                     usage="grade [options] SUITE SUBMISSIONS\n       grade [options] --merge DIR...",
                                     formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("paths", nargs="*", metavar="SUITE SUBMISSIONS", help="directories")
    parser.add_argument("--out", default=None, metavar="DIR", help="directory for the results (grades)")
    parser.add_argument("--jobs", type=jobs_of, default=len(os.sched_getaffinity(0)), metavar="N",
                        help="how many submissions are graded at once (one for each processor)")
    parser.add_argument("--shard", type=shard_of, default=(1, 1), metavar="I/N",
                        help="grade only part I of N; other jobs grade the others")
    parser.add_argument("--merge", nargs="+", metavar="DIR",
                        help="put the results of shards together, which are in these directories")
    parser.add_argument("--hypervisor", metavar="PROGRAM",
                        help="the mini_hypervisor to use (beside this one, or PATH)")
    arguments = parser.parse_args(words)
    if arguments.merge and arguments.paths:
        parser.error("--merge takes the place of SUITE and SUBMISSIONS")
    if not arguments.merge and len(arguments.paths) != 2:
        parser.error("give two directories: SUITE and SUBMISSIONS")
    return arguments


# ---- what is used ----

def find_tool(directory: str, name: str) -> str:
    """A tool of the source tree, or what it is called once it is installed."""
    installed = os.path.join(directory, "mini_hypervisor-" + name.replace("_", "-"))
    return installed if os.path.isfile(installed) else os.path.join(directory, name)


def find_programs(named: str | None) -> Programs:
    """Where things are: installed beside this script, or in its source tree."""
    here = os.path.dirname(os.path.realpath(sys.argv[0]))
    tree = os.path.dirname(here)
    built = os.path.join(tree, "build", "default", "tools", "mini_hypervisor", "mini_hypervisor")
    candidates = [named] if named else [os.path.join(here, "mini_hypervisor"), built, "mini_hypervisor"]
    program = next((found for found in map(shutil.which, candidates) if found and not os.path.isdir(found)), None)
    if program is None:
        raise Problem(f"{named or 'mini_hypervisor'} is not to be found; name it with --hypervisor")
    sdks = [os.path.join(tree, "share", "mini_hypervisor", "sdk"), os.path.join(tree, "guests", "sdk")]
    sdk = next((path for path in sdks if os.path.isdir(path)), "")
    return Programs(os.path.realpath(program), find_tool(here, "gdbtest"), find_tool(here, "coverage_report"), sdk)


def check_tools(suite: Suite, programs: Programs) -> None:
    if any(test.gdb for test in suite.tests):
        if shutil.which("gdb") is None:
            raise Problem("the suite has gdb scripts, and gdb is not installed (on Debian: apt-get install gdb)")
        if not os.path.isfile(programs.gdbtest):
            raise Problem(f"the suite has gdb scripts, and {programs.gdbtest} is missing")
    if suite.coverage and not os.path.isfile(programs.coverage_report):
        raise Problem(f"the suite wants coverage, and {programs.coverage_report} is missing")
    if (suite.build or any(len(test.guests) > 1 for test in suite.tests)) and shutil.which("prlimit") is None:
        raise Problem("builds and tests with several guests need prlimit (on Debian: apt-get install util-linux)")


def check_options(suite: Suite, programs: Programs) -> None:
    """Let mini_hypervisor itself look at the options of the tests: with --help it goes no further."""
    checked = set()
    for test in suite.tests:
        if test.options in checked:
            continue
        checked.add(test.options)
        done = subprocess.run([programs.hypervisor, *test.options, "--help"], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            why = done.stderr.strip().removeprefix("mini_hypervisor: ")
            raise Problem(f"{suite.directory}: the options of test '{test.name}': {why}")


def hash_program(hypervisor: str) -> str:
    """mini_hypervisor and these modules: what produces results."""
    total = hashlib.sha256()
    package = os.path.dirname(os.path.realpath(__file__))
    modules = sorted(name for name in os.listdir(package) if name.endswith(".py"))
    for path in (hypervisor, *(os.path.join(package, name) for name in modules)):
        with open(path, "rb") as file:
            total.update(hashlib.sha256(file.read()).digest())
    return total.hexdigest()


def make_head(suite: Suite, programs: Programs, submissions: Sequence[Submission], shard: tuple[int, int],
              others: Sequence[str]) -> Head:
    """`others` are directories that do not belong to the suite, wherever they are."""
    return Head(hash_directory(suite.directory, others), hash_program(programs.hypervisor), suite.title,
                [[test.name, test.points] for test in suite.tests], [each.name for each in submissions], *shard)


# ---- grading ----

def make_grader(suite: Suite, programs: Programs, out: str, head: Head, jobs: int, stopper: Stopper) -> Grader:
    work = os.path.join(out, f"work-{head.shard}-of-{head.shards}")
    remove_tree(work)
    os.makedirs(work)
    os.makedirs(os.path.join(out, RECORDINGS), exist_ok=True)
    sandbox = None
    if suite.build is not None:
        sandbox = find_sandbox([work, suite.directory, *([programs.sdk] if programs.sdk else [])], jobs)
        if sandbox.problem:
            say(f"builds are less isolated than they could be: {sandbox.problem}")
    return Grader(suite, programs, sandbox, out, work, stopper)


def grade(arguments: argparse.Namespace, stopper: Stopper) -> tuple[Merged, bool]:
    """Grade; returns the results, and whether they are all there are."""
    suite = read_suite(arguments.paths[0])
    programs = find_programs(arguments.hypervisor)
    check_tools(suite, programs)
    check_options(suite, programs)
    try:
        submissions = find_submissions(arguments.paths[1])
    except OSError as error:
        raise Problem(f"{arguments.paths[1]}: {error.strerror}") from None
    if not submissions:
        raise Problem(f"{arguments.paths[1]}: there are no submissions in it")
    out = os.path.abspath(arguments.out or "grades")
    head = make_head(suite, programs, submissions, arguments.shard, [out, arguments.paths[1]])
    os.makedirs(out, exist_ok=True)
    journal = Journal(out, head)
    grader = make_grader(suite, programs, out, head, min(arguments.jobs, len(submissions)), stopper)
    try:
        return run_workers(grader, journal, submissions, arguments.jobs, stopper), head.shards == 1
    finally:
        journal.close()
        remove_tree(grader.work)


def run_workers(grader: Grader, journal: Journal, submissions: Sequence[Submission], jobs: int,
                stopper: Stopper) -> Merged:
    head = journal.head
    own = submissions[head.shard - 1::head.shards]
    keys = {each.name: key_of(head.suite, head.program, each) for each in own}
    results = journal.open(keys)
    left = [(each, keys[each.name]) for each in own if each.name not in results]
    if results:
        say(f"{len(results)} of {len(own)} have been graded before")
    progress = Progress(len(own), len(results), sys.stderr)

    def report(result: SubmissionResult) -> None:
        journal.append(result)
        results[result.name] = result
        progress.add(result)
    try:
        Workers(grader, left, report).run(min(jobs, max(1, len(left))))
    finally:
        progress.clear()
    ordered = [results[name] for name in head.own_submissions if name in results]
    return Merged(head, ordered, [name for name in head.own_submissions if name not in results])


# ---- reports ----

def summary(merged: Merged) -> str:
    points = [result.points for result in merged.results]
    counts = Counter(result.status for result in merged.results)
    most = sum(test[1] for test in merged.head.tests)
    by_status = ", ".join(f"{counts[status]} {text}" for status, text in STATUSES.items() if counts[status])
    line = f"{len(points)} submission{'s' if len(points) != 1 else ''}: {by_status}"
    if points:
        line += (f"\npoints: mean {points_text(statistics.mean(points))}, median "
                 f"{points_text(statistics.median(points))}, of {points_text(most)}")
    return line


def write_reports(merged: Merged, out: str) -> None:
    for name, text in (("results.csv", reports.as_csv(merged)), ("results.xml", reports.as_junit(merged)),
                       ("results.tap", reports.as_tap(merged)), ("index.html", page.as_html(merged, out))):
        path = os.path.join(out, name)
        with open(path + ".new", "w", encoding="utf-8", newline="") as file:
            file.write(text)
        os.replace(path + ".new", path)


def merge_into(arguments: argparse.Namespace) -> tuple[Merged, str]:
    """Results of shards, with their recordings, into one directory."""
    out = os.path.abspath(arguments.out or (arguments.merge[0] if len(arguments.merge) == 1 else "grades"))
    merged = merge([os.path.abspath(directory) for directory in arguments.merge])
    os.makedirs(os.path.join(out, RECORDINGS), exist_ok=True)
    for result in merged.results:
        for test in result.tests:
            test.recordings = [bring(path, out) for path in test.recordings if os.path.isfile(path)]
    return merged, out


def bring(path: str, out: str) -> str:
    inner = os.path.join(RECORDINGS, os.path.basename(path))
    if os.path.realpath(path) != os.path.realpath(os.path.join(out, inner)):
        shutil.copyfile(path, os.path.join(out, inner))
    return inner


def finish(merged: Merged, out: str) -> int:
    write_reports(merged, out)
    print(summary(merged))
    print(f"page: {os.path.join(out, 'index.html')}")
    if merged.missing:
        say(f"{len(merged.missing)} submissions have no result, such as {os.fsencode(merged.missing[0])!r}: a shard has "
            "not ended; run it again")
    return 0 if not merged.missing and all(result.is_graded for result in merged.results) else 1


def finish_shard(merged: Merged) -> int:
    """The reports are written when all shards are there."""
    head = merged.head
    print(f"shard {head.shard}/{head.shards}: {summary(merged)}")
    return 0 if all(result.is_graded for result in merged.results) else 1


def run(arguments: argparse.Namespace, stopper: Stopper) -> int:
    if arguments.merge:
        return finish(*merge_into(arguments))
    merged, is_all = grade(arguments, stopper)
    if stopper.is_stopped:
        say(f"stopped; {len(merged.results)} of {len(merged.head.own_submissions)} are graded, and the same command "
            "grades the others")
        return 0
    return finish(merged, os.path.abspath(arguments.out or "grades")) if is_all else finish_shard(merged)


def main(words: Sequence[str]) -> int:
    arguments = parse_arguments(words)
    assert isinstance(sys.stdout, io.TextIOWrapper)
    sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # paths may be any bytes, in every locale
    stopper = Stopper()
    signals: list[int] = []

    stopper.on_signals()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # of SIGHUP, that is what nohup does
            signal.signal(number, lambda number, _frame: signals.append(number))
    try:
        status = run(arguments, stopper)
    except (Problem, SuiteError, JournalError) as problem:
        say(str(problem))
        return 2
    except OSError as error:
        say(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return 1
    return 128 + signals[0] if signals else status
