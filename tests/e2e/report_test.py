"""--report: that the page is whole, holds what happened, and stays a page whatever the guest does."""

import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import GdbCase, elf  # noqa: E402
from hypervisor import ACCEL, BULK, DEADLINE, EXIT_CRASHED, EXIT_IO, EXIT_SIGTERM, EXIT_TIMEOUT  # noqa: E402
from hypervisor import EXIT_USAGE, MB, SOURCE, Case, contents, guest, main, on, sample, sample_source  # noqa: E402
from report_page import Page, image_of_tables, text_of  # noqa: E402

IMAGE, TABLE, STACK, MAPPED, READ, WRITTEN, EXECUTED, CHANGED = (1 << i for i in range(8))
SYSTEM_AREA = 0x1000000
SIZE_MAX = 6 * MB


class ReportCase(Case):
    def report(self, *arguments, code=0, name="report.html", **options):
        self.result = self.check(self.run_vm(*arguments, "--report", name, **options), code)
        return self.page(name)

    def page(self, name="report.html"):
        """A page that is whole, and asks for nothing from elsewhere."""
        page = Page(self.path(name))
        self.assertLess(len(page.bytes), SIZE_MAX)
        self.assertTrue(page.text.startswith("<!DOCTYPE html>"))
        self.assertTrue(page.text.rstrip().endswith("</html>"))
        self.assertEqual(page.outside(), [])
        self.assertEqual([attributes.get("id") for attributes, _ in page.scripts], [None, "facts", "source", None])
        self.assertEqual(page.text.count("</script"), 4)
        policy = [a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a]
        self.assertIn("default-src 'none'", policy[0])
        self.assertEqual(page.script("source").strip(), "null")
        return page


class FactsTest(ReportCase):
    def test_a_guest_that_halts(self):
        facts = self.report("-g", sample("hello")).facts
        self.assertEqual(facts["machine"]["name"], "hello")
        self.assertEqual((facts["end"]["kind"], facts["end"]["crash"]), ("halted", False))
        self.assertNotIn("fault", facts["end"])
        self.assertEqual(text_of(facts["serial_out"]), self.result.out)
        self.assertEqual([exit["count"] for exit in facts["exits"] if exit["reason"] == "hlt"], [1])
        kinds = [entry["kind"] for entry in facts["timeline"]["entries"]]
        self.assertEqual((kinds[-1], set(kinds[:-1])), ("stop", {"out"}))
        self.assertEqual(sum(entry["bytes"] for entry in facts["timeline"]["entries"][:-1]), len(self.result.out))

    def test_a_crash(self):
        page = self.report("-g", sample("crash", "elf"), code=EXIT_CRASHED)
        fault = page.facts["end"]["fault"]
        self.assertTrue(page.facts["end"]["crash"])
        self.assertEqual((fault["vector"], fault["address"], fault["error"]), (14, "0x40000000", "0x2"))
        self.assertIn("write to a page that is not mapped", fault["meaning"])
        self.assertEqual(fault["missing"], "")
        self.assertIn("page walk of", page.facts["end"]["text"])
        self.assertEqual(page.facts["registers"]["control"]["cr2"], "0x40000000")
        pml4 = page.table(int(page.facts["tables"]["cr3"], 16))
        self.assertEqual(page.table(pml4[0] & ~0xfff)[1], 0)  # where the walk stops

    def test_memory(self):
        page = self.report("-g", sample("paging"), "-m", "8", "-p", "4K")
        memory, pages = page.facts["memory"], page.pages()
        self.assertEqual((memory["ram_pages"], len(pages)), (2048, 2058))
        self.assertTrue(pages[0] & IMAGE and pages[2047] & STACK and pages[5] & TABLE)
        self.assertTrue(pages[6] & CHANGED)
        self.assertEqual(pages[1000], MAPPED)
        self.assertEqual(memory["knows_accesses"], ACCEL == "soft")
        self.assertTrue(memory["knows_writes"])
        self.assertTrue(pages[2047] & WRITTEN)
        if ACCEL == "soft":
            self.assertTrue(pages[0] & EXECUTED and pages[1] & READ)
        self.assertIn([6, "0x1"], memory["changed"])

    def test_page_tables(self):
        page = self.report("-g", sample("paging"), "-p", "4K")
        self.assertEqual(page.facts["tables"]["cr3"], "0x5000")
        self.assertTrue(page.facts["tables"]["complete"])
        self.assertEqual(page.table(0x5000)[0] & ~0xfff, 0x4000)
        ram = [entry & ~0xfff for entry in page.table(SYSTEM_AREA + 0x4000)]
        self.assertEqual(ram, [i * 0x1000 for i in range(512)])

    def test_files(self):
        self.write("notes.txt", b"water the flowers\n")
        facts = self.report("-g", sample("files"), "-f", "notes.txt").facts
        names = [file["name"] for file in facts["files"]]
        self.assertEqual(names[:2], ["notes.txt", "report.txt"])
        self.assertEqual(facts["files"][names.index("missing.txt")]["failed"], 1)
        reads = [entry for entry in facts["timeline"]["entries"] if entry["kind"] == "file" and entry["op"] == "read"]
        self.assertEqual(sum(entry["bytes"] for entry in reads), sum(file["bytes_read"] for file in facts["files"]))

    def test_registers_are_there_whole(self):
        registers = self.report("-g", sample("hello")).facts["registers"]
        self.assertEqual(len(registers["general"]), 18)
        self.assertEqual(registers["segments"]["cs"]["selector"], "0x8")

    @on("soft")
    def test_instructions(self):
        facts = self.report("-g", sample("hello"), "--stats").facts
        last = facts["timeline"]["entries"][-1]["instructions"][0]
        self.assertIn(f"instructions: {last}\n", facts["processor"])
        self.assertIn(f"instructions: {last}\n", self.result.messages)


class EndsTest(ReportCase):
    def test_several_machines(self):
        self.check(self.run_vm("-g", sample("hello"), sample("crash"), "--report", "r%n.html"), EXIT_CRASHED)
        self.assertEqual(self.page("r1.html").facts["machine"]["name"], "hello")
        self.assertEqual(self.page("r2.html").facts["end"]["kind"], "fault")
        self.check(self.run_vm("-g", sample("hello"), sample("hello"), "--report", "r.html"), EXIT_USAGE,
                   err="several VMs need a file each")

    def test_timeout_and_signal(self):
        self.assertEqual(self.report("-g", guest("spin"), "--timeout", "0.3", code=EXIT_TIMEOUT).facts["end"]["kind"],
                         "interrupted")
        run, monitor = self.start_monitor("--report", "report.html")
        monitor.poke(0x40000, b"x")
        monitor.spin()
        run.signal(signal.SIGTERM)
        self.check(run.finish(), EXIT_SIGTERM)
        facts = self.page().facts
        self.assertEqual(facts["end"]["kind"], "interrupted")
        self.assertTrue(text_of(facts["serial_in"]).startswith(b"p\0\0\x04"))

    def test_a_report_that_cannot_be_written(self):
        self.check(self.run_vm("-g", sample("hello"), "--report", "/dev/full"), EXIT_IO, b"Hello, world!\n",
                   "the report cannot be written: No space left on device")
        self.check(self.run_vm("-g", sample("hello"), "--report", "none/r.html"), EXIT_IO, b"",
                   "--report none/r.html: cannot open it: No such file")
        self.check(self.run_vm("-g", sample("crash"), "--report", "/dev/full"), EXIT_IO)

    def test_an_image_is_not_overwritten(self):
        image = self.write("guest.img", contents(sample("hello")))
        self.check(self.run_vm("-g", image, "--report", "guest.img"), EXIT_USAGE, err="would be overwritten")

    def test_a_replay(self):
        self.check(self.run_vm("-g", sample("fibonacci"), "--record", "run.mhr"), 0)
        facts = self.report("--accel", "auto", "--replay", "run.mhr").facts
        self.assertEqual(text_of(facts["serial_out"]), self.result.out)
        self.assertTrue(facts["memory"]["knows_accesses"])


class DebuggedTest(GdbCase, ReportCase):
    def test_what_a_debugger_saw(self):
        vm = self.offer(elf("gdb_points"), "--report", "report.html")
        gdb = vm.gdb()
        gdb("break place_3")
        gdb("continue")
        gdb("delete")
        self.assertIn("exited normally", gdb("continue"))
        self.check(vm.run.finish(), 0)
        stops = [entry["stop"] for entry in self.page().facts["timeline"]["entries"] if entry["kind"] == "stop"]
        self.assertEqual((stops[0], stops[-1]), ("breakpoint", "halted"))


@on("soft")
class SourceTest(ReportCase):
    def fill(self, *arguments):
        return subprocess.run([os.path.join(SOURCE, "tools", "report_source"), *arguments], cwd=self.dir,
                              capture_output=True, timeout=DEADLINE, check=False)

    def test_lines_and_the_place_of_the_crash(self):
        before = self.report("-g", sample("crash", "elf"), code=EXIT_CRASHED)
        done = self.fill("report.html")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        page = Page(self.path("report.html"))
        self.assertEqual(page.facts, before.facts)
        files = {file["name"]: file for file in json.loads(page.script("source"))["files"]}
        guest = files["crash/guest.c"]
        with open(sample_source("crash", "guest.c"), encoding="utf-8") as file:
            self.assertEqual(guest["lines"], file.read().splitlines())
        here = guest["lines"].index("    student->grade = grade; /* page fault for the second student */") + 1
        self.assertEqual(guest["here"], here)
        never = guest["lines"].index('    puts("the exam is over"); /* never reached */') + 1
        self.assertEqual((guest["counts"][str(here - 1)], guest["counts"][str(never)]), (2, 0))
        self.assertEqual((guest["main"], files["sdk/console.c"]["main"]), (True, False))
        self.assertEqual(self.fill("report.html").returncode, 0)  # again
        self.assertEqual(Page(self.path("report.html")).script("source"), page.script("source"))

    def crash(self, source, directory=".", options=()):
        """The source in the page of a guest that was built from it, in this directory, and crashed."""
        os.makedirs(self.path(directory), exist_ok=True)
        self.write(os.path.join(directory, "guest.c"), source)
        os.makedirs(self.path(os.path.join(directory, "build")), exist_ok=True)
        subprocess.run(["gcc", "-g", "-ffreestanding", "-nostdlib", "-static", "-no-pie", "-Wl,-Ttext-segment=0x1000", *options,
                        "-o", "guest.elf", "../guest.c"], cwd=self.path(os.path.join(directory, "build")), check=True,
                       timeout=DEADLINE)
        self.report("-g", os.path.join(directory, "build", "guest.elf"), code=EXIT_CRASHED)
        done = self.fill("report.html")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return json.loads(Page(self.path("report.html")).script("source"))["files"]

    def test_lines_are_those_of_the_compiler(self):
        """It counts no form feed; and the path that it got has dots in it."""
        files = self.crash(b"\f/* a\xe2\x80\xa8b */\nvoid _start(void)\n{\n    *(volatile int *)0x40000000 = 1;\n}\n")
        self.assertEqual([(file["name"], file["lines"][3], file["here"]) for file in files],
                         [("guest.c", "    *(volatile int *)0x40000000 = 1;", 4)])

    def test_paths_that_are_no_text(self):
        files = self.crash(b"void _start(void) { *(volatile int *)0x40000000 = 1; }\n", os.fsdecode(b"a \xff"))
        self.assertEqual([(file["name"], file["here"]) for file in files], [("guest.c", 1)])

    def test_paths_that_are_relative(self):
        """As of builds that give the same bytes everywhere. Others may be absolute, those of headers of the system."""
        options = [f"-fdebug-prefix-map={self.dir}=.", f"-fdebug-prefix-map={os.path.realpath(self.dir)}=."]
        source = b"void _start(void)\n{\n#line 1 \"/none/header.h\"\n    asm(\"nop\");\n#line 5 \"../guest.c\"\n" \
                 b"    *(volatile int *)0x40000000 = 1;\n}\n"
        self.assertEqual([file["name"] for file in self.crash(source, options=options)], ["guest.c"])

    def test_source_that_is_no_file(self):
        """What an image names is not opened when that could last for ever."""
        os.mkfifo(self.path("pipe"))
        files = self.crash(b"void _start(void)\n{\n#line 1 \"" + os.fsencode(self.path("pipe")) +
                           b"\"\n    asm(\"nop\");\n#line 5 \"../guest.c\"\n    *(volatile int *)0x40000000 = 1;\n}\n")
        self.assertEqual([file["name"] for file in files], ["guest.c"])

    def test_a_disk_that_is_full(self):
        """Even if only the last bytes have no room, the page stays as it is, and nothing beside it."""
        self.report("-g", sample("crash", "elf"), code=EXIT_CRASHED)
        page = contents(self.path("report.html"))
        self.assertEqual(self.fill("report.html").returncode, 0)
        blocks = (os.stat(self.path("report.html")).st_size - 1) // 512
        self.write("report.html", page)
        done = subprocess.run(["sh", "-c", 'ulimit -f "$1" && exec "$0" report.html',
                               os.path.join(SOURCE, "tools", "report_source"), str(blocks)], cwd=self.dir,
                              capture_output=True, timeout=DEADLINE, check=False)
        self.assertEqual((done.returncode, done.stderr), (1, b"report_source: report.html: File too large\n"))
        self.assertEqual(contents(self.path("report.html")), page)
        self.assertEqual(os.listdir(self.dir), ["report.html"])

    def test_pages_that_source_cannot_be_put_into(self):
        self.report("-g", sample("hello"))  # a flat image
        page = contents(self.path("report.html"))
        self.write("other.html", b"<html></html>")
        flat = sample("hello") + " is no ELF file; name the one that it was made of with --image\n"
        for arguments, words in ((["report.html"], f"report_source: report.html: {flat}"), (["other.html"], "no page of mini_hypervisor"),
                                 (["none.html"], "No such file"),
                                 (["--image", "none.elf", "report.html"], "report.html: none.elf: No such file"),
                                 (["--image", "/etc/passwd", "report.html"], "is no ELF file")):
            done = self.fill(*arguments)
            self.assertEqual(done.returncode, 1)
            self.assertIn(words, done.stderr.decode())
        self.assertEqual(contents(self.path("report.html")), page)
        self.assertEqual(sorted(os.listdir(self.dir)), ["other.html", "report.html"])
        self.assertEqual(self.fill("--image", sample("hello", "elf"), "report.html").returncode, 0)


class HostileTest(ReportCase):
    def test_serial_output_is_text(self):
        evil = b"</script><script>alert(1)</script><!--<script>\0\xff\xc3\x28\x1b[2J\r\n&amp;\xe2\x80\xa8"
        page = self.report("-g", sample("echo"), input=evil)
        self.assertTrue(text_of(page.facts["serial_in"]).startswith(evil))
        self.assertIn(evil.split(b"\xff")[0], self.result.out)
        self.assertEqual(text_of(page.facts["serial_out"]), self.result.out)
        self.assertNotIn("alert", "".join(text for attributes, text in page.scripts if not attributes.get("id")))
        self.assertTrue(page.text.isascii() or "\0" not in page.text)

    @on("soft")
    def test_much_output_is_cut(self):
        facts = self.report("-g", guest("bulk")).facts
        serial = facts["serial_out"]
        out = self.result.out
        self.assertEqual((serial["total"], out), (len(out), BULK))
        self.assertEqual(serial["missing"] + len(serial["first"]) + len(serial["last"]), len(BULK))
        self.assertTrue(out.startswith(serial["first"].encode("latin-1")))
        self.assertTrue(out.endswith(serial["last"].encode("latin-1")))

    def test_names_of_files_are_text(self):
        run, monitor = self.start_monitor("--report", "report.html")
        name = b"</script>\"'\xff\n"
        monitor.out(0x278, 1, 1)
        for byte in len(name).to_bytes(4, "little") + name + bytes(4):
            monitor.out(0x278, 1, byte)
        monitor.halt()
        self.check(run.finish(), 0)
        self.page()

    @on("soft")
    def test_memory_full_of_page_tables(self):
        self.write("tables.img", image_of_tables(500))
        facts = self.report("-g", "tables.img").facts
        self.assertFalse(facts["tables"]["complete"])
        self.assertEqual(facts["tables"]["tables"][0]["at"], "0x1000")
        self.assertEqual(facts["end"]["kind"], "halted")

    @on("soft")
    def test_a_long_timeline_is_cut(self):
        """Bytes in and out in turn are an entry each."""
        timeline = self.report("-g", sample("echo"), input=b"x\n" * 3000).facts["timeline"]
        self.assertEqual(len(timeline["entries"]), 4000)
        self.assertGreater(timeline["missing"], 1000)


if __name__ == "__main__":
    main()
