"""Submissions: finding them, naming them by what they contain, and copying them to where they are built."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence

BYTES_MAX = 64 << 20  # of all files of a submission
FILES_MAX = 5000
DEPTH_MAX = 32


class Rejected(Exception):
    """A submission that is not looked at any further, and why."""


@dataclasses.dataclass(frozen=True)
class Submission:
    name: str  # as the file system has it, perhaps with surrogates; unique
    path: str

    @property
    def shown(self) -> str:
        """The name for people: one line of text."""
        text = os.fsencode(self.name).decode("utf-8", "replace")
        return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)

    @property
    def plain(self) -> str:
        return plain_name(self.shown)


def plain_name(shown: str) -> str:
    """The name of a submission as part of the name of a file, which need not be unique."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", shown)[:40].lstrip(".-") or "submission"


def find_submissions(directory: str) -> list[Submission]:
    """Every entry of the directory but hidden ones, in order of names. OSError when it cannot be read."""
    names = sorted(name for name in os.listdir(directory) if not name.startswith("."))
    return [Submission(name, os.path.join(os.path.abspath(directory), name)) for name in names]


def is_within(path: str, directory: str) -> bool:
    """Does a path, after all links, stay in a directory?"""
    real, top = os.path.realpath(path), os.path.realpath(directory)
    return real == top or real.startswith(top.rstrip("/") + "/")


def files_below(top: str, directory: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Every file of a submission: its name in it and where it is, in order. Links that stay inside are followed once,
    to a file; Rejected for those that do not, and for what is no file."""
    if depth > DEPTH_MAX:
        raise Rejected(f"directories are nested more than {DEPTH_MAX} deep")
    for name in sorted(os.listdir(os.path.join(top, directory))):
        inner = os.path.join(directory, name)
        path = os.path.join(top, inner)
        shown = os.fsencode(inner).decode("utf-8", "replace")
        if os.path.islink(path) and not is_within(path, top):
            raise Rejected(f"'{shown}' is a symbolic link that leads out of the submission")
        if os.path.islink(path) and not os.path.exists(path):
            raise Rejected(f"'{shown}' is a symbolic link that leads nowhere")
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode):
            yield inner, path
        elif os.path.islink(path) or not stat.S_ISDIR(mode):
            raise Rejected(f"'{shown}' is neither a file nor a directory")
        else:
            yield from files_below(top, inner, depth + 1)


def files_of(submission: Submission) -> Iterator[tuple[str, str]]:
    """The files of a submission, which may be one itself; its name is "" then."""
    top = submission.path
    if os.path.islink(top) and not is_within(top, os.path.dirname(top)):
        raise Rejected("the submission is a symbolic link that leads out of the directory of submissions")
    if not os.path.exists(top):
        raise Rejected("the submission is a symbolic link that leads nowhere")
    if os.path.isdir(top):
        yield from files_below(os.path.realpath(top))
    elif stat.S_ISREG(os.stat(top).st_mode):
        yield "", top
    else:
        raise Rejected("the submission is neither a file nor a directory")


def read_files(submission: Submission) -> Iterator[tuple[str, bytes, bool]]:
    """Name and contents of each file, and whether it can be executed. Rejected when it is too much, or cannot be read."""
    count = total = 0
    try:
        for name, path in files_of(submission):
            count += 1
            with open(path, "rb") as file:
                data = file.read(BYTES_MAX + 1 - total)
                is_program = os.fstat(file.fileno()).st_mode & stat.S_IXUSR != 0
            total += len(data)
            if total > BYTES_MAX or count > FILES_MAX:
                raise Rejected(f"more than {BYTES_MAX >> 20} MB or {FILES_MAX} files")
            yield name, data, is_program
    except OSError as error:
        raise Rejected(f"cannot be read: {error.strerror}") from None


def add_to_hash(total: hashlib._Hash, name: str, data: bytes) -> None:
    encoded = os.fsencode(name)
    total.update(b"%d %d " % (len(encoded), len(data)) + encoded + data)


def hash_submission(submission: Submission) -> str:
    """What it contains, as a hexadecimal number; why it is rejected counts as contents."""
    total = hashlib.sha256()
    try:
        for name, data, is_program in read_files(submission):
            add_to_hash(total, name, data)
            if is_program:
                add_to_hash(total, "/program", b"")
    except Rejected as why:
        add_to_hash(total, "/rejected", str(why).encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def hash_directory(directory: str, excluded: Sequence[str]) -> str:
    """All files of a directory of the teacher's, where links lead where they lead, without some directories that may be
    in it, and without what git and Python keep there."""
    left_out = {os.path.realpath(path) for path in excluded}
    total = hashlib.sha256()
    for parent, directories, names in os.walk(directory):
        directories[:] = sorted(name for name in directories if name not in (".git", "__pycache__") and
                                os.path.realpath(os.path.join(parent, name)) not in left_out)
        for name in sorted(names):
            path = os.path.join(parent, name)
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    add_to_hash(total, os.path.relpath(path, directory), file.read())
    return total.hexdigest()


def copy_submission(submission: Submission, directory: str, single_name: str) -> None:
    """Copy the files into an empty directory; a submission that is one file gets the name `single_name`. Rejected as
    read_files()."""
    for name, data, is_program in read_files(submission):
        path = os.path.join(directory, name or single_name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
        if is_program:
            os.chmod(path, 0o755)
