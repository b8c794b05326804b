"""Whatever an image holds, the program comes to its end and says what became of each guest."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import abuse  # noqa: E402
import evil  # noqa: E402
from hypervisor import DEADLINE, EXIT_CRASHED, EXIT_TIMEOUT, Case, command, contents, guest  # noqa: E402
from hypervisor import sample, sample_source  # noqa: E402

SHARE = 400  # images of each kind
BATCH = 40   # of them in one process
TIMEOUT = "0.25"

SAMPLES = ("compute", "crash", "echo", "fibonacci", "files", "hello", "paging", "primes", "seed", "usermode")
GUESTS = ("bytes", "cat", "faults", "gdb_steps", "handlers", "interrupts", "keys", "monitor", "state", "strings")

MESSAGE = re.compile(r"mini_hypervisor: VM (\d+) \([^)]*\): (.*)")
NOTICE = re.compile(r"no device is at port 0x|the (serial|file) port |(a|the) 32-bit OUT |halted without using a port")
TIMED_OUT = re.compile(r"not even started after [0-9.]+ s, ended|still running after [0-9.]+ s, ended; it was interrupted at rip 0x[0-9a-f]{16}")
CRASHED = re.compile(r"[A-Za-z0-9 -]+( \(#[A-Z]{2}\))?, vector \d+, at rip 0x[0-9a-f]{16}.*; the guest has no handler for it"
                     r"|the entry point returned; "
                     r"|triple fault: "
                     r"|(read of|write to) physical address 0x[0-9a-f]+, where the machine has no memory, near rip"
                     r"|(.*, vector \d+, after )?the guest (leaves|left) 64-bit mode, which the machine does not support"
                     r"|this KVM cannot execute the instruction"
                     r"|the processor refuses the guest's state")


class GuestsTest(Case):
    def endings(self, messages):
        """What became of each machine that did not halt: lists of TIMED_OUT or CRASHED, by number."""
        endings = {}
        for line in messages.splitlines():
            if line.startswith("  "):
                continue
            said = MESSAGE.fullmatch(line)
            self.assertTrue(said, "a line from no machine: " + line)
            kinds = [kind for kind in (TIMED_OUT, CRASHED) if kind.match(said[2])]
            self.assertTrue(kinds or NOTICE.match(said[2]), "an ending without a name: " + line)
            endings.setdefault(int(said[1]), []).extend(kinds)
        return {number: kinds for number, kinds in endings.items() if kinds}

    def check_run(self, code, messages):
        endings = self.endings(messages)
        for number, kinds in endings.items():
            self.assertEqual(len(kinds), 1, f"VM {number} ended more than once")
        kinds = [kind for kinds in endings.values() for kind in kinds]
        wanted = EXIT_TIMEOUT if TIMED_OUT in kinds else EXIT_CRASHED if CRASHED in kinds else 0
        self.assertEqual(code, wanted)

    def run_batch(self, batch):
        number, images = batch
        directory = self.path(str(number))
        os.mkdir(directory)
        names = [f"{i}.img" for i in range(len(images))]
        for name, image in zip(names, images):
            with open(os.path.join(directory, name), "wb") as file:
                file.write(image)
        arguments = ["-g", *names, "-f", sample_source("files", "notes.txt"), "--timeout", TIMEOUT, "--serial", "null",
                     "--max-written", "1"]
        with open(os.path.join(directory, "messages"), "wb+") as messages:
            code = subprocess.run(command(arguments), stdin=subprocess.DEVNULL, stderr=messages, cwd=directory,
                                  timeout=DEADLINE).returncode
            messages.seek(0)
            try:
                self.check_run(code, messages.read().decode(errors="replace"))
            except AssertionError as failure:
                kept = tempfile.mkdtemp(prefix="mh-abuse-")
                shutil.copytree(directory, kept, dirs_exist_ok=True)
                raise AssertionError(f"{failure}\nexit {code}, kept in {kept}: {' '.join(arguments)}") from None
        shutil.rmtree(directory)

    def abuse(self, what, make):
        """Run as many images as are due, several processes at once."""
        chance = abuse.chance(self)
        abuse.each(((number, [make(chance) for _ in range(BATCH)]) for number in range(SHARE * abuse.FACTOR // BATCH)),
                   self.run_batch)
        abuse.done(SHARE * abuse.FACTOR, what)

    def test_every_port_at_every_width(self):
        result = self.check(self.run_vm("-g", guest("ports")), 0, b"all ports\n")
        self.assertEqual(self.endings(result.messages), {})

    def held_by(self, run):
        """How many descriptors and threads the process has."""
        return [len(os.listdir(f"/proc/{run.process.pid}/{what}")) for what in ("fd", "task")]

    def test_what_ended_leaves_nothing_behind(self):
        """While one machine runs, the process uses no more memory than if it were alone."""
        notes = ("-f", sample_source("files", "notes.txt"))
        endings = [sample("files"), sample("crash"), self.write("returns.img", b"\xc3"),
                   self.write("triple.img", b"\x0f\x01\x1c\x25\x20\0\0\0\x0f\x0b")]  # lidt 0x20; ud2
        alone = self.start("-g", guest("spin"), *notes)
        alone.wait_for(b"a line")
        wanted = self.held_by(alone)
        alone.close()
        run = self.start("-g", guest("spin"), *endings * 50, *notes, "--serial", "null")
        run.wait_for(lambda got: got.count(b"; the guest has no handler") == 50, "err")
        end = time.monotonic() + DEADLINE
        while self.held_by(run) != wanted:
            self.assertLess(time.monotonic(), end, f"{self.held_by(run)} descriptors and threads, not {wanted}")
            run.output.pump(0)

    def test_random_images(self):
        self.abuse("random images", evil.random_bytes)

    def test_mutated_samples(self):
        images = [contents(sample(name)) for name in SAMPLES] + [contents(guest(name)) for name in GUESTS]
        self.abuse("mutated samples", lambda chance: evil.mutated(chance, chance.choice(images)))

    def test_evil_instructions(self):
        self.abuse("images of evil instructions", evil.evil)

    def test_evil_instructions_that_are_survived(self):
        survivor = contents(guest("survivor"))
        self.abuse("images that survive evil instructions", lambda chance: evil.stubborn(chance, survivor))


if __name__ == "__main__":
    abuse.main()
