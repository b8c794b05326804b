"""Random packets, right and wrong, to real machines: whatever happens, the next debugger finds one it can work with."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from abuse import FACTOR, chance, done, main  # noqa: E402
from gdb_driver import Wire, elf  # noqa: E402
from hostile_debugger import Costs, HostileCase  # noqa: E402
from hypervisor import EXIT_CRASHED  # noqa: E402

SESSIONS = 400 * FACTOR
PACKETS = 60

INTERESTING = (0, 1, 0x3e, 0x40, 0xfff, 0x1000, 0x36c, 0x5c0, 0x1fffff, 0x200000, 0xffffff, 0x1000000, 0x1001000,
               0x1003000, 0x1009fff, 0x7fffffffffff, 0x800000000000, 0xffff800000000000, 0xfffffffffffffff8, 2**64 - 1)
FEATURES = ("swbreak+", "hwbreak+", "multiprocess+", "error-message+", "vContSupported+", "QStartNoAckMode+")
MONITOR = ("regs", "pt 0x1000", "map", "files", "stats", "phys on", "phys off", "reset", "help", "nonsense", "pt", "")
QUERIES = ("?", "!", "g", "qfThreadInfo", "qsThreadInfo", "qC", "vCtrlC", "QStartNoAckMode", "qAttached",
           "qqemu.PhyMemMode", "Qqemu.PhyMemMode:1", "Qqemu.PhyMemMode:0", "qXfer:features:read:target.xml:0,ffff",
           "qXfer:memory-map:read::0,fff", "qXfer:threads:read::10,20", "qXfer:exec-file:read:1:0,fff", "vMustReplyEmpty")


class Chance:
    """Packets by chance: most are right."""

    def __init__(self, random):
        self.random = random

    def number(self, limit=2**64):
        value = self.random.choice(INTERESTING) + self.random.choice((0, 0, 1, 8, -1))
        return value % limit if self.random.random() < 0.8 else self.random.getrandbits(64) % limit

    def address(self):
        return f"{self.number():x}"

    def read(self):
        return f"{self.random.choice('mx')}{self.address()},{self.number(0x20000):x}"

    def write(self):
        data = self.random.randbytes(self.random.randint(0, 64))
        return f"M{self.address()},{len(data):x}:{data.hex()}"

    def register(self):
        number = self.random.randint(0, 80)
        width = self.random.choice((4, 4, 8, 8, 8, 2, 10, 16))
        value = (self.number() % 2**(8 * width)).to_bytes(width, "little")
        return f"p{number:x}" if self.random.random() < 0.5 else f"P{number:x}={value.hex()}"

    def breakpoint(self):
        return f"{self.random.choice('ZZz')}{self.random.randint(0, 4)},{self.address()},{self.random.choice((1, 1, 2, 8, 64))}"

    def run(self):
        start = self.number()
        return self.random.choice(("vCont;c", "vCont;s", "vCont;s", "vCont;C0b", "vCont;t", "c", "s", "S05", "vCont;s:1;c",
                                   f"vCont;r{start:x},{start + 64:x}", f"s{start:x}", f"c{start:x}"))

    def query(self):
        return self.random.choice(QUERIES)

    def supported(self):
        return "qSupported:" + ";".join(self.random.sample(FEATURES, self.random.randint(0, 6)))

    def monitor(self):
        return "qRcmd," + self.random.choice(MONITOR).encode().hex()

    def search(self):
        return self.random.choice((f"qCRC:{self.address()},{self.number(0x10000):x}",
                                   f"qSearch:memory:{self.address()};{self.number(0x100000):x};\x0f\x0b"))

    def thread(self):
        return self.random.choice("HHT").replace("H", self.random.choice(("Hg", "Hc"))) + self.random.choice(
            ("0", "1", "-1", "2", "p1.1", "p1.-1", "p-1.-1", "pz"))

    def file(self):
        return self.random.choice(("vFile:setfs:0", "vFile:open:6e6f,0,0", "vFile:pread:0,40,0", "vFile:fstat:0",
                                   "vFile:close:0", "vFile:open:2f6574632f706173737764,0,0"))

    def start_again(self):
        return self.random.choice(("R00", "vRun;", "vAttach;1"))

    KINDS = ((read, 10), (write, 14), (register, 20), (breakpoint, 10), (run, 20), (query, 8), (supported, 1), (monitor, 3),
             (search, 3), (thread, 3), (file, 2), (start_again, 2))

    def packet(self):
        make, = self.random.choices(*zip(*self.KINDS))
        packet = bytearray(make(self).encode("latin-1"))
        if packet and self.random.random() < 0.1:
            packet[self.random.randrange(len(packet))] = self.random.getrandbits(8)
        return bytes(packet)

    def bytes(self):
        """What is sent for one packet: the frame, at times broken, with what may come between."""
        frame = Wire.frame(self.packet())
        fate = self.random.random()
        if fate < 0.03:
            frame = frame[:self.random.randrange(len(frame))]
        elif fate < 0.05:
            frame = self.random.randbytes(20)
        return frame + self.random.choice((b"", b"", b"+", b"-", b"\x03", b"\x03"))


class RandomTest(HostileCase):
    def play(self, vm, random):
        """A whole session, and how it ends. Answers are checked for their form as they come."""
        client = self.hostile(vm, small=random.random() < 0.2)
        by_chance = Chance(random)
        data = b"".join(by_chance.bytes() for _ in range(random.randint(1, PACKETS)))
        if random.random() < 0.5:
            client.send(data)
        else:
            for at in range(0, len(data), 100):
                client.send(data[at:at + 100])
        if random.random() < 0.8:  # else what was sent may be lost with the connection
            client.send(b"#00")  # the end of half a packet, if there is one
            answer = client.ask("vCont?")
            while answer is not None and not answer.startswith(b"vCont;"):
                answer = client.wait_for_packet()
        random.choice((client.reset, client.close))()

    def departures(self, vm):
        said = vm.run.output.bytes["err"]
        return said.count(b"connection is closed") + said.count(b"has left")

    def await_departure(self, vm, before):
        vm.run.wait_for(lambda _: self.departures(vm) > before, "err")

    def is_usable(self, vm):
        """
        A debugger comes and puts everything right. False when there is no machine left, because the last one killed it
        or let it run to its end.
        """
        try:
            client = self.hostile(vm)
        except ConnectionError:
            return False
        if client.ask("?") is None:
            return False
        client.packet("qRcmd," + b"reset".hex())
        while client.wait_for_packet() != b"OK":
            self.assertFalse(client.closed)
        self.assertEqual(client.ask("vAttach;1")[:3], b"T05")
        self.assertEqual(client.ask("vCont;s")[:3], b"T05")
        self.assertEqual(client.ask("m3d,1"), b"90")
        before = self.departures(vm)
        client.reset()
        self.await_departure(vm, before)
        return True

    def test_next_debugger(self):
        random = chance(self)
        vm, used = self.offer(elf("gdb_points"), "--gdb-hold"), 0
        for _ in range(SESSIONS):
            before = self.departures(vm)
            self.play(vm, random)
            self.await_departure(vm, before)
            if self.is_usable(vm):
                used += 1
                memory = Costs(vm.run.process.pid).memory
                self.assertLess(memory, 32768, "KB")
            else:
                self.assertIn(vm.run.finish().code, (0, EXIT_CRASHED))
                vm = self.offer(elf("gdb_points"), "--gdb-hold")
        self.assertGreater(used, SESSIONS // 4, "most sessions leave a machine")
        self.assertEnds(vm)
        done(SESSIONS, "random sessions with a real machine")

    def test_exit_status(self):
        """A machine that is killed when its debugger is lost ends with a status that the README knows."""
        random = chance(self)
        for session in range(SESSIONS // 10):
            with self.subTest(session=session):
                vm = self.offer(elf("gdb_points"), "--gdb-lost", "kill")
                self.play(vm, random)
                self.assertIn(vm.run.finish().code, (0, EXIT_CRASHED))


if __name__ == "__main__":
    main()
