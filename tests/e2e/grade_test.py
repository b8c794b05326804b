"""tools/grade: submissions of every kind, what each costs the others (nothing), reports, and going on."""

import csv
import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from hypervisor import DEADLINE, PATIENCE, PROGRAM, SOURCE, Case, contents, guest, main, sample  # noqa: E402
from hypervisor import sample_source  # noqa: E402

GRADE = os.path.join(SOURCE, "tools", "grade")
HALT = b"\xf4"
FLOOD = b"\xb0A\xe6\xe9\xeb\xfc"  # 1: mov al, 'A'; out 0xe9, al; jmp 1b
WAIT = b"\xe4\xe9\xeb\xfc"  # 1: in al, 0xe9; jmp 1b
HOSTILE = "<script>alert(1)</script>&\"'=x"

SUITE = """
title = "Hello & <goodbye>"
[limits]
instructions = 1000000
seconds = 20
output = 10000
[[test]]
name = "says hello"
points = 3
[test.expect]
text = "Hello, world!\\n"
[[test]]
name = "is polite"
points = 0.5
[test.expect]
regex = '^Hello'
"""


def printer(text):
    """An image that prints a text and halts."""
    return b"".join(b"\xb0" + bytes([byte]) + b"\xe6\xe9" for byte in text) + HALT


class GradeCase(Case):
    def setUp(self):
        super().setUp()
        for directory in ("suite", "submissions"):
            os.mkdir(self.path(directory))

    def write_suite(self, text, **files):
        self.write("suite/suite.toml", text.encode())
        for name, data in files.items():
            self.write(f"suite/{name}", data)

    def submit(self, name, files):
        """A submission: files by their names, or the bytes of one."""
        if isinstance(files, bytes):
            return self.write(f"submissions/{name}", files)
        for inner, data in files.items():
            path = self.path("submissions", name, inner)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(data)
        return self.path("submissions", name)

    def command(self, *arguments):
        return [sys.executable, "-B", GRADE, "--hypervisor", PROGRAM, *arguments]

    def grade(self, *arguments, code=0, says="", **variables):
        # the locale that is the least able
        environment = os.environ | {"PYTHONIOENCODING": "ascii:strict"} | variables
        done = subprocess.run(self.command(*(arguments or ("suite", "submissions"))), cwd=self.dir, env=environment,
                              stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="surrogateescape",
                              timeout=DEADLINE * 4, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertIn(says, done.stderr)
        return done

    def rows(self, out="grades"):
        with open(self.path(out, "results.csv"), newline="", encoding="utf-8") as file:
            return {row["submission"]: row for row in csv.DictReader(file)}

    def results(self, out="grades"):
        """The journal: name -> result."""
        with open(self.path(out, "results-1-of-1.jsonl"), encoding="ascii") as file:
            return {result["name"]: result for result in map(json.loads, list(file)[1:])}

    def page(self, out="grades"):
        return contents(self.path(out, "index.html")).decode()

    def outcome(self, name):
        row = self.rows()[name]
        return row["status"], row["points"]

    def assert_nothing_is_left(self):
        """No process runs in the directory of results, and no directory for work is there."""
        top = os.path.realpath(self.dir)
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                where = os.readlink(f"/proc/{pid}/cwd")
            except OSError:
                continue
            self.assertFalse(where.startswith(top), f"process {pid} is left in {where}")
        self.assertEqual([name for name in os.listdir(self.path("grades")) if name.startswith("work-")], [])


class ImagesTest(GradeCase):
    """Submissions that are images."""

    def test_every_kind(self):
        self.write_suite(SUITE)
        self.submit("right.img", printer(b"Hello, world!\n"))
        self.submit("directory", {"guest.img": printer(b"Hello, world!\n"), "notes/a.txt": b"of no interest"})
        self.submit("wrong.img", printer(b"Hello, wordl!\n"))
        self.submit("unfinished.img", printer(b"Hello, world!"))
        self.submit("crash.img", printer(b"Hello")[:-1] + b"\x0f\x0b")
        self.submit("endless.img", contents(guest("spin")))
        self.submit("flood.img", FLOOD)
        self.submit("binary.img", printer(b"\xff\xfe\x1b[2J<b>\n"))
        self.submit("empty.img", b"")
        self.submit("nothing", {"readme.txt": b"I had no time"})
        self.submit(HOSTILE.replace("/", "|") + ".img", printer(b"</pre><script>alert(2)</script>"))
        self.submit("link", {"other.txt": b""})
        os.symlink("/etc/passwd", self.path("submissions", "link", "guest.img"))
        os.symlink("/etc/passwd", self.path("submissions", "passwd.img"))
        os.mkfifo(self.path("submissions", "pipe.img"))
        os.mkdir(self.path("submissions", "latin-\udce4"))
        done = self.grade()
        self.assertIn("15 submissions: 2 passed", done.stdout)
        for name, expected in {
                "right.img": ("passed", "3.5"), "directory": ("passed", "3.5"), "wrong.img": ("wrong result", "0.5"),
                "unfinished.img": ("wrong result", "0.5"), "crash.img": ("crashed", "0"),
                "endless.img": ("limit reached", "0"), "flood.img": ("too much output", "0"),
                "binary.img": ("wrong result", "0"), "empty.img": ("no usable image", "0"),
                "nothing": ("no usable image", "0"), "link": ("rejected", "0"), "passwd.img": ("rejected", "0"),
                "pipe.img": ("rejected", "0"), "latin-\N{REPLACEMENT CHARACTER}": ("no usable image", "0")}.items():
            with self.subTest(submission=name):
                self.assertEqual(self.outcome(name), expected)
        self.assert_messages()
        self.assert_reports_are_well_formed()
        self.assert_page_is_harmless()
        self.assert_recordings_replay()
        self.assert_nothing_is_left()

    def assert_messages(self):
        rows = self.rows()
        for name, message in (("wrong.img", "the output differs from line 1 on"),
                              ("endless.img", "still running after 1,000,000 instructions"),
                              ("flood.img", "more than 10000 bytes of output"), ("crash.img", "invalid opcode (#UD)"),
                              ("nothing", "the submission has no 'guest.img'"), ("link", "leads out of the submission"),
                              ("pipe.img", "neither a file nor a directory")):
            self.assertIn(message, rows[name]["message"])
        results = self.results()
        self.assertIn("-Hello, world!\n+Hello, wordl!", results["wrong.img"]["tests"][0]["details"])
        self.assertIn("+Hello, world!  (no newline at the end)", results["unfinished.img"]["tests"][0]["details"])
        self.assertIn("+\\xff\\xfe\N{SYMBOL FOR ESCAPE}[2J<b>", results["binary.img"]["tests"][0]["details"])
        self.assertEqual(results["right.img"]["tests"][0]["instructions"], 29)

    def assert_reports_are_well_formed(self):
        suites = xml.etree.ElementTree.parse(self.path("grades", "results.xml")).getroot()
        self.assertEqual(len(suites), 15)
        self.assertEqual(sum(int(suite.get("failures")) for suite in suites), sum(1 for _ in suites.iter("failure")))
        self.assertEqual(sum(1 for _ in suites.iter("testcase")), 30)
        tap = contents(self.path("grades", "results.tap")).decode().splitlines()
        self.assertEqual(tap[:2], ["TAP version 14", "1..30"])
        self.assertEqual(sum(line.startswith("ok ") for line in tap), 6)
        self.assertEqual(sum(line.startswith("not ok ") for line in tap), 24)

    def assert_page_is_harmless(self):
        page = self.page()
        self.assertEqual(page.count("<script"), 1)
        self.assertIn("Hello &amp; &lt;goodbye&gt;", page)
        self.assertNotIn("<b>\n", page)
        self.assertNotIn("\x1b", page)
        self.assertIn("Content-Security-Policy", page)

    def assert_recordings_replay(self):
        for name in ("crash.img", "endless.img", "wrong.img"):
            recording, = self.results()[name]["tests"][0]["recordings"]
            self.check(self.run_vm("--replay", self.path("grades", recording), "--accel", "soft"), 0)
        self.assertEqual(self.results()["right.img"]["tests"][0]["recordings"], [])

    def test_what_is_done_is_not_done_again(self):
        self.write_suite(SUITE)
        for number in range(4):
            self.submit(f"{number}.img", printer(b"Hello, world!\n"))
        self.grade()
        self.submit("1.img", printer(b"Hello?\n"))
        self.assertIn("3 of 4 have been graded before", self.grade().stderr)
        self.assertEqual(self.outcome("1.img"), ("wrong result", "0.5"))
        self.write_suite(SUITE.replace("points = 3", "points = 5"))
        self.assertNotIn("before", self.grade().stderr)
        self.assertEqual(self.outcome("0.img"), ("passed", "5.5"))

    def test_everything_in_the_suites_directory(self):
        """Whose name may be any, in a locale that does not have all of its characters."""
        self.write_suite("[[test]]\nname = 'x'\nguests = ['submission', 'submission']\n"
                         "[test.expect]\ntext = [\"Hello!\\n\", \"\"]\n")
        self.submit("a.img", printer(b"Hello!\n"))
        os.rename(self.path("submissions"), self.path("suite", "submissions"))
        inner = "100%n of '\udce4\" "
        os.mkdir(self.path(inner))
        os.rename(self.path("suite"), self.path(inner, "suite"))
        self.dir = self.path(inner)
        for code in ("", "before"):
            done = self.grade("suite", "suite/submissions", "--out", "suite/grades")
            self.assertIn(code, done.stderr)
            self.assertIn(f"page: {self.dir}/suite/grades/index.html\n", done.stdout)
        self.assertEqual(self.rows("suite/grades")["a.img"]["message"], "guest 2: the output differs from line 1 on")
        self.assertEqual(len(os.listdir(self.path("suite", "grades", "recordings"))), 2)

    def start_with_an_endless_one(self):
        """A grading of three submissions, of which the second never ends; the first is done."""
        self.write_suite(SUITE.replace("1000000", "1000000000000").replace("seconds = 20", f"seconds = {DEADLINE * 10}"))
        self.submit("a.img", printer(b"Hello, world!\n"))
        self.submit("b.img", contents(guest("spin")))
        self.submit("c.img", printer(b"Hello, world!\n"))
        as_nohup = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"]
        run = subprocess.Popen(as_nohup + self.command("suite", "submissions", "--jobs", "1"), cwd=self.dir, text=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(run.communicate)
        self.addCleanup(run.kill)
        self.assertIn("1/3", run.stderr.readline())  # b runs now, or soon
        return run

    def assert_stopped(self, run, number):
        out, err = run.communicate(timeout=DEADLINE)
        self.assertEqual(run.returncode, 128 + number, err)
        self.assertIn("1 of 3 are graded", err)
        self.assertEqual(out, "")
        self.assert_nothing_is_left()

    def test_interrupted_and_continued(self):
        run = self.start_with_an_endless_one()
        run.send_signal(signal.SIGHUP)  # is ignored, as nohup wants it
        run.send_signal(signal.SIGINT)
        self.assert_stopped(run, signal.SIGINT)
        self.submit("b.img", printer(b"Bye\n"))
        self.assertIn("1 of 3 have been graded before", self.grade().stderr)
        self.assertEqual(list(self.rows()), ["a.img", "b.img", "c.img"])

    def test_a_signal_that_the_main_thread_does_not_take(self):
        run = self.start_with_an_endless_one()
        worker = max(map(int, os.listdir(f"/proc/{run.pid}/task")))
        self.assertNotEqual(worker, run.pid)
        self.assertEqual(ctypes.CDLL(None).tgkill(run.pid, worker, signal.SIGTERM), 0)
        self.assert_stopped(run, signal.SIGTERM)

    def test_a_journal_that_was_cut_off(self):
        self.write_suite(SUITE)
        for number in range(3):
            self.submit(f"{number}.img", printer(b"Hello, world!\n"))
        self.grade()
        path = self.path("grades", "results-1-of-1.jsonl")
        os.truncate(path, os.path.getsize(path) - 10)
        self.assertIn("2 of 3 have been graded before", self.grade().stderr)
        self.assertEqual(len(self.rows()), 3)

    def test_shards_and_merge(self):
        self.write_suite(SUITE)
        for number in range(5):
            self.submit(f"{number}.img", printer(b"Hello, world!\n" if number % 2 else b"Hello!\n"))
        self.grade("suite", "submissions", "--shard", "1/3", "--out", "one")
        self.grade("suite", "submissions", "--shard", "2/3", "--out", "two")
        self.grade("--merge", "one", "two", "--out", "all", code=1, says="1 submissions have no result, such as b'2.img'")
        self.grade("suite", "submissions", "--shard", "3/3", "--out", "two")
        self.grade("--merge", "one", "two", "--out", "all")
        self.assertEqual({name: row["points"] for name, row in self.rows("all").items()},
                         {"0.img": "0.5", "1.img": "3.5", "2.img": "0.5", "3.img": "3.5", "4.img": "0.5"})
        self.assertEqual(len(os.listdir(self.path("all", "recordings"))), 1, "one for equal submissions")
        self.write_suite(SUITE + "# changed")
        self.grade("suite", "submissions", "--shard", "3/3", "--out", "two")
        self.grade("--merge", "one", "two", code=2, says="do not belong together")

    def test_judge_input_files_and_several_guests(self):
        self.write_suite("""
[submission]
image = "guest.elf"
[[test]]
name = "echoes"
input_text = "abc\\n"
[test.expect]
judge = ["sh", "-c", "grep abc && test -d \\"$MH_FILES\\" -o -n \\"$MH_OUTPUTS\\" || { echo no abc; false; }"]
[[test]]
name = "beside others"
guests = ["hello.img", "submission"]
[test.expect]
regex = ['^Hello, world!$', '']
[[test]]
name = "a judge that fails"
[test.expect]
judge = ["sh", "-c", "exit 3"]
""", **{"hello.img": printer(b"Hello, world!\n")})
        self.submit("echo", {"guest.elf": contents(guest("cat"))})
        self.submit("silent", {"guest.elf": HALT})
        self.grade(code=1)
        statuses = {name: [test["status"] for test in result["tests"]] for name, result in self.results().items()}
        self.assertEqual(statuses, {"echo": ["pass", "pass", "error"], "silent": ["wrong", "pass", "error"]})
        self.assertEqual(self.results()["silent"]["tests"][0]["message"], "no abc")
        self.assertIn("exit status 3", self.results()["silent"]["tests"][2]["message"])
        self.grade(code=1)  # what could not be graded is tried again

    def test_files_for_guests_and_from_them(self):
        self.write_suite("""
[[test]]
name = "report"
files = ["notes.txt"]
[test.expect]
end = "any"
regex = 'notes.txt has \\d+ bytes'
files = {"report.txt" = "report.txt"}
""", **{"notes.txt": b"a note\n", "report.txt": b"temperature: 21 degrees\nend of report\n"})
        self.submit("files", {"guest.img": contents(sample("files"))})
        self.submit("hello", {"guest.img": contents(sample("hello"))})
        self.grade()
        self.assertEqual(self.outcome("files"), ("passed", "1"))
        self.assertEqual(self.outcome("hello"), ("wrong result", "0"))

    def test_a_guest_that_waits_reaches_the_limit_in_seconds(self):
        self.write_suite(f"""
[limits]
seconds = {PATIENCE}
instructions = 1000000000000
[[test]]
name = "ends"
""")
        self.submit("spin.img", b"\xeb\xfe")
        self.grade()
        self.assertEqual(self.rows()["spin.img"]["message"], f"still running after {PATIENCE} s")

    def test_coverage(self):
        self.write_suite("""
coverage = true
[build]
command = 'cp "$MH_SUITE"/guest.* .'
[[test]]
name = "crashes"
[test.expect]
end = "crash"
""", **{name: contents(sample("crash", name[6:])) for name in ("guest.img", "guest.elf")})
        self.submit("crash", {"guest.c": contents(sample_source("crash", "guest.c"))})
        self.grade()
        self.assertEqual(self.outcome("crash"), ("passed", "1"))
        file, = self.results()["crash"]["coverage"]
        self.assertEqual(file["name"], "guest.c")
        counts = {text.strip(): count for count, text in file["lines"]}
        self.assertEqual(counts['printf("  grade %d is written down\\n", student->grade);'], 1)
        self.assertEqual(counts["student->grade = grade; /* page fault for the second student */"], 1)
        self.assertIn("Coverage of guest.c: ", self.page())

    def test_gdb_scripts(self):
        self.write_suite("""
[[test]]
name = "stops in main"
gdb = "main.gdb"
""", **{"main.gdb": b"break main\ncontinue\nprint $pc == (long) main || 1\n", "main.expected": b"nothing\n"})
        for name in ("hello", "crash"):
            self.submit(name, {form: contents(sample(name, form.split(".")[1])) for form in ("guest.img", "guest.elf")})
        self.grade()
        self.assertEqual(self.outcome("hello"), ("wrong result", "0"))
        self.assertIn("-nothing", self.results()["hello"]["tests"][0]["details"])
        os.remove(self.path("suite", "main.expected"))
        self.grade()
        self.assertEqual(self.outcome("hello"), ("passed", "1"))


class BuildsTest(GradeCase):
    """Submissions that are built: by users without rights, if the tests are root's."""

    def setUp(self):
        super().setUp()
        os.chmod(self.dir, 0o711)

    BUILT = """
[build]
command = "make -s SDK=\\"$MH_SDK\\""
seconds = 200
[[test]]
name = "runs"
"""

    def test_every_kind(self):
        self.write_suite(self.BUILT)
        right = {"Makefile": b"all:\n\tcp in guest.img\n", "in": printer(b"hi\n")}
        self.submit("right", right)
        self.submit("crash", {name: contents(sample_source("crash", name)) for name in ("guest.c", "Makefile")})
        self.submit("syntax", {"guest.c": b"int main(void) { return <b> }\n", "Makefile": b"include $(SDK)/guest.mk\n"})
        self.submit("nothing", {"guest.c": b""})
        self.submit("no-image", {"Makefile": b"all:\n"})
        self.submit("link", {"Makefile": b"all:\n\tln -s /etc/passwd guest.img\n"})
        self.submit("bomb", {"Makefile": b"all: bomb\n\t@sh bomb\n", "bomb": b"mkfifo p\nf() { read x <p & f; }\nf\n"})
        self.submit("daemon", right | {"Makefile": b"all:\n\tsetsid sleep 1000 &\n\tcp in guest.img\n"})
        self.submit("deep", right | {"Makefile": b"all:\n\tcp in guest.img\n\t@sh deep\n",
                                     "deep": b"d=$(printf 'd/%.0s' $(seq 1200)) && mkdir -p $d && chmod 0 $d\n"})
        self.submit("large", {"Makefile": b"all:\n\ttruncate -s 300M guest.img\n"})
        done = self.grade()
        for name, expected in {"right": ("passed", "1"), "crash": ("crashed", "0"), "syntax": ("build failed", "0"),
                               "nothing": ("build failed", "0"), "no-image": ("no usable image", "0"),
                               "link": ("no usable image", "0"), "bomb": ("build failed", "0"),
                               "daemon": ("passed", "1"), "deep": ("passed", "1"),
                               "large": ("build failed", "0")}.items():
            with self.subTest(submission=name):
                self.assertEqual(self.outcome(name), expected)
        results = self.results()
        place = results["crash"]["tests"][0]["place"]
        self.assertEqual((place["file"], place["line"], place["function"]), ("guest.c", 32, "set_grade"))
        self.assertIn([32, "    student->grade = grade; /* page fault for the second student */"], place["lines"])
        self.assertIn("guest.c:1", results["syntax"]["tests"][0]["details"])
        self.assertIn("&lt;b&gt;", self.page())
        if "less isolated" not in done.stderr:
            self.assertIn("Cannot fork", results["bomb"]["tests"][0]["details"])
            self.assert_nothing_is_left()

    def test_a_build_without_end(self):
        self.write_suite(self.BUILT.replace("seconds = 200", f"seconds = {0.5 * PATIENCE}"))
        self.submit("endless", {"Makefile": b"all:\n\t@while :; do :; done\n"})
        os.chmod(self.dir, 0o700)
        done = self.grade()
        if os.getuid() == 0:
            self.assertRegex(done.stderr, f"builds are less isolated .*: user 60800 cannot reach {self.dir}/grades/work-1-of-1 "
                                          f"and {self.dir}/suite;")
        self.assertIn("still running after", self.rows()["endless"]["message"])
        self.assert_nothing_is_left()

    def test_the_suites_files_and_single_files(self):
        """What can be executed stays so."""
        self.write_suite("""
[submission]
source = "image.txt"
[build]
command = "./build"
files = ["build"]
[[test]]
name = "runs"
""", build=b"#!/bin/sh\nif [ -e own ]; then ./own; else cp image.txt guest.img; fi\n")
        self.submit("one.txt", HALT)
        self.submit("two", {"image.txt": HALT, "build": b"#!/bin/sh\nfalse\n", "own": b"#!/bin/sh\nmv image.txt guest.img\n"})
        self.submit("three", {"image.txt": HALT, "build/x": b""})
        for path in (self.path("suite", "build"), self.path("submissions", "two", "own")):
            os.chmod(path, 0o755)
        self.grade()
        self.assertEqual([row["status"] for row in self.rows().values()], ["passed", "rejected", "passed"])


class DocumentedJobsTest(GradeCase):
    """
    The commands in docs/grading, run with the variables that the systems set, as two jobs where they start more. Slurm
    has a stage of its own.
    """

    def setUp(self):
        super().setUp()
        self.write_suite("[[test]]\nname = 'says hello'\n[test.expect]\ntext = \"Hello!\\n\"\n")
        for number in range(4):
            self.submit(f"{number}.img", printer(b"Hello!\n"))
        os.mkdir(self.path("bin"))
        self.write("bin/mini_hypervisor-grade", f"#!/bin/sh\nexec {GRADE} \"$@\" --hypervisor {PROGRAM}\n".encode())
        os.chmod(self.path("bin", "mini_hypervisor-grade"), 0o755)

    def lines(self, name):
        """Those that grade, for two jobs and without what is YAML."""
        text = re.sub(r"/[48]\b", "/2", contents(os.path.join(SOURCE, "docs", "grading", name)).decode())
        return [line.lstrip("- ").removeprefix("run: ") for line in text.splitlines()
                if "mini_hypervisor-grade " in line and not line.startswith("#")]

    def sh(self, command, **variables):
        environment = dict(os.environ, PATH=f"{self.path('bin')}:{os.environ['PATH']}", **variables)
        done = subprocess.run(["sh", "-c", command], cwd=self.dir, env=environment, capture_output=True, text=True,
                              timeout=DEADLINE * 4, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_kubernetes(self):
        grade, = self.lines("kubernetes.yaml")
        for index in range(2):
            self.sh(grade.replace("/class/", self.dir + "/"), JOB_COMPLETION_INDEX=str(index))
        self.sh("mini_hypervisor-grade --merge results")
        self.assertEqual(len(self.rows("results")), 4)

    def test_gitlab(self):
        grade, merge = self.lines("gitlab-ci.yml")
        for index in (1, 2):
            self.sh(grade, CI_NODE_INDEX=str(index), CI_NODE_TOTAL="2")
        self.sh(merge)
        self.assertEqual(len(self.rows()), 4)

    def test_github(self):
        grade, merge = self.lines("github-workflow.yml")
        os.mkdir(self.path("shards"))
        for shard in (1, 2):
            self.sh(grade.replace("${{ matrix.shard }}", str(shard)))
            os.rename(self.path("results"), self.path("shards", f"results-{shard}"))
        self.sh(merge)
        self.assertEqual(len(self.rows()), 4)


class MistakesTest(GradeCase):
    def refused(self, suite, says):
        self.write_suite(suite)
        self.submit("a.img", HALT)
        done = self.grade(code=2, says=says)
        self.assertIn("suite.toml", done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)

    def test_the_suite(self):
        self.refused("[[test]\n", "suite.toml: ")
        self.refused("[[test]]\nname = 'x'\nponts = 1\n", "test 1 ('x'): ponts: unknown key; did you mean 'points'?")

    def test_options_that_mini_hypervisor_refuses(self):
        self.write_suite("[machine]\noptions = ['--memory', '3']\n[[test]]\nname = 'x'\n")
        self.submit("a.img", HALT)
        self.grade(code=2, says="suite: the options of test 'x': --memory '3': give 2M, 4M or 8M")

    def test_a_host_without_prlimit(self):
        self.write_suite("[build]\ncommand = 'true'\n[[test]]\nname = 'x'\n")
        self.submit("a", {"main.c": b""})
        self.grade(code=2, says="need prlimit", PATH="/none")

    def test_the_command_line(self):
        self.grade("suite", code=2, says="give two directories")
        self.grade("suite", "submissions", code=2, says="suite/suite.toml: there is no such file")
        self.write_suite(SUITE)
        self.grade("suite", "submissions", code=2, says="there are no submissions in it")
        self.grade("suite", "none", code=2, says="none: No such file or directory")
        self.grade("suite", "submissions", "--shard", "3/2", code=2, says="give I/N")
        self.grade("--merge", "submissions", code=2, says="there are no results")
        self.grade("suite", "submissions", "--hypervisor", "/none", code=2, says="/none is not to be found")

    def test_two_at_once(self):
        self.write_suite(SUITE)
        self.submit("a.img", HALT)
        self.grade()
        lock = os.open(self.path("grades", "results-1-of-1.jsonl.lock"), os.O_RDWR)
        self.addCleanup(os.close, lock)
        import fcntl  # only needed here
        fcntl.flock(lock, fcntl.LOCK_EX)
        self.grade(code=2, says="another grade is writing it")


if __name__ == "__main__":
    main()
