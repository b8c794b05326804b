#!/usr/bin/env python3
"""
make_class.py DIRECTORY COUNT [--seed N]: a made-up class for docs/grading/suite. Each submission is the samples phase1,
phase2 and phase3 with zero to three mistakes, as students make them; the seed determines everything.
"""

import argparse
import os
import random
import re

SOURCE = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
PHASES = ("phase1", "phase2", "phase3")
GIVEN = """ada alan barbara claude dennis donald edith edsger frances grace hedy ida jean john ken kathleen leslie lise margaret
niklaus radia robin rosa sophie tim""".split()
FAMILY = "archer baker carter dyer fisher gardener hunter mason miller potter smith taylor weaver".split()


def replace_one(chance: random.Random, text: str, pattern: str, new: str) -> str:
    """Replace one of the places that match; without any, the text stays."""
    found = list(re.finditer(pattern, text))
    if not found:
        return text
    at = chance.choice(found)
    return text[:at.start()] + at.expand(new) + text[at.end():]


def drop_statement(chance: random.Random, text: str) -> str:
    return replace_one(chance, text, r"\n    +[a-z_]+\([^;{}]*\);", "")


def change_number(chance: random.Random, text: str) -> str:
    return replace_one(chance, text, r"(?<=[ (,])(\d)(?=[,;) ])", str(chance.randrange(10)))


def compare_otherwise(chance: random.Random, text: str) -> str:
    old, new = chance.choice([("==", "!="), ("!=", "=="), (" < ", " <= "), (" > 0", " >= 0"), (">=", ">"), ("<=", "<")])
    return replace_one(chance, text, re.escape(old), new)


def misspell(chance: random.Random, text: str) -> str:
    return replace_one(chance, text, r"(?<=\")([a-z])([a-z])(?=[a-z :]+)", r"\2\1")


def forget_to_end(chance: random.Random, text: str) -> str:
    return replace_one(chance, text, r"\n    return 0;\n", "\n    for (;;)\n        ;\n")


def write_to_nowhere(chance: random.Random, text: str) -> str:
    return replace_one(chance, text, r"\n    return 0;\n", "\n    *(volatile int *)0x40000000 = 1;\n    return 0;\n")


def forget_semicolon(chance: random.Random, text: str) -> str:
    return replace_one(chance, text, r"\);\n", ")\n")


def chatter(chance: random.Random, text: str) -> str:
    return replace_one(chance, text, r"\n    return 0;\n", "\n    for (;;)\n        __asm__ volatile(\"outb %0, $0xe9\" : : "
                       "\"a\"((unsigned char)'.'));\n")


MISTAKES = [drop_statement] * 4 + [change_number] * 3 + [compare_otherwise] * 4 + [misspell] * 4 + [
    forget_to_end, write_to_nowhere, forget_semicolon, chatter]


def names(chance: random.Random, count: int) -> list[str]:
    every = [f"{given}-{family}" for given in GIVEN for family in FAMILY]
    if count > len(every):
        every += [f"{name}-{number}" for number in range(2, count // len(every) + 2) for name in every]
    chance.shuffle(every)
    return sorted(every[:count])


def make_submission(chance: random.Random, directory: str, sources: dict[str, str]) -> None:
    texts = dict(sources)
    for _ in range(chance.choice([0, 0, 1, 1, 1, 2, 2, 3])):
        phase = chance.choice(PHASES)
        texts[phase] = chance.choice(MISTAKES)(chance, texts[phase])
    missing = chance.choice(PHASES) if chance.random() < 0.05 else None
    for phase, text in texts.items():
        if phase != missing:
            os.makedirs(os.path.join(directory, phase))
            with open(os.path.join(directory, phase, "main.c"), "w", encoding="utf-8") as file:
                file.write(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", metavar="DIRECTORY")
    parser.add_argument("count", metavar="COUNT", type=int)
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    sources = {}
    for phase in PHASES:
        with open(os.path.join(SOURCE, "guests", phase, "main.c"), encoding="utf-8") as file:
            sources[phase] = file.read()
    for name in names(chance, arguments.count):
        make_submission(chance, os.path.join(arguments.directory, name), sources)


if __name__ == "__main__":
    main()
