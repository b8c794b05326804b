"""--anywhere on the host's side: what an emulated machine that does not do what it should can and cannot do."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from hypervisor import DEADLINE, EXIT_HOST, PROGRAM, Case, contents, run_tests  # noqa: E402

MODULES = ("virtio_ring virtio virtio_mmio virtio_console netfs fscache 9pnet 9pnet_virtio 9p irqbypass kvm ccp"
           " kvm-amd").split()
CREATE_RULESET = 444
EXIT_SIGNAL = 128
STDIN, STDOUT, DEBUGGER = 0, 1, 5

# Instead of the emulator: a script that finds the channel as its descriptor $fd, and says something there.
EMULATOR = """#!/bin/bash
for word; do case $word in socket,*) fd=${word##*fd=};; esac; done
say() { printf "$1" >&$fd; }
read_on() { cat <&$fd; }
"""


def frame(kind, stream=0, payload=b""):
    """Of anywhere_wire.h, as printf takes it."""
    return "".join(f"\\x{byte:02x}" for byte in bytes((kind, stream, 0, 0)) + len(payload).to_bytes(4, "little") + payload)


def data(stream, payload):
    return frame(1, stream, payload)


def credit(stream, more):
    return frame(2, stream, more.to_bytes(4, "little"))


STARTED = frame(7)


def ended(status, taken):
    return frame(9, payload=status.to_bytes(4, "little") + taken.to_bytes(8, "little"))


class LauncherCase(Case):
    def setUp(self):
        """A program with all that it looks for beside it, so that the machine's kernel need not be there."""
        super().setUp()
        place = self.path("program")
        os.makedirs(os.path.join(place, "anywhere", "modules"))
        self.program = shutil.copy(PROGRAM, place)
        for name in ("anywhere_init", "anywhere/vmlinux", *(f"anywhere/modules/{name}.ko" for name in MODULES)):
            self.write(os.path.join("program", name), b"x")
        os.makedirs(self.path("prefix", "bin"))
        self.write("guest.img", b"\xf4")

    def emulate(self, script, *arguments, **options):
        """Start the program on a machine that does this."""
        emulator = self.write("prefix/bin/qemu-system-x86_64", (EMULATOR + script).encode())
        os.chmod(emulator, 0o755)
        environment = dict(os.environ, PATH=f"{self.path('prefix', 'bin')}:{os.environ['PATH']}")
        options.setdefault("stdin", subprocess.DEVNULL)
        process = subprocess.Popen([self.program, "--anywhere", "-g", "guest.img", *arguments], cwd=self.dir,
                                   env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def deaf(self, *arguments):
        """A machine in which the program has started, and that heeds no signal."""
        process = self.emulate(f"say '{STARTED}{data(STDOUT, b'ready')}'; read_on", *arguments)
        self.assertEqual(process.stdout.read(5), b"ready")
        return process

    def end(self, process, code):
        """What it says until it ends with this status."""
        messages = process.communicate(timeout=DEADLINE)[1].decode()
        self.assertEqual(process.returncode, code, messages)
        return messages


class WallsTest(LauncherCase):
    def test_files(self):
        """Of the host's files the emulator has those that the command line names, and only to the end named there."""
        if ctypes.CDLL(None).syscall(CREATE_RULESET, None, 0, 1) <= 0:
            self.skipTest("this kernel has no Landlock")
        self.write("secret", b"x")
        self.write("notes.txt", b"x")
        files = "secret notes.txt guest.img /etc/passwd vm-files/new cores/new out-1.txt trace new"
        messages = self.end(self.emulate(f"""
            for file in {files}; do
                cat $file && can="$can reads:$file"
                (echo x >>$file) && can="$can writes:$file"
            done
            (rm secret || mv secret vm-files/ || ln secret vm-files/ || mkdir new) && can="$can more"
            printf '\\n%s\\n' "$can"
        """, "-f", "notes.txt", "--core", "cores", "--trace", "trace", "--serial", "file:out-%n.txt"), EXIT_HOST)
        self.assertIn("last words:  reads:notes.txt reads:guest.img writes:vm-files/new writes:cores/new writes:out-1.txt writes:trace\n",
                      messages)
        self.assertEqual(contents(self.path("secret")), b"x")

    def test_privileges(self):
        """The emulator gains none by starting programs, and has the channel and files in memory open, nothing else."""
        process = self.deaf("--gdb", "0")
        with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
            emulator = f"/proc/{file.read().strip()}"
        self.assertIn(b"NoNewPrivs:\t1\n", contents(f"{emulator}/status"))
        opened = {os.readlink(f"{emulator}/fd/{number}") for number in os.listdir(f"{emulator}/fd")}
        opened.discard(self.path("prefix/bin/qemu-system-x86_64"))  # bash has its script open
        self.assertEqual(sum(name.startswith("socket:") for name in opened), 1, opened)
        self.assertEqual(sum(name.startswith("/memfd:") for name in opened), 2, opened)
        self.assertEqual(len(opened), 3, opened)


class WordsTest(LauncherCase):
    def test_nonsense(self):
        """Whatever it says, the worst is an error."""
        for words in ("garbage, garbage", "\\x01\\x01\\0\\0\\xff\\xff\\xff\\xff", STARTED + STARTED, data(STDIN, b"x"),
                      data(DEBUGGER, b"x"), credit(STDOUT, 1), credit(STDOUT, 0xffffffff), frame(5, DEBUGGER, bytes(4)),
                      frame(6, payload=bytes(4)), frame(3, STDIN)):
            with self.subTest(words):
                messages = self.end(self.emulate(f"say '{words}'; read_on"), EXIT_HOST)
                self.assertIn("the emulated machine makes no sense", messages)
        self.assertFalse(os.path.exists(self.path("vm-files")), "an empty directory is left")

    def test_failure_cannot_steer_the_terminal(self):
        failure = frame(10, payload=b"\x1b[2Jno\x07")
        self.assertIn("in the emulated machine: ?[2Jno?\n", self.end(self.emulate(f"say '{failure}'; read_on"), EXIT_HOST))

    def test_input_that_was_taken(self):
        """It can say how much of a file was read, but not more than it was sent."""
        for taken, position in ((3, 3), (10, 10), (11, 10), (2**63, 10), (2**64 - 1, 10)):
            with self.subTest(taken), open(self.write("input", b"0123456789"), "rb", buffering=0) as file:
                self.end(self.emulate(f"head -c 18 <&$fd; say '{STARTED}{ended(5, taken)}'; read_on",
                                      stdin=file), 5)
                self.assertEqual(file.tell(), position)

    def test_an_early_end(self):
        self.assertIn("ended before its time; its last words: alas", self.end(self.emulate("echo hello; echo alas"), EXIT_HOST))


class SignalTest(LauncherCase):
    def test_that_is_not_heeded(self):
        """As when the terminal is closed: it is over soon, whatever the machine does."""
        process = self.deaf()
        process.send_signal(signal.SIGHUP)
        self.end(process, EXIT_SIGNAL + signal.SIGHUP)

    def test_second_one(self):
        process = self.deaf()
        process.send_signal(signal.SIGINT)  # of two that wait, the lower number is read first
        process.send_signal(signal.SIGTERM)
        self.end(process, EXIT_SIGNAL + signal.SIGTERM)


if __name__ == "__main__":
    run_tests()
