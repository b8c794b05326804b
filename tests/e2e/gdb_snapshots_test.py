"""Snapshots with real gdb: there and back, by name, with input, files, restarts, ends and several machines."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import GdbCase, elf  # noqa: E402
from hypervisor import contents, main, sample, sample_source  # noqa: E402


def restore(gdb, name):
    """Back to a snapshot, in gdb's eyes too."""
    answer = gdb("monitor restore " + name)
    gdb("maintenance flush register-cache")
    gdb("maintenance flush dcache")
    return answer


class SnapshotsTest(GdbCase):
    def test_there_and_back(self):
        vm, gdb = self.debug(elf("gdb_points"))
        gdb("break place_3")
        gdb("continue")
        gdb("monitor snapshot third")
        gdb("break place_50")
        for _ in range(3):
            self.assertIn("place_50", gdb("continue"), "breakpoints stay")
            self.assertEqual(gdb.value("*(long*)&count"), 50)
            gdb("set *(long*)0x90000 = 77")
            gdb("set $rbx = 5")
            answer = restore(gdb, "third")
            self.assertIn("VM 1 has been restored", answer)
            self.assertIn("maintenance flush register-cache", answer)
            self.assertEqual(gdb.pc(), gdb.value("&place_3"))
            self.assertEqual(gdb.value("$rbx"), 0)
            self.assertEqual(gdb.value("*(long*)&count"), 3)
            self.assertEqual(gdb.value("*(long*)0x90000"), 0)
        gdb("delete")
        self.assertIn("exited normally", gdb("continue"))
        self.assertEqual(vm.run.finish().out, b"done\n")

    def test_names(self):
        vm, gdb = self.debug(elf("gdb_points"))
        self.assertIn("there are none", gdb("monitor snapshots"))
        for bad in ("", " two words", " " + "x" * 32):
            self.assertFails(gdb("monitor snapshot" + bad), "say a name")
        self.assertFails(gdb("monitor restore nothing"), "there is no snapshot 'nothing'")
        self.assertFails(gdb("monitor restore"), "say which snapshot")
        self.assertFails(gdb("monitor forget"), "say which snapshot")
        gdb("monitor snapshot first")
        gdb("tbreak place_3")
        gdb("continue")
        gdb("monitor snapshot " + "x" * 31)
        gdb("monitor snapshot first")
        listed = gdb("monitor snapshots").splitlines()
        self.assertEqual(len(listed), 2, listed)
        self.assertTrue(listed[0].startswith("first "), listed)
        gdb("stepi")
        restore(gdb, "first")
        self.assertEqual(gdb.pc(), gdb.value("&place_3"), "the newer one of that name")

    def test_only_so_many(self):
        vm, gdb = self.debug(elf("gdb_points"))
        for number in range(64):
            self.assertEqual(gdb(f"monitor snapshot n{number}"), "")
        self.assertFails(gdb("monitor snapshot another"), "64 snapshots")
        self.assertEqual(gdb("monitor snapshot n7"), "")
        self.assertEqual(len(gdb("monitor snapshots").splitlines()), 64)
        self.assertFails(gdb("monitor forget another"), "there is no snapshot 'another'")
        self.assertEqual(gdb("monitor forget n7"), "")
        self.assertEqual(gdb("monitor snapshot another"), "")
        names = [line.split()[0] for line in gdb("monitor snapshots").splitlines()]
        self.assertEqual(names, [f"n{number}" for number in range(64) if number != 7] + ["another"])
        self.assertFails(gdb("monitor restore n7"), "there is no snapshot 'n7'")

    def test_input_is_read_again(self):
        data = bytes(range(200))
        vm, gdb = self.debug_cat(data, 20, "--no-history")
        gdb("monitor snapshot here")
        for _ in range(30):
            gdb("continue")
        restore(gdb, "here")
        vm.run.process.stdin.close()
        gdb("delete")
        self.assertIn("exited normally", gdb("continue"))
        out = vm.run.finish().out
        there = next(at for at in range(256) if out[:at] == data[:at] and out[at:at + 1] != data[at:at + 1])
        again = out.index(data[-1:]) + 1 - len(data)
        self.assertGreater(again, 0, "some came twice")
        self.assertEqual(out[there:], data[there - again:] + b"\xff" * 3, "what is printed is printed; input comes again")

    def test_one_within_the_history_is_a_place_in_it(self):
        data = bytes(range(200))
        vm, gdb = self.debug_cat(data, 20, "--history", "256")
        here = gdb("monitor when")
        gdb("monitor snapshot here")
        self.assertIn(", instruction ", gdb("monitor snapshots"))
        for _ in range(30):
            gdb("continue")
        restore(gdb, "here")
        self.assertEqual(gdb("monitor when").split(" of ")[0], here.split(" of ")[0])
        vm.run.process.stdin.close()
        gdb("delete")
        self.assertIn("exited normally", gdb("continue"))
        out = vm.run.finish().out
        self.assertEqual(out[:len(data)], data, "nothing is printed twice")

    def test_files_are_put_back(self):
        vm, gdb = self.debug(sample("files", "elf"), "--gdb-hold", "--no-history", "-f",
                             sample_source("files", "notes.txt"))
        own = self.path("vm-files", "1-files")
        gdb("monitor snapshot start")
        self.assertIn("halted", gdb("continue"))
        end = gdb("monitor files")
        held = {name: contents(os.path.join(own, name)) for name in os.listdir(own)}
        self.assertTrue(held)
        gdb("monitor snapshot end")
        restore(gdb, "start")
        self.assertEqual(os.listdir(own), [])
        self.assertIn("\n0 of ", gdb("monitor files"))
        restore(gdb, "end")
        self.assertEqual(gdb("monitor files"), end)
        self.assertEqual({name: contents(os.path.join(own, name)) for name in os.listdir(own)}, held)
        restore(gdb, "start")
        self.assertIn("halted", gdb("continue"))
        self.assertEqual(gdb("monitor files"), end)
        self.assertEqual({name: contents(os.path.join(own, name)) for name in os.listdir(own)}, held)

    def test_after_the_end_and_after_a_crash(self):
        for image, end in ((elf("gdb_points"), "halted"), (sample("crash", "elf"), "SIGSEGV")):
            vm, gdb = self.debug(image, "--gdb-hold")
            gdb("stepi 3")
            here = gdb.pc()
            gdb("monitor snapshot here")
            for _ in range(2):
                self.assertIn(end, gdb("continue"))
                restore(gdb, "here")
                self.assertEqual(gdb.pc(), here)
            self.assertNotIn("error", gdb("stepi"))
            gdb("kill")

    def test_over_a_restart(self):
        vm, gdb = self.debug(elf("gdb_points"))
        gdb("tbreak place_50")
        gdb("continue")
        gdb("monitor snapshot fifty")
        gdb("monitor reset")
        gdb("maintenance flush register-cache")
        gdb("maintenance flush dcache")
        self.assertEqual(gdb.value("*(long*)&count"), 0)
        gdb("stepi")
        gdb("monitor snapshot start")
        restore(gdb, "fifty")
        self.assertEqual(gdb.pc(), gdb.value("&place_50"))
        self.assertEqual(gdb.value("*(long*)&count"), 50)
        restore(gdb, "start")
        self.assertEqual(gdb.value("*(long*)&count"), 0)
        self.assertIn("exited normally", gdb("continue"))

    def test_watchpoints(self):
        """What watchpoints do to the memory's layout costs no change: pages written before and after come back."""
        vm, gdb = self.debug(elf("gdb_points"))
        gdb("monitor snapshot start")
        gdb("watch *(long*)&count")
        for _ in range(5):
            self.assertIn("New value", gdb("continue"))
        gdb("monitor snapshot five")
        gdb("delete")
        gdb("tbreak place_50")
        gdb("continue")
        for name, count in (("five", 5), ("start", 0), ("five", 5)):
            restore(gdb, name)
            self.assertEqual(gdb.value("*(long*)&count"), count)

    def test_a_signal_of_before_is_not_passed_on(self):
        vm, gdb = self.debug(sample("crash", "elf"))
        self.assertIn("SIGSEGV", gdb("continue"))
        gdb("monitor reset")
        self.assertIn("SIGSEGV", gdb("continue"), "not the end by the SIGSEGV gdb had seen")
        self.assertIn("terminated", gdb("continue"))

    def test_each_machine_has_its_own(self):
        run, gdb = self.debug_all(elf("gdb_points"), elf("gdb_points"))
        gdb("monitor snapshot mine")
        start = gdb.pc()
        gdb("inferior 2")
        self.assertIn("there are none", gdb("monitor snapshots"))
        self.assertFails(gdb("monitor restore mine"), "there is no snapshot")
        gdb("inferior 1")
        gdb("tbreak place_3")
        self.assertIn("place_3", gdb("continue"))
        restore(gdb, "mine")
        self.assertEqual(gdb.pc(), start)
        self.assertEqual(gdb.value("*(long*)&count"), 0)
        self.assertIn("exited normally", gdb("continue"))


if __name__ == "__main__":
    main()
