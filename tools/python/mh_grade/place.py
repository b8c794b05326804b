"""The source line at which a guest stopped."""

from __future__ import annotations

import os
import re
import shutil

from .process import Stopper, run
from .results import Place
from .submissions import is_within

RIP = re.compile(r"^VM (\d+) \(.*?\): .*?\bat rip 0x([0-9a-f]+)", re.MULTILINE)
LOCATION = re.compile(r"^(.*):(\d+)(?: \(discriminator \d+\))?$")
AROUND = 3  # lines before and after
SOURCE_MAX = 1 << 20
# addr2line reads what a student made
LIMITS = ["prlimit", "--as=1073741824", "--cpu=5", "--core=0"]


def stopped_at(messages: str) -> tuple[int, int] | None:
    """Number of the machine and rip, from the messages of mini_hypervisor."""
    found = RIP.search(messages)
    return (int(found[1]), int(found[2], 16)) if found else None


def find_source(file: str, directory: str) -> str | None:
    """The source that debug information names, if it belongs to the submission."""
    for path in (os.path.join(directory, file), os.path.join(directory, os.path.basename(file))):
        if is_within(path, directory) and os.path.isfile(path) and os.path.getsize(path) <= SOURCE_MAX:
            return path
    return None


def lines_around(path: str, line: int) -> list[tuple[int, str]]:
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = file.read().split("\n")
    first = max(1, line - AROUND)
    return [(number, text[:200]) for number, text in enumerate(lines[first - 1:line + AROUND], first)]


def find_place(elf: str, rip: int, directory: str, stopper: Stopper) -> Place | None:
    """Ask addr2line; None when it does not know, or is not installed."""
    if None in map(shutil.which, ("addr2line", LIMITS[0])) or not os.path.isfile(elf):
        return None
    done = run([*LIMITS, "addr2line", "-f", "-e", elf, hex(rip)], cwd="/", seconds=60, stopper=stopper,
               output=8192)
    answer = os.fsdecode(done.out).splitlines()
    found = LOCATION.match(answer[1]) if len(answer) > 1 else None
    if found is None or found[1] == "??" or found[2] == "0":
        return None
    source = find_source(found[1], directory)
    name = os.path.relpath(source, directory) if source else os.path.basename(found[1])
    return Place(answer[0], name, int(found[2]), lines_around(source, int(found[2])) if source else [])
