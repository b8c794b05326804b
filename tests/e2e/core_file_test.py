"""Core files: written when a guest crashes or times out, on a debugger's wish, and by gdb's own gcore."""

import os
import resource
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import GdbCase, Gdb, elf  # noqa: E402
from hypervisor import EXIT_CRASHED, EXIT_IO, EXIT_TIMEOUT, MB, SOURCE, SYSTEM_AREA, contents  # noqa: E402
from hypervisor import drop_file_capabilities, guest, main, sample  # noqa: E402

REPORT = os.path.join(SOURCE, "tools", "core_report")


class CoreFileTest(GdbCase):
    def look(self, program, core, *commands):
        """A gdb that has a core file before it, and what it said at first."""
        gdb = Gdb(self.dir, program)
        self.addCleanup(gdb.close)
        gdb.all(*commands)
        said = gdb(f"core-file {core}")
        self.assertNotIn("warning", said)
        return gdb, said

    def crash(self, *arguments):
        result = self.run_vm("-g", sample("crash", "elf"), "--core", "cores", *arguments)
        self.check(result, EXIT_CRASHED, err="VM 1 (crash): core file cores/1-crash.core")
        return result.messages

    def report(self, *cores):
        done = subprocess.run([REPORT, *cores], cwd=self.dir, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr

    def test_crash(self):
        messages = self.crash()
        gdb, said = self.look(sample("crash", "elf"), "cores/1-crash.core")
        self.assertIn("Program terminated with signal SIGSEGV", said)
        self.assertIn("set_grade (student=0x40000000", said)
        trace = gdb("backtrace")
        for function in ("set_grade", "record_grade", "hold_exam", "main"):
            self.assertIn(function, trace)
        self.assertIn('"Ada"', gdb("p ada"))
        self.assertIn("Cannot access memory at address 0x40000000", gdb("p *student"))
        for name in "rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip".split():
            self.assertRegex(messages, rf"\b{name} +0x{gdb.value('$' + name):016x}\b")
        self.assertEqual(os.listdir(self.path("cores")), ["1-crash.core"])

    def test_report(self):
        """The note of ours is what was said when it crashed."""
        messages = self.crash()
        code, text, _ = self.report("cores/1-crash.core")
        self.assertEqual(code, 0)
        self.assertIn(text.rstrip("\n"), messages)
        for part in ("page fault", "cr2 0x0000000040000000", "cr3 0x", "efer 0x", "code at rip:"):
            self.assertIn(part, text)

    def test_report_of_what_is_none(self):
        for name, data in (("empty", b""), ("text", b"hello\n" * 100), ("cut", contents(guest("spin"))[:64])):
            self.write(name, data)
            code, text, complaint = self.report(name)
            self.assertEqual((code, text), (1, ""))
            self.assertIn(f"core_report: {name}: ", complaint)
        self.assertEqual(self.report(sample("crash", "elf"))[0], 1)

    def test_timeout(self):
        result = self.run_vm("-g", elf("spin"), "--core", "cores", "--timeout", 1)
        self.check(result, EXIT_TIMEOUT, err="core file cores/1-spin.core")
        gdb, said = self.look(elf("spin"), "cores/1-spin.core")
        self.assertIn("Program terminated with signal SIGINT", said)
        self.assertIn("jmp", gdb("x/i $pc"))

    def test_good_end(self):
        self.check(self.run_vm("-g", sample("hello"), "--core", "cores"), 0, err="")
        self.assertEqual(os.listdir(self.path("cores")), [])

    def test_several_and_again(self):
        """One file a machine; the next run's takes its place."""
        for _ in range(2):
            result = self.run_vm("-g", sample("crash"), sample("hello"), sample("crash"), "--core", "cores")
            self.check(result, EXIT_CRASHED)
            self.assertEqual(sorted(os.listdir(self.path("cores"))), ["1-crash.core", "3-crash#3.core"])

    def test_what_cannot_be_written_leaves_nothing(self):
        def small_files():
            resource.setrlimit(resource.RLIMIT_FSIZE, (MB, MB))
        self.crash()
        before = contents(self.path("cores", "1-crash.core"))
        result = self.run_vm("-g", sample("crash"), "--core", "cores", preexec_fn=small_files)
        self.check(result, EXIT_IO, err="no core file cores/1-crash.core: File too large")
        self.assertEqual(os.listdir(self.path("cores")), ["1-crash.core"])
        self.assertEqual(contents(self.path("cores", "1-crash.core")), before)

    def test_no_directory(self):
        self.write("cores", b"")
        result = self.run_vm("-g", sample("crash"), "--core", "cores/deeper")
        self.assertIn("no directory cores/deeper for core files: Not a directory", result.messages)
        result = self.run_vm("-g", sample("crash"), "--core", "cores")
        self.check(result, EXIT_IO, err="no directory cores for core files: Not a directory")

    def test_a_directory_nobody_may_write(self):
        """It is reported at the start, not when there is a crash to save."""
        os.mkdir(self.path("cores"), 0o555)
        result = self.run_vm("-g", sample("hello"), "--core", "cores", preexec_fn=drop_file_capabilities)
        self.check(result, EXIT_IO, b"", err="no core files in cores: Permission denied")

    def save(self, image, *commands):
        """Run a debugger's commands, then save a core file; the debugger, and one that looks at the file."""
        vm = self.offer(image, "--core", "cores", "-m", "8")
        gdb = vm.gdb()
        gdb.all(*commands)
        self.assertIn("saved cores/here", gdb("monitor core here"))
        return gdb, self.look(image, "cores/here")[0]

    def test_registers_and_memory_are_those_of_the_stop(self):
        gdb, core = self.save(elf("gdb_steps"), "set $xmm3.v2_double = {1.5, -2.25}", "set $st0 = 2.75",
                              "set $fs_base = 0x123450", "set $r15 = 0x1122334455667788", "set $pc = one_out", "stepi")
        names = core("info registers").splitlines() + core("info registers float").splitlines()
        for name in [line.split()[0] for line in names if line] + ["mxcsr", "fctrl", "ftag"]:
            if name != "orig_rax":
                self.assertEqual(core(f"output/x ${name}"), gdb(f"output/x ${name}"), name)
        for name in ("$xmm3.v2_double", "$st0"):
            self.assertEqual(core(f"output {name}"), gdb(f"output {name}"))
        for area, start, end in (("ram", 0, 8 * MB), ("system", SYSTEM_AREA, SYSTEM_AREA + 0xa000)):
            for side, debugger in (("live", gdb), ("core", core)):
                debugger(f"dump binary memory {side}.{area} {start} {end}")
            self.assertEqual(contents(self.path(f"live.{area}")), contents(self.path(f"core.{area}")))

    def test_virtual_addresses(self):
        """Memory is where the guest's page tables put it, however often they do."""
        gdb, core = self.save(elf("gdb_steps"), "monitor phys on",
                              "set *(long *)0x1000010 = 0x5003", "set *(long *)0x5000 = 0x6003",
                              "set *(long *)0x6000 = 0x80000000007003", "set *(long *)0x6008 = 0x7003",
                              "set *(long *)0x7000 = 0x70a1", "monitor phys off", "maintenance flush register-cache")
        self.assertEqual(core.value("*(long *)0x7000"), 0x70a1)
        mapped = gdb("monitor map")
        headers = subprocess.run(["readelf", "-lW", "cores/here"], cwd=self.dir, capture_output=True, text=True,
                                 timeout=60).stdout
        for line in (line for line in mapped.splitlines() if " -> " in line):
            start, physical = line.split("-")[0], int(line.split()[2], 16)
            if physical < 8 * MB or SYSTEM_AREA <= physical < SYSTEM_AREA + 0xa000:
                self.assertRegex(headers, rf"LOAD +0x[0-9a-f]+ {start} 0x{physical:016x}")

    def test_names(self):
        vm = self.offer(elf("gdb_steps"), "--core", "cores")
        gdb = vm.gdb()
        for name in ("../evil", "a/b", ".", "..", "/tmp/evil", "x" * 300):
            self.assertIn("a core file cannot be called", gdb(f"monitor core {name}"))
        self.assertIn("saved cores/core", gdb("monitor core"))
        self.assertEqual(os.listdir(self.path("cores")), ["core"])

    def test_without_a_directory(self):
        vm = self.offer(elf("gdb_steps"))
        self.assertIn("start with --core DIR", vm.gdb()("monitor core x"))

    def test_gdb_records_by_itself(self):
        """As docs/debugging.md says, after the same setting as for gcore."""
        vm, gdb = self.debug(sample("primes", "elf"))
        gdb.all("break main", "continue")
        self.assertFails(gdb("record full"), "the current architecture doesn't support record function")
        gdb.all("set osabi GNU/Linux", "record full", "stepi 20")
        self.assertIn("Active record target: record-full", gdb("info record"))
        gdb("reverse-stepi 20")
        self.assertIn("main", gdb("frame"))
        gdb("record stop")
        self.assertRegex(gdb("info registers fs_base"), "^fs_base ")
        gdb("set osabi auto")
        self.assertIn("fs_base", gdb("info registers"))

    def test_gcore(self):
        vm = self.offer(sample("primes", "elf"))
        gdb = vm.gdb()
        gdb.all("break main", "continue")
        self.assertFails(gdb(f"gcore {self.path('saved')}"), "Can't create a corefile")
        gdb("set osabi GNU/Linux")
        self.assertIn("process 1", gdb("info proc"))
        self.assertIn("Saved corefile", gdb(f"gcore {self.path('saved')}"))
        gdb("set osabi auto")
        core, said = self.look(sample("primes", "elf"), "saved", "set osabi GNU/Linux")
        self.assertIn("main ()", said)
        for debugger, name in ((gdb, "live"), (core, "core")):
            debugger(f"dump binary memory {name} 0 {2 * MB}")
        self.assertEqual(contents(self.path("live")), contents(self.path("core")))


if __name__ == "__main__":
    main()
