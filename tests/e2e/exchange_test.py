"""The exchange: interrupts that say whose turn it is, and what machines send each other at ports 0x510 and 0x520."""

import os
import re
import signal
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from hypervisor import (DEADLINE, EXIT_CRASHED, EXIT_SIGTERM, EXIT_TIMEOUT, EXIT_USAGE, PATIENCE, SOURCE,  # noqa: E402
                        Case, contents, guest, main, monitor_on_pty, sample, sample_source)

DATA, DONE = 0x510, 0x520
READER, WRITER = 0, 1
NONE = 0xffffffff


class Machine:
    """A machine that runs the guest `exchange`."""

    def __init__(self, monitor):
        self.monitor = monitor
        self.out, self.inp, self.fd = monitor.out, monitor.inp, monitor.fd

    def begin(self, letter):
        self.monitor.write(letter)

    def count(self):
        """How many interrupts there were, once the command in progress has ended."""
        return struct.unpack("<I", self.monitor.read(4))[0]

    def wait(self):
        self.begin(b"n")
        return self.count()

    def load_handler(self):
        self.monitor.acknowledged(b"d")

    def learn_role(self):
        self.load_handler()
        assert self.wait() == 1
        return self.inp(DATA, 1)

    def send(self, data):
        """As the writer, in its turn; how many bytes were accepted."""
        self.out(DATA, 4, len(data))
        for byte in data:
            self.out(DATA, 1, byte)
        return self.inp(DONE, 4)

    def receive(self):
        """As a reader, in its turn."""
        length = self.inp(DATA, 4)
        data = bytes(self.inp(DATA, 1) for _ in range(length))
        self.out(DONE, 4, length)
        return data

    def halt(self):
        self.begin(b"h")


class ExchangeCase(Case):
    def start_machines(self, count, *arguments):
        """Machines whose guests wait for commands."""
        run = self.start("-g", *[guest("exchange")] * count, "--serial", "pty", "--exchange", *arguments)
        text = run.wait_for(lambda got: got.count(b"serial port on") == count and got.endswith(b"\n"), "err").decode()
        machines = [Machine(monitor_on_pty(line.split()[-1])) for line in text.splitlines()]
        for machine in machines:
            self.addCleanup(os.close, machine.fd)
        return run, machines

    def start_in_turn(self, readers, *arguments):
        """The same, and all know their roles; it is the writer's turn."""
        run, machines = self.start_machines(readers + 1, *arguments)
        self.assertEqual([machine.learn_role() for machine in machines], [WRITER] + [READER] * readers)
        self.assertEqual(machines[0].wait(), 2)
        return run, machines

    def finish(self, run, code=0):
        """How it ended, without the lines that say where the serial ports are."""
        result = self.check(run.finish(), code)
        result.err = b"".join(line for line in result.err.splitlines(True) if b"serial port on" not in line)
        return result


class SampleTest(Case):
    def test_one_writer_and_two_readers(self):
        images = [sample("phase3"), sample("phase3", "elf"), sample("phase3")]
        result = self.check(self.run_vm("-g", *images, "--exchange", "--label", "always"), err="")
        for name, expected in (("phase3", "expected.txt"), ("phase3#2", "expected-reader.txt"),
                               ("phase3#3", "expected-reader.txt")):
            prefix = name.encode() + b"| "
            own = [line[len(prefix):] for line in result.out.splitlines(True) if line.startswith(prefix)]
            self.assertEqual(b"".join(own), contents(sample_source("phase3", expected)), name)

    def test_a_writer_alone(self):
        result = self.check(self.run_vm("-g", sample("phase3"), "--exchange"), err="")
        self.assertEqual(result.out, b"I am the writer\n")

    def test_small_buffer(self):
        result = self.check(self.run_vm("-g", *[sample("phase3")] * 2, "--exchange", "--exchange-size", 12))
        self.assertIn(b"sent 12 of 19 bytes\n", result.out)
        self.assertIn(b"received 12 bytes: The quick br\n", result.out)

    def test_machines_that_know_nothing_of_it(self):
        result = self.check(self.run_vm("-g", sample("phase3"), sample("hello"), sample("phase3"), "--exchange"))
        self.assertIn(b"received 13 bytes: the lazy dog.\n", result.out)

    def test_a_reader_that_never_reads(self):
        """The writer waits for it, until both are ended."""
        self.check(self.run_vm("-g", sample("phase3"), guest("spin"), "--exchange", "--timeout", 0.3 * PATIENCE),
                   EXIT_TIMEOUT, err="VM 2 (spin)")

    def test_many_readers(self):
        result = self.check(self.run_vm("-g", *[sample("phase3")] * 40, "--exchange"), err="")
        self.assertEqual(result.out.count(b"received 13 bytes: the lazy dog.\n"), 39)


class TurnsTest(ExchangeCase):
    def test_turns(self):
        run, (writer, one, two) = self.start_in_turn(2)
        for number, data in enumerate((b"first", b"", bytes(range(256))), 3):
            self.assertEqual(writer.send(data), len(data))
            writer.begin(b"n")
            for reader in (one, two):
                self.assertEqual(reader.wait(), number - 1)
                self.assertEqual(reader.receive(), data)
            self.assertEqual(writer.count(), number)
        for machine in (writer, one, two):
            machine.halt()
        self.assertEqual(self.finish(run).messages, "")

    def test_words_and_bytes(self):
        run, (writer, reader) = self.start_in_turn(1)
        for byte in struct.pack("<I", 7):
            writer.out(DATA, 1, byte)
        writer.out(DATA, 4, 0x64636261)
        writer.out(DATA, 2, 0x6665)
        writer.out(DATA, 4, 0x20202067)  # three bytes beyond the end
        self.assertEqual(bytes(writer.inp(DONE, 1) for _ in range(4)), struct.pack("<I", 7))
        self.assertEqual(reader.wait(), 2)
        self.assertEqual(bytes(reader.inp(DATA, 1) for _ in range(4)), struct.pack("<I", 7))
        self.assertEqual(struct.pack("<IHI", reader.inp(DATA, 4), reader.inp(DATA, 2) & 0xffff, reader.inp(DATA, 4))[:7],
                         b"abcdefg")
        for byte in struct.pack("<I", 7):
            reader.out(DONE, 1, byte)
        self.assertEqual(writer.wait(), 3)
        writer.halt()
        reader.halt()
        self.assertEqual(self.finish(run).messages, "")

    def test_a_report_in_one_byte(self):
        """The text of the course does not say how wide it is: it is complete when the reader waits again."""
        run, (writer, reader) = self.start_in_turn(1)
        writer.send(b"abc")
        self.assertEqual(reader.wait(), 2)
        self.assertEqual([reader.inp(DATA, 4), reader.inp(DATA, 1), reader.inp(DATA, 2)], [3, ord("a"), 0x6362])
        reader.out(DONE, 1, 3)
        reader.begin(b"n")
        self.assertEqual(writer.wait(), 3)
        writer.send(b"x")
        self.assertEqual(reader.count(), 3)
        reader.halt()
        writer.halt()
        self.finish(run)

    def test_interrupts_come_at_port_accesses_with_interrupts_on(self):
        run, (writer, reader) = self.start_machines(2)
        writer.load_handler()
        writer.out(0x80, 1, 0)
        writer.begin(b"e")
        self.assertEqual(writer.count(), 1, "it came at the OUT behind STI, and at none before")
        self.assertEqual(writer.inp(DATA, 4), WRITER)
        writer.begin(b"e")
        self.assertEqual(writer.count(), 2)
        writer.begin(b"e")
        self.assertEqual(writer.count(), 2, "its turn is not over")
        writer.halt()
        reader.halt()
        self.finish(run)

    def test_a_reader_that_ends_does_not_hold_the_writer_up(self):
        run, (writer, one, two) = self.start_in_turn(2)
        writer.send(b"abc")
        one.wait()
        self.assertEqual(one.receive(), b"abc")
        writer.begin(b"n")
        two.halt()
        self.assertEqual(writer.count(), 3)
        self.assertEqual(writer.send(b"xyz"), 3)
        one.wait()
        self.assertEqual(one.receive(), b"xyz")
        self.assertEqual(writer.wait(), 4)
        one.halt()
        self.assertEqual(writer.send(b"to nobody"), 9)
        writer.begin(b"n")
        self.assertEqual(self.finish(run).messages, "")

    def test_a_writer_that_ends(self):
        run, (writer, one, two) = self.start_in_turn(2)
        writer.send(b"abc")
        writer.halt()
        for reader in (one, two):
            reader.wait()
            self.assertEqual(reader.receive(), b"abc")
            reader.begin(b"n")
        self.assertEqual(self.finish(run).messages, "")

    def test_all_wait_for_each_other(self):
        """A writer that has nothing to say in its turn: none of them will be interrupted any more."""
        run, (writer, one, two) = self.start_in_turn(2)
        for machine in (one, writer, two):
            machine.begin(b"n")
        self.assertEqual(self.finish(run).messages, "")

    def test_a_signal_ends_machines_that_wait(self):
        run, (writer, reader) = self.start_in_turn(1)
        writer.send(b"abc")
        writer.begin(b"n")
        run.signal(signal.SIGTERM)
        self.finish(run, EXIT_SIGTERM)


class RecordingTest(ExchangeCase):
    """A recording has what came from the other machines, and the interrupts."""

    def replay(self, number, *words):
        result = self.check(self.run_vm("--accel", "auto", "--replay", f"run-{number}.mhr"), 0)
        self.assertIn("as recorded", result.messages)
        for word in words:
            self.assertIn(word, result.messages)
        return result

    def test_each_machine_repeats_alone(self):
        self.check(self.run_vm("-g", *[sample("phase3")] * 3, "--exchange", "--record", "run-%n.mhr"))
        for number, expected in ((1, "expected.txt"), (2, "expected-reader.txt"), (3, "expected-reader.txt")):
            self.assertEqual(self.replay(number, "halted").out, contents(sample_source("phase3", expected)))

    def test_a_machine_that_was_stopped(self):
        run, (writer, reader) = self.start_in_turn(1, "--record", "run-%n.mhr")
        writer.send(b"abcdef")
        reader.wait()
        reader.begin(b"o" + struct.pack("<HBI", DONE, 4, 6))
        writer.begin(b"n")
        self.finish(run, EXIT_CRASHED)
        self.replay(1, "halted")
        self.replay(2, "stopped, because it reported 6 bytes of the exchange as read, and has read 0 of them")
        report = subprocess.run([os.path.join(SOURCE, "tools", "recording_report"), self.path("run-2.mhr")],
                                stdout=subprocess.PIPE, check=True, timeout=DEADLINE).stdout
        self.assertIn(b"2 interrupts", report)

    def test_machines_that_were_ended_at_hlt(self):
        for ending, code in ((signal.SIGTERM, EXIT_SIGTERM), (signal.SIGKILL, -signal.SIGKILL)):
            with self.subTest(ending=ending):
                run, (writer, reader) = self.start_in_turn(1, "--record", "run-%n.mhr")
                writer.begin(b"n")
                run.signal(ending)
                self.finish(run, code)
                self.replay(1)
                self.replay(2)


class MistakesTest(ExchangeCase):
    def stopped(self, run, number, text, *others):
        result = self.finish(run, EXIT_CRASHED)
        self.assertIn(f"VM {number} (exchange{'' if number == 1 else f'#{number}'}): stopped, because {text}, at rip",
                      result.messages)
        self.assertEqual(len(re.findall(r"VM \d", result.messages)), 1, "only one machine is concerned")

    def test_a_reader_that_read_less_than_all(self):
        run, (writer, one, two) = self.start_in_turn(2)
        writer.send(b"abcdef")
        one.wait()
        self.assertEqual(one.inp(DATA, 4), 6)
        self.assertEqual(one.inp(DATA, 2) & 0xffff, 0x6261)
        one.begin(b"o" + struct.pack("<HBI", DONE, 4, 2))
        two.wait()
        self.assertEqual(two.receive(), b"abcdef")
        self.assertEqual(writer.wait(), 3)
        writer.halt()
        two.halt()
        self.stopped(run, 2, "it reported 2 of the 6 bytes of the exchange as read")

    def test_a_reader_that_lies(self):
        run, (writer, reader) = self.start_in_turn(1)
        writer.send(b"abcdef")
        reader.wait()
        reader.begin(b"o" + struct.pack("<HBI", DONE, 4, 6))
        writer.begin(b"n")
        self.stopped(run, 2, "it reported 6 bytes of the exchange as read, and has read 0 of them")

    def test_waiting_with_a_turn_unfinished(self):
        run, (writer, reader) = self.start_in_turn(1)
        writer.send(b"abcdef")
        reader.wait()
        reader.begin(b"n")
        writer.begin(b"n")
        self.stopped(run, 2, "it waits for another interrupt and has not reported to port 0x520 how many of the 6 bytes "
                             "it read")
        run, (writer, reader) = self.start_in_turn(1)
        writer.out(DATA, 4, 100)
        writer.out(DATA, 4, 0)
        writer.begin(b"n")
        reader.begin(b"n")
        self.stopped(run, 1, "it waits for another interrupt and has sent 4 of the 100 bytes it announced")
        run, (writer, reader) = self.start_machines(2)
        reader.load_handler()
        self.assertEqual(reader.wait(), 1)
        reader.begin(b"n")
        writer.halt()
        self.stopped(run, 2, "it waits for another interrupt and has not read its role from port 0x510")

    def test_a_count_beyond_everything(self):
        run, (writer, reader) = self.start_in_turn(1, "--exchange-size", 4)
        writer.out(DATA, 4, NONE)
        for _ in range(3):
            writer.out(DATA, 4, 0x64636261)
        self.assertEqual(writer.inp(DONE, 4), 4, "asking ends the turn")
        reader.wait()
        self.assertEqual(reader.receive(), b"abcd")
        self.assertEqual(writer.wait(), 3)
        writer.halt()
        reader.halt()
        self.assertEqual(self.finish(run).messages, "")

    def test_accesses_out_of_turn(self):
        run, (writer, reader) = self.start_machines(2)
        self.assertEqual([reader.inp(DATA, 4), reader.inp(DONE, 1), writer.inp(DATA, 2)], [NONE, 0xff, 0xffff])
        reader.out(DATA, 4, 1)
        writer.out(DONE, 1, 1)
        self.assertEqual([writer.learn_role(), reader.learn_role()], [WRITER, READER])
        self.assertEqual(writer.wait(), 2)
        writer.out(DONE, 4, 5)
        self.assertEqual([writer.inp(DATA, 4), writer.inp(DONE, 4)], [NONE, NONE])
        self.assertEqual(writer.send(b"abc"), 3)
        reader.wait()
        reader.out(DATA, 4, 7)
        self.assertEqual(reader.inp(DONE, 4), NONE)
        self.assertEqual(reader.receive(), b"abc")
        writer.halt()
        reader.halt()
        messages = self.finish(run).messages
        self.assertEqual(messages.count("of the exchange out of turn; it has no effect"), 2, messages)

    def test_no_handler(self):
        """The table a machine starts with has exceptions only: what the interrupt becomes is reported as any other."""
        run, (writer, one, two) = self.start_machines(3)
        one.begin(b"n")
        two.begin(b"n")
        self.assertEqual(writer.learn_role(), WRITER)
        writer.halt()
        result = self.finish(run, EXIT_CRASHED)
        for number in (2, 3):
            self.assertRegex(result.messages, rf"VM {number} \(exchange#{number}\): general protection fault \(#GP\)")
        self.assertRegex(result.messages, r"error code 0x\w+: entry \d+ of the IDT")  # emulated processors say others

    def test_a_broken_table_is_a_triple_fault(self):
        run, (writer, reader) = self.start_machines(2)
        writer.monitor.acknowledged(b"b")
        writer.begin(b"n")
        reader.halt()
        self.assertIn("VM 1 (exchange): triple fault", self.finish(run, EXIT_CRASHED).messages)

    def test_without_the_option_there_is_no_exchange(self):
        run = self.start("-g", guest("exchange"), "--serial", "pty")
        machine = Machine(monitor_on_pty(run.wait_for(b"\n", "err").decode().split()[-1]))
        self.addCleanup(os.close, machine.fd)
        self.assertEqual(machine.inp(DATA, 4), NONE)
        machine.begin(b"n")
        self.assertIn("no device is at port 0x510", self.finish(run).messages)

    def test_options(self):
        image = guest("exchange")
        for arguments, text in ((["--exchange-size", "10"], "add --exchange"),
                                (["--exchange", "--exchange-size", "0"], "give a number of bytes from 1 to 1048576"),
                                (["--exchange", "--exchange-size", "1048577"], "give a number of bytes"),
                                (["--exchange", "--exchange-size", "x"], "give a number of bytes"),
                                (["--exchange=1"], "--exchange takes no value")):
            with self.subTest(arguments=arguments):
                self.check(self.run_vm("-g", image, *arguments), EXIT_USAGE, b"", text)
        self.check(self.run_vm("--accel", "soft", "--replay", "x", "--exchange"), EXIT_USAGE, b"",
                   "--replay cannot be combined with --exchange")


if __name__ == "__main__":
    main()
