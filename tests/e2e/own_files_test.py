"""Where the files of a guest are on the host, and which it can reach: none but its own and those that are shared."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from file_port import (BUFFER, EACCES, EDQUOT, EIO, EMFILE, ENOENT, ENOSPC, OPEN, O_READ, O_TRUNCATE,  # noqa: E402
                       O_WRITE, WRITE, FilesCase, InOneStep)
from hypervisor import MB, contents, main, sample  # noqa: E402
from mounts import may_mount, mount, own_mounts  # noqa: E402


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
        """The guest receives an error, a message explains it, and everything continues."""
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
        """What fits is written and reported; the rest is an error, and a copy that does not fit leaves no file."""
        if not may_mount():
            self.skipTest("this user may not mount a small disk")
        os.mkdir(self.path("vm-files"))

        def on_small_disk():
            own_mounts()
            mount("none", self.path("vm-files"), b"tmpfs", options=b"size=64k")
        self.write("large.txt", bytes(100000))
        run, files = self.start_files("large.txt", preexec_fn=on_small_disk)
        large = files.open(b"large.txt", O_WRITE)
        self.assertEqual(files.write(large, b"x"), ENOSPC)
        self.assertEqual(files.close(large), 0)
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
        """A file of the guest that is replaced by a link or a pipe is not followed."""
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
