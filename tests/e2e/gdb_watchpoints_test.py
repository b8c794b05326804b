"""Watchpoints: every kind, any number and length, and the stop directly behind the access."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import GdbCase, PointsCase, elf  # noqa: E402
from hypervisor import main  # noqa: E402


class WatchCase(PointsCase):
    def at(self, label):
        self.gdb(f"set $pc = {label}")

    def goes_to(self, label, *parts):
        answer = self.gdb("continue")
        self.assertEqual(self.gdb.pc(), self.address(label), answer)
        for part in parts:
            self.assertIn(part, answer)
        return answer

    def ends_well(self):
        self.assertIn("exited normally", self.gdb("continue"))


class WriteTest(WatchCase):
    def test_every_change(self):
        """gdb prints the old value and the new one, and ignores a write that changes nothing."""
        self.at("writes")
        self.gdb("watch *(long*)&cells")
        self.goes_to("write_1", "Old value = 0", "New value = 1")
        self.goes_to("write_3", "Old value = 1", "New value = 513")
        self.goes_to("write_5", "Old value = 513", "New value = 8")
        self.ends_well()

    def test_in_a_loop(self):
        self.gdb("watch *(long*)&count")
        for i in range(1, 10):
            self.goes_to(f"place_{i}", f"Old value = {i - 1}", f"New value = {i}")

    def test_condition(self):
        self.gdb("watch *(long*)&count if *(long*)&count == 30")
        self.goes_to("place_30", "New value = 30")

    def test_a_byte_of_a_word(self):
        self.at("writes")
        self.gdb("watch *((char*)&cells + 1)")
        self.goes_to("write_3", "New value = 2 '\\002'")
        self.goes_to("write_5", "New value = 0")

    def test_neighbours_do_not_stop(self):
        self.at("writes")
        self.gdb("watch *((char*)&cells + 9)")
        self.gdb("watch *((long*)&cells + 20)")
        self.ends_well()

    def test_push_and_call(self):
        self.at("pushes")
        self.gdb("watch *((long*)&stack_top - 1)")
        self.goes_to("pushed", "New value = 5")
        self.gdb("delete")
        self.gdb("watch *((long*)&stack_top - 2)")
        answer = self.goes_to("pushes_function")
        self.assertIn(f"New value = {self.address('pushes_end')}", answer)

    def test_rep_movs(self):
        self.at("copies")
        self.gdb("watch *((char*)&cells + 3)")
        answer = self.gdb("continue")
        self.assertIn("New value = 51 '3'", answer)
        self.assertIn(self.gdb.pc(), (self.address("copied"), self.address("copied") - 2))
        self.gdb("delete")
        self.gdb("tbreak copied")
        self.gdb("continue")
        self.assertIn('"0123456789abcdef"', self.gdb("p *(char(*)[16])&cells"))

    def test_crossing_pages(self):
        for range_ in ("*(long*)0x5fffc", "*(char*)0x5fffc", "*(int*)0x60000", "*(char*)0x60003"):
            self.at("crossing")
            self.gdb("set *(long*)0x5fffc = 0")
            self.gdb(f"watch {range_}")
            self.goes_to("crossed", "Old value = 0")
            self.gdb("delete")

    def test_guest_goes_on_with_right_memory(self):
        """Stores to watched pages are all made, also those beside what is watched."""
        self.gdb("watch *((long*)&cells + 31)")
        self.gdb("watch *(char*)0x73000")
        self.at("spread")
        self.gdb("tbreak spread_end")
        self.goes_to("spread_end")
        self.gdb("delete")
        self.assertEqual(self.gdb("find /b1 0x70000, 0x72fff, 0").splitlines()[0], "Pattern not found.")


class ReadTest(WatchCase):
    def test_rwatch(self):
        self.at("writes")
        self.gdb("rwatch *(long*)&cells")
        self.goes_to("read_1", "Value = 513")
        self.ends_well()

    def test_awatch(self):
        self.at("writes")
        self.gdb("awatch *(long*)&cells")
        self.goes_to("write_1", "Old value = 0", "New value = 1")
        self.goes_to("write_2", "Value = 1")
        self.goes_to("write_3", "New value = 513")
        self.goes_to("read_1", "Value = 513")
        self.goes_to("write_5", "New value = 8")
        self.ends_well()

    def test_read_by_a_return(self):
        self.at("pushes")
        self.gdb("tbreak pushes_function")
        self.goes_to("pushes_function")
        self.gdb("rwatch *((long*)&stack_top - 2)")
        self.goes_to("pushes_end")

    def test_read_by_rep_movs(self):
        self.at("copies")
        self.gdb("tbreak copied")
        self.gdb("rwatch *((char*)&text + 3)")
        answer = self.gdb("continue")
        self.assertIn("Hardware read watchpoint", answer)


class ManyTest(WatchCase):
    def test_ten(self):
        self.at("spread")
        for i in range(10):
            self.gdb(f"watch *(char*)(0x70000 + {i * 0x111})")
        for i in range(10):
            answer = self.gdb("continue")
            self.assertIn(f"watchpoint {i + 1}: ", answer)
            self.assertEqual(self.gdb.value("$rdi"), 0x70000 + i * 0x111)

    def test_beside_breakpoints(self):
        self.gdb.all("watch *(long*)&count", "break place_3", "hbreak place_5", "watch *(long*)&rounds")
        for i in range(1, 8):
            self.goes_to(f"place_{i}")
        self.gdb("delete 1")
        answer = self.gdb("continue")
        self.assertIn("Old value = 3", answer)
        self.assertIn("New value = 2", answer)

    def test_long_range(self):
        self.at("spread")
        self.gdb("watch *(char(*)[0x2000])0x70800")
        self.assertIn("watchpoint", self.gdb("continue"))
        self.assertEqual(self.gdb.value("$rdi"), 0x70800)
        self.gdb("continue")
        self.assertEqual(self.gdb.value("$rdi"), 0x70801)
        self.gdb("delete")

    def test_deleted_and_set_again(self):
        for i in range(5):
            self.at("writes")
            self.gdb("set *(long*)&cells = 0")
            self.gdb("watch *(long*)&cells")
            self.goes_to("write_1")
            self.gdb("delete")
        self.ends_well()

    def test_disabled(self):
        self.at("writes")
        self.gdb("watch *(long*)&cells")
        self.goes_to("write_1")
        self.gdb("disable")
        self.gdb("tbreak write_4")
        self.goes_to("write_4")
        self.gdb("enable 1")
        self.goes_to("write_5")

    def test_stepping(self):
        self.at("writes")
        self.gdb("watch *(long*)&cells")
        self.assertIn("New value = 1", self.gdb("stepi"))
        self.assertNotIn("value", self.gdb("stepi"))
        self.assertIn("New value = 513", self.gdb("stepi"))
        self.assertEqual(self.gdb.pc(), self.address("write_3"))

    def test_registers_and_software(self):
        """What no memory holds is watched by gdb itself, step by step."""
        self.at("writes")
        self.gdb("watch $rax")
        answer = self.gdb("continue")
        self.assertIn("New value = 513", answer)

    def test_kept_over_a_restart(self):
        self.gdb("watch *(long*)&count")
        self.goes_to("place_1")
        self.gdb("monitor reset")
        self.gdb("maintenance flush register-cache")
        self.assertEqual(self.gdb.pc(), self.address("_start"))
        self.assertIn("watchpoint 1", self.gdb("continue"))


class ScopeTest(GdbCase):
    def test_end_of_the_scope(self):
        vm, gdb = self.debug(elf("gdb_program"))
        gdb("break with_local")
        gdb("continue")
        gdb("watch local")
        values = []
        for _ in range(3):
            answer = gdb("continue")
            values.append([line.split()[-1] for line in answer.splitlines() if line.startswith("New value")])
        self.assertEqual(values, [["1"], ["11"], ["111"]])
        answer = gdb("continue")
        self.assertIn("left the block in", answer)
        self.assertIn("in program", gdb("frame"))
        self.assertIn("exited normally", gdb("continue"))


class PacketsTest(GdbCase):
    def test_the_stop_names_the_address(self):
        vm = self.offer(elf("gdb_points"))
        gdb = vm.gdb()
        where = {name: gdb.value("&" + name) for name in ("writes", "cells", "write_1", "read_1", "write_2")}
        gdb.kill()
        for kind, name, stop in ((2, "watch", "write_1"), (3, "rwatch", "read_1"), (4, "awatch", "write_1")):
            wire = vm.wire()
            wire.ask("qSupported:swbreak+;hwbreak+")
            self.assertEqual(wire.ask(f"P10={where['writes'].to_bytes(8, 'little').hex()}"), "OK")
            self.assertEqual(wire.ask(f"Z{kind},{where['cells']:x},8"), "OK")
            wire.send("vCont;c")
            reply = wire.stop()
            self.assertIn(f"{name}:{where['cells']:x};", reply)
            self.assertIn(f"10:{where[stop].to_bytes(8, 'little').hex()};", reply)
            self.assertEqual(wire.ask(f"z{kind},{where['cells']:x},8"), "OK")
            wire.close()

    def test_impossible_ones(self):
        vm = self.offer(elf("gdb_points"))
        wire = vm.wire()
        wire.ask("qSupported:error-message+")
        self.assertTrue(wire.ask("Z2,1000,0").startswith("E"))
        self.assertTrue(wire.ask("Z2,fffffffffffffff0,20").startswith("E."))
        self.assertEqual(wire.ask("Z5,1000,1"), "", "no such kind")


class SmallPagesTest(WriteTest):
    """All of the writes again, with pages of 4 KB."""
    arguments = ("--page", "4")


if __name__ == "__main__":
    main()
