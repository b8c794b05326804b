"""tools/gdbtest: scripts that pass, that fail and that hang, reported in TAP."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from hypervisor import DEADLINE, PROGRAM, Case, guest, main, sample, sample_source  # noqa: E402

GDBTEST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "gdbtest")


class GdbtestTest(Case):
    def gdbtest(self, *arguments, code=0):
        done = subprocess.run([sys.executable, "-B", GDBTEST, "--hypervisor", PROGRAM, *arguments],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=DEADLINE, check=False)
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
        self.assertTrue(lines[2].startswith(f"not ok 1 - {script}: "), lines)
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

    def test_options_go_on_to_the_hypervisor(self):
        script = self.script("rsp.py", "import gdb\nassert int(gdb.parse_and_eval('$rsp')) == (8 << 20) - 8\n")
        self.gdbtest(sample("hello", "elf"), script, "--", "--memory", "8")
        self.gdbtest(sample("hello", "elf"), script, "--", "--memory", "4", code=1)

    def test_missing_files(self):
        self.assertIn("no file", self.gdbtest("none.img", "none.gdb", code=2).stderr)


if __name__ == "__main__":
    main()
