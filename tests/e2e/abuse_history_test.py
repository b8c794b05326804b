"""
The past of guests made of chance is that of a machine that only ran in software, whichever processor ran them: they are
interrupted anywhere, and each place in their past is visited in any order.
"""

import hashlib
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import abuse  # noqa: E402
from gdb_driver import GdbCase  # noqa: E402
from hypervisor import ACCEL, MB, PATIENCE, SYSTEM_AREA  # noqa: E402
from random_guest import Guest  # noqa: E402

SHARE = 8  # guests
STOPS = 3
VISITS = 4
WAIT = 0.03  # seconds that a guest runs, at most
SYSTEM_AREA_SIZE = 0xa000
PIECE = 0x8000
CORE, X87_CONTROL, XMM = 164, 244, 276  # in the answer to g; behind it are xmm0 to xmm15 and mxcsr
XMM_END = XMM + 16 * 16 + 4


class Machine:
    """A machine with a history, driven packet by packet."""

    def __init__(self, case, image, input):
        self.case = case
        self.vm = case.offer(image)
        self.vm.run.send(input)
        self.wire = self.vm.wire()
        self.wire.ask("qSupported:swbreak+;hwbreak+;error-message+")

    def monitor(self, command):
        self.wire.send("qRcmd," + command.encode().hex())
        said = self.wire.stop()
        self.case.assertEqual(said, "OK", (command, self.wire.console))
        return self.wire.console.decode()

    def position(self):
        said = self.monitor("when")
        self.case.assertRegex(said, r"^instruction \d+")
        return int(re.match(r"instruction (\d+)", said)[1])

    def run_for(self, seconds):
        """Interrupt it after some time, or when it printed something."""
        while self.vm.run.output.pump(0):
            pass
        self.wire.send("vCont;c")
        self.vm.run.output.pump(seconds)
        self.wire.send_raw(b"\x03")
        self.case.assertRegex(self.wire.stop(), "^T02")

    def step(self, packet):
        self.wire.send(packet)
        return self.wire.stop()[:3]

    def state(self):
        """Memory, registers but for what KVM has in its own way."""
        registers = bytes.fromhex(self.wire.ask("g").replace("x", "0"))
        self.monitor("phys on")
        pages = [hashlib.sha256(self.wire.ask(f"m{at:x},{min(PIECE, start + size - at):x}").encode()).hexdigest()
                 for start, size in ((0, 2 * MB), (SYSTEM_AREA, SYSTEM_AREA_SIZE))
                 for at in range(start, start + size, PIECE)]
        self.monitor("phys off")
        return {"registers": registers[:X87_CONTROL].hex(), "xmm": registers[XMM:XMM_END].hex(),
                "regs": self.monitor("regs"), "memory": pages}


class HistoryTest(GdbCase):
    def assertSame(self, one, other, where):
        first, second = one.state(), other.state()
        for name in first:
            self.assertEqual(first[name], second[name], f"{name} {where}")

    def step_both(self, one, other, packet, where):
        self.assertEqual(one.step(packet), other.step(packet))
        self.assertSame(one, other, where)

    def visit(self, one, other, where):
        for machine in (one, other):
            machine.monitor(f"goto {where}")
        self.assertEqual((one.position(), other.position()), (where, where))
        self.assertSame(one, other, f"at {where}")
        self.step_both(one, other, "bs", f"before {where}")

    def test_random_guests(self):
        chance = abuse.chance(self)
        places = 0
        for number in range(max(1, SHARE * abuse.FACTOR // PATIENCE)):
            image, input = Guest(chance).image, chance.randbytes(50000)
            # each has its own files, below its name
            machine, software = (Machine(self, self.write(f"{name}{number}.img", image), input)
                                 for name in ("machine", "software"))
            software.monitor("catch fault 31")  # what only software can report keeps it there
            for _ in range(STOPS):
                machine.run_for(chance.random() * WAIT)
                end = machine.position()
                while software.position() <= end:
                    software.run_for(WAIT)
                software.monitor(f"goto {end}")
                # KVM may have stopped before a string instruction that has nothing to do any more: compare behind it
                self.step_both(machine, software, "vCont;s:1", f"behind {end}")
                for where in (chance.randrange(end) for _ in range(VISITS if end > 0 else 0)):
                    self.visit(machine, software, where)
                for each in (machine, software):
                    each.monitor("goto end")
                places += 1 + 2 * VISITS
            for each in (machine, software):
                each.wire.close()
                each.vm.run.close()
        abuse.done(places, f"places in the past of random guests on {ACCEL}")


if __name__ == "__main__":
    abuse.main()
