"""The command line: what is accepted, and what is refused and how."""

import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from hypervisor import EXIT_IMAGE, EXIT_USAGE, MB, Case, contents, guest, main, sample  # noqa: E402

HELLO = b"Hello, world!\n"

# What --probe prints with a usable KVM, and the values it knows. Without one it says why and stops after xcr0; with
# --accel soft, which does not look for KVM, it says nothing about KVM at all.
YES_NO = ("yes", "no")
PROBED = {
    "accel": ("kvm", "soft"), "kvm": None, "xcr0": None, "kernel": None, "kvm-api": ("12",),
    "kvm-synchronized-registers": YES_NO, "kvm-coalesced-ports": YES_NO,
    "kvm-int3-in-ring-0": ("reported", "error", "lost"), "kvm-int3-in-ring-3": ("reported", "lost"),
    "kvm-data-registers": YES_NO, "kvm-sse-in-ring-0": YES_NO,
}


class AcceptedTest(Case):
    def setUp(self):
        super().setUp()
        for name in ("guest.img", "guest1.img", "guest2.img"):
            shutil.copy(sample("seed"), self.path(name))
        self.write("flowers.png", b"\x89PNG\r\n\x1a\n\0flowers")
        self.write("notes.txt", b"notes\n")

    def test_first_example(self):
        self.check(self.run_vm("--memory", "4", "--page", "2", "--guest", "guest.img"), 0, HELLO, "")

    def test_second_example(self):
        result = self.run_vm("-m", "4", "-p", "2", "-g", "guest1.img", "guest2.img", "-f", "./flowers.png", "notes.txt")
        self.check(result, 0, HELLO * 2, "")

    def test_options_may_come_in_any_order_and_form(self):
        self.check(self.run_vm("--page=4", "-gguest.img", "-m8", "--file=notes.txt", "-f", "flowers.png"), 0, HELLO, "")

    def test_lists_may_be_repeated(self):
        result = self.run_vm("-g", "guest1.img", "-f", "notes.txt", "-g", "guest2.img", "guest.img", "-f",
                             "flowers.png")
        self.check(result, 0, HELLO * 3, "")

    def test_same_image_twice_is_two_machines(self):
        result = self.run_vm("-g", "guest.img", "guest.img", "-g", "guest.img", "--label", "always")
        self.check(result, 0, err="")
        lines = result.out.splitlines()
        self.assertEqual(len(lines), 3)
        self.assertEqual(len({line.split(b"|")[0] for line in lines}), 3, "labels must differ")

    def test_memory(self):
        run = [(), ("-m", 2), ("-m", 4), ("--memory", 8), ("-m", "4M"), ("--memory=8mb",)]
        for arguments, size in zip(run, (2, 2, 4, 8, 4, 8)):
            with self.subTest(arguments=arguments):
                result = self.check(self.run_vm("-g", guest("state"), *arguments))
                self.assertIn(b"rsp %016x\n" % (size * MB - 8), result.out)

    def test_page_size(self):
        for arguments, large in (((), True), (("-p", 2), True), (("--page", 4), False), (("-p", "2M"), True),
                                 (("-p", "4K"), False)):
            with self.subTest(arguments=arguments):
                _, monitor = self.start_monitor(*arguments)
                entry = int.from_bytes(monitor.peek(0x1002000, 8), "little")  # the page directory's first
                self.assertEqual(bool(entry & 0x80), large)

    def test_help(self):
        for option in ("--help", "-h"):
            result = self.check(self.run_vm(option), 0, err="")
            text = result.out.decode()
            for word in ("--memory", "--page", "--guest", "--file", "--timeout", "--serial", "--label", "--console",
                         "--files-dir", "--max-open", "--max-written", "--accel", "--probe", "--version", "Exit status",
                         "mini_hypervisor --memory 4 --page 2 --guest guest.img",
                         "mini_hypervisor -m 4 -p 2 -g guest1.img guest2.img -f ./flowers.png notes.txt"):
                self.assertIn(word, text)

    def test_version(self):
        for option in ("--version", "-V"):
            result = self.check(self.run_vm(option), 0, err="")
            self.assertRegex(result.out.decode(), r"^mini_hypervisor \d+\.\d+\.\d+\n$")

    def probe(self, accel):
        lines = self.check(self.run_vm("--accel", accel, "--probe"), 0, err="").out.decode().splitlines()
        found = dict(line.split(": ", 1) for line in lines)
        self.assertEqual(list(found), [line.split(": ")[0] for line in lines], "each once")
        for name, value in found.items():
            self.assertTrue(value if PROBED[name] is None else value in PROBED[name], (name, value))
        return found

    def test_probe(self):
        """A line for each thing tried, whatever the host, and none of them unknown."""
        found = self.probe("auto")
        self.assertEqual(list(found)[:2], ["accel", "kvm"])
        self.assertEqual(set(found), set(PROBED) if found["kvm"] == "usable" else {"accel", "kvm", "xcr0"})
        self.assertEqual(found["accel"], "kvm" if found["kvm"] == "usable" else "soft")

    def test_probe_of_software(self):
        found = self.probe("soft")
        self.assertEqual(list(found), ["accel", "xcr0"])
        self.assertEqual(found["accel"], "soft")


class RefusedTest(Case):
    def refused(self, *arguments, says=None):
        """Exit 2, nothing on stdout, one line on stderr."""
        with self.subTest(arguments=arguments):
            result = self.check(self.run_vm(*arguments), EXIT_USAGE, b"")
            self.assertEqual(result.messages.count("\n"), 1, result)
            self.assertTrue(result.messages.startswith("mini_hypervisor: ") and result.messages.endswith("\n"))
            for part in says or ():
                self.assertIn(part, result.messages)

    def refused_with_guest(self, *arguments, says=None):
        self.refused("-g", sample("seed"), *arguments, says=says)

    def test_no_guest(self):
        self.refused(says=["--guest"])
        self.refused("-m", "4", says=["--guest"])
        self.refused("-g", says=["--guest"])
        self.refused("-g", "-m", "4", says=["--guest"])

    def test_memory(self):
        for value in ("0", "1", "3", "5", "6", "7", "9", "16", "-4", "4x", "x", "", "4.0", "0x4", " 4", "+4", "3M",
                      "4G", "4K", "99999999999999999999", "18446744073709551620"):
            self.refused_with_guest("--memory=" + value, says=["2M, 4M or 8M"])

    def test_page(self):
        for value in ("0", "1", "3", "8", "2k", "4M", "4096", "", "-2"):
            self.refused_with_guest("--page=" + value, says=["4K or 2M", "4 KB", "2 MB"])

    def test_accel(self):
        for value in ("", "on", "KVM", "tcg"):
            self.refused_with_guest("--accel=" + value, says=["auto, kvm, or soft"])

    def test_timeout(self):
        for value in ("0", "-1", "x", "", "1s", "nan", "inf", "1e300"):
            self.refused_with_guest("--timeout=" + value, says=["seconds"])

    def test_console(self):
        for value in ("0", "-1", "x", "", "1x"):
            self.refused_with_guest("--console=" + value)
        self.refused_with_guest("--console", "2", says=["1 VM"])
        self.refused_with_guest("--console", "1", "--serial", "null", says=["--serial"])

    def test_label(self):
        for value in ("", "on", "Always", "alway"):
            self.refused_with_guest("--label=" + value, says=["auto, always or never"])

    def test_serial(self):
        for value in ("", "tty", "file", "file:", "stdio:", "ptyx"):
            self.refused_with_guest("--serial=" + value, says=["stdio, file:PATH, pty or null"])
        self.refused("-g", sample("seed"), sample("seed"), "--serial", "file:out", says=["%n"])
        self.assertFalse(os.path.exists(self.path("out")))

    def test_limits(self):
        for option in ("--max-open=", "--max-written="):
            for value in ("0", "-1", "x", "", "1.5", "99999999999999999999"):
                self.refused_with_guest(option + value, says=["number"])
        self.refused_with_guest("--files-dir=")

    def test_files_dir_that_is_a_file(self):
        with open(self.path("taken"), "wb"):
            self.refused_with_guest("--files-dir", "taken", says=["--files-dir 'taken' is not a directory"])

    def test_unknown(self):
        self.refused_with_guest("--memry", "4", says=["--memory"])
        self.refused_with_guest("--guests", "x", says=["--guest"])
        self.refused_with_guest("--frobnicate", says=["--frobnicate", "--help"])
        for word in ("-x", "--", "---", "--x=y"):
            self.refused_with_guest(word, says=[word])

    def test_word_that_belongs_to_nothing(self):
        self.refused("guest.img", says=["--guest guest.img"])
        self.refused("-m", "4", "guest.img", says=["--guest guest.img"])

    def test_missing_value(self):
        for option in ("--memory", "--page", "--timeout", "--console", "--label", "--serial", "--files-dir",
                       "--max-open", "--max-written", "-f", "-m", "-p"):
            self.refused_with_guest(option, says=["needs"])
        self.refused("--memory", "--guest", sample("seed"), says=["--memory"])

    def test_value_nobody_asked_for(self):
        self.refused_with_guest("--help=me")
        self.refused_with_guest("--version=1")

    def test_contradiction(self):
        self.refused_with_guest("-m", "4", "-m", "8", says=["twice"])
        self.refused_with_guest("--page", "2", "-p", "4", says=["twice"])
        self.check(self.run_vm("-g", sample("seed"), "-m", "4", "-m", "4"), 0, HELLO, "")

    def test_control_bytes_do_not_reach_the_terminal(self):
        result = self.check(self.run_vm("-g", "\x1b]0;title\x07.img"), EXIT_IMAGE)
        self.assertNotIn("\x1b", result.messages)
        result = self.check(self.run_vm("--\x1b[2J"), EXIT_USAGE)
        self.assertNotIn("\x1b", result.messages)

    def test_outputs_over_inputs(self):
        """A slip on the command line loses no image and no shared file, under whatever name."""
        image = self.write("guest.img", contents(sample("hello")))
        notes = self.write("notes.txt", b"water the flowers\n")
        os.symlink("guest.img", self.path("link"))
        for output in (("--trace", "guest.img"), ("--trace", "link"), ("--trace", "notes.txt"),
                       ("--serial", "file:guest.img"), ("--serial", "file:notes.txt")):
            result = self.run_vm("-g", image, "-f", notes, *output)
            self.check(result, EXIT_USAGE, err="would be overwritten; choose another")
        self.assertEqual(contents(image), contents(sample("hello")))
        os.rename(image, self.path("guest-2"))
        for line in (("-g", sample("hello"), "guest-2"), ("-g", sample("hello"), sample("hello"), "-f", "guest-2")):
            self.check(self.run_vm(*line, "--serial", "file:guest-%n"), EXIT_USAGE,
                       err="guest-2 is a guest's image or a shared file and would be overwritten; choose another")
            self.assertFalse(os.path.exists(self.path("guest-1")))
        self.assertEqual(contents(self.path("guest-2")), contents(sample("hello")))
        self.assertEqual(contents(notes), b"water the flowers\n")

    def test_shared_files(self):
        self.write("a", b"")
        os.mkdir(self.path("sub"))
        self.write("sub/a", b"")
        os.mkfifo(self.path("pipe"))
        self.refused_with_guest("-f", "a", "sub/a", says=["'a'"])
        self.refused_with_guest("-f", "sub/", says=["'sub/'"])
        for path in ("missing", "sub", "pipe", "/dev/null"):
            with self.subTest(path=path):
                result = self.check(self.run_vm("-g", sample("seed"), "-f", path), EXIT_IMAGE, b"", "'" + path + "'")
                self.assertEqual(result.messages.count("\n"), 1)


if __name__ == "__main__":
    main()
