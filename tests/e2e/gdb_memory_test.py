"""Memory: read, written, searched, compared, saved and restored, by virtual and by physical addresses."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import GdbCase, elf  # noqa: E402
from hypervisor import MB, contents, main  # noqa: E402

NOWHERE = 0x40000000


class MemoryTest(GdbCase):
    def setUp(self):
        super().setUp()
        self.vm, self.gdb = self.debug(elf("gdb_points"))

    def test_read_and_write(self):
        for kind, value in (("char", 0x5a), ("short", 0x1234), ("int", 0x12345678), ("long", 0x1122334455667788)):
            for address in (0x50000, 0x50fff, 2 * MB - 8):
                self.gdb(f"set *(unsigned {kind}*){address} = {value}")
                self.assertEqual(self.gdb.value(f"*(unsigned {kind}*){address}"), value)

    def test_find_goes_on_behind_holes(self):
        for mode in ("off", "on"):
            self.gdb(f"monitor phys {mode}")
            self.gdb("maintenance flush dcache")
            self.assertRegex(self.gdb("find 0, 0x1009fff, (long)0x1001007"), r"(?m)^0x1000000$")
            self.assertIn("Pattern not found", self.gdb("find 0x1ffff0, 0x1009fff, (long)0x123456789abcdef"))
        self.gdb("monitor phys off")
        self.gdb("set *(long*)0x1009ff8 = 0x123456789abcdef")
        self.assertRegex(self.gdb("find 0, 0x7fffffffffff, (long)0x123456789abcdef"), r"(?m)^0x1009ff8\b")
        self.assertIn("Pattern not found", self.gdb("find 0, 0x7fffffffffff, (long)0x1234567887654321"))

    def test_monitor_info_in_the_form_of_qemu(self):
        self.assertEqual(self.gdb("monitor info mem"), "0000000000000000-0000000000200000 0000000000200000 urw\n"
                                                       "0000000001000000-000000000100a000 000000000000a000 -rw\n")
        self.assertIn("0000000000000000: 0000000000000000 --P", self.gdb("monitor info tlb"))
        self.gdb("set $rax = 0x1122334455667788")
        registers = self.gdb("monitor info registers")
        self.assertIn("\nRAX=1122334455667788 RBX=", registers)
        self.assertRegex(registers, r"\nCR0=[0-9a-f]{8} CR2=[0-9a-f]{16} CR3=0000000001000000 CR4=[0-9a-f]{8}\n")
        self.assertRegex(registers, r"\nXMM14=[0-9a-f]{16} [0-9a-f]{16} XMM15=")
        self.assertFails(self.gdb("monitor info cpus"), "info: say mem, registers or tlb")

    def test_the_last_byte(self):
        self.gdb(f"set *(char*){2 * MB - 1} = 7")
        self.assertEqual(self.gdb.value(f"*(char*){2 * MB - 1}"), 7)
        self.assertFails(self.gdb(f"x/2xb {2 * MB - 1}"), hex(2 * MB))
        self.assertFails(self.gdb(f"x/xb {2 * MB}"), hex(2 * MB))

    def test_not_mapped(self):
        for command in (f"x/xb {NOWHERE}", f"p *(long*){NOWHERE}", f"set *(char*){NOWHERE} = 1", "x/xg -8",
                        "x/xb 0x800000000000", f"p *(long*){2 * MB - 4}"):
            self.assertFails(self.gdb(command), "Cannot access memory at address")
        self.assertIn("exited normally", self.gdb("continue"))

    def test_partly_mapped_write(self):
        self.assertFails(self.gdb(f"set *(long*){2 * MB - 4} = -1"), "Cannot access memory")

    def test_null_pointer(self):
        self.gdb("x/xb 0")
        self.assertNotIn("error", self.gdb("x/16xb 0"))

    def test_large(self):
        """All of RAM to a file, and back."""
        data = bytes((i * 7 + (i >> 9)) & 0xff for i in range(MB))
        self.write("data", data)
        self.gdb("restore data binary 0x80000")
        self.gdb(f"dump binary memory copy 0x80000 {0x80000 + MB}")
        self.assertEqual(contents(self.path("copy")), data)
        self.gdb(f"dump binary memory all 0 {2 * MB}")
        all_of_it = contents(self.path("all"))
        self.assertEqual(len(all_of_it), 2 * MB)
        self.assertEqual(all_of_it[0x80000:0x80000 + MB], data)

    def test_find(self):
        self.gdb('set *(long*)0x81234 = 0x6c6c6f2c6f6c6c65')
        self.assertIn("0x81234", self.gdb("find /g 0x50000, 0x180000, 0x6c6c6f2c6f6c6c65"))
        self.assertIn("1 pattern found", self.gdb("find /g 0x50000, 0x180000, 0x6c6c6f2c6f6c6c65"))
        self.assertIn("Pattern not found", self.gdb("find /g 0x50000, 0x80000, 0x6c6c6f2c6f6c6c65"))

    def test_compare_sections(self):
        text = self.gdb("compare-sections")
        self.assertIn("matched", text)
        self.assertNotIn("MIS-MATCHED", text)
        self.gdb("set *(char*)&place_3 = 1")
        self.assertIn("MIS-MATCHED", self.gdb("compare-sections .text"))

    def test_append_and_restore_elsewhere(self):
        self.gdb("dump binary value part *(char(*)[8])&place_0")
        self.gdb("append binary value part *(char(*)[8])&place_1")
        self.assertEqual(len(contents(self.path("part"))), 16)
        self.gdb("restore part binary 0x90000")
        self.assertEqual(self.gdb.value("*(long*)0x90000"), self.gdb.value("*(long*)&place_0"))

    def test_disassembly(self):
        text = self.gdb("x/3i place_0")
        self.assertIn("incq", text)
        self.assertIn("<place_1>", text)

    def test_the_map_of_the_machine(self):
        text = self.gdb("monitor map")
        self.assertIn("0x0000000000000000-0x0000000000200000 -> 0x0", text)
        self.assertRegex(text, r"0x0000000  I.*\n(.*\n)*.*\.s\n")
        self.gdb("stepi")
        text = self.gdb("monitor map")
        self.assertIn("0x0000000  X", text)
        self.assertNotIn("\033", text)
        self.assertIn("0x0-0x200000 -> 0x0", self.gdb("monitor pt"))
        self.gdb("monitor color on")
        self.assertIn("\033[35ms\033[0m\n", self.gdb("monitor map"))
        self.assertNotIn("error", self.gdb("info mem"))


class PhysicalTest(GdbCase):
    def setUp(self):
        super().setUp()
        self.vm, self.gdb = self.debug(elf("gdb_points"))
        self.gdb("tbreak *aliased")
        self.gdb("set $pc = alias")
        self.gdb("continue")

    def test_virtual_addresses_follow_the_page_tables(self):
        self.gdb(f"set *(long*)({NOWHERE} + 0x90000) = 0x77")
        self.assertEqual(self.gdb.value("*(long*)0x90000"), 0x77)

    def test_physical_addresses_do_not(self):
        self.assertIn("physical", self.gdb("monitor phys on"))
        self.gdb("maintenance flush dcache")
        self.assertFails(self.gdb(f"x/xb {NOWHERE}"))
        self.gdb("set *(long*)0x90000 = 0x99")
        self.gdb("monitor phys off")
        self.gdb("maintenance flush dcache")
        self.assertEqual(self.gdb.value(f"*(long*)({NOWHERE} + 0x90000)"), 0x99)

    def test_the_page_tables_themselves(self):
        pml4 = self.gdb.value("$cr3")
        self.gdb("monitor phys on")
        self.assertEqual(self.gdb.value(f"*(long*){pml4}") & 1, 1)

    def test_the_walk(self):
        text = self.gdb(f"monitor pt {NOWHERE:#x}")
        for level in ("PML4", "PDPT", "PD"):
            self.assertIn(level, text)
        self.assertIn("not present", self.gdb("monitor pt 0x12345678000"))
        for bad in (" here", " -1", " 0x1000 0x2000", " 0x10000000000000000"):
            self.assertIn("say an address", self.gdb("monitor pt" + bad))

    def test_another_connection_starts_virtual(self):
        self.gdb("monitor phys on")
        self.gdb("disconnect")
        again = self.vm.gdb()
        self.assertNotIn("error", again(f"x/xb {NOWHERE}"))


class PacketsTest(GdbCase):
    def test_packets(self):
        vm = self.offer(elf("gdb_points"))
        wire = vm.wire()
        wire.ask("qSupported:binary-upload+")
        self.assertEqual(wire.ask("M90000,4:01020304"), "OK")
        self.assertEqual(wire.ask("m90000,4"), "01020304")
        wire.send(b"X90000,5:}\x03}\x04a}\x5d*")
        self.assertEqual(wire.receive(), b"OK")
        self.assertEqual(wire.ask("m90000,5"), "2324617d2a")
        self.assertEqual(wire.ask("x90000,5"), "b#$a}*")
        self.assertEqual(wire.ask("X90000,0:"), "OK")
        self.assertEqual(wire.ask(f"m{2 * MB - 2:x},10"), "0000", "as far as there is memory")
        self.assertTrue(wire.ask(f"m{NOWHERE:x},1").startswith("E"))
        self.assertTrue(wire.ask(f"M{NOWHERE:x},1:00").startswith("E"))
        self.assertTrue(wire.ask("mffffffffffffffff,2").startswith("E"))
        for broken in ("m", "m90000", "mxyz,1", "m90000,", "M90000,4:0102", "M90000,4:0102030g", "m90000,1,2"):
            self.assertTrue(wire.ask(broken).startswith("E"), broken)
        self.assertEqual(wire.ask("m90000,5"), "2324617d2a")

    def test_a_whole_packet(self):
        vm = self.offer(elf("gdb_points"))
        wire = vm.wire()
        features = wire.ask("qSupported:")
        size = int(features.split("PacketSize=")[1].split(";")[0], 16)
        self.assertGreaterEqual(size, 0x10000)
        data = os.urandom(size // 2 - 32)
        self.assertEqual(wire.ask(f"M90000,{len(data):x}:{data.hex()}"), "OK")
        self.assertEqual(wire.ask(f"m90000,{len(data):x}"), data.hex())


if __name__ == "__main__":
    main()
