"""Ends, held and not, and starting over: memory, registers and files as at the start."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import GdbCase, elf  # noqa: E402
from hypervisor import main, sample  # noqa: E402


class RestartTest(GdbCase):
    def test_exit_and_hold(self):
        vm, gdb = self.debug(elf("gdb_points"), "--gdb-hold")
        answer = gdb("continue")
        self.assertIn("SIGTRAP", answer)
        self.assertIn("halted", answer)
        self.assertEqual(gdb.value("*(long*)&count"), 300, "registers and memory can be looked at")
        self.assertIn("exited normally", gdb("continue"))
        self.assertEqual(vm.run.finish().code, 0)

    def test_run_again_and_again(self):
        vm = self.offer(elf("gdb_points"))
        gdb = vm.gdb(connect=False)
        gdb(f"target extended-remote {vm.where[0]}")
        gdb("break place_3")
        for _ in range(3):
            self.assertIn("place_3", gdb("continue"))
            gdb("set *(long*)0x90000 = 77")
            gdb("delete")
            self.assertIn("exited normally", gdb("continue"))
            gdb("break place_3")
            self.assertIn("place_3", gdb("run"))
            self.assertEqual(gdb.value("*(long*)&count"), 3)
            self.assertEqual(gdb.value("*(long*)0x90000"), 0, "memory is as at the start")
            self.assertIn("place_3", gdb("run"), "in the middle of a run too")
        self.assertEqual(vm.run.wait_for(b"done\n" * 3), b"done\n" * 3)
        gdb("kill")

    def test_run_with_arguments(self):
        """gdb 13 does not say why it was refused, so the program does; names and arguments may be anything."""
        vm = self.offer(elf("gdb_points"))
        gdb = vm.gdb(connect=False)
        gdb(f"target extended-remote {vm.where[0]}")
        self.assertFails(gdb("run one two"))
        vm.run.wait_for(b"cannot restart: VM 1 takes no arguments\n", "err")
        gdb("set args")
        gdb("set remote exec-file \33other")
        self.assertFails(gdb("run"))
        told = vm.run.wait_for(b"other\n", "err")
        self.assertRegex(told.decode(), r"cannot restart: VM 1 runs its own image, not [^\0-\37]*other\n")
        gdb("set remote exec-file")
        self.assertIn("exited normally", gdb("run"))

    def test_breakpoint_at_the_entry_point(self):
        vm = self.offer(elf("gdb_points"))
        gdb = vm.gdb(connect=False)
        gdb(f"target extended-remote {vm.where[0]}")
        gdb("break *_start")
        for _ in range(2):
            self.assertIn("Breakpoint 1", gdb("run"))
            self.assertEqual(gdb.pc(), gdb.value("&_start"))
        self.assertIn("exited normally", gdb("continue"))
        gdb("kill")

    def test_run_after_a_crash(self):
        vm = self.offer(sample("crash", "elf"))
        gdb = vm.gdb(connect=False)
        gdb(f"target extended-remote {vm.where[0]}")
        for _ in range(2):
            self.assertIn("SIGSEGV", gdb("continue"))
            self.assertNotIn("error", gdb("starti"))
            self.assertEqual(gdb.pc(), gdb.value("&_start"))

    def test_monitor_reset(self):
        vm, gdb = self.debug(elf("gdb_points"))
        gdb("break place_50")
        for _ in range(3):
            self.assertIn("place_50", gdb("continue"))
            self.assertEqual(gdb.value("*(long*)&count"), 50)
            gdb("set $rbx = 5")
            gdb("monitor reset")
            gdb("maintenance flush register-cache")
            gdb("maintenance flush dcache")
            self.assertEqual(gdb.pc(), gdb.value("&_start"))
            self.assertEqual(gdb.value("$rbx"), 0)
            self.assertEqual(gdb.value("*(long*)&count"), 0)

    def test_kill(self):
        vm, gdb = self.debug(elf("gdb_points"))
        self.assertIn("killed", gdb("kill"))
        self.assertEqual(vm.run.finish().out, b"")


if __name__ == "__main__":
    main()
