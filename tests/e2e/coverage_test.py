"""--coverage and --profile, and coverage_report, which writes their files."""

import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import GdbCase, Offered  # noqa: E402
from hypervisor import DEADLINE, EXIT_CRASHED, EXIT_HOST, EXIT_IO, EXIT_TIMEOUT, EXIT_USAGE, PROGRAM  # noqa: E402
from hypervisor import SOURCE, Case, contents, guest, main, sample  # noqa: E402

REPORT = os.path.join(SOURCE, "tools", "coverage_report")
ELF = guest("gdb_program")[: -len("img")] + "elf"
PROGRAM_C = os.path.join(SOURCE, "tests", "guests", "gdb_program.c")


def lines_of(text):
    """File -> line -> count, and function -> calls, of a tracefile."""
    files, functions, path = {}, {}, None
    for line in text.splitlines():
        kind, _, value = line.partition(":")
        if kind == "SF":
            path = value
        elif kind == "DA":
            number, count = value.split(",")
            files.setdefault(path, {})[int(number)] = int(count)
        elif kind == "FNDA":
            calls, name = value.split(",")
            functions[name] = int(calls)
    return files, functions


def line_with(text):
    """The number of the line of gdb_program.c that has this text."""
    with open(PROGRAM_C) as file:
        return next(number for number, line in enumerate(file, 1) if text in line)


def total(folded):
    return sum(int(line.rpartition(" ")[2]) for line in folded.splitlines())


class CoverageCase(Case):
    def text(self, name):
        return contents(os.path.join(self.dir, name)).decode()

    def cover(self, *arguments, code=0, accel="auto", **options):
        return self.check(self.run_vm("--accel", accel, *arguments, **options), code)

    def instructions(self, result):
        return int(re.search(r"instructions: (\d+)", result.messages)[1])


class CoverageTest(CoverageCase):
    def test_lines_and_functions(self):
        self.cover("-g", ELF, "--coverage", "c.info")
        files, functions = lines_of(self.text("c.info"))
        lines = files[PROGRAM_C]
        self.assertEqual(functions, {"add": 6, "factorial": 5, "with_local": 1, "loop": 1, "program": 1})
        for text, count in (("total += sum", 6), ("if (n <= 1)", 5), ("return 1;", 1), ("return n *", 4),
                            ("sum = add(sum, i)", 5), ("local += 100", 1)):
            self.assertEqual(lines[line_with(text)], count, text)

    def test_lines_that_were_not_executed(self):
        self.cover("-g", sample("primes", "elf"), "--coverage", "c.info")
        files, functions = lines_of(self.text("c.info"))
        self.assertEqual(functions["getline"], 0)
        self.assertGreater(functions["printf"], 0)
        counts = [count for lines in files.values() for count in lines.values()]
        self.assertIn(0, counts)
        self.assertTrue(all(os.path.isabs(path) for path in files))

    def test_addresses_of_a_flat_image(self):
        done = self.cover("-g", sample("fibonacci"), "--coverage", "c.info", "--stats")
        files, _ = lines_of(self.text("c.info"))
        self.assertEqual(list(files), [sample("fibonacci")])
        self.assertEqual(sum(files[sample("fibonacci")].values()), self.instructions(done))
        self.assertIn("is no ELF file", done.messages)
        lines = subprocess.run([REPORT, "--image", sample("fibonacci", "elf"), "c.info"], cwd=self.dir, timeout=DEADLINE,
                               stdout=subprocess.PIPE, text=True, check=True).stdout
        self.assertGreater(lines_of(lines)[1]["fibonacci"], 100)

    def test_generated_code_counts_the_same(self):
        for name in ("fibonacci", "usermode", "echo"):
            for accel in ("soft", "soft,jit=off"):
                self.cover("-g", sample(name, "elf"), "--coverage", f"{accel}.info", "--profile", f"{accel}.folded",
                           accel=accel, input=b"one\ntwo\n")
            for suffix in ("info", "folded"):
                self.assertEqual(self.text(f"soft.{suffix}"), self.text(f"soft,jit=off.{suffix}"), name)

    def test_several_machines(self):
        self.cover("-g", ELF, sample("hello", "elf"), "--coverage", "c%n.info")
        self.assertIn("add", lines_of(self.text("c1.info"))[1])
        self.assertIn("main", lines_of(self.text("c2.info"))[1])
        refused = self.cover("-g", ELF, ELF, "--coverage", "c.info", code=EXIT_USAGE)
        self.assertIn("put %n", refused.messages)

    def test_kvm_cannot_count(self):
        for option in ("--coverage", "--profile"):
            refused = self.cover("-g", ELF, option, "c", accel="kvm", code=EXIT_USAGE)
            self.assertIn("which KVM cannot; leave out --accel kvm", refused.messages)

    def test_every_end_leaves_a_file(self):
        self.cover("-g", sample("crash", "elf"), "--coverage", "c.info", code=EXIT_CRASHED)
        self.assertEqual(lines_of(self.text("c.info"))[1]["main"], 1)
        self.cover("-g", guest("spin"), "--coverage", "c.info", "--timeout", "0.3", code=EXIT_TIMEOUT)
        self.assertIn(guest("spin"), lines_of(self.text("c.info"))[0])

    def test_a_replay_counts_the_same(self):
        self.cover("-g", sample("echo"), "--record", "run.mhr", "--coverage", "c.info", "--profile", "c.folded",
                   input=b"one\ntwo\n")
        self.cover("--replay", "run.mhr", "--coverage", "again.info", "--profile", "again.folded")
        self.assertEqual(list(lines_of(self.text("c.info"))[0].values()),
                         list(lines_of(self.text("again.info"))[0].values()))
        self.assertEqual(self.text("c.folded"), self.text("again.folded"))

    def test_files_that_cannot_be_written(self):
        for path, code, text in (("no/c.info", EXIT_IO, "cannot open it: No such file"), (ELF, EXIT_USAGE, "overwritten"),
                                 ("/dev/full", EXIT_IO, "failed with exit status 1")):
            for option in ("--coverage", "--profile"):
                self.assertIn(text, self.cover("-g", ELF, option, path, code=code).messages)

    def test_without_coverage_report(self):
        alone = shutil.copy(PROGRAM, os.path.join(self.dir, "alone"))
        done = subprocess.run([alone, "-g", ELF, "--coverage", "c.info"], cwd=self.dir, stderr=subprocess.PIPE, text=True,
                              timeout=DEADLINE, check=False)
        self.assertEqual(done.returncode, EXIT_HOST)
        self.assertIn("--coverage needs mini_hypervisor-coverage-report", done.stderr)


class ProfileTest(CoverageCase):
    def test_folded_stacks(self):
        done = self.cover("-g", ELF, "--profile", "p.folded", "--stats")
        folded = self.text("p.folded")
        self.assertEqual(total(folded), self.instructions(done))
        stacks = [line.rpartition(" ")[0] for line in folded.splitlines()]
        self.assertEqual(len(set(stacks)), len(stacks))
        self.assertIn("_start;program;loop;add", stacks)
        self.assertIn("_start;program" + 5 * ";factorial", stacks)

    def test_names_can_be_added(self):
        self.cover("-g", sample("fibonacci"), "--profile", "plain")
        self.cover("-g", sample("fibonacci", "elf"), "--profile", "named")
        command = [REPORT, "--format", "folded", "--image", sample("fibonacci", "elf"), "plain"]
        later = subprocess.run(command, cwd=self.dir, stdout=subprocess.PIPE, text=True, check=True, timeout=DEADLINE)
        self.assertTrue(self.text("plain").startswith("0x"))
        self.assertEqual(total(self.text("plain")), total(self.text("named")))
        self.assertIn(";fibonacci;fibonacci ", later.stdout)

    def test_callgrind(self):
        done = self.cover("-g", ELF, "--profile", "callgrind.out.1", "--stats")
        text = self.text("callgrind.out.1")
        self.assertIn(f"summary: {self.instructions(done)}\n", text)
        own = sum(int(cost) for cost in re.findall(r"^\d+ (\d+)$", re.sub(r"calls=.*\n.*\n", "", text), re.M))
        self.assertEqual(own, self.instructions(done))
        program = re.search(r"(?s)\nfn=program\n.*?(\n\n|$)", text)[0]
        self.assertRegex(program, rf"cfi={re.escape(PROGRAM_C)}\ncfn=factorial\ncalls=1 {line_with('factorial(int n)') + 1}")
        factorial = re.search(r"(?s)\nfn=factorial\n.*?(\n\n|$)", text)[0]
        self.assertIn("cfn=factorial\ncalls=4 ", factorial)


class ReportTest(Case):
    """coverage_report by hand, with nonsense too."""

    def report(self, *arguments, text=""):
        return subprocess.run([REPORT, *arguments], input=text, cwd=self.dir, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=DEADLINE, check=False)

    def test_nonsense_is_refused(self):
        for text in ("DA:x,y\n", "DA:5\n", "CALL:1,2\n", "CALL:a,b,c,d\n"):
            done = self.report(text=text)
            self.assertEqual(done.returncode, 1, text)
            self.assertRegex(done.stderr, r"coverage_report: line 1 .*")
        for text in ("", "\n", "no tracefile\n"):
            done = self.report(text=text)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn("this is no file that mini_hypervisor --coverage has written", done.stderr)
        self.assertEqual(self.report("nothing").stderr, "coverage_report: nothing: No such file or directory\n")

    def test_paths_that_are_no_text(self):
        """Whatever the locale is, the bytes stay as they are."""
        for encoding in ("utf-8:strict", "ascii:strict"):
            done = subprocess.run([REPORT], input=b"SF:/a \xc3\xa9\xff.img\nDA:0,1\n", capture_output=True, cwd=self.dir,
                                  timeout=DEADLINE, check=False, env={**os.environ, "PYTHONIOENCODING": encoding})
            self.assertIn(b"SF:/a \xc3\xa9\xff.img\nDA:0,1\n", done.stdout, done.stderr)

    def test_paths_may_be_any_bytes(self):
        done = subprocess.run([REPORT], input=b"SF:/\xe4/guest.img\nDA:0,1\n", stdout=subprocess.PIPE, timeout=DEADLINE,
                              env=dict(os.environ, PYTHONIOENCODING="ascii:strict"), check=True)
        self.assertIn(b"SF:/\xe4/guest.img\nDA:0,1\n", done.stdout)

    def test_images_that_take_too_long(self):
        """What reads an image has limits, and reaching one is an error."""
        tool = self.write("objdump", b"#!/bin/sh\nulimit -t >limits\nulimit -v >>limits\nkill -XCPU $$\n")
        os.chmod(tool, 0o755)
        path = f"{self.dir}:{os.environ['PATH']}"
        done = subprocess.run([REPORT, "--image", ELF], input=f"SF:{ELF}\nDA:0,1\n", cwd=self.dir, capture_output=True,
                              text=True, timeout=DEADLINE, check=False, env={**os.environ, "PATH": path})
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertEqual(done.stderr, "coverage_report: objdump was ended by SIGXCPU while it read the image\n")
        seconds, kilobytes = map(int, contents(self.path("limits")).split())
        self.assertEqual((seconds, kilobytes >> 20), (300, 4))

    def test_the_image_is_named_beforehand(self):
        """mini_hypervisor names the image in the arguments: what is read later does not matter."""
        plain = f"SF:{ELF}\nDA:0,1\nend_of_record\n"
        done = self.report("--image", "no_image", text=plain)
        self.assertIn("no_image: No such file or directory: addresses", done.stderr)
        self.assertIn("DA:0,1\n", done.stdout)
        run = self.start("--accel", "auto", "-g", guest("cat"), "--coverage", "c.info")
        run.send(b"x")
        run.wait_for(b"x")
        with open(f"/proc/{run.process.pid}/task/{run.process.pid}/children") as children:
            waiting = children.read().split()
        self.assertEqual(len(waiting), 1)
        self.assertEqual(contents(f"/proc/{waiting[0]}/cmdline"), contents(f"/proc/{run.process.pid}/cmdline"))
        run.finish()

    def test_help(self):
        self.assertIn("usage: coverage_report", self.report("--help").stdout)


class HistoryTest(GdbCase):
    def test_what_gdb_goes_back_through_counts_once(self):
        self.check(self.run_vm("--accel", "auto", "-g", ELF, "--coverage", "plain.info", "--profile", "plain.folded"), 0)
        run = self.start("--accel", "auto", "-g", ELF, "--gdb", "0", "--coverage", "c.info", "--profile", "c.folded")
        vm = Offered(self, run)
        gdb = vm.gdb(file=ELF)
        gdb("break with_local")
        gdb("continue")
        gdb("delete")
        gdb("break factorial")
        for _ in range(3):
            self.assertIn("factorial", gdb("reverse-continue"))
        gdb("reverse-stepi")
        gdb("stepi")
        gdb("delete")
        gdb("continue")
        run.finish()
        for suffix in ("info", "folded"):
            self.assertEqual(contents(os.path.join(self.dir, f"c.{suffix}")),
                             contents(os.path.join(self.dir, f"plain.{suffix}")))

    def test_a_restarted_machine_is_counted_anew(self):
        self.check(self.run_vm("--accel", "auto", "-g", ELF, "--coverage", "plain.info"), 0)
        run = self.start("--accel", "auto", "-g", ELF, "--gdb", "0", "--coverage", "c.info")
        vm = Offered(self, run)
        gdb = vm.gdb(file=ELF)
        gdb("break with_local")
        gdb("continue")
        gdb("delete")
        gdb("monitor reset")
        gdb("continue")
        run.finish()
        self.assertEqual(contents(os.path.join(self.dir, "c.info")), contents(os.path.join(self.dir, "plain.info")))


if __name__ == "__main__":
    main()
