"""
Nothing of the processor's state gets lost while a debugger steps, continues, and goes back to snapshots: under auto the
state moves from KVM to software and back each time. The guest `moves` looks at all of it itself.
"""

import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import GdbCase, elf  # noqa: E402
from hypervisor import ACCEL, PATIENCE, has_kvm, main  # noqa: E402

ROUNDS = 300
SPOTS = [f"spot_{i}" for i in range(1, 6)] + [f"kernel_spot_{i}" for i in range(1, 4)]


class MovesTest(GdbCase):
    def setUp(self):
        super().setUp()
        self.vm = self.offer(elf("moves"), "--stats", "--no-history")
        gdb = self.vm.gdb()
        self.spots = [gdb.value("&" + spot) for spot in SPOTS]
        gdb.kill()
        self.wire = self.vm.wire()
        self.wire.ask("qSupported:swbreak+;hwbreak+;error-message+")

    def monitor(self, command):
        self.wire.send("qRcmd," + command.encode().hex())
        self.assertEqual(self.wire.stop(), "OK", (command, self.wire.console))
        return self.wire.console

    def resume(self, how):
        self.wire.send(f"vCont;{how}:1")
        reply = self.wire.stop()
        self.assertTrue(reply.startswith("T"), reply)
        return reply

    def step(self, chance):
        for _ in range(chance.choice((1, 1, 2, 5, 30))):
            self.resume("s")

    def to_a_port(self, chance):
        """KVM does this, also where it cannot hold breakpoints."""
        self.monitor("catch out 0xe9")
        self.resume("c")
        self.monitor("uncatch")

    def to_a_breakpoint(self, chance):
        point = f"{chance.choice((0, 1))},{chance.choice(self.spots):x},1"
        self.assertEqual(self.wire.ask("Z" + point), "OK")
        self.resume("c")
        self.assertEqual(self.wire.ask("z" + point), "OK")

    def registers(self, chance):
        """Read, and written as they were."""
        self.assertEqual(self.wire.ask("G" + self.wire.ask("g")), "OK")

    def snapshot(self, chance):
        self.monitor("snapshot here")
        self.to_a_port(chance)
        self.step(chance)
        self.monitor("restore here")

    def output(self):
        """All that was printed; at a stop it is all in the pipe."""
        while self.vm.run.output.pump(0) and "out" in self.vm.run.output.fds:
            pass
        return self.vm.out

    def test_alternation(self):
        chance = random.Random(7)
        kinds = (self.step, self.step, self.to_a_port, self.to_a_port, self.to_a_breakpoint, self.registers, self.snapshot)
        done = []
        for _ in range(120 // PATIENCE):
            kind = chance.choice(kinds)
            kind(chance)
            done.append(kind.__name__)
            printed = self.output()
            self.assertEqual(printed.strip(b"."), b"", f"after {done}")
        self.assertGreater(len(printed), 20 // PATIENCE - 1)
        self.monitor("catch out 0xe9")
        self.resume("c")
        moves = int((self.monitor("stats").split(b"moved ") + [b"0"])[1].split()[0])
        self.assertGreater(moves, 20 // PATIENCE if ACCEL != "soft" and has_kvm() else -1)
        self.wire.send("D;1")
        self.assertEqual(self.wire.receive(), b"OK")
        result = self.check(self.vm.run.finish(), 0)
        self.assertEqual(result.out.strip(b"."), b"")


class AloneTest(GdbCase):
    def test_alone(self):
        self.check(self.run_vm("-g", elf("moves")), 0, b"." * ROUNDS, "")


if __name__ == "__main__":
    main()
