"""gdb goes and comes again: detached, disconnected, killed."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import GdbCase  # noqa: E402
from hypervisor import contents, guest, main, sample, sample_source  # noqa: E402


class LostTest(GdbCase):
    def test_a_hundred_times(self):
        offered = self.offer(sample("hello", "elf"))
        for i in range(100):
            wire = offered.wire()
            self.assertIn("PacketSize", wire.ask("qSupported:multiprocess+"))
            self.assertEqual(len(wire.ask("p10")), 16)
            wire.close()  # not detached: the machine stays where it is
        self.assertIn("exited normally", offered.gdb()("continue"))
        offered.run.wait_for(contents(sample_source("hello", "expected.txt")))

    def test_gdb_itself_ten_times(self):
        offered = self.offer(sample("fibonacci", "elf"))
        for i in range(10):
            gdb = offered.gdb()
            gdb("stepi")
            gdb("disconnect")
            gdb.close()
        gdb = offered.gdb()
        self.assertIn("exited normally", gdb("continue"))
        offered.run.wait_for(contents(sample_source("fibonacci", "expected.txt")))

    def test_after_detach_the_guest_runs_on(self):
        offered, gdb = self.debug(sample("hello", "elf"))
        gdb("break puts")
        gdb("continue")
        gdb("detach")
        result = offered.run.finish()
        self.assertEqual((result.code, result.out), (0, contents(sample_source("hello", "expected.txt"))))

    def test_breakpoints_are_gone_after_detach(self):
        offered, gdb = self.debug(sample("fibonacci", "elf"))
        gdb("break putchar")
        gdb("continue")
        gdb("detach")
        self.assertEqual(offered.run.finish().code, 0)

    def kill_gdb(self, *policy):
        offered, gdb = self.debug(sample("hello", "elf"), *policy)
        gdb("break puts")
        gdb("continue")
        gdb.kill()
        return offered

    def test_killed_gdb_leaves_the_guest_stopped(self):
        offered = self.kill_gdb()
        gdb = offered.gdb()
        self.assertIn("puts", gdb("backtrace 1"))
        self.assertIn("exited normally", gdb("continue"))
        offered.run.wait_for(contents(sample_source("hello", "expected.txt")))

    def test_killed_gdb_and_the_guest_goes_on(self):
        result = self.kill_gdb("--gdb-lost", "continue").run.finish()
        self.assertEqual((result.code, result.out), (0, contents(sample_source("hello", "expected.txt"))))

    def test_killed_gdb_and_the_guest_ends(self):
        result = self.kill_gdb("--gdb-lost", "kill").run.finish()
        self.assertEqual((result.code, result.out), (0, b""))

    def test_killed_while_the_guest_runs(self):
        offered, gdb = self.debug(guest("spin"), "--gdb-lost", "kill")
        gdb.begin("continue")
        gdb.wait_until_running()
        gdb.kill()
        self.assertEqual(offered.run.finish().code, 0)

    def test_timeout_ends_what_waits_for_a_debugger(self):
        result = self.run_vm("-g", sample("hello"), "--gdb", "0", "--timeout", "0.2")
        self.assertEqual((result.code, result.out), (124, b""))

    def test_signal_ends_what_waits_for_a_debugger(self):
        offered = self.offer(sample("hello", "elf"))
        offered.run.process.terminate()
        self.assertEqual(offered.run.finish().code, 143)


if __name__ == "__main__":
    main()
