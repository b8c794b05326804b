"""Ctrl-C stops a machine whatever it does, and loses nothing."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import GdbCase, elf  # noqa: E402
from hypervisor import guest, main, sample  # noqa: E402


class InterruptTest(GdbCase):
    def interrupt(self, gdb, command="continue"):
        """Ctrl-C, certainly after gdb has begun: it answers nothing before the machine has stopped."""
        gdb.begin(command)
        gdb.wait_until_running()
        gdb.interrupt()
        return gdb.answer()

    def test_spinning(self):
        vm, gdb = self.debug(elf("gdb_points"))
        gdb("set $pc = spin")
        last = 0
        for _ in range(10):
            self.assertIn("SIGINT", self.interrupt(gdb))
            self.assertIn("spin", gdb("x/i $pc"))
            spins = gdb.value("*(long*)&spins")
            self.assertGreaterEqual(spins, last)
            last = spins
        gdb("detach")

    def test_output_before_the_stop_is_visible(self):
        vm, gdb = self.debug(guest("spin"))
        gdb.begin("continue")
        vm.run.wait_for(b"a line\nunfinished")
        gdb.interrupt()
        self.assertIn("SIGINT", gdb.answer())

    def test_waiting_for_input(self):
        """No byte is lost, none is made up, and the instruction can be gone back to."""
        vm, gdb = self.debug(elf("cat"))
        for _ in range(5):
            self.assertIn("SIGINT", self.interrupt(gdb))
            self.assertIn("in ", gdb("x/i $pc"), "before the instruction")
        gdb.begin("continue")
        vm.run.send(b"abc")
        vm.run.wait_for(b"abc")
        gdb.interrupt()
        self.assertIn("SIGINT", gdb.answer())
        gdb.begin("continue")
        vm.run.send(b"def")
        vm.run.wait_for(b"abcdef")
        vm.run.process.stdin.close()
        self.assertIn("exited normally", gdb.answer())
        self.assertEqual(vm.run.wait_for(lambda got: len(got) >= 9), b"abcdef\xff\xff\xff")

    def test_input_that_comes_while_stopped(self):
        vm, gdb = self.debug(elf("cat"))
        self.interrupt(gdb)
        vm.run.send(b"xyz")
        gdb("stepi")
        self.assertEqual(gdb.value("$rax") & 0xff, ord("x"))
        vm.run.process.stdin.close()
        self.assertIn("exited normally", gdb("continue"))
        self.assertEqual(vm.run.finish().out, b"xyz\xff\xff\xff")

    def test_waiting_in_a_string_instruction(self):
        """What came before the stop is in memory, and the rest comes after."""
        vm, gdb = self.debug(elf("strings"))
        vm.run.send(b"0123456789")
        self.assertIn("SIGINT", self.interrupt(gdb))
        vm.run.send(bytes(range(54)))
        self.assertIn("exited normally", gdb("continue"))
        self.assertEqual(vm.run.finish().out, b"read:0123456789" + bytes(range(54)))

    def test_while_stepping(self):
        vm, gdb = self.debug(elf("gdb_steps"))
        gdb("set $pc = to_itself")
        for _ in range(3):
            # between two steps it is gdb itself that is interrupted
            self.assertRegex(self.interrupt(gdb, "stepi 1000000"), "SIGINT|Quit")
            self.assertEqual(gdb.pc(), gdb.value("&to_itself"))

    def test_while_stepping_over_an_endless_line(self):
        vm, gdb = self.debug(elf("gdb_steps"))
        gdb("set $pc = to_itself")
        self.assertIn("SIGINT", self.interrupt(gdb, "next"))

    def test_with_watchpoints_by_stepping(self):
        vm, gdb = self.debug(elf("gdb_points"))
        gdb("rwatch *(long*)&cells")
        gdb("set $pc = spin")
        self.assertIn("SIGINT", self.interrupt(gdb))

    def test_at_hlt_that_is_held(self):
        vm, gdb = self.debug(elf("gdb_steps"), "--gdb-hold")
        self.assertIn("SIGTRAP", gdb("continue"))
        self.assertEqual(gdb.value("*(unsigned char*)($pc - 1)"), 0xf4, "behind the HLT")
        self.assertIn("exited normally", gdb("continue"))
        self.assertEqual(vm.run.finish().code, 0)

    def test_breakpoints_afterwards(self):
        vm, gdb = self.debug(elf("gdb_points"))
        gdb("set $pc = spin")
        self.interrupt(gdb)
        gdb("break *place_3")
        gdb("set $pc = place_0")
        self.assertIn("Breakpoint 1", gdb("continue"))

    def spinning(self):
        """A connection to a machine that is about to spin."""
        vm = self.offer(elf("gdb_points"))
        gdb = vm.gdb()
        spin = gdb.value("&spin")
        gdb.kill()
        wire = vm.wire()
        wire.ask(f"P10={spin.to_bytes(8, 'little').hex()}")
        return wire

    def test_in_the_same_breath(self):
        """0x03 right behind the request to run, and one too many."""
        wire = self.spinning()
        for data in (b"\x03", b"\x03\x03"):
            wire.send_raw(wire.frame("vCont;c") + data)
            self.assertTrue(wire.stop().startswith("T02"))
            self.assertTrue(wire.ask("qC").startswith("QC"))

    def test_before_the_request_to_run(self):
        """gdb sends it as soon as the key is pressed, which may be before it has asked the machine to run."""
        wire = self.spinning()
        self.assertTrue(wire.ask("qC").startswith("QC"))
        wire.send_raw(b"\x03" + wire.frame("vCont;c"))
        self.assertTrue(wire.stop().startswith("T02"))

    def test_between_steps(self):
        wire = self.spinning()
        wire.send("vCont;s")
        self.assertTrue(wire.stop().startswith("T05"))
        wire.send_raw(b"\x03" + wire.frame("vCont;c"))
        self.assertTrue(wire.stop().startswith("T02"))

    def test_many(self):
        wire = self.spinning()
        for _ in range(500):
            wire.send("vCont;c")
            wire.send_raw(b"\x03")
            self.assertTrue(wire.stop().startswith("T02"))

    def test_others_run_on(self):
        """A machine that is stopped stops neither another machine's serial port nor its files."""
        vm = self.offer([elf("gdb_points"), sample("hello"), sample("files")], "-f",
                        os.path.join(os.environ.get("MH_SOURCE", "."), "guests/files/notes.txt"))
        first = vm.gdb(1)
        first("set $pc = spin")
        self.interrupt(first)
        second, third = vm.gdb(2), vm.gdb(3)
        self.assertIn("exited normally", second("continue"))
        self.assertIn("exited normally", third("continue"))
        vm.run.wait_for(b"Hello, world!")
        first("kill")
        self.assertEqual(vm.run.finish().code, 0)


if __name__ == "__main__":
    main()
