"""Completion in bash: options and values are those of the program. Runs no guest. tests/packages has zsh and fish."""

import os
import re
import shlex
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from hypervisor import DEADLINE, PROGRAM, SOURCE, Case, main  # noqa: E402

SCRIPT = os.path.join(SOURCE, "tools", "packaging", "completion", "mini_hypervisor.bash")
OPTION = re.compile(r"^  (?:(-\w), |    )(--[a-z-]+)(?: (\S+))?  ", re.M)


class CompletionTest(Case):
    @classmethod
    def setUpClass(cls):
        cls.help = subprocess.run([PROGRAM, "--help"], stdout=subprocess.PIPE, timeout=DEADLINE,
                                  check=True).stdout.decode()
        cls.values = {name: value for _, name, value in OPTION.findall(cls.help)}

    def complete(self, *words):
        """What is offered for the last of the words."""
        line = shlex.join(["mini_hypervisor", *words])
        script = (f"set -u; source {shlex.quote(SCRIPT)}; COMP_WORDS=({line}); COMP_CWORD={len(words)}\n"
                  f"compopt() {{ :; }}\n_mini_hypervisor {shlex.quote(PROGRAM)} \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"\n"
                  "[ ${#COMPREPLY[*]} = 0 ] || printf '%s\\n' \"${COMPREPLY[@]}\"")
        done = subprocess.run(["bash", "--norc", "-c", script], cwd=self.dir, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=DEADLINE, check=False, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return sorted(done.stdout.splitlines())

    def test_options(self):
        letters = {letter for letter, _, _ in OPTION.findall(self.help) if letter} | {"-s", "-S"}
        self.assertEqual(self.complete("-"), sorted(set(self.values) | letters))
        self.assertEqual(self.complete("--gdb-"), ["--gdb-all", "--gdb-hold", "--gdb-lost", "--gdb-run"])
        self.assertEqual(self.complete("--stats", ""), self.complete("-"))

    def test_words(self):
        """The program takes each word that is offered."""
        for option in self.values:
            for word in self.complete(option, "") if self.values[option] else []:
                value = word + "x" if word.endswith(":") else word
                with self.subTest(option=option, word=word):
                    done = subprocess.run([PROGRAM, f"{option}={value}"], cwd=self.dir, stderr=subprocess.PIPE,
                                          timeout=DEADLINE, check=False, text=True)
                    self.assertNotIn(f"{option} '", done.stderr)
        self.assertEqual(self.complete("--accel", ""), ["auto", "kvm", "soft"])
        self.assertEqual(self.complete("--serial", "p"), ["pty"])
        self.assertEqual(self.complete("--gdb-lost", "=", "k"), ["kill"])

    def test_all_words_of_help_are_offered(self):
        for option, words in (("--memory", "2M 4M 8M"), ("--page", "2M 4K"), ("--label", "always auto never"),
                              ("--serial", "file: null pty stdio"), ("--gdb-lost", "continue kill stop")):
            explained = self.help.split("\nMachines\n")[1].split(f"{option} ", 1)[1].split("\n      --", 1)[0]
            self.assertEqual(self.complete(option, ""), words.split())
            for word in words.split():
                self.assertIn(word.rstrip(":"), explained)

    def test_files_and_directories(self):
        self.write("guest.img", b"")
        os.mkdir(self.path("a directory"))
        self.assertEqual(self.complete("--guest", ""), ["a directory", "guest.img"])
        self.assertEqual(self.complete("-f", "one", "gu"), ["guest.img"])
        self.assertEqual(self.complete("--files-dir", ""), ["a directory"])
        self.assertEqual(self.complete("--trace", "gu"), ["guest.img"])
        self.assertEqual(self.complete("--trace", "one", "gu"), [])
        self.assertEqual(self.complete("--timeout", ""), [])


if __name__ == "__main__":
    main()
