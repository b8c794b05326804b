"""
Runs mini_hypervisor for the end-to-end tests.

Every wait has a deadline, and nothing sleeps to let something else happen. Each test has a directory of its own, in
which the program runs, and whatever a test started has ended when the test has.
"""

import ctypes
import functools
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

SOURCE = os.environ.get("MH_SOURCE") or os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.environ.get("MH_BUILD") or os.path.join(SOURCE, "build", "default")
PROGRAM = os.environ.get("MH_PROGRAM") or os.path.join(BUILD, "tools", "mini_hypervisor", "mini_hypervisor")

# The module for tests of guests has what these tests need too.
sys.path.insert(0, os.path.join(SOURCE, "tools", "python"))
from mini_hypervisor import Timeout, output  # noqa: E402

# The processor that guests run on: what --accel is for all runs of a test.
ACCEL = os.environ.get("MH_ACCEL", "auto")

# "off": without generated code on the software processor, wherever a test asks for it.
JIT = os.environ.get("MH_JIT", "on")

# How many times slower than others this host may be: some are emulated.
PATIENCE = int(os.environ.get("MH_PATIENCE", "1"))
# For one thing to happen. Far more than any takes: the machine may be busy with other things.
DEADLINE = 60 * PATIENCE

EXIT_USAGE, EXIT_HOST, EXIT_IMAGE, EXIT_CRASHED, EXIT_IO, EXIT_TIMEOUT = 2, 3, 4, 5, 6, 124
EXIT_SIGINT, EXIT_SIGTERM = 130, 143

MB = 1024 * 1024
SYSTEM_AREA = 0x1000000
STACK_RESERVE = 0x1000

# What the guest bulk prints.
BULK = bytes((i + (i >> 8)) & 0xff for i in range(0x30000))


def guest(name):
    """The image of a test guest."""
    return os.path.join(BUILD, "tests", "guests", name + ".img")


def sample(name, form="img"):
    """The image of a sample guest."""
    return os.path.join(BUILD, "guests", name, "guest." + form)


def sample_source(name, *path):
    return os.path.join(SOURCE, "guests", name, *path)


def contents(path):
    with open(path, "rb") as file:
        return file.read()


def is_sanitized():
    """Sanitizers need descriptors, much address space, files and calls for themselves."""
    program = contents(PROGRAM)
    return b"__asan_init" in program or b"__tsan_init" in program


def drop_file_capabilities():
    """Take from root the right to ignore permissions of files; this survives exec. For preexec_fn."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("<Ii", 0x20080522, 0)
    data = ctypes.create_string_buffer(24)
    libc.capget(ctypes.c_char_p(header), data)
    words = list(struct.unpack("<6I", data.raw))
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP, for exec
        for i in range(3):
            words[i] &= ~(1 << capability)
    libc.capset(ctypes.c_char_p(header), ctypes.c_char_p(struct.pack("<6I", *words)))


@functools.cache
def probe():
    """What the program says of this host: name -> value, as --probe prints it."""
    text = subprocess.run([PROGRAM, "--accel", ACCEL, "--probe"], stdout=subprocess.PIPE, timeout=DEADLINE,
                          check=True).stdout.decode()
    return dict(line.split(": ", 1) for line in text.splitlines())


@functools.cache
def has_kvm():
    """Whether this host has a usable KVM."""
    return subprocess.run([PROGRAM, "--accel", "kvm", "--probe"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          timeout=DEADLINE, check=False).returncode == 0


def command(arguments):
    """The program with these arguments, on the processor that is tested unless they name one."""
    arguments = [str(argument) for argument in arguments]
    names_one = any(argument == "--accel" or argument.startswith("--accel=") for argument in arguments)
    words = [PROGRAM, *([] if names_one else ["--accel", ACCEL]), *arguments]
    return [without_jit(word, before) for word, before in zip(words, ["", *words])]


def without_jit(word, before):
    """A word of a command line, and the one before it: with MH_JIT=off, --accel soft has no generated code."""
    names_soft = word == "--accel=soft" or (before, word) == ("--accel", "soft")
    return word + ",jit=off" if JIT == "off" and names_soft else word


def on(*processors):
    """For a test about some processors only: there is none such on others."""
    return lambda test: test if ACCEL in processors else None


class Result:
    """How a run ended, and what it printed."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def messages(self):
        return self.err.decode(errors="replace")

    def __repr__(self):
        return f"exit {self.code}\nstdout: {(self.out or b'')[-2000:]!r}\nstderr: {self.messages[-4000:]}"


class Output(output.Output):
    """What arrives at some descriptors, gathered without threads."""

    def wait_for(self, name, wanted, deadline=DEADLINE):
        """Wait until what came at `name` contains `wanted`, or `wanted(bytes)` is true."""
        try:
            return super().wait_for(name, wanted, deadline)
        except Timeout as error:
            raise AssertionError(str(error)) from None


class Running:
    """A run that continues while the test observes it, connected by pipes."""

    def __init__(self, arguments, cwd, **options):
        self.process = subprocess.Popen(command(arguments), cwd=cwd, stdin=subprocess.PIPE,
                                        stdout=options.pop("stdout", subprocess.PIPE), stderr=subprocess.PIPE,
                                        **options)
        ends = {"err": self.process.stderr.fileno()}
        if self.process.stdout is not None:
            ends["out"] = self.process.stdout.fileno()
        self.output = Output(**ends)

    def send(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def wait_for(self, wanted, name="out"):
        return self.output.wait_for(name, wanted)

    def is_running(self):
        return self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def finish(self, deadline=DEADLINE):
        """Close its input and wait for its end."""
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        end = time.monotonic() + deadline
        while self.output.fds and time.monotonic() < end:
            self.output.pump(end - time.monotonic())
        try:
            code = self.process.wait(max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {deadline} s; {self.output.bytes}") from None
        self.close()
        return Result(code, self.output.bytes.get("out", b""), self.output.bytes["err"])

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for end in (self.process.stdin, self.process.stdout, self.process.stderr):
            if end is not None:
                try:
                    end.close()
                except BrokenPipeError:
                    pass


class Terminal:
    """
    A run on a terminal of its own, as a shell would start it: in the foreground, with a parent in the same session,
    which lets it be stopped.
    """

    def __init__(self, arguments, cwd, env=None, stdout=None):
        self.master, self.slave = pty.openpty()
        self.original = termios.tcgetattr(self.slave)
        news, news_end = os.pipe()
        self.shell = subprocess.Popen([sys.executable, "-B", os.path.abspath(__file__), str(news_end),
                                       *command(arguments)], cwd=cwd, env=env, stdin=self.slave,
                                      stdout=self.slave if stdout is None else stdout, stderr=self.slave,
                                      pass_fds=(news_end,), start_new_session=True)
        os.close(news_end)
        self.news = news
        self.output = Output(screen=self.master, news=news)
        line = self.output.wait_for("news", b"\n")
        self.pid = int(line.split()[1])

    def send(self, keys):
        os.write(self.master, keys)

    def wait_for(self, wanted):
        return self.output.wait_for("screen", wanted)

    def wait_for_news(self, wanted):
        return self.output.wait_for("news", wanted)

    def stop(self):
        """Press Ctrl-Z."""
        self.output.bytes["news"] = b""
        self.send(b"\x1a")
        self.wait_for_news(b"stopped")

    def go_on_in_background(self):
        """What a shell does for bg, with the program stopped."""
        self.output.bytes["news"] = b""
        os.kill(self.shell.pid, signal.SIGUSR1)

    def go_on_in_foreground(self):
        """The same for fg."""
        os.kill(self.shell.pid, signal.SIGUSR2)

    @property
    def screen(self):
        return self.output.bytes["screen"]

    def settings(self):
        return termios.tcgetattr(self.slave)

    def is_as_it_was(self):
        return self.settings() == self.original

    def finish(self):
        """Wait for the program's end; its exit status, 128 + n when signal n killed it."""
        news = self.wait_for_news(b"ended")
        self.shell.wait(DEADLINE)
        while self.output.pump(0) and "screen" in self.output.fds:
            pass
        return int(news.split()[-1])

    def close(self):
        for pid in (self.pid, self.shell.pid):
            if self.shell.poll() is None:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        self.shell.wait()
        for fd in (self.master, self.slave, self.news):
            os.close(fd)


def act_as_shell(news, arguments):
    """What Terminal starts: run the program in the foreground and write to `news` what becomes of it."""
    def give_terminal_to(group):
        os.tcsetpgrp(0, group)
        os.kill(pid, signal.SIGCONT)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    import fcntl  # only needed here
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpid())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        os.close(news)
        os.execv(arguments[0], arguments)
    signal.signal(signal.SIGUSR1, lambda *_: give_terminal_to(os.getpid()))
    signal.signal(signal.SIGUSR2, lambda *_: give_terminal_to(pid))
    os.write(news, b"pid %d\n" % pid)
    while True:
        status = os.waitpid(pid, os.WUNTRACED)[1]
        if os.WIFSTOPPED(status):
            os.write(news, b"stopped\n")
        else:
            code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
            os.write(news, b"ended %d\n" % code)
            return


class Monitor:
    """
    Talks to the guest `monitor`, which executes commands: see tests/guests/monitor.c. `write` and `read_exactly` are
    the ways to it and from it.
    """

    def __init__(self, write, read_exactly):
        self.write, self.read = write, read_exactly

    def acknowledged(self, command):
        self.write(command)
        answer = self.read(1)
        if answer != b".":
            raise AssertionError(f"the monitor answered {answer!r} to {command[:40]!r}")

    def poke(self, address, data):
        self.acknowledged(b"p" + struct.pack("<QI", address, len(data)) + data)

    def peek(self, address, length):
        self.write(b"g" + struct.pack("<QI", address, length))
        return self.read(length)

    def out(self, port, width, value):
        self.acknowledged(b"o" + struct.pack("<HBI", port, width, value))

    def inp(self, port, width):
        self.write(b"i" + struct.pack("<HB", port, width))
        return struct.unpack("<I", self.read(4))[0]

    def file_write(self, data):
        self.acknowledged(b"w" + struct.pack("<I", len(data)) + data)

    def file_read(self, length):
        self.write(b"r" + struct.pack("<I", length))
        return self.read(length)

    def halt(self):
        self.write(b"h")

    def crash(self):
        self.write(b"x")

    def spin(self):
        self.write(b"s")


def monitor_on_pipes(run):
    """The monitor of a single machine whose serial port is the pipes of a Running."""
    taken = 0

    def read(length):
        nonlocal taken
        data = run.wait_for(lambda got: len(got) >= taken + length)[taken:taken + length]
        taken += length
        return data
    return Monitor(run.send, read)


def monitor_on_pty(path):
    """The monitor of a machine with --serial pty; close the descriptor it has as .fd."""
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
    output = Output(pty=fd)
    taken = 0

    def write(data):
        while data:
            data = data[os.write(fd, data[:1024]):]

    def read(length):
        nonlocal taken
        data = output.wait_for("pty", lambda got: len(got) >= taken + length)[taken:taken + length]
        taken += length
        return data
    monitor = Monitor(write, read)
    monitor.fd = fd
    return monitor


class Case(unittest.TestCase):
    """A test with a directory of its own, self.dir, where what it runs runs."""

    maxDiff = None

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="mh-e2e-")
        self.addCleanup(shutil.rmtree, self.dir, True)

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def write(self, name, data):
        with open(self.path(name), "wb") as file:
            file.write(data)
        return self.path(name)

    def run_vm(self, *arguments, input=b"", deadline=DEADLINE, **options):
        """Run it to its end, with `input` on stdin."""
        stdin = {} if "stdin" in options else {"input": input}
        options.setdefault("cwd", self.dir)
        options.setdefault("stdout", subprocess.PIPE)
        try:
            done = subprocess.run(command(arguments), stderr=subprocess.PIPE, timeout=deadline, **stdin,
                                  **options)
        except subprocess.TimeoutExpired as late:
            self.fail(f"{arguments} still running after {deadline} s; {late.stdout!r} {late.stderr!r}")
        return Result(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments, **options):
        run = Running(arguments, self.dir, **options)
        self.addCleanup(run.close)
        return run

    def start_on_terminal(self, *arguments, **options):
        run = Terminal(arguments, self.dir, **options)
        self.addCleanup(run.close)
        return run

    def start_monitor(self, *arguments, **options):
        run = self.start("-g", guest("monitor"), *arguments, **options)
        return run, monitor_on_pipes(run)

    def start_monitors(self, count, *arguments):
        """Several monitors, each on a pseudo-terminal of its own."""
        run = self.start("-g", *[guest("monitor")] * count, "--serial", "pty", *arguments)
        text = run.wait_for(lambda got: got.count(b"serial port on") == count and got.endswith(b"\n"), "err").decode()
        monitors = []
        for line in text.splitlines():
            monitors.append(monitor_on_pty(line.split()[-1]))
            self.addCleanup(os.close, monitors[-1].fd)
        return run, monitors

    def check(self, result, code=0, out=None, err=None):
        """Check how a run ended; `err` is what its messages must contain, "" that there are none."""
        self.assertEqual(result.code, code, result)
        if out is not None:
            self.assertEqual(result.out, out, result)
        if err == "":
            self.assertEqual(result.messages, "")
        elif err is not None:
            for part in [err] if isinstance(err, str) else err:
                self.assertIn(part, result.messages)
        return result


def main():
    """Run the tests of a file, and say which were skipped."""
    program = unittest.main(module="__main__", exit=False)
    for test, reason in program.result.skipped:  # unittest prints a letter only; tools/test counts these lines
        print(f"SKIP: {test.id()}: {reason}")
    sys.exit(not program.result.wasSuccessful())


if __name__ == "__main__":
    act_as_shell(int(sys.argv[1]), sys.argv[2:])
