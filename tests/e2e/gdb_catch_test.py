"""Catchpoints: the guest stops right after an event, with a line that says what it was."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import GdbCase, elf  # noqa: E402
from hypervisor import main, sample  # noqa: E402


class PortTest(GdbCase):
    def setUp(self):
        super().setUp()
        self.vm, self.gdb = self.debug(elf("gdb_steps"))

    def at(self, label):
        self.gdb(f"set $pc = {label}")

    def test_out(self):
        self.assertIn("catchpoint 1\n", self.gdb("monitor catch out 0xe9"))
        self.at("one_out")
        self.gdb("set $al = 'Z'")
        self.assertIn("catchpoint 1: out port 0xe9, 1 byte: 0x5a", self.gdb("continue"))
        self.assertEqual(self.gdb.pc(), self.gdb.value("&one_out_end"))
        self.vm.run.wait_for(b"Z")
        self.assertIn("catchpoint 1: out port 0xe9", self.gdb("continue"))
        self.assertIn("exited normally", self.gdb("continue"))

    def test_out_while_stepping(self):
        self.gdb("monitor catch out 0xe9")
        self.at("one_out")
        self.assertIn("catchpoint 1: out", self.gdb("stepi"))
        self.assertEqual(self.gdb.pc(), self.gdb.value("&one_out_end"))

    def test_only_this_value(self):
        self.gdb("monitor catch out 0xe9 66")
        self.at("one_out")
        self.gdb("set $al = 'A'")
        self.assertIn("exited normally", self.gdb("continue"))

    def test_in(self):
        """The value is there when it stops."""
        self.gdb("monitor catch in 0xe9")
        self.at("one_in")
        self.vm.run.send(b"xyz")
        self.assertIn("catchpoint 1: in port 0xe9, 1 byte: 0x78", self.gdb("continue"))
        self.assertEqual(self.gdb.pc(), self.gdb.value("&one_in_end"))
        self.assertEqual(self.gdb.value("$al"), ord("x"))

    def test_other_port(self):
        self.gdb("monitor catch in 0x60")
        self.at("other_in")
        self.assertIn("catchpoint 1: in port 0x60, 4 bytes: 0xffffffff", self.gdb("continue"))
        self.assertEqual(self.gdb.pc(), self.gdb.value("&other_in_end"))

    def test_other_direction(self):
        self.gdb("monitor catch in 0xe9")
        self.at("one_out")
        self.assertIn("exited normally", self.gdb("continue"))

    def test_beside_a_breakpoint(self):
        self.gdb("monitor catch out 0xe9")
        self.at("one_out")
        self.gdb("break *one_out_end")
        self.assertIn("catchpoint 1: out", self.gdb("continue"))
        self.assertIn("catchpoint 1: out", self.gdb("continue"), "while gdb steps off the breakpoint")
        self.assertIn("exited normally", self.gdb("continue"))

    def test_listing_and_deleting(self):
        self.assertEqual(self.gdb("monitor catch"), "no catchpoints\n")
        for words in ("out 0xe9", "in 96 7", "fault", "fault 14", "cr3", "file open", "file read notes.txt"):
            self.gdb(f"monitor catch {words}")
        self.assertEqual(self.gdb("monitor catch"), "1  out 0xe9\n2  in 0x60 0x7\n3  fault\n4  fault 14\n5  cr3\n"
                                                    "6  file open\n7  file read notes.txt\n")
        self.assertEqual(len(self.gdb("monitor uncatch 3").splitlines()), 6)
        self.assertIn("there is no catchpoint '3'", self.gdb("monitor uncatch 3"))
        self.assertEqual(self.gdb("monitor uncatch"), "no catchpoints\n")
        self.assertEqual(self.gdb("monitor uncatch"), "no catchpoints\n")
        self.assertIn("catchpoint 8\n", self.gdb("monitor catch out 1"))

    def test_nonsense(self):
        for words in ("out", "out x", "out 65536", "out -1", "out 1 x", "out 1 2 3", "file", "file rename a",
                      "file open " + "x" * 256, "file open a b", "fault 32", "fault x", "cr3 1", "cr4", "9"):
            self.assertIn("catch: say out PORT", self.gdb(f"monitor catch {words}"), words)
        for words in ("x", "-1", "0", "1 2"):
            self.assertIn("there is no catchpoint", self.gdb(f"monitor uncatch {words}"), words)

    def test_no_more_than_there_is_room_for(self):
        for _ in range(32):
            self.gdb("monitor catch cr3")
        self.assertIn("there are 32 catchpoints already", self.gdb("monitor catch cr3"))

    def test_they_go_with_the_debugger(self):
        self.gdb("monitor catch out 0xe9")
        self.at("one_out")
        self.gdb("detach")
        self.assertEqual(self.vm.run.finish().code, 0)

    def test_cr3(self):
        self.assertEqual(self.gdb("monitor catch cr3"), "catchpoint 1\n")
        self.assertEqual(self.gdb("monitor catch out 0x80"), "catchpoint 2\n")
        code = self.gdb.value("&one_out")
        for at, byte in enumerate(b"\x90\x0f\x20\xd8\x0f\x22\xd8\x90\xf4"):  # nop; mov %cr3,%rax; mov %rax,%cr3; nop; hlt
            self.gdb(f"set *(char *){code + at} = {byte}")
        self.at("one_out")
        self.assertIn("catchpoint 1: cr3 0x1000000, was 0x1000000", self.gdb("continue"))
        self.assertEqual(self.gdb.pc(), code + 7)
        self.assertIn("exited normally", self.gdb("continue"))


class MoreTest(GdbCase):
    def test_serial_bytes_that_are_gathered(self):
        """After many bytes KVM gathers them; a catchpoint ends that, and each is seen."""
        vm, gdb = self.debug(elf("bulk"))
        gdb("monitor catch out 0x1234")
        gdb.begin("continue")
        vm.run.wait_for(lambda got: len(got) > 100000)
        gdb.interrupt()
        gdb.answer()
        gdb("monitor catch out 0xe9")
        for _ in range(3):
            before = len(vm.out)
            self.assertIn("out port 0xe9", gdb("continue"))
        vm.run.wait_for(lambda got: len(got) >= before + 1)

    def test_file_calls(self):
        notes = self.write("notes.txt", b"water the flowers\n")
        vm, gdb = self.debug(sample("files", "elf"), "-f", notes)
        gdb("monitor catch file open notes.txt")
        self.assertIn("catchpoint 1: file open notes.txt: 0", gdb("continue"))
        gdb("monitor catch file read")
        self.assertRegex(gdb("continue"), r"catchpoint [12]: file (read|open) notes.txt: ")
        gdb("monitor uncatch")
        gdb("monitor catch file close")
        self.assertRegex(gdb("continue"), r"catchpoint 3: file close [a-z.]+: 0")
        gdb("monitor uncatch")
        gdb("monitor catch file open missing")
        self.assertIn("exited normally", gdb("continue"))

    def test_faults_the_guest_handles(self):
        vm, gdb = self.debug(elf("interrupts"))
        gdb("monitor catch fault")
        self.assertIn("exception 3, delivered to the guest's handler", gdb("continue"))
        self.assertEqual(gdb.pc(), gdb.value("&breakpoint"))

    def test_another_vector(self):
        vm, gdb = self.debug(elf("interrupts"))
        gdb("monitor catch fault 14")
        gdb("tbreak *user")
        self.assertNotIn("catchpoint", gdb("continue"))


if __name__ == "__main__":
    main()
