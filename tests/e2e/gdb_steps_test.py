"""stepi is exactly one instruction, whatever the instruction is."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import GdbCase, elf  # noqa: E402
from hypervisor import main  # noqa: E402

TF, RF = 0x100, 0x10000
STACK = 0x180000


class StepCase(GdbCase):
    def setUp(self):
        super().setUp()
        self.vm, self.gdb = self.debug(elf("gdb_steps"))

    def at(self, label, **registers):
        """Bring the processor in front of an instruction."""
        self.gdb(f"set $rsp = {STACK}")
        for name, value in registers.items():
            self.gdb(f"set ${name} = {value}")
        self.gdb(f"set $pc = {label}")

    def address(self, label):
        return self.gdb.value(f"&{label}")

    def step_to(self, label):
        answer = self.gdb("stepi")
        self.assertEqual(self.gdb.pc(), self.address(label), answer)
        self.assertEqual(self.gdb.value("$eflags") & TF, 0)
        self.assertNotIn("SIG", answer)

    def one(self, label, **registers):
        self.at(label, **registers)
        self.step_to(label + "_end")

    def install_handlers(self):
        self.at("install_handlers")
        self.gdb("tbreak installed")
        self.assertIn("installed", self.gdb("continue"))


class PortsTest(StepCase):
    def test_out(self):
        self.one("one_out", rax=ord("A"))
        self.vm.run.wait_for(b"A")
        self.one("one_out_dx", rax=ord("B"), rdx=0xe9)
        self.vm.run.wait_for(b"AB")
        self.assertEqual(self.gdb.value("$rax"), ord("B"))

    def test_out_twice(self):
        """A request is never made twice, nor lost when registers are written while it is under way."""
        for letter in b"xyz":
            self.one("one_out", rax=letter)
        self.at("one_out", rax=ord("1"))
        self.gdb("stepi 2")
        self.assertEqual(self.vm.run.wait_for(lambda got: len(got) >= 5), b"xyz11")

    def test_in_with_input(self):
        self.vm.run.send(b"pqr")
        self.at("one_in", rax=0x5500)
        self.step_to("one_in_end")
        self.assertEqual(self.gdb.value("$rax"), 0x5500 + ord("p"))
        self.step_to("two_in_end")
        self.assertEqual(self.gdb.value("$rax"), 0x5500 + ord("q"))
        self.one("one_in_dx", rax=0, rdx=0xe9)
        self.assertEqual(self.gdb.value("$rax"), ord("r"))

    def test_in_that_waits(self):
        self.at("one_in", rax=0)
        self.gdb.begin("stepi")
        self.vm.run.send(b"k")
        self.gdb.answer()
        self.assertEqual(self.gdb.pc(), self.address("one_in_end"))
        self.assertEqual(self.gdb.value("$rax"), ord("k"))

    def test_in_at_the_end_of_the_input(self):
        self.vm.run.process.stdin.close()
        self.one("one_in", rax=0)
        self.assertEqual(self.gdb.value("$rax"), 0xff)

    def test_other_port(self):
        self.one("other_in", rax=0)
        self.assertEqual(self.gdb.value("$rax"), 0xffffffff)


class StringsTest(StepCase):
    def finish_string(self, label, wanted):
        """Step until the instruction is behind us; one step may do one repetition or all of them."""
        counts = []
        for _ in range(wanted + 1):
            counts.append(self.gdb.value("$rcx"))
            self.gdb("stepi")
            pc = self.gdb.pc()
            if pc != self.address(label):
                break
        self.assertEqual(pc, self.address(label + "_end"))
        self.assertEqual(counts, sorted(counts, reverse=True))
        self.assertEqual(self.gdb.value("$rcx"), 0)

    def test_rep_outsb(self):
        self.at("rep_outsb", rsi="&text_out", rcx=8, rdx=0xe9)
        self.finish_string("rep_outsb", 8)
        self.assertEqual(self.vm.run.wait_for(lambda got: len(got) >= 8), b"abcdefgh")

    def test_rep_insb(self):
        self.vm.run.send(b"01234567rest")
        self.at("rep_insb", rdi=0x60000, rcx=8, rdx=0xe9)
        self.finish_string("rep_insb", 8)
        self.assertIn('"01234567"', self.gdb("p *(char(*)[8])0x60000"))
        self.one("one_in", rax=0)
        self.assertEqual(self.gdb.value("$rax"), ord("r"))

    def test_what_follows_an_instruction_kvm_emulates(self):
        """KVM's emulator may end a step without an exit to us, and take the trap flag for the next one away."""
        self.vm.run.send(b"0123")
        for label, pointer in (("rep_insb", "rdi"), ("rep_outsb", "rsi")):
            self.at(label + "_nops", rcx=4, rdx=0xe9, **{pointer: 0x60000})
            self.finish_string(label + "_nops", 4)
            for nops in range(1, 4):
                self.gdb("stepi")
                self.assertEqual(self.gdb.pc(), self.address(label + "_nops_end") + nops)

    def test_rep_movsb(self):
        self.at("rep_movsb", rsi="&text_out", rdi=0x60000, rcx=8)
        self.finish_string("rep_movsb", 8)
        self.assertIn('"abcdefgh"', self.gdb("p *(char(*)[8])0x60000"))

    def test_rep_stosb(self):
        self.at("rep_stosb", rdi=0x60000, rcx=5, rax=ord("z"))
        self.finish_string("rep_stosb", 5)
        self.assertEqual(self.gdb.value("*(long*)0x60000"), 0x7a7a7a7a7a)

    def test_no_repetition(self):
        for label in ("rep_outsb", "rep_insb", "rep_movsb", "rep_stosb"):
            self.one(label, rcx=0, rdx=0xe9, rsi="&text_out", rdi=0x60000)
        self.assertEqual(self.vm.out, b"")


class FlagsTest(StepCase):
    def test_pushf(self):
        self.one("one_pushf", eflags=0x2)
        self.assertEqual(self.gdb.value("*(long*)$rsp"), 2)
        self.one("one_pushf", eflags=0x8d7)
        self.assertEqual(self.gdb.value("*(long*)$rsp") & ~0x8d5, 2)

    def test_pushf_after_other_steps(self):
        self.at("many_nops")
        self.gdb("stepi 5")
        self.one("one_pushf", eflags=0x2)
        self.assertEqual(self.gdb.value("*(long*)$rsp"), 2)

    def test_popf(self):
        self.at("one_popf")
        self.gdb("set *(long*)$rsp = 0x8d7")
        self.step_to("one_popf_end")
        self.assertEqual(self.gdb.value("$eflags") & 0x8d5, 0x8d5)
        self.gdb("stepi")
        self.assertEqual(self.gdb.pc(), self.address("one_popf_end") + 1)

    def test_sti(self):
        self.one("one_sti", eflags=2)
        self.assertEqual(self.gdb.value("$eflags"), 0x202)
        self.step_to("one_sti_after")

    def test_iretq(self):
        self.at("one_iretq")
        self.gdb("tbreak *one_iretq_at")
        self.gdb("continue")
        self.step_to("one_iretq_target")
        self.assertEqual(self.gdb.value("$rsp"), 0x1ff000)
        self.assertEqual(self.gdb.value("$eflags"), 2)

    def test_the_trap_flag_never_leaks(self):
        """After any number of steps and a continue, no trap comes."""
        self.at("one_pushf", eflags=2)
        self.gdb("stepi 2")
        self.assertEqual(self.gdb.value("$rbx"), 2)
        self.assertIn("exited normally", self.gdb("continue"))


class OthersTest(StepCase):
    def test_registers_only(self):
        self.one("a_cpuid", rax=0)
        self.assertNotEqual(self.gdb.value("$rbx"), 0)
        self.one("a_rdtsc")
        self.one("an_rdmsr", rcx=0xc0000080)
        self.assertEqual(self.gdb.value("$rax"), self.gdb.value("$efer"))
        self.one("a_cr3", rax="$cr3")

    def test_calls_and_jumps(self):
        self.at("a_call")
        self.step_to("a_function")
        self.assertEqual(self.gdb.value("*(long*)$rsp"), self.address("a_call_end"))
        self.gdb("stepi 2")
        self.assertEqual(self.gdb.pc(), self.address("a_call_end"))
        self.at("far_jump")
        self.step_to("far_jump_target")

    def test_jump_to_itself(self):
        self.at("to_itself")
        for _ in range(3):
            self.step_to("to_itself")
        self.gdb("stepi 100")
        self.assertEqual(self.gdb.pc(), self.address("to_itself"))

    def test_loop(self):
        self.at("a_loop", rcx=10)
        for left in range(9, 0, -1):
            self.step_to("a_loop")
            self.assertEqual(self.gdb.value("$rcx"), left)
        self.step_to("a_loop_end")

    def test_many(self):
        self.at("many_nops")
        for i in range(1, 65):
            self.gdb("stepi")
            self.assertEqual(self.gdb.pc(), self.address("many_nops") + i)
        self.at("many_nops")
        self.gdb("stepi 64")
        self.assertEqual(self.gdb.pc(), self.address("many_nops_end"))

    def test_hlt(self):
        self.at("one_hlt")
        self.assertIn("exited normally", self.gdb("stepi"))
        self.assertEqual(self.vm.run.finish().code, 0)

    def test_instruction_with_a_breakpoint(self):
        for kind in ("break", "hbreak"):
            for label in ("many_nops", "one_pushf", "a_function", "to_itself"):
                self.gdb(f"{kind} *{label}")
                self.at(label, eflags=2)
                self.gdb("stepi")
                self.assertEqual(self.gdb.pc() - self.address(label), 0 if label == "to_itself" else 1)
                self.gdb("delete")
        self.one("one_pushf")

    def test_step_onto_a_breakpoint(self):
        self.gdb("break *many_nops + 1")
        self.at("many_nops")
        self.assertIn("Breakpoint", self.gdb("stepi"))
        self.assertEqual(self.gdb.pc(), self.address("many_nops") + 1)
        self.gdb("stepi")
        self.assertEqual(self.gdb.pc(), self.address("many_nops") + 2)

    def test_after_mov_ss(self):
        """An instruction that holds interrupts off for the next one: the step may end after either."""
        self.at("mov_ss", rax=0x10)
        self.gdb("stepi")
        self.assertIn(self.gdb.pc(), (self.address("mov_ss_end"), self.address("mov_ss_after")))
        self.assertEqual(self.gdb.value("$eflags") & TF, 0)


class FaultsTest(StepCase):
    def test_without_handler(self):
        for label, name in (("one_fault", "SIGSEGV"), ("one_divide", "SIGFPE"), ("one_undefined", "SIGILL")):
            self.at(label, rcx=0, rdx=0)
            before = self.gdb("info registers rax rbx rcx rdx rsi rdi rbp rsp rip cs ss")
            self.assertIn(name, self.gdb("stepi"))
            self.gdb("queue-signal 0")
            self.assertEqual(self.gdb("info registers rax rbx rcx rdx rsi rdi rbp rsp rip cs ss"), before)
            self.assertEqual(self.gdb.value("$eflags") & ~RF, 2)

    def test_int3_without_handler(self):
        """As a native program: it stops after the instruction, and can continue."""
        self.at("one_int3")
        self.assertIn("#BP", self.gdb("stepi"))
        self.assertEqual(self.gdb.pc(), self.address("one_int3_end"))
        self.at("one_int3")
        self.assertIn("SIGTRAP", self.gdb("continue"))
        self.assertEqual(self.gdb.pc(), self.address("one_int3_end"))
        self.assertIn("exited normally", self.gdb("continue"))

    def test_with_handler(self):
        """The step ends at the handler's first instruction, as the processor's own stepping does."""
        self.install_handlers()
        for label, handler in (("one_fault", "skip_seven"), ("one_divide", "skip_two"), ("one_undefined", "skip_two")):
            self.at(label, rcx=0, rdx=0)
            self.step_to(handler)
            pushed = 8 if handler == "skip_seven" else 0
            self.assertEqual(self.gdb.value(f"*(long*)($rsp + {pushed})"), self.address(label))
            self.assertEqual(self.gdb.value(f"*(long*)($rsp + {pushed} + 16)") & TF, 0)
            self.gdb("tbreak *" + label + "_end")
            self.assertIn(label + "_end", self.gdb("continue"))

    def test_interrupts_with_handler(self):
        self.install_handlers()
        for label, handler, count in (("one_int3", "on_int3", "int3_count"), ("one_int", "on_int", "int_count")):
            self.at(label)
            self.step_to(handler)
            self.assertEqual(self.gdb.value("*(long*)$rsp"), self.address(label + "_end"))
            self.assertEqual(self.gdb.value("*(long*)($rsp + 16)") & TF, 0)
            self.gdb("stepi 2")
            self.assertEqual(self.gdb.pc(), self.address(label + "_end"))
            self.assertEqual(self.gdb.value(f"*(long*)&{count}"), 1)

    def test_out_of_a_handler(self):
        """As docs/debugging.md says, for gdb's finish waits for a return of another kind."""
        self.install_handlers()
        self.at("one_int3")
        self.step_to("on_int3")
        self.gdb("tbreak **(long*)$rsp")
        self.gdb("continue")
        self.assertEqual(self.gdb.pc(), self.address("one_int3_end"))
        self.at("one_fault", rcx=0, rdx=0)
        self.step_to("skip_seven")
        self.assertIn(f"{self.address('one_fault'):#x}", self.gdb("tbreak **(long*)($rsp+8)"))

    def test_nexti_over_an_interrupt(self):
        self.install_handlers()
        self.at("one_int3")
        self.gdb("tbreak *one_int3_end")
        self.assertIn("one_int3_end", self.gdb("continue"))
        self.assertEqual(self.gdb.value("*(long*)&int3_count"), 1)

    def test_unpatched_afterwards(self):
        """Stepping leaves nothing in the handlers' code."""
        self.install_handlers()
        before = self.gdb("x/64xb skip_two")
        self.at("one_divide", rcx=0, rdx=0)
        self.gdb("stepi 3")
        self.assertEqual(self.gdb("x/64xb skip_two"), before)


class RangesTest(GdbCase):
    def setUp(self):
        super().setUp()
        self.vm, self.gdb = self.debug(elf("gdb_program"))
        self.gdb("break program")
        self.gdb("continue")

    def test_next(self):
        lines = [self.gdb("next").split("\t")[-1].strip() for _ in range(4)]
        self.assertEqual(lines, ["int second = loop(5);", "int third = factorial(5);", "int fourth = with_local(1);",
                                 "return first + second + third + fourth;"])
        self.assertEqual([self.gdb.value(name) for name in ("first", "second", "third", "fourth")], [3, 10, 120, 111])

    def test_step(self):
        self.assertIn("add (a=1, b=2)", self.gdb("step"))
        self.assertIn("total += sum;", self.gdb("step"))
        self.assertIn("return sum;", self.gdb("step"))
        self.gdb("step 2")
        self.assertIn("int second", self.gdb("frame"))

    def test_finish(self):
        self.gdb("break factorial if n == 2")
        self.assertIn("n=2", self.gdb("continue"))
        self.assertIn("Value returned is $1 = 2", self.gdb("finish"))
        self.gdb("delete")
        self.assertIn("Value returned is $2 = 6", self.gdb("finish"))
        self.assertEqual(len(self.gdb("bt").splitlines()), 4)

    def test_until_and_advance(self):
        self.assertIn("factorial (n=5)", self.gdb("advance factorial"))
        self.gdb("finish")
        self.assertIn("with_local (start=1)", self.gdb("advance with_local"))
        self.assertIn("return local;", self.gdb("until 25"))
        self.assertEqual(self.gdb.value("local"), 111)

    def test_until_leaves_a_loop(self):
        self.gdb("break loop")
        self.gdb("continue")
        for _ in range(6):
            where = self.gdb("until")
            if "return sum;" in where:
                break
        self.assertIn("return sum;", where)
        self.assertEqual(self.gdb.value("sum"), 10)

    def test_breakpoint_in_the_range(self):
        self.gdb("break add")
        self.assertIn("add (a=1, b=2)", self.gdb("next"))

    def test_call(self):
        """gdb calls a function of the guest, and everything is as before."""
        before = self.gdb("info registers")
        self.assertIn("= 720", self.gdb("print factorial(6)"))
        self.assertEqual(self.gdb("info registers"), before)
        self.assertIn("exited normally", self.gdb("continue"))

    def test_call_of_a_function_with_a_breakpoint(self):
        """At its very first instruction, where the machine is put to call it."""
        before = self.gdb("info registers")
        self.gdb("break *add")
        self.assertFails(self.gdb("print add(40, 2)"), "stopped while in a function called from GDB")
        self.assertEqual(self.gdb.pc(), self.gdb.value("&add"))
        self.gdb("step")
        self.assertIn("add (a=40, b=2)", self.gdb("frame"))
        self.assertIn("Value returned is $1 = 42", self.gdb("finish"))
        self.assertEqual(self.gdb("info registers"), before)
        self.assertRegex(self.gdb("continue"), "Breakpoint 2, .*add")

    def test_return_and_jump(self):
        self.gdb("break add")
        self.gdb("continue")
        self.gdb("return 40")
        self.gdb("next")
        self.assertEqual(self.gdb.value("first"), 40)
        self.gdb("delete")
        self.gdb("tbreak after_program")
        self.assertIn("after_program", self.gdb("continue"))
        self.assertEqual(self.gdb.value("$rax"), 40 + 10 + 120 + 111)


if __name__ == "__main__":
    main()
