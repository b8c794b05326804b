"""tools/gdbtest: scripts that pass, that fail and that hang, reported in TAP."""

import os
import select
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from hypervisor import DEADLINE, PATIENCE, PROGRAM, Case, Output, contents, guest, main  # noqa: E402
from hypervisor import sample, sample_source  # noqa: E402

GDBTEST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "gdbtest")


class GdbtestTest(Case):
    def gdbtest(self, *arguments, code=0, **more):
        done = subprocess.run([sys.executable, "-B", GDBTEST, "--hypervisor", PROGRAM, *arguments],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              encoding="utf-8", errors="surrogateescape", timeout=DEADLINE, check=False, **more)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def script(self, name, text):
        path = self.path(name)
        with open(path, "w", encoding="utf-8") as script:
            script.write(text)
        return path

    def test_scripts_of_the_samples_pass(self):
        for name, scripts in (("crash", ["backtrace.gdb", "watch.gdb"]), ("hello", ["first_byte.py"])):
            paths = [sample_source(name, "tests", script) for script in scripts]
            lines = self.gdbtest(sample(name, "elf"), *paths).stdout.splitlines()
            self.assertEqual(lines[:2], ["TAP version 13", f"1..{len(paths)}"])
            self.assertEqual(lines[2:], [f"ok {i} - {path}" for i, path in enumerate(paths, 1)])

    def test_symbols_come_from_the_elf_file_beside_a_flat_image(self):
        script = self.script("main.gdb", "break main\ncontinue\nbacktrace\n")
        self.gdbtest(sample("hello", "img"), script)

    def test_failing_command(self):
        script = self.script("bad.gdb", "print no_such_thing\n")
        lines = self.gdbtest(sample("hello", "elf"), script, code=1).stdout.splitlines()
        self.assertEqual(lines[2], f"not ok 1 - {script}: a command of the script failed: "
                                   "No symbol \"no_such_thing\" in current context.")
        self.assertTrue(any("no_such_thing" in line for line in lines[3:]), lines)
        self.assertTrue(all(line.startswith("# ") for line in lines[3:]), lines)

    def test_failing_python(self):
        script = self.script("bad.py", "raise ValueError('as it should')\n")
        self.assertIn("as it should", self.gdbtest(sample("hello", "elf"), script, code=1).stdout)

    def test_other_output_than_expected(self):
        script = self.script("one.gdb", "print 1\n")
        self.script("one.expected", "$1 = 2\n")
        answer = self.gdbtest(sample("hello", "elf"), script, code=1).stdout
        self.assertIn("# -$1 = 2\n", answer)
        self.assertIn("# +$1 = 1\n", answer)

    def test_expected_output_is_written_and_then_met(self):
        script = self.script("one.gdb", "print 1\n")
        self.gdbtest("--write", sample("hello", "elf"), script)
        self.gdbtest(sample("hello", "elf"), script)

    def test_endless_guest_is_ended(self):
        script = self.script("endless.gdb", "continue\n")
        answer = self.gdbtest("--timeout", "2", guest("spin"), script, code=1).stdout
        self.assertIn(f"not ok 1 - {script}: still running after 2 s", answer)

    def test_guest_that_does_not_start(self):
        script = self.script("any.gdb", "print 1\n")
        image = self.script("empty.img", "")
        self.assertIn("is empty", self.gdbtest(image, script, code=1).stdout)

    def assert_gone(self, pid):
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        self.addCleanup(os.close, fd)
        if not select.select([fd], [], [], 1)[0]:
            signal.pidfd_send_signal(fd, signal.SIGKILL)
            self.fail(f"process {pid} is left")

    def test_guest_that_is_never_ready_is_ended(self):
        script = self.script("any.gdb", "print 1\n")
        program = self.script("never_ready", f"#!/bin/sh\necho $$ >{self.path('pid')}\nexec sleep 1000\n")
        os.chmod(program, 0o755)
        answer = self.gdbtest("--hypervisor", program, "--timeout", str(PATIENCE), guest("spin"), script, code=1).stdout
        self.assertIn("the guest was not ready in time", answer)
        self.assert_gone(int(contents(self.path("pid"))))

    def test_signals_end_everything(self):
        """gdb tells through a FIFO who runs: itself, and the machine, which is its connection's other side."""
        fifo = self.path("fifo")
        os.mkfifo(fifo)
        reader = os.open(fifo, os.O_RDWR)  # so that it has no end
        self.addCleanup(os.close, reader)
        script = self.script("endless.py", f"import os\nprint(os.getpid(), os.getppid(), file=open({fifo!r}, 'w'), "
                                           "flush=True)\ngdb.execute('continue')\n")
        for number in (signal.SIGINT, signal.SIGTERM):
            run = subprocess.Popen([sys.executable, "-B", GDBTEST, "--hypervisor", PROGRAM, "--timeout", "1000",
                                    guest("spin"), script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self.addCleanup(run.communicate)
            self.addCleanup(run.kill)
            pid, parent = map(int, Output(fifo=reader).wait_for("fifo", b"\n").split())
            self.assertEqual(parent, run.pid)
            started = contents(f"/proc/{parent}/task/{parent}/children").split()
            self.assertIn(str(pid).encode(), started)
            self.assertEqual(len(started), 2)
            run.send_signal(number)
            out, err = run.communicate(timeout=DEADLINE)
            self.assertEqual((run.returncode, out, err), (128 + number, "TAP version 13\n1..1\n", ""))
            for child in started:
                self.assert_gone(int(child))

    def test_options_go_on_to_the_hypervisor(self):
        script = self.script("rsp.py", "import gdb\nassert int(gdb.parse_and_eval('$rsp')) == (8 << 20) - 8\n")
        self.gdbtest(sample("hello", "elf"), script, "--", "--memory", "8")
        self.gdbtest(sample("hello", "elf"), script, "--", "--memory", "4", code=1)

    def test_paths_may_be_any_bytes(self):
        directory = self.path("\udce4 '")
        os.mkdir(directory)
        guest_path = shutil.copy(sample("hello", "elf"), directory)
        script = self.script(os.path.join(directory, "\u2192.gdb"), "print $pc == (long) _start\necho \u2192\n")
        environment = dict(os.environ, PYTHONIOENCODING="ascii:strict")
        self.assertIn(f"ok 1 - {script}\n", self.gdbtest(guest_path, script, env=environment).stdout)

    def test_missing_files(self):
        self.assertIn("no file", self.gdbtest("none.img", "none.gdb", code=2).stderr)


if __name__ == "__main__":
    main()
