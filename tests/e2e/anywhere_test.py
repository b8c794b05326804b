"""--anywhere: the same command lines in an emulated machine, with /dev/kvm hidden from the whole file."""

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import termios

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import GdbCase, elf  # noqa: E402
from hypervisor import DEADLINE, EXIT_CRASHED, EXIT_HOST, EXIT_IMAGE, EXIT_IO, EXIT_SIGINT, EXIT_TIMEOUT  # noqa: E402
from hypervisor import BULK, EXIT_USAGE, PROGRAM, Case, contents, guest, is_sanitized, run_tests  # noqa: E402
from hypervisor import sample, sample_source  # noqa: E402
from mounts import MS_BIND, may_mount, mount, own_mounts  # noqa: E402

KERNEL = os.path.join(os.path.dirname(PROGRAM), "anywhere", "vmlinux")
SLOWER = "mini_hypervisor: runs in an emulated machine"
LOCAL_FLAGS = 3


def others_may_run():
    """Whether the way to the program is open to user 65534 too."""
    try:
        return subprocess.run([PROGRAM, "--version"], user=65534, capture_output=True).returncode == 0
    except PermissionError:
        return False


class EmulatedCase(GdbCase):
    def setUp(self):
        super().setUp()
        if is_sanitized():
            self.skipTest("a sanitized program takes minutes to start under emulation")


class RunTest(EmulatedCase):
    """Runs that end by themselves, or are ended."""

    def test_crash(self):
        result = self.check(self.run_vm("--anywhere", "--memory", 4, "--page", 4, "-g", sample("crash")), EXIT_CRASHED,
                            contents(sample_source("crash", "expected.txt")), ["VM 1 (crash): page fault", "0x0000000040000000"])
        self.assertTrue(result.messages.startswith(SLOWER), "it says what is different,")
        self.assertEqual(result.messages.count("emulated"), 1, "and says it once")

    def test_input_from_a_pipe(self):
        """Every byte, and the end."""
        data = bytes(range(256)) * 8
        result = self.run_vm("--anywhere", "-g", guest("cat"), input=data.replace(b"\xff", b"\xfe"))
        self.check(result, 0, data.replace(b"\xff", b"\xfe") + b"\xff\xff\xff")

    def test_input_that_is_left(self):
        """What the guest did not read of a file is for who reads it next."""
        path = self.write("input", b"ab\nq" + b"rest" * 1000)
        with open(path, "rb", buffering=0) as file:
            self.check(self.run_vm("--anywhere", "-g", guest("keys"), stdin=file), 0)
            self.assertEqual(file.tell(), 4)

    def test_much_output(self):
        """More than a window: each byte costs an exit, of which there are few in a second."""
        result = self.run_vm("--anywhere", "-g", guest("bulk"))
        self.check(result, 0, BULK)

    def test_several_machines_and_their_files(self):
        """Relative paths, files for all, copies of them, and whose they are."""
        notes = b"water the flowers\n"
        self.write("notes.txt", notes)
        os.chmod(self.dir, 0o755)
        who = {}
        if os.geteuid() == 0 and others_may_run():
            who = {"user": 65534, "group": 65534, "extra_groups": []}
            os.chown(self.dir, 65534, 65534)
        result = self.run_vm("--anywhere", "-g", sample("files"), sample("files"), sample("hello"), "-f", "./notes.txt",
                             "--files-dir", "kept", "--label", "always", umask=0o077, **who)
        self.check(result, 0)
        self.assertIn(b"hello| Hello, world!\n", result.out)
        self.assertEqual(result.out.count(b"read byte by byte, 38 of 38"), 2)
        self.assertEqual(contents(self.path("notes.txt")), notes)
        for name in ("1-files", "2-files#2"):
            self.assertEqual(contents(self.path("kept", name, "notes.txt")), notes + b"This line is only in my copy.\n")
            info = os.stat(self.path("kept", name, "report.txt"))
            self.assertEqual((info.st_uid, info.st_mode & 0o777), (who.get("user", os.geteuid()), 0o600))

    def test_missing_image(self):
        self.check(self.run_vm("--anywhere", "-g", "missing.img"), EXIT_IMAGE, b"", "missing.img")

    def test_timeout(self):
        result = self.run_vm("--anywhere", "-g", guest("spin"), "--timeout", "0.5")
        self.check(result, EXIT_TIMEOUT, b"a line\nunfinished", "still running after 0.5 s")

    def test_signal(self):
        run = self.start("--anywhere", "-g", guest("spin"))
        run.wait_for(b"unfinished")
        run.signal(signal.SIGTERM)
        self.check(run.finish(), 128 + signal.SIGTERM, b"a line\nunfinished", "ended by Terminated")

    def test_output_that_nobody_reads(self):
        read_end, write_end = os.pipe()
        os.close(read_end)
        with os.fdopen(write_end, "wb") as closed:
            self.check(self.run_vm("--anywhere", "-g", guest("bulk"), stdout=closed), EXIT_IO)

    def test_killed(self):
        """Nothing stays behind."""
        run = self.start("--anywhere", "-g", guest("spin"))
        run.wait_for(b"unfinished")
        with open(f"/proc/{run.process.pid}/task/{run.process.pid}/children") as file:
            emulator = os.pidfd_open(int(file.read().split()[0]))
        self.addCleanup(os.close, emulator)
        run.process.kill()
        self.assertTrue(select.select([emulator], [], [], DEADLINE)[0], "the emulator still runs")


class TerminalTest(EmulatedCase):
    def wait_until_taken(self, run):
        for _ in range(6000):
            if not run.settings()[LOCAL_FLAGS] & termios.ICANON:
                return
            run.output.pump(0.01)
        self.fail("the terminal still gathers lines")

    def key(self, run, key, answer):
        seen = len(run.screen)
        run.send(key)
        run.wait_for(lambda got: answer in got[seen:])

    def test_keys(self):
        run = self.start_on_terminal("--anywhere", "-g", guest("keys"))
        run.wait_for(b"key? ")
        self.wait_until_taken(run)
        self.assertTrue(run.settings()[LOCAL_FLAGS] & termios.ISIG, "Ctrl-C keeps its meaning")
        self.key(run, b"a", b"got 0000000000000061\r\nkey? ")
        run.send(b"\x1a")
        run.wait_for_news(b"stopped")
        self.assertTrue(run.is_as_it_was(), "while it is stopped the terminal is the shell's")
        os.kill(run.pid, signal.SIGCONT)
        self.wait_until_taken(run)
        self.key(run, b"\n", b"got 000000000000000a\r\nkey? ")
        run.send(b"\x03")
        self.assertEqual(run.finish(), EXIT_SIGINT, run.screen)
        self.assertTrue(run.is_as_it_was(), "the terminal is as it was")
        self.assertEqual(run.screen.count(b"got"), 2, "nothing is echoed")

    def test_end_of_input(self):
        run = self.start_on_terminal("--anywhere", "-g", guest("keys"))
        run.wait_for(b"key? ")
        self.wait_until_taken(run)
        run.send(b"\x04")
        self.assertEqual(run.finish(), 0)
        self.assertIn(b"got 00000000000000ff\r\nend", run.screen)

    def test_ended_before_the_machine_is_there(self):
        run = self.start_on_terminal("--anywhere", "-g", guest("keys"))
        run.wait_for(b"emulated")
        run.send(b"\x03")
        self.assertEqual(run.finish(), EXIT_SIGINT)


class DebuggerTest(EmulatedCase):
    def test_two_machines(self):
        vm = self.offer([elf("gdb_program"), elf("gdb_program")], "--anywhere")
        self.assertNotEqual(vm.where[0], vm.where[1])
        for number in (1, 2):
            gdb = vm.gdb(number)
            self.assertIn("Breakpoint 1", gdb("break loop"))
            self.assertIn("Breakpoint 1, loop", gdb("continue"))
            before = gdb.pc()
            gdb("stepi")
            self.assertNotEqual(gdb.pc(), before)
            gdb("delete")
            self.assertIn("exited normally", gdb("continue"))
        self.assertEqual(vm.run.finish().code, 0)

    def test_unix_socket_of_all(self):
        """A place in the file system; who comes second is refused, and the connection's end is one."""
        run = self.start("-g", guest("spin"), "--anywhere", "--gdb-all", "unix:" + self.path("socket"))
        run.wait_for(b"waits for gdb", "err")
        first, second = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        for one in (first, second):
            self.addCleanup(one.close)
            one.settimeout(DEADLINE)
        first.connect(self.path("socket"))
        first.sendall(b"+$?#3f")
        answer = b""
        while b"$T05" not in answer:
            part = first.recv(100)
            self.assertTrue(part, answer)
            answer += part
        second.connect(self.path("socket"))
        run.wait_for(b"refused a second debugger", "err")
        first.close()
        run.wait_for(b"connection is closed", "err")
        run.signal(signal.SIGINT)
        self.assertEqual(run.finish().code, EXIT_SIGINT)
        self.assertFalse(os.path.exists(self.path("socket")))


class RefusedTest(Case):
    """What cannot be is said at once."""

    def test_wrong_command_line(self):
        self.check(self.run_vm("--anywhere", "-g", guest("spin"), "--memory", 3), EXIT_USAGE, b"")

    def test_pseudo_terminals(self):
        self.check(self.run_vm("--anywhere", "-g", guest("spin"), "--serial", "pty"), EXIT_USAGE, b"", "--serial pty")

    def test_without_the_emulator(self):
        result = self.run_vm("--anywhere", "-g", guest("spin"), env={"PATH": self.dir})
        self.check(result, EXIT_HOST, b"", "apt-get install qemu-system-x86")

    def test_without_the_kernel(self):
        program = shutil.copy(PROGRAM, self.dir)
        done = subprocess.run([program, "--anywhere", "-g", guest("spin")], capture_output=True, text=True)
        self.assertEqual(done.returncode, EXIT_HOST)
        self.assertIn("run tools/anywhere", done.stderr)

    def test_port_that_is_taken(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            result = self.run_vm("--anywhere", "-g", guest("spin"), "--gdb", taken.getsockname()[1])
        self.check(result, EXIT_HOST, b"", "in use")


if __name__ == "__main__":
    if not os.path.exists(KERNEL):
        print(f"SKIP: the whole file: {KERNEL} is missing; tools/anywhere fetches it")
        sys.exit(77)
    if os.path.exists("/dev/kvm"):
        if not may_mount():
            print("SKIP: the whole file: this user may not hide /dev/kvm in a mount namespace")
            sys.exit(77)
        own_mounts()
        mount("/dev/null", "/dev/kvm", flags=MS_BIND)
    run_tests()
