"""What the program's exit status says about a machine that gdb has ended, or let end."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import GdbCase  # noqa: E402
from hypervisor import guest, main, sample  # noqa: E402


class EndsTest(GdbCase):
    def ends(self, vm, code):
        self.assertEqual(vm.run.finish().code, code)

    def test_killed_before_it_ran(self):
        vm, gdb = self.debug(sample("crash", "elf"))
        gdb("kill")
        self.ends(vm, 0)

    def test_killed_at_a_breakpoint(self):
        vm, gdb = self.debug(sample("crash", "elf"))
        gdb("break set_grade")
        gdb("continue")
        gdb("kill")
        self.ends(vm, 0)

    def test_killed_after_an_interrupt_is_no_timeout(self):
        vm, gdb = self.debug(guest("spin"))
        gdb.begin("continue")
        vm.run.wait_for(b"a line\nunfinished")
        gdb.interrupt()
        self.assertIn("SIGINT", gdb.answer())
        gdb("kill")
        self.ends(vm, 0)

    def test_killed_after_a_crash_it_has_crashed(self):
        vm, gdb = self.debug(sample("crash", "elf"))
        self.assertIn("SIGSEGV", gdb("continue"))
        gdb("kill")
        self.ends(vm, 5)

    def test_a_crash_that_is_let_go(self):
        vm, gdb = self.debug(sample("crash", "elf"))
        gdb("continue")
        self.assertIn("terminated with signal SIGSEGV", gdb("continue"))
        gdb("disconnect")
        self.ends(vm, 5)

    def test_what_ended_before_the_timeout_is_not_said_to_run_still(self):
        images = [guest("spin"), sample("crash"), sample("hello")]
        run = self.run_vm("-g", *images, "--gdb-all", "0", "--gdb-run", "--timeout", "1.5")
        self.assertEqual(run.code, 124)
        self.assertIn("VM 1 (spin): still running", run.messages)
        self.assertIn("VM 2 (crash): page fault", run.messages)
        self.assertNotIn("VM 3", run.messages)


if __name__ == "__main__":
    main()
