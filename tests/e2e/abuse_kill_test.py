"""The program is killed at any moment: what it leaves behind is whole, and the next run is not disturbed by it."""

import glob
import os
import shutil
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import abuse  # noqa: E402
from gdb_driver import Wire  # noqa: E402
from hypervisor import Case, MB, guest, sample, sample_source  # noqa: E402

SIZE = 24 * MB


class KillTest(Case):
    def kill_at_some_moment(self, run, chance, longest):
        """Let it run for a while that chance decides, then kill it."""
        end = time.monotonic() + chance.random() * longest
        while time.monotonic() < end and run.output.fds:
            run.output.pump(end - time.monotonic())
        run.signal(signal.SIGKILL)
        run.close()

    def test_copies_are_whole(self):
        """Whenever guests are killed that have a large file copied, a copy is whole or is not there."""
        chance = abuse.chance(self)
        self.write("large", bytes(SIZE))
        line = ["-g", guest("copy"), guest("copy"), "-f", "large", "--max-written", "100"]
        self.check(self.run_vm(*line, "--label", "always"), 0, err="")
        rounds, copies = 15 * abuse.FACTOR, 0
        for _ in range(rounds):
            shutil.rmtree(self.path("vm-files"), True)
            run = self.start(*line)
            run.output.pump(30)
            self.kill_at_some_moment(run, chance, 0.03)
            for path in glob.glob(self.path("vm-files", "*", "*")):
                copies += 1
                self.assertEqual((os.path.basename(path), os.path.getsize(path)), ("large", SIZE))
        abuse.done(rounds, "runs killed while they copy")
        abuse.done(copies, "whole copies found after that")

    def test_sockets_are_taken_over(self):
        chance, rounds = abuse.chance(self), 10 * abuse.FACTOR
        for _ in range(rounds):
            run = self.start("-g", sample("seed"), "--gdb", "unix:socket")
            self.kill_at_some_moment(run, chance, 0.03)
        run = self.start("-g", sample("seed"), "--gdb", "unix:socket", "--gdb-lost", "kill")
        run.wait_for(b"type: gdb", "err")
        wire = Wire(self.path("socket"))
        self.assertEqual(wire.ask("?")[:1], "T")
        wire.close()
        self.check(run.finish(), 0)
        self.assertFalse(os.path.exists(self.path("socket")))
        abuse.done(rounds, "killed runs that left a socket")

    def test_directories_are_not_locked(self):
        """A killed run's lock on its directory is gone with it."""
        chance = abuse.chance(self)
        for _ in range(5 * abuse.FACTOR):
            run = self.start("-g", guest("monitor"))
            self.kill_at_some_moment(run, chance, 0.03)
        result = self.run_vm("-g", sample("files"), "-f", sample_source("files", "notes.txt"))
        self.check(result, 0, err="")


if __name__ == "__main__":
    abuse.main()
