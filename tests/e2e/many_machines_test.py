"""Hundreds of machines at once."""

import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from hypervisor import ACCEL, DEADLINE, EXIT_CRASHED, EXIT_SIGTERM, JIT, Case, guest, main, sample  # noqa: E402

COUNT = 500
AT_ONCE = 60  # that compute: 500 leave two processors, which others need too, nothing else to do for minutes


class ManyMachinesTest(Case):
    def test_all_end_well(self):
        for page in (2, 4):
            result = self.run_vm("-p", page, "-g", *[sample("seed")] * COUNT, "--label", "always")
            self.check(result, 0, err="")
            labels = {"seed"} | {f"seed#{number}" for number in range(2, COUNT + 1)}
            self.assertEqual(sorted(result.out.decode().splitlines()),
                             sorted(label + "| Hello, world!" for label in labels))

    def test_each_has_its_own_memory_and_output(self):
        """None finds a byte of another in its memory."""
        result = self.run_vm("-g", *[guest("zeroed")] * 30, "--serial", "file:%n")
        self.check(result, 0, b"", "")
        for number in range(1, 31):
            with open(self.path(str(number)), "rb") as file:
                self.assertEqual(file.read(), b"0")

    def test_really_at_once(self):
        """All run at the same time, none starves, and all end at a signal, with what they printed."""
        run = self.start("-g", *[guest("spin")] * AT_ONCE, "--label", "always", "--stats")
        run.output.wait_for("out", lambda got: got.count(b"a line\n") == AT_ONCE, DEADLINE)
        self.assertTrue(run.is_running())
        run.signal(signal.SIGTERM)
        result = self.check(run.finish(), EXIT_SIGTERM)
        self.assertEqual(result.out.count(b"unfinished"), AT_ONCE)
        if ACCEL == "soft":  # generated code is not for the first ones only
            self.assertEqual(result.messages.count("generated code: 1 blocks"), AT_ONCE if JIT == "on" else 0)

    def test_crashes_among_many(self):
        images = [sample("crash") if number % 10 == 0 else sample("seed") for number in range(1, COUNT + 1)]
        result = self.check(self.run_vm("-g", *images), EXIT_CRASHED)
        self.assertEqual(result.out.count(b"Hello, world!\n"), COUNT * 9 // 10)
        self.assertEqual(result.messages.count("page fault (#PF)"), COUNT // 10)


if __name__ == "__main__":
    main()
