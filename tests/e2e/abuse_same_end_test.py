"""
Guests made of chance come to the same end on every processor: with the same status, the same output and the same files.
On software alone, two runs are compared: nothing but the input decides what a guest does.
"""

import os
import re
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import abuse  # noqa: E402
import evil  # noqa: E402
from hypervisor import ACCEL, Case, contents, sample_source  # noqa: E402
from random_guest import Guest  # noqa: E402

SHARE = int(os.environ.get("MH_SAME_END", "60"))  # guests of each kind
TIMEOUT = "20"


class SameEndTest(Case):
    def run_on(self, accel, number, data):
        """Status, output, messages, and files as the guest left them."""
        directory = self.path(f"{number}-{accel[0]}")
        os.mkdir(directory)
        result = self.run_vm("-g", self.path(f"{number}.img"), "-f", sample_source("files", "notes.txt"), "--accel",
                             accel[1], "--timeout", TIMEOUT, input=data, cwd=directory)
        files = {}
        for where, _, names in os.walk(os.path.join(directory, "vm-files")):
            files.update({name: contents(os.path.join(where, name)) for name in names})
        shutil.rmtree(directory)
        return result.code, result.out, result.messages, files

    def run_both(self, number, image, data):
        self.write(f"{number}.img", image)
        return [self.run_on(accel, number, data) for accel in (("first", "soft"), ("second", ACCEL))]

    def test_random_guests(self):
        chance = abuse.chance(self)

        def compare(made):
            number, image, data = made
            first, second = self.run_both(number, image, data)
            self.assertEqual(first, second, f"guest {number}")
            self.assertEqual(first[0], 0, first)

        count = SHARE * abuse.FACTOR
        abuse.each(((number, Guest(chance, chance.randrange(1, 60)).image, chance.randbytes(chance.randrange(3000)))
                    for number in range(count)), compare)
        abuse.done(count, f"random guests with the same end on soft and {ACCEL}")

    def test_evil_guests(self):
        """These meet limits of processors, and what is left to them: where and how they end is compared, no more."""
        chance = abuse.chance(self)
        different = []

        def end(run):
            says = re.search(r"VM 1 \([^)]*\): (?!nothing is connected|the (?:serial|file) port)(.*)", run[2])
            return run[0], re.split(r", at rip|, near rip|; ", says[1])[0] if says else ""

        def compare(made):
            number, image = made
            first, second = self.run_both(number, image, b"")
            if end(first) != end(second):
                different.append((image.hex(), end(first), end(second)))

        count = SHARE * abuse.FACTOR
        images = []
        while len(images) < count:
            image = evil.evil(chance)
            if image[-2:] != b"\xeb\xfe" and image[-5:-4] != b"\xe9":  # endless ones have no end to be compared
                images.append(image)
        abuse.each(enumerate(images), compare)
        self.assertLessEqual(len(different), 0 if ACCEL == "soft" else count // 4, different)
        abuse.done(count, f"evil guests with the same end on soft and {ACCEL}")


if __name__ == "__main__":
    abuse.main()
