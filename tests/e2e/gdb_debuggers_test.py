"""gdb's monitor commands, other debuggers, and packets no debugger should send."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import GdbCase, elf  # noqa: E402
from hypervisor import DEADLINE, main  # noqa: E402


class MonitorTest(GdbCase):
    def test_commands(self):
        vm, gdb = self.debug(elf("gdb_points"))
        for command, parts in (("help", ["reset", "phys", "pt [ADDR]", "stats"]), ("regs", ["rax", "cr3", "gdt"]),
                               ("pt 0", ["PML4", "present"]), ("map", ["0x0000000000000000-"]), ("files", ["0 of"]),
                               ("stats", ["processor: "]), ("", ["help"]), ("nonsense", ["help"]), ("pt", ["PML4 at"]),
                               ("pt x", ["address"])):
            answer = gdb("monitor " + command)
            for part in parts:
                self.assertIn(part, answer, command)
        gdb("stepi 5")
        self.assertIn("exits, step: 5", gdb("monitor stats"))


class OtherDebuggersTest(GdbCase):
    def test_multiarch(self):
        self.need("gdb-multiarch")
        vm = self.offer(elf("gdb_points"))
        gdb = vm.gdb(program="gdb-multiarch")
        gdb("break place_3")
        self.assertIn("place_3", gdb("continue"))
        gdb("delete")
        self.assertIn("exited normally", gdb("continue"))

    def test_lldb(self):
        self.need("lldb")
        vm = self.offer(elf("gdb_points"))
        where = vm.where[0] if vm.where[0].split(":")[0] else "127.0.0.1" + vm.where[0]
        done = subprocess.run(["lldb", "--batch", "--no-lldbinit", "-o", "settings set use-color false",
                               "-o", f"gdb-remote {where}", "-o", "breakpoint set --name place_3", "-o", "continue",
                               "-o", "register read rip", "-o", "stepi", "-o", "register read rip",
                               "-o", "memory read --size 8 --format x --count 1 &count", "-o", "kill", vm.elf[0]],
                              cwd=self.dir, timeout=DEADLINE, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        self.assertIn("stop reason = breakpoint", done.stdout, done)
        self.assertIn("place_3", done.stdout, done)
        self.assertIn("place_4", done.stdout, done)

    def lldb(self, name, *commands):
        """What lldb prints for these commands, connected to a machine with a test guest."""
        self.need("lldb")
        vm = self.offer(elf(name))
        where = vm.where[0] if vm.where[0].split(":")[0] else "127.0.0.1" + vm.where[0]
        arguments = [word for command in ("settings set use-color false", f"gdb-remote {where}", *commands, "kill")
                     for word in ("-o", command)]
        done = subprocess.run(["lldb", "--batch", "--no-lldbinit", *arguments, vm.elf[0]], cwd=self.dir,
                              timeout=DEADLINE, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        self.assertNotIn("Assertion", done.stdout + done.stderr)
        return done.stdout

    def test_lldb_knows_what_is_mapped(self):
        answer = self.lldb("gdb_program", "memory region 0x1000", "memory region 0x200000", "memory region 0x1000000",
                           "memory region 0x800000000000")
        self.assertRegex(answer, r"\[0x0000000000000000-0x0000000000200000\) rwx")
        self.assertIn("[0x0000000000200000-0x0000000001000000) ---", answer)
        self.assertIn("[0x0000000001000000-0x000000000100a000) rwx", answer)
        self.assertIn("[0x000000000100a000-0xffffffffffffffff) ---", answer)

    def test_lldb_evaluates_expressions_and_conditions(self):
        answer = self.lldb("gdb_program", "breakpoint set --name add --condition 'a == 3'", "continue",
                           "expression a + b * 100", "expression total", "expression -- int $x = a; $x += 39",
                           "frame variable a")
        self.assertIn("(int) $0 = 303", answer)
        self.assertIn("(int) $2 = 42", answer)
        self.assertIn("(int) a = 3", answer)
        self.assertEqual(answer.count("stop reason = breakpoint"), 1, "false conditions are not seen")

    def test_lldb_reads_and_writes_msrs(self):
        answer = self.lldb("gdb_points", "register read k_gs_base lstar pat", "register write lstar 0x1234",
                           "register read lstar", "register read rip rsp", "stepi", "register read rip")
        self.assertRegex(answer, r"k_gs_base = 0x0+ ")
        self.assertRegex(answer, r"lstar = 0x0*1234\b")
        self.assertRegex(answer, r"rsp = 0x00000000001ffff8")

    def test_packets_of_others_are_answered_with_nothing(self):
        vm = self.offer(elf("gdb_points"))
        wire = vm.wire()
        for packet in ("qHostInfo", "qProcessInfo", "qRegisterInfo0", "jThreadsInfo", "qGDBServerVersion",
                       "vMustReplyEmpty", "qGetWorkingDir", "QSaveRegisterState", "_M100,rw", "vStopped", "Z9,0,1"):
            self.assertEqual(wire.ask(packet), "", packet)
        self.assertNotIn(f"{vm.run.process.pid:x}", wire.ask("qC"), "not the number of a process of the host")

    def test_framing(self):
        """Junk, bad checksums and packets in pieces."""
        vm = self.offer(elf("gdb_points"))
        wire = vm.wire()
        wire.send_raw(b"junk\x00\r\n+++$qC#00")
        wire.receive_bytes(lambda got: got.find(b"-") + 1)
        for byte in wire.frame("qC"):
            wire.send_raw(bytes([byte]))
        self.assertTrue(wire.receive().startswith(b"QC"))
        self.assertEqual(wire.ask("QStartNoAckMode"), "OK")
        wire.acks = False
        for _ in range(100):
            wire.send_raw(wire.frame("qC") * 3)
            for _ in range(3):
                self.assertTrue(wire.receive().startswith(b"QC"))
        self.assertTrue(wire.ask("m0," + "f" * 100).startswith("E"))
        self.assertEqual(wire.ask("~" * 5000), "")


if __name__ == "__main__":
    main()
