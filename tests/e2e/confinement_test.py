"""
What the process has given up before a guest runs. A real gdb debugs mini_hypervisor itself, stops it in a machine's
thread before the machine exists, and makes the calls there that a guest that has escaped would make.
"""

import ctypes
import errno
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from file_port import O_WRITE, InOneStep  # noqa: E402
from gdb_driver import Gdb  # noqa: E402
from hypervisor import PROGRAM, Case, contents, is_sanitized, main, sample, sample_source  # noqa: E402
from refused_calls import refuse_calls  # noqa: E402

# numbers of system calls on x86-64
WRITE, MMAP, MPROTECT, IOCTL, GETPID, SOCKET, CONNECT, BIND = 1, 9, 10, 16, 39, 41, 42, 49
CLONE, FORK, EXECVE, KILL, RENAME, MKDIR, RMDIR, LINK, UNLINK, SYMLINK = 56, 57, 59, 62, 82, 83, 84, 86, 87, 88
PTRACE, MKNOD, MOUNT, INIT_MODULE, TGKILL, OPENAT, UNSHARE = 101, 133, 165, 175, 234, 257, 272
PERF_EVENT_OPEN, PROCESS_VM_READV, SECCOMP, BPF, EXECVEAT, IO_URING_SETUP, CLONE3 = 298, 310, 317, 321, 322, 425, 435
CREATE_RULESET, RESTRICT_SELF = 444, 446
TIOCSTI = 0x5412
AT_FDCWD = -100
O_RDWR_CREAT = os.O_RDWR | os.O_CREAT

libc = ctypes.CDLL(None, use_errno=True)


def landlock_abi():
    """0 when this kernel has none."""
    return max(0, libc.syscall(CREATE_RULESET, None, 0, 1))


class ConfinedCase(Case):
    def setUp(self):
        super().setUp()
        if is_sanitized():
            self.skipTest("sanitizers need what is given up, so the program gives up nothing")

    def break_out(self, *arguments):
        """A process at the point where its first guest is about to be made, in that guest's thread."""
        gdb = Gdb(self.dir, PROGRAM)
        self.addCleanup(gdb.close)
        gdb("set args " + " ".join(arguments or ["-g", sample("seed")]))
        gdb("break mh_vm_create")
        self.assertIn("Breakpoint 1, mh_vm_create", gdb("run"))
        return gdb

    def call(self, gdb, number, *arguments):
        """What a system call returns there; minus the errno when it fails."""
        words = ", ".join(f'"{word}"' if isinstance(word, str) else f"{word}" for word in arguments)
        gdb(f"set $result = ((long (*)(long, ...)) syscall)({number}{', ' if words else ''}{words})")
        result = int(gdb("output $result"))
        return result if result >= 0 else -int(gdb("output *((int *(*)(void)) __errno_location)()"))

    def refuses(self, gdb, error, number, *arguments):
        self.assertEqual(self.call(gdb, number, *arguments), -error, (number, arguments))

    def opens(self, gdb, path, flags):
        fd = self.call(gdb, OPENAT, AT_FDCWD, path, flags, 0o666)
        self.assertGreaterEqual(fd, 0, path)
        return fd


class StatusTest(ConfinedCase):
    def test_every_thread_says_so(self):
        run, monitors = self.start_monitors(2)
        monitors[1].peek(0, 1)  # both machines run
        monitors[0].peek(0, 1)
        threads = os.listdir(f"/proc/{run.process.pid}/task")
        self.assertGreaterEqual(len(threads), 3)
        for thread in threads:
            status = contents(f"/proc/{run.process.pid}/task/{thread}/status").decode()
            self.assertIn("NoNewPrivs:\t1\n", status)
            self.assertIn("Seccomp:\t2\n", status)


class FilesTest(ConfinedCase):
    def setUp(self):
        super().setUp()
        if landlock_abi() == 0:
            self.skipTest("this kernel has no Landlock")

    def test_files_of_the_host(self):
        """Not even those of this very user, in this very directory."""
        self.write("beside", b"x")
        gdb = self.break_out("-g", sample("seed"), "-f", self.write("notes.txt", b"x"))
        for path in ("/etc/passwd", "/dev/kvm", "/dev/mem", "/proc/self/mem", "beside", "vm-files/../beside",
                     sample("seed"), "notes.txt"):
            if os.path.exists(os.path.join(self.dir, path)):  # not everybody has a /dev/mem
                for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR | os.O_TRUNC):
                    self.refuses(gdb, errno.EACCES, OPENAT, AT_FDCWD, path, flags)
        for path in ("/", ".", "/home"):
            self.refuses(gdb, errno.EACCES, OPENAT, AT_FDCWD, path, os.O_RDONLY | os.O_DIRECTORY)
        self.refuses(gdb, errno.EACCES, OPENAT, AT_FDCWD, "new", O_RDWR_CREAT, 0o666)
        self.refuses(gdb, errno.EACCES, MKDIR, "new", 0o777)
        self.refuses(gdb, errno.EACCES, UNLINK, "beside")
        self.refuses(gdb, errno.EACCES, RENAME, "beside", "new")
        self.assertEqual(contents(self.path("beside")), b"x")

    def test_files_of_guests(self):
        """The directory of guests' files is all that can be written, and nothing is brought into it or out of it."""
        self.write("beside", b"x")
        gdb = self.break_out()
        fd = self.opens(gdb, "vm-files/file", O_RDWR_CREAT)
        self.assertEqual(self.call(gdb, WRITE, fd, "text", 4), 4)
        self.opens(gdb, "vm-files/file", os.O_WRONLY | os.O_TRUNC)
        self.opens(gdb, "vm-files", os.O_RDONLY | os.O_DIRECTORY)
        self.assertEqual(self.call(gdb, MKDIR, "vm-files/directory", 0o777), 0)
        self.assertEqual(self.call(gdb, RENAME, "vm-files/file", "vm-files/other"), 0)
        self.assertEqual(self.call(gdb, UNLINK, "vm-files/other"), 0)
        self.opens(gdb, "vm-files/kept", O_RDWR_CREAT)
        for link in (RENAME, LINK):
            self.assertIn(self.call(gdb, link, "beside", "vm-files/beside"), (-errno.EACCES, -errno.EXDEV, -errno.ENOSYS))
            self.assertIn(self.call(gdb, link, "vm-files/kept", "out"), (-errno.EACCES, -errno.EXDEV, -errno.ENOSYS))
        self.assertEqual(sorted(os.listdir(self.dir)), ["beside", "vm-files"])
        self.assertEqual(sorted(os.listdir(self.path("vm-files"))), ["directory", "kept"])
        for number in (MKNOD, SYMLINK):
            self.refuses(gdb, errno.ENOSYS, number, "vm-files/x", "vm-files/y", 0)

    def test_empty_directories_beside(self):
        """What removes the directory of guests' files could remove others that are empty; only when it is to be."""
        os.mkdir(self.path("empty"))
        self.assertEqual(self.call(self.break_out(), RMDIR, "empty"), 0)
        os.mkdir(self.path("empty"))
        os.makedirs(self.path("vm-files"), exist_ok=True)
        self.refuses(self.break_out(), errno.EACCES, RMDIR, "empty")

    def test_image_for_debuggers(self):
        """No image can be opened again, not even when machines may be restarted; the process that does it opens nothing
        else."""
        image = self.write("guest.elf", contents(sample("seed")))
        self.write("beside", b"x")
        gdb = self.break_out("-g", image, "--gdb", "0")
        for path in (image, "beside"):
            self.refuses(gdb, errno.EACCES, OPENAT, AT_FDCWD, path, os.O_RDONLY)
        by_rename = self.write("new", b"what has been built since")
        os.rename(by_rename, image)
        opener = "((struct machine *) config->open_image_ctx)->shared->image_opener"
        fd = int(gdb(f"output (int) file_opener_open(&{opener}, 0)"))
        self.assertEqual(os.readlink(f"/proc/{self.call(gdb, GETPID)}/fd/{fd}"), os.path.realpath(image))
        for other in (1, 1 << 31, (1 << 32) - 1):
            self.assertEqual(int(gdb(f"output (int) file_opener_open(&{opener}, {other})")), -errno.EBADF)

    def test_directory_of_the_socket(self):
        """The socket's name can be removed, as anything beside it; nothing can be read or made there."""
        os.mkdir(self.path("sockets"))
        self.write("outside", b"x")
        self.write("sockets/beside", b"x")
        gdb = self.break_out("-g", sample("seed"), "--gdb", f"unix:{self.path('sockets', 'gdb')}")
        self.refuses(gdb, errno.EACCES, OPENAT, AT_FDCWD, "sockets/beside", os.O_RDONLY)
        self.refuses(gdb, errno.EACCES, OPENAT, AT_FDCWD, "sockets/new", O_RDWR_CREAT, 0o666)
        self.refuses(gdb, errno.EACCES, UNLINK, "outside")
        self.assertEqual(self.call(gdb, UNLINK, "sockets/beside"), 0)


class CallsTest(ConfinedCase):
    def test_programs_and_processes(self):
        gdb = self.break_out()
        for number in (EXECVE, EXECVEAT, FORK, CLONE3, PTRACE, PROCESS_VM_READV, UNSHARE, MOUNT):
            self.refuses(gdb, errno.ENOSYS, number, 0, 0, 0, 0, 0)
        self.refuses(gdb, errno.ENOSYS, CLONE, 17, 0, 0, 0, 0)

    def test_signals_to_others(self):
        gdb = self.break_out()
        parent = os.getpid()
        self.refuses(gdb, errno.ENOSYS, KILL, parent, 0)
        self.refuses(gdb, errno.ENOSYS, TGKILL, parent, parent, 0)
        own = self.call(gdb, GETPID)
        self.assertEqual(self.call(gdb, TGKILL, own, own, 0), 0)

    def test_network(self):
        gdb = self.break_out("-g", sample("seed"), "--gdb", "0")
        for family in (1, 2, 10, 16, 40):  # UNIX, IPv4, IPv6, netlink, vsock
            self.refuses(gdb, errno.ENOSYS, SOCKET, family, 1, 0)
        for number in (CONNECT, BIND):
            self.refuses(gdb, errno.ENOSYS, number, 3, 0, 0)

    def test_the_users_terminal(self):
        """Nothing can be typed into the shell this was started from."""
        self.refuses(self.break_out(), errno.ENOSYS, IOCTL, 0, TIOCSTI, "x")

    def test_new_code(self):
        gdb = self.break_out()
        anywhere, readable, executable, private = 0, 1, 4, 0x22
        self.refuses(gdb, errno.ENOSYS, MMAP, anywhere, 4096, readable | executable, private, -1, 0)
        page = self.call(gdb, MMAP, anywhere, 4096, readable, private, -1, 0)
        self.assertGreater(page, 0)
        self.refuses(gdb, errno.ENOSYS, MPROTECT, page, 4096, readable | executable)

    def test_kvm_of_the_software_processor(self):
        """A process whose machines do not run on KVM has not opened it, and cannot use it by another's descriptor."""
        gdb = self.break_out("-g", sample("seed"), "--accel", "soft")
        for request in (0xae00, 0xae01, 0xae80):  # KVM_GET_API_VERSION, KVM_CREATE_VM, KVM_RUN
            self.refuses(gdb, errno.ENOSYS, IOCTL, 0, request, 0)
        pid = self.call(gdb, GETPID)
        open_files = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        self.assertEqual([name for name in open_files if "kvm" in name], [])

    def test_doors_of_the_kernel(self):
        gdb = self.break_out()
        for number in (IO_URING_SETUP, BPF, PERF_EVENT_OPEN, INIT_MODULE):
            self.refuses(gdb, errno.ENOSYS, number, 0, 0, 0, 0, 0)


class FilesDirTest(ConfinedCase):
    """The directory of guests' files is there while a guest could write, and goes again."""

    def test_unused_one_goes(self):
        self.check(self.run_vm("-g", sample("seed")), 0, err="")
        self.assertEqual(os.listdir(self.dir), [])

    def test_one_that_was_there_stays(self):
        os.mkdir(self.path("vm-files"))
        self.check(self.run_vm("-g", sample("seed")), 0, err="")
        self.assertEqual(os.listdir(self.dir), ["vm-files"])

    def test_another_run_can_still_write(self):
        """One run that made it ends; another that found it writes afterwards."""
        first, first_monitor = self.start_monitor()
        first_monitor.peek(0, 1)
        second, second_monitor = self.start_monitor()
        second_monitor.peek(0, 1)
        first_monitor.halt()
        self.check(first.finish(), 0, err="")
        files = InOneStep(second_monitor)
        self.assertEqual(files.write(files.open(b"new", O_WRITE), b"text"), 4)
        second_monitor.halt()
        self.check(second.finish(), 0, err="")
        self.assertEqual(contents(self.path("vm-files", "1-monitor", "new")), b"text")


class OtherKernelsTest(ConfinedCase):
    """A kernel that has less, played by a filter."""

    def files_guest(self, *refused):
        return self.run_vm("-g", sample("files"), "-f", sample_source("files", "notes.txt"),
                           preexec_fn=lambda: refuse_calls(*refused))

    def test_without_landlock_and_seccomp(self):
        """Nothing is given up, nothing said, and nothing else differs."""
        for error in (errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
            self.check(self.files_guest([CREATE_RULESET, SECCOMP], error), 0, err="")
        self.check(self.run_vm("-g", sample("seed"), "--files-dir", "unused",
                               preexec_fn=lambda: refuse_calls([CREATE_RULESET], errno.ENOSYS)), 0, err="")
        self.assertEqual(os.listdir(self.dir), ["vm-files"])

    def test_failure_is_told_and_the_guests_run(self):
        if landlock_abi() == 0:
            self.skipTest("this kernel has no Landlock")
        result = self.check(self.files_guest([RESTRICT_SELF], errno.E2BIG), 0)
        self.assertEqual(result.messages, "mini_hypervisor: warning: cannot enable Landlock: Argument list too "
                         "long; continuing without it\n")


if __name__ == "__main__":
    main()
