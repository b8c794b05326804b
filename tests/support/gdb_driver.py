"""
Drives a real gdb for the end-to-end tests, and speaks its remote protocol where a packet itself is the matter.

gdb runs this very file as a script: it takes commands from a pipe and answers with what each one printed. So a test
sees what belongs to which command, can interrupt one that is going on, and waits for nothing but the answer.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

try:
    import gdb as inside  # only where gdb executes this file
except ImportError:
    inside = None


def serve_inside(commands, answers):
    """The part that runs in gdb: a line of JSON for each command, and one when it has ended, perhaps with an error."""
    def tell(answer):
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    def running(event):
        inside.events.cont.disconnect(running)  # Ctrl-C would be for this code, had gdb to call it all the time
        running.told = True
        tell(None)

    running.told = True
    for line in commands:
        if running.told:
            inside.events.cont.connect(running)
        running.told = False
        answer = ""
        try:
            inside.execute(json.loads(line))
        except inside.error as error:
            answer = f"error: {error}\n"
        except KeyboardInterrupt:
            answer = "error: Quit\n"
        inside.flush()
        tell(answer)


if inside is not None:
    serve_inside(os.fdopen(int(os.environ["MH_GDB_COMMANDS"])), os.fdopen(int(os.environ["MH_GDB_ANSWERS"]), "w"))
    inside.execute("quit")

from hypervisor import DEADLINE, Case, Output  # noqa: E402
from mini_hypervisor import rsp  # noqa: E402
from mini_hypervisor.process import READY, symbol_file  # noqa: E402

# What gdb says at either end of a machine's history: up to gdb 13, and later.
END_OF_HISTORY = "No more reverse-execution history|Reached end of recorded history"
SETTINGS = ["set confirm off", "set pagination off", "set width 0", "set height 0", "set style enabled off",
            "set debuginfod enabled off", "set print thread-events off", "set tcp connect-timeout 10",
            f"set remotetimeout {DEADLINE // 2}"]


def elf(name):
    """The ELF file of a test guest."""
    from hypervisor import guest
    return guest(name)[:-len(".img")] + ".elf"


class Gdb:
    """A gdb that executes commands, one by one."""

    def __init__(self, cwd, file=None, program="gdb"):
        commands, self.commands = os.pipe()
        self.answers, answers = os.pipe()
        environment = dict(os.environ, MH_GDB_COMMANDS=str(commands), MH_GDB_ANSWERS=str(answers), LC_ALL="C")
        arguments = [argument for setting in SETTINGS for argument in ("-iex", setting)]
        self.process = subprocess.Popen([program, "-nx", "-q", "-batch", *arguments, *([file] if file else []),
                                         "-x", os.path.abspath(__file__)],
                                        cwd=cwd, env=environment, pass_fds=(commands, answers),
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        os.close(commands)
        os.close(answers)
        self.output = Output(answers=self.answers, console=self.process.stdout.fileno())
        self.taken = self.told = 0

    def begin(self, command):
        """Give a command without waiting for its end."""
        os.write(self.commands, json.dumps(command).encode() + b"\n")

    def answer(self, deadline=DEADLINE):
        """What the command in progress printed, once it has ended."""
        line = "null"
        while line == "null":  # it let the machine run, and continues
            got = self.output.wait_for("answers", lambda got: got.find(b"\n", self.taken) >= 0, deadline)
            end = got.index(b"\n", self.taken)
            line, self.taken = got[self.taken:end].decode(), end + 1
        # all of it was printed before the answer
        while self.output.pump(0) and "console" in self.output.fds:
            pass
        told = self.output.bytes["console"]
        console, self.told = told[self.told:].decode(errors="replace"), len(told)
        return json.loads(line) + console

    def __call__(self, command, deadline=DEADLINE):
        self.begin(command)
        return self.answer(deadline)

    def all(self, *commands):
        """Several commands; what they printed, one after the other."""
        return [self(command) for command in commands]

    def value(self, expression):
        """An expression's value as a number."""
        printed = self(f"output/x {expression}")
        try:
            return int(printed, 16)
        except ValueError:
            raise AssertionError(f"{expression}: {printed}") from None

    def pc(self):
        return self.value("$pc")

    def wait_until_running(self):
        """
        Wait until the command in progress has let the machine run and gdb waits for it: from then on Ctrl-C is for the
        machine. gdb says the former, but until it waits Ctrl-C would interrupt what says so.
        """
        self.output.wait_for("answers", lambda got: got.find(b"null\n", self.taken) >= 0)
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            with open(f"/proc/{self.process.pid}/stat") as file:
                if file.read().rsplit(")", 1)[1].split()[0] == "S":
                    return
            self.output.pump(0.001)
        raise AssertionError("gdb does not wait for the machine")

    def interrupt(self):
        """What Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)

    def kill(self):
        """The end of gdb in the middle of whatever it is doing."""
        self.process.kill()
        self.process.wait()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for fd in (self.commands, self.answers):
            if fd >= 0:
                os.close(fd)
        self.commands = self.answers = -1
        self.process.stdout.close()


class Wire(rsp.Connection):
    """The remote protocol, packet by packet."""

    def __init__(self, where):
        super().__init__(where, DEADLINE)


class Offered:
    """A running mini_hypervisor that offers ports to debuggers."""

    def __init__(self, case, run, count=1):
        self.case, self.run = case, run
        text = run.wait_for(lambda got: len(READY.findall(got.decode(errors="replace"))) >= count and
                            got.endswith(b"\n"), "err").decode()
        self.ready = [match for match in READY.finditer(text)]
        self.where = [match[4] for match in self.ready]
        self.elf = [symbol_file(match) for match in self.ready]

    def gdb(self, number=1, connect=True, file=True, program="gdb"):
        """A gdb, connected to a machine unless that is left to the test."""
        symbols = self.elf[number - 1] if file is True else file
        debugger = Gdb(self.case.dir, symbols or None, program)
        self.case.addCleanup(debugger.close)
        if connect:
            answer = debugger(f"target remote {self.where[number - 1]}")
            self.case.assertNotIn("error:", answer)
        return debugger

    def wire(self, number=1):
        wire = Wire(self.where[number - 1])
        self.case.addCleanup(wire.close)
        return wire

    @property
    def out(self):
        return self.run.output.bytes["out"]


class GdbCase(Case):
    """A test with machines to debug."""

    keeps_history = True

    def history(self, arguments):
        given = any("history" in str(argument) for argument in arguments)
        return [] if self.keeps_history or given else ["--no-history"]

    def offer(self, image, *arguments, where="0", count=1, **options):
        """Start machines that wait for gdb, and wait until they say so."""
        images = [image] if isinstance(image, str) else image
        run = self.start("-g", *images, "--gdb", where, *self.history(arguments), *arguments, **options)
        return Offered(self, run, max(count, len(images)))

    def debug(self, image, *arguments, **options):
        """A machine and a gdb that is connected to it."""
        offered = self.offer(image, *arguments, **options)
        return offered, offered.gdb()

    def debug_all(self, *images):
        """Machines that share a port, and a gdb that is connected to it."""
        run = self.start("-g", *images, "--gdb-all", "0", *self.history([]))
        line = run.wait_for(b"target remote", "err").decode()
        gdb = Gdb(self.dir, images[0])
        self.addCleanup(gdb.close)
        gdb(f"target remote {re.search(r'target remote ([0-9.:]+)', line)[1]}")
        return run, gdb

    def debug_cat(self, data, count, *arguments):
        """The guest cat, which has been sent `data` and has read `count` bytes of it, in front of the next."""
        vm, gdb = self.debug(elf("cat"), *arguments)
        vm.run.send(data)
        gdb("break *_start")
        for _ in range(count):
            gdb("continue")
        return vm, gdb

    def batch(self, offered, script, number=1, connect=True, deadline=DEADLINE):
        """A plain `gdb -batch -x` as teachers write it; what it printed, and its exit status."""
        path = self.write("script.gdb", script.encode())
        first = ["-ex", f"target remote {offered.where[number - 1]}"] if connect else []
        arguments = [argument for setting in SETTINGS for argument in ("-iex", setting)]
        symbols = [offered.elf[number - 1]] if offered.elf[number - 1] else []
        done = subprocess.run(["gdb", "-nx", "-q", "-batch", *arguments, *symbols, *first, "-x", path], cwd=self.dir,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=deadline, env=dict(os.environ, LC_ALL="C"))
        return done.stdout.decode(errors="replace"), done.returncode

    def need(self, program):
        """Skip this test when a debugger is not installed."""
        if shutil.which(program) is None:
            self.skipTest(f"{program} is not installed")

    def assertFails(self, answer, *parts):
        self.assertTrue(answer.startswith("error: "), answer)
        for part in parts:
            self.assertIn(part, answer)


class PointsCase(GdbCase):
    """gdb at the start of the test guest gdb_points."""

    arguments = ()

    def setUp(self):
        super().setUp()
        self.vm, self.gdb = self.debug(elf("gdb_points"), *self.arguments)

    def address(self, label):
        return self.gdb.value(f"&{label}")
