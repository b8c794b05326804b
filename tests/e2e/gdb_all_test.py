"""One port for all machines: gdb sees them as inferiors."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import GdbCase, Wire  # noqa: E402
from hypervisor import contents, guest, main, sample, sample_source  # noqa: E402


class OnePortForAllTest(GdbCase):
    def test_machines_are_inferiors(self):
        run, gdb = self.debug_all(sample("primes", "elf"), sample("fibonacci", "elf"))
        inferiors = gdb("info inferiors")
        self.assertIn("process 1", inferiors)
        self.assertIn("process 2", inferiors)
        gdb("inferior 2")
        self.assertIn("_start", gdb("info symbol $pc"))

    def test_one_is_stepped_while_the_other_stands(self):
        run, gdb = self.debug_all(sample("hello", "elf"), sample("fibonacci", "elf"))
        self.assertIn("exited normally", gdb("continue"))
        run.wait_for(contents(sample_source("hello", "expected.txt")))

    def test_all_run_together(self):
        run, gdb = self.debug_all(sample("hello", "elf"), sample("fibonacci", "elf"))
        gdb("set schedule-multiple on")
        self.assertIn("exited normally", gdb("continue"))
        gdb("kill inferiors 1 2")

    def test_one_that_was_let_go_is_started_again(self):
        """It runs meanwhile, on a thread of its own, and is stopped first."""
        run = self.start("-g", guest("spin"), guest("spin"), "--gdb-all", "unix:socket")
        run.wait_for(b"target remote", "err")
        wire = Wire(self.path("socket"))
        self.addCleanup(wire.close)

        def ask(packet, answer):
            wire.send(packet)
            self.assertTrue(wire.receive().startswith(answer), packet)
        ask("qSupported:multiprocess+", b"PacketSize")
        ask("!", b"OK")
        start = b"T05thread:p1.1;"
        for again in (("vRun;", start), ("qRcmd,7265736574", b"O"), ("vRun;", start)):
            ask("D;1", b"OK")
            ask(*again)
            if again[1] == b"O":
                self.assertEqual(wire.receive(), b"OK")
            wire.send("vCont;c:p1.-1")
            wire.send_raw(b"\x03")
            self.assertTrue(wire.receive().startswith(b"T02"))
        ask("vKill;1", b"OK")
        ask("vKill;2", b"OK")


if __name__ == "__main__":
    main()
