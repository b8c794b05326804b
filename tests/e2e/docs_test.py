"""Options, exit statuses and examples are the same in --help, the manual page and the README. Runs no guest."""

import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from hypervisor import DEADLINE, PROGRAM, SOURCE, main  # noqa: E402

EXAMPLES = (
    "mini_hypervisor --memory 4 --page 2 --guest guest.img",
    "mini_hypervisor -m 4 -p 2 -g guest1.img guest2.img -f ./flowers.png notes.txt",
    "mini_hypervisor -g student.img --timeout 10 < input.txt > output.txt",
    "mini_hypervisor -g guest.elf --gdb",
)
OTHERS = {"--install", "--preset"}  # of other programs


def read(*path):
    with open(os.path.join(SOURCE, *path), encoding="utf-8") as file:
        return file.read()


def words_of(text):
    """What a status means, without markup, quotes and line breaks."""
    return " ".join(re.sub(r"[`*]", "", text).split())


def options_in(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", text))


def man_plain(source):
    """The manual page without its macros."""
    lines = [re.sub(r"^\.(?:It |Fl |Op |Ar |Pa |Cm |Dl |Em |Xr |Ql |Ns |Li |Lk |Nm |Ss |Sh )+", "", line)
             for line in source.replace("Fl \\-", "--").replace("\\-", "-").splitlines()]
    return "\n".join(lines)


class DocsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.help = subprocess.run([PROGRAM, "--help"], stdout=subprocess.PIPE, timeout=DEADLINE,
                                  check=True).stdout.decode()
        cls.man = read("docs", "mini_hypervisor.1")
        cls.readme = read("README.md")
        # where an option is explained, not where another mentions it
        cls.options = set(re.findall(r"^  (?:-\w,|   ) (--[a-z-]+)", cls.help, re.M))
        cls.letters = set(re.findall(r"^  (-\w), ", cls.help, re.M)) | {"-S"}

    def test_help_explains_some(self):
        self.assertGreaterEqual(len(self.options), 20)
        self.assertEqual(self.letters, {"-g", "-m", "-p", "-f", "-s", "-S", "-h", "-V"})

    def test_lines_fit_a_wide_terminal(self):
        self.assertEqual([line for line in self.help.splitlines() if len(line) > 112], [])

    def test_nothing_is_mentioned_that_is_not_there(self):
        for name, text in (("help", self.help), ("manual page", man_plain(self.man)), ("README", self.readme)):
            with self.subTest(document=name):
                self.assertEqual(options_in(text) - OTHERS - self.options, set())

    def test_manual_page_explains_each(self):
        explained = set()
        for line in self.man.splitlines():
            if line.startswith(".It Fl "):
                explained |= {"--" + name for name in re.findall(r"(?:Fl |, )\\-([a-z\\-]+)", line)}
                explained |= {"-" + letter for letter in re.findall(r"Fl (\w)\b", line)}
        explained = {name.replace("\\-", "-") for name in explained}
        self.assertEqual(explained, self.options | self.letters)

    def test_synopsis_of_the_manual_page(self):
        synopsis = self.man.split(".Sh SYNOPSIS")[1].split(".Sh DESCRIPTION")[0].replace("\\-", "-")
        with_letters = {"--guest", "--memory", "--page", "--file", "--help", "--version"}  # which stand for them
        for option in self.options - with_letters:
            self.assertIn("Fl " + option[1:], synopsis)
        for letter in "gmpfsS":
            self.assertRegex(synopsis, rf"\bFl {letter}\b")

    def test_readme_shows_the_options_of_help(self):
        start, end = self.help.index("Machines\n"), self.help.index("\nExit status")
        shown = "".join("    " + line + "\n" if line else "\n" for line in self.help[start:end].splitlines())
        self.assertIn(shown, self.readme)

    def test_exit_statuses(self):
        section = self.help.split("Exit status\n")[1]
        explained = dict(re.findall(r"^ +(\d+)  (.*)$", section, re.M))
        self.assertEqual(list(explained), ["0", "2", "3", "4", "5", "6", "7", "124"])
        rows = dict(re.findall(r"^\| (\d+) \| (.*) \|$", self.readme, re.M))
        self.assertEqual({code: words_of(text) for code, text in rows.items()}, explained)
        statuses = self.man.split(".Sh EXIT STATUS")[1].split(".Sh EXAMPLES")[0]
        self.assertEqual(re.findall(r"^\.It (\d+)$", statuses, re.M), list(explained))
        for text in (section, self.readme, statuses):
            self.assertRegex(text, r"128 \+")

    def test_examples(self):
        for name, text in (("help", self.help), ("manual page", self.man), ("README", self.readme)):
            for example in EXAMPLES:
                with self.subTest(document=name, example=example):
                    self.assertIn(example, text)

    def test_defaults(self):
        """The value in parentheses that ends an option's explanation is the manual page's default."""
        explained = self.help.split("\nMachines\n")[1]
        for option, default in (("files-dir", "vm-files"), ("max-open", "16"), ("max-written", "64"), ("accel", "auto"),
                                ("label", "auto"), ("gdb", "1234"), ("gdb-lost", "stop"), ("memory", "2"),
                                ("page", "2"), ("console", "1"), ("load", "0"), ("exchange-size", "4096")):
            with self.subTest(option=option):
                entry = re.split(r"\n {2}(?: {4}|-\w, )--|\n\n", explained.split(f"--{option} ", 1)[1])[0]
                self.assertIn(f"({default})", entry)
                name = option.replace("-", "\\-")
                entry = re.search(rf"^\.It .*Fl \\-{re.escape(name)}\b.*?(?=^\.It Fl|^\.Ss)", self.man, re.M | re.S)
                self.assertRegex(entry.group().replace("\n.Cm ", " ").replace("\n.Pa ", " "),
                                 rf"The default is {default}\b")


if __name__ == "__main__":
    main()
