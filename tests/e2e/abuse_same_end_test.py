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
from hypervisor import ACCEL, DEADLINE, PATIENCE, Case, contents, sample_source  # noqa: E402
from random_guest import Guest  # noqa: E402

SHARE = 100  # guests of each kind
BATCH = 10   # of them in one process
TIMEOUT = 5 * PATIENCE
NO_END = ("still running", "not even started")
NOTICE = r"no device is at port|the (?:serial|file) port|(?:a|the) 32-bit OUT|halted without using a port"


class SameEndTest(Case):
    timeout = TIMEOUT

    def files(self, directory):
        """Everything below a directory."""
        return {os.path.relpath(os.path.join(where, name), directory): contents(os.path.join(where, name))
                for where, _, names in os.walk(directory) for name in names}

    def run_on(self, accel, directory, images):
        """What each guest printed, and what is said about its end; its own files, all together."""
        os.mkdir(directory)
        for number, image in enumerate(images, 1):
            with open(os.path.join(directory, f"{number}.img"), "wb") as file:
                file.write(image)
        result = self.run_vm("-g", *[f"{number}.img" for number in range(1, len(images) + 1)], "-f",
                             sample_source("files", "notes.txt"), "--accel", accel, "--serial", "file:out-%n",
                             "--timeout", self.timeout, cwd=directory)
        said = dict(re.findall(rf"VM (\d+) \([^)]*\): (?!{NOTICE})(.*)", result.messages))
        files = self.files(directory)
        shutil.rmtree(directory)
        return [(files.get(f"out-{number}"), said.get(str(number), "")) for number in range(1, len(images) + 1)], \
            {name: data for name, data in files.items() if name.startswith("vm-files")}

    def run_both(self, number, images):
        return [self.run_on(accel, self.path(f"{number}-{which}"), images)
                for which, accel in enumerate(("soft", ACCEL))]

    def batches(self, make):
        return ((number, [make() for _ in range(BATCH)]) for number in range(SHARE * abuse.FACTOR // BATCH))

    def test_random_guests(self):
        chance = abuse.chance(self)
        self.timeout = DEADLINE // 2  # all of them halt, on a KVM that emulates and a busy host late

        def compare(batch):
            (first, first_files), (second, second_files) = self.run_both(*batch)
            for number, image in enumerate(batch[1]):
                self.assertEqual(first[number][1], "", "all of them halt")
                self.assertTrue(first[number] == second[number], f"{first[number]} != {second[number]}: {image[:600].hex()}")
            self.assertEqual(first_files, second_files)

        abuse.each(self.batches(lambda: Guest(chance, chance.randrange(1, 60)).image), compare)
        abuse.done(SHARE * abuse.FACTOR, f"random guests with the same end on soft and {ACCEL}")

    def make_evil(self, chance):
        """One that is not meant to be endless."""
        while True:
            image = evil.evil(chance)
            if image[-2:] != b"\xeb\xfe" and image[-5:-4] != b"\xe9":
                return image

    def test_evil_guests(self):
        """
        These meet what is up to each processor, and what emulated processors and software KVMs do wrong (LOCK, ICEBP,
        reserved bits, addresses that are not canonical): how they end is compared, and many, but not most, may differ.
        """
        chance = abuse.chance(self)
        different = []

        def compare(batch):
            (first, _), (second, _) = self.run_both(*batch)
            for image, *ends in zip(batch[1], first, second):
                says = [re.split(r", at rip|, near rip|, where|; ", said)[0] for _, said in ends]
                if says[0] != says[1] and not any(said.startswith(NO_END) for said in says):
                    different.append((image.hex(), *says))

        abuse.each(self.batches(lambda: self.make_evil(chance)), compare)
        for one in different:
            print("different:", *one)
        self.assertLessEqual(len(different), 0 if ACCEL == "soft" else SHARE * abuse.FACTOR * 2 // 5)
        abuse.done(SHARE * abuse.FACTOR, f"evil guests with the same end on soft and {ACCEL}")


if __name__ == "__main__":
    abuse.main()
