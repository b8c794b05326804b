"""Faults stop at the instruction that made them, as signals a native program would get."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import GdbCase, elf  # noqa: E402
from hypervisor import EXIT_CRASHED, guest, main, sample  # noqa: E402


class FaultsTest(GdbCase):
    def test_signals_as_a_native_program_gets_them(self):
        vm, gdb = self.debug(elf("gdb_steps"))
        for label, signal, report in (("one_fault", "SIGSEGV", "page fault (#PF)"), ("one_divide", "SIGFPE", "#DE"),
                                      ("one_undefined", "SIGILL", "#UD")):
            gdb("set $rsp = 0x180000")
            gdb("set $rcx = 0")
            gdb(f"set $pc = {label}")
            answer = gdb("continue")
            self.assertIn(signal, answer)
            self.assertIn(report, answer)
            self.assertEqual(gdb.pc(), gdb.value("&" + label))
            self.assertEqual(gdb.value("$rsp"), 0x180000)
            gdb("queue-signal 0")
        gdb("set $pc = one_hlt")
        self.assertIn("exited normally", gdb("continue"))
        self.assertEqual(vm.run.finish().code, 0)

    def test_repaired_and_tried_again(self):
        vm, gdb = self.debug(elf("gdb_steps"))
        gdb("set $pc = one_divide")
        self.assertIn("SIGFPE", gdb("continue"))
        gdb("set $rax = 12")
        gdb("set $rcx = 4")
        self.assertIn("exited normally", gdb("signal 0"))

    def test_passed_on_it_is_the_end(self):
        vm, gdb = self.debug(elf("gdb_steps"))
        gdb("set $pc = one_fault")
        gdb("continue")
        self.assertIn("Program terminated with signal SIGSEGV", gdb("continue"))
        self.assertEqual(vm.run.finish().code, EXIT_CRASHED)

    def test_backtrace_of_a_crash(self):
        vm, gdb = self.debug(sample("crash", "elf"))
        self.assertIn("SIGSEGV", gdb("continue"))
        names = [line.split(" (")[0].split()[-1] for line in gdb("backtrace").splitlines()]
        self.assertEqual(names, ["set_grade", "record_grade", "hold_exam", "main"])
        self.assertIn("0x40000000", gdb("p $cr2"))

    def test_handlers_of_the_guest_get_theirs(self):
        vm, gdb = self.debug(elf("handlers"))
        self.assertIn("exited normally", gdb("continue"))
        result = vm.run.finish()
        self.assertEqual(result.out, self.run_vm("-g", guest("handlers")).out)

    def test_leaving_64_bit_mode_is_told(self):
        for letter in (b"h", b"u", b"i"):
            with self.subTest(letter=letter):
                vm, gdb = self.debug(elf("leave64"))
                vm.run.send(letter)
                answer = gdb("continue")
                self.assertIn("SIGABRT", answer)
                self.assertRegex(answer, "the guest (leaves|left) 64-bit mode, which the machine does not support")
                self.assertIn("Program terminated with signal SIGABRT", gdb("continue"))
                self.assertEqual(vm.run.finish().code, EXIT_CRASHED)

    def test_stepping_out_of_64_bit_mode(self):
        vm, gdb = self.debug(elf("leave64"))
        vm.run.send(b"h")
        gdb("break far_return")
        gdb("continue")
        self.assertEqual(gdb.pc(), gdb.value("&far_return"))
        gdb.all("stepi", "stepi")
        answer = gdb("stepi")
        self.assertIn("a return to 32-bit code (compatibility mode)", answer)
        self.assertIn("lretq", gdb("x/i $pc"))

    def test_all_faults_as_without_gdb(self):
        """Every one that `faults` knows stops with a signal, and what it says of it is what is said without gdb."""
        for letter in b"bdegikmnorstuwxz":
            with self.subTest(letter=chr(letter)):
                plain = self.run_vm("-g", guest("faults"), input=bytes([letter]))
                self.assertEqual(plain.code, EXIT_CRASHED)
                vm, gdb = self.debug(elf("faults"))
                vm.run.send(bytes([letter]))
                answer = gdb("continue")
                self.assertIn("SIG", answer)
                first = plain.messages.split("): ", 1)[1].split("\n")[0]
                self.assertIn(first.split(",")[0], answer)
                gdb("kill")
                gdb.close()
                vm.run.finish()


if __name__ == "__main__":
    main()
