"""Fifty debuggers at once on fifty machines, each doing what chance says, checked against a model of its machine."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from abuse import FACTOR, chance, done, main  # noqa: E402
from gdb_driver import elf  # noqa: E402
from hostile_debugger import Costs, HostileCase, symbols  # noqa: E402
from hypervisor import DEADLINE  # noqa: E402

MACHINES = 50
ROUNDS = 80 * FACTOR
PLACES = 100
SCRATCH, SCRATCH_SIZE = 0x60000, 256
RIP, RBX = 0x10, 0x01


def little(number):
    return number.to_bytes(8, "little").hex()


class Model:
    """
    What one machine has to be like: it is at one of the places of gdb_points, each of which is an instruction that
    counts. Every deed is a list of packets and the beginnings of their answers.
    """

    DEEDS = ("step", "run_to", "jump", "write", "read", "set_register", "read_register", "nonsense")

    def __init__(self, random, names):
        self.random, self.names = random, names
        self.place, self.count, self.rbx = 0, 0, 0
        self.memory = bytes(SCRATCH_SIZE)

    def address(self, place):
        return self.names[f"place_{place}"]

    def start(self):
        """Whatever the last debugger left is put right. KVM makes a thread of its own when a machine first runs."""
        return [("?", "T"), ("vCont;s", "T05"), *self.jump(), (f"P{RBX:x}={little(self.rbx)}", "OK"),
                (f"M{self.names['count']:x},8:{little(self.count)}", "OK"),
                (f"M{SCRATCH:x},{SCRATCH_SIZE:x}:{self.memory.hex()}", "OK")]

    def deed(self):
        return getattr(self, self.random.choice(self.DEEDS))() + self.check()

    def check(self):
        return [(f"p{RIP:x}", little(self.address(self.place))), (f"m{self.names['count']:x},8", little(self.count))]

    def room(self):
        return PLACES - 1 - self.place

    def step(self):
        steps = min(self.room(), self.random.randint(1, 3))
        self.place += steps
        self.count += steps
        return [("vCont;s", "T05")] * steps

    def run_to(self):
        if self.room() < 1:
            return self.jump()
        kind = self.random.randint(0, 1)
        to = self.random.randint(self.place + 1, PLACES - 1)
        self.count += to - self.place
        self.place = to
        return [(f"Z{kind},{self.address(to):x},1", "OK"), ("vCont;c", "T05"), (f"z{kind},{self.address(to):x},1", "OK")]

    def jump(self):
        self.place = self.random.randint(0, PLACES // 2)
        return [(f"P{RIP:x}={little(self.address(self.place))}", "OK")]

    def write(self):
        at = self.random.randint(0, SCRATCH_SIZE - 1)
        data = self.random.randbytes(self.random.randint(1, SCRATCH_SIZE - at))
        self.memory = self.memory[:at] + data + self.memory[at + len(data):]
        return [(f"M{SCRATCH + at:x},{len(data):x}:{data.hex()}", "OK")]

    def read(self):
        return [(f"m{SCRATCH:x},{SCRATCH_SIZE:x}", self.memory.hex())]

    def set_register(self):
        self.rbx = self.random.getrandbits(64)
        return [(f"P{RBX:x}={little(self.rbx)}", "OK")]

    def read_register(self):
        return [(f"p{RBX:x}", little(self.rbx))]

    def nonsense(self):
        return [self.random.choice((("vNonsense", ""), ("mzz,8", "E"), ("Z9,0,1", ""), ("m0,0", "E"), ("pffff", "E"),
                                    ("Hg777", "E"), ("vCont;x", "E")))]


class FiftyTest(HostileCase):
    def play_together(self, clients, deeds):
        """The packets of all, one of each at a time: all are at work before the first is asked for its answer."""
        for packets in zip(*self.padded(deeds)):
            for client, packet in zip(clients, packets):
                client.packet(packet[0])
            for number, (client, (packet, expected)) in enumerate(zip(clients, packets), 1):
                answer = client.wait_for_packet().decode("latin-1")
                client.send(b"+")  # else the same packet again would be a retransmission
                self.assertTrue(answer.startswith(expected) and (expected or not answer),
                                f"VM {number}: {packet}: {answer}, not {expected}")

    @staticmethod
    def padded(deeds):
        longest = max(map(len, deeds))
        return [deed + [("qC", "QC")] * (longest - len(deed)) for deed in deeds]

    def session(self, vm, models, rounds):
        clients = [self.hostile(vm, number) for number in range(1, MACHINES + 1)]
        self.play_together(clients, [model.start() for model in models])
        for _ in range(rounds):
            self.play_together(clients, [model.deed() for model in models])
        lost = vm.run.output.bytes["err"].count(b"connection is closed")
        for client in clients:
            client.close()
        vm.run.wait_for(lambda got: got.count(b"connection is closed") == lost + MACHINES, "err")
        return Costs(vm.run.process.pid)

    def await_descriptors(self, vm, wanted):
        """A connection's descriptor is closed right after the message that says so."""
        end = time.monotonic() + DEADLINE
        while (now := Costs(vm.run.process.pid).descriptors) > wanted:
            self.assertLess(time.monotonic(), end, f"{now} descriptors, not {wanted}")
            vm.run.output.pump(0)

    def test_each_machine_is_its_debuggers_alone(self):
        vm = self.offer([elf("gdb_points")] * MACHINES)
        names = symbols(elf("gdb_points"))
        random = chance(self)
        models = [Model(random, names) for _ in range(MACHINES)]
        first = self.session(vm, models, ROUNDS)
        last = self.session(vm, models, ROUNDS)
        self.await_descriptors(vm, first.descriptors)
        self.assertEqual(last.threads, first.threads)
        self.assertNoGrowth(first, last)
        self.assertEnds(vm)
        done(MACHINES * ROUNDS, "deeds of fifty debuggers at once")


if __name__ == "__main__":
    main()
