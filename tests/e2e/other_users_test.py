"""What another user of the same computer can do to a run, and what not."""

import ast
import errno
import os
import signal
import socket
import stat
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from file_port import O_READ, O_WRITE, InOneStep  # noqa: E402
from gdb_driver import GdbCase, elf  # noqa: E402
from hypervisor import DEADLINE, contents, guest, main, monitor_on_pipes  # noqa: E402

SOMEBODY = 65534


def as_somebody(action):
    """What `action` returns to another user, or the errno it fails with."""
    answers, answer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(SOMEBODY)
            os.setuid(SOMEBODY)
            result = action()
            os.write(answer, repr(result).encode())
        except OSError as error:
            os.write(answer, repr(error.errno).encode())
        finally:
            os._exit(0)
    os.close(answer)
    with open(answers, "rb") as file:
        result = file.read()
    os.waitpid(pid, 0)
    return ast.literal_eval(result.decode())


def ask(family, where):
    """The first byte of a stub's answer."""
    with socket.socket(family) as one:
        one.settimeout(DEADLINE)
        one.connect(where)
        one.sendall(b"$?#3f")
        return one.recv(1)


def replace(path, text):
    os.unlink(path)
    with open(path, "wb") as file:
        file.write(text)


class OtherUserTest(GdbCase):
    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("only root can act as another user")
        os.chmod(self.dir, 0o755)

    def start_lax(self, *arguments):
        """A run whose user hides nothing."""
        return self.start("-g", *arguments, preexec_fn=lambda: os.umask(0))

    def test_tcp_port_is_theirs_too(self):
        port = int(self.offer(elf("gdb_points")).where[0].rsplit(":", 1)[1])
        self.assertEqual(as_somebody(lambda: ask(socket.AF_INET, ("127.0.0.1", port))), b"+")

    def test_socket_in_the_file_system_is_the_users_only(self):
        path = self.path("socket")
        vm = self.offer(elf("gdb_points"), where=f"unix:{path}", preexec_fn=lambda: os.umask(0))
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        self.assertEqual(as_somebody(lambda: ask(socket.AF_UNIX, path)), errno.EACCES)
        self.assertIn("exited normally", vm.gdb()("continue"))

    def test_pseudo_terminal_is_the_users_only(self):
        run = self.start_lax(guest("monitor"), "--serial", "pty")
        path = run.wait_for(b"\n", "err").decode().split()[-1]
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        for flags in (os.O_RDONLY, os.O_WRONLY):
            self.assertEqual(as_somebody(lambda: os.open(path, flags | os.O_NOCTTY)), errno.EACCES)

    def write_a_file(self, umask):
        """A guest that has written a file; its run, its file calls, and where the file is."""
        run = self.start("-g", guest("monitor"), preexec_fn=lambda: os.umask(umask))
        files = InOneStep(monitor_on_pipes(run))
        self.assertEqual(files.write(files.open(b"file", O_WRITE), b"text"), 4)
        return run, files, self.path("vm-files", "1-monitor", "file")

    def test_files_follow_the_umask(self):
        for umask, read in ((0o077, errno.EACCES), (0o022, b"text")):
            run, files, path = self.write_a_file(umask)
            self.assertEqual(as_somebody(lambda: contents(path)), read)
            self.assertEqual(as_somebody(lambda: replace(path, b"theirs")), errno.EACCES)
            files.monitor.halt()
            self.check(run.finish(), 0, err="")
            self.assertEqual(contents(path), b"text")
            os.unlink(path)
            os.rmdir(os.path.dirname(path))
            os.rmdir(self.path("vm-files"))

    def test_directory_they_can_write_is_theirs_too(self):
        """They can give the guest other contents; that is all."""
        run, files, path = self.write_a_file(0)
        as_somebody(lambda: replace(path, b"theirs"))
        self.assertEqual(files.read(files.open(b"file", O_READ), 100), b"theirs")
        files.monitor.halt()
        self.check(run.finish(), 0, err="")

    def test_process(self):
        """They see that it runs and with which arguments, not what it holds."""
        run = self.start_lax(guest("monitor"))
        monitor_on_pipes(run).peek(0, 1)
        place = f"/proc/{run.process.pid}"
        self.assertIn(b"monitor.img", as_somebody(lambda: contents(f"{place}/cmdline")))
        for name in ("mem", "environ", "maps"):
            self.assertIn(as_somebody(lambda: contents(f"{place}/{name}")), (errno.EACCES, errno.EPERM))
        self.assertEqual(as_somebody(lambda: os.listdir(f"{place}/fd")), errno.EACCES)
        self.assertEqual(as_somebody(lambda: os.kill(run.process.pid, signal.SIGKILL)), errno.EPERM)


if __name__ == "__main__":
    main()
