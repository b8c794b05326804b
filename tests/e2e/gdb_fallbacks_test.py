"""A gdb that does without some of the protocol's newer packets gets the same results."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import GdbCase, elf  # noqa: E402
from hypervisor import contents, main  # noqa: E402



class FallbacksTest(GdbCase):
    def session(self, *settings):
        """The same work each time; what gdb printed of it."""
        vm = self.offer(elf("gdb_points"))
        gdb = vm.gdb(connect=False)
        refused = [setting for setting in settings if "error" in gdb(setting)]
        if refused:
            return None
        self.assertNotIn("error", gdb(f"target remote {vm.where[0]}"))
        printed = gdb.all("break place_3", "continue", "set $rax = 0x1234", "stepi", "info registers rax rip",
                          "set *(long*)0x90000 = 0x23247d2a03", "x/gx 0x90000", "nexti", "where", "delete",
                          "tbreak place_7", "continue", "find /b 0x8ffff, 0x90008, 0x7d",
                          "dump binary memory copy 0x90000 0x90100", "restore copy binary 0x98000", "x/gx 0x98000")
        gdb("delete")
        printed.append(gdb("continue").replace("Remote target", "process 1"))  # it has no number for gdb
        self.assertEqual(vm.run.finish().code, 0)
        self.assertEqual(len(contents(self.path("copy"))), 0x100)
        gdb.close()
        return printed

    def test_each_packet_off(self):
        normal = self.session()
        self.assertIn("exited normally", normal[-1])
        tried = 0
        for name in ("P-packet", "X-packet", "p-packet", "binary-download-packet", "verbose-resume-packet",
                     "noack-packet", "swbreak-feature-packet", "hwbreak-feature-packet",
                     "hardware-breakpoint-packet", "fetch-register-packet", "set-register-packet",
                     "target-features-packet", "memory-map-packet", "search-memory-packet",
                     "multiprocess-feature-packet", "query-attached-packet", "threads-packet",
                     "supported-packets-packet", "pass-signals-packet", "conditional-tracepoints-packet"):
            with self.subTest(name):
                printed = self.session(f"set remote {name} off")
                if printed is not None:
                    tried += 1
                    self.assertEqual(printed, normal)
        self.assertGreater(tried, 12)

    def test_many_off(self):
        printed = self.session("set remote verbose-resume-packet off", "set remote noack-packet off",
                               "set remote set-register-packet off", "set remote fetch-register-packet off",
                               "set remote binary-download-packet off", "set remote multiprocess-feature-packet off",
                               "set remote swbreak-feature-packet off", "set remote hwbreak-feature-packet off",
                               "set remote memory-map-packet off", "set remote threads-packet off")
        self.assertEqual(printed, self.session())

    def test_breakpoints_written_by_gdb(self):
        """Without Z0 gdb puts INT3s into memory itself. For the stub they are the guest's, and it says so."""
        printed = self.session("set remote software-breakpoint-packet off",
                               "set remote swbreak-feature-packet off")
        without_reports = [re.sub(r"(?m)^breakpoint \(#BP\).*\n", "", text) for text in printed]
        self.assertEqual(without_reports, self.session())

    def test_watching_without_the_packets(self):
        vm = self.offer(elf("gdb_points"))
        gdb = vm.gdb(connect=False)
        for kind in ("write", "read", "access"):
            gdb(f"set remote {kind}-watchpoint-packet off")
        gdb("set can-use-hw-watchpoints 0")
        gdb(f"target remote {vm.where[0]}")
        gdb("watch *(long*)&count")
        for i in range(1, 4):
            self.assertIn(f"New value = {i}", gdb("continue"))

    def test_small_packets(self):
        vm = self.offer(elf("gdb_points"))
        gdb = vm.gdb(connect=False)
        gdb("set remote memory-read-packet-size 64")
        gdb("set remote memory-read-packet-size fixed")
        gdb("set remote memory-write-packet-size 64")
        gdb("set remote memory-write-packet-size fixed")
        gdb(f"target remote {vm.where[0]}")
        data = os.urandom(5000)
        self.write("data", data)
        gdb("restore data binary 0x90000")
        gdb("dump binary memory copy 0x90000 0x91388")
        self.assertEqual(contents(self.path("copy")), data)


if __name__ == "__main__":
    main()
