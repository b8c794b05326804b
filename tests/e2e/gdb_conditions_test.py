"""Conditions and dprintf: what the stub evaluates itself is what gdb would have evaluated."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import GdbCase, elf  # noqa: E402
from hypervisor import main  # noqa: E402


class ConditionsCase(GdbCase):
    """`count` counts the places passed; place_N is reached with N, N + 100 and N + 200."""

    def setUp(self):
        super().setUp()
        self.vm, self.gdb = self.debug(elf("gdb_points"))
        # gdb 13 makes a wrong expression of the address of what lies in .text and has no type
        self.counted = f"*(long*){self.gdb.value('&count'):#x}"
        self.place_5 = self.gdb.value("&place_5")

    def count(self):
        return self.gdb.value(self.counted)

    def resumes(self, command):
        """How often gdb let the machine run, and what the command printed."""
        self.gdb("set debug remote 1")
        answer = self.gdb(command)
        self.gdb("set debug remote 0")
        return len(re.findall(r"Sending packet: \$vCont;[cCsSr]", answer)), answer

    def ends_well(self):
        self.assertIn("exited normally", self.gdb("continue"))
        self.assertEqual(self.vm.run.finish().code, 0)


class WhereTest(ConditionsCase):
    def stops_of(self, where):
        self.gdb(f"set breakpoint condition-evaluation {where}")
        self.gdb(f"break *place_5 if {self.counted} == 205 && $rip == {self.place_5}")
        resumes, answer = self.resumes("continue")
        self.assertIn("Breakpoint 1, ", answer)
        self.assertEqual(self.count(), 205)
        self.assertIn("breakpoint already hit 1 time", self.gdb("info breakpoints"))
        self.ends_well()
        return resumes

    def test_in_the_stub(self):
        self.assertEqual(self.stops_of("target"), 1)

    def test_in_the_stub_by_default(self):
        self.assertEqual(self.stops_of("auto"), 1)

    def test_in_gdb(self):
        self.assertGreater(self.stops_of("host"), 3)


class ConditionTest(ConditionsCase):
    def test_hardware_breakpoint(self):
        self.gdb(f"hbreak *place_7 if {self.counted} > 200")
        resumes, _ = self.resumes("continue")
        self.assertEqual((resumes, self.count()), (1, 207))
        self.ends_well()

    def test_two_at_one_address(self):
        self.gdb.all(f"break *place_7 if {self.counted} == 107", f"break *place_7 if {self.counted} == 207",
                     f"hbreak *place_7 if {self.counted} == 1")
        for expected in (107, 207):
            resumes, _ = self.resumes("continue")
            self.assertEqual(self.count(), expected)
        self.ends_well()

    def test_one_without_condition_wins(self):
        self.gdb.all(f"break *place_7 if {self.counted} == 107", "break *place_7")
        for expected in (7, 107, 207):
            self.gdb("continue")
            self.assertEqual(self.count(), expected)
        self.ends_well()

    def test_changed_condition(self):
        self.gdb("set breakpoint always-inserted on")
        self.gdb(f"break *place_7 if {self.counted} == 7")
        self.gdb("continue")
        self.gdb(f"condition 1 {self.counted} == 207")
        resumes, _ = self.resumes("continue")
        self.assertEqual(self.count(), 207)
        self.ends_well()

    def test_step_onto_one(self):
        self.gdb.all("break *place_5", "continue", f"break *place_6 if {self.counted} == 1")
        self.gdb("stepi")
        self.assertEqual(self.gdb.pc(), self.gdb.value("&place_6"))

    def test_memory_that_is_not_mapped(self):
        """What cannot be evaluated stops the guest."""
        self.gdb("break *place_5 if *(long*)0x123456789000 == 1")
        answer = self.gdb("continue")
        self.assertIn("condition of the breakpoint at 0x66: cannot read memory at 0x123456789000", answer)
        self.assertIn("Breakpoint 1, ", answer)
        self.assertEqual((self.count(), self.gdb.pc()), (5, self.place_5))

    def test_division_by_zero(self):
        self.gdb(f"break *place_5 if 100 / ({self.counted} - 105) == -1")
        self.gdb("continue")
        self.assertEqual(self.count(), 5)
        answer = self.gdb("continue")
        self.assertIn("condition of the breakpoint at 0x66: division by zero", answer)
        self.assertEqual(self.count(), 105)

    def test_watchpoint_meanwhile(self):
        self.gdb.all(f"break *place_5 if {self.counted} == 205", f"watch {self.counted} if {self.counted} == 150")
        self.gdb("continue")
        self.assertEqual(self.count(), 150)
        self.gdb("continue")
        self.assertEqual((self.count(), self.gdb.pc()), (205, self.place_5))

    def test_interrupt_while_it_is_false(self):
        """Ctrl-C ends a run that meets false conditions all the time."""
        self.gdb.all("set var *(long*)&rounds = 1000000000", f"break *place_5 if {self.counted} == 1")
        for _ in range(5):
            self.gdb.begin("continue")
            self.gdb.wait_until_running()
            self.gdb.interrupt()
            self.assertIn("SIGINT", self.gdb.answer())


    def test_two_thousand_hits(self):
        self.gdb.all("set var *(long*)&rounds = 3000", f"break *place_5 if {self.counted} == 200005")
        resumes, _ = self.resumes("continue")
        self.assertEqual((resumes, self.count()), (1, 200005))
        self.assertEqual(self.gdb.pc(), self.place_5)


class DprintfTest(ConditionsCase):
    def setUp(self):
        super().setUp()
        self.gdb("set dprintf-style agent")

    def test_printed_by_the_stub(self):
        self.gdb('set {char[5]}0x60000 = "word"')
        self.gdb(f'dprintf *place_5,"five %ld %x %c%s|%5d\\n", {self.counted}, 255, 65, (char*)0x60000, 7')
        resumes, answer = self.resumes("continue")
        self.assertEqual(resumes, 1, answer)
        self.assertEqual(re.findall(r"^five .*", answer, re.M),
                         [f"five {n} ff Aword|    7" for n in (5, 105, 205)])
        self.assertEqual(self.vm.run.finish().code, 0)

    def test_with_condition(self):
        self.gdb(f'dprintf *place_5,"five %ld\\n", {self.counted}')
        self.gdb(f"condition 1 {self.counted} > 100")
        answer = self.gdb("continue")
        self.assertEqual(re.findall(r"^five .*", answer, re.M), ["five 105", "five 205"])

    def test_beside_a_breakpoint(self):
        self.gdb.all(f'dprintf *place_5,"five %ld\\n", {self.counted}', "break *place_6")
        for expected in (5, 105):
            answer = self.gdb("continue")
            self.assertIn(f"five {expected}\n", answer)
            self.assertIn("Breakpoint 2, ", answer)

    def test_string_that_is_not_there(self):
        self.gdb('dprintf *place_5,"%s\\n", (char*)0x123456789000')
        self.assertIn("command of the breakpoint at 0x66: printf: cannot read the string at 0x123456789000", self.gdb("continue"))
        self.assertEqual(self.vm.run.finish().code, 0)  # gdb never stops at one of these

    def test_goes_on_after_detaching(self):
        self.gdb.all("set breakpoint always-inserted on", "set disconnected-dprintf on",
                     f'dprintf *place_5,"five %ld\\n", {self.counted}', "break *place_9", "continue")
        self.gdb("detach")
        result = self.vm.run.finish()
        self.assertEqual(result.code, 0)
        noted = re.findall(r"VM 1 \(gdb_points\): (five \d+)$", result.err.decode(), re.M)
        self.assertEqual(noted, ["five 105", "five 205"])

    def test_ends_with_gdb_if_asked(self):
        self.gdb.all("set breakpoint always-inserted on", "set disconnected-dprintf off",
                     f'dprintf *place_5,"five %ld\\n", {self.counted}', "break *place_9", "continue")
        self.gdb("detach")
        self.assertNotIn(b"five", self.vm.run.finish().err)


if __name__ == "__main__":
    main()
