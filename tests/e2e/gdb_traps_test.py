"""
What a debugger must not disturb, and must not be disturbed by: guests that debug themselves, handlers that return with RF,
SYSCALL and SYSRET, CR8, memory that is mapped later.
"""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import GdbCase, elf  # noqa: E402
from hypervisor import ACCEL, DEADLINE, main, probe  # noqa: E402

TF = 0x100
DR6_STEP, DR6_0, DR6_1 = 0xffff4ff0, 0xffff0ff1, 0xffff0ff2
LINUX_FMASK, FMASK_WITHOUT_TF = 0x47700, 0x200


class TrapsCase(GdbCase):
    def debug_part(self, letter):
        """gdb at the start of a part of the guest `traps`."""
        self.vm, self.gdb = self.debug(elf("traps"))
        self.vm.run.send(letter)

    def address(self, label):
        return self.gdb.value(f"&{label}")

    def goes_to(self, label, command="continue"):
        answer = self.gdb(command)
        self.assertEqual(self.gdb.pc(), self.address(label), answer)
        return answer

    def go_on(self):
        """Let it run to its end, still with a breakpoint; what it printed."""
        self.gdb("delete")
        self.gdb("break *never")
        self.assertIn("exited normally", self.gdb("continue"))
        return self.vm.run.finish().out.decode()

    def labels(self):
        """Addresses, without a machine."""
        names = subprocess.run(["nm", elf("traps")], stdout=subprocess.PIPE, timeout=DEADLINE, check=True).stdout
        return {line.split()[2]: int(line.split()[0], 16) for line in names.decode().splitlines()}


class OwnDebuggingTest(TrapsCase):
    """A guest that uses the trap flag or debug registers gets each #DB exactly as without a debugger."""

    def parts(self):
        """Letter -> labels a breakpoint may lie at, and what the guest prints."""
        at = self.labels()

        def debug_exceptions(dr6, *labels):
            return "".join(f"#DB {at[label]:016x} {dr6:016x}\n" for label in labels) + "end\n"
        steps = [f"own_step_{i}" for i in range(2, 7)]
        parts = {b"t": (steps, debug_exceptions(DR6_STEP, *steps)),
                 b"x": (["own_execute", "own_executed", "own_executed", "own_executed_end"], debug_exceptions(DR6_0, "own_executed"))}
        if ACCEL == "soft" or probe().get("kvm-data-registers") != "no":
            parts[b"w"] = (["own_write", "own_store", "own_stored"], debug_exceptions(DR6_1, "own_stored"))
        return parts

    def test_alone(self):
        for letter, (_, printed) in self.parts().items():
            self.check(self.run_vm("-g", elf("traps"), input=letter), 0, printed.encode(), "")

    def test_under_a_debugger_that_only_watches(self):
        for letter, (_, printed) in self.parts().items():
            self.debug_part(letter)
            self.assertEqual(self.go_on(), printed)

    def test_with_breakpoints(self):
        """Of either kind, in the order in which they are met; the guest's handler returns to one of its own."""
        for letter, (places, printed) in self.parts().items():
            for kind in ("break", "hbreak"):
                with self.subTest(part=letter, kind=kind):
                    self.debug_part(letter)
                    for place in dict.fromkeys(places):
                        self.gdb(f"{kind} *{place}")
                    self.assertIn(self.places_met(places[-1], len(places)), self.orders(places, kind))
                    self.assertEqual(self.go_on(), printed)

    def places_met(self, last, count):
        """Where it stops until `last`, at most `count` places."""
        names = {self.address(label): label for label in self.labels() if label.startswith("own_")}
        met = []
        while last not in met and len(met) < count:
            self.gdb("continue")
            met.append(names.get(self.gdb.pc()))
        return met

    def orders(self, places, kind):
        """An INT3 of KVM lies behind the guest's own breakpoint on it, and is met once; a handler came before."""
        return [places] + ([list(dict.fromkeys(places))] if ACCEL != "soft" and kind == "break" else [])

    def test_stepped_from_end_to_end(self):
        for letter, (places, printed) in self.parts().items():
            with self.subTest(part=letter):
                self.debug_part(letter)
                self.gdb(f"break *{places[0]}")
                self.goes_to(places[0])
                self.gdb("stepi 40")
                self.assertEqual(self.go_on(), printed)

    def test_step_into_its_handler(self):
        """The guest's trap comes after the instruction that is stepped: the step ends in the handler."""
        self.debug_part(b"t")
        self.gdb("break *own_step_1")
        self.goes_to("own_step_1")
        self.gdb("stepi")
        self.assertEqual(self.gdb.value("*(long *)$rsp"), self.address("own_step_2"))
        self.assertEqual(self.gdb.value("*(long *)($rsp + 16)") & TF, TF, "it is the guest's own")
        self.assertEqual(self.gdb.value("$eflags") & TF, 0)


class ReturnTest(TrapsCase):
    """IRET loads RF from the frame of a fault: it is for the guest's debug registers, not for the debugger."""

    def check_stops(self, kind):
        self.debug_part(b"f")
        self.gdb(f"{kind} *faulting")
        self.goes_to("faulting")
        self.assertEqual(self.gdb.value("$rcx"), 0)
        self.goes_to("faulting")
        self.assertEqual(self.gdb.value("$rcx"), 1, "it came back from the handler")
        self.assertEqual(self.go_on(), "divided\n")

    def test_back_to_a_breakpoint(self):
        self.check_stops("break")

    def test_back_to_a_hardware_breakpoint(self):
        self.check_stops("hbreak")

    def test_to_a_breakpoint_elsewhere(self):
        for kind in ("break", "hbreak"):
            self.debug_part(b"F")
            self.gdb(f"{kind} *other_place")
            self.goes_to("other_place")
            self.assertEqual(self.go_on(), "elsewhere\n")

    def test_steps(self):
        self.debug_part(b"f")
        self.gdb("break *on_divide_iret")
        self.goes_to("on_divide_iret")
        self.goes_to("faulting", "stepi")
        self.goes_to("divided", "stepi")
        self.assertEqual(self.go_on(), "divided\n")


class SyscallTest(TrapsCase):
    def debug_syscalls(self, fmask):
        self.debug_part(b"s")
        self.gdb(f"set *(int *)&fmask = {fmask}")

    def go_to(self, label):
        self.gdb(f"tbreak *{label}")
        self.goes_to(label)

    def test_steps(self):
        """Through both, with what Linux masks and with the trap flag not masked; the guest sees no flag of ours."""
        for fmask in (LINUX_FMASK, FMASK_WITHOUT_TF):
            with self.subTest(fmask=hex(fmask)):
                self.debug_syscalls(fmask)
                self.go_to("to_ring_3")
                for label in ("user", "user_syscall", "kentry", "kentry_1"):
                    self.goes_to(label, "stepi")
                    self.assertEqual(self.gdb.value("$cs") & 3, 3 if label.startswith("user") else 0)
                    self.assertEqual(self.gdb.value("$eflags") & TF, 0)
                for register in ("r11", "r12"):
                    self.assertEqual(self.gdb.value("$" + register) & TF, 0)
                self.go_to("kernel_return")
                self.goes_to("user_back", "stepi")
                self.goes_to("user_last", "stepi")
                self.assertEqual(self.go_on(), "Y")

    def test_breakpoints(self):
        for kind in ("break", "hbreak"):
            for fmask in (LINUX_FMASK, FMASK_WITHOUT_TF):
                with self.subTest(kind=kind, fmask=hex(fmask)):
                    self.debug_syscalls(fmask)
                    for label in ("user", "kentry", "user_back"):
                        self.gdb(f"{kind} *{label}")
                    for label in ("user", "kentry", "user_back", "kentry"):
                        self.goes_to(label)
                    self.assertEqual(self.go_on(), "Y")

    def test_entered_by_hand(self):
        """Ring 3 because the debugger says so."""
        self.debug_syscalls(LINUX_FMASK)
        self.go_to("to_ring_3")
        self.gdb.all("set $cs = 0x23", "set $ss = 0x1b", "set $rip = user_syscall", "set $rbx = 1")
        self.goes_to("kentry", "stepi")
        self.assertEqual(self.gdb.value("$r11") & TF, 0)
        self.assertEqual(self.go_on(), "Y")


class Cr8Test(TrapsCase):
    """The task priority: KVM leaves the guest whenever it goes down, and nothing is to be done then."""

    def test_alone(self):
        self.check(self.run_vm("-g", elf("traps"), input=b"c"), 0, b"30", "")

    def test_steps(self):
        self.debug_part(b"c")
        self.gdb("break *cr8")
        self.goes_to("cr8")
        self.gdb("stepi 2")
        self.assertEqual((self.gdb.pc(), self.gdb.value("$cr8")), (self.address("cr8_raised"), 5))
        self.gdb("stepi 2")
        self.assertEqual((self.gdb.pc(), self.gdb.value("$cr8")), (self.address("cr8_lowered"), 3))
        self.assertEqual(self.go_on(), "30")

    def test_set_by_gdb(self):
        self.debug_part(b"c")
        self.gdb("tbreak *cr8_lowered")
        self.goes_to("cr8_lowered")
        self.gdb("set $cr8 = 7")
        self.gdb("maintenance flush register-cache")
        self.assertEqual(self.gdb.value("$cr8"), 7)
        self.assertEqual(self.go_on(), "70")

    def test_set_by_a_snapshot(self):
        """Restored from high to low and from low to high; the guest reads what was there."""
        self.debug_part(b"c")
        self.gdb("tbreak *cr8_raised")
        self.goes_to("cr8_raised")
        self.gdb("monitor snapshot raised")
        self.gdb("tbreak *cr8_printed")
        self.goes_to("cr8_printed")
        self.gdb("monitor snapshot lowered")
        for name, value in (("raised", 5), ("lowered", 3), ("raised", 5)):
            self.gdb(f"monitor restore {name}")
            self.gdb("maintenance flush register-cache")
            self.assertEqual(self.gdb.value("$cr8"), value)
        # what was printed before is not printed again, where the past is kept
        self.assertEqual(self.go_on(), "30" if self.keeps_history else "330")


class MappedLaterTest(TrapsCase):
    """Points at addresses where there is no memory yet are kept, and work once there is some."""

    def check_access(self, command, stop, value):
        self.debug_part(b"m")
        answer = self.gdb(f"{command} *(int *)(0x40000000 + (long)&cell)")
        self.assertNotIn("error", answer)
        self.assertIn(value, self.goes_to(stop))
        self.assertEqual(self.go_on(), "far away\n")

    def test_watch(self):
        self.check_access("watch", "incremented", "New value = 42")

    def test_rwatch(self):
        self.check_access("rwatch", "incremented", "Value = 42")  # INC reads before it writes

    def test_awatch(self):
        self.check_access("awatch", "incremented", "42")

    def test_break(self):
        for kind in ("break", "hbreak"):
            with self.subTest(kind=kind):
                self.debug_part(b"m")
                self.gdb(f"{kind} *(0x40000000 + (long)&far_away)")
                self.gdb("break *mapped")
                self.goes_to("mapped")
                self.gdb("continue")
                self.assertEqual(self.gdb.pc(), 0x40000000 + self.address("far_away"))
                self.assertEqual(self.go_on(), "far away\n")


class PermanentTest(TrapsCase):
    def test_int3_of_the_guest(self):
        """gdb stops after it, and the guest continues from there, as natively."""
        self.debug_part(b"3")
        self.assertIn("SIGTRAP", self.goes_to("behind_int3"))
        self.assertEqual(self.go_on(), "went on\n")

    def test_breakpoint_on_it(self):
        """gdb knows it as a permanent one, and steps over it."""
        self.debug_part(b"3")
        self.gdb("break *its_int3")
        self.assertIn("Breakpoint 1", self.goes_to("its_int3"))
        self.gdb("delete")
        self.gdb("continue")
        if self.gdb.pc() != self.address("behind_int3"):
            self.goes_to("behind_int3")
        self.assertEqual(self.go_on(), "went on\n")


class MovedTest(TrapsCase):
    """Where the debugger resumes it."""

    def test_jump(self):
        self.debug_part(b"c")
        self.gdb("break *other_place")
        self.goes_to("other_place", "jump *other_place")
        self.gdb("tbreak *divided")
        self.goes_to("divided", "jump *divided")
        self.assertEqual(self.go_on(), "divided\n")

    def test_set_pc(self):
        self.debug_part(b"c")
        self.gdb("set $pc = divided")
        self.assertEqual(self.go_on(), "divided\n")

    def test_break_at_the_entry_and_run(self):
        self.debug_part(b"c")
        self.gdb("break *_start")
        self.gdb("run")
        self.assertEqual(self.gdb.pc(), self.address("_start"))
        self.gdb("tbreak *cr8")
        self.goes_to("cr8")


class CalledTest(GdbCase):
    def test_breakpoint_in_a_called_function(self):
        """It ends the call there; the frame of the call is left, and everything is as before."""
        vm, gdb = self.debug(elf("gdb_program"))
        gdb("break program")
        gdb("continue")
        before = gdb("info registers")
        gdb("break add")
        self.assertIn("The program being debugged stopped while in a function called from GDB", gdb("print loop(3)"))
        self.assertIn("add (a=0, b=0)", gdb("frame"))
        gdb("delete")
        self.assertIn("3", gdb("finish") + gdb("finish"))
        self.assertEqual(gdb("info registers"), before)
        self.assertIn("exited normally", gdb("continue"))


if __name__ == "__main__":
    main()
