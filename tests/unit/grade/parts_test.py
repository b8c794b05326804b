"""mh_grade's smaller parts: texts and differences, processes and their limits, the journal, places in the source."""

import contextlib
import io
import os
import re
import select
import sys
import tempfile
import threading
import time
import unittest
import unittest.mock

sys.path.insert(0, os.path.join(os.environ["MH_SOURCE"], "tools", "python"))
from mh_grade.coverage import add_counts, read_lcov  # noqa: E402
from mh_grade.expect import PASSED, check_regexes, write_outputs  # noqa: E402
from mh_grade.grader import Workers  # noqa: E402
from mh_grade.guest_run import Messages, gdb_details  # noqa: E402
from mh_grade.journal import Head, Journal, JournalError, read_journal  # noqa: E402
from mh_grade.place import stopped_at  # noqa: E402
from mh_grade.process import OUTPUT, TIME, Stopped, Stopper, run  # noqa: E402
from mh_grade.progress import Progress  # noqa: E402
from mh_grade.results import SubmissionResult, TestResult  # noqa: E402
from mh_grade.sandbox import FIRST_USER, claim_users  # noqa: E402
from mh_grade.submissions import Rejected, Submission, find_submissions, hash_directory  # noqa: E402
from mh_grade.submissions import hash_submission, read_files  # noqa: E402
from mh_grade.text import difference, head, visible  # noqa: E402

PATIENCE = int(os.environ.get("MH_PATIENCE", "1"))


class CoverageTest(unittest.TestCase):
    def test_counts_of_several_runs(self):
        total = {}
        for _ in range(2):
            add_counts(total, read_lcov("TN:\nSF:/a.c\nFN:1,main\nDA:1,2\nDA:2,0\nDA:x,1\nend_of_record\nSF:/b.c\nDA:1,1\n"))
        self.assertEqual(total, {"/a.c": {1: 4, 2: 0}, "/b.c": {1: 2}})


class TextTest(unittest.TestCase):
    def test_visible(self):
        self.assertEqual(visible(b"a\xff\x1b\x00\x7f\tz\n\xc3\xa9"), "a\\xff\u241b\u2400\u2421\tz\n\u00e9")
        self.assertEqual(head(b"x" * 4001), "x" * 4000 + "\n... 1 more bytes")

    def test_first_difference(self):
        self.assertEqual(difference(b"a\nb\n", b"a\nc\n"), (2, "--- expected\n+++ guest\n@@ -1,2 +1,2 @@\n a\n-b\n+c"))
        line, text = difference(b"a\n", b"a")
        self.assertEqual((line, text.split("\n")[-1]), (1, "+a  (no newline at the end)"))
        self.assertEqual(difference(b"", b"a\n")[0], 1)

    def test_difference_that_lines_do_not_show(self):
        """It is far to the right, or of characters that look the same."""
        for expected, actual, at in ((b"a\n" + b"x" * 400 + b"1\nz\n", b"a\n" + b"x" * 400 + b"2\nz\n", 401),
                                     (b"a\n\0", "a\n\u2400".encode(), 1), (b"a\n\xff\n", b"a\n\\xff\n", 1)):
            line, text = difference(expected, actual)
            self.assertEqual(line, 2)
            self.assertIn(f"@@ line 2 from byte {at} @@\n-b'", text)
        self.assertEqual(difference(b"x" * 500 + b"\n", b"x" * 500)[0], 1)

    def test_long_outputs_cost_little(self):
        same = b"".join(b"%d\n" % number for number in range(50000))
        start = time.monotonic()
        line, text = difference(same + b"a\n" * 50000, same + b"b\n" * 50000)
        self.assertLess(time.monotonic() - start, 5 * PATIENCE)
        self.assertEqual(line, 50001)
        self.assertIn("@@ from line 49998 @@", text)
        self.assertIn("... compared up to line 50197", text)


class ProcessTest(unittest.TestCase):
    def setUp(self):
        self.stopper = Stopper()

    def sh(self, script, **more):
        return run(["sh", "-c", script], cwd="/", seconds=more.pop("seconds", 60), stopper=self.stopper, **more)

    def test_what_it_prints(self):
        done = self.sh("echo out; echo err >&2; exit 3")
        self.assertEqual((done.status, done.out, done.err, done.ended_for), (3, b"out\n", b"err\n", ""))

    def test_limits(self):
        done = self.sh("while :; do echo xxxxxxxxx; done", output=1000)
        self.assertEqual((done.ended_for, len(done.out), done.status), (OUTPUT, 1000, -9))
        self.assertEqual(self.sh("head -c 1001 /dev/zero", output=1000).ended_for, OUTPUT)
        self.assertEqual(self.sh("head -c 1000 /dev/zero", output=1000).ended_for, "")
        self.assertEqual(self.sh("sleep 1000", seconds=0.1).ended_for, TIME)
        with tempfile.NamedTemporaryFile() as file:
            done = self.sh(f"head -c 1001 /dev/zero >{file.name}; sleep 1000", output=1000, files=[file.name, "/none"])
            self.assertEqual(done.ended_for, OUTPUT)

    def test_what_it_leaves_behind_ends(self):
        """It holds the pipes open, which delays nothing either."""
        done = self.sh("sleep 1000 & echo $!")
        self.assertLess(done.seconds, 60)
        try:
            pidfd = os.pidfd_open(int(done.out))
        except ProcessLookupError:
            return
        self.addCleanup(os.close, pidfd)
        self.assertEqual(select.select([pidfd], [], [], 60 * PATIENCE)[0], [pidfd])

    def test_stopped(self):
        stopper = threading.Timer(0.1, self.stopper.stop)
        stopper.start()
        with self.assertRaises(Stopped):
            self.sh("sleep 1000")
        stopper.join()
        with self.assertRaises(Stopped):
            self.sh("true")

    def test_what_cannot_be_started(self):
        with self.assertRaises(OSError):
            run(["/nonexistent"], cwd="/", seconds=1, stopper=self.stopper)


class RegexTest(unittest.TestCase):
    def check(self, pattern, output, **more):
        with tempfile.TemporaryDirectory(prefix="mh-regex-") as directory:
            write_outputs([output], directory)
            return check_regexes([re.compile(pattern.encode(), re.MULTILINE)], [output], directory,
                                 more.pop("seconds", 60), Stopper(), **more)

    def test_matches(self):
        self.assertEqual(self.check("^b$", b"a\nb\n"), PASSED)
        self.assertEqual(self.check("\u2192", "\u2192".encode()), PASSED)
        self.assertEqual(self.check("^b$", b"ab\n").message, "the output does not match ^b$")

    def test_output_that_is_slow_to_match(self):
        judgement = self.check("^(a|a)*$", b"a" * 40 + b"b", seconds=0.1)
        self.assertEqual((judgement.status, judgement.message), ("wrong", "the output takes too long to compare with ^(a|a)*$"))

    def test_no_point_is_lost_where_the_host_is_at_fault(self):
        """The process that compares is not started in time, or is killed."""
        for python in ("sleep 1000", "kill -9 $$", "exit 1"):
            with tempfile.NamedTemporaryFile("w", suffix=".sh", delete=False) as file:
                file.write(f"#!/bin/sh\n{python}\n")
            self.addCleanup(os.remove, file.name)
            os.chmod(file.name, 0o755)
            with unittest.mock.patch("sys.executable", file.name), \
                    unittest.mock.patch("mh_grade.expect.WAIT_SECONDS", 0.1):
                judgement = self.check("^(a|a)*$", b"a", seconds=0.01)
            self.assertEqual(judgement.status, "error", judgement)
            self.assertIn("cannot be compared", judgement.message)


class MessagesTest(unittest.TestCase):
    def test_statistics_are_taken_off(self):
        messages = Messages.read(b"mini_hypervisor: VM 1 (a): invalid opcode (#UD), vector 6, at rip 0x1f; none\n  rax 0\n"
                                 b"mini_hypervisor: VM 1 (a):\nprocessor: soft\ninstructions: 149\n"
                                 b"mini_hypervisor: VM 2 (b):\nprocessor: soft\ninstructions: 1\n")
        self.assertEqual(messages.text, "VM 1 (a): invalid opcode (#UD), vector 6, at rip 0x1f; none\n  rax 0")
        self.assertEqual(messages.instructions, 150)
        self.assertEqual(messages.first_line, "invalid opcode (#UD), vector 6, at rip 0x1f; none")
        self.assertEqual(stopped_at(messages.text), (1, 0x1f))
        self.assertEqual(Messages.read(b"").instructions, None)


class GdbTest(unittest.TestCase):
    def test_what_is_kept_of_much_output(self):
        details, kind = gdb_details(["not ok 1 - x", "# the guest printed:", "# " + "A" * 1000000] + 1000 * ["# b"])
        self.assertEqual(kind, "log")
        self.assertEqual(len(details.split("\n")), 400)
        self.assertLess(len(details), 2000)
        self.assertEqual(gdb_details(["# --- expected", "# +++ gdb"]), ("--- expected\n+++ gdb", "diff"))


class SubmissionsTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="mh-submissions-")
        self.addCleanup(directory.cleanup)
        self.dir = directory.name
        os.makedirs(os.path.join(self.dir, "a", "inner"))
        self.put("a/inner/file", b"1")

    def put(self, name, data):
        with open(os.path.join(self.dir, name), "wb") as file:
            file.write(data)

    def only(self):
        submission, = find_submissions(self.dir)
        return submission

    def rejected(self, words):
        with self.assertRaisesRegex(Rejected, words):
            list(read_files(self.only()))

    def test_hash_is_of_names_and_contents(self):
        seen = [hash_submission(self.only())]
        self.put("a/inner/file", b"2")
        seen.append(hash_submission(self.only()))
        os.rename(os.path.join(self.dir, "a", "inner", "file"), os.path.join(self.dir, "a", "file"))
        seen.append(hash_submission(self.only()))
        os.chmod(os.path.join(self.dir, "a", "file"), 0o755)
        seen.append(hash_submission(self.only()))
        os.symlink("/etc/passwd", os.path.join(self.dir, "a", "link"))
        seen.append(hash_submission(self.only()))
        self.assertEqual(len(set(seen)), 5)

    def test_links(self):
        os.symlink("inner/file", os.path.join(self.dir, "a", "link"))
        self.assertEqual(list(read_files(self.only())), [("inner/file", b"1", False), ("link", b"1", False)])
        os.symlink("..", os.path.join(self.dir, "a", "up"))
        self.rejected("'up' is a symbolic link that leads out")
        os.remove(os.path.join(self.dir, "a", "up"))
        os.symlink("inner", os.path.join(self.dir, "a", "directory"))
        self.rejected("'directory' is neither")
        os.remove(os.path.join(self.dir, "a", "directory"))
        os.symlink("loop", os.path.join(self.dir, "a", "loop"))
        self.rejected("leads nowhere")

    def test_hidden_entries_are_none(self):
        self.put(".hidden", b"")
        self.assertEqual(self.only().name, "a")

    def test_names(self):
        hostile = Submission("a\n\udce4/\u202e<b>", "")
        self.assertEqual(hostile.shown, "a\ufffd\ufffd/\ufffd<b>")
        self.assertRegex(hostile.plain, r"\A[A-Za-z0-9_.-]+\Z")
        self.assertEqual(Submission("..", "").plain, "submission")


class SuiteHashTest(unittest.TestCase):
    def test_what_git_and_python_keep_does_not_count(self):
        with tempfile.TemporaryDirectory(prefix="mh-suite-") as directory:
            seen = []
            for name in ("suite.toml", ".git/index", "__pycache__/judge.pyc", ".hidden"):
                path = os.path.join(directory, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="ascii") as file:
                    file.write("text")
                seen.append(hash_directory(directory, []))
        self.assertEqual(seen[0], seen[2])
        self.assertNotEqual(seen[2], seen[3])


class UsersTest(unittest.TestCase):
    def test_two_graders_have_different_users(self):
        """Or their builds would share a limit on processes, and could write each other's files."""
        with contextlib.ExitStack() as stack:
            one, other = claim_users(2), claim_users(3)
            for claim in one + other:
                stack.enter_context(claim.socket)
            numbers = [claim.user for claim in one + other]
        self.assertEqual((len(one), len(other), len(set(numbers))), (2, 3, 5))
        self.assertGreaterEqual(min(numbers), FIRST_USER)


class WorkersTest(unittest.TestCase):
    def test_threads_that_cannot_be_started(self):
        """Those that run are waited for, so that nothing is used behind its end."""
        grader = unittest.mock.Mock(stopper=Stopper())
        ended = []
        workers = Workers(grader, [], ended.append)
        workers.work = lambda worker: ended.append(select.select([grader.stopper.read_end], [], [], 60)[0])
        start = threading.Thread.start
        with unittest.mock.patch("threading.Thread.start", autospec=True) as refusing:
            refusing.side_effect = lambda thread: start(thread) if refusing.call_count == 1 else refuse()
            with self.assertRaisesRegex(OSError, "--jobs"):
                workers.run(2)
        self.assertEqual(ended, [[grader.stopper.read_end]])


def refuse():
    raise RuntimeError("can't start new thread")


class JournalTest(unittest.TestCase):
    HEAD = Head("s", "p", "t", [["one", 1.0]], ["a", "b", "c\udcff"], 1, 1)

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="mh-journal-")
        self.addCleanup(directory.cleanup)
        self.dir = directory.name

    def journal(self):
        journal = Journal(self.dir, self.HEAD)
        self.addCleanup(journal.close)
        return journal

    def result(self, name, status="pass", key="k"):
        return SubmissionResult(name, name, key, [TestResult("one", 1.0, status)])

    def test_what_still_counts(self):
        journal = Journal(self.dir, self.HEAD)
        self.assertEqual(journal.open({}), {})
        for result in (self.result("a"), self.result("b", "error"), self.result("c\udcff", key="old")):
            journal.append(result)
        path = journal.path
        journal.close()
        with open(path, "a", encoding="ascii") as file:
            file.write("{\"name\": \"d\", \"tes")
        self.assertEqual(list(read_journal(path)[1]), ["a", "b", "c\udcff"])
        kept = self.journal().open({"a": "k", "b": "k", "c\udcff": "new"})
        self.assertEqual(list(kept), ["a"])
        self.assertEqual(list(read_journal(path)[1]), ["a"])

    def test_only_one_writes(self):
        self.journal()
        with self.assertRaisesRegex(JournalError, "another grade is writing it"):
            self.journal()

    def test_what_is_no_journal(self):
        for text in ("", "nonsense\n", "{}\n", "[]\n", "{\"format\": 1}\n"):
            path = os.path.join(self.dir, "results-1-of-1.jsonl")
            with open(path, "w", encoding="ascii") as file:
                file.write(text)
            with self.assertRaisesRegex(JournalError, "no results"):
                read_journal(path)


class ProgressTest(unittest.TestCase):
    def test_ten_lines_without_a_terminal(self):
        to = io.StringIO()
        progress = Progress(1000, 500, to)
        for number in range(500):
            progress.add(SubmissionResult(str(number), "", "", [TestResult("one", 1.0, "pass")]))
        lines = to.getvalue().splitlines()
        self.assertEqual(len(lines), 5)
        self.assertTrue(lines[-1].startswith("grade: 1000/1000  "), lines[-1])
        self.assertTrue(lines[-1].endswith("  500 passed"), lines[-1])


if __name__ == "__main__":
    unittest.main()
