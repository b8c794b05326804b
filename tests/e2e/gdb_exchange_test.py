"""Interrupts under gdb: steps hold them back unless told otherwise, handlers can be debugged, and runs go backwards."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import END_OF_HISTORY, GdbCase  # noqa: E402
from hypervisor import contents, main, sample, sample_source  # noqa: E402


class ExchangeUnderGdbTest(GdbCase):
    def start_both(self):
        """A writer and a reader, each with its gdb."""
        offered = self.offer([sample("phase3", "elf")] * 2, "--exchange", "--label", "always")
        return offered, offered.gdb(1), offered.gdb(2)

    def position(self, gdb):
        return int(re.search(r"instruction (\d+)", gdb("monitor when"))[1])

    def finish(self, offered, *gdbs):
        for gdb in gdbs:
            gdb("delete")
            gdb.begin("continue")
        for gdb in gdbs:
            self.assertIn("exited normally", gdb.answer())
        out = self.check(offered.run.finish()).out
        for name, expected in (("phase3", "expected.txt"), ("phase3#2", "expected-reader.txt")):
            prefix = name.encode() + b"| "
            own = [line[len(prefix):] for line in out.splitlines(True) if line.startswith(prefix)]
            self.assertEqual(b"".join(own), contents(sample_source("phase3", expected)), name)

    def to_hlt(self, gdb):
        gdb("tbreak wait_for_interrupt")
        gdb("continue")
        gdb("stepi")
        self.assertIn("hlt", gdb("x/i $pc"))

    def test_steps_hold_interrupts_back_unless_told_otherwise(self):
        offered, writer, reader = self.start_both()
        self.assertIn("wait while", writer("monitor interrupts"))
        self.assertFails(writer("monitor interrupts sometimes"), "say hold or deliver")
        self.to_hlt(writer)
        before = self.position(writer)
        self.assertIn("main ()", writer("stepi"), "behind the hlt")
        self.assertIn("75\t", writer("next"), "and around the loop")
        self.assertIn("74\t", writer("next"))
        self.assertEqual(writer.value("(int)role"), 2, "still not known")
        self.assertIn("are delivered", writer("monitor interrupts deliver"))
        self.to_hlt(writer)
        at = self.position(writer)
        self.assertIn("handle_interrupt (", writer("stepi"))
        self.assertEqual(self.position(writer), at + 1)
        self.assertRegex(writer("backtrace"), r"#1 .* in wait_for_interrupt \(\).*\n#2 +main \(\)")
        self.assertFalse(writer.value("$eflags") & 0x200)
        writer("reverse-stepi")
        self.assertIn("hlt", writer("x/i $pc"))
        self.assertIn("handle_interrupt (", writer("stepi"), "in the past it comes where it came")
        writer(f"monitor goto {before + 1}")
        writer("maintenance flush register-cache")
        self.assertIn("main", writer("frame"), "and was held back where it was")
        writer("monitor interrupts hold")
        self.finish(offered, reader, writer)

    def test_breakpoints_in_the_handler_in_both_directions(self):
        offered, writer, reader = self.start_both()
        reader.begin("continue")
        writer("break send")
        seen = []
        for _ in range(3):
            self.assertIn("Breakpoint 1, send ()", writer("continue"))
            seen.append((self.position(writer), writer.value("$rsp"), writer.value("sent")))
        for place in reversed(seen[:2]):
            self.assertIn("Breakpoint 1, send ()", writer("reverse-continue"))
            self.assertEqual((self.position(writer), writer.value("$rsp"), writer.value("sent")), place)
        self.assertRegex(writer("reverse-continue"), END_OF_HISTORY)
        writer("delete")
        self.assertEqual(self.position(writer), 0)
        self.assertFails(writer("set $rbx = 7"))
        self.assertIn("has exchanged data with others since instruction 0", writer("monitor when"))
        writer("watch sent")
        writer("set can-use-hw-watchpoints 1")
        self.assertIn("New value = 1", writer("continue"))
        self.assertIn("New value = 2", writer("continue"))
        self.finish(offered, writer)
        self.assertIn("exited normally", reader.answer())

    def test_ctrl_c_ends_a_wait_and_it_begins_again(self):
        offered, writer, reader = self.start_both()
        reader.begin("continue")
        reader.wait_until_running()
        self.to_hlt(writer)  # the reader learns its role, and waits for data
        reader.interrupt()
        answer = reader.answer()
        self.assertIn("SIGINT", answer)
        while "wait_for_interrupt" not in answer:  # it was stopped on its way there
            reader.begin("continue")
            reader.wait_until_running()
            reader.interrupt()
            answer = reader.answer()
        self.assertIn("hlt", reader("x/i $pc"))
        position = self.position(reader)
        reader("reverse-stepi")
        self.assertIn("sti", reader("x/i $pc"))
        self.assertEqual(self.position(reader), position - 1)
        self.finish(offered, reader, writer)

    def test_restart_and_snapshots(self):
        offered, writer, reader = self.start_both()
        writer("monitor snapshot before")
        writer("break learn_role")
        self.assertIn("learn_role ()", writer("continue"))
        writer("monitor reset")
        writer("maintenance flush register-cache")
        self.assertFails(writer("monitor restore before"), "has exchanged data with others since")
        self.assertIn("learn_role ()", writer("continue"), "it learns its role again")
        self.finish(offered, reader, writer)


if __name__ == "__main__":
    main()
