"""--perf-map: perf, and gdb on the program itself, see which guest code generated code was made from."""

import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import Gdb  # noqa: E402
from hypervisor import (  # noqa: E402
    DEADLINE, EXIT_HOST, EXIT_TIMEOUT, PROGRAM, SOURCE, Case, guest, main, sample)

SOFT = ("--accel", "soft", "--perf-map")


class PerfMapTest(Case):
    def setUp(self):
        super().setUp()
        # whatever MH_JIT says
        self.arguments = [PROGRAM, *SOFT]

    def started(self, *arguments, **options):
        """A process that has ended: what it printed, and its map."""
        process = subprocess.Popen([*self.arguments, *arguments], cwd=self.dir, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options)
        path = f"/tmp/perf-{process.pid}.map"
        self.addCleanup(lambda: os.path.exists(path) and os.remove(path))
        _, messages = process.communicate(timeout=DEADLINE)
        return process.returncode, messages.decode(), path

    def test_names(self):
        code, messages, path = self.started("-g", sample("compute"))
        self.assertEqual((code, messages), (0, ""))
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        with open(path) as file:
            lines = file.read().splitlines()
        self.assertEqual(sum(line.endswith("guest:enter_and_leave") for line in lines), 1)
        spans = []
        for line in lines:
            start, size = re.fullmatch(r"([0-9a-f]+) ([0-9a-f]+) guest:(?:0x[0-9a-f]+|enter_and_leave)", line).groups()
            spans.append((int(start, 16), int(size, 16)))
        self.assertGreater(len(spans), 6)
        spans.sort()
        for (start, size), (following, _) in zip(spans, spans[1:]):
            self.assertLessEqual(start + size, following)

    def test_interpreter_names_nothing(self):
        self.arguments = [PROGRAM, "--accel", "soft,jit=off", "--perf-map"]
        code, _, path = self.started("-g", sample("compute"))
        self.assertEqual(code, 0)
        self.assertEqual(os.path.getsize(path), 0)

    def test_a_file_that_is_there_is_replaced(self):
        """A link there leads nowhere."""
        with open(self.path("other"), "w") as file:
            file.write("mine")

        def plant():
            os.symlink(self.path("other"), f"/tmp/perf-{os.getpid()}.map")
        code, _, path = self.started("-g", sample("compute"), preexec_fn=plant)
        self.assertEqual(code, 0)
        self.assertFalse(os.path.islink(path))
        with open(self.path("other")) as file:
            self.assertEqual(file.read(), "mine")

    def test_what_cannot_be_replaced(self):
        code, messages, path = self.started("-g", sample("compute"),
                                            preexec_fn=lambda: os.mkdir(f"/tmp/perf-{os.getpid()}.map"))
        os.rmdir(path)
        self.assertEqual(code, EXIT_HOST)
        self.assertIn(f"--perf-map: cannot create '{path}', where perf looks for it: File exists", messages)

    def test_perf(self):
        if shutil.which("perf") is None:
            self.skipTest("perf is not installed")
        record = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "2000", "-o", self.path("data"), "--",
                  "sh", "-c", 'echo $$ >pid; exec "$@"', "sh"]
        done = subprocess.run([*record, *self.arguments, "-g", guest("spin"), "--timeout", "0.5"], cwd=self.dir,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=DEADLINE, check=False)
        if b"ermission" in done.stderr:
            self.skipTest("perf may not be used here")
        self.assertEqual(done.returncode, EXIT_TIMEOUT, done.stderr)
        report = subprocess.run(["perf", "report", "-i", self.path("data"), "--stdio", "--sort", "sym"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=DEADLINE, check=True).stdout.decode()
        with open(self.path("pid")) as file:
            os.remove(f"/tmp/perf-{int(file.read())}.map")
        self.assertRegex(report, r"guest:0x[0-9a-f]+")

    def test_gdb(self):
        gdb = Gdb(self.dir, PROGRAM)
        self.addCleanup(gdb.close)
        gdb("source " + os.path.join(SOURCE, "tools", "dev", "guest_address.py"))
        self.assertIn("No symbol", gdb("guest-address no_such_symbol"))
        gdb("set args " + " ".join([*SOFT, "-g", guest("spin")]))
        gdb("handle SIGUSR1 nostop noprint pass")  # a kick
        gdb("break jit_enter")
        gdb("ignore 1 8")  # the first time, pieces are linked with each other
        self.assertIn("jit_enter", gdb("run"))
        self.addCleanup(os.remove, f"/tmp/perf-{int(gdb('python print(gdb.selected_inferior().pid)'))}.map")
        self.assertIn("is not in generated code", gdb("guest-address"))
        gdb("delete")
        wanted = re.compile(r"0x[0-9a-f]+: guest:0x[0-9a-f]+, from 0x[0-9a-f]+ on")
        for _ in range(50):  # how far the guest's code is depends on the build
            gdb("stepi 20")
            told = gdb("guest-address")
            if wanted.search(told):
                return
        self.fail(told)


if __name__ == "__main__":
    main()
