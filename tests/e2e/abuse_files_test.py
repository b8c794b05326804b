"""Guests that abuse the file port: what they get is what the model says, whatever they and the host do."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import abuse  # noqa: E402
from hypervisor import Case, contents, guest  # noqa: E402

SHARE = 4  # games of 60 calls


def fnv1a(data):
    value = 0x811c9dc5
    for byte in data:
        value = (value ^ byte) * 0x01000193 & 0xffffffff
    return value


class FilesTest(Case):
    def play(self, seed):
        """One game, in a directory of its own. What the guest says of its files is what is there."""
        directory = self.path(str(seed))
        os.mkdir(directory)
        result = self.run_vm("-m", 8, "-g", guest("file_fuzz"), "-f", self.path("notes.txt"), "--max-written", 1,
                             input=seed.to_bytes(8, "little"), cwd=directory)
        self.check(result, 0)
        own = os.path.join(directory, "vm-files", "1-file_fuzz")
        there = [f"{name} {len(data)} {fnv1a(data)}" for name in (os.listdir(own) if os.path.exists(own) else [])
                 for data in [contents(os.path.join(own, name))]]
        self.assertEqual(sorted(result.out.decode().splitlines()), sorted(there), f"seed {seed}")

    def test_every_call_does_as_the_model_says(self):
        self.write("notes.txt", b"these notes belong to everybody")
        chance = abuse.chance(self)
        abuse.each([chance.getrandbits(64) for _ in range(SHARE * abuse.FACTOR)], self.play)
        abuse.done(SHARE * abuse.FACTOR, "games of guests with the file port")


if __name__ == "__main__":
    abuse.main()
