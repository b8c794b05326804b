"""Runs a process in a group of its own, with a limit on time and output, and leaves nothing of it behind."""

from __future__ import annotations

import dataclasses
import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence

TIME, OUTPUT = "time", "output"  # why a process was ended
INTERRUPT_SECONDS = 5.0
FILES_SECONDS = 0.1  # how often sizes of files are looked at


class Stopped(Exception):
    """The grading is to end."""


class Stopper:
    """Ends all processes that run, and lets none begin.

    It is a pipe, and stopped when there is something in it. Python runs handlers of signals in the main thread, and
    only between two of its instructions: a signal that comes just before that thread waits for the workers, or that
    another thread takes, would not be seen until they end. on_signals() has the interpreter write to the pipe when
    the signal comes."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def stop(self) -> None:
        try:
            os.write(self.write_end, b"x")
        except BlockingIOError:  # it is full, and so readable
            pass

    def on_signals(self) -> None:
        """Stop at every signal for which there is a handler."""
        signal.set_wakeup_fd(self.write_end, warn_on_full_buffer=False)

    @property
    def is_stopped(self) -> bool:
        poll = select.poll()
        poll.register(self.read_end, select.POLLIN)
        return bool(poll.poll(0))


@dataclasses.dataclass
class Done:
    status: int  # as subprocess has it: negative for a signal
    out: bytes
    err: bytes
    ended_for: str  # TIME or OUTPUT; "": it ended by itself
    seconds: float


class Capture:
    """What comes out of one pipe, up to a limit."""

    def __init__(self, fd: int, limit: int) -> None:
        self.fd, self.limit = fd, limit
        self.parts: list[bytes] = []
        self.length = 0
        os.set_blocking(fd, False)

    def read(self) -> bool:
        """Take what is there. False at the end of the pipe."""
        while True:
            try:
                part = os.read(self.fd, 65536)
            except BlockingIOError:
                return True
            if not part:
                return False
            if self.length <= self.limit:
                self.parts.append(part)
            self.length += len(part)
            if self.is_full:
                return True

    @property
    def is_full(self) -> bool:
        return self.length > self.limit

    def bytes(self) -> bytes:
        return b"".join(self.parts)[:self.limit]


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and what is left of its group, unless its status has been collected."""
    if process.returncode is not None:
        return
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def is_larger(path: str, limit: int) -> bool:
    try:
        return os.path.getsize(path) > limit
    except FileNotFoundError:
        return False


def follow(process: subprocess.Popen[bytes], captures: Sequence[Capture], files: Sequence[str], deadline: float,
           stopper: Stopper) -> str:
    """Take the output until the process ends or must be ended; returns why. `files` have the limit of the first
    capture."""
    poll = select.poll()
    pidfd = os.pidfd_open(process.pid)
    open_pipes = {capture.fd: capture for capture in captures}
    try:
        for fd in (pidfd, stopper.read_end, *open_pipes):
            poll.register(fd, select.POLLIN)
        while True:
            left = deadline - time.monotonic()
            wait = min(left, FILES_SECONDS) if files else left
            ready = {fd for fd, _ in poll.poll(max(0.0, wait) * 1000)}
            if stopper.read_end in ready:
                raise Stopped
            for fd in ready & open_pipes.keys():
                if not open_pipes[fd].read():
                    poll.unregister(fd)
                    del open_pipes[fd]
            if any(capture.is_full for capture in captures) or any(is_larger(file, captures[0].limit) for file in files):
                return OUTPUT
            if pidfd in ready:
                for capture in open_pipes.values():
                    capture.read()
                return OUTPUT if any(capture.is_full for capture in captures) else ""
            if left <= 0:
                return TIME
    finally:
        os.close(pidfd)


def interrupt(process: subprocess.Popen[bytes]) -> None:
    """Let a process end what it has started."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(INTERRUPT_SECONDS)
    except subprocess.TimeoutExpired:
        pass


def run(command: Sequence[str], *, cwd: str, seconds: float, stopper: Stopper, output: int = 1_000_000,
        errors: int = 65536, stdin: int = subprocess.DEVNULL, env: dict[str, str] | None = None,
        files: Sequence[str] = (), interrupts: bool = False) -> Done:
    """Run a command. Stopped when the grading is to end; OSError when it cannot be started. None of `files` may become
    larger than `output` bytes. With `interrupts`, a command that must be ended gets SIGINT first, because it has
    children in sessions of their own."""
    if stopper.is_stopped:
        raise Stopped
    start = time.monotonic()
    process = subprocess.Popen(command, cwd=cwd, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env,
                               process_group=0, bufsize=0)
    assert process.stdout is not None and process.stderr is not None
    out, err = Capture(process.stdout.fileno(), output), Capture(process.stderr.fileno(), errors)
    ended_for = TIME
    try:
        ended_for = follow(process, (out, err), files, start + seconds, stopper)
    finally:
        if interrupts and ended_for:
            interrupt(process)
        end_group(process)
        process.wait()
        process.stdout.close()
        process.stderr.close()
    return Done(process.returncode, out.bytes(), err.bytes(), ended_for, time.monotonic() - start)
