"""The file port, by both of its ways: every call, every error, and whose files a guest can reach."""

import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from hypervisor import EXIT_CRASHED, MB, Case, contents, main, sample  # noqa: E402
from mounts import may_mount, mount, own_mounts  # noqa: E402

PORT = 0x278
OPEN, CLOSE, READ, WRITE, SEEK, SIZE = range(1, 7)
O_READ, O_WRITE, O_CREATE, O_TRUNCATE, O_APPEND = 1, 2, 4, 8, 16
SEEK_SET, SEEK_CUR, SEEK_END = 0, 1, 2
ENOENT, EIO, EBADF, EACCES, EFAULT, EINVAL, EMFILE, EFBIG = -2, -5, -9, -13, -14, -22, -24, -27
ENOSPC, ENAMETOOLONG, ENOSYS, EPROTO, EDQUOT = -28, -36, -38, -71, -122
STREAM_MAX = 4096

CALL, BUFFER = 0x20000, 0x40000  # where the tests put things in a guest's memory


class InOneStep:
    """Calls described in memory, with one OUT each."""

    def __init__(self, monitor):
        self.monitor = monitor

    def call(self, op, fd=0, flags=0, buffer=0, length=0, offset=0, zero=0, at=CALL):
        untouched = -9999
        self.monitor.poke(at, struct.pack("<IiIIQQqq", op, fd, flags, zero, buffer, length, offset, untouched))
        self.monitor.out(PORT, 4, at)
        return struct.unpack("<q", self.monitor.peek(at + 40, 8))[0]

    def open(self, name, flags=O_READ):
        self.monitor.poke(BUFFER, name)
        return self.call(OPEN, flags=flags, buffer=BUFFER, length=len(name))

    def close(self, fd):
        return self.call(CLOSE, fd)

    def read(self, fd, length):
        """The bytes, or the error."""
        result = self.call(READ, fd, buffer=BUFFER, length=length)
        return result if result < 0 else self.monitor.peek(BUFFER, result)

    def write(self, fd, data):
        self.monitor.poke(BUFFER, data)
        return self.call(WRITE, fd, buffer=BUFFER, length=len(data))

    def seek(self, fd, offset, whence=SEEK_SET):
        return self.call(SEEK, fd, flags=whence, offset=offset)

    def size(self, fd):
        return self.call(SIZE, fd)


class ByteByByte:
    """Calls written to the port, and answers read from it, a byte at a time."""

    def __init__(self, monitor):
        self.monitor = monitor

    def answer(self):
        return struct.unpack("<q", self.monitor.file_read(8))[0]

    def request(self, data):
        self.monitor.file_write(data)
        return self.answer()

    def open(self, name, flags=O_READ):
        return self.request(struct.pack("<BIH", OPEN, flags, len(name)) + name)

    def close(self, fd):
        return self.request(struct.pack("<Bi", CLOSE, fd))

    def read(self, fd, length):
        result = self.request(struct.pack("<BiI", READ, fd, length))
        return result if result < 0 else self.monitor.file_read(result)

    def write(self, fd, data):
        return self.request(struct.pack("<BiI", WRITE, fd, len(data)) + data)

    def seek(self, fd, offset, whence=SEEK_SET):
        return self.request(struct.pack("<BiIq", SEEK, fd, whence, offset))

    def size(self, fd):
        return self.request(struct.pack("<Bi", SIZE, fd))


class FilesCase(Case):
    WAY = None

    def setUp(self):
        super().setUp()
        self.notes = b"first line\nsecond line\n"
        self.write("notes.txt", self.notes)

    def start_files(self, *arguments, **options):
        """A guest with notes.txt shared; its run and its file calls."""
        run, monitor = self.start_monitor("-f", "notes.txt", *arguments, **options)
        return run, self.WAY(monitor)

    def own(self, name, number=1):
        """A file in the guest's own directory, on the host."""
        label = "monitor" if number == 1 else f"monitor#{number}"
        return self.path("vm-files", f"{number}-{label}", name)

    def halt(self, run, files):
        files.monitor.halt()
        return self.check(run.finish(), err="")


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
        """A megabyte may be written: the last write is cut short, the next one refused, and reading goes on."""
        run, files = self.start_files("--max-written", 1)
        first = files.open(b"first", O_WRITE | O_READ)
        self.write_much(files, first, MB - 100)
        second = files.open(b"second", O_WRITE)
        self.assertEqual(files.write(second, b"x" * 300), 100)
        self.assertEqual(files.write(second, b"x"), EDQUOT)
        self.assertEqual(files.write(first, b"x"), EDQUOT)
        self.assertIn(files.open(b"notes.txt", O_WRITE), (EDQUOT,), "a copy counts, too")
        self.assertEqual(files.open(b"notes.txt"), 2)
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
        self.halt(run, files)

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
            self.assertEqual(files.call(op), ENOSYS, op)
        self.assertEqual(files.open(b"notes.txt"), 0)
        self.halt(run, files)

    def test_field_that_must_be_zero(self):
        run, files = self.start_files()
        files.monitor.poke(BUFFER, b"notes.txt")
        self.assertEqual(files.call(OPEN, flags=O_READ, buffer=BUFFER, length=9, zero=1), EINVAL)
        self.assertEqual(files.call(OPEN, flags=O_READ, buffer=BUFFER, length=9), 0)
        self.assertEqual(files.call(SIZE, 0, zero=1), EINVAL)
        self.halt(run, files)

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
        self.halt(run, files)
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
        self.halt(run, files)

    def test_unknown_ops(self):
        run, files = self.start_files()
        for op in (0, 7, 8, 100, 255):
            self.assertEqual(files.request(bytes([op])), ENOSYS, op)
        self.assertEqual(files.open(b"notes.txt"), 0)
        self.halt(run, files)

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


class DirectoryTest(FilesCase):
    """Where a guest's files are on the host, and what else may lie there."""

    WAY = InOneStep

    def test_files_dir(self):
        run, files = self.start_files("--files-dir", "elsewhere")
        self.assertEqual(files.write(files.open(b"new", O_WRITE), b"x"), 1)
        self.halt(run, files)
        self.assertEqual(contents(self.path("elsewhere", "1-monitor", "new")), b"x")
        self.assertFalse(os.path.exists(self.path("vm-files")))

    def test_files_dir_that_cannot_be_made(self):
        """The guest is told an error, the person why, and everything goes on."""
        run, files = self.start_files("--files-dir", "no/such/place")
        self.assertEqual(files.open(b"new", O_WRITE), EIO)
        self.assertEqual(files.open(b"new", O_WRITE), EIO)
        self.assertEqual(files.open(b"notes.txt"), 0)
        files.monitor.halt()
        result = self.check(run.finish(), err="no/such/place")
        self.assertEqual(result.messages.count("\n"), 1, "told once")

    def test_files_of_an_earlier_run(self):
        for text in (b"one", b"two"):
            run, files = self.start_files()
            self.assertEqual(files.open(b"kept"), ENOENT, "not visible")
            self.assertEqual(files.write(files.open(b"kept", O_WRITE), text), 3)
            self.assertEqual(files.write(files.open(text, O_WRITE), text), 3)
            self.halt(run, files)
        self.assertEqual(contents(self.own("kept")), b"two")
        self.assertEqual(contents(self.own("one")), b"one", "the others stay")

    def plant(self, name):
        os.makedirs(os.path.dirname(self.own(name)), exist_ok=True)
        return self.own(name)

    def test_planted_links_and_pipes(self):
        """What lies there beforehand leads the guest nowhere: it is not seen, and replaced by a file of the guest's."""
        outside = self.write("outside", b"secret")
        os.symlink(outside, self.plant("link"))
        os.symlink("/nonexistent/target", self.plant("dangling"))
        os.link(outside, self.plant("hard"))
        os.mkfifo(self.plant("pipe"))
        run, files = self.start_files()
        for name in (b"link", b"dangling", b"hard", b"pipe"):
            self.assertEqual(files.open(name), ENOENT, name)
            fd = files.open(name, O_READ | O_WRITE)
            self.assertGreaterEqual(fd, 0, name)
            self.assertEqual(files.size(fd), 0, name)
            self.assertEqual(files.write(fd, b"mine"), 4)
            self.assertEqual(files.close(fd), 0)
        self.halt(run, files)
        self.assertEqual(contents(outside), b"secret")
        for name in ("link", "dangling", "hard", "pipe"):
            self.assertFalse(os.path.islink(self.own(name)))
            self.assertEqual(contents(self.own(name)), b"mine")

    def test_planted_directory(self):
        os.makedirs(self.plant("sub") + "/inner")
        run, files = self.start_files()
        self.assertEqual(files.open(b"sub"), ENOENT)
        self.assertEqual(files.open(b"sub", O_WRITE), EACCES)
        self.assertEqual(files.open(b"sub/inner", O_WRITE), EACCES)
        self.halt(run, files)
        self.assertTrue(os.path.isdir(self.own("sub")))

    def test_full_disk(self):
        """What fits is written and told; the rest is an error, and a copy that does not fit leaves nothing behind."""
        if not may_mount():
            self.skipTest("this user may not mount a small disk")
        os.mkdir(self.path("vm-files"))

        def on_small_disk():
            own_mounts()
            mount("none", self.path("vm-files"), b"tmpfs", options=b"size=64k")
        self.write("large.txt", bytes(100000))
        run, files = self.start_files("large.txt", preexec_fn=on_small_disk)
        self.assertEqual(files.open(b"large.txt", O_WRITE), ENOSPC)
        fd = files.open(b"own", O_READ | O_WRITE)
        self.assertEqual(files.call(WRITE, fd, buffer=BUFFER, length=MB), 65536)
        self.assertEqual(files.call(WRITE, fd, buffer=BUFFER, length=MB), ENOSPC)
        self.assertEqual(files.size(fd), 65536)
        again = files.open(b"own", O_READ | O_WRITE | O_TRUNCATE)
        self.assertEqual(files.write(again, b"there is room again"), 19)
        self.halt(run, files)

    def test_removed_while_it_runs(self):
        """As any file that is not there, it is made when it is opened for writing."""
        run, files = self.start_files()
        self.assertEqual(files.close(files.open(b"a", O_WRITE)), 0)
        os.unlink(self.own("a"))
        self.assertEqual(files.open(b"a", O_READ), ENOENT)
        self.assertEqual(files.write(files.open(b"a", O_WRITE), b"new"), 3)
        self.halt(run, files)
        self.assertEqual(contents(self.own("a")), b"new")

    def test_planted_while_it_runs(self):
        """A file of the guest's that somebody replaces by a link or a pipe is not followed."""
        outside = self.write("outside", b"secret")
        run, files = self.start_files()
        for name in (b"a", b"b"):
            self.assertEqual(files.close(files.open(name, O_WRITE)), 0)
            os.unlink(self.own(name.decode()))
        os.symlink(outside, self.own("a"))
        os.mkfifo(self.own("b"))
        for flags in (O_READ, O_WRITE, O_WRITE | O_TRUNCATE):
            self.assertEqual(files.open(b"a", flags), EACCES)
            self.assertEqual(files.open(b"b", flags), EACCES)
        self.halt(run, files)
        self.assertEqual(contents(outside), b"secret")

    def test_directory_that_is_a_link(self):
        os.makedirs(self.path("vm-files"))
        os.makedirs(self.path("target"))
        os.symlink(self.path("target"), self.path("vm-files", "1-monitor"))
        run, files = self.start_files()
        self.assertEqual(files.open(b"new", O_WRITE), EACCES)
        files.monitor.halt()
        self.check(run.finish(), err="1-monitor")
        self.assertEqual(os.listdir(self.path("target")), [])

    def test_two_processes(self):
        """The second one with the same directory is refused it, with a message; one of its own works."""
        first, first_files = self.start_files()
        self.assertEqual(first_files.write(first_files.open(b"f", O_WRITE), b"first"), 5)
        second, second_files = self.start_files()
        self.assertLess(second_files.open(b"f", O_WRITE), 0)
        self.assertEqual(second_files.open(b"notes.txt"), 0, "it goes on")
        second_files.monitor.halt()
        self.check(second.finish(), err=["another run is using it", "--files-dir"])
        third, third_files = self.start_files("--files-dir", "other")
        self.assertEqual(third_files.write(third_files.open(b"f", O_WRITE), b"third"), 5)
        self.halt(third, third_files)
        self.halt(first, first_files)
        self.assertEqual(contents(self.own("f")), b"first")
        self.assertEqual(contents(self.path("other", "1-monitor", "f")), b"third")
        again, files = self.start_files()
        self.assertGreaterEqual(files.open(b"f", O_WRITE), 0, "free again after the end")
        self.halt(again, files)

    def test_many_files(self):
        run, files = self.start_files()
        for number in range(1024):
            files.monitor.poke(BUFFER, b"%d" % number)
            self.assertEqual(files.call(OPEN, 0, O_WRITE, BUFFER, len(b"%d" % number)), 0)
            self.assertEqual(files.close(0), 0)
        self.assertEqual(files.open(b"one more", O_WRITE), EDQUOT)
        self.assertEqual(files.open(b"17", O_WRITE), 0, "one of those there are")
        self.halt(run, files)


class SeveralMachinesTest(FilesCase):
    WAY = InOneStep

    def test_copies_are_private(self):
        """Two machines of the same image write the same shared file: each sees its own, a third one the original."""
        run, monitors = self.start_monitors(3, "-f", "notes.txt")
        files = [InOneStep(monitor) for monitor in monitors]
        opened_before = files[1].open(b"notes.txt")
        for number in (0, 1):
            fd = files[number].open(b"notes.txt", O_READ | O_WRITE)
            self.assertEqual(files[number].write(fd, b"VM %d " % number), 5)
        for number in (0, 1):
            fd = files[number].open(b"notes.txt")
            self.assertEqual(files[number].read(fd, 100), b"VM %d " % number + self.notes[5:])
        self.assertEqual(files[1].read(opened_before, 100), self.notes)
        self.assertEqual(files[2].read(files[2].open(b"notes.txt"), 100), self.notes)
        for monitor in monitors:
            monitor.halt()
        self.check(run.finish())
        self.assertEqual(contents(self.path("notes.txt")), self.notes)
        self.assertEqual(contents(self.own("notes.txt", 1)), b"VM 0 " + self.notes[5:])
        self.assertEqual(contents(self.own("notes.txt", 2)), b"VM 1 " + self.notes[5:])
        self.assertFalse(os.path.exists(self.own("notes.txt", 3)))

    def test_created_files_are_private(self):
        run, monitors = self.start_monitors(2)
        first, second = (InOneStep(monitor) for monitor in monitors)
        self.assertEqual(first.write(first.open(b"mine", O_WRITE), b"1"), 1)
        self.assertEqual(second.open(b"mine"), ENOENT)
        self.assertEqual(second.open(b"../1-monitor/mine"), EACCES)
        self.assertEqual(second.write(second.open(b"mine", O_WRITE), b"2"), 1)
        for monitor in monitors:
            monitor.halt()
        self.check(run.finish())
        self.assertEqual(contents(self.own("mine", 1)), b"1")
        self.assertEqual(contents(self.own("mine", 2)), b"2")

    def test_limits_are_each_machines_own(self):
        run, monitors = self.start_monitors(2, "--max-written", "1", "--max-open", "1")
        first, second = (InOneStep(monitor) for monitor in monitors)
        fd = first.open(b"f", O_WRITE)
        self.assertEqual(first.call(WRITE, fd, buffer=0x40000, length=MB + 1), MB)
        self.assertEqual(first.write(fd, b"x"), EDQUOT)
        self.assertEqual(first.open(b"g", O_WRITE), EMFILE)
        self.assertEqual(second.write(second.open(b"f", O_WRITE), b"x"), 1)
        for monitor in monitors:
            monitor.halt()
        self.check(run.finish())

    def test_sample_writes_its_copies(self):
        """The sample itself, three times at once."""
        shared = contents(self.path("notes.txt"))
        result = self.check(self.run_vm("-g", *[sample("files")] * 3, "-f", "notes.txt", "--serial", "file:out-%n"))
        self.assertEqual(result.out, b"")
        outputs = [contents(self.path(f"out-{number}")) for number in (1, 2, 3)]
        self.assertEqual(len(set(outputs)), 1)
        self.assertEqual(contents(self.path("notes.txt")), shared)
        for number, name in ((1, "1-files"), (2, "2-files#2"), (3, "3-files#3")):
            self.assertIn("notes.txt", os.listdir(self.path("vm-files", name)))


if __name__ == "__main__":
    main()
