"""Non-stop mode: machines run and stop each on its own, and a front end sees it as it happens."""

import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import SETTINGS, GdbCase, elf  # noqa: E402
from hypervisor import Output, guest, main, sample  # noqa: E402


class FrontEnd:
    """A gdb that speaks GDB/MI, as it does for an IDE: its event loop runs while a command is awaited."""

    def __init__(self, cwd, file):
        arguments = [argument for setting in SETTINGS for argument in ("-iex", setting)]
        self.process = subprocess.Popen(["gdb", "-nx", "-q", "-i=mi2", *arguments, file], cwd=cwd,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.output = Output(mi=self.process.stdout.fileno())
        self.token = 0
        self.seen = 0  # events up to here have been waited for

    def __call__(self, command):
        """A command's result record."""
        self.token += 1
        self.process.stdin.write(b"%d%s\n" % (self.token, command.encode()))
        self.process.stdin.flush()
        record = re.compile(rb"^%d\^(.*)\n" % self.token, re.MULTILINE)
        return record.search(self.output.wait_for("mi", record.search))[1].decode()

    def event(self, pattern):
        """Wait for the next asynchronous record that matches, from the last such record on."""
        record = re.compile(rb"^[*=](?:" + pattern.encode() + rb").*\n", re.MULTILINE)
        match = record.search(self.output.wait_for("mi", lambda got: record.search(got, self.seen)), self.seen)
        self.seen = match.end()
        return match[0].decode()

    def stopped(self, thread):
        return self.event(rf'stopped,.*thread-id="{thread}"')

    def states(self):
        """What gdb believes of each thread."""
        return re.findall(r'state="(\w+)"', self("-thread-info"))

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class NonStopTest(GdbCase):
    def debug_non_stop(self, *images, connect="remote"):
        """Machines that share a port, and a front end that has seen both of them stopped."""
        run = self.start("-g", *images, "--gdb-all", "0")
        line = run.wait_for(b"target remote", "err").decode()
        mi = FrontEnd(self.dir, images[0])
        self.addCleanup(mi.close)
        where = re.search(r"target remote ([0-9.:]+)", line)[1]
        for command in ("-gdb-set mi-async on", "-gdb-set non-stop on"):
            self.assertEqual(mi(command), "done")
        self.assertIn("connected", mi(f"-target-select {connect} {where}"))
        mi.stopped(1)
        mi.stopped(2)
        return run, mi

    def test_both_are_there_and_stand_at_their_start(self):
        for connect in "remote", "extended-remote":
            with self.subTest(connect):
                run, mi = self.debug_non_stop(sample("primes", "elf"), sample("fibonacci", "elf"), connect=connect)
                self.assertEqual(mi.states(), ["stopped", "stopped"])
                for thread in 1, 2:
                    self.assertIn("_start", mi(f"-stack-info-frame --thread {thread}"))
                mi("-gdb-exit")

    def test_one_runs_while_the_other_is_examined(self):
        run, mi = self.debug_non_stop(elf("spin"), elf("spin"))
        self.assertEqual(mi("-exec-continue --thread 2"), "running")
        run.wait_for(b"a line")
        self.assertEqual(mi.states(), ["stopped", "running"])
        self.assertIn("error", mi("-data-evaluate-expression --thread 2 $pc"))
        self.assertIn("_start", mi("-data-evaluate-expression --thread 1 $pc"))
        for _ in range(3):
            mi("-exec-step-instruction --thread 1")
            mi.stopped(1)
        self.assertEqual(mi.states(), ["stopped", "running"])
        mi("-exec-interrupt --thread 2")
        self.assertIn('signal-name="0"', mi.stopped(2))
        self.assertEqual(mi.states(), ["stopped", "stopped"])

    def test_memory_of_a_running_one(self):
        """It is stopped for a moment, and runs on."""
        run, mi = self.debug_non_stop(elf("gdb_points"), elf("spin"))
        mi("-gdb-set var $pc = spin")
        start = mi("-data-evaluate-expression --thread 1 &spins")
        address = re.search(r"0x[0-9a-f]+", start)[0]
        mi("-exec-continue --thread 1")
        last = -1
        for _ in range(10):
            memory = mi(f"-data-read-memory-bytes --thread 1 {address} 8")
            spins = int.from_bytes(bytes.fromhex(re.search(r'contents="(\w+)"', memory)[1]), "little")
            self.assertGreaterEqual(spins, last)
            last = spins
        self.assertEqual(mi.states(), ["running", "stopped"])
        mi("-exec-interrupt --thread 1")
        mi.stopped(1)

    def test_a_breakpoint_set_while_it_runs(self):
        run, mi = self.debug_non_stop(elf("gdb_points"), elf("spin"))
        mi("-gdb-set var $pc = spin")
        mi("-exec-continue --all")
        self.assertIn("done", mi("-break-insert spin"))
        self.assertIn("breakpoint-hit", mi.stopped(1))
        self.assertEqual(mi.states(), ["stopped", "running"])
        mi("-exec-interrupt --all")
        mi.stopped(2)

    def test_ends_come_one_by_one(self):
        run, mi = self.debug_non_stop(sample("hello", "elf"), sample("fibonacci", "elf"))
        mi("-exec-continue --thread 1")
        self.assertIn("i1", mi.event("thread-group-exited"))
        self.assertEqual(mi.states(), ["stopped"])
        mi("-exec-continue --thread 2")
        self.assertIn("i2", mi.event("thread-group-exited"))
        self.assertEqual(run.finish().code, 0)

    def test_a_crash_is_described_on_stderr(self):
        """There is no place in the protocol for texts in non-stop mode."""
        run, mi = self.debug_non_stop(sample("crash", "elf"), elf("spin"))
        mi("-exec-continue --all")
        self.assertIn("SIG", mi.stopped(1))
        run.wait_for(b"VM 1: ", "err")
        self.assertEqual(mi.states(), ["stopped", "running"])

    def test_detached_and_attached_again(self):
        run, mi = self.debug_non_stop(elf("spin"), elf("spin"), connect="extended-remote")
        mi("-exec-continue --all")
        self.assertEqual(mi("-target-detach i2"), "done")
        self.assertEqual(mi.states(), ["running"])
        self.assertEqual(mi("-target-attach --thread-group i2 2"), "done")
        mi.event("stopped")
        self.assertEqual(sorted(mi.states()), ["running", "stopped"])


if __name__ == "__main__":
    main()
