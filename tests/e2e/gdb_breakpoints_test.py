"""Breakpoints: any number of them, of both kinds, wherever code is, and never visible."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import GdbCase, PointsCase, elf  # noqa: E402
from hypervisor import guest, main  # noqa: E402


class BreakCase(PointsCase):
    def long(self, name):
        return self.gdb.value(f"*(long*)&{name}")

    def goes_to(self, label, command="continue"):
        answer = self.gdb(command)
        self.assertEqual(self.gdb.pc(), self.address(label), answer)
        return answer

    def ends_well(self):
        self.assertIn("exited normally", self.gdb("continue"))
        self.assertEqual(self.vm.run.finish().code, 0)


class ManyTest(GdbCase):
    SCRIPT = ("".join(f"break place_{i}\n" for i in range(100)) +
              "commands 2\nsilent\nprintf \"two: count %ld\\n\", *(long*)&count\nend\n" +
              "continue\n" * 201 + "info breakpoints\ndelete\ncontinue\n")

    def test_same_transcript_ten_times(self):
        """Inserted once and for all, as an IDE may have it, and once by inserting and removing all at every stop."""
        transcripts = set()
        for round in range(10):
            vm = self.offer(elf("gdb_points"))
            text, code = self.batch(vm, ("set breakpoint always-inserted on\n" if round else "") + self.SCRIPT)
            self.assertEqual(code, 0, text)
            self.assertEqual(vm.run.finish().out, b"done\n")
            transcripts.add(text.replace(vm.where[0], "PORT"))
        self.assertEqual(len(transcripts), 1)
        text = transcripts.pop()
        hits = re.findall(r"^(?:Breakpoint (\d+), |two: count (\d+))", text, re.M)
        self.assertEqual(len(hits), 201)
        self.assertEqual([int(number or 2) for number, _ in hits], [i % 100 + 1 for i in range(201)])
        self.assertEqual([count for _, count in hits if count], ["1", "101"], text)
        self.assertEqual(text.count("breakpoint already hit 2 times"), 99, text)
        self.assertEqual(text.count("breakpoint already hit 3 times"), 1)
        self.assertIn("exited normally", text)


class SoftwareTest(BreakCase):
    def test_under_the_first_instruction(self):
        self.gdb("break *_start")
        self.gdb("break *place_1")
        self.goes_to("place_1")
        self.gdb("delete")
        self.ends_well()

    def test_continue_from_a_breakpoint(self):
        self.gdb("break *place_5")
        for round in range(3):
            self.assertIn("Breakpoint 1", self.goes_to("place_5"))
            self.assertEqual(self.long("count"), 100 * round + 5)
        self.ends_well()
        self.assertEqual(self.vm.out, b"done\n")

    def test_neighbours(self):
        """One on each of three instructions that follow each other."""
        self.gdb.all("break *place_5", "break *place_6", "break *place_7")
        for label in ("place_5", "place_6", "place_7", "place_5"):
            self.goes_to(label)
        self.goes_to("place_6", "stepi")
        self.goes_to("place_7", "nexti")

    def test_condition(self):
        self.gdb("break *place_50 if *(long*)&count > 200")
        self.goes_to("place_50")
        self.assertEqual(self.long("count"), 250)
        self.ends_well()

    def test_condition_that_is_never_true(self):
        self.gdb("break *place_50 if *(long*)&count == 7")
        self.ends_well()

    def test_temporary(self):
        self.gdb("tbreak *place_3")
        self.assertIn("Temporary breakpoint 1", self.goes_to("place_3"))
        self.ends_well()

    def test_ignore(self):
        self.gdb("break *place_3")
        self.gdb("ignore 1 2")
        self.goes_to("place_3")
        self.assertEqual(self.long("count"), 203)
        self.ends_well()

    def test_commands(self):
        self.gdb("break *place_3")
        self.gdb("commands 1\nsilent\nprintf \"[%ld]\\n\", *(long*)&count\ncontinue\nend")
        answer = self.gdb("continue")
        self.assertEqual(re.findall(r"\[(\d+)\]", answer), ["3", "103", "203"], answer)

    def test_disable_and_enable(self):
        self.gdb.all("break *place_3", "break *place_9")
        self.goes_to("place_3")
        self.gdb("disable 1")
        self.goes_to("place_9")
        self.goes_to("place_9")
        self.gdb("enable 1")
        self.goes_to("place_3")
        self.gdb("delete")
        self.ends_well()

    def test_same_place_twice(self):
        self.gdb.all("break *place_3", "break *place_3", "hbreak *place_3")
        self.goes_to("place_3")
        self.gdb("delete 1")
        self.goes_to("place_3")
        self.gdb("delete 2")
        self.goes_to("place_3")
        self.gdb("delete 3")
        self.ends_well()

    def test_set_pc_onto_one(self):
        """The machine stops there at once, with nothing executed; then gdb steps off it."""
        self.gdb("break *place_90")
        self.gdb("set $pc = place_90")
        self.goes_to("place_90")
        self.assertEqual(self.long("count"), 0)
        self.goes_to("place_90")
        self.assertEqual(self.long("count"), 100 - 90 + 90)

    def test_jump_onto_one(self):
        self.gdb("break *place_90")
        self.goes_to("place_90", "jump *place_90")
        self.assertEqual(self.long("count"), 0, "not in the next round")

    def test_step_over_a_permanent_one(self):
        """gdb skips an INT3 of the program's own by setting rip behind it, where another breakpoint may be."""
        self.gdb("set *(unsigned*)0x90000 = 0xf49090cc")  # int3; nop; nop; hlt
        self.gdb.all("break *0x90000", "break *0x90001", "set $pc = 0x90000")
        self.gdb("continue")
        self.assertEqual(self.gdb.pc(), 0x90001)
        self.ends_well()

    def test_where_there_is_no_memory(self):
        """It may be mapped later, and is no reason to refuse anything."""
        self.gdb("break *0x40000000")
        self.gdb("hbreak *0x50000000")
        self.gdb("break *place_3")
        self.goes_to("place_3")
        self.gdb("delete 3")
        self.ends_well()


class HardwareTest(BreakCase):
    def test_four(self):
        for i in range(0, 40, 10):
            self.gdb(f"hbreak *place_{i}")
        for _ in range(3):
            for i in range(0, 40, 10):
                self.assertIn(f"Breakpoint {i // 10 + 1}", self.goes_to(f"place_{i}"))
        self.ends_well()

    def test_more_than_debug_registers(self):
        for i in range(10):
            self.gdb(f"hbreak *place_{i}")
        for i in range(10):
            self.goes_to(f"place_{i}")
        self.gdb("delete")
        self.ends_well()

    def test_beside_software_ones(self):
        self.gdb.all("hbreak *place_1", "break *place_2", "thbreak *place_3", "tbreak *place_4")
        for label in ("place_1", "place_2", "place_3", "place_4", "place_1", "place_2", "place_1"):
            self.goes_to(label)

    def test_before_the_code_is_there(self):
        self.gdb("hbreak *0x50000")
        self.gdb("set $pc = load")
        self.assertIn("0x0000000000050000", self.gdb("continue"))
        self.assertEqual(self.gdb.pc(), 0x50000)


class OverwrittenTest(BreakCase):
    def test_loader_copies_code_over_breakpoints(self):
        """Set before there is any code, and hit in each round, though it is loaded anew."""
        self.gdb("tbreak *load_done")
        self.gdb("break *0x50000")
        self.gdb("set $pc = load")
        hits = []
        for _ in range(4):
            self.gdb("continue")
            hits.append((self.gdb.pc(), self.long("count")))
        self.assertEqual(hits, [(0x50000, 0), (0x50000, 1), (0x50000, 2), (self.address("load_done"), 3)])
        self.assertEqual(self.long("count2"), 6)

    def test_guest_writes_over_one(self):
        self.gdb("break *patched")
        self.gdb("tbreak *overwrite_done")
        self.gdb("set $pc = overwrite")
        self.goes_to("patched")
        self.assertEqual(self.gdb.value("*(unsigned short*)&patched"), 0xc0ff)
        self.goes_to("overwrite_done")
        self.assertEqual(self.gdb.value("$rax"), 1, "the new instruction was executed")
        self.assertEqual(self.gdb.value("*(unsigned short*)&patched"), 0xc0ff)

    def test_gdb_writes_over_one(self):
        self.gdb("break *patched")
        self.gdb("set *(unsigned short*)&patched = 0xc0ff")
        self.gdb("set $pc = overwritten")
        self.gdb("set $rax = 4")
        self.gdb("tbreak *overwrite_done")
        self.goes_to("patched")
        self.goes_to("overwrite_done")
        self.assertEqual(self.gdb.value("$rax"), 5)
        self.gdb("delete")
        self.assertEqual(self.gdb.value("*(unsigned short*)&patched"), 0xc0ff)

    def test_gdb_writes_while_they_are_inserted(self):
        self.gdb("set breakpoint always-inserted on")
        self.test_gdb_writes_over_one()

    def test_int3_of_the_guest_under_one(self):
        """gdb writes an INT3 into the guest: it is the guest's, breakpoint or not."""
        self.gdb("set *(unsigned char*)&place_5 = 0xcc")
        self.gdb("break *place_5")
        self.goes_to("place_5")
        self.assertEqual(self.gdb.value("*(unsigned char*)&place_5"), 0xcc)
        self.gdb("delete")
        self.assertIn("SIGTRAP", self.gdb("continue"))


class InvisibleTest(BreakCase):
    def test_in_memory(self):
        self.gdb("set breakpoint always-inserted on")
        before = self.gdb("x/800xb place_0")
        for i in range(100):
            self.gdb(f"break *place_{i}")
        self.assertEqual(self.gdb("x/800xb place_0"), before)
        self.goes_to("place_0")
        self.assertEqual(self.gdb("x/800xb place_0"), before)
        self.assertNotIn("MIS-MATCHED", self.gdb("compare-sections .text"))

    def test_in_memory_read_by_packets(self):
        self.gdb.kill()
        wire = self.vm.wire()
        before = wire.ask("m0,400")
        for address in range(0x100, 0x180):
            self.assertEqual(wire.ask(f"Z0,{address:x},1"), "OK")
        self.assertEqual(wire.ask("m0,400"), before)

    def test_in_what_the_guest_reads(self):
        """With hardware slots for all of them not even the guest sees them; behind these INT3s have to be."""
        self.gdb("set $pc = sum")
        self.gdb("tbreak *sum_done")
        self.gdb("continue")
        plain = self.gdb.value("$rbx")
        self.gdb("set $pc = sum")
        for i in range(3):
            self.gdb(f"break *place_{i}")
        self.gdb("tbreak *sum_done")
        self.goes_to("sum_done")
        self.assertEqual(self.gdb.value("$rbx"), plain)

    def test_after_detaching(self):
        for i in range(100):
            self.gdb(f"break *place_{i}")
        self.goes_to("place_0")
        self.gdb("detach")
        result = self.vm.run.finish()
        self.assertEqual((result.code, result.out), (0, b"done\n"))

    def test_after_gdb_was_killed(self):
        for i in range(100):
            self.gdb(f"break *place_{i}")
        self.goes_to("place_0")
        self.gdb.kill()
        again = self.vm.gdb()
        self.assertIn("exited normally", again("continue"))


class TwiceMappedTest(BreakCase):
    def test_through_the_other_address(self):
        """What is set at one address is not at another that leads to the same memory."""
        self.gdb("tbreak *aliased")
        self.gdb("set $pc = alias")
        self.goes_to("aliased")
        self.gdb("break *alias_done")
        for here, there in ((0, 0x40000000), (0x40000000, 0)):
            with self.subTest(here=here):
                self.gdb("set $pc = aliased")
                self.gdb(f"break *((char*)&twice + {here})")
                self.gdb("continue")
                self.assertEqual(self.gdb.pc(), self.address("twice") + here)
                self.assertEqual(self.gdb.value(f"*(unsigned char*)((char*)&twice + {there})"), 0x48)
                self.goes_to("alias_done")
                self.gdb("delete $bpnum")

    def test_both(self):
        self.gdb("tbreak *aliased")
        self.gdb("set $pc = alias")
        self.goes_to("aliased")
        self.gdb.all("break *twice", "break *((char*)&twice + 0x40000000)", "break *alias_done")
        pcs = [self.gdb("continue") and self.gdb.pc() for _ in range(3)]
        twice = self.address("twice")
        self.assertEqual(pcs, [twice, twice + 0x40000000, self.address("alias_done")])
        self.assertEqual(self.long("count"), 2)


class SmallPagesTest(SoftwareTest):
    """All of the software breakpoints again, with pages of 4 KB."""
    arguments = ("--page", "4")


class FlatImageTest(GdbCase):
    def test_addresses_are_those_of_the_elf_file(self):
        vm = self.offer(guest("gdb_points"))
        self.assertEqual(vm.elf[0], elf("gdb_points"), "the file beside the image")
        gdb = vm.gdb()
        gdb("break place_7")
        self.assertIn("place_7", gdb("continue"))


if __name__ == "__main__":
    main()
