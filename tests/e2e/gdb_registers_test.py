"""Registers: all that gdb knows by name, read and written; what the processor refuses is an error."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import GdbCase, elf  # noqa: E402
from hypervisor import MB, SYSTEM_AREA, main  # noqa: E402

GENERAL = "rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15".split()


class RegistersTest(GdbCase):
    def setUp(self):
        super().setUp()
        self.vm, self.gdb = self.debug(elf("gdb_steps"))

    def again(self):
        """Read everything anew, so that it is the machine's value that is seen."""
        self.gdb("maintenance flush register-cache")

    def test_at_the_start(self):
        for name in GENERAL:
            self.assertEqual(self.gdb.value("$" + name), 2 * MB - 8 if name == "rsp" else 0, name)
        self.assertEqual(self.gdb.value("$eflags"), 2)
        self.assertEqual(self.gdb.value("$cs"), 8)
        for name in ("ss", "ds", "es", "fs", "gs"):
            self.assertEqual(self.gdb.value("$" + name), 0x10, name)

    def test_general(self):
        for i, name in enumerate(GENERAL):
            self.gdb(f"set ${name} = 0x1122334455660000 + {i}")
        self.again()
        for i, name in enumerate(GENERAL):
            self.assertEqual(self.gdb.value("$" + name), 0x1122334455660000 + i, name)
        self.gdb("set $eax = 7")
        self.gdb("set $bl = 9")
        self.again()
        self.assertEqual(self.gdb.value("$rax") & 0xffffffff, 7)
        self.assertEqual(self.gdb.value("$rbx"), 0x1122334455660009)

    def test_flags(self):
        self.gdb("set $eflags = 0x8d7")
        self.again()
        self.assertIn("[ CF PF AF ZF SF OF ]", self.gdb("info registers eflags"))

    def test_sse(self):
        for i in (0, 7, 15):
            self.gdb(f"set $xmm{i}.v4_int32 = {{{i}, 1, 2, 3}}")
        self.again()
        for i in (0, 7, 15):
            self.assertIn(f"v4_int32 = {{{i}, 1, 2, 3}}", self.gdb(f"p $xmm{i}"))
        self.assertEqual(self.gdb.value("$mxcsr"), 0x1f80)
        self.gdb("set $xmm1.v2_double = {1.5, -2.25}")
        self.again()
        self.assertIn("v2_double = {1.5, -2.25}", self.gdb("p $xmm1"))

    def test_msrs(self):
        """They are fetched when they are looked at."""
        values = {"k_gs_base": 0xffff800000001000, "star": 0x1b000800000000, "lstar": 0x1234, "cstar": 0x5678,
                  "fmask": 0x47700, "pat": 0x0006040600070406}
        for name, value in values.items():
            self.gdb(f"set ${name} = {value}")
        self.again()
        for name, value in values.items():
            self.assertEqual(self.gdb.value("$" + name), value, name)
        self.assertRegex(self.gdb("info registers k_gs_base tsc"), r"(?m)^k_gs_base +0xffff800000001000[^$]*\ntsc +0x")
        self.assertFails(self.gdb("set $lstar = 0x800000000000"))
        self.again()
        self.assertEqual(self.gdb.value("$lstar"), 0x1234)
        before = self.gdb.value("$tsc")
        self.gdb("set $pc = 0")
        self.gdb("stepi")
        self.assertGreater(self.gdb.value("$tsc"), before)

    def test_avx(self):
        if "void" in self.gdb("p $ymm0"):
            self.skipTest("the host's KVM offers no AVX")
        self.gdb("set $ymm3.v8_int32 = {1, 2, 3, 4, 5, 6, 7, 8}")
        self.again()
        self.assertIn("v8_int32 = {1, 2, 3, 4, 5, 6, 7, 8}", self.gdb("p $ymm3"))
        self.assertIn("v4_int32 = {1, 2, 3, 4}", self.gdb("p $xmm3"))

    def test_x87(self):
        self.assertEqual(self.gdb.value("$fctrl"), 0x37f)
        self.gdb("set $st0 = 2.5")
        self.gdb("set $st7 = -0.125")
        self.again()
        self.assertIn("= 2.5", self.gdb("p $st0"))
        self.assertIn("= -0.125", self.gdb("p $st7"))
        self.assertIn("Status Word", self.gdb("info float"))

    def test_segment_bases(self):
        self.gdb("set $fs_base = 0x12345000")
        self.gdb("set $gs_base = 0xffff800000001000")
        self.again()
        self.assertEqual(self.gdb.value("$fs_base"), 0x12345000)
        self.assertEqual(self.gdb.value("$gs_base"), 0xffff800000001000)

    def test_control_registers_have_names(self):
        self.assertIn("[ PE MP ET NE WP AM PG ]", self.gdb("p $cr0"))
        self.assertIn("PAE", self.gdb("p $cr4"))
        self.assertIn("LMA", self.gdb("p $efer"))
        self.assertEqual(self.gdb.value("$cr3"), SYSTEM_AREA)
        self.assertEqual(self.gdb.value("$cr2"), 0)
        self.assertEqual(self.gdb.value("$cr8"), 0)

    def test_control_registers_are_written(self):
        self.gdb("set $cr2 = 0x1234")
        self.gdb("set $cr0 = $cr0 & ~0x10000")
        self.again()
        self.assertEqual(self.gdb.value("$cr2"), 0x1234)
        self.assertIn("[ PE MP ET NE AM PG ]", self.gdb("p $cr0"))

    def test_refused(self):
        """What no processor takes is an error, and nothing has changed."""
        def registers():  # the time stamp counter of KVM runs on
            return re.sub(r"(?m)^tsc .*", "", self.gdb("info registers"))
        before = registers()
        for assignment in ("$cr0 = 0", "$cr4 = 0", "$efer = 0"):
            self.assertFails(self.gdb(f"set {assignment}"))
            self.again()
            self.assertEqual(registers(), before)
        self.assertIn("exited normally", self.gdb("continue"))

    def test_written_registers_are_executed_with(self):
        self.gdb("set $rax = 'Z'")
        self.gdb("set $pc = one_out")
        self.gdb("tbreak *one_out_end")
        self.gdb("continue")
        self.vm.run.wait_for(b"Z")

    def test_all_of_them(self):
        text = self.gdb("info all-registers")
        for name in GENERAL + ["rip", "eflags", "fs_base", "gs_base", "st7", "[xy]mm15", "cr0", "cr8", "efer"]:
            self.assertRegex(text, rf"(?m)^{name} ")
        self.assertNotIn("unavailable", text)
        self.assertNotIn("error", text)

    def test_packets_agree(self):
        """g and p return the same, and writing back what was read changes nothing."""
        self.gdb.kill()
        wire = self.vm.wire()
        wire.ask("qSupported:xmlRegisters=i386")
        self.assertIn("<target", wire.ask("qXfer:features:read:target.xml:0,ffff"))
        whole = wire.ask("g")
        at = 0
        for number in range(24):
            one = wire.ask(f"p{number:x}")
            self.assertEqual(whole[at:at + len(one)], one, number)
            at += len(one)
        self.assertEqual(wire.ask("G" + whole), "OK")
        self.assertEqual(wire.ask("g"), whole)
        self.assertTrue(wire.ask("p7fff").startswith("E"))
        self.assertTrue(wire.ask("G" + whole[:-2]).startswith("E"))
        self.assertTrue(wire.ask("P10=00").startswith("E"))
        self.assertEqual(wire.ask("g"), whole)


if __name__ == "__main__":
    main()
