"""Debuggers that send hundreds of megabytes, and ones that are gone from one moment to the next."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from abuse import FACTOR, chance, done, main  # noqa: E402
from gdb_driver import Wire, elf  # noqa: E402
from hostile_debugger import Costs, Hostile, HostileCase, symbols  # noqa: E402
from hypervisor import MB  # noqa: E402

FLOOD = 64 * MB * FACTOR


class FloodTest(HostileCase):
    """However much is sent, the program needs no more memory for it, and serves the next packet."""

    def check_flood(self, first, block, last):
        vm = self.offer([elf("gdb_points")] * 2)
        client = self.hostile(vm)
        self.assertEqual(client.ask("?")[:1], b"T")
        before = Costs(vm.run.process.pid)
        client.send(first)
        for _ in range(FLOOD // len(block)):
            self.assertTrue(client.send(block), "the connection is still there")
            client.frames.packets.clear()
        self.assertServed(vm, 2)
        after = Costs(vm.run.process.pid)
        self.assertNoGrowth(before, after)
        client.send(last)
        client.packet("qC")
        answer = client.wait_for_packet()
        while answer != b"QC1":
            self.assertIsNotNone(answer)
            answer = client.wait_for_packet()
        self.assertEnds(vm)
        done(FLOOD // MB, "megabytes of flood")

    def test_garbage(self):
        random = chance(self)
        garbage = bytes(byte for byte in random.randbytes(MB) if byte not in b"$-\x03")
        self.check_flood(b"", garbage, b"")

    def test_a_packet_without_end(self):
        self.check_flood(b"$X0,ffffffff:", b"a" * MB, b"#00")

    def test_packets_that_are_no_commands(self):
        self.check_flood(b"", Wire.frame(b"vNonsense;" + b"a" * 100000) * 10, b"")

    def test_packets_with_wrong_checksums(self):
        self.check_flood(b"", b"$" + b"a" * 4096 + b"#00" + b"-", b"")

    def test_does_not_outlast_the_end(self):
        """The program ends although the debugger sends requests and reads replies without a pause."""
        for packet in ("g", "m0,40", "vCont;s", "qRcmd," + b"regs".hex()):
            vm = self.offer(elf("gdb_points"))
            client = self.hostile(vm)
            block = Wire.frame(packet) * 1000
            client.send(block)
            self.assertTrue(client.wait_for_packet())
            vm.run.process.terminate()
            while client.send(block):
                client.frames.packets.clear()
            self.assertEnds(vm)


DOWNLOAD = Wire.frame(b"X50000,8000:" + b"d" * 0x8000)


class VanishTest(HostileCase):
    """A debugger is reset in the middle of what it was doing: the machine does what --gdb-lost says."""

    MOMENTS = {
        "silent": b"",
        "in the middle of a packet": b"$m0,4",
        "with an answer unread": Wire.frame("m0,10000"),
        "in a step": Wire.frame("vCont;s"),
        "in many steps": Wire.frame("vCont;s") * 500,
        "in a step over a range": Wire.frame("vCont;r0,1000"),
        "while the guest runs": Wire.frame("vCont;c"),
        "while the guest runs, with half a packet": Wire.frame("vCont;c") + b"$vCo",
        "with an interrupt under way": Wire.frame("vCont;c") + b"\x03",
        "in a download": DOWNLOAD * 3 + DOWNLOAD[:20000],
        "with breakpoints set": b"".join(Wire.frame(f"Z0,{at:x},1") for at in range(0x100, 0x120)),
        "watching memory": Wire.frame("Z2,5c0,8") + Wire.frame("vCont;c"),
        "in a search": Wire.frame("qSearch:memory:0;200000;nowhere") * 20,
        "in monitor": Wire.frame("qRcmd," + b"map".hex()) * 20,
        "in a restart": Wire.frame("R00") * 5,
        "with files open": Wire.frame("vFile:open:2f6e6f,0,0") * 20,
        "in the negotiation": Wire.frame("qSupported:swbreak+") + Wire.frame("QStartNoAckMode") + b"+",
    }

    def setUp(self):
        super().setUp()
        self.spins, self.spin = (symbols(elf("gdb_points"))[name] for name in ("spins", "spin"))

    def connect_and_spin(self, vm):
        """A debugger whose guest, if it lets it run, counts `spins` for ever."""
        client = self.hostile(vm)
        self.assertEqual(client.ask("?")[:1], b"T")
        self.assertEqual(client.ask(f"P10={self.spin.to_bytes(8, 'little').hex()}"), b"OK")
        return client

    def count(self, client):
        return int.from_bytes(bytes.fromhex(client.ask(f"m{self.spins:x},8").decode()), "little")

    def vanish(self, vm, data):
        client = self.connect_and_spin(vm)
        lost = vm.run.output.bytes["err"].count(b"connection is closed")
        client.send(data)
        client.reset()
        vm.run.wait_for(lambda got: got.count(b"connection is closed") > lost, "err")

    def test_stopped(self):
        vm = self.offer(elf("gdb_points"))
        random = chance(self)
        for moment, data in list(self.MOMENTS.items()) * (2 * FACTOR):
            sent = random.choice((len(data), random.randint(0, len(data))))
            with self.subTest(moment, sent=sent):
                self.vanish(vm, data[:sent])
                client = self.connect_and_spin(vm)
                before = self.count(client)
                client.reset()
                again = self.connect_and_spin(vm)
                self.assertEqual(self.count(again), before, "it stands still")
                self.assertEqual(again.ask("vCont;s")[:3], b"T05")
                again.reset()
        self.assertEnds(vm)
        done(2 * FACTOR * len(self.MOMENTS), "debuggers that vanished")

    def test_continued(self):
        vm = self.offer(elf("gdb_points"), "--gdb-lost", "continue")
        for moment, data in self.MOMENTS.items():
            with self.subTest(moment):
                self.vanish(vm, data)
                client = self.hostile(vm)
                self.assertEqual(client.ask("?")[:1], b"T")
                if not moment.endswith("restart"):
                    self.assertEqual(client.ask("qAttached"), b"1", "it was found running")
                client.reset()
        self.assertEnds(vm)

    def test_killed(self):
        for moment, data in self.MOMENTS.items():
            with self.subTest(moment):
                vm = self.offer(elf("gdb_points"), "--gdb-lost", "kill")
                self.vanish(vm, data)
                result = vm.run.finish()
                self.assertEqual((result.code, result.out), (0, b""))


if __name__ == "__main__":
    main()
