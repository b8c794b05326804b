"""The commands that tools/gdb/mini_hypervisor.py adds to gdb."""

import os
import pty
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import SETTINGS, Gdb, GdbCase, Offered, elf  # noqa: E402
from hypervisor import DEADLINE, EXIT_CRASHED, SOURCE, Output, contents, guest, main, on, sample  # noqa: E402

SCRIPT = os.path.join(SOURCE, "tools", "gdb", "mini_hypervisor.py")

# A letter for the guest `mistakes`, and the beginnings of the causes that are found likely.
MISTAKES = {
    "o": ["stack overflow: rsp 0x1f", "endless recursion: recurse is on the stack again and again"],
    "O": ["stack overflow: rsp 0x10008 lies in .text of the program"],
    "r": ["stack overflow: rsp 0xffffffffffff", "endless recursion: recurse"],
    "n": ["null function pointer: called from 0x10"],
    "N": ["null pointer: the address is 0x8; what was accessed is 8 bytes behind address 0"],
    "w": ["wrong function pointer: called from 0x10"],
    "d": ["jump into data: rip 0x12020 lies in .data (data)", "wrong function pointer: called from 0x10"],
    "c": ["jump into data: rip 0x11", "wrong function pointer: called from 0x10"],
    "p": ["wrong return address: a ret took it from the stack"],
    "P": ["wrong pop: ret takes 0x6f77206f6c6c6568 (the characters 'hello wo') from the stack at 0x1f"],
    "t": ["overwritten pointer: rax consists of the characters 'abcdef'", "wild pointer"],
    "m": ["overwritten code: the bytes at rip are not those of the program's file"],
    "e": ["beyond the end: at is 0x200000, and memory is mapped from 0x0 to 0x200000"],
    "q": ["overflow: the quotient of rdx:rax and ecx does not fit"],
    "a": ["unaligned: movaps needs an address that is a multiple of 16, not 0x100008"],
    "g": ["IDT: entry 200 is missing"],
    "i": ["ud2: an invalid opcode", "IDT: there is no handler for any exception"],
    "f": ["wrong pop: iretq takes 0x10 for rip from the stack at 0x1f"],
    "s": ["MSR 0x12345 does not exist, or does not take this value"],
    "R": ["control register: the value has a reserved bit"],
    "u": ["unknown instruction: rip is in the middle of one"],
    "b": ["int3: one that is in the program"],
    "v": ["CR0.EM or CR0.TS is set"],
    "l": ["wrong stack pointer: rsp 0x7000000000 is not mapped"],
}

# The same for the guest `faults`.
FAULTS = {
    "d": ["division by zero: ecx is 0"],
    "u": ["ud2: "],
    "g": ["wild pointer: the operand's address 0x8000000000000000 is not canonical"],
    "G": ["wrong selector 0x48: the GDT (limit 0x37)"],
    "s": ["wrong stack pointer: rsp 0x8000000000001000 is no address"],
    "k": ["ring 3 in a page of ring 0: the user bit is missing in PT[0]"],
    "K": ["not allowed in ring 3: cli"],
    "o": ["not allowed in ring 3: out"],
    "t": ["ud2: an invalid opcode", "no IDT: its limit is 0x0"],
    "m": ["wrong page table: it leads to a physical address where the machine has no memory"],
    "x": ["jump into data: the page is not executable", "wrong jump: "],
    "W": ["write to a read-only page: the write bit is missing in PD[0]"],
    "R": ["wrong page table: the last entry of the walk has a bit set that must be 0"],
    "a": ["SMAP: put stac before the access"],
    "z": ["the end is missing: a guest ends with hlt"],
}


class ExtensionCase(GdbCase):
    def load(self, image, *arguments, **options):
        vm, gdb = self.debug(image, *arguments, **options)
        self.assertEqual(gdb(f"source {SCRIPT}"), "")
        return vm, gdb

    def build(self, source, *arguments):
        self.write("guest.c", source)
        subprocess.run(["make", "-s", "-f", os.path.join(SOURCE, "guests", "sdk", "guest.mk"), *arguments], cwd=self.dir,
                       check=True)
        return self.path("guest.elf")

    def causes(self, text):
        return re.findall(r"^  - (.*)$", text, re.MULTILINE)

    def check_causes(self, letter, text, expected):
        found = self.causes(text)
        self.assertEqual([cause[:len(begin)] for cause, begin in zip(found, expected)], expected, (letter, text))
        self.assertEqual(len(found), len(expected), (letter, text))


class WhyTest(ExtensionCase):
    def test_a_crash(self):
        """The fault in words, its place, the registers of its instruction, the walk that failed, the cause."""
        vm, gdb = self.load(sample("crash", "elf"))
        gdb("continue")
        lines = gdb("mh why").splitlines()
        self.assertRegex(lines[0], r"^page fault \(#PF\), vector 14, at rip 0x0{13}[0-9a-f]{3}, address 0x0{8}40000000; ")
        self.assertEqual(lines[1], "  that is: an access to memory that the page tables do not allow")
        self.assertRegex(lines[2], r"^  at       0x[0-9a-f]+ in set_grade \+ \d+, guest\.c:32$")
        self.assertEqual(lines[3].strip(), "student->grade = grade; /* page fault for the second student */")
        self.assertRegex(lines[4], r"^  code     mov \w?\S*%esi,\(%rdi\)$")
        self.assertEqual(lines[5].strip(), "esi = 0x9, rdi = 0x40000000")
        self.assertEqual(lines[6], "  error code 0x2: write to a page that is not mapped, in ring 0 to 2")
        self.assertIn("    PDPT[  1] at 0x01001008: 0x0000000000000000 not present", lines)
        self.assertEqual(lines[-2:], ["likely:", "  - wild pointer: student is 0x40000000, and nothing is mapped there; "
                                      "it was never set, or was overwritten"])

    def test_from_another_frame(self):
        """What is explained is the fault, not the frame that is looked at."""
        vm, gdb = self.load(sample("crash", "elf"))
        gdb("continue")
        here = gdb("mh why")
        gdb("up 2")
        self.assertEqual(gdb("mh why"), here)

    def test_lines_are_those_of_gdb(self):
        """It counts no form feeds."""
        vm, gdb = self.load(self.build(b"\f\nint main(void)\n{\n    *(volatile int *)0x40000000 = 1;\n}\n"))
        gdb("continue")
        self.assertIn("*(volatile int *)0x40000000 = 1;\n", gdb("mh why"))

    @on("soft")
    def test_mistakes(self):
        vm, gdb = self.load(elf("mistakes"))
        vm.run.send(b".")
        gdb.all("break make", "continue", "monitor snapshot before", "delete")
        for letter, expected in MISTAKES.items():
            gdb.all("monitor restore before", "maintenance flush register-cache", "maintenance flush dcache",
                    f"set $rdi = '{letter}'", "continue")
            self.check_causes(letter, gdb("mh why"), expected)

    @on("soft")
    def test_faults(self):
        """All kinds of faults, with what the table of letters in the guest says."""
        vm, gdb = self.load(elf("faults"))
        vm.run.send(b".")
        gdb.all("break choose", "continue", "monitor snapshot before", "delete")
        for letter, expected in FAULTS.items():
            gdb.all("monitor restore before", "maintenance flush register-cache", "maintenance flush dcache",
                    f"set $al = '{letter}'", "continue")
            self.check_causes(letter, gdb("mh why"), expected)

    @on("soft")
    def test_triple_faults(self):
        """The exception that came first, with other instructions at the place of the guest's ud2."""
        vm, gdb = self.load(elf("faults"))
        vm.run.send(b".")
        gdb.all("break choose", "continue", "set $al = 't'", "tbreak triple_at", "continue", "monitor snapshot before")
        for code, rcx, cause in ((0xf1f7, 0, "division by zero: ecx is 0"), (0xcf48, 0, "wrong pop: iretq takes "),
                                 (0x018b, 0x40000000, "page fault: cr2 is 0x40000000, and nothing is mapped there")):
            gdb.all("monitor restore before", "maintenance flush register-cache",
                    f"set {{short}}$pc = {code}", f"set $rcx = {rcx}", "continue")
            self.assertEqual(self.causes(gdb("mh why"))[0][:len(cause)], cause)

    @on("soft")
    def test_a_gdt_that_is_too_short(self):
        """lgdt [0x3000], where zeros are; mov edx, 0x10; mov ds, edx."""
        vm, gdb = self.load(self.write("gdt.img", bytes.fromhex("0f01142500300000 ba10000000 8eda")))
        gdb("continue")
        self.assertIn("GDT: its limit 0x0 excludes the segment 0x8 of handlers", self.causes(gdb("mh why")))

    def test_vectors_in_ranges(self):
        vm, gdb = self.load(sample("crash", "elf"))
        gdb("continue")
        self.assertEqual(gdb("python import mh_why; print(mh_why.ranges([0, 1, 2, 5, 7, 8]))"), "0 to 2, 5, 7 to 8\n")

    def test_moved_by_a_monitor_command(self):
        """gdb does not know that registers have changed; the commands do."""
        vm, gdb = self.load(sample("crash", "elf"))
        gdb("continue")
        gdb("monitor goto start")
        self.assertIn("rip 0x0 in _start", gdb("mh map"))
        gdb("monitor goto end")
        self.assertIn("in set_grade", gdb("mh why"))

    def test_no_fault(self):
        vm, gdb = self.load(elf("gdb_program"))
        gdb.all("tbreak add", "continue")
        self.assertRegex(gdb("mh why"), r"^no fault: stopped for the debugger at rip 0x[0-9a-f]{16}\n$")

    def test_without_symbols(self):
        """A flat image of which gdb knows nothing."""
        vm = self.offer(self.write("flat.img", contents(guest("faults"))))
        vm.run.send(b"w")
        gdb = vm.gdb(file=False)
        gdb(f"source {SCRIPT}")
        gdb("continue")
        text = gdb("mh why")
        self.assertRegex(text, r"(?m)^  at       0x[0-9a-f]+$")
        self.assertRegex(text, r"(?m)^  - beyond the end: the address is 0x200010, ")


class LookTest(ExtensionCase):
    def test_page_tables(self):
        vm, gdb = self.load(sample("crash", "elf"))
        gdb.all("tbreak set_grade", "continue")
        for expression, address in (("(long)$rsp & ~7", gdb.value("$rsp") & ~7), ("class", gdb.value("&class")),
                                    ("set_grade", gdb.value("&set_grade")), ("&ada.name", gdb.value("&ada.name")),
                                    ("student", gdb.value("student")), ("0x40000000", 0x40000000)):
            text = gdb(f"mh pt {expression}")
            self.assertTrue(text.startswith(f"{expression} is {address:#x}"), text)
            self.assertIn(gdb(f"monitor pt {address:#x}"), text)
        self.assertRegex(gdb("mh pt set_grade"), r"^set_grade is 0x[0-9a-f]+, set_grade\n")
        self.assertEqual(gdb("mh pt"), gdb("monitor pt"))
        self.assertFails(gdb("mh pt ada"), "ada is no address; take that of the variable: &ada")
        for text in ("\"abc\"", "$nothing", "1.5"):
            self.assertFails(gdb(f"mh pt {text}"), f"error: {text} is no address\n")
        self.assertFails(gdb("mh pt nonsense"), 'No symbol "nonsense" in current context.')

    def test_map(self):
        vm, gdb = self.load(sample("crash", "elf"))
        gdb.all("tbreak set_grade", "continue")
        text = gdb("mh map")
        self.assertTrue(text.startswith(gdb("monitor map")), text)
        self.assertRegex(text, r"(?m)^  0x00000000-0x00000[0-9a-f]{3}  r-x  \.text$")
        self.assertRegex(text, r"(?m)^  0x00001000-0x00001[0-9a-f]{3}  r--  \.rodata$")
        self.assertRegex(text, r"(?m)^  0x00002000-0x00002[0-9a-f]{3}  rw-  \.data$")
        self.assertRegex(text, r"(?m)^rip 0x[0-9a-f]+ in set_grade, guest\.c:31$")
        self.assertIn(f"\nrsp {gdb.value('$rsp'):#x}\n", text)

    def test_files(self):
        self.write("notes.txt", b"twelve bytes")
        vm, gdb = self.load(sample("files", "elf"), "-f", "notes.txt")
        self.assertTrue(gdb("mh files").endswith("  fd  mode   position        size  name\n"))
        gdb.all("tbreak read", "continue")
        self.assertIn("   0  r--           0          12  notes.txt (shared)\n", gdb("mh files"))
        gdb("finish")
        self.assertIn("   0  r--          12          12  notes.txt (shared)\n", gdb("mh files"))

    def test_when(self):
        vm, gdb = self.load(elf("gdb_program"))
        self.assertEqual(gdb("mh when"), f"instruction 0\n  0 [{'=' * 40}>] 0\n"
                         "  0 instructions after the beginning of the history, 0 before its end\n")
        gdb.all("stepi", "stepi", "stepi", "stepi", "reverse-stepi")
        self.assertEqual(gdb("mh when"), f"instruction 3, in the past\n  0 [{'=' * 30}>{' ' * 10}] 4\n"
                         "  3 instructions after the beginning of the history, 1 before its end\n")
        self.assertIn("The machine is in its past; monitor goto end returns", gdb("mh why"))

    def test_without_history(self):
        vm, gdb = self.load(elf("gdb_program"), "--no-history")
        self.assertEqual(gdb("mh when"), "no history is kept\n")

    @on("soft", "auto")
    def test_in_a_replay(self):
        self.check(self.run_vm("-g", sample("crash", "elf"), "--record", "run.mhr"), EXIT_CRASHED)
        run = self.start("--replay", "run.mhr", "--gdb", "0")
        gdb = Offered(self, run).gdb(file=sample("crash", "elf"))
        gdb(f"source {SCRIPT}")
        gdb("continue")
        self.assertEqual(len(self.causes(gdb("mh why"))), 1)
        self.assertIn("a recording is replayed", gdb("mh files"))
        self.assertRegex(gdb("mh when"), r"^instruction \d+\n")

    def test_several_machines(self):
        """Each command is for the inferior that gdb shows, whatever was asked of another before."""
        run, gdb = self.debug_all(elf("gdb_program"), sample("crash", "elf"))
        gdb.all(f"source {SCRIPT}", "inferior 2", "continue")
        self.assertEqual(len(self.causes(gdb("mh why"))), 1)
        gdb("inferior 1")
        self.assertTrue(gdb("mh when").startswith("instruction 0\n"))
        self.assertTrue(gdb("mh why").startswith("no fault: "))
        gdb("inferior 2")
        self.assertEqual(len(self.causes(gdb("mh why"))), 1)
        self.assertIn("in set_grade", gdb("mh map"))


class UseTest(ExtensionCase):
    def test_help_and_completion(self):
        gdb = self.gdb_alone()
        self.assertEqual(re.findall(r"^mh (\w+) -- ", gdb("help mh"), re.MULTILINE),
                         ["files", "map", "pt", "when", "why"])
        for name in ("files", "map", "pt", "when", "why"):
            self.assertIn(f"Usage: mh {name}", gdb(f"help mh {name}"))
        self.assertEqual(gdb("complete mh w").split("\n"), ["mh when", "mh why", ""])
        self.assertEqual(gdb("complete mh pt set_g"), "mh pt set_grade\n")
        self.assertEqual(gdb("complete mh why x"), "")

    def gdb_alone(self):
        gdb = Gdb(self.dir, sample("crash", "elf"))
        self.addCleanup(gdb.close)
        gdb(f"source {SCRIPT}")
        return gdb

    def test_without_a_machine(self):
        gdb = self.gdb_alone()
        for command in ("pt 0", "map", "files", "why", "when"):
            self.assertFails(gdb(f"mh {command}"), "there is no machine; connect to one with target remote :1234")

    def test_core_file(self):
        self.check(self.run_vm("-g", sample("crash", "elf"), "--core", "."), EXIT_CRASHED)
        gdb = self.gdb_alone()
        gdb("core-file 1-crash.core")
        self.assertFails(gdb("mh why"), "a core file is no machine; core_report prints its fault")

    def test_after_the_end(self):
        vm, gdb = self.load(elf("gdb_program"))
        gdb("continue")
        self.assertFails(gdb("mh why"), "there is no machine")

    def test_nonsense(self):
        vm, gdb = self.load(elf("gdb_program"))
        self.assertFails(gdb("mh why not"), "mh why takes no argument")
        self.assertFails(gdb("mh pt )"), "syntax")
        self.assertFails(gdb("mh what"), 'there is no command "mh what"; "help mh" lists them')
        self.assertEqual(gdb("mh"), gdb("help mh"))

    def test_twice(self):
        """Loading it again changes nothing."""
        vm, gdb = self.load(elf("gdb_program"))
        self.assertEqual(gdb(f"source {SCRIPT}"), "")
        self.assertTrue(gdb("mh when").startswith("instruction 0"))

    def test_colors_on_terminals_only(self):
        vm = self.offer(sample("crash", "elf"))
        terminal, end = pty.openpty()
        commands = ["set style enabled on", f"source {SCRIPT}", f"target remote {vm.where[0]}", "continue", "mh why",
                    "mh pt 0", "monitor pt 0"]
        gdb = subprocess.Popen(["gdb", "-nx", "-q", "-batch", *(word for each in commands for word in ("-ex", each))],
                               stdin=subprocess.DEVNULL, stdout=end, stderr=end, env=dict(os.environ, TERM="xterm"))
        os.close(end)
        output = Output(screen=terminal)
        while output.fds:
            output.pump(DEADLINE)
        gdb.wait(DEADLINE)
        os.close(terminal)
        screen = output.bytes["screen"].decode()
        self.assertIn("  - \033[33mwild pointer\033[0m: ", screen)
        self.assertIn("\033[32mpresent\033[0m, writable", screen)
        self.assertNotIn("\033", screen[screen.rindex("PML4"):])  # what the user asks for is as before

    def test_machine_that_runs(self):
        vm, gdb = self.load(elf("spin"))
        gdb("continue&")
        self.assertFails(gdb("mh why"), "the machine is running; interrupt it first (Ctrl-C)")


class AutoLoadTest(ExtensionCase):
    """A guest whose ELF file names the script."""

    def gdb(self, *commands):
        arguments = [argument for setting in SETTINGS for argument in ("-iex", setting)]
        done = subprocess.run(["gdb", "-nx", "-q", "-batch", *arguments, *commands], cwd=self.dir, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.stdout.decode()

    def test_named_by_the_guest(self):
        """gdb loads it from directories that its user trusts, and says otherwise what to write into a file."""
        path = self.build(b"int main(void) { return 0; }\n", f"GDB_SCRIPT={os.path.relpath(SCRIPT, self.dir)}")
        self.assertIn("Usage: mh why", self.gdb("-iex", f"add-auto-load-safe-path {os.path.dirname(SCRIPT)}", path,
                                                "-ex", "help mh why"))
        refused = self.gdb(path, "-ex", "help mh why")
        self.assertIn(f"add-auto-load-safe-path {SCRIPT}", refused)
        self.assertNotIn("Usage", refused)

    def test_not_named_unless_asked_for(self):
        self.assertNotIn("mini_hypervisor.py", self.gdb(self.build(b"int main(void) { return 0; }\n", "GDB_SCRIPT="), "-ex", "info auto-load"))


if __name__ == "__main__":
    main()
