"""Starting mini_hypervisor, and what it says."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import ProgramNotFound, StartError, Timeout
from .output import Input, Output
from .rsp import Connection

ENVIRONMENT = "MINI_HYPERVISOR"

# The line that says where a debugger may connect: number, name, state, place, ELF file quoted for a shell.
READY = re.compile(r"VM (\d+) \((.*)\): (waits for gdb|gdb may connect) *; type: "
                   r"gdb -ex 'target remote (\S+)'(?: ('.*'))?")
# Lines about our own connection, which tell nobody anything in a report.
CONNECTION = re.compile(r"^.*: (waits for gdb|gdb may connect|a debugger has connected|the debugger has left|"
                        r"serial port on /dev/pts/).*\n", re.M)
SERIAL_PORT = re.compile(r"VM (\d+) \(.*\): serial port on (\S+)")

Path = str | os.PathLike[str]

TAIL = 4000  # how much of an output an error's text shows


@dataclass(frozen=True)
class Result:
    """How a run ended: the exit status of mini_hypervisor, what the guest printed, and what mini_hypervisor said."""

    status: int
    output: bytes
    messages: str


def find_program(program: str | None = None) -> str:
    """
    The mini_hypervisor to use: `program`, else what the environment variable MINI_HYPERVISOR names, else the one in
    PATH. Raises ProgramNotFound.
    """
    named = program or os.environ.get(ENVIRONMENT)
    found = shutil.which(named or "mini_hypervisor")
    if found is None and named:
        raise ProgramNotFound(f"'{named}' is no program that can be executed")
    if found is None:
        raise ProgramNotFound(f"mini_hypervisor is not in PATH; install it, or set {ENVIRONMENT} to its path")
    return found


def paths(values: Sequence[Path]) -> list[str]:
    """Words of a command line, from a list of them."""
    if isinstance(values, str):
        raise TypeError(f"give a list of words, such as ['--memory', '4'], instead of {values!r}")
    return [os.fspath(value) for value in values]


def option_value(words: Sequence[str], option: str) -> str | None:
    """What a command line gives an option, as `--option VALUE` or `--option=VALUE`."""
    for word, following in zip(words, [*words[1:], ""]):
        if word == option or word.startswith(option + "="):
            return following if word == option else word[len(option) + 1:]
    return None


def run(image: Path, options: Sequence[Path] = (), *, input: bytes = b"",
        program: str | None = None, timeout: float = 30) -> Result:
    """
    Run a guest to its end, without a debugger, with `input` at its serial port. Raises Timeout after `timeout` seconds;
    the program has ended then.
    """
    command = [find_program(program), "--guest", os.fspath(image), *paths(options)]
    with tempfile.TemporaryDirectory(prefix="mini_hypervisor-") as directory:
        command += ["--files-dir", directory] if option_value(command, "--files-dir") is None else []
        try:
            done = subprocess.run(command, input=input, capture_output=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired as late:
            raise Timeout(f"{os.fspath(image)} is still running after {timeout:g} s\n" +
                          report_text(late.stderr or b"", late.stdout or b"")) from None
    return Result(done.returncode, done.stdout, done.stderr.decode(errors="replace"))


def symbol_file(ready: re.Match[str]) -> str | None:
    """The ELF file that a line which matches READY names."""
    return shlex.split(ready[5])[0] if ready[5] else None


def report_text(messages: bytes, output: bytes) -> str:
    """The end of what mini_hypervisor said and of what the guest printed, for an error's text."""
    parts = []
    for title, text in (("mini_hypervisor said:", messages), ("the guest printed:", output)):
        if text:
            shown = text[-TAIL:].decode(errors="replace").splitlines()
            parts += [title, *("  " + line for line in shown)]
        else:
            parts.append(title[:-1] + " nothing")
    return "\n".join(parts)


def _end(process: subprocess.Popen[bytes], directory: str, fds: list[int]) -> None:
    """End the program and all it has started, and remove its directory."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            try:
                stream.close()
            except OSError:
                pass
    while fds:
        os.close(fds.pop())
    shutil.rmtree(directory, ignore_errors=True)


class Process:
    """
    A mini_hypervisor whose machines wait for their debugger. It ends with close(), when this object is gone, or with
    Python; if Python is killed, the machines end when their debuggers' connections break.
    """

    def __init__(self, arguments: Sequence[str], machines: int, *, program: str | None, timeout: float) -> None:
        self.timeout = timeout
        self.connections: list[Connection] = []  # of its machines' debuggers
        found = find_program(program)
        self.directory = tempfile.mkdtemp(prefix="mini_hypervisor-")
        given_dir = option_value(arguments, "--files-dir")
        self.files_dir = given_dir or os.path.join(self.directory, "files")
        command = [found, *arguments, "--gdb", f"unix:{self.directory}/gdb-%n", "--gdb-hold", "--gdb-lost", "kill"]
        if machines > 1:
            command += ["--serial", "pty"]
        if given_dir is None and "--replay" not in arguments:  # which writes none
            command += ["--files-dir", self.files_dir]
        try:
            # a session of its own, so that all of it can be ended, and Ctrl-C is for the test
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=subprocess.PIPE, start_new_session=True, bufsize=0)
        except OSError as error:
            shutil.rmtree(self.directory)
            raise ProgramNotFound(f"'{found}' cannot be executed: {error.strerror}") from None
        assert self.process.stdin and self.process.stdout and self.process.stderr
        self.output = Output(out=self.process.stdout.fileno(), err=self.process.stderr.fileno())
        self.inputs = {1: Input(self.process.stdin.fileno(), self.process.stdin.close)}
        self._terminals: list[int] = []
        self._finalizer = weakref.finalize(self, _end, self.process, self.directory, self._terminals)
        try:
            self.ready = self._await_ready(machines)
            self._open_serial_ports(machines)
        except BaseException:
            self.close()
            raise

    def _await_ready(self, machines: int) -> list[re.Match[str]]:
        end = time.monotonic() + self.timeout
        while True:
            text = os.fsdecode(self.output.bytes["err"])
            ready = list(READY.finditer(text)) if text.endswith("\n") else []
            if len(ready) >= machines and (machines == 1 or len(SERIAL_PORT.findall(text)) >= machines):
                return ready
            left = end - time.monotonic()
            if left <= 0:
                raise StartError(f"mini_hypervisor is not ready after {self.timeout:g} s\n" + self.report())
            if not self.output.fds:
                status = self.process.wait(max(0.1, left))
                raise StartError(f"mini_hypervisor ended with status {status} before a machine could be debugged\n" +
                                 self.report())
            self.output.pump(left)

    def _open_serial_ports(self, machines: int) -> None:
        """Several machines have a pseudo-terminal each; one has stdin and stdout."""
        if machines > 1:
            for number, path in SERIAL_PORT.findall(self.messages):
                fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
                self._terminals.append(fd)
                self.inputs[int(number)] = Input(fd)
                self.output.add(f"serial{number}", fd)
        self.output.inputs = list(self.inputs.values())

    @property
    def messages(self) -> str:
        """What mini_hypervisor has said on stderr."""
        return self.output.bytes["err"].decode(errors="replace")

    def report(self) -> str:
        """What mini_hypervisor and the guests have printed, and how it ended if it has, for people."""
        self.output.drain()
        status = self.process.poll()
        ended = "" if status is None else f"mini_hypervisor has ended with status {status}\n"
        printed = b"".join(text for name, text in self.output.bytes.items() if name != "err")
        return ended + report_text(CONNECTION.sub("", self.messages).encode(), printed)

    def wait(self, timeout: float) -> int:
        """Wait for the end, and take all that is printed until then. Returns the exit status; raises Timeout."""
        end = time.monotonic() + timeout
        while self.output.fds.keys() & {"out", "err"} and time.monotonic() < end:
            self.output.pump(end - time.monotonic())
        try:
            return self.process.wait(max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise Timeout(f"mini_hypervisor is still running after {timeout:g} s\n" + self.report()) from None

    def close(self) -> None:
        """End it, however it is, and remove its directory. May be repeated."""
        for connection in self.connections:
            connection.close()
        self._finalizer()
        self.output.fds.clear()
        self.output.inputs.clear()
