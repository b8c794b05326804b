"""Debuggers that send nothing, half a packet, a byte now and then, do not read or ask for what never ends."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from abuse import done, main  # noqa: E402
from gdb_driver import Wire, elf  # noqa: E402
from hostile_debugger import Costs, Hostile, HostileCase  # noqa: E402
from hypervisor import EXIT_TIMEOUT  # noqa: E402

HALVES = [b"", b"$", b"$m0", b"$m0,10#", b"$X0,1000:abc}", b"+$vCont;c", b"-", b"$" * 5000]


class SilenceTest(HostileCase):
    def test_half_a_packet_holds_up_nobody_else(self):
        for half in HALVES:
            vm = self.offer([elf("gdb_points")] * 2)
            self.hostile(vm).send(half)
            self.assertServed(vm, 2)
            self.assertIn("another debugger", vm.wire(1).ask("?"))
            self.assertEnds(vm)
        done(len(HALVES), "debuggers that stopped in the middle of a packet")

    def test_half_a_packet_does_not_stop_the_guest(self):
        for half in HALVES[:-2]:
            vm = self.offer(elf("gdb_points"))
            self.hostile(vm).send(Wire.frame("vCont;c") + half)
            result = vm.run.finish()
            self.assertEqual((result.code, result.out), (0, b"done\n"), half)

    def test_half_a_packet_does_not_outlast_the_timeout(self):
        for half in HALVES:
            vm = self.offer(elf("gdb_points"), "--timeout", 1)
            self.hostile(vm).send(half)
            self.assertEqual(vm.run.finish().code, EXIT_TIMEOUT, half)

    def test_a_byte_now_and_then(self):
        """Between any two bytes of one debugger, another one does a whole session."""
        vm = self.offer([elf("gdb_points")] * 2)
        slow = self.hostile(vm)
        for byte in b"+" + Wire.frame("m0,8") + b"+":
            slow.send(bytes([byte]))
            self.assertServed(vm, 2)
        self.assertEqual(len(slow.wait_for_packet()), 16)
        self.assertEnds(vm)


class NotReadingTest(HostileCase):
    """A debugger that asks and does not take the answers."""

    def check_stuffed(self, packets, *arguments):
        vm = self.offer([elf("gdb_points")] * 2, *arguments)
        client = self.hostile(vm, small=True)
        before = Costs(vm.run.process.pid)
        sent = client.stuff(b"".join(Wire.frame(packet) for packet in packets))
        after = Costs(vm.run.process.pid)
        self.assertNoGrowth(before, after, f"after {sent} bytes")
        return vm

    def check_held_up(self, *packets):
        vm = self.check_stuffed(packets)
        self.assertServed(vm, 2)
        self.assertEnds(vm)

    def test_memory(self):
        self.check_held_up("m0,10000", "x0,10000")

    def test_descriptions(self):
        self.check_held_up("qXfer:features:read:target.xml:0,ffff", "qXfer:memory-map:read::0,fff")

    def test_monitor(self):
        self.check_held_up("qRcmd," + b"regs".hex(), "qRcmd," + b"map".hex(), "qRcmd,")

    def test_steps(self):
        self.check_held_up("vCont;s")

    def test_timeout(self):
        vm = self.offer(elf("gdb_points"), "--timeout", "1")
        self.hostile(vm, small=True).stuff(b"".join(Wire.frame("g") for _ in range(100)))
        self.assertEqual(vm.run.finish().code, EXIT_TIMEOUT)

    def test_the_seat_is_free_when_it_has_gone(self):
        vm = self.offer(elf("gdb_points"))
        client = self.hostile(vm, small=True)
        client.stuff(Wire.frame("m0,10000"))
        client.reset()
        vm.run.wait_for(b"connection is closed", "err")
        self.assertServed(vm)
        self.assertEnds(vm)


class EndlessTest(HostileCase):
    """Packets whose work never ends: the debugger has made page tables that map everything, to themselves."""

    def endless(self, packet):
        vm = self.offer([elf("gdb_points")] * 2)
        client = self.hostile(vm)
        self.assertEqual(client.ask("Qqemu.PhyMemMode:1"), b"OK")
        self.assertEqual(client.ask("M1000000,1000:" + "0700000100000000" * 512), b"OK")
        self.assertEqual(client.ask("Qqemu.PhyMemMode:0"), b"OK")
        self.assertEqual(client.ask("m7fffffffff00,8"), b"0700000100000000")
        client.packet(packet)
        return vm, client

    def test_does_not_outlast_the_end(self):
        for packet in ("qCRC:0,7fffffffffff", "qSearch:memory:0;7fffffffffff;nowhere"):
            vm, _ = self.endless(packet)
            self.assertServed(vm, 2)
            self.assertEnds(vm)

    def test_ends_with_its_debugger(self):
        for packet in ("qCRC:0,7fffffffffff", "qSearch:memory:0;7fffffffffff;nowhere"):
            for vanish in (Hostile.close, Hostile.reset):
                vm, client = self.endless(packet)
                self.assertIn("another debugger", vm.wire(1).ask("?"))
                vanish(client)
                vm.run.wait_for(b"connection is closed", "err")
                self.assertEqual(self.hostile(vm).ask("?")[:1], b"T")
                self.assertEnds(vm)

    def test_map_comes_to_an_end(self):
        vm, client = self.endless("qRcmd," + b"map".hex())
        answer = client.wait_for_packet()
        while answer.startswith(b"O") and answer != b"OK":
            answer = client.wait_for_packet()
        self.assertEqual(answer, b"OK")
        self.assertEnds(vm)


if __name__ == "__main__":
    main()
