"""The suite: a directory with suite.toml, read and checked. docs/grading.md explains each key."""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import tomllib
from collections.abc import Callable
from typing import Any

SUITE_FILE = "suite.toml"
SUBMISSION = "submission"  # in `guests`: the image that is graded

# Options of mini_hypervisor that the grader gives itself, and what a suite uses instead.
TAKEN_OPTIONS = {
    "--guest": "guests", "-g": "guests", "--file": "files", "-f": "files", "--timeout": "limits.seconds",
    "--max-instructions": "limits.instructions", "--gdb": "gdb", "--gdb-all": "gdb", "-s": "gdb", "-S": "gdb",
    "--gdb-run": "gdb", "--gdb-hold": "gdb", "--gdb-lost": "gdb", "--serial": "input and expect", "--console": "input",
    "--label": "guests", "--files-dir": "expect.files", "--core": "", "--trace": "", "--stats": "", "--record": "",
    "--replay": "", "--coverage": "coverage", "--profile": "", "--report": "", "--perf-map": "", "--probe": "",
    "--help": "", "-h": "", "--version": "", "-V": "", "--history": "gdb", "--no-history": "gdb", "--accel": "",
}
ENDS = ("halt", "crash", "any")


class SuiteError(Exception):
    """What is wrong with a suite, with file, key and remedy."""


@dataclasses.dataclass(frozen=True)
class Limits:
    instructions: int = 1_000_000_000  # of each machine
    seconds: float = 30.0
    output: int = 1_000_000  # bytes


@dataclasses.dataclass(frozen=True)
class Build:
    command: str
    files: tuple[str, ...]  # of the suite, copied over the submission's
    seconds: float


@dataclasses.dataclass(frozen=True)
class Expect:
    end: str = "halt"
    texts: tuple[bytes, ...] = ()  # exactly, of each machine
    regexes: tuple[re.Pattern[bytes], ...] = ()  # of each machine
    judge: tuple[str, ...] = ()
    files: tuple[tuple[str, str], ...] = ()  # name in the guest's directory, path of what it must contain


@dataclasses.dataclass(frozen=True)
class Test:
    name: str
    points: float
    image: str  # name in the submission
    guests: tuple[str, ...]  # SUBMISSION, or the path of an image of the suite
    options: tuple[str, ...]
    input: bytes
    files: tuple[str, ...]  # paths
    gdb: str  # path of a script; "": the guest runs by itself
    limits: Limits
    expect: Expect


@dataclasses.dataclass(frozen=True)
class Suite:
    directory: str
    title: str
    symbols: str
    source: str  # the name in its directory of a submission that is one file; "": it is the image
    build: Build | None
    coverage: bool
    tests: tuple[Test, ...]


class Table:
    """A table of the file, whose keys are taken one by one; what is left then is unknown."""

    def __init__(self, file: str, name: str, values: dict[str, Any], directory: str) -> None:
        self.file, self.name, self.directory = file, name, directory
        self.values = dict(values)
        self.known: list[str] = []

    def error(self, key: str, problem: str) -> SuiteError:
        at = ": ".join(part for part in (self.file, self.name, key) if part)
        return SuiteError(f"{at}: {problem}")

    def take(self, key: str, default: Any, is_good: Callable[[Any], bool], wanted: str) -> Any:
        self.known.append(key)
        value = self.values.pop(key, default)
        if value is not default and not is_good(value):
            raise self.error(key, f"{value!r} is not {wanted}; give {wanted}")
        return value

    def text(self, key: str, default: str = "") -> str:
        return self.take(key, default, lambda value: isinstance(value, str) and value != "" and "\0" not in value,
                         "a text in quotes")

    def needed(self, key: str, problem: str) -> str:
        value = self.text(key)
        if not value:
            raise self.error(key, problem)
        return value

    def flag(self, key: str) -> bool:
        return self.take(key, False, lambda value: isinstance(value, bool), "true or false")

    def number(self, key: str, default: float, least: float, most: float) -> Any:
        def is_good(value: Any) -> bool:
            return isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most
        return self.take(key, default, is_good, f"a number from {least:g} to {most:g}")

    def whole(self, key: str, default: int, most: int) -> int:
        def is_good(value: Any) -> bool:
            return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most
        return self.take(key, default, is_good, f"a whole number from 1 to {most}")

    def texts(self, key: str, least: int = 1) -> list[str]:
        """A list of texts of at least so many characters."""
        def is_good(value: Any) -> bool:
            return isinstance(value, list) and all(isinstance(each, str) and len(each) >= least and "\0" not in each
                                                   for each in value)
        return self.take(key, [], is_good, "a list of texts in brackets")

    def one_or_more(self, key: str) -> list[str]:
        """A text, or a list with one for each machine."""
        value = self.values.get(key)
        if isinstance(value, str):
            self.known.append(key)
            return [self.values.pop(key)]
        return self.texts(key, 0)

    def table(self, key: str) -> Table:
        values = self.take(key, {}, lambda value: isinstance(value, dict), f"a table, [{key}]")
        return Table(self.file, f"{self.name}: {key}" if self.name else key, values, self.directory)

    def path(self, key: str, name: str) -> str:
        """A file of the suite."""
        path = os.path.join(self.directory, name)
        if not os.path.isfile(path):
            raise self.error(key, f"there is no file '{name}' in {self.directory}; paths begin at the suite's "
                                  "directory")
        return path

    def contents(self, key: str, name: str) -> bytes:
        with open(self.path(key, name), "rb") as file:
            return file.read()

    def finish(self) -> None:
        for key in self.values:
            close = difflib.get_close_matches(key, self.known, 1)
            advice = f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(sorted(self.known))}"
            raise self.error(key, f"unknown key; {advice}")


def read_limits(table: Table, base: Limits) -> Limits:
    limits = Limits(instructions=table.whole("instructions", base.instructions, 10**15),
                    seconds=float(table.number("seconds", base.seconds, 0.1, 86400)),
                    output=table.whole("output", base.output, 10**9))
    table.finish()
    return limits


def read_options(table: Table) -> tuple[str, ...]:
    options = table.texts("options")
    for word in options:
        name = word.split("=", 1)[0] if word.startswith("--") else word[:2]
        if name not in TAKEN_OPTIONS:
            continue
        instead = TAKEN_OPTIONS[name]
        if name == "--accel":
            raise table.error("options", "leave out --accel: graded guests run on the software processor, so that "
                                         "results are the same everywhere")
        raise table.error("options", f"leave out {name}, which the grader uses itself" +
                          (f"; the suite has the key '{instead}' for it" if instead else ""))
    return tuple(options)


def read_build(table: Table) -> Build | None:
    if not table.values:
        return None
    command = table.needed("command", "missing; give the shell command that builds a submission, such as "
                                      "command = \"make\", or leave out [build] if submissions are images")
    files = table.texts("files")
    for name in files:
        table.path("files", name)
    build = Build(command, tuple(files), float(table.number("seconds", 60, 0.1, 86400)))
    table.finish()
    return build


def read_regex(table: Table, text: str) -> re.Pattern[bytes]:
    try:
        return re.compile(text.encode(), re.MULTILINE)
    except re.error as error:
        raise table.error("regex", f"{error}; give a regular expression of Python's re, in single quotes so that "
                                   "backslashes stay") from None


def read_expected_files(table: Table) -> tuple[tuple[str, str], ...]:
    pairs = []
    for name in list(table.values):
        expected = table.text(name)
        if "/" in name or name in (".", ".."):
            raise table.error(name, "guests have no directories; give a plain file name")
        pairs.append((name, table.path(name, expected)))
    return tuple(pairs)


def read_expect(table: Table, machines: int) -> Expect:
    end = table.text("end", "halt")
    if end not in ENDS:
        raise table.error("end", f"'{end}' is not known; give one of {', '.join(ENDS)}")
    ways = [key for key in ("output", "text", "regex", "judge") if key in table.values]
    if len(ways) > 1:
        raise table.error(ways[1], f"the output is already checked by '{ways[0]}'; choose one")
    outputs = [table.contents("output", name) for name in table.one_or_more("output")]
    texts = [text.encode() for text in table.one_or_more("text")]
    regexes = [read_regex(table, text) for text in table.one_or_more("regex")]
    for key, values in (("output", outputs), ("text", texts), ("regex", regexes)):
        if values and len(values) != machines:
            raise table.error(key, f"there are {machines} guests; give a list of as many, one for each")
    expect = Expect(end, tuple(outputs or texts), tuple(regexes), tuple(table.texts("judge")),
                    read_expected_files(table.table("files")))
    table.finish()
    return expect


def read_guests(table: Table) -> tuple[str, ...]:
    guests = table.texts("guests") or [SUBMISSION]
    if SUBMISSION not in guests:
        raise table.error("guests", f"\"{SUBMISSION}\" is missing, so nothing would be graded; add it")
    return tuple(guest if guest == SUBMISSION else table.path("guests", guest) for guest in guests)


def read_input(table: Table) -> bytes:
    name, text = table.text("input"), table.text("input_text")
    if name and text:
        raise table.error("input_text", "the input already comes from 'input'; choose one")
    return table.contents("input", name) if name else text.encode()


def read_inner_path(table: Table, key: str, default: str = "") -> str:
    """The name of a file within a submission."""
    name = table.text(key, default)
    if os.path.isabs(name) or ".." in name.split("/"):
        raise table.error(key, f"'{name}' leads out of the submission; give a path within it")
    return name


def check_gdb(table: Table, test: Test) -> None:
    if "expect" in table.values:
        raise table.error("expect", "a test with 'gdb' passes when the script does; put what is expected into the "
                                    "script, or into its .expected file")
    if len(test.guests) > 1:
        raise table.error("guests", "a test with 'gdb' runs the submission alone; leave out 'guests'")
    if not test.gdb.endswith((".gdb", ".py")):
        raise table.error("gdb", "give a script whose name ends with .gdb or .py")


def test_name(number: int, values: dict[str, Any]) -> str:
    """What messages call a test."""
    name = values.get("name")
    return f"test {number} ('{name}')" if isinstance(name, str) else f"test {number}"


def read_test(table: Table, image: str, options: tuple[str, ...], limits: Limits) -> Test:
    gdb = table.text("gdb")
    guests = read_guests(table)
    test = Test(name=table.needed("name", "missing; give each test a name, which reports show"),
                points=float(table.number("points", 1, 0, 1e6)),
                image=read_inner_path(table, "image", image),
                guests=guests,
                options=options + read_options(table),
                input=read_input(table),
                files=tuple(table.path("files", each) for each in table.texts("files")),
                gdb=table.path("gdb", gdb) if gdb else "",
                limits=read_limits(table.table("limits"), limits),
                expect=Expect())
    if test.gdb:
        check_gdb(table, test)
    elif test.input and len(guests) > 1:
        raise table.error("input", "several guests have no input, because each prints into a file of its own; leave "
                                   "it out")
    expect = read_expect(table.table("expect"), len(guests))
    table.finish()
    return dataclasses.replace(test, expect=expect)


def read_tests(table: Table, image: str, options: tuple[str, ...], limits: Limits) -> tuple[Test, ...]:
    def is_good(value: Any) -> bool:
        return isinstance(value, list) and all(isinstance(each, dict) for each in value)
    found = table.take("test", [], is_good, "tables, each beginning with [[test]]")
    if not found:
        raise table.error("test", "there is no test; add one, beginning with [[test]]")
    tests = tuple(read_test(Table(table.file, test_name(number, values), values, table.directory), image, options, limits)
                  for number, values in enumerate(found, 1))
    names = [test.name for test in tests]
    for name in names:
        if names.count(name) > 1:
            raise table.error("test", f"two tests are called '{name}'; give each its own name")
    return tests


def find_suite_file(path: str) -> str:
    file = os.path.join(path, SUITE_FILE) if os.path.isdir(path) else path
    if not os.path.isfile(file):
        raise SuiteError(f"{file}: there is no such file; a suite is a directory with a {SUITE_FILE}")
    return file


def read_suite(path: str) -> Suite:
    """The suite in a directory, or in a file; SuiteError with what is wrong."""
    file = find_suite_file(path)
    try:
        with open(file, "rb") as opened:
            values = tomllib.load(opened)
    except tomllib.TOMLDecodeError as error:
        raise SuiteError(f"{file}: {error}; see https://toml.io for the syntax") from None
    except UnicodeDecodeError as error:
        raise SuiteError(f"{file}: {error}; save it as UTF-8") from None
    directory = os.path.dirname(os.path.abspath(file))
    table = Table(file, "", values, directory)
    submission = table.table("submission")
    image = read_inner_path(submission, "image", "guest.img")
    symbols, source = read_inner_path(submission, "symbols"), read_inner_path(submission, "source")
    submission.finish()
    machine = table.table("machine")
    options = read_options(machine)
    machine.finish()
    limits = read_limits(table.table("limits"), Limits())
    suite = Suite(directory=directory, title=table.text("title", os.path.basename(directory)), symbols=symbols,
                  source=source, build=read_build(table.table("build")), coverage=table.flag("coverage"),
                  tests=read_tests(table, image, options, limits))
    table.finish()
    return suite
