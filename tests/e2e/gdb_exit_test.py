"""How a debugged guest ends, how its faults look in gdb, and how it is started again."""

import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import GdbCase  # noqa: E402
from hypervisor import contents, main, sample, sample_source  # noqa: E402


class ExitTest(GdbCase):
    def test_hlt_is_the_exit(self):
        offered, gdb = self.debug(sample("hello", "elf"))
        self.assertIn("exited normally", gdb("continue"))
        gdb("disconnect")
        self.assertEqual(offered.run.finish().code, 0)

    def test_hold_stops_at_hlt_first(self):
        offered, gdb = self.debug(sample("hello", "elf"), "--gdb-hold")
        self.assertIn("halted", gdb("continue"))
        self.assertIn("crt0.S", gdb("frame"))
        self.assertEqual(gdb.value("*(unsigned char *)($pc - 1)"), 0xf4)
        self.assertIn("exited normally", gdb("continue"))

    def test_fault_stops_at_the_instruction_with_the_report(self):
        offered, gdb = self.debug(sample("crash", "elf"))
        stop = gdb("continue")
        self.assertIn("page fault (#PF)", stop)
        self.assertIn("SIGSEGV", stop)
        self.assertIn("set_grade (student=0x40000000", stop)
        self.assertEqual(gdb.value("$cr2"), 0x40000000)
        self.assertIn("main ()", gdb("backtrace"))

    def test_a_fault_can_be_mended(self):
        offered, gdb = self.debug(sample("crash", "elf"))
        gdb("continue")
        gdb("set var $rdi = &ada")
        self.assertIn("exited normally", gdb("signal 0"))
        offered.run.wait_for(b"the exam is over")

    def test_reset_puts_everything_back(self):
        offered, gdb = self.debug(sample("crash", "elf"))
        gdb("break main")
        gdb("continue")
        gdb("set var ada.grade = 77")
        gdb("monitor reset")
        gdb("maintenance flush register-cache")
        self.assertEqual(gdb.pc(), 0)
        self.assertIn("main ()", gdb("continue"))
        self.assertIn("grade = 0", gdb("print ada"))

    def test_run_starts_again_with_files_as_at_the_start(self):
        shutil.copy(sample_source("files", "notes.txt"), self.path("notes.txt"))
        offered = self.offer(sample("files", "elf"), "-f", self.path("notes.txt"), "--gdb-hold")
        gdb = offered.gdb(connect=False)
        gdb(f"target extended-remote {offered.where[0]}")
        gdb("continue")
        gdb("run")
        gdb("continue")
        expected = contents(sample_source("files", "expected.txt"))
        offered.run.wait_for(expected + expected)

    def test_files_of_the_guest_can_be_fetched(self):
        shutil.copy(sample_source("files", "notes.txt"), self.path("notes.txt"))
        offered, gdb = self.debug(sample("files", "elf"), "-f", self.path("notes.txt"), "--gdb-hold")
        gdb("continue")
        gdb(f"remote get notes.txt {self.path('fetched')}")
        self.assertIn(b"only in my copy", contents(self.path("fetched")))
        self.assertFails(gdb(f"remote get /etc/passwd {self.path('passwd')}"))
        self.assertFails(gdb(f"remote get ../../etc/passwd {self.path('passwd')}"))
        self.assertFails(gdb(f"remote put {self.path('fetched')} notes.txt"))

    def test_monitor_commands(self):
        offered, gdb = self.debug(sample("hello", "elf"))
        gdb("break main")
        gdb("continue")
        for command, part in (("help", "pt ADDR"), ("regs", "cr3 0x01000000"), ("pt 0x1000", "PML4[  0]"),
                              ("map", "0x0000000001000000"), ("files", "bytes written"), ("stats", "exits")):
            self.assertIn(part, gdb(f"monitor {command}"), command)
        self.assertIn("there is no command", gdb("monitor nonsense"))

    def test_physical_addresses(self):
        offered, gdb = self.debug(sample("paging", "elf"), "-m", "4", "--gdb-hold")
        gdb("continue")
        mapped = gdb.value("*(unsigned long *)0x40000000")
        gdb("monitor phys on")
        self.assertFails(gdb("output/x *(unsigned long *)0x40000000"), "0x40000000")
        gdb("monitor phys off")
        self.assertEqual(gdb.value("*(unsigned long *)0x40000000"), mapped)


if __name__ == "__main__":
    main()
