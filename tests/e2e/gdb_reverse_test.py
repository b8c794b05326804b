"""Backwards: gdb's reverse commands and `monitor goto`. What ran on KVM, which does not count, is found in software."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import END_OF_HISTORY, Gdb, GdbCase, elf  # noqa: E402
from hypervisor import ACCEL, main, on, sample  # noqa: E402

# xor ecx, ecx; loop: inc rcx; add [0x4000], rcx; test cl, cl; jne loop; out 0xe9, al; jmp loop
COUNTING = bytes.fromhex("31c9 48ffc1 48010c2500400000 84c9 75f1 e6e9 ebed")
# nop; rdtsc; xor eax, eax; xor edx, edx; loop: in al, 0xe9; out 0xe9, al; cmp al, 'x'; jne loop; hlt
CLOCK = bytes.fromhex("90 0f31 31c0 31d2 e4e9 e6e9 3c78 75f8 f4")
# Triple faults: without an IDT (nop; lidt [0x3000], where zeros are; mov dword [0x40000000], 1), without page tables (nop;
# mov eax, 0x3000; mov cr3, rax; hlt), without a GDT (lgdt [0x3000]; mov edx, 0x10; mov ds, edx). Where it is, CR2, and
# where the instruction before is.
TRIPLES = {"idt": ("90 0f011c2500300000 c704250000004001000000", 9, 0x40000000, 1),
           "tables": ("90 b800300000 0f22d8 f4", 9, 9, 6),
           "gdt": ("0f01142500300000 ba10000000 8eda", 13, 0, 8)}

FLUSH = "maintenance flush register-cache", "maintenance flush dcache"


class ReverseTest(GdbCase):
    keeps_history = True

    def backwards(self, image, *arguments):
        """A machine whose past is kept, and a gdb."""
        return self.debug(image, *arguments)

    def position(self, gdb):
        return int(re.search(r"instruction (\d+)", gdb("monitor when"))[1])

    def test_steps_back_are_steps_undone(self):
        vm, gdb = self.backwards(sample("fibonacci", "elf"))
        seen = []
        for _ in range(20):
            seen.append((gdb.pc(), gdb.value("$rsp"), self.position(gdb)))
            gdb("stepi")
        while seen:
            gdb("reverse-stepi")
            self.assertEqual((gdb.pc(), gdb.value("$rsp"), self.position(gdb)), seen.pop())
        self.assertRegex(gdb("reverse-stepi"), END_OF_HISTORY)
        self.assertRegex(gdb("reverse-continue"), END_OF_HISTORY)

    def test_lines_and_functions(self):
        vm, gdb = self.backwards(sample("fibonacci", "elf"))
        gdb("break main")
        gdb("continue")
        main_frame = gdb("frame")
        gdb("next")
        line = gdb("frame")
        gdb("next")
        gdb("reverse-next")
        self.assertEqual(gdb("frame"), line)
        self.assertIn("Breakpoint 1, main", gdb("reverse-continue"))
        self.assertEqual(gdb("frame"), main_frame)
        gdb("break fibonacci")
        gdb("continue")
        self.assertIn("main", gdb("reverse-finish"))

    def test_breakpoints_and_conditions(self):
        vm, gdb = self.backwards(sample("fibonacci", "elf"))
        gdb("break fibonacci if n == 12")
        gdb("continue")
        self.assertEqual(gdb.value("n"), 12)
        there = self.position(gdb)
        gdb("delete")
        gdb("break fibonacci if n == 9")
        self.assertIn("fibonacci", gdb("reverse-continue"))
        self.assertEqual(gdb.value("n"), 9)
        self.assertLess(self.position(gdb), there)
        gdb("delete")
        gdb("break fibonacci if n == 12")
        gdb("continue")
        self.assertEqual(self.position(gdb), there)

    def test_what_was_printed_is_not_printed_again(self):
        vm, gdb = self.backwards(sample("fibonacci", "elf"))
        gdb("break fibonacci if n == 12")
        gdb("continue")
        vm.run.wait_for(b"fibonacci(11) =   89\n")
        gdb("delete")
        gdb("reverse-continue")
        gdb("break fibonacci if n == 12")
        gdb("continue")
        gdb("delete")
        self.assertIn("exited normally", gdb("continue"))
        out = vm.run.finish().out
        self.assertEqual(out.count(b"fibonacci(11)"), 1)
        self.assertEqual(out.count(b"fibonacci(12)"), 1)

    def test_goto(self):
        vm, gdb = self.backwards(sample("fibonacci", "elf"))
        gdb("break main")
        gdb("continue")
        there, pc = self.position(gdb), gdb.pc()
        self.assertIn(FLUSH[0], gdb("monitor goto start"))
        gdb.all(*FLUSH)
        self.assertEqual(self.position(gdb), 0)
        self.assertIn("_start", gdb("info symbol $pc"))
        gdb("monitor goto +1")
        self.assertEqual(self.position(gdb), 1)
        gdb("monitor goto end")
        gdb.all(*FLUSH)
        self.assertEqual((self.position(gdb), gdb.pc()), (there, pc))
        self.assertIn("Protocol error", gdb("monitor goto nowhere"))
        self.assertEqual(self.position(gdb), there)

    def test_catchpoints_do_not_stop_on_the_way(self):
        vm, gdb = self.backwards(sample("fibonacci", "elf"))
        gdb("break fibonacci if n == 12")
        gdb("continue")
        there = self.position(gdb)
        gdb("delete")
        gdb("monitor catch out 0xe9 10")
        self.assertIn(FLUSH[0], gdb(f"monitor goto {there - 200}"))
        self.assertEqual(self.position(gdb), there - 200)
        gdb("reverse-stepi")
        self.assertEqual(self.position(gdb), there - 201)
        self.assertIn("catchpoint 1", gdb("reverse-continue"))

    def test_commands_are_silent_backwards(self):
        vm, gdb = self.backwards(sample("fibonacci", "elf"))
        gdb("set dprintf-style agent")
        second = re.findall(r"0x[0-9a-f]+", gdb("x/2i fibonacci"))[-1]
        gdb(f'dprintf *{second},"of %d\\n", n')
        gdb("break fibonacci if n == 10")
        self.assertIn("of 9\n", gdb("continue"))
        gdb("delete 2")
        self.assertNotRegex(gdb("reverse-continue"), r"of \d")
        gdb("break fibonacci if n == 10")
        self.assertIn("of 9\n", gdb("continue"))

    def test_without_history(self):
        vm, gdb = self.backwards(elf("spin"), "--no-history")
        gdb("stepi")
        self.assertRegex(gdb("reverse-stepi"), "does not support this command|is not currently supported")
        self.assertIn("keeps no history", gdb("monitor goto start"))

    def test_each_machine_has_its_own_time(self):
        run = self.start("-g", elf("spin"), elf("spin"), "--gdb-all", "0")
        line = run.wait_for(b"target remote", "err").decode()
        gdb = Gdb(self.dir, elf("spin"))
        self.addCleanup(gdb.close)
        gdb(f"target remote {re.search(r'target remote ([0-9.:]+)', line)[1]}")
        gdb.all("stepi", "stepi", "inferior 2", "stepi")
        gdb("reverse-stepi")
        self.assertEqual(self.position(gdb), 0)
        gdb("inferior 1")
        self.assertEqual(self.position(gdb), 2)

    def test_triple_faults(self):
        """What processors leave in CR2 and on stacks differs. Software has the address of the page fault that came first."""
        for name, (code, at, cr2, before) in TRIPLES.items():
            with self.subTest(name):
                vm, gdb = self.backwards(self.write(f"{name}.img", bytes.fromhex(code)))
                self.assertIn("triple fault", gdb("continue"))
                if gdb.pc() == 0xfff0:
                    continue  # this processor resets itself
                self.assertEqual(gdb.pc(), at)
                if ACCEL == "soft":
                    self.assertIn(f"cr2 {cr2:#018x}", gdb("monitor regs"))
                gdb("reverse-stepi")
                self.assertEqual(gdb.pc(), before)

    # ---- what ran on KVM ----

    def ran_on(self, gdb):
        return re.search(r"; now (\w+)", gdb("monitor stats"))[1]

    @on("kvm", "auto")
    def test_kvm_runs_until_somebody_goes_back(self):
        vm, gdb = self.backwards(sample("fibonacci", "elf"), "--gdb-hold")
        gdb("continue")
        self.assertEqual(self.ran_on(gdb), "kvm")
        end = gdb.pc()
        gdb("reverse-stepi")
        self.assertEqual(self.ran_on(gdb), "soft")
        position = self.position(gdb)
        gdb("break fibonacci if n == 9")
        gdb("reverse-continue")
        self.assertEqual(gdb.value("n"), 9)
        self.assertLess(self.position(gdb), position)
        gdb("delete")
        gdb("monitor goto end")
        gdb.all(*FLUSH)
        self.assertEqual((self.position(gdb), gdb.pc()), (position + 1, end))
        self.assertIn("has halted", gdb("continue"))
        self.assertEqual(self.ran_on(gdb), "kvm")

    def state(self, gdb):
        """What the counting guest works with. The time stamp counter, for one, runs on on KVM."""
        return gdb("info registers rip rcx eflags rax") + gdb("x/8xg 0x4000")

    def interrupt_on_kvm(self, vm, gdb):
        """Stop the counting guest after it did something on KVM."""
        while vm.run.output.pump(0):  # what it printed before
            pass
        printed = len(vm.out)
        gdb.begin("continue")
        gdb.wait_until_running()
        vm.run.wait_for(lambda got: len(got) > printed)
        gdb.interrupt()
        self.assertIn("SIGINT", gdb.answer())
        self.assertEqual(self.ran_on(gdb), "kvm")

    @on("kvm", "auto")
    def test_interrupted_on_kvm(self):
        """A stop anywhere has the position that it has on a machine that only ran in software."""
        image = self.write("counting.img", COUNTING)
        vm, gdb = self.debug(image)
        soft, other = self.debug(image, "--accel", "soft")
        for _ in range(3):
            self.interrupt_on_kvm(vm, gdb)
            seen = self.state(gdb)
            position = self.position(gdb)
            self.assertEqual(self.state(gdb), seen)
            if position > self.position(other):  # it may have been interrupted before it did anything
                other(f"break *{gdb.pc()} if $rcx == {gdb.value('$rcx')}")
                other("continue")
            self.assertEqual((self.state(other), self.position(other)), (seen, position))
            gdb("reverse-stepi")
            other("reverse-stepi")
            self.assertEqual(self.state(gdb), self.state(other))
            gdb("stepi")
            self.assertEqual(self.state(gdb), seen)
            other.all("stepi", "delete")

    @on("kvm", "auto")
    def test_edits_on_kvm(self):
        """A debugger's change of a machine that ran on KVM is part of its past."""
        vm, gdb = self.debug(self.write("counting.img", COUNTING))
        seen = []
        for value in (0x123456789, 0x42):
            self.interrupt_on_kvm(vm, gdb)
            gdb("stepi 3")  # it may have been interrupted before it did anything
            gdb(f"set $rcx = {value}")
            gdb(f"monitor snapshot s{value}")
            seen.append((f"s{value}", self.state(gdb)))
        for name, registers in seen:
            gdb(f"monitor restore {name}")
            gdb.all(*FLUSH)
            self.assertEqual(self.state(gdb), registers)
            gdb("reverse-stepi")
            self.assertNotEqual(self.state(gdb), registers)
            gdb("stepi")
            self.assertEqual(self.state(gdb), registers)

    @on("kvm", "auto")
    def test_a_clock_read_on_kvm(self):
        """What was read of the time stamp counter is not known: no past is shown, and the machine goes on."""
        vm, gdb = self.debug(self.write("clock.img", CLOCK), "--gdb-hold")
        vm.run.send(b"ab")
        gdb.begin("continue")
        gdb.wait_until_running()
        vm.run.wait_for(b"ab")
        gdb.interrupt()
        self.assertIn("SIGINT", gdb.answer())
        self.assertEqual(self.ran_on(gdb), "kvm")
        why = "at instruction 1, the guest reads the time stamp counter"
        before = self.state(gdb)
        for command in ("reverse-stepi", "reverse-continue", "monitor when"):
            self.assertIn(why, gdb(command))
        self.assertIn("Protocol error", gdb("monitor goto start"))
        self.assertEqual(self.state(gdb), before)
        vm.run.send(b"cdx")
        gdb("continue")
        vm.run.wait_for(b"abcdx")
        self.assertEqual(self.ran_on(gdb), "kvm")
        self.assertIn(why, gdb("reverse-stepi"))


if __name__ == "__main__":
    main()
