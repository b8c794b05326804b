"""The VM's own files through gdb, and its serial and file ports while it is debugged."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import GdbCase, elf  # noqa: E402
from hypervisor import contents, main, sample, sample_source  # noqa: E402


class FilesTest(GdbCase):
    def test_what_the_guest_wrote_is_fetched(self):
        vm, gdb = self.debug(sample("files", "elf"), "--gdb-hold", "-f", sample_source("files", "notes.txt"))
        self.assertIn("halted", gdb("continue"))
        listed = gdb("monitor files")
        own = self.path("vm-files", "1-files")
        for name in os.listdir(own):
            self.assertIn(name, listed)
            self.assertNotIn("error", gdb(f"remote get {name} fetched"))
            self.assertEqual(contents(self.path("fetched")), contents(os.path.join(own, name)))

    def test_nothing_else_is(self):
        vm, gdb = self.debug(sample("files", "elf"), "-f", sample_source("files", "notes.txt"))
        for name in ("/etc/passwd", "../../../../etc/passwd", "vm-files", ".", "nothing", "1-files/x"):
            self.assertFails(gdb(f"remote get {name} fetched"))
        for command in ("remote put script notes.txt", "remote delete notes.txt"):
            self.write("script", b"x")
            self.assertFails(gdb(command))

    def test_files_of_proc(self):
        """What scripts such as GEF fetch when they attach: as Linux has it, for whatever process."""
        vm, gdb = self.debug(elf("gdb_points"))
        for name in ("exe", "maps", "environ", "cmdline", "auxv"):
            self.assertEqual(gdb(f"remote get /proc/1/{name} {self.path(name)}"), "")
        self.assertEqual(contents(self.path("exe")), contents(elf("gdb_points")))
        self.assertEqual(contents(self.path("cmdline")), os.path.realpath(elf("gdb_points")).encode() + b"\0")
        self.assertEqual(contents(self.path("environ")), b"")
        self.assertIn(b"0-200000 rwxp", contents(self.path("maps")))
        self.assertFails(gdb("remote get /proc/1/mem mem"), "No such file")

    def test_fresh_files_after_a_restart(self):
        vm, gdb = self.debug(sample("files", "elf"), "--gdb-hold", "-f", sample_source("files", "notes.txt"))
        gdb("continue")
        before = gdb("monitor files")
        gdb("monitor reset")
        gdb("maintenance flush register-cache")
        self.assertIn("\n0 of ", gdb("monitor files"))
        gdb("continue")
        self.assertEqual(gdb("monitor files"), before)


class PortsTest(GdbCase):
    def test_serial_port_byte_for_byte(self):
        """What a debugged guest prints and reads is what it does alone, with a breakpoint on every byte."""
        vm, gdb = self.debug(elf("bytes"))
        gdb("continue")
        self.assertEqual(vm.run.finish().out, bytes(range(256)))
        data = bytes(range(255))
        vm, gdb = self.debug_cat(data, 100)
        vm.run.process.stdin.close()
        gdb("delete")
        for _ in range(200):
            gdb("stepi")
        self.assertIn("exited normally", gdb("continue"))
        self.assertEqual(vm.run.finish().out, data + b"\xff" * 3)

    def test_files_of_a_stepped_guest(self):
        plain = self.run_vm("-g", sample("files"), "-f", sample_source("files", "notes.txt"))
        vm, gdb = self.debug(sample("files", "elf"), "-f", sample_source("files", "notes.txt"))
        gdb("tbreak main")
        gdb("continue")
        for _ in range(300):
            gdb("stepi")
        self.assertIn("exited normally", gdb("continue"))
        self.assertEqual(vm.run.finish().out, plain.out)


if __name__ == "__main__":
    main()
