"""File calls of a guest that does as the test says, by both ways of the file port."""

import struct

from hypervisor import Case

PORT = 0x278
OPEN, CLOSE, READ, WRITE, SEEK, SIZE = range(1, 7)
O_READ, O_WRITE, O_CREATE, O_TRUNCATE, O_APPEND = 1, 2, 4, 8, 16
SEEK_SET, SEEK_CUR, SEEK_END = 0, 1, 2
ENOENT, EIO, EBADF, EACCES, EFAULT, EINVAL, EMFILE, EFBIG = -2, -5, -9, -13, -14, -22, -24, -27
ENOSPC, ENAMETOOLONG, ENOSYS, EPROTO, EDQUOT = -28, -36, -38, -71, -122
STREAM_MAX = 4096

UNTOUCHED = -9999  # the result of a call that was none
CALL, BUFFER = 0x20000, 0x40000  # where the tests put things in a guest's memory


class InOneStep:
    """Calls described in memory, with one OUT each."""

    def __init__(self, monitor):
        self.monitor = monitor

    def call(self, op, fd=0, flags=0, buffer=0, length=0, offset=0, zero=0, at=CALL):
        self.monitor.poke(at, struct.pack("<IiIIQQqq", op, fd, flags, zero, buffer, length, offset, UNTOUCHED))
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

    def halt_with_notice(self, run, files, *notices):
        """The same of a guest that misused the port: each kind is on stderr once, with the page to read."""
        files.monitor.halt()
        result = self.check(run.finish(), err=notices)
        self.assertEqual(result.messages.count("docs/guest-interface.md"), len(notices), result)
        self.assertEqual(result.messages.count("\n"), len(notices), result)
