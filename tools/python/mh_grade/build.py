"""Prepares a submission: copies and builds it, and finds its image."""

from __future__ import annotations

import dataclasses
import os
import shutil
import stat

from .process import OUTPUT, Stopper, run
from .sandbox import Sandbox
from .submissions import Rejected, Submission, copy_submission, files_of, is_within
from .suite import Build, Suite
from .text import visible

LOG = 20000  # bytes of a build's output that are kept
LOG_MAX = 8_000_000  # more ends the build


class BuildFailed(Exception):
    """The build failed; what it printed."""

    def __init__(self, message: str, log: str) -> None:
        super().__init__(message)
        self.log = log


class NoImage(Exception):
    """There is no image to run, and why."""


@dataclasses.dataclass(frozen=True)
class Room:
    """Directories of a worker for one submission after the other."""
    run: str  # what runs write: always there, because making and removing a directory takes longer than a small guest
    build: str  # there while a submission is built and run
    name: str  # what the submission's directory is called, and so its guest

    @property
    def submission(self) -> str:
        return os.path.join(self.build, "submission", self.name)

    @property
    def temporary(self) -> str:
        return os.path.join(self.build, "temporary")


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A submission that can be run."""
    directory: str  # where its files are
    single: str  # the path of a submission that is an image itself; "" otherwise
    symbols: str  # what the suite calls the ELF file with symbols; "": it is beside the image
    missing: str  # what is said about an image that is not there
    log: str  # of the build

    def find_image(self, name: str) -> tuple[str, str]:
        """The path of an image, and of its ELF file, "" without. NoImage if it is not there."""
        image = self.single or find_file(self.directory, name, self.missing)
        if is_elf(image):
            return image, image
        if self.single:
            return image, ""
        try:
            return image, find_file(self.directory, self.symbols or os.path.splitext(name)[0] + ".elf", "")
        except NoImage:
            return image, ""


def shorten(log: str) -> str:
    """The beginning and the end: the first error is at the one, the last at the other."""
    if len(log) <= LOG:
        return log
    return f"{log[:LOG // 2]}\n... {len(log) - LOG} characters left out ...\n{log[-LOG // 2:]}"


def give_to(directory: str, user: int) -> None:
    for parent, directories, names in os.walk(directory):
        for name in [".", *directories, *names]:
            os.lchown(os.path.join(parent, name), user, user)


def environment(suite: Suite, room: Room, sdk: str) -> dict[str, str]:
    """For builds: nothing of the teacher's."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "HOME": room.temporary,
            "TMPDIR": room.temporary, "MH_SUITE": suite.directory, "MH_SDK": sdk}


def copy_suite_files(build: Build, suite: Suite, directory: str) -> None:
    for name in build.files:
        target = os.path.join(directory, name)
        try:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copyfile(os.path.join(suite.directory, name), target)
            shutil.copymode(os.path.join(suite.directory, name), target)
        except OSError:
            raise Rejected(f"'{name}', which the suite provides, cannot be written: something of the submission is in "
                           "its place") from None


def run_build(build: Build, suite: Suite, room: Room, sdk: str, sandbox: Sandbox, worker: int,
              stopper: Stopper) -> str:
    """What it printed. BuildFailed."""
    if sandbox.has_users:
        give_to(room.submission, sandbox.user(worker))
        give_to(room.temporary, sandbox.user(worker))
    # stderr follows stdout into one pipe, so that the log is in order
    command = sandbox.command(["sh", "-c", f"exec 2>&1\n{build.command}"], worker, build.seconds)
    done = run(command, cwd=room.submission, seconds=build.seconds, stopper=stopper, output=LOG_MAX,
               env=environment(suite, room, sdk))
    log = shorten(visible(done.out + done.err))
    if done.ended_for == OUTPUT:
        raise BuildFailed(f"the build printed more than {LOG_MAX // 1_000_000} MB", log)
    if done.ended_for:
        raise BuildFailed(f"the build was still running after {build.seconds:g} s", log)
    if done.status != 0:
        raise BuildFailed(f"the build failed with exit status {done.status}", log)
    return log


def find_file(directory: str, name: str, what: str) -> str:
    """A regular file in a directory that a student made. NoImage if it is not there or leads elsewhere."""
    path = os.path.join(directory, name)
    if not is_within(path, directory):
        raise NoImage(f"'{name}' is a symbolic link that leads out of the submission")
    try:
        mode = os.stat(path).st_mode
    except OSError:
        raise NoImage(f"{what} '{name}'") from None
    if not stat.S_ISREG(mode):
        raise NoImage(f"'{name}' is not a file")
    return path


def is_elf(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def prepare_in_place(submission: Submission, suite: Suite, room: Room) -> Prepared:
    """Without a build, nothing is copied."""
    for _ in files_of(submission):  # rejects links that lead out
        pass
    missing = "the submission has no"
    if not os.path.isdir(submission.path):
        return Prepared(room.submission, submission.path, "", missing, "")
    return Prepared(submission.path, "", suite.symbols, missing, "")


def prepare(submission: Submission, suite: Suite, room: Room, sdk: str, sandbox: Sandbox | None, worker: int,
            stopper: Stopper) -> Prepared:
    """Make a submission ready to run. Rejected or BuildFailed."""
    if suite.build is None or sandbox is None:
        return prepare_in_place(submission, suite, room)
    if not os.path.isdir(submission.path) and not suite.source:
        raise Rejected("the submission is a file, and the suite does not say what to call it; the suite needs "
                       "submission.source")
    os.makedirs(room.submission)
    os.makedirs(room.temporary)
    copy_submission(submission, room.submission, suite.source)
    copy_suite_files(suite.build, suite, room.submission)
    log = run_build(suite.build, suite, room, sdk, sandbox, worker, stopper)
    return Prepared(room.submission, "", suite.symbols, "the build made no", log)
