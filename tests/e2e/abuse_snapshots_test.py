"""
Snapshots are exact: samples and guests made of chance run from random points, by random steps and breakpoints, and again
from a snapshot of each point. Every stop, register, page of memory, byte of output and own file has to be the same.
"""

import hashlib
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import abuse  # noqa: E402
from gdb_driver import GdbCase  # noqa: E402
from hypervisor import ACCEL, DEADLINE, MB, PATIENCE, SYSTEM_AREA, contents, sample, sample_source  # noqa: E402
from random_guest import DATA, Guest  # noqa: E402

SYSTEM_AREA_SIZE = 0xa000
PIECE = 0x8000


class Recorder:
    """A machine that is driven packet by packet, and what is seen of it."""

    def __init__(self, case, image, *arguments, input=b""):
        self.case = case
        self.vm = case.offer(image, "--gdb-hold", *arguments)
        self.vm.run.send(input)
        self.wire = self.vm.wire()
        self.wire.ask("qSupported:swbreak+;hwbreak+;error-message+")
        self.ended = False
        self.had_ended = {}  # at each snapshot

    def monitor(self, command):
        self.wire.send("qRcmd," + command.encode().hex())
        said = self.wire.stop()
        self.case.assertEqual(said, "OK", (command, self.wire.console))
        return self.wire.console

    def output(self):
        """All that was printed; at a stop it is all in the pipe."""
        while self.vm.run.output.pump(0) and "out" in self.vm.run.output.fds:
            pass
        return self.vm.out

    def step_off(self, points):
        """What gdb does: a point at which the machine stands is stepped off before it is set. False at the end."""
        rip = int.from_bytes(bytes.fromhex(self.wire.ask("p10")), "little")
        if not any(point.startswith(f"0,{rip:x},") for point in points):
            return True
        self.wire.send("vCont;s:1")
        return self.wire.stop().startswith("T05")

    def act(self, action):
        """Do one thing; what can be seen then."""
        resume, *points = action
        if not self.step_off(points):
            self.ended = True
            return None, self.wire.console, self.wire.ask("g")
        for point in points:
            self.case.assertEqual(self.wire.ask("Z" + point), "OK")
        self.wire.send(f"vCont;{resume}:1")
        stop = self.wire.stop()
        for point in points:
            self.case.assertEqual(self.wire.ask("z" + point), "OK")
        self.ended = not stop.startswith("T05") or b"halted" in self.wire.console
        return stop, self.wire.console, self.wire.ask("g")

    def run(self, actions):
        """Do all of it, up to the guest's end; what was seen, and how it looks in the end."""
        printed = len(self.output())
        seen = []
        for action in actions:
            if self.ended:
                break
            seen.append(self.act(action))
        return seen, self.output()[printed:], self.everything()

    def memory(self):
        self.monitor("phys on")
        pages = []
        for start, size in ((0, 2 * MB), (SYSTEM_AREA, SYSTEM_AREA_SIZE)):
            for at in range(start, start + size, PIECE):
                data = self.wire.ask(f"m{at:x},{min(PIECE, start + size - at):x}")
                pages.append(hashlib.sha256(data.encode()).hexdigest())
        self.monitor("phys off")
        return pages

    def files(self):
        told = self.monitor("files").decode()
        own = told.partition(" bytes written\n")[0]  # open files follow
        names = [line.split()[1] for line in own.splitlines()[1:-1]]
        directory = self.case.path("vm-files", told.split()[3].rstrip(":").split("/")[-1])
        return told, {name: contents(os.path.join(directory, name)) for name in names}

    def everything(self):
        # only software counts, and which processor runs is no part of a snapshot
        special = self.monitor("regs") if ACCEL == "soft" else re.sub(rb", instruction \d+", b"", self.monitor("regs"))
        return {"registers": self.wire.ask("g"), "special": special, "memory": self.memory(),
                "files": self.files()}

    def snapshot(self, name):
        self.monitor("snapshot " + name)
        self.had_ended[name] = self.ended

    def restore(self, name):
        self.monitor("restore " + name)
        self.ended = self.had_ended[name]


SAMPLES = ("hello", "echo", "files", "primes", "fibonacci", "paging", "crash", "usermode")


class ExactTest(GdbCase):
    keeps_history = False  # with one, a snapshot in it is a place in the past
    def compare(self, first, second, what):
        """Two runs; the first difference is reported, not everything that they contain."""
        for number, (one, other) in enumerate(zip(first[0], second[0])):
            self.assertEqual(one, other, f"{what}: after {number} actions")
        self.assertEqual(len(first[0]), len(second[0]), what)
        self.assertEqual(first[1], second[1], f"{what}: the output")
        for name in first[2]:
            self.assertEqual(first[2][name], second[2][name], f"{what}: {name}")

    def actions(self, chance, points, count):
        made = []
        for _ in range(count):
            kind = chance.choice(("step", "run", "far", "watch")) if points else "step"
            point = f"0,{chance.choice(points):x},1" if points else ""
            if kind == "step":
                made += [("s",)] * chance.randrange(1, 30)
            elif kind == "watch":
                made.append(("c", point, f"2,{DATA + 8 * chance.randrange(0x2000):x},8"))
            else:
                made += [("c", point)] * (1 if kind == "run" else 20)
        return made

    def spoil(self, recorder, chance):
        """What the debugger did meanwhile is undone as well."""
        wire = recorder.wire
        for _ in range(chance.randrange(5)):
            wire.ask(f"M{chance.randrange(0x80000, 2 * MB - 8):x},8:{chance.randbytes(8).hex()}")
        wire.ask("P0=" + chance.randbytes(8).hex())

    def check(self, recorder, chance, points, what):
        """From a random point: there and back again, from the middle too, and after something else went on."""
        recorder.run(self.actions(chance, points, chance.randrange(6)))
        if recorder.ended:
            return 0
        recorder.snapshot("start")
        before = recorder.everything()
        first, second = (self.actions(chance, points, chance.randrange(1, 8)) for _ in range(2))
        runs = [recorder.run(first)]
        recorder.snapshot("middle")
        runs.append(recorder.run(second))
        self.spoil(recorder, chance)
        for name, at in (("middle", 1), ("start", 0), ("middle", 1)):
            recorder.restore(name)
            if name == "start":
                self.compare(([], b"", before), ([], b"", recorder.everything()), f"{what}, restored")
            again = recorder.run((first, second)[at])
            self.compare(runs[at], again, f"{what}, from {name}")
        return 3

    def test_random_guests(self):
        chance = abuse.chance(self)
        done = 0
        for number in range(max(1, 4 * abuse.FACTOR // PATIENCE)):
            guest = Guest(chance)
            image = self.write("random.img", guest.image)
            recorder = Recorder(self, image, "-p", chance.choice([2, 4]), input=chance.randbytes(20000))
            for _ in range(2):
                done += self.check(recorder, chance, guest.points, f"guest {number}")
            recorder.vm.run.close()
        abuse.done(done, "runs of random guests repeated from snapshots")

    def test_samples(self):
        chance = abuse.chance(self)
        done = 0
        for name in chance.sample(SAMPLES, max(1, len(SAMPLES) // PATIENCE)):
            for _ in range(abuse.FACTOR):
                recorder = Recorder(self, sample(name), "-f", sample_source("files", "notes.txt"), input=b"some words\n" * 9)
                recorder.vm.run.process.stdin.close()
                done += self.check(recorder, chance, [], name)
                recorder.restore("start") if recorder.ended else None
                done += self.to_the_end(recorder, name)
                recorder.vm.run.close()
        abuse.done(done, "runs of samples repeated from snapshots")

    def to_the_end(self, recorder, what):
        recorder.snapshot("start")
        runs = []
        for _ in range(2):
            runs.append(recorder.run([("c",)]))
            recorder.restore("start")
        self.compare(*runs, f"{what}, to its end")
        return 1


if __name__ == "__main__":
    abuse.main()
