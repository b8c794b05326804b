"""The sample guests print what they should, and their Makefiles build what they should."""

import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from hypervisor import DEADLINE, EXIT_CRASHED, Case, contents, main, sample, sample_source  # noqa: E402

SAMPLES = ["hello", "echo", "files", "primes", "fibonacci", "paging", "crash", "compute", "usermode",
           "phase1", "phase2", "phase3", "seed"]
SHARED = {"files": "notes.txt", "phase2": "poem.txt"}
TOGETHER = ["phase3"]  # exchange_test.py runs these


class SamplesTest(Case):
    def run_sample(self, name, form, page):
        expected = sample_source(name, "expected.txt")
        if page == 4 and os.path.exists(sample_source(name, "expected-page4.txt")):
            expected = sample_source(name, "expected-page4.txt")
        input_file = sample_source(name, "input.txt")
        arguments = ["-m", 4, "-p", page, "-g", sample(name, form)]
        if name in SHARED:
            arguments += ["-f", sample_source(name, SHARED[name])]
        result = self.run_vm(*arguments, input=contents(input_file) if os.path.exists(input_file) else b"")
        code = EXIT_CRASHED if name == "crash" else 0
        self.check(result, code, contents(expected), "page fault (#PF)" if code else "")

    def test_expected_output(self):
        for name in [name for name in SAMPLES if name not in TOGETHER]:
            for form in ["img"] if name == "seed" else ["img", "elf"]:
                for page in (2, 4):
                    with self.subTest(sample=name, form=form, page=page):
                        self.run_sample(name, form, page)

    def test_shared_file_is_unchanged(self):
        shutil.copy(sample_source("files", "notes.txt"), self.path("notes.txt"))
        self.check(self.run_vm("-g", sample("files"), "-f", "notes.txt"))
        self.assertEqual(contents(self.path("notes.txt")), contents(sample_source("files", "notes.txt")))

    def test_two_that_only_run_together(self):
        result = self.check(self.run_vm("-g", sample("primes"), sample("fibonacci"), "--label", "always"), err="")
        for name in ("primes", "fibonacci"):
            prefix = name.encode() + b"| "
            own = [line[len(prefix):] for line in result.out.splitlines(True) if line.startswith(prefix)]
            self.assertEqual(b"".join(own), contents(sample_source(name, "expected.txt")))


class MakeTest(Case):
    """As a student does it: in a copy of the directory, with nothing but make."""

    def make(self, directory, *targets):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        done = subprocess.run(["make", "-C", directory, *targets], env=environment, capture_output=True, timeout=DEADLINE,
                              check=False)
        self.assertEqual((done.returncode, done.stderr), (0, b""), done)

    def copy(self, name):
        os.makedirs(self.path("include"), exist_ok=True)
        shutil.copytree(os.path.join(sample_source(""), "..", "include", "mh"), self.path("include", "mh"),
                        dirs_exist_ok=True)
        for directory in ("sdk", name):
            ignore = shutil.ignore_patterns("*.o", "*.elf", "*.img", "*.d", "sdk")  # what make has built
            shutil.copytree(sample_source(directory), self.path("guests", directory), ignore=ignore)
        return self.path("guests", name)

    def test_make_and_make_clean(self):
        for name in SAMPLES:
            with self.subTest(sample=name):
                shutil.rmtree(self.path("guests"), True)
                directory = self.copy(name)
                before = sorted(os.listdir(directory))
                self.make(directory)
                built = set(os.listdir(directory))
                source = "main" if name.startswith("phase") else "guest"
                wanted = {source + ".o", "guest.img"} | (set() if name == "seed" else {"guest.elf"})
                self.assertLessEqual(wanted, built)
                self.make(directory, "clean")
                self.assertEqual(sorted(os.listdir(directory)), before)

    def test_what_make_built_runs(self):
        for name in ("hello", "seed"):
            with self.subTest(sample=name):
                shutil.rmtree(self.path("guests"), True)
                directory = self.copy(name)
                self.make(directory)
                result = self.run_vm("--memory", 4, "--page", 2, "--guest", "guest.img", cwd=directory)
                self.check(result, 0, contents(sample_source(name, "expected.txt")), "")

    def test_clang(self):
        """The sample with a handler of interrupts, which compilers treat as they like. Without a warning, too."""
        if shutil.which("clang") is None:
            self.skipTest("needs clang")
        directory = self.copy("phase3")
        self.make(directory, "CC=clang")
        result = self.run_vm("--exchange", "--guest", "guest.img", "guest.img", cwd=directory)
        self.assertIn(b"received 13 bytes: the lazy dog.\n", self.check(result, 0, err="").out)

    def test_elf_has_debug_information(self):
        directory = self.copy("hello")
        self.make(directory)
        self.assertIn(b".debug_info", contents(os.path.join(directory, "guest.elf")))


if __name__ == "__main__":
    main()
