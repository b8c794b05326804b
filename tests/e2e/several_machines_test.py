"""Several machines at one stdout: lines, labels, colours, and who gets the input."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from hypervisor import EXIT_CRASHED, EXIT_TIMEOUT, PATIENCE, Case, contents, guest, main, sample  # noqa: E402

LETTERS = "abcdefgh"


class LinesCase(Case):
    def images(self, letters=LETTERS):
        """A guest for each letter, printing lines of that one."""
        template = contents(guest("lines"))
        self.assertEqual(template.count(b"LETTER=@"), 1)
        return [os.path.basename(self.write(letter + ".img", template.replace(b"LETTER=@", b"LETTER=" +
                                                                              letter.encode())))
                for letter in letters]


class LinesTest(LinesCase):
    def test_lines_never_mix(self):
        """Each line is of one machine, all are there, and so are the unfinished last ones."""
        result = self.check(self.run_vm("-g", *self.images()), 0, err="")
        lines = result.out.decode().split("\n")
        for letter in LETTERS:
            self.assertEqual(lines.count(letter * 32), 200, letter)
            self.assertEqual(lines.count(letter + " unfinished"), 1, letter)
        self.assertEqual(len([line for line in lines if line]), 201 * len(LETTERS))

    def test_labels(self):
        result = self.check(self.run_vm("-g", *self.images(), "--label", "always"), 0, err="")
        lines = result.out.decode().split("\n")
        for letter in LETTERS:
            self.assertEqual(lines.count(f"{letter}| " + letter * 32), 200)
            self.assertEqual(lines.count(f"{letter}| {letter} unfinished"), 1)
        self.assertEqual(len([line for line in lines if line]), 201 * len(LETTERS))

    def test_order_within_a_machine(self):
        result = self.check(self.run_vm("-g", guest("state"), guest("state"), "--label", "always"), 0, err="")
        alone = self.check(self.run_vm("-g", guest("state"))).out
        for label in (b"state| ", b"state#2| "):
            own = b"".join(line[len(label):] for line in result.out.splitlines(True) if line.startswith(label))
            self.assertEqual(own, alone)

    def test_no_labels_without_a_terminal(self):
        """auto, never, and a single machine: bytes as they are."""
        alone = self.check(self.run_vm("-g", guest("bytes"))).out
        self.assertEqual(alone, bytes(range(256)))
        for option in ((), ("--label", "auto"), ("--label", "never")):
            result = self.check(self.run_vm("-g", sample("seed"), sample("seed"), *option), 0, err="")
            self.assertEqual(result.out, b"Hello, world!\n" * 2)

    def test_label_of_a_single_machine(self):
        result = self.run_vm("-g", sample("seed"), "--label", "always")
        self.check(result, 0, b"seed| Hello, world!\n", "")

    def test_binary_output_with_labels(self):
        result = self.check(self.run_vm("-g", guest("bytes"), "--label", "always"), 0, err="")
        self.assertEqual(result.out.replace(b"bytes| ", b""), bytes(range(256)))

    def test_line_longer_than_any_buffer(self):
        """192 KB with hardly any newline, beside others: nothing is lost."""
        result = self.check(self.run_vm("-g", guest("bulk"), guest("bulk")), 0, err="")
        self.assertGreaterEqual(len(result.out), 2 * 0x30000)
        self.assertLess(len(result.out), 2 * 0x30000 + 4096, "only newlines that end interrupted lines come along")


class TerminalTest(LinesCase):
    COLOUR = re.compile(rb"\x1b\[(\d+)m([^|]*)\|\x1b\[0m ")

    def screen(self, *arguments, env=None):
        run = self.start_on_terminal(*arguments, env=env)
        self.assertEqual(run.finish(), 0, run.screen)
        return run.screen.replace(b"\r\n", b"\n")

    def environment(self, **more):
        environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        environment.update(more)
        return environment

    def test_coloured_labels(self):
        screen = self.screen("-g", *self.images("ab"), env=self.environment())
        labels = self.COLOUR.findall(screen)
        self.assertEqual({name for _, name in labels}, {b"a", b"b"})
        self.assertEqual(len({colour for colour, _ in labels}), 2, "of different colours")
        # a terminal also shows the beginning of a line that takes long, and another machine then begins a new one
        lines = re.findall(rb"(?m)^\x1b\[\d+m([ab])\|\x1b\[0m (.*)$", screen)
        for letter in (b"a", b"b"):
            own = b"".join(line for label, line in lines if label == letter)
            self.assertEqual(own, letter * 32 * 200 + letter + b" unfinished")

    def test_never(self):
        self.assertEqual(self.screen("-g", sample("seed"), sample("seed"), "--label", "never"), b"Hello, world!\n" * 2)

    def test_single_machine_has_no_label(self):
        self.assertEqual(self.screen("-g", sample("seed")), b"Hello, world!\n")

    def test_no_color(self):
        screen = self.screen("-g", sample("seed"), sample("hello"), env=self.environment(NO_COLOR="1"))
        self.assertNotIn(b"\x1b", screen)
        self.assertIn(b"seed| Hello", screen)

    def test_colours_are_for_terminals_only(self):
        result = self.run_vm("-g", sample("seed"), sample("seed"), "--label", "always", env=self.environment())
        self.assertEqual(self.check(result).out.count(b"\x1b"), 0)

    def test_unfinished_line_of_a_spinning_machine(self):
        run = self.start_on_terminal("-g", guest("spin"), sample("seed"), "--timeout", "20", env=self.environment())
        run.wait_for(b"unfinished")
        self.assertNotIn(b"ended", run.output.bytes["news"])


class InputTest(Case):
    def test_first_machine_has_the_input(self):
        result = self.run_vm("-g", guest("cat"), guest("cat"), "--label", "always", input=b"word\n")
        out = self.check(result, 0, err="").out
        self.assertIn(b"cat| word\n", out)
        self.assertNotIn(b"cat#2| word", out)
        self.assertEqual(out.count(b"\xff\xff\xff"), 2, "the other finds the end of the input")

    def test_console_chooses(self):
        for number, label in ((1, b"cat"), (2, b"cat#2"), (3, b"cat#3")):
            result = self.run_vm("-g", *[guest("cat")] * 3, "--console", number, "--label", "always", input=b"word\n")
            lines = self.check(result, 0, err="").out.split(b"\n")
            self.assertIn(label + b"| word", lines)
            self.assertEqual(sum(b"word" in line for line in lines), 1)

    def test_prompt_of_one_of_several(self):
        run = self.start("-g", sample("seed"), guest("keys"), "--console", "2", "--label", "always")
        run.wait_for(b"keys| key? ")
        run.send(b"a")
        run.wait_for(lambda out: out.count(b"keys| key? ") == 2)  # with or without what the other prints in between
        self.assertIn(b"got 0000000000000061\n", run.output.bytes["out"])
        run.send(b"q")
        self.assertEqual(run.finish().code, 0)


class IsolationTest(LinesCase):
    def test_crash_leaves_the_others(self):
        result = self.run_vm("-g", guest("lines"), sample("crash"), guest("bulk"), sample("crash"), "--serial",
                             "file:out-%n")
        self.check(result, EXIT_CRASHED, b"", ["VM 2 (crash): page fault", "VM 4 (crash#4): page fault"])
        self.assertEqual(contents(self.path("out-3")), bytes((i + (i >> 8)) & 0xff for i in range(0x30000)))
        self.assertEqual(contents(self.path("out-1")), (b"@" * 32 + b"\n") * 200 + b"@ unfinished")

    def test_reports_do_not_mix(self):
        result = self.check(self.run_vm("-g", *[sample("crash")] * 8), EXIT_CRASHED)
        reports = re.split(r"(?m)^mini_hypervisor: ", result.messages)[1:]
        self.assertEqual(len(reports), 8)
        self.assertEqual(len({re.sub(r"^VM \d+ \([^)]*\)", "", report) for report in reports}), 1, result)

    def test_endless_loop_beside_good_guests(self):
        for form in ((), ("--label", "always")):
            result = self.run_vm("-g", *self.images("ab"), guest("spin"), sample("seed"), "--timeout", 2 * PATIENCE, *form)
            self.check(result, EXIT_TIMEOUT, err=f"VM 3 (spin): still running after {2 * PATIENCE} s")
            for wanted in (b"a" * 32, b"b" * 32, b"Hello, world!", b"a line", b"unfinished"):
                self.assertIn(wanted, result.out)
            self.assertEqual(result.out.count(b"a" * 32), 200)

    def test_crash_and_timeout(self):
        """The later in the list of exit codes counts."""
        result = self.run_vm("-g", sample("crash"), guest("spin"), "--timeout", 2)
        self.check(result, EXIT_TIMEOUT, err=["VM 1 (crash): page fault", "VM 2 (spin): still running"])

    def test_labels_name_the_image(self):
        self.write("one.img", contents(sample("seed")))
        os.makedirs(self.path("two"))
        self.write("two/guest.img", contents(sample("seed")))
        self.write("three.elf", contents(sample("hello", "elf")))
        result = self.run_vm("-g", "one.img", "two/guest.img", "three.elf", "one.img", "--label", "always")
        labels = [line.split(b"|")[0] for line in self.check(result, 0, err="").out.splitlines()]
        self.assertEqual(sorted(labels), [b"one", b"one#4", b"three", b"two"])


if __name__ == "__main__":
    main()
