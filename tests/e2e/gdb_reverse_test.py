"""Backwards: gdb's reverse commands and `monitor goto`, on the software processor, which counts instructions."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import Gdb, GdbCase, elf  # noqa: E402
from hypervisor import main, sample  # noqa: E402

FLUSH = "maintenance flush register-cache", "maintenance flush dcache"


class ReverseTest(GdbCase):
    keeps_history = True

    def backwards(self, image, *arguments):
        """A machine whose past is kept, and a gdb."""
        return self.debug(image, "--accel", "soft", *arguments)

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
        self.assertIn("No more reverse-execution history", gdb("reverse-stepi"))
        self.assertIn("No more reverse-execution history", gdb("reverse-continue"))

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

    def test_commands_are_silent_backwards(self):
        vm, gdb = self.backwards(sample("fibonacci", "elf"))
        gdb("set dprintf-style agent")
        second = re.findall(r"0x[0-9a-f]+", gdb("x/2i fibonacci"))[-1]
        gdb(f'dprintf *{second},"of %d\\n", n')
        gdb("break fibonacci if n == 10")
        self.assertIn("of 9\n", gdb("continue"))
        gdb("delete 2")
        self.assertNotIn("of ", gdb("reverse-continue"))
        gdb("break fibonacci if n == 10")
        self.assertIn("of 9\n", gdb("continue"))

    def test_without_history(self):
        vm, gdb = self.backwards(elf("spin"), "--no-history")
        gdb("stepi")
        self.assertIn("does not support this command", gdb("reverse-stepi"))
        self.assertIn("keeps no history", gdb("monitor goto start"))

    def test_each_machine_has_its_own_time(self):
        run = self.start("-g", elf("spin"), elf("spin"), "--accel", "soft", "--gdb-all", "0")
        line = run.wait_for(b"target remote", "err").decode()
        gdb = Gdb(self.dir, elf("spin"))
        self.addCleanup(gdb.close)
        gdb(f"target remote {re.search(r'target remote ([0-9.:]+)', line)[1]}")
        gdb.all("stepi", "stepi", "inferior 2", "stepi")
        gdb("reverse-stepi")
        self.assertEqual(self.position(gdb), 0)
        gdb("inferior 1")
        self.assertEqual(self.position(gdb), 2)


if __name__ == "__main__":
    main()
