"""How a run ends: exit statuses, timeouts and signals."""

import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from hypervisor import EXIT_CRASHED, EXIT_HOST, EXIT_IMAGE, EXIT_IO, EXIT_SIGINT, EXIT_SIGTERM  # noqa: E402
from hypervisor import EXIT_TIMEOUT, EXIT_USAGE, PATIENCE, Case, guest, main, on, sample  # noqa: E402


class ExitStatusTest(Case):
    """One of each in the list that --help gives; the serial and host tests have more of 6 and 3."""

    def test_documented(self):
        text = self.run_vm("--help").out.decode()
        section = text[text.index("Exit status"):]
        for code in (0, EXIT_USAGE, EXIT_HOST, EXIT_IMAGE, EXIT_CRASHED, EXIT_IO, EXIT_TIMEOUT, EXIT_SIGINT,
                     EXIT_SIGTERM):
            self.assertRegex(section, rf"\b{code}\b")

    def test_every_guest_halted(self):
        self.check(self.run_vm("-g", sample("seed"), sample("hello"), guest("bytes")), 0, err="")

    def test_usage(self):
        self.check(self.run_vm("--memory", "3", "-g", sample("seed")), EXIT_USAGE, b"")

    def test_image(self):
        self.check(self.run_vm("-g", "missing"), EXIT_IMAGE, b"")

    def test_crash(self):
        self.check(self.run_vm("-g", sample("seed"), sample("crash")), EXIT_CRASHED)

    def test_output(self):
        with open("/dev/full", "wb") as full:
            self.check(self.run_vm("-g", sample("seed"), stdout=full), EXIT_IO)

    def test_crash_and_unwritable_output(self):
        with open("/dev/full", "wb") as full:
            self.check(self.run_vm("-g", sample("seed"), sample("crash"), stdout=full), EXIT_IO)
            result = self.check(self.run_vm("-g", sample("crash"), stdout=full), EXIT_IO,
                                err="its output cannot be written: No space left on device")
        self.assertIn("page fault", result.messages)

    def test_only_hlt_ends_well(self):
        """With interrupts off or on; ring 3 cannot do it, and returning or looping is not an end."""
        self.write("hlt.img", b"\xf4")
        self.write("sti.img", b"\xfb\xf4")
        self.check(self.run_vm("-g", "hlt.img", "sti.img", "hlt.img"), 0, b"", "")
        self.write("ret.img", b"\xc3")
        self.check(self.run_vm("-g", "ret.img"), EXIT_CRASHED, b"", "returned")
        self.check(self.run_vm("-g", guest("faults"), input=b"n"), EXIT_CRASHED)
        self.check(self.run_vm("-g", guest("spin"), "--timeout", "0.2"), EXIT_TIMEOUT)


class InstructionLimitTest(Case):
    @on("soft")
    def test_same_place_in_every_run(self):
        limited = ["-g", guest("spin"), "--max-instructions", "1000000"]
        first, second = (self.check(self.run_vm(*limited), EXIT_TIMEOUT, b"a line\nunfinished") for _ in range(2))
        self.assertIn("VM 1 (spin): still running after 1000000 instructions, ended; it was interrupted at rip 0x",
                      first.messages)
        self.assertEqual(first.messages, second.messages)
        self.assertEqual(first.messages.count("\n"), 1, "one line")

    @on("soft")
    def test_each_machine_has_its_own_count(self):
        result = self.check(self.run_vm("-g", guest("spin"), sample("seed"), guest("spin"), "--serial", "null",
                                        "--max-instructions", "5000", "--core", "cores"), EXIT_TIMEOUT)
        self.assertEqual(result.messages.count("still running after 5000 instructions"), 2)
        self.assertEqual(sorted(os.listdir(self.path("cores"))), ["1-spin.core", "3-spin#3.core"])

    @on("soft")
    def test_what_ends_before_is_not_touched(self):
        self.check(self.run_vm("-g", sample("seed"), "--max-instructions", "1000000"), 0, b"Hello, world!\n", "")

    @on("soft")
    def test_a_recording_ends_at_the_limit(self):
        self.check(self.run_vm("-g", guest("spin"), "--max-instructions", "4321", "--record", "run"), EXIT_TIMEOUT)
        self.check(self.run_vm("--replay", "run"), 0, err="4321")

    @on("soft")
    def test_needs_no_kvm(self):
        """Without --accel the processor that counts is chosen."""
        stats = self.run_vm("-g", sample("seed"), "--max-instructions", "1000000", "--stats", "--accel", "auto").messages
        self.assertIn("processor: soft\n", stats)

    @on("kvm")
    def test_kvm_is_refused(self):
        self.check(self.run_vm("-g", sample("seed"), "--max-instructions", "10"), EXIT_USAGE, b"", "does not count")


class TimeoutTest(Case):
    def test_spinning_guest(self):
        for value, text in (("0.2", "0.2 s"), ("1", "1 s"), ("1e0", "1 s")):
            result = self.check(self.run_vm("-g", guest("spin"), "--timeout", value), EXIT_TIMEOUT,
                                err=["VM 1 (spin): still running after " + text, "at rip 0x"])
            self.assertEqual(result.messages.count("\n"), 1, "one line")

    def test_guest_that_waits_for_input(self):
        run = self.start("-g", guest("keys"), "--timeout", 2)
        run.wait_for(b"key? ")
        result = self.finish_without_closing(run)
        self.check(result, EXIT_TIMEOUT, b"key? ", "still running")

    def test_guest_whose_output_nobody_takes(self):
        """What a full pipe does not take must not keep the program alive."""
        read_end, write_end = os.pipe()
        try:
            run = self.start("-g", guest("bulk"), "--timeout", "0.5", stdout=write_end)
            self.assertEqual(self.finish_without_closing(run).code, EXIT_TIMEOUT)
        finally:
            os.close(read_end)
            os.close(write_end)

    def test_guest_that_halts_in_time(self):
        self.check(self.run_vm("-g", sample("seed"), "--timeout", "60"), 0, b"Hello, world!\n", "")

    def test_more_than_the_processor_can_start_in_time(self):
        """None starves the threads that end it, and each is reported, even if it never ran."""
        result = self.check(self.run_vm("-g", *[guest("spin")] * 500, "--serial", "null", "--timeout", "0.01",
                                        preexec_fn=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})),
                            EXIT_TIMEOUT)
        lines = [line for line in result.messages.splitlines() if " after 0.01 s, ended" in line]
        self.assertEqual(len(lines), 500, result)

    def test_those_that_halted_are_not_told(self):
        result = self.check(self.run_vm("-g", sample("seed"), guest("spin"), sample("seed"), guest("spin"), "--timeout",
                                        str(3 * PATIENCE)), EXIT_TIMEOUT)
        lines = result.messages.splitlines()
        self.assertEqual(len(lines), 2, result)
        self.assertEqual({line.split(":")[1] for line in lines}, {" VM 2 (spin)", " VM 4 (spin#4)"})
        self.assertEqual(result.out.count(b"Hello, world!\n"), 2)
        self.assertEqual(result.out.count(b"unfinished"), 2)

    def finish_without_closing(self, run):
        run.output.wait_for("err", lambda got: "err" not in run.output.fds)
        return run.finish()


class SignalTest(Case):
    CODES = [(signal.SIGINT, EXIT_SIGINT), (signal.SIGTERM, EXIT_SIGTERM), (signal.SIGHUP, 129),
             (signal.SIGQUIT, 131)]

    def test_spinning_guest(self):
        for number, code in self.CODES:
            with self.subTest(signal=number):
                run = self.start("-g", guest("spin"))
                run.wait_for(b"unfinished")
                run.signal(number)
                self.check(run.finish(10), code, b"a line\nunfinished", "ended by")

    def test_guest_that_waits_for_input(self):
        for number, code in self.CODES:
            with self.subTest(signal=number):
                run = self.start("-g", guest("keys"))
                run.wait_for(b"key? ")
                run.signal(number)
                run.output.wait_for("err", b"ended by")
                self.check(run.finish(10), code, b"key? ")

    def test_many_spinning_guests(self):
        run = self.start("-g", *[guest("spin")] * 12, "--label", "always")
        run.wait_for(lambda got: got.count(b"a line") == 12)
        run.signal(signal.SIGTERM)
        result = self.check(run.finish(), EXIT_SIGTERM)
        self.assertEqual(result.out.count(b"unfinished"), 12)

    def test_machines_that_ended_keep_their_output(self):
        run = self.start("-g", sample("seed"), guest("spin"), sample("crash"))
        run.wait_for(b"a line\n")
        run.wait_for(b"Hello, world!\n")
        run.wait_for(b"page fault", "err")
        run.signal(signal.SIGINT)
        self.check(run.finish(), EXIT_SIGINT, err="VM 3 (crash): page fault")

    def test_signal_outweighs_a_crash(self):
        run = self.start("-g", sample("crash"), guest("spin"))
        run.wait_for(b"page fault", "err")
        run.signal(signal.SIGTERM)
        self.check(run.finish(), EXIT_SIGTERM)

    def test_output_nobody_takes(self):
        """A second signal does not wait for it at all; the first one does so for a bounded time."""
        for signals in (1, 2):
            read_end, write_end = os.pipe()
            try:
                run = self.start("-g", guest("bulk"), guest("spin"), "--serial", "stdio", stdout=write_end)
                while not os.read(read_end, 1):
                    pass
                for _ in range(signals):
                    run.signal(signal.SIGTERM)
                self.assertEqual(run.finish(10).code, EXIT_SIGTERM)
            finally:
                os.close(read_end)
                os.close(write_end)


if __name__ == "__main__":
    main()
