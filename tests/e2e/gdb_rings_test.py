"""Ring 3: breakpoints, steps and watchpoints are as exact as in ring 0, also where KVM reports nothing of them."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import GdbCase, elf  # noqa: E402
from hypervisor import main  # noqa: E402

# of the guest `rings`: what it executes in ring 3, in order
USER = ["user", "user_1", "user_2", "user_3", "user_int3", "user_end"]


class RingsTest(GdbCase):
    def setUp(self):
        super().setUp()
        self.vm, self.gdb = self.debug(elf("rings"))

    def own_handlers(self):
        """Have the guest bring an IDT of its own."""
        self.gdb("set $pc = with_handlers")

    def one_handler(self):
        """Have the guest bring an IDT with #GP and nothing else: an INT3 in ring 3 is a triple fault then."""
        self.gdb("set $pc = with_one_handler")

    def stands_at(self, label):
        self.assertEqual(self.gdb.pc(), self.gdb.value(f"&{label}"), label)

    def go_to_ring_3(self):
        self.gdb("tbreak *to_ring_3")
        self.gdb("continue")
        self.stands_at("to_ring_3")
        self.gdb("stepi")
        self.stands_at("user")

    def check_breakpoints(self, command):
        for label in ("user_1", "user_2", "user_3"):
            self.gdb(f"{command} *{label}")
        for label in ("user_1", "user_2", "user_3"):
            self.assertIn("reakpoint", self.gdb("continue"))
            self.stands_at(label)
            self.assertEqual(self.gdb.value("$cs") & 3, 3)

    def check_steps(self):
        self.go_to_ring_3()
        for label in USER[1:-1]:
            self.gdb("stepi")
            self.stands_at(label)

    def test_breakpoints(self):
        self.go_to_ring_3()
        self.check_breakpoints("break")

    def test_breakpoints_with_handlers(self):
        self.own_handlers()
        self.check_breakpoints("break")
        self.gdb("delete")
        self.assertIn("exited normally", self.gdb("continue"))
        self.assertEqual(self.vm.run.finish().out, b"\nint3\n#GP\n")

    def test_breakpoints_with_one_handler(self):
        self.one_handler()
        self.check_breakpoints("break")

    def test_breakpoints_side_by_side_with_one_handler(self):
        self.one_handler()
        for label in ("user_1", "user_2", "user_3", "user_int3"):
            self.gdb(f"hbreak *{label}")
        for label in ("user_1", "user_2", "user_3", "user_int3"):
            self.gdb("continue")
            self.stands_at(label)

    def test_steps_with_one_handler(self):
        self.one_handler()
        self.check_steps()

    def test_hardware_breakpoints(self):
        self.go_to_ring_3()
        self.check_breakpoints("hbreak")

    def test_hardware_breakpoints_with_handlers(self):
        self.own_handlers()
        self.check_breakpoints("hbreak")

    def test_more_than_there_are_registers(self):
        for i in range(4):
            self.gdb(f"break *never + {i}")
        self.own_handlers()
        self.check_breakpoints("break")

    def test_steps(self):
        self.check_steps()
        self.assertIn("breakpoint (#BP), vector 3", self.gdb("stepi"))

    def test_steps_with_handlers(self):
        self.own_handlers()
        self.check_steps()
        self.gdb("stepi")
        self.stands_at("int3_handler")
        self.assertEqual(self.gdb.value("$cs") & 3, 0)
        self.gdb("tbreak *user_end")
        self.gdb("continue")
        self.stands_at("user_end")
        self.gdb("stepi")
        self.stands_at("protection_handler")
        self.assertIn("exited normally", self.gdb("continue"))
        self.assertEqual(self.vm.run.finish().out, b"\nint3\n#GP\n")

    def test_no_trap_flag_is_seen(self):
        """Flags the guest pushes in ring 3, and those of its frames, are its own."""
        self.own_handlers()
        self.check_steps()
        self.gdb("stepi")
        self.assertEqual(self.gdb.value("*(long *)($rsp + 16)") & 0x100, 0)

    def test_breakpoint_that_is_stepped_onto(self):
        self.check_steps()
        self.gdb("break *user_1")
        self.gdb("set $pc = user")
        self.gdb("stepi")
        self.stands_at("user_1")

    def test_watch(self):
        self.gdb("watch *(long *)&counter")
        self.assertIn("New value = 1", self.gdb("continue"))
        self.stands_at("user_3")

    def test_the_guests_own_int3(self):
        """It is the guest's, also while breakpoints lie beside it."""
        self.own_handlers()
        self.gdb("break *user_end")
        self.gdb("continue")
        self.stands_at("user_end")
        self.vm.run.wait_for(b"int3\n")

    def test_faults_are_caught(self):
        self.own_handlers()
        self.gdb("monitor catch fault")
        self.assertIn("exception 3, delivered to the guest's handler", self.gdb("continue"))
        self.stands_at("int3_handler")
        self.assertIn("exception 13, delivered to the guest's handler", self.gdb("continue"))
        self.stands_at("protection_handler")


class WholeRunTest(GdbCase):
    def test_stepping_changes_nothing(self):
        """A guest that goes to ring 3 and back, stepped from end to end."""
        alone = self.run_vm("-g", elf("interrupts"))
        vm, gdb = self.debug(elf("interrupts"))
        gdb("monitor catch fault 31")
        self.assertIn("exited normally", gdb("continue"))
        self.assertEqual(vm.run.finish().out, alone.out)


if __name__ == "__main__":
    main()
