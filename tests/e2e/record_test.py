"""Recordings: --record on any processor, --replay in software, with and without gdb."""

import os
import re
import signal
import subprocess
import sys
import time
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import END_OF_HISTORY, GdbCase, Offered  # noqa: E402
from hypervisor import EXIT_CRASHED, EXIT_IMAGE, EXIT_IO, EXIT_SIGINT, EXIT_TIMEOUT, EXIT_USAGE, SOURCE  # noqa: E402
from hypervisor import DEADLINE, PATIENCE, Case, contents, guest, main, sample, sample_source  # noqa: E402

EXIT_DIFFERS = 7


class RecordCase(Case):
    def record(self, *arguments, code=0, file="run.mhr", **options):
        return self.check(self.run_vm("--record", file, *arguments, **options), code)

    def replay(self, *arguments, code=0, file="run.mhr", **options):
        return self.check(self.run_vm("--accel", "auto", "--replay", file, *arguments, **options), code)


class ReplayTest(RecordCase):
    def test_samples(self):
        for name in ("hello", "fibonacci", "paging", "usermode", "mystery"):
            with self.subTest(sample=name):
                recorded = self.record("-g", sample(name))
                again = self.replay()
                self.assertEqual(again.out, recorded.out)
                self.assertRegex(again.messages, rf"VM 1 \({name}\): as recorded, after \d+ instructions: halted")

    def test_input_comes_from_the_recording(self):
        recorded = self.record("-g", sample("echo"), input=b"one\ntwo\n")
        self.assertEqual(self.replay(input=b"something else\n").out, recorded.out)

    def test_files_come_from_the_recording(self):
        files = [sample_source("files", name) for name in ("notes.txt", "flowers.png")]
        recorded = self.record("-g", sample("files"), "-f", *files)
        os.rename(os.path.join(self.dir, "vm-files"), os.path.join(self.dir, "gone"))
        self.assertEqual(self.replay().out, recorded.out)
        self.assertFalse(os.path.exists(os.path.join(self.dir, "vm-files")))

    def test_a_crash_is_a_good_end_of_a_replay(self):
        recorded = self.record("-g", sample("crash"), code=EXIT_CRASHED)
        again = self.replay()
        self.assertEqual(again.out, recorded.out)
        self.assertIn("as recorded", again.messages)
        self.assertIn("page fault", again.messages)

    def test_a_timeout(self):
        recorded = self.record("-g", guest("spin"), "--timeout", 0.5 * PATIENCE, code=EXIT_TIMEOUT)
        self.assertEqual(self.replay().out, recorded.out)

    def test_string_instructions(self):
        recorded = self.record("-g", guest("strings"), input=bytes(range(1, 200)))
        self.assertEqual(self.replay().out, recorded.out)

    def test_several_machines(self):
        self.check(self.run_vm("--record", "run.mhr", "-g", sample("hello"), sample("fibonacci")), EXIT_USAGE,
                   err=["%n"])
        self.record("-g", sample("hello"), sample("fibonacci"), file="run-%n.mhr")
        self.assertEqual(self.replay(file="run-1.mhr").out, b"Hello, world!\n")
        self.assertIn(b"fibonacci", self.replay(file="run-2.mhr").out)

    def test_another_run_is_told(self):
        """Answers of one run in front of another guest."""
        self.record("-g", sample("echo"), input=b"one\n")
        whole = contents(os.path.join(self.dir, "run.mhr"))
        self.record("-g", sample("hello"), file="hello.mhr")
        image = contents(os.path.join(self.dir, "hello.mhr"))
        log = whole.index(b"LOG ")
        end = image.index(b"LOG ") if b"LOG " in image else image.index(b"END ")
        self.write("mixed.mhr", image[:end] + whole[log:])
        again = self.replay(file="mixed.mhr", code=EXIT_DIFFERS)
        self.assertRegex(again.messages, r"not the run that was recorded: at instruction \d+")


class BrokenTest(RecordCase):
    def test_what_is_no_recording_is_refused(self):
        self.write("text", b"hello\n" * 100)
        self.write("empty", b"")
        for name in ("text", "empty", "missing", "."):
            self.check(self.run_vm("--accel", "auto", "--replay", name), EXIT_IMAGE, err=[f"recording '{name}'"])

    def test_a_file_that_is_cut_off_is_good_up_to_there(self):
        recorded = self.record("-g", sample("echo"), input=b"one\ntwo\nthree\n")
        whole = contents(os.path.join(self.dir, "run.mhr"))
        self.write("cut.mhr", whole[:-10])
        again = self.replay(file="cut.mhr")
        self.assertIn("has no end", again.messages)
        self.assertTrue(recorded.out.startswith(again.out))

    def test_a_killed_program_leaves_a_recording(self):
        run = self.start("--record", "run.mhr", "-g", sample("echo"))
        run.send(b"one\n")
        run.wait_for(b"1: one")
        end = time.monotonic() + DEADLINE
        while b"LOG " not in contents(self.path("run.mhr")):  # written soon after the guest waits; nothing says so
            self.assertLess(time.monotonic(), end)
            run.output.pump(0.01)
        run.signal(signal.SIGKILL)
        run.finish()
        again = self.replay()
        self.assertIn("killed", again.messages)

    def test_what_is_written_while_the_guest_waits_for_input(self):
        """It has begun to read: the answer that is still to come belongs behind what is written."""
        run, monitor = self.start_monitor("--record", "run.mhr")
        for number in range(1, 4):
            monitor.out(0x80, 1, number)
            end = time.monotonic() + DEADLINE
            while contents(self.path("run.mhr")).count(b"LOG ") < number:
                self.assertLess(time.monotonic(), end)
                run.output.pump(0.01)
        monitor.halt()
        recorded = self.check(run.finish())
        self.assertEqual(self.replay().out, recorded.out)

    def test_ctrl_c(self):
        run = self.start("--record", "run.mhr", "-g", sample("echo"))
        run.send(b"one\n")
        run.wait_for(b"1: one")
        run.signal(signal.SIGINT)
        recorded = self.check(run.finish(), EXIT_SIGINT)
        self.assertEqual(self.replay().out, recorded.out)

    def test_a_place_that_cannot_be_written(self):
        self.check(self.run_vm("--record", "missing/run.mhr", "-g", sample("hello")), EXIT_IO, b"", ["--record"])
        self.check(self.run_vm("--record", "/dev/full", "-g", sample("hello")), EXIT_IO,
                   err=["No space left"])

    def test_images_are_not_overwritten(self):
        self.write("hello.img", contents(sample("hello")))
        self.check(self.run_vm("--record", "hello.img", "-g", "hello.img"), EXIT_USAGE)

    def test_what_a_replay_cannot_be_given(self):
        self.record("-g", sample("hello"))
        for arguments in (("-g", sample("hello")), ("-m", "4"), ("--record", "x"), ("--gdb", "0", "--no-history")):
            self.check(self.run_vm("--accel", "auto", "--replay", "run.mhr", *arguments), EXIT_USAGE)


class ReportTest(RecordCase):
    def report(self, file):
        return subprocess.run([os.path.join(SOURCE, "tools", "recording_report"), file], cwd=self.dir,
                              capture_output=True, check=False, timeout=DEADLINE)

    def test_recording_report_of_a_crafted_file(self):
        """Its checksums are right."""
        def section(kind, inner):
            head = kind + bytes(4) + len(inner).to_bytes(8, "little")
            checksum = zlib.crc32(inner, zlib.crc32(head)).to_bytes(4, "little")
            return kind + checksum + head[8:] + inner
        start = b"mhrecord" + (1).to_bytes(8, "little")
        for kind, inner in ((b"LOG ", bytes(32) + b"\2"), (b"LOG ", bytes(32) + b"\0"), (b"MACH", b"x")):
            self.write("crafted.mhr", start + section(kind, inner))
            self.assertIn(b"recording_report: crafted.mhr: a section is shorter", self.report("crafted.mhr").stderr)
        self.write("crafted.mhr", start + section(b"END ", bytes(64) + b"\x1b[2J"))
        self.assertIn(b"end: \\x1b[2J\n", self.report("crafted.mhr").stdout)

    def test_recording_report(self):
        self.record("-g", sample("echo"), input=b"one\n")
        text = self.report("run.mhr").stdout.decode()
        self.assertIn("machine: 1 (echo), 2 MB of RAM", text)
        self.assertRegex(text, r"\d+ answers to IN from port 0xe9")
        self.assertIn("end: halted", text)
        self.assertEqual(self.report("missing").stderr, b"recording_report: missing: No such file or directory\n")


class RestartTest(RecordCase):
    """A machine that a debugger restarts while it is recorded: what counts is the run after that."""

    def test_with_another_image(self):
        """Built again meanwhile: the recording has the image that was run."""
        def prints(letter):
            return b"\xb0" + letter + b"\xe6\xe9\xf4"  # mov $letter, %al; out %al, $0xe9; hlt
        image = self.write("kernel.img", prints(b"a"))
        vm = Offered(self, self.start("--record", "run.mhr", "-g", image, "--gdb", "0"))
        gdb = vm.gdb()
        gdb("stepi")
        self.write("kernel.img", prints(b"b"))
        self.assertIn("has changed", gdb("monitor reset"))
        gdb("continue")
        self.check(vm.run.finish(), 0, b"b")
        self.assertEqual(self.replay().out, b"b")
        self.assertIn("restarted\nimage: 8192 bytes, entered at 0x0\n",
                      subprocess.run([os.path.join(SOURCE, "tools", "recording_report"), "run.mhr"], cwd=self.dir,
                                     capture_output=True, text=True, timeout=DEADLINE).stdout)


class GdbTest(GdbCase):
    """A recording under gdb, forwards and backwards."""

    def record(self, name, code=0, **options):
        self.check(self.run_vm("--record", "run.mhr", "-g", sample(name, "elf"), **options), code)

    def debug_replay(self, name):
        vm = Offered(self, self.start("--accel", "auto", "--replay", "run.mhr", "--gdb", "0", "--gdb-hold"))
        return vm, vm.gdb(file=sample(name, "elf"))

    def position(self, gdb):
        return int(re.search(r"instruction (\d+)", gdb("monitor when"))[1])

    def test_who_wrote_the_balance(self):
        self.record("mystery")
        vm, gdb = self.debug_replay("mystery")
        gdb("continue")
        self.assertIn(b"balance: 88", vm.run.wait_for(b"should be 100\n"))
        gdb("watch account.balance")
        self.assertRegex(gdb("reverse-continue"), r"(?s)Old value = 88.*New value = 100.*write_note")
        self.assertIn("do_business", gdb("backtrace"))

    def test_a_crash(self):
        self.record("crash", EXIT_CRASHED)
        vm, gdb = self.debug_replay("crash")
        self.assertIn("SIGSEGV", gdb("continue"))
        end = self.position(gdb)
        gdb("reverse-stepi")
        self.assertEqual(self.position(gdb), end - 1)
        self.assertIn("SIGSEGV", gdb("continue"))

    def test_input_comes_from_the_recording(self):
        self.record("echo", input=b"one\ntwo\n")
        vm, gdb = self.debug_replay("echo")
        gdb("break main")
        gdb("continue")
        gdb("delete")
        here = self.position(gdb)
        gdb("continue")
        vm.run.wait_for(b"2: two")
        gdb(f"monitor goto {here}")
        self.assertEqual(self.position(gdb), here)
        self.assertGreater(len(gdb("continue")), 0)
        self.assertEqual(vm.out.count(b"2: two"), 1)

    def test_the_end_of_a_run_that_was_interrupted(self):
        self.check(self.run_vm("--accel", "soft", "--record", "run.mhr", "-g", guest("spin"), "--timeout", "0.3"),
                   EXIT_TIMEOUT)
        vm = Offered(self, self.start("--accel", "auto", "--replay", "run.mhr", "--gdb", "0"))
        gdb = vm.gdb(file=False)
        self.assertRegex(gdb("continue"), END_OF_HISTORY)
        end = self.position(gdb)
        gdb("reverse-stepi")
        self.assertEqual(self.position(gdb), end - 1)
        self.assertRegex(gdb("continue"), END_OF_HISTORY)
        self.assertEqual(self.position(gdb), end)

    def test_a_recording_cannot_be_changed(self):
        self.record("hello")
        vm, gdb = self.debug_replay("hello")
        self.assertIn("error", gdb("print $rax = 5"))
        self.assertIn("error", gdb("print *(int *) 0x2000 = 5"))
        told = gdb("stepi") + gdb("monitor when")
        self.assertEqual(told.count("a recording is replayed: registers and memory cannot be changed"), 2, told)

    def test_recorded_under_gdb(self):
        vm = self.offer(sample("fibonacci", "elf"), "--record", "run.mhr")
        gdb = vm.gdb()
        gdb("break fibonacci if n == 5")
        gdb("continue")
        gdb("stepi")
        gdb("delete")
        self.assertIn("exited normally", gdb("continue"))
        recorded = vm.run.finish()
        self.check(self.run_vm("--accel", "auto", "--replay", "run.mhr"), 0, recorded.out)

    def test_a_change_ends_the_recording(self):
        vm = self.offer(sample("fibonacci", "elf"), "--record", "run.mhr")
        gdb = vm.gdb()
        gdb("break fibonacci if n == 5")
        gdb("continue")
        gdb("print n = 6")
        gdb("delete")
        gdb("continue")
        self.assertIn("the recording ends here", vm.run.finish().messages)
        self.assertIn("a debugger changed the machine", self.check(self.run_vm("--accel", "auto", "--replay",
                                                                               "run.mhr"), 0).messages)


if __name__ == "__main__":
    main()
