"""What all sections of tools/bench share: programs that are run and timed in turn, and tables."""

import os
import re
import shutil
import statistics
import subprocess
import time

NAME = "mini_hypervisor"
QEMU_EXIT = 33  # what isa-debug-exit makes of the 16 that the guests write
QEMU_MACHINE = "microvm,pit=off,pic=off,rtc=off,isa-serial=off,x-option-roms=off"


class Setup:
    """Where things are, and what processor is measured: "soft" or "kvm"."""

    def __init__(self, build, accel, amounts, directory):
        self.bench = os.path.join(build, "bench")
        self.ours = os.path.join(build, "tools", "mini_hypervisor", "mini_hypervisor")
        self.floor = self.image("floor")
        self.accel, self.amounts, self.directory = accel, amounts, directory

    def has_kvm(self):
        return self.accel == "kvm"

    def image(self, name):
        return os.path.join(self.bench, name)

    def path(self, name):
        return os.path.join(self.directory, name)

    def our_argv(self, *words):
        return [self.ours, "--accel", self.accel, "--files-dir", self.path("files"), *words]

    def qemu(self, name, elf, *more, output="stdio,id=out,signal=off"):
        """QEMU with as little machine around the processor as it can do with."""
        path = shutil.which("qemu-system-x86_64")
        accel = ["-accel", "kvm", "-cpu", "host"] if self.has_kvm() else ["-accel", "tcg", "-cpu", "max"]
        argv = [path, *accel, "-M", QEMU_MACHINE, "-m", "8", "-nodefaults", "-no-user-config", "-display", "none"]
        argv += ["-no-reboot", "-kernel", self.image(elf), *more]
        argv += ["-device", "isa-debugcon,iobase=0xe9,chardev=out", "-chardev", output]
        program = Program(name, argv, QEMU_EXIT)
        if path is None:
            program.problem = "not installed"
        return program

    def qemu_that_ends(self, name, elf):
        return self.qemu(name, elf, "-device", "isa-debug-exit,iobase=0xf4,iosize=1")


class Program:
    """Something to run and to time as a whole process."""

    def __init__(self, name, argv, expected=0, stdin="/dev/null"):
        self.name, self.argv, self.expected, self.stdin = name, argv, expected, stdin
        self.seconds, self.cpu = [], []
        self.problem = self.printed = None

    def run(self, output):
        """One round. What a program prints goes to a file, as cheap a place as any."""
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, self.stdin, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666),
        ]
        start = time.perf_counter()
        pid = os.posix_spawn(self.argv[0], self.argv, os.environ, file_actions=actions)
        _, status, usage = os.wait4(pid, 0)
        self.seconds.append(time.perf_counter() - start)
        self.cpu.append(usage.ru_utime + usage.ru_stime)
        status = os.waitstatus_to_exitcode(status)
        if status != self.expected:
            self.problem = f"did not run here (exit status {status})"
        with open(output, "rb") as file:
            self.printed = file.read(64)

    def median(self):
        return statistics.median(self.seconds)

    def median_cpu(self):
        return statistics.median(self.cpu)


def interleave(rounds, programs, setup):
    """Rounds of every program in turn; the order turns too, so that none always runs behind the same one."""
    for number in range(rounds):
        first = number % len(programs)
        for program in programs[first:] + programs[:first]:
            if program.problem is None:
                program.run(setup.path("output"))


def print_table(title, columns, rows):
    print(f"\n{title}")
    print(f"  {'':<44}" + "".join(f"{column:>13}" for column in columns))
    for name, cells, note in rows:
        print(f"  {name:<44}" + "".join(f"{cell:>13}" for cell in cells) + (f"   {note}" if note else ""))


def unmeasured(program, columns):
    return (program.name, [""] * (columns - 1) + ["-"], program.problem)


def verdict(value, target, text, at_most=True):
    """A target beside what was measured."""
    is_met = value <= target if at_most else value >= target
    return f"target: {'at most' if at_most else 'at least'} {text}{'' if is_met else ', MISSED'}"


def milliseconds(seconds):
    return f"{seconds * 1e3:.2f} ms"


def rate_text(rate):
    return f"{rate / 1e6:.3g} MB/s" if rate < 1e9 else f"{rate / 1e9:.1f} GB/s"


class Stub:
    """A server of the remote protocol, with a guest stopped behind it."""

    def __init__(self, name, argv, says, base, port=None, kind=0, asked=b"", stdin=subprocess.PIPE):
        """`says` matches the line the server prints when it is ready, with its port unless that is told as `port`;
        `asked` is what it is to answer with that line."""
        self.name, self.base, self.kind, self.port = name, base, kind, port
        self.process = subprocess.Popen(argv, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if asked:
            self.process.stdin.write(asked)
            self.process.stdin.flush()
        self.wait_until_ready(says)

    def wait_until_ready(self, says):
        for line in self.process.stdout:
            match = re.search(says, line.decode(errors="replace"))
            if match:
                self.port = self.port or int(match[1])
                return
        self.port = None

    def end(self):
        self.process.kill()
        self.process.communicate()


def our_stub(setup, *words, name="ours", **more):
    argv = setup.our_argv("--gdb", "0", *words)
    return Stub(name, argv, r"target remote \S*:(\d+)", 0, **more)
