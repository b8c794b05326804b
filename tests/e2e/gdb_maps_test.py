"""Points on pages that come, go and change while the guest runs, and that nobody but the guest knows of."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import GdbCase, elf  # noqa: E402
from hypervisor import main  # noqa: E402

AT, NUMBER = 0x40000000, 0x40000100
TURNS = [1, 2, 11, 12, 21, 22]  # the number in the page, at each call
SUM = f"{sum(TURNS):016X}".encode()


class MapsTest(GdbCase):
    arguments = ()

    def setUp(self):
        super().setUp()
        self.vm, self.gdb = self.debug(elf("maps"), *self.arguments)

    def stops(self, first="continue"):
        """Where the machine stops until its end."""
        places = []
        answer = self.gdb(first)
        while "exited normally" not in answer:
            self.assertNotIn("error", answer)
            places.append(self.gdb.pc())
            answer = self.gdb("continue")
        self.assertIn(SUM, self.vm.run.finish().out)
        return places

    def turns(self, *commands):
        """The number in the page at each stop."""
        numbers = []
        self.gdb.all(*commands)
        answer = self.gdb("continue")
        while "exited normally" not in answer:
            self.assertNotIn("error", answer)
            numbers.append(self.gdb.value(f"*(long*){NUMBER}"))
            answer = self.gdb("continue")
        self.assertIn(SUM, self.vm.run.finish().out)
        return numbers

    def test_break(self):
        self.assertEqual(self.turns(f"break *{AT}"), TURNS)

    def test_hbreak(self):
        self.assertEqual(self.turns(f"hbreak *{AT + 1}"), TURNS)

    def test_break_while_it_is_mapped(self):
        """Set when the first page is there, met in the second, too."""
        self.gdb("tbreak *written")
        self.gdb("continue")
        self.assertEqual(self.turns(f"break *{AT}"), TURNS[1:])

    def test_hbreak_while_it_is_mapped(self):
        self.gdb("tbreak *written")
        self.gdb("continue")
        self.assertEqual(self.turns(f"hbreak *{AT}"), TURNS[1:])

    def test_watch(self):
        """A write stops; that another page is mapped is no write."""
        self.gdb(f"watch *(long*){NUMBER}")
        self.assertEqual(self.stops(), [self.gdb.value("&behind")] * 6)

    def test_rwatch(self):
        self.gdb(f"rwatch *(long*){NUMBER}")
        # the call reads, and so does the addition, which writes too
        self.assertEqual(self.stops(), [AT + 9, self.gdb.value("&behind")] * 6)

    def test_awatch(self):
        self.gdb(f"awatch *(long*){NUMBER}")
        self.assertEqual(self.stops(), [AT + 9, self.gdb.value("&behind")] * 6)

    def test_condition(self):
        """Evaluated when the page is there."""
        self.assertEqual(self.turns(f"break *{AT} if *(long*){NUMBER} == 12"), [12])

    def test_step_onto_it(self):
        self.gdb.all(f"break *{AT}", "tbreak use")
        self.gdb("continue")
        while self.gdb.pc() != AT:
            self.gdb("stepi")
        self.gdb("delete")
        self.assertIn("exited normally", self.gdb("continue"))

    def test_beside_ordinary_ones(self):
        self.gdb("break between")
        self.assertEqual(len(self.stops()), 3)

    def test_many(self):
        """Some work, one never does, and none keeps another from working."""
        self.gdb.all("break *0x7fffffff0000", "hbreak *0xffff900000000000", "watch *(long*)0x50000000", "break between")
        self.gdb(f"break *{AT}")
        self.assertEqual(len(self.stops()), 9)


class SmallPagesTest(MapsTest):
    arguments = ("--page", "4")


if __name__ == "__main__":
    main()
