"""The file port, by both of its ways: every call and every error."""

import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from file_port import (BUFFER, CALL, CLOSE, EACCES, EBADF, EDQUOT, EFAULT, EFBIG, EINVAL, EMFILE,  # noqa: E402
                       ENAMETOOLONG, ENOENT, ENOSYS, EPROTO, OPEN, O_APPEND, O_CREATE, O_READ, O_TRUNCATE, O_WRITE,
                       PORT, READ, SEEK, SEEK_CUR, SEEK_END, SEEK_SET, SIZE, STREAM_MAX, UNTOUCHED, WRITE, ByteByByte,
                       FilesCase, InOneStep)
from hypervisor import EXIT_CRASHED, MB, contents, main  # noqa: E402


class CallTests:
    """What is the same in both ways."""

    def test_read(self):
        run, files = self.start_files()
        self.assertEqual(files.open(b"notes.txt"), 0)
        self.assertEqual(files.size(0), len(self.notes))
        self.assertEqual(files.read(0, 5), self.notes[:5])
        self.assertEqual(files.read(0, 1000), self.notes[5:])
        self.assertEqual(files.read(0, 1000), b"", "the end")
        self.assertEqual(files.read(0, 0), b"")
        self.assertEqual(files.close(0), 0)
        self.halt(run, files)
        self.assertFalse(os.path.exists(self.path("vm-files")), "reading makes no directory")

    def test_seek(self):
        run, files = self.start_files()
        fd = files.open(b"notes.txt")
        end = len(self.notes)
        self.assertEqual(files.seek(fd, 6), 6)
        self.assertEqual(files.read(fd, 4), self.notes[6:10])
        self.assertEqual(files.seek(fd, -2, SEEK_CUR), 8)
        self.assertEqual(files.read(fd, 2), self.notes[8:10])
        self.assertEqual(files.seek(fd, -4, SEEK_END), end - 4)
        self.assertEqual(files.read(fd, 100), self.notes[-4:])
        self.assertEqual(files.seek(fd, 100, SEEK_END), end + 100)
        self.assertEqual(files.read(fd, 10), b"", "behind the end")
        self.assertEqual(files.seek(fd, 0), 0)
        for offset, whence in ((-1, SEEK_SET), (-1000, SEEK_CUR), (-end - 1, SEEK_END), (0, 3), (0, 0xffffffff)):
            self.assertEqual(files.seek(fd, offset, whence), EINVAL, (offset, whence))
        self.assertEqual(files.seek(fd, 2**63 - 1, SEEK_SET) >= 0, True)
        self.assertEqual(files.seek(fd, 2**63 - 1, SEEK_CUR), EINVAL, "no overflow")
        self.assertIn(files.read(fd, 10), (b"", EINVAL))
        self.halt(run, files)

    def test_create_write_and_read_back(self):
        run, files = self.start_files()
        fd = files.open(b"new.bin", O_READ | O_WRITE | O_CREATE)
        self.assertEqual(fd, 0)
        data = bytes(range(256)) * 4
        self.assertEqual(files.write(fd, data), len(data))
        self.assertEqual(files.size(fd), len(data))
        self.assertEqual(files.seek(fd, 100), 100)
        self.assertEqual(files.write(fd, b"patch"), 5)
        self.assertEqual(files.seek(fd, 0), 0)
        expected = data[:100] + b"patch" + data[105:]
        self.assertEqual(files.read(fd, 2000), expected)
        self.assertEqual(files.close(fd), 0)
        again = files.open(b"new.bin")
        self.assertEqual(files.read(again, 2000), expected)
        self.halt(run, files)
        self.assertEqual(contents(self.own("new.bin")), expected)

    def test_flags(self):
        run, files = self.start_files()
        self.assertEqual(files.open(b"none"), ENOENT)
        self.assertEqual(files.open(b"none", O_READ), ENOENT)
        fd = files.open(b"a", O_WRITE)
        self.assertEqual(fd, 0, "writing makes the file")
        self.assertEqual(files.read(fd, 1), EBADF)
        self.assertEqual(files.write(fd, b"hello"), 5)
        reader = files.open(b"a", O_READ)
        self.assertEqual(files.write(reader, b"x"), EBADF)
        self.assertEqual(files.read(reader, 9), b"hello")
        appender = files.open(b"a", O_WRITE | O_APPEND)
        self.assertEqual(files.seek(appender, 0), 0)
        self.assertEqual(files.write(appender, b" world"), 6)
        self.assertEqual(files.read(reader, 9), b" world")
        emptied = files.open(b"a", O_WRITE | O_TRUNCATE)
        self.assertEqual(files.size(emptied), 0)
        self.assertEqual(files.size(reader), 0)
        self.assertEqual(files.open(b"b", O_READ | O_CREATE) >= 0, True)
        for flags in (0, O_CREATE, O_TRUNCATE, O_READ | O_TRUNCATE, O_READ | O_APPEND, O_APPEND, 0x20 | O_READ,
                      0x80000000 | O_READ, 0xffffffff):
            self.assertEqual(files.open(b"a", flags), EINVAL, hex(flags))
        self.halt(run, files)
        self.assertEqual(contents(self.own("a")), b"")
        self.assertEqual(contents(self.own("b")), b"")

    def test_gap_is_zeros(self):
        run, files = self.start_files()
        fd = files.open(b"gap", O_WRITE)
        self.assertEqual(files.seek(fd, 1000), 1000)
        self.assertEqual(files.write(fd, b"end"), 3)
        self.halt(run, files)
        self.assertEqual(contents(self.own("gap")), bytes(1000) + b"end")

    def test_lowest_free_descriptor(self):
        run, files = self.start_files()
        self.assertEqual([files.open(b"notes.txt") for _ in range(4)], [0, 1, 2, 3])
        self.assertEqual(files.close(1), 0)
        self.assertEqual(files.close(0), 0)
        self.assertEqual(files.open(b"notes.txt"), 0)
        self.assertEqual(files.open(b"notes.txt"), 1)
        self.halt(run, files)

    def test_bad_descriptors(self):
        run, files = self.start_files()
        self.assertEqual(files.open(b"notes.txt"), 0)
        for fd in (1, 15, 16, 1000, -1, 2**31 - 1, -2**31):
            self.assertEqual(files.close(fd), EBADF, fd)
            self.assertEqual(files.read(fd, 10), EBADF, fd)
            self.assertEqual(files.write(fd, b"x"), EBADF, fd)
            self.assertEqual(files.seek(fd, 0), EBADF, fd)
            self.assertEqual(files.size(fd), EBADF, fd)
        self.assertEqual(files.close(0), 0)
        self.assertEqual(files.close(0), EBADF)
        self.halt(run, files)

    def test_copy_on_write(self):
        run, files = self.start_files()
        before = files.open(b"notes.txt")
        fd = files.open(b"notes.txt", O_READ | O_WRITE)
        self.assertEqual(files.read(fd, 100), self.notes)
        self.assertFalse(os.path.exists(self.own("notes.txt")), "opening copies nothing")
        self.assertEqual(files.seek(fd, 0), 0)
        self.assertEqual(files.write(fd, b"FIRST"), 5)
        self.assertEqual(files.read(before, 100), self.notes, "opened before: the original")
        self.assertEqual(files.seek(fd, 0), 0)
        self.assertEqual(files.read(fd, 100), b"FIRST" + self.notes[5:])
        after = files.open(b"notes.txt")
        self.assertEqual(files.read(after, 100), b"FIRST" + self.notes[5:], "opened afterwards: the copy")
        self.halt(run, files)
        self.assertEqual(contents(self.path("notes.txt")), self.notes)
        self.assertEqual(contents(self.own("notes.txt")), b"FIRST" + self.notes[5:])

    def test_shared_file_truncated(self):
        run, files = self.start_files()
        before = files.open(b"notes.txt")
        fd = files.open(b"notes.txt", O_WRITE | O_TRUNCATE)
        self.assertEqual(files.size(fd), 0)
        self.assertEqual(files.write(fd, b"new"), 3)
        self.assertEqual(files.read(before, 100), self.notes)
        self.halt(run, files)
        self.assertEqual(contents(self.path("notes.txt")), self.notes)
        self.assertEqual(contents(self.own("notes.txt")), b"new")

    def test_shared_file_appended(self):
        run, files = self.start_files()
        fd = files.open(b"notes.txt", O_WRITE | O_APPEND)
        self.assertEqual(files.write(fd, b"third line\n"), 11)
        self.halt(run, files)
        self.assertEqual(contents(self.path("notes.txt")), self.notes)
        self.assertEqual(contents(self.own("notes.txt")), self.notes + b"third line\n")

    def test_large_shared_file_is_copied_whole(self):
        data = os.urandom(3 * MB + 12345)
        self.write("large", data)
        run, files = self.start_files("-f", "large")
        fd = files.open(b"large", O_WRITE)
        self.assertEqual(files.seek(fd, 0, SEEK_END), len(data))
        self.assertEqual(files.write(fd, b"!"), 1)
        self.halt(run, files)
        self.assertEqual(contents(self.own("large")), data + b"!")
        self.assertEqual(contents(self.path("large")), data)

    def test_names_refused(self):
        outside = self.write("outside", b"secret")
        run, files = self.start_files()
        names = [b"..", b".", b"./.", b"./..", b"../outside", b"../../outside", b"/etc/passwd", b"/", b"a/b", b"a/",
                 b"/dev/null", outside.encode(), b"../notes.txt", b"vm-files/x", b"x/../y", b".//x", b"\0", b"a\0b",
                 b"a\nb", b"\x1b[2J", b"\x7f", b"\x01"]
        for name in names:
            for flags in (O_READ, O_WRITE, O_WRITE | O_TRUNCATE, O_READ | O_CREATE):
                self.assertEqual(files.open(name, flags), EACCES, (name, flags))
        self.assertEqual(files.open(b"", O_READ), ENOENT)
        self.assertEqual(files.open(b"", O_WRITE), ENOENT)
        self.assertEqual(files.open(b"n" * 256, O_WRITE), ENAMETOOLONG)
        self.assertEqual(files.open(b"n" * 4000), ENAMETOOLONG)
        self.assertEqual(files.open(b"notes.txt"), 0, "and it goes on")
        self.halt(run, files)
        self.assertEqual(contents(outside), b"secret")
        self.assertFalse(os.path.exists(self.path("x")))
        if os.path.isdir(self.path("vm-files")):
            self.assertEqual(os.listdir(os.path.dirname(self.own("x"))), [])

    def test_names_of_any_bytes(self):
        run, files = self.start_files()
        names = [b"n" * 255, b"...", b"..a", b" ", b"-rf", b"*", b"\xff\xfe\x80", "na\u00efve".encode(), b"a\\b", b"~",
                 b"$HOME", b".hidden", b"%n"]
        for number, name in enumerate(names):
            fd = files.open(name, O_WRITE)
            self.assertEqual(fd, 0, name)
            self.assertEqual(files.write(fd, b"%d" % number), len(b"%d" % number))
            self.assertEqual(files.close(fd), 0)
        self.assertEqual(files.open(b"./notes.txt"), 0)
        self.halt(run, files)
        directory = os.fsencode(os.path.dirname(self.own("x")))
        self.assertEqual(sorted(os.listdir(directory)), sorted(names))
        for number, name in enumerate(names):
            self.assertEqual(contents(os.path.join(directory, name)), b"%d" % number)

    def test_max_open(self):
        for arguments, limit in (((), 16), (("--max-open", 3), 3), (("--max-open", 100), 100)):
            with self.subTest(limit=limit):
                run, files = self.start_files(*arguments)
                self.assertEqual([files.open(b"notes.txt") for _ in range(limit)], list(range(limit)))
                self.assertEqual(files.open(b"notes.txt"), EMFILE)
                self.assertEqual(files.open(b"new", O_WRITE), EMFILE)
                self.assertEqual(files.close(1), 0)
                self.assertEqual(files.open(b"notes.txt"), 1)
                self.halt(run, files)
                self.assertFalse(os.path.exists(self.own("new")))

    def test_max_written(self):
        """A megabyte may be written: the last write is cut short, the next one refused, and reading still works."""
        run, files = self.start_files("--max-written", 1)
        first = files.open(b"first", O_WRITE | O_READ)
        self.write_much(files, first, MB - 100)
        second = files.open(b"second", O_WRITE)
        self.assertEqual(files.write(second, b"x" * 300), 100)
        self.assertEqual(files.write(second, b"x"), EDQUOT)
        self.assertEqual(files.write(first, b"x"), EDQUOT)
        copy = files.open(b"notes.txt", O_WRITE)
        self.assertEqual(files.write(copy, b"x"), EDQUOT, "a copy counts, too")
        self.assertEqual(files.open(b"notes.txt"), 3)
        self.assertEqual(files.seek(first, 0), 0)
        self.assertEqual(len(files.read(first, 100)), 100)
        self.halt(run, files)
        self.assertEqual(os.path.getsize(self.own("first")), MB - 100)
        self.assertEqual(contents(self.own("second")), b"x" * 100)

    def test_position_no_file_may_reach(self):
        run, files = self.start_files("--max-written", 1)
        fd = files.open(b"far", O_WRITE)
        self.assertEqual(files.seek(fd, MB), MB)
        self.assertEqual(files.write(fd, b"x"), EFBIG)
        self.assertEqual(files.seek(fd, 2**62), 2**62)
        self.assertEqual(files.write(fd, b"x"), EFBIG)
        self.assertEqual(files.seek(fd, MB - 1), MB - 1)
        self.assertEqual(files.write(fd, b"xy"), 1)
        self.halt(run, files)
        self.assertEqual(os.path.getsize(self.own("far")), MB)

    def write_much(self, files, fd, length):
        """Write `length` bytes without sending them over the serial port: the guest's memory has enough."""
        step = InOneStep(files.monitor)
        while length > 0:
            written = step.call(WRITE, fd, buffer=0x50000, length=min(length, MB))
            self.assertGreater(written, 0)
            length -= written

    def test_acknowledged_data_survives_a_crash(self):
        run, files = self.start_files()
        fd = files.open(b"data", O_WRITE)
        self.assertEqual(files.write(fd, b"acknowledged"), 12)
        self.assertEqual(contents(self.own("data")), b"acknowledged", "at once")
        files.monitor.crash()
        self.check(run.finish(), EXIT_CRASHED, err="invalid opcode")
        self.assertEqual(contents(self.own("data")), b"acknowledged")

    def test_acknowledged_data_survives_sigkill(self):
        run, files = self.start_files()
        fd = files.open(b"data", O_WRITE)
        self.assertEqual(files.write(fd, b"acknowledged"), 12)
        run.process.kill()
        run.process.wait()
        self.assertEqual(contents(self.own("data")), b"acknowledged")


class OneStepTest(CallTests, FilesCase):
    WAY = InOneStep

    def test_as_much_as_there_is_ram(self):
        data = os.urandom(MB)
        self.write("large", data)
        run, files = self.start_files("-f", "large", "-m", 4)
        fd = files.open(b"large")
        self.assertEqual(files.call(READ, fd, buffer=0x100000, length=MB), MB)
        self.assertEqual(files.monitor.peek(0x100000 + MB - 1000, 1000), data[-1000:])
        out = files.open(b"copy", O_WRITE)
        self.assertEqual(files.call(WRITE, out, buffer=0x100000, length=MB), MB)
        self.halt(run, files)
        self.assertEqual(contents(self.own("copy")), data)

    def test_buffers_outside_ram(self):
        for memory in (2, 4, 8):
            run, files = self.start_files("-m", memory)
            ram = memory * MB
            fd = files.open(b"rw", O_READ | O_WRITE)
            self.assertEqual(files.write(fd, b"data"), 4)
            self.assertEqual(files.seek(fd, 0), 0)
            outside = [(ram, 1), (ram - 1, 2), (ram - 4096, 4097), (0, ram + 1), (0x1000000, 8), (2**32, 1),
                       (2**63, 1), (2**64 - 1, 1), (2**64 - 1, 2), (8, 2**64 - 8), (8, 2**64 - 1), (1, 2**63),
                       (ram - 1, 2**64 - 1)]
            for buffer, length in outside:
                for op in (READ, WRITE, OPEN):
                    self.assertEqual(files.call(op, fd, O_READ, buffer, length), EFAULT, (op, hex(buffer), length))
            self.assertEqual(files.call(READ, fd, buffer=ram - 4, length=4), 4, "the last bytes of RAM are RAM")
            self.assertEqual(files.monitor.peek(ram - 4, 4), b"data")
            self.halt(run, files)

    def test_call_outside_ram(self):
        """Nothing is done, and nothing can be answered."""
        run, files = self.start_files()
        call = struct.pack("<IiIIQQqq", OPEN, 0, O_READ, 0, BUFFER, 9, 0, EFAULT)
        files.monitor.poke(BUFFER, b"notes.txt")
        for address in (2 * MB, 2 * MB - 47, 2 * MB - 1, 0x1000000, 0x80000000, 0xffffffff, 0xffffffd0):
            files.monitor.out(PORT, 4, address)
        files.monitor.poke(0x1fff00, call)
        self.assertEqual(files.open(b"notes.txt"), 0, "no descriptor was used up")
        self.halt_with_notice(run, files, "the 32-bit OUT of 0x200000 to the file port")

    def test_call_at_the_end_of_ram_and_unaligned(self):
        run, files = self.start_files()
        files.monitor.poke(BUFFER, b"notes.txt")
        # the monitor's stack is there, too: put the call where it is not in use, far below the top but odd
        self.assertEqual(files.call(OPEN, flags=O_READ, buffer=BUFFER, length=9, at=0x1e0003), 0)
        self.assertEqual(files.call(SIZE, 0, at=0x20fff), len(self.notes))
        self.halt(run, files)

    def test_unknown_ops(self):
        run, files = self.start_files()
        for op in (0, 7, 8, 255, 256, 2**31, 2**32 - 1):
            self.assertEqual(files.call(op), UNTOUCHED, "no memory changes")
        self.assertEqual(files.open(b"notes.txt"), 0)
        self.halt_with_notice(run, files, "is no call (op 0x0,")

    def test_field_that_must_be_zero(self):
        run, files = self.start_files()
        files.monitor.poke(BUFFER, b"notes.txt")
        self.assertEqual(files.call(OPEN, flags=O_READ, buffer=BUFFER, length=9, zero=1), UNTOUCHED)
        self.assertEqual(files.call(OPEN, flags=O_READ, buffer=BUFFER, length=9), 0)
        self.assertEqual(files.call(SIZE, 0, zero=1), UNTOUCHED)
        self.halt_with_notice(run, files, "is no call (op 0x1,")

    def test_other_accesses(self):
        run, files = self.start_files()
        for _ in range(3):
            files.monitor.out(PORT, 2, 0x1234)
            self.assertEqual(files.monitor.inp(PORT, 2), 0xffff)
            self.assertEqual(files.monitor.inp(PORT, 4), 0xffffffff)
        self.assertEqual(files.open(b"notes.txt"), 0)
        files.monitor.halt()
        result = self.check(run.finish(), err="file port")
        self.assertEqual(result.messages.count("\n"), 1, result)

    def test_nothing_else_of_the_call_changes(self):
        run, files = self.start_files()
        files.monitor.poke(BUFFER, b"notes.txt")
        files.call(OPEN, 7, O_READ, BUFFER, 9, offset=5)
        self.assertEqual(files.monitor.peek(CALL, 48),
                         struct.pack("<IiIIQQqq", OPEN, 7, O_READ, 0, BUFFER, 9, 5, 0))
        self.halt(run, files)


class ByteByByteTest(CallTests, FilesCase):
    WAY = ByteByByte

    def test_example_of_the_documentation(self):
        self.write("a.txt", b"hi\n")
        run, files = self.start_files("-f", "a.txt")
        monitor = files.monitor
        monitor.file_write(bytes.fromhex("01 01000000 0500 612e747874"))
        self.assertEqual(monitor.file_read(8), bytes(8))
        monitor.file_write(bytes.fromhex("03 00000000 40000000"))
        self.assertEqual(monitor.file_read(11), bytes.fromhex("0300000000000000 68690a"))
        monitor.file_write(bytes.fromhex("02 00000000"))
        self.assertEqual(monitor.file_read(8), bytes(8))
        monitor.file_write(bytes.fromhex("01 01000000 0100 78"))
        self.assertEqual(monitor.file_read(8), bytes.fromhex("feffffffffffffff"))
        self.halt(run, files)

    def test_long_reads_and_writes_come_out_short(self):
        run, files = self.start_files()
        fd = files.open(b"long", O_READ | O_WRITE)
        data = bytes(i % 253 for i in range(6000))
        self.assertEqual(files.write(fd, data), STREAM_MAX)
        self.assertEqual(files.write(fd, data[STREAM_MAX:]), len(data) - STREAM_MAX)
        self.assertEqual(files.seek(fd, 0), 0)
        self.assertEqual(files.read(fd, 6000), data[:STREAM_MAX])
        self.assertEqual(files.read(fd, 2**32 - 1), data[STREAM_MAX:])
        self.halt(run, files)

    def test_half_finished_requests(self):
        """Reading before the request is whole drops it."""
        run, files = self.start_files()
        whole = [struct.pack("<BIH", OPEN, O_WRITE, 3) + b"abc", struct.pack("<Bi", CLOSE, 0),
                 struct.pack("<BiI", READ, 0, 4), struct.pack("<BiI", WRITE, 0, 3) + b"abc",
                 struct.pack("<BiIq", SEEK, 0, 0, 0), struct.pack("<Bi", SIZE, 0)]
        for request in whole:
            for length in range(1, len(request)):
                self.assertEqual(files.request(request[:length]), EPROTO, request[:length])
                self.assertEqual(files.monitor.file_read(1), b"\xff", "nothing behind the answer")
        self.assertEqual(files.open(b"notes.txt"), 0)
        self.halt_with_notice(run, files, "before the request 'open' was complete", "where no answer is left")
        self.assertFalse(os.path.exists(self.own("abc")))

    def test_half_finished_request_at_the_end(self):
        run, files = self.start_files()
        files.monitor.file_write(struct.pack("<BIH", OPEN, O_WRITE, 3) + b"ab")
        self.halt(run, files)
        self.assertFalse(os.path.exists(self.own("ab")))

    def test_rest_of_an_answer_is_dropped(self):
        run, files = self.start_files()
        self.assertEqual(files.open(b"notes.txt"), 0)
        files.monitor.file_write(struct.pack("<BiI", READ, 0, 10))
        self.assertEqual(files.monitor.file_read(9), struct.pack("<q", 10) + self.notes[:1])
        self.assertEqual(files.size(0), len(self.notes))
        self.assertEqual(files.read(0, 3), self.notes[10:13], "what was read is read")
        self.halt(run, files)

    def test_nothing_to_read(self):
        run, files = self.start_files()
        self.assertEqual(files.monitor.file_read(20), b"\xff" * 20)
        self.assertEqual(files.size(0), EBADF)
        self.assertEqual(files.monitor.file_read(20), b"\xff" * 20)
        self.halt_with_notice(run, files, "where no answer is left")

    def test_unknown_ops(self):
        run, files = self.start_files()
        for op in (0, 7, 8, 100, 255):
            self.assertEqual(files.request(bytes([op])), ENOSYS, op)
        self.assertEqual(files.open(b"notes.txt"), 0)
        self.halt_with_notice(run, files, "a byte 0x00 where a request begins")

    def test_the_two_ways_do_not_disturb_each_other(self):
        run, files = self.start_files()
        step = InOneStep(files.monitor)
        self.assertEqual(files.open(b"notes.txt"), 0)
        files.monitor.file_write(struct.pack("<Bi", READ, 0))  # half of a request
        self.assertEqual(step.read(0, 5), self.notes[:5])
        files.monitor.file_write(struct.pack("<I", 5))
        self.assertEqual(files.answer(), 5)
        self.assertEqual(files.monitor.file_read(2), self.notes[5:7])
        self.assertEqual(step.size(0), len(self.notes))
        self.assertEqual(files.monitor.file_read(3), self.notes[7:10])
        self.halt(run, files)


if __name__ == "__main__":
    main()
