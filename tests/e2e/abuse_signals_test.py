"""Signals at random moments of the start, the run and the end: a documented status, a terminal as it was, never a hang."""

import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import abuse  # noqa: E402
from hypervisor import Case, guest, sample  # noqa: E402

ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT]
HARMLESS = [signal.SIGUSR1, signal.SIGIO, signal.SIGPIPE, signal.SIGWINCH, signal.SIGCONT, signal.SIGXFSZ, signal.SIGURG]
LINES = [["-g", guest("spin")], ["-g", *[guest("spin")] * 5], ["-g", guest("cat")], ["-g", guest("keys"), guest("spin")],
         ["-g", guest("spin"), "--gdb", "0"], ["-g", guest("spin"), guest("cat"), "--gdb-all", "0", "--gdb-run"],
         ["-g", guest("spin"), "--serial", "pty"]]


def let_pass(output, seconds):
    """Take what is printed for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and output.fds:
        output.pump(end - time.monotonic())


class SignalsTest(Case):
    def test_harmless_ones_change_nothing(self):
        """A storm of them, and still every byte is there."""
        chance, count = abuse.chance(self), 8 * abuse.FACTOR
        for _ in range(count):
            run = self.start("-g", *[guest("lines")] * 3, "--label", "always")
            run.output.wait_for("out", b"\n")
            while run.is_running() and run.output.fds:
                run.signal(chance.choice(HARMLESS))
                run.output.pump(chance.random() * 0.002)
            result = self.check(run.finish(), 0, err="")
            self.assertEqual(result.out.count(b"@" * 32 + b"\n"), 600)
        abuse.done(count, "runs in a storm of harmless signals")

    def test_ending_ones_end_it(self):
        """At whatever moment: its status is 128 + n, or the signal's own before the program could answer it."""
        chance, count = abuse.chance(self), 25 * abuse.FACTOR
        for _ in range(count):
            line, number = chance.choice(LINES), chance.choice(ENDING)
            run = self.start(*line)
            let_pass(run.output, chance.random() * 0.05)
            for _ in range(chance.randint(0, 3)):
                run.signal(signal.SIGCONT)
            run.signal(number)
            result = run.finish()
            allowed = (128 + number, -number) if result.err == b"" else (128 + number,)
            self.assertIn(result.code, allowed, f"{line} {number}: {result}")
        abuse.done(count, "runs ended by a signal")

    def test_terminal(self):
        """Stopped and continued, resized and ended at random: the terminal is as it was."""
        chance, count = abuse.chance(self), 8 * abuse.FACTOR
        for _ in range(count):
            run = self.start_on_terminal("-g", guest("keys"), guest("spin"))
            run.wait_for(b"a line")
            for _ in range(chance.randint(0, 4)):
                let_pass(run.output, chance.random() * 0.01)
                stops = run.output.bytes["news"].count(b"stopped")
                os.kill(run.pid, signal.SIGTSTP)
                run.wait_for_news(lambda got: got.count(b"stopped") > stops)
                self.assertTrue(run.is_as_it_was())
                os.kill(run.pid, chance.choice(HARMLESS))
                os.kill(run.pid, signal.SIGCONT)
            number = chance.choice(ENDING)
            os.kill(run.pid, number)
            self.assertEqual(run.finish(), 128 + number)
            self.assertTrue(run.is_as_it_was())
        abuse.done(count, "runs on a terminal, stopped and ended")

    def test_at_the_end(self):
        """When it is about to end by itself, both are right: that end, and the signal's."""
        chance, count = abuse.chance(self), 15 * abuse.FACTOR
        for _ in range(count):
            run = self.start("-g", *[sample("seed")] * 3)
            let_pass(run.output, chance.random() * 0.03)
            number = chance.choice(ENDING)
            run.signal(number)
            self.assertIn(run.finish().code, (0, 128 + number, -number))
        abuse.done(count, "runs that met a signal at their end")


if __name__ == "__main__":
    abuse.main()
