"""Backwards from everywhere: several machines, crashes, hlt, Ctrl-C, late debuggers, restarts, and points of all kinds."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import END_OF_HISTORY, Gdb, GdbCase, elf  # noqa: E402
from hypervisor import EXIT_CRASHED, is_sanitized, main, sample  # noqa: E402

FLUSH = "maintenance flush register-cache", "maintenance flush dcache"


class PlacesCase(GdbCase):
    keeps_history = True

    def position(self, gdb):
        return int(re.search(r"instruction (\d+)", gdb("monitor when"))[1])

    def state(self, gdb):
        return [gdb("info registers"), gdb("x/64xb $rsp"), self.position(gdb)]

    def machine(self, image, *arguments):
        return self.debug(image, "--accel", "soft", *arguments)

    def assertReturns(self, gdb):
        """Wherever it stands, steps back lead to states that lead here again."""
        here = self.state(gdb)
        gdb.all("reverse-stepi", "reverse-stepi")
        self.assertEqual(self.position(gdb), here[2] - 2)
        gdb.all("stepi", "stepi")
        self.assertEqual(self.state(gdb), here)


class PlacesTest(PlacesCase):
    def test_a_crash(self):
        vm, gdb = self.machine(sample("crash", "elf"))
        self.assertIn("SIGSEGV", gdb("continue"))
        end = self.position(gdb)
        gdb("break set_grade")
        self.assertIn("set_grade", gdb("reverse-continue"))
        self.assertEqual(gdb.value("student"), 0x40000000)
        self.assertIn("SIGSEGV", gdb("continue"))
        self.assertEqual(self.position(gdb), end)

    def test_hlt(self):
        vm, gdb = self.machine(sample("fibonacci", "elf"), "--gdb-hold")
        self.assertIn("has halted", gdb("continue"))
        end = self.position(gdb)
        gdb("break fibonacci if n == 3")
        self.assertIn("entry=3", gdb("reverse-continue"))
        gdb("delete")
        self.assertIn("has halted", gdb("continue"))
        self.assertEqual(self.position(gdb), end)
        self.assertIn("exited normally", gdb("continue"))
        vm.run.finish()
        self.assertEqual(vm.out.count(b"fibonacci(12)"), 1)

    def test_ctrl_c(self):
        vm, gdb = self.machine(elf("spin"))
        gdb.begin("continue")
        vm.run.wait_for(b"a line")
        gdb.interrupt()
        self.assertIn("SIGINT", gdb.answer())
        self.assertReturns(gdb)

    def test_a_wait_for_input(self):
        vm, gdb = self.machine(sample("echo", "elf"))
        vm.run.send(b"one\n")
        gdb.begin("continue")
        vm.run.wait_for(b"1: one")
        gdb.wait_until_running()
        gdb.interrupt()
        self.assertIn("SIGINT", gdb.answer())
        self.assertReturns(gdb)
        gdb("break main")
        self.assertIn("main", gdb("reverse-continue"))
        gdb("delete")
        vm.run.send(b"two\n")
        gdb.begin("continue")
        vm.run.wait_for(b"2: two")
        self.assertEqual(vm.out.count(b"1: one"), 1)

    def test_a_debugger_that_comes_late(self):
        """What happened while no debugger was there is part of the past."""
        vm, gdb = self.machine(sample("echo", "elf"))
        gdb("detach")
        vm.run.send(b"one\n")
        vm.run.wait_for(b"1: one")
        late = vm.gdb()
        self.assertReturns(late)
        late("break main")
        self.assertIn("Breakpoint 1, main", late("reverse-continue"))
        self.assertRegex(late("reverse-continue"), END_OF_HISTORY)
        self.assertEqual(self.position(late), 0)

    def test_a_restart(self):
        vm, gdb = self.machine(sample("fibonacci", "elf"))
        gdb("disconnect")
        gdb(f"target extended-remote {vm.where[0]}")
        gdb("break fibonacci if n == 5")
        gdb("continue")
        first = self.state(gdb)
        gdb("reverse-stepi")
        self.assertIn("entry=5", gdb("run"))
        self.assertEqual(self.state(gdb), first)
        self.assertRegex(gdb("reverse-continue"), END_OF_HISTORY)
        self.assertEqual(self.position(gdb), 0)
        gdb("continue")
        self.assertEqual(self.state(gdb), first)
        self.assertReturns(gdb)

    def test_ctrl_c_ends_a_search(self):
        """The search tells how far it is, and where it ends is a place like any other."""
        vm, gdb = self.machine(elf("gdb_points"), "--gdb-hold")
        gdb(f"print *(int *) &rounds = {60000 if is_sanitized() else 300000}")
        self.assertIn("has halted", gdb("continue"))
        end = self.position(gdb)
        for n in range(50):  # the more, the longer it takes: it must not be over before it is interrupted
            gdb(f"break place_{n} if $rax == 12345")
        gdb.begin("reverse-continue")
        gdb.wait_until_running()
        told = rb"searching backwards: at instruction \d+, the history begins at 0"
        gdb.output.wait_for("console", lambda got: re.search(told, got[gdb.told:]))
        gdb.interrupt()
        self.assertIn("SIGINT", gdb.answer())
        gdb("delete")
        here = self.state(gdb)
        self.assertTrue(0 < here[2] < end, here)
        gdb.all("monitor goto start", f"monitor goto {here[2]}", *FLUSH)
        self.assertEqual(self.state(gdb), here)


class PointsTest(PlacesCase):
    """Each kind of point stops at the same places backwards as forwards, in the opposite order."""

    def assertMirrors(self, gdb, describe, hits):
        """Forwards there are `hits` stops before the end; backwards there are the same, the last of them first."""
        forwards = []
        for _ in range(hits):
            gdb("continue")
            forwards.append(describe(gdb))
        gdb("tbreak done")
        gdb("continue")
        backwards = []
        for _ in range(hits):
            gdb("reverse-continue")
            backwards.append(describe(gdb))
        self.assertEqual(backwards, forwards[::-1])
        self.assertRegex(gdb("reverse-continue"), END_OF_HISTORY)

    def points(self):
        vm, gdb = self.machine(elf("gdb_points"))
        gdb("print *(int *) &rounds = 3")
        return vm, gdb

    def test_breakpoints(self):
        for command in ("break", "hbreak"):
            with self.subTest(command=command):
                vm, gdb = self.points()
                gdb(f"{command} *&place_7")
                gdb(f"{command} *&place_50 if *(long *) &count > 100")
                self.assertMirrors(gdb, lambda gdb: (gdb.pc(), self.position(gdb)), 5)

    def test_watchpoints(self):
        """Forwards they stop behind the access, backwards in front of it."""
        for command in ("watch", "rwatch", "awatch"):
            with self.subTest(command=command):
                vm, gdb = self.points()
                gdb(f"{command} *(long *) &rounds")
                forwards, backwards = [], []
                for _ in range(3):
                    gdb("continue")
                    forwards.append(self.position(gdb))
                gdb("tbreak done")
                gdb("continue")
                for _ in range(3):
                    gdb("reverse-continue")
                    backwards.append(self.position(gdb) + 1)
                self.assertEqual(backwards, forwards[::-1])

    def test_values_of_watchpoints(self):
        vm, gdb = self.points()
        gdb("watch *(long *) &rounds")
        gdb("tbreak done")
        for _ in range(3):
            gdb("continue")
        self.assertRegex(gdb("reverse-continue"), r"(?s)Old value = 0.*New value = 1")
        self.assertRegex(gdb("reverse-continue"), r"(?s)Old value = 1.*New value = 2")
        self.assertRegex(gdb("continue"), r"(?s)Old value = 2.*New value = 1")

    def test_a_condition_of_a_watchpoint(self):
        vm, gdb = self.points()
        gdb("tbreak done")
        gdb("continue")
        gdb("watch *(long *) &count if *(long *) &count == 123")
        self.assertRegex(gdb("reverse-continue"), r"(?s)Old value = 124.*New value = 123")
        self.assertEqual(gdb.value("*(long *) &count"), 123)

    def test_catchpoints(self):
        vm, gdb = self.machine(sample("fibonacci", "elf"))
        gdb("break main")
        gdb("continue")
        gdb("monitor catch out 0xe9 10")
        forwards = []
        for _ in range(4):
            self.assertIn("catchpoint 1: out port 0xe9", gdb("continue"))
            forwards.append(self.position(gdb))
        gdb("stepi")
        for there in forwards[::-1]:
            self.assertIn("catchpoint 1: out port 0xe9", gdb("reverse-continue"))
            self.assertEqual(self.position(gdb), there)
        self.assertIn("Breakpoint 1, main", gdb("reverse-continue"))

    def test_tracepoints_collect_forwards_only(self):
        vm, gdb = self.points()
        gdb.all("trace *&place_3", "tstart", "tbreak done", "continue")
        self.assertIn("3 trace frames", gdb("tstatus"))
        self.assertRegex(gdb("reverse-continue"), END_OF_HISTORY)
        self.assertIn("3 trace frames", gdb("tstatus"))


class SeveralTest(PlacesCase):
    """Each machine has its own time."""

    def several(self, *images):
        run = self.start("-g", *images, "--accel", "soft", "--gdb-all", "0")
        line = run.wait_for(b"target remote", "err").decode()
        gdb = Gdb(self.dir, images[0])
        self.addCleanup(gdb.close)
        gdb(f"target remote {re.search(r'target remote ([0-9.:]+)', line)[1]}")
        return run, gdb

    def both(self, gdb):
        """The positions of 2 and 1, which is selected then."""
        positions = []
        for number in (2, 1):
            # monitor commands go to the machine that gdb asked last
            gdb.all(f"inferior {number}", FLUSH[0], "info registers rip")
            positions.append(self.position(gdb))
        return positions

    def test_the_others_stand_still(self):
        run, gdb = self.several(sample("fibonacci", "elf"), sample("primes", "elf"))
        gdb.all("inferior 2", "stepi 7", "inferior 1", "stepi 5")
        self.assertRegex(gdb("reverse-continue"), END_OF_HISTORY)
        self.assertEqual(self.both(gdb), [7, 0])

    def test_all_go_back(self):
        run, gdb = self.several(sample("fibonacci", "elf"), sample("primes", "elf"))
        gdb.all("inferior 2", "stepi 7", "inferior 1", "stepi 5", "set schedule-multiple on")
        for _ in range(100):  # the one that gets to its beginning first stops the other, wherever that is
            self.assertRegex(gdb("reverse-continue"), END_OF_HISTORY)
            positions = self.both(gdb)
            if positions == [0, 0]:
                return
        self.fail(f"after 100 times they are at {positions}")

    def test_a_breakpoint_of_one(self):
        run, gdb = self.several(sample("fibonacci", "elf"), sample("fibonacci", "elf"))
        gdb("break fibonacci if n == 4")
        for number in (1, 2):
            gdb(f"inferior {number}")
            self.assertIn("entry=4", gdb("continue"))
            self.assertIn("entry=4", gdb("continue"))
        there = self.both(gdb)
        self.assertIn("entry=4", gdb("reverse-continue"))
        now = self.both(gdb)
        self.assertEqual(now[0], there[0])
        self.assertLess(now[1], there[1])


class ReplayTest(PlacesCase):
    """In a recording."""

    def recorded(self, name, *arguments, code=0):
        self.check(self.run_vm("--accel", "soft", "--record", "run.mhr", "-g", sample(name), *arguments), code)

    def replayed(self, name, *arguments):
        run = self.start("--accel", "soft", "--replay", "run.mhr", *arguments)
        line = run.wait_for(b"target remote", "err").decode()
        gdb = Gdb(self.dir, sample(name, "elf"))
        self.addCleanup(gdb.close)
        gdb(f"target extended-remote {re.search(r'target remote ([0-9.:]+)', line)[1]}")
        return run, gdb

    def test_a_restart(self):
        self.recorded("fibonacci")
        run, gdb = self.replayed("fibonacci", "--gdb", "0", "--gdb-hold")
        gdb("break fibonacci if n == 5")
        gdb("continue")
        first = self.state(gdb)
        self.assertReturns(gdb)
        self.assertIn("entry=5", gdb("run"))
        self.assertEqual(self.state(gdb), first)
        self.assertRegex(gdb("reverse-continue"), END_OF_HISTORY)
        self.assertEqual(self.position(gdb), 0)
        gdb("delete")
        self.assertIn("has halted", gdb("continue"))
        self.assertIn("exited normally", gdb("continue"))
        gdb("disconnect")
        self.assertEqual(run.finish().out.count(b"fibonacci(12)"), 1)

    def test_one_port_for_all(self):
        self.recorded("crash", code=EXIT_CRASHED)
        run, gdb = self.replayed("crash", "--gdb-all", "0")
        self.assertIn("SIGSEGV", gdb("continue"))
        self.assertReturns(gdb)
        self.assertIn("SIGSEGV", gdb("continue"))


if __name__ == "__main__":
    main()
