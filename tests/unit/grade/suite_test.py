"""mh_grade.suite: what a suite says, and the messages about what it must not say."""

import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.environ["MH_SOURCE"], "tools", "python"))
from mh_grade.suite import Limits, SuiteError, read_suite  # noqa: E402


class SuiteTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="mh-suite-")
        self.addCleanup(directory.cleanup)
        self.dir = directory.name
        for name in ("expected.txt", "notes.txt", "peer.img", "main.gdb"):
            with open(os.path.join(self.dir, name), "w", encoding="ascii") as file:
                file.write("text\n")

    def read(self, text):
        with open(os.path.join(self.dir, "suite.toml"), "w", encoding="utf-8") as file:
            file.write(text)
        return read_suite(self.dir)

    def refused(self, text, *says):
        with self.assertRaises(SuiteError) as caught:
            self.read(text)
        for words in (os.path.join(self.dir, "suite.toml"), *says):
            self.assertIn(words, str(caught.exception))
        self.assertNotIn("\n", str(caught.exception))

    def test_defaults(self):
        suite = self.read("[[test]]\nname = 'x'\n")
        test, = suite.tests
        self.assertEqual((test.image, suite.build), ("guest.img", None))
        self.assertEqual((test.points, test.guests, test.options, test.input), (1, ("submission",), (), b""))
        self.assertEqual((test.limits, test.expect.end, test.expect.texts), (Limits(), "halt", ()))

    def test_everything(self):
        suite = self.read("""
title = "T"
[submission]
image = "out/guest.img"
source = "guest.c"
[build]
command = "make"
files = ["notes.txt"]
seconds = 5
[machine]
options = ["--memory", "4"]
[limits]
instructions = 1_000
[[test]]
name = "one"
points = 2.5
options = ["--page", "4"]
input = "notes.txt"
files = ["notes.txt"]
[test.limits]
seconds = 1
[test.expect]
output = "expected.txt"
files = {"a.txt" = "notes.txt"}
[[test]]
name = "two"
image = "two.img"
guests = ["submission", "peer.img"]
[test.expect]
end = "crash"
text = ["", "b"]
[[test]]
name = "three"
gdb = "main.gdb"
""")
        one, two, three = suite.tests
        self.assertEqual((suite.title, suite.source), ("T", "guest.c"))
        self.assertEqual([test.points for test in suite.tests], [2.5, 1, 1])
        self.assertEqual([test.image for test in suite.tests], ["out/guest.img", "two.img", "out/guest.img"])
        self.assertEqual((suite.build.command, suite.build.files, suite.build.seconds), ("make", ("notes.txt",), 5))
        self.assertEqual(one.options, ("--memory", "4", "--page", "4"))
        self.assertEqual((one.input, one.expect.texts), (b"text\n", (b"text\n",)))
        self.assertEqual(one.limits, Limits(1000, 1, Limits.output))
        self.assertEqual(one.expect.files, (("a.txt", os.path.join(self.dir, "notes.txt")),))
        self.assertEqual(two.guests, ("submission", os.path.join(self.dir, "peer.img")))
        self.assertEqual((two.expect.end, two.expect.texts), ("crash", (b"", b"b")))
        self.assertEqual(three.gdb, os.path.join(self.dir, "main.gdb"))

    def test_what_is_no_toml(self):
        self.refused("[[test]\n", "line 1")
        with open(os.path.join(self.dir, "suite.toml"), "wb") as file:
            file.write(b"title = '\xff'\n")
        with self.assertRaisesRegex(SuiteError, "UTF-8"):
            read_suite(self.dir)
        with self.assertRaisesRegex(SuiteError, "there is no such file"):
            read_suite(os.path.join(self.dir, "elsewhere"))

    def test_keys(self):
        self.refused("tile = 'x'\n[[test]]\nname = 'x'\n", ": tile: unknown key; did you mean 'title'?")
        self.refused("[[test]]\nname = 'x'\nzzz = 1\n", ": test 1 ('x'): zzz: unknown key; there are: ")
        self.refused("[limits]\nseconds = 1\ncores = 2\n[[test]]\nname = 'x'\n", ": limits: cores: unknown key")
        self.refused("title = 'x'\n", ": test: there is no test")
        self.refused("test = 1\n", ": test: 1 is not tables")
        self.refused("[[test]]\n", ": test 1: name: missing")
        self.refused("[[test]]\nname = 'x'\n[[test]]\nname = 'x'\n", "two tests are called 'x'")
        self.refused("[build]\nseconds = 1\n[[test]]\nname = 'x'\n", ": build: command: missing")

    def test_types(self):
        for line, says in (("points = '1'", "a number from 0"), ("points = -1", "a number from 0"),
                           ("points = true", "a number"), ("points = nan", "a number"), ("options = 'x'", "a list of"),
                           ("options = [1]", "a list of texts"), ("input = 1", "a text in quotes"), ("files = ''", "list"),
                           ("limits = 1", "a table"), ("limits = {instructions = 0}", "a whole number from 1"),
                           ("limits = {instructions = 1.5}", "a whole number"), ("limits = {seconds = 0}", "a number"),
                           ("expect = {end = 'hlt'}", "give one of halt, crash, any"), ("expect = {files = 1}", "a table"),
                           ("input_text = \"\\u0000\"", "a text")):
            with self.subTest(line=line):
                self.refused(f"[[test]]\nname = 'x'\n{line}\n", "test 1 ('x')", says)

    def test_files_of_the_suite(self):
        for line in ("input = 'none'", "files = ['none']", "gdb = 'none.gdb'", "guests = ['submission', 'none']",
                     "expect = {output = 'none'}", "expect = {files = {a = 'none'}}"):
            with self.subTest(line=line):
                self.refused(f"[[test]]\nname = 'x'\n{line}\n", "there is no file 'none")

    def test_what_excludes_each_other(self):
        for lines, says in (("input = 'notes.txt'\ninput_text = 'x'", "choose one"),
                            ("expect = {text = 'x', regex = 'x'}", "already checked by 'text'; choose one"),
                            ("guests = ['submission', 'peer.img']\nexpect = {text = 'x'}", "there are 2 guests"),
                            ("guests = ['submission', 'peer.img']\ninput_text = 'x'", "several guests have no input"),
                            ("guests = ['peer.img']", "nothing would be graded"),
                            ("gdb = 'main.gdb'\nexpect = {text = 'x'}", "a test with 'gdb' passes"),
                            ("gdb = 'notes.txt'", "ends with .gdb or .py"),
                            ("expect = {files = {'a/b' = 'notes.txt'}}", "guests have no directories"),
                            ("expect = {regex = '('}", "single quotes")):
            with self.subTest(lines=lines):
                self.refused(f"[[test]]\nname = 'x'\n{lines}\n", "test 1 ('x')", says)

    def test_options_that_the_grader_gives(self):
        for option, says in (("--timeout", "'limits.seconds'"), ("--timeout=3", "'limits.seconds'"), ("-g", "'guests'"),
                             ("-gother.img", "'guests'"), ("--perf-map", "leave out --perf-map"),
                             ("--accel", "software processor"), ("--record", "leave out --record")):
            self.refused(f"[machine]\noptions = ['{option}']\n[[test]]\nname = 'x'\n", "machine: options", says)

    def test_paths_of_the_submission(self):
        for key in ("image", "symbols", "source"):
            for path in ("/etc/passwd", "../other/guest.img"):
                self.refused(f"[submission]\n{key} = '{path}'\n[[test]]\nname = 'x'\n", f"submission: {key}", "leads out of")


if __name__ == "__main__":
    unittest.main()
