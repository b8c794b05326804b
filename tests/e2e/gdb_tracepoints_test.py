"""Tracepoints: what GDB's manual promises of trace, actions, tstart, tstop, tfind, tdump, tsave and tstatus."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import GdbCase, elf  # noqa: E402
from hypervisor import main  # noqa: E402


class TraceCase(GdbCase):
    """`count` counts the places passed; place_N is reached with N, N + 100 and N + 200."""

    options = ()

    def setUp(self):
        super().setUp()
        self.vm, self.gdb = self.debug(elf("gdb_points"), *self.options)
        # gdb 13 makes a wrong expression of the address of what lies in .text and has no type
        self.counted = f"*(long*){self.gdb.value('&count'):#x}"
        self.number = 0

    def trace(self, where, *actions):
        """A tracepoint with actions; its number."""
        answer = self.gdb(f"trace {where}")
        number = int(re.search(r"Tracepoint (\d+) at", answer)[1])
        if actions:  # gdb takes those only from where its commands come from
            lines = "\n".join([f"actions {number}", *actions, "end", ""])
            self.well(f"source {self.write('actions.gdb', lines.encode())}")
        return number

    def well(self, *commands):
        for command in commands:
            self.assertNotIn("error:", self.gdb(command))

    def run_to(self, place="done"):
        """Start tracing and run to a place; gdb lets the machine run once only."""
        self.well(f"tbreak *{place}", "tstart", "set debug remote 1")
        answer = self.gdb("continue")
        self.gdb("set debug remote 0")
        self.assertEqual(len(re.findall(r"Sending packet: \$vCont;[cCsSr]", answer)), 1, answer)
        self.assertEqual(self.gdb.pc(), self.gdb.value(f"&{place}"))

    def frames(self, *expressions):
        """The values of expressions in every frame, None where there are none."""
        found, answer = [], self.gdb("tfind start")
        while "Found trace frame" in answer:
            found.append(tuple(self.in_frame(expression) for expression in expressions))
            answer = self.gdb("tfind")
        self.gdb("tfind none")
        return found

    def hits(self):
        """How often each tracepoint was hit."""
        self.well("tstatus")  # gdb asks for them here only
        return [int(n) for n in re.findall(r"tracepoint already hit (\d+) time", self.gdb("info tracepoints"))]

    def in_frame(self, expression):
        printed = self.gdb(f"output/x {expression}")
        return int(printed, 16) if printed.startswith("0x") else None

    def place(self, number):
        return self.gdb.value(f"&place_{number}")


class RecordTest(TraceCase):
    def test_nothing_stops(self):
        """Registers and memory as they were; live again behind it."""
        self.trace("*place_5", f"collect $regs, {self.counted}")
        self.run_to()
        self.well("tstop")
        self.assertEqual(self.frames("$pc", self.counted), [(self.place(5), n) for n in (5, 105, 205)])
        self.assertEqual(self.gdb.value(self.counted), 300)
        self.assertEqual(self.gdb.pc(), self.gdb.value("&done"))

    def test_what_was_not_collected_is_unavailable(self):
        self.trace("*place_5", f"collect {self.counted}")
        self.run_to()
        self.well("tstop", "tfind start")
        self.assertIn("<unavailable>", self.gdb("print $rsp"))
        self.assertIn("<unavailable>", self.gdb("print *(long*)0x60000"))
        self.assertEqual(self.in_frame("$pc"), self.place(5))
        self.assertIn("incq", self.gdb("x/i $pc"))  # code needs no collecting
        self.assertFails(self.gdb("set var $rax = 1"))
        self.assertFails(self.gdb("continue"), "while looking at trace frames")

    def test_memory_that_is_not_there(self):
        self.trace("*place_5", "collect *(long*)0x123456789000, *(char(*)[16])0x1ffff8")
        self.run_to()
        self.assertIn("Collected 3 trace frames", self.gdb("tstatus"))
        self.well("tstop", "tfind start")
        self.assertIn("<unavailable>", self.gdb("print *(long*)0x123456789000"))
        self.assertNotIn("unavailable", self.gdb("print *(char(*)[8])0x1ffff8"))

    def test_strings(self):
        self.well('set {char[6]}0x60000 = "words"', "set *(char**)0x60010 = (char*)0x60000")
        self.trace("*place_5", "collect/s *(char**)0x60010")
        self.run_to()
        self.well("tstop", 'set {char[6]}0x60000 = "xxxxx"', "tfind start")
        self.assertIn('"words"', self.gdb("print *(char**)0x60010"))

    def test_tdump(self):
        self.trace("*place_7", f"collect {self.counted}")
        self.run_to()
        self.well("tstop", "tfind start")
        answer = self.gdb("tdump")
        self.assertIn("Data collected at tracepoint 1, trace frame 0", answer)
        self.assertIn("= 7\n", answer)

    def test_default_collect(self):
        self.well(f"set default-collect {self.counted}")
        self.trace("*place_5")
        self.run_to()
        self.well("tstop")
        self.assertEqual(self.frames(self.counted), [(5,), (105,), (205,)])

    def test_while_stepping(self):
        self.trace("*place_5", "while-stepping 2", f"collect $rip, {self.counted}, *(char*)0x60000", "end")
        self.run_to()
        self.well("tstop")
        expected, counts = [], []
        for n in (5, 105, 205):
            expected += [(self.place(5), None), (self.place(6), 0), (self.place(7), 0)]
            counts += [n + 1, n + 2]
        self.assertEqual(self.frames("$pc", "*(char*)0x60000"), expected)
        self.assertEqual([n for n, there in self.frames(self.counted, "*(char*)0x60000") if there == 0], counts)

    def test_variables(self):
        self.well("tvariable $passed = 40")
        self.trace("*place_5", "teval $passed = $passed + 1", "collect $passed")
        self.run_to()
        self.assertEqual(self.gdb.value("$passed"), 43)
        self.assertRegex(self.gdb("info tvariables"), r"\$passed +40 +43")
        self.well("tstop")
        self.assertEqual(self.frames("$passed"), [(41,), (42,), (43,)])

    def test_conditions(self):
        self.trace(f"*place_5 if {self.counted} > 100", f"collect {self.counted}")
        self.run_to()
        self.assertEqual(self.hits(), [2])
        self.well("tstop")
        self.assertEqual(self.frames(self.counted), [(105,), (205,)])


class FindTest(TraceCase):
    def test_find(self):
        for n in (5, 7, 9):
            self.trace(f"*place_{n}", f"collect {self.counted}")
        self.run_to()
        self.well("tstop")
        for command, expected in (("start", 5), (f"pc {self.place(7)}", 7), ("tracepoint 3", 9), ("", 105), ("-", 9),
                                  ("end", None), ("4", 107), (f"range {self.place(8)}, {self.place(9)}", 109),
                                  (f"outside {self.place(6)}, {self.place(9)}", 205)):
            self.gdb(f"tfind {command}")
            if expected is not None:
                self.assertEqual(self.in_frame(self.counted), expected, command)
        self.assertIn("No trace frame found", self.gdb("tfind 99"))
        self.well("tfind none")
        self.assertEqual(self.gdb.value(self.counted), 300)

    def test_not_while_it_runs(self):
        self.trace("*place_5")
        self.run_to("place_9")
        self.assertFails(self.gdb("tfind start"), "while trace is running")


class EndTest(TraceCase):
    def test_pass_count(self):
        self.well(f"passcount 2 {self.trace('*place_5')}")
        self.run_to()
        status = self.gdb("tstatus")
        self.assertIn("Trace stopped by tracepoint 1.", status)
        self.assertIn("Collected 2 trace frames", status)

    def test_error(self):
        self.trace(f"*place_5 if 100 / ({self.counted} - 105) == 7")
        self.run_to()
        self.assertIn("Trace stopped by an error (condition failed: division by zero, tracepoint 1)",
                      self.gdb("tstatus"))

    def test_full(self):
        self.well("set trace-buffer-size 4096")
        self.trace("*place_5", "collect *(char(*)[1500])0x50000")
        self.run_to()
        status = self.gdb("tstatus")
        self.assertIn("Trace stopped because the buffer was full", status)
        self.assertIn("Collected 2 trace frames", status)

    def test_circular(self):
        self.well("set trace-buffer-size 4096", "set circular-trace-buffer on")
        self.trace("*place_5", f"collect *(char(*)[1500])0x50000, {self.counted}")
        self.run_to()
        status = self.gdb("tstatus")
        self.assertIn("Trace is running on the target", status)
        self.assertIn("Buffer contains 2 trace frames (of 3 created total)", status)
        self.assertIn("Trace buffer is circular", status)
        self.well("tstop")
        self.assertEqual(self.frames(self.counted), [(105,), (205,)])

    def test_tstop_with_notes(self):
        self.well("set trace-user me")
        self.trace("*place_5")
        self.well("tstart a note", "tstop enough")
        status = self.gdb("tstatus")
        self.assertIn("Trace stopped by a tstop command (enough)", status)
        self.assertIn("Trace user is me", status)
        self.assertIn("Trace notes: a note", status)

    def test_where_nothing_is_mapped(self):
        """It may be mapped later."""
        self.trace("*0x123456789000")
        self.well("tstart", "tstop")


class MeanwhileTest(TraceCase):
    def test_breakpoint_at_the_same_place(self):
        self.well("break *place_5")
        self.trace("*place_5", f"collect {self.counted}")
        self.well("tstart")
        for n in (5, 105):
            self.assertIn("Breakpoint 1, ", self.gdb("continue"))
            self.assertEqual(self.gdb.value(self.counted), n)
        self.well("delete 1", "tbreak *done", "continue", "tstop")
        self.assertEqual(self.frames(self.counted), [(5,), (105,), (205,)])

    def test_stepping_onto_one(self):
        self.trace("*place_1", f"collect {self.counted}")
        self.well("tbreak *place_0", "continue", "tstart", "stepi")
        self.assertEqual(self.gdb.pc(), self.place(1))
        self.well("stepi", "tstop")
        self.assertEqual(self.frames(self.counted), [(1,)])

    def test_enabled_disabled_and_new(self):
        for n in (5, 7):
            self.trace(f"*place_{n}")
        self.well("disable 1", "tbreak *place_9", "tstart", "continue", "disable 2", "enable 1")
        self.trace("*place_8")
        self.well("tbreak *done", "continue")
        self.assertEqual(self.hits(), [2, 1, 2])

    def test_restart(self):
        self.trace("*place_5", f"collect {self.counted}")
        self.run_to("place_9")
        self.well("monitor reset", "tbreak *place_9", "continue", "tstop")
        self.assertEqual(self.frames(self.counted), [(5,), (5,)])

    def test_memory_never_shows_them(self):
        before = self.gdb("x/64xb &place_5")
        self.trace("*place_5")
        self.run_to("place_9")
        self.assertEqual(self.gdb("x/64xb &place_5"), before)


class HoldTest(TraceCase):
    options = ("--gdb-hold",)

    def test_guests_end(self):
        """Held at its end, the machine's frames can still be looked at."""
        self.trace("*place_5", f"collect {self.counted}")
        self.well("tstart", "continue", "tstop")
        self.assertEqual(self.frames(self.counted), [(5,), (105,), (205,)])


class FileTest(TraceCase):
    def test_tsave(self):
        self.trace("*place_5", f"collect $regs, {self.counted}")
        self.run_to()
        self.well("tstop")
        path = os.path.join(self.dir, "trace.tf")
        self.well(f"tsave {path}")
        self.gdb = self.vm.gdb(connect=False)
        self.well(f"target tfile {path}")
        self.assertIn("Trace stopped by a tstop command", self.gdb("tstatus"))
        self.assertEqual(self.frames("$pc", self.counted), [(self.place(5), n) for n in (5, 105, 205)])
        self.assertIn("collect $regs", self.gdb("info tracepoints"))
        self.gdb("tfind 0")
        self.assertIn(f"{self.counted} = 5", self.gdb("tdump"))

    def test_tsave_after_registers_were_read(self):
        """gdb takes a block of registers in the file to have the length of the last `g` packet it has seen."""
        self.gdb("info registers")
        self.test_tsave()

    def test_tsave_on_the_target(self):
        self.assertFails(self.gdb("tsave -r file"), "Target does not support this command")


class DisconnectTest(TraceCase):
    def leave(self, setting):
        self.well("set *(long*)&rounds = 1000000000", f"set disconnected-tracing {setting}",
                  "set circular-trace-buffer on", "tvariable $passed = 2")
        self.trace(f"*place_5 if {self.counted} > 0", f"collect {self.counted}")
        self.run_to("place_9")
        self.well("detach")
        self.gdb = self.vm.gdb()

    def test_goes_on(self):
        """The next gdb finds the experiment running, with all its tracepoints, and looks at it."""
        self.leave("on")
        self.assertIn("Trace is running on the target", self.gdb("tstatus"))
        listed = self.gdb("info tracepoints")
        self.assertIn(f"trace only if {self.counted} > 0", listed)
        self.assertIn(f"collect {self.counted}", listed)
        self.assertIn("$passed", self.gdb("info tvariables"))
        self.well("tstop", "tfind start")
        self.assertEqual(self.in_frame("$pc"), self.place(5))
        self.assertEqual(self.in_frame(self.counted) % 100, 5)

    def test_ends(self):
        self.leave("off")
        self.assertIn("Trace stopped because of disconnection", self.gdb("tstatus"))
        self.well("tfind start")
        self.assertEqual(self.in_frame(self.counted), 5)


class SeveralTest(GdbCase):
    def test_one_port_for_all(self):
        """Tracepoints are for ports that serve one machine, and gdb says that there are none."""
        run, gdb = self.debug_all(elf("gdb_points"), elf("gdb_points"))
        self.assertIn("Tracepoint 1", gdb("trace *place_5"))
        answer = gdb("tstart")
        self.assertFails(answer, "Target returns error code")
        self.assertIn("tracepoints need one port per machine: use --gdb without --gdb-all", answer)


if __name__ == "__main__":
    main()
