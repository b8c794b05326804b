"""One port for all machines: gdb sees them as inferiors."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import GdbCase  # noqa: E402
from hypervisor import contents, main, sample, sample_source  # noqa: E402


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


if __name__ == "__main__":
    main()
