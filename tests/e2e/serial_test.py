"""The serial port on stdin and stdout: bytes, order, and what is visible when."""

import os
import select
import signal
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from hypervisor import DEADLINE, EXIT_CRASHED, EXIT_IO, EXIT_SIGINT, EXIT_SIGTERM, EXIT_TIMEOUT, Case, guest  # noqa: E402
from hypervisor import BULK, main, sample  # noqa: E402

SERIAL = 0xe9


class BytesTest(Case):
    def test_all_bytes_pass_unchanged(self):
        self.check(self.run_vm("-g", guest("bytes")), 0, bytes(range(256)), "")

    def test_all_bytes_arrive_unchanged(self):
        data = bytes(range(255)) + b"\r\n\x04\x03"
        self.check(self.run_vm("-g", guest("cat"), input=data), 0, data + b"\xff\xff\xff", "")

    def test_byte_ff_in_the_input(self):
        run, monitor = self.start_monitor()
        monitor.poke(0x10000, b"\xff\x00\xff")
        self.assertEqual(monitor.peek(0x10000, 3), b"\xff\x00\xff")
        monitor.halt()
        self.check(run.finish(), err="")

    def test_end_of_input_is_ff_every_time(self):
        self.check(self.run_vm("-g", guest("cat")), 0, b"\xff\xff\xff", "")
        self.check(self.run_vm("-g", guest("cat"), stdin=subprocess.DEVNULL), 0, b"\xff\xff\xff", "")

    def test_long_input(self):
        data = bytes(i % 251 for i in range(50000))
        self.check(self.run_vm("-g", guest("cat"), input=data), 0, data + b"\xff\xff\xff", "")

    def test_input_from_a_file_is_taken_byte_by_byte(self):
        """What the guest does not read remains for the next reader."""
        self.write("input", b"qrest")
        with open(self.path("input"), "rb", buffering=0) as file:
            self.check(self.run_vm("-g", guest("keys"), stdin=file), 0, err="")
            self.assertEqual(file.read(), b"rest")

    def test_string_instructions(self):
        data = bytes(range(64))
        self.check(self.run_vm("-g", guest("strings"), input=data), 0, b"read:" + data, "")
        self.check(self.run_vm("-g", guest("strings"), input=b"short"), 0, b"read:" + b"short".ljust(64, b"\xff"), "")

    def test_bulk_byte_by_byte(self):
        self.check(self.run_vm("-g", guest("bulk")), 0, BULK, "")

    def test_bulk_to_a_slow_reader(self):
        run = self.start("-g", guest("bulk"))
        taken = b""
        while True:  # far less at a time than a pipe holds, and only when the pipe is likely to be full
            part = os.read(run.process.stdout.fileno(), 1000)
            if not part:
                break
            taken += part
        del run.output.fds["out"]
        self.assertEqual(run.finish().code, 0)
        self.assertEqual(taken, BULK)

    def test_reader_that_does_not_read_until_the_pipe_is_full(self):
        """The guest waits, and loses nothing."""
        read_end, write_end = os.pipe()
        run = self.start("-g", guest("bulk"), stdout=write_end)
        deadline = time.monotonic() + DEADLINE
        while select.select([], [write_end], [], 0)[1] and time.monotonic() < deadline:
            run.output.pump(0.01)
        self.assertEqual(select.select([], [write_end], [], 0)[1], [], "the pipe is full")
        os.close(write_end)
        with os.fdopen(read_end, "rb") as reader:
            self.assertEqual(reader.read(), BULK)
        self.check(run.finish(), 0, err="")

    def test_non_blocking_stdout(self):
        """A pipe that was made non-blocking loses nothing either."""
        read_end, write_end = os.pipe()
        os.set_blocking(write_end, False)
        process = self.start("-g", guest("bulk"), stdout=write_end)
        os.close(write_end)
        with os.fdopen(read_end, "rb") as reader:
            self.assertEqual(reader.read(), BULK)
        self.check(process.finish(), 0, err="")


class WidthTest(Case):
    def test_other_widths_have_no_effect(self):
        """Reads give all ones, nothing is printed and no input taken; one message says so, however often it happens."""
        run, monitor = self.start_monitor()
        for _ in range(3):
            monitor.out(SERIAL, 2, 0x4142)
            monitor.out(SERIAL, 4, 0x41424344)
            self.assertEqual(monitor.inp(SERIAL, 2), 0xffff)
            self.assertEqual(monitor.inp(SERIAL, 4), 0xffffffff)
        monitor.halt()
        result = self.check(run.finish(), 0, err="serial port")
        self.assertNotIn(b"AB", result.out)
        self.assertNotIn(b"BA", result.out)
        self.assertEqual(result.messages.count("\n"), 1, result)

    def test_other_ports(self):
        run, monitor = self.start_monitor()
        for _ in range(2):
            for width, ones in ((1, 0xff), (2, 0xffff), (4, 0xffffffff)):
                for port in (0x0, 0x60, 0x3f8, 0xe8, 0xea, 0xffff - 3):
                    monitor.out(port, width, 0)
                    self.assertEqual(monitor.inp(port, width), ones)
        monitor.halt()
        result = self.check(run.finish(), 0)
        lines = result.messages.splitlines()
        self.assertEqual(len(lines), len(set(lines)), "nothing is said twice")
        self.assertIn("port 0x0", result.messages)


class VisibilityTest(Case):
    def test_prompt_before_waiting_for_input(self):
        run = self.start("-g", guest("keys"))
        run.wait_for(b"key? ")
        run.send(b"a")
        run.wait_for(b"key? got 0000000000000061\nkey? ")
        run.send(b"q")
        run.wait_for(b"end\n")
        self.check(run.finish(), err="")

    def test_output_while_the_guest_spins(self):
        """Also the beginning of a line, while the guest runs on without an exit."""
        run = self.start("-g", guest("spin"))
        run.wait_for(b"a line\nunfinished")
        self.assertTrue(run.is_running())

    def test_many_bytes_while_the_guest_spins(self):
        """Where the host gathers output, what it has gathered becomes visible too."""
        run, monitor = self.start_monitor()
        monitor.poke(0x10000, b"x" * 5000)
        self.assertEqual(monitor.peek(0x10000, 5000), b"x" * 5000)
        # the command's last bytes come while the guest has yet to print
        run.send(b"g" + struct.pack("<QI", 0x10000, 3333) + b"s")
        run.wait_for(lambda got: got.endswith(b"x" * 3333))
        self.assertTrue(run.is_running())

    def test_output_before_input_in_order(self):
        for page in (2, 4):
            run = self.start("-g", sample("echo"), "-p", page)
            for word in (b"one", b"two"):
                seen = len(run.output.bytes["out"])
                run.send(word + b"\n")
                run.wait_for(lambda got, seen=seen, word=word: word in got[seen:])
            self.assertEqual(run.finish().code, 0)


class KeptTest(Case):
    """Output written before an end of any kind is never lost."""

    def test_crash(self):
        self.check(self.run_vm("-g", guest("keys"), input=b"x"), EXIT_CRASHED, b"key? got 0000000000000078\n")

    def test_crash_after_much_output(self):
        run, monitor = self.start_monitor()
        run.send(b"g" + struct.pack("<QI", 0, 30001) + b"x")
        result = self.check(run.finish(), EXIT_CRASHED)
        self.assertEqual(len(result.out), 30001)

    def test_timeout(self):
        self.check(self.run_vm("-g", guest("spin"), "--timeout", "1"), EXIT_TIMEOUT, b"a line\nunfinished")

    def test_signals(self):
        for number, code in ((signal.SIGINT, EXIT_SIGINT), (signal.SIGTERM, EXIT_SIGTERM)):
            run = self.start("-g", guest("spin"))
            run.wait_for(b"unfinished")
            run.signal(number)
            self.check(run.finish(), code, b"a line\nunfinished")

    def test_much_output_and_a_signal(self):
        """What the guest printed is a prefix of what it prints, and all of it comes."""
        run = self.start("-g", guest("bulk"))
        run.wait_for(lambda got: len(got) > 10000)
        run.signal(signal.SIGTERM)
        result = run.finish()
        self.assertIn(result.code, (0, EXIT_SIGTERM), "it may have ended before")
        self.assertEqual(result.out, BULK[:len(result.out)])


class UnwritableTest(Case):
    def test_reader_that_is_gone(self):
        read_end, write_end = os.pipe()
        os.close(read_end)
        try:
            self.check(self.run_vm("-g", sample("seed"), stdout=write_end), EXIT_IO, err="Broken pipe")
        finally:
            os.close(write_end)

    def test_reader_that_goes(self):
        run = self.start("-g", guest("bulk"))
        run.wait_for(lambda got: len(got) > 1000)
        del run.output.fds["out"]
        run.process.stdout.close()
        run.process.stdout = None
        self.check(run.finish(), EXIT_IO, err="Broken pipe")

    def test_full_disk(self):
        with open("/dev/full", "wb") as full:
            self.check(self.run_vm("-g", sample("seed"), stdout=full), EXIT_IO, err="No space left")

    def test_help_to_a_full_disk(self):
        with open("/dev/full", "wb") as full:
            self.check(self.run_vm("--help", stdout=full), EXIT_IO)

    def test_closed_stdout(self):
        """Nothing the program opens itself may take its place."""
        for word in (b"", b"12345", b"1234567890123"):
            result = self.run_vm("-g", guest("cat"), input=word, preexec_fn=lambda: os.close(1))
            self.check(result, EXIT_IO, b"", "Bad file descriptor")

    def test_closed_stdin(self):
        result = self.run_vm("-g", guest("cat"), stdin=subprocess.DEVNULL, preexec_fn=lambda: os.close(0))
        self.check(result, EXIT_IO, b"", "Bad file descriptor")

    def test_closed_stderr(self):
        for number in range(1, 4):
            result = self.run_vm("-g", *[guest("faults")] * number, input=b"u", preexec_fn=lambda: os.close(2))
            self.assertEqual(result.code, EXIT_CRASHED)

    def test_all_closed(self):
        code = self.run_vm("-g", sample("hello"), stdin=subprocess.DEVNULL, preexec_fn=lambda: os.closerange(0, 3)).code
        self.assertEqual(code, EXIT_IO)

    def test_stdin_that_cannot_be_read(self):
        directory = os.open(self.dir, os.O_RDONLY)
        try:
            self.check(self.run_vm("-g", guest("cat"), stdin=directory), EXIT_IO, err="directory")
        finally:
            os.close(directory)


class PlacesTest(Case):
    def test_null(self):
        self.check(self.run_vm("-g", sample("seed"), guest("cat"), "--serial", "null", input=b"input"), 0, b"", "")

    def test_file(self):
        self.check(self.run_vm("-g", guest("cat"), "--serial", "file:out", input=b"input"), 0, b"", "")
        with open(self.path("out"), "rb") as file:
            self.assertEqual(file.read(), b"\xff\xff\xff", "there is no input but its end")

    def test_files_with_numbers(self):
        self.check(self.run_vm("-g", sample("seed"), guest("bulk"), sample("fibonacci"), "--serial",
                               "file:%n/out-%n"), EXIT_IO, b"", "1/out-1")
        for number in "123":
            os.mkdir(self.path(number))
        result = self.run_vm("-g", sample("seed"), guest("bulk"), guest("bytes"), "--serial", "file:%n/out-%n")
        self.check(result, 0, b"", "")
        for number, expected in (("1", b"Hello, world!\n"), ("2", BULK), ("3", bytes(range(256)))):
            with open(self.path(number, "out-" + number), "rb") as file:
                self.assertEqual(file.read(), expected)

    def test_file_is_kept_on_a_crash(self):
        self.check(self.run_vm("-g", guest("spin"), "--serial", "file:out", "--timeout", 1), EXIT_TIMEOUT, b"")
        with open(self.path("out"), "rb") as file:
            self.assertEqual(file.read(), b"a line\nunfinished")

    def test_file_on_a_full_disk(self):
        self.check(self.run_vm("-g", sample("seed"), "--serial", "file:/dev/full"), EXIT_IO, b"", "No space left")

    def test_pty(self):
        run, (first, second) = self.start_monitors(2)
        data = bytes(range(256))
        first.poke(0x10000, data)
        second.poke(0x10000, data[::-1])
        self.assertEqual(first.peek(0x10000, 256), data)
        self.assertEqual(second.peek(0x10000, 256), data[::-1])
        self.assertEqual(len(first.peek(0x10000, 20000)), 20000)
        first.halt()
        second.halt()
        result = self.check(run.finish(), 0, b"")
        self.assertIn("VM 1 (monitor): serial port on /dev/pts/", result.messages)
        self.assertIn("VM 2 (monitor#2): serial port on /dev/pts/", result.messages)


if __name__ == "__main__":
    main()
