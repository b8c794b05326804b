"""Images that are built again while their machines are debugged: run and monitor reset start what is in the file now."""

import os
import re
import select
import shutil
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import END_OF_HISTORY, Gdb, GdbCase, elf  # noqa: E402
from hypervisor import DEADLINE, contents, is_sanitized, main, on  # noqa: E402


def prints(letter, times=1):
    """A flat image that prints a letter, wherever it is loaded."""
    return (b"\xb0" + letter + b"\xe6\xe9") * times + b"\xf4"  # mov $letter, %al; out %al, $0xe9; hlt


def in_place(path, data):
    with open(path, "wb") as file:
        file.write(data)


def by_rename(path, data):
    with open(path + ".new", "wb") as file:
        file.write(data)
    os.rename(path + ".new", path)


def removed_before(path, data):
    os.unlink(path)
    in_place(path, data)


class RebuiltTest(GdbCase):
    def extended(self, vm, number=1):
        gdb = vm.gdb(number, connect=False)
        gdb(f"target extended-remote {vm.where[number - 1]}")
        return gdb

    def image(self, data, name="kernel.img"):
        return self.write(name, data)

    def test_elf(self):
        """gdb reads the symbols again, and the machine runs what they belong to."""
        for rebuild in (in_place, by_rename, removed_before):
            image = self.image(contents(elf("gdb_points")), "kernel.elf")
            vm = self.offer(image)
            gdb = self.extended(vm)
            gdb("break done")
            self.assertNotIn("has changed", gdb("run"))
            rebuild(image, contents(elf("gdb_program")))
            os.utime(image, (1, 1))  # gdb compares whole seconds
            gdb("delete")
            answer = gdb("run")
            self.assertIn(f"guest image '{os.path.realpath(image)}' has changed and was loaded again", answer)
            gdb("break add")
            answer = gdb("run")
            self.assertIn("add (a=1, b=2)", answer)
            self.assertNotIn("has changed", answer, "once is enough")
            gdb("kill")
            gdb.close()

    def test_elf_from_here(self):
        """gdb keeps symbols that it got over the connection, and is told how to get the new ones."""
        image = self.image(contents(elf("gdb_points")), "kernel.elf")
        vm = self.offer(image)
        gdb = vm.gdb(connect=False, file=False)
        self.assertIn("Reading symbols from target:", gdb(f"target extended-remote {vm.where[0]}"))
        by_rename(image, contents(elf("gdb_program")))
        answer = gdb("run")
        self.assertIn("has disappeared", answer)
        command = re.search("has disappeared, type: (symbol-file .*)\n", answer)[1]
        self.assertNotIn("error", gdb(command))
        gdb("break add")
        self.assertIn("add (a=1, b=2)", gdb("run"))

    def test_flat(self):
        for rebuild in (in_place, by_rename, removed_before):
            image = self.image(prints(b"a"))
            vm = self.offer(image)
            gdb = self.extended(vm)
            gdb("continue")
            rebuild(image, prints(b"b"))
            self.assertIn("has changed", gdb("run"))
            rebuild(image, prints(b"c", 1000))  # and grows
            self.assertIn("has changed", gdb("run"))
            rebuild(image, prints(b"d"))  # and shrinks, and nothing of the larger one is left
            gdb("starti")
            self.assertEqual(gdb.value("*(long*)8"), 0)
            gdb("continue")
            self.assertEqual(vm.run.wait_for(b"ab" + b"c" * 1000 + b"d"), b"ab" + b"c" * 1000 + b"d")
            gdb.close()

    def test_address(self):
        """--load applies to what is loaded again, too."""
        image = self.image(prints(b"a"))
        vm = self.offer(image, "--load", "0x8000")
        gdb = self.extended(vm)
        by_rename(image, prints(b"b"))
        gdb("starti")
        self.assertEqual(gdb.pc(), 0x8000)
        self.assertEqual(gdb.value("*(char*)0x8001"), ord("b"))
        self.assertEqual(gdb.value("*(long*)0"), 0)

    def test_same_contents(self):
        """A file that is written again with what it had is no news."""
        image = self.image(prints(b"a"))
        gdb = self.extended(self.offer(image))
        by_rename(image, prints(b"a"))
        self.assertNotIn("has changed", gdb("run"))

    def test_link_to_another_file(self):
        """The name counts that was given, and where it leads now."""
        self.image(prints(b"a"), "first")
        self.image(prints(b"b"), "second")
        os.mkdir(self.path("out"))
        os.symlink("../first", self.path("out", "kernel.img"))
        vm = self.offer("out/kernel.img")
        gdb = self.extended(vm)
        gdb("run")
        os.unlink(self.path("out", "kernel.img"))
        os.symlink("../second", self.path("out", "kernel.img"))
        self.assertIn("has changed", gdb("run"))
        os.rename(self.path("out"), self.path("old"))
        os.mkdir(self.path("out"))
        self.image(prints(b"c"), "out/kernel.img")
        self.assertIn("has changed", gdb("run"), "directories are looked up again, too")
        self.assertEqual(vm.run.wait_for(b"abc"), b"abc")

    def test_load(self):
        """gdb's own way, for those who know it from other stubs: it writes the new image over the old one."""
        image = self.image(contents(elf("gdb_points")), "kernel.elf")
        vm, gdb = self.debug(image)
        by_rename(image, contents(elf("gdb_program")))
        gdb(f"file {image}")
        self.assertIn("Loading section .text", gdb("load"))
        gdb("break add")
        self.assertIn("add (a=1, b=2)", gdb("continue"))

    def test_monitor_reset(self):
        """Also for those who came with target remote."""
        image = self.image(prints(b"a"))
        vm, gdb = self.debug(image)
        by_rename(image, prints(b"b"))
        self.assertIn("has changed and was loaded again", gdb("monitor reset"))
        gdb("continue")
        self.assertEqual(vm.run.wait_for(b"b"), b"b")

    def test_told_when_it_connects(self):
        """Until it is restarted, the machine runs what it was created with."""
        image = self.image(prints(b"a"))
        vm = self.offer(image)
        by_rename(image, prints(b"b"))
        gdb = self.extended(vm)
        answer = gdb("continue")
        self.assertIn("has changed since it was loaded", answer)
        self.assertIn("monitor reset", answer)
        self.assertEqual(vm.run.wait_for(b"a"), b"a")

    def refused(self, rebuild, why):
        """`run` is refused, with one line, as long as the file cannot be used; the machine is not lost by that."""
        image = self.image(prints(b"a"))
        vm = self.offer(image)
        gdb = self.extended(vm)
        gdb("run")
        rebuild(image)
        for _ in range(2):
            self.assertFails(gdb("run"))
        told = vm.run.wait_for(lambda got: got.count(b"cannot restart") == 2, "err").decode()
        lines = [line for line in told.splitlines() if "cannot restart" in line]
        self.assertRegex(lines[0], f"VM 1 \\(kernel\\): cannot restart: guest image '.*kernel.img' {why}")
        if os.path.isdir(image):
            os.rmdir(image)
        elif os.path.exists(image):
            os.unlink(image)
        self.image(prints(b"b"))
        self.assertIn("has changed", gdb("run"))
        self.assertEqual(vm.run.wait_for(b"ab"), b"ab")

    def test_vanished(self):
        self.refused(os.unlink, "cannot be opened: No such file or directory")

    def test_not_whole(self):
        """As while a linker writes it."""
        self.refused(lambda image: in_place(image, contents(elf("gdb_points"))[:2000]), "is truncated")

    def test_empty(self):
        self.refused(lambda image: in_place(image, b""), "is empty")

    def test_too_large(self):
        self.refused(lambda image: in_place(image, bytes(9 << 20)), "needs 9437184 bytes of RAM")

    def test_not_a_file(self):
        def replace(image, make):
            os.unlink(image)
            make(image)
        self.refused(lambda image: replace(image, os.mkdir), "cannot be opened: Is a directory")
        self.refused(lambda image: replace(image, os.mkfifo), "cannot be opened: Invalid argument")

    def test_monitor_reset_refused(self):
        """The machine is where it was, and can be continued."""
        image = self.image(prints(b"a", 3))
        vm, gdb = self.debug(image)
        gdb("stepi 2")
        os.unlink(image)
        self.assertFails(gdb("monitor reset"))
        self.assertEqual(gdb.pc(), 4)
        gdb("continue")
        self.assertEqual(vm.run.wait_for(b"aaa"), b"aaa")

    def test_each_machine_its_own(self):
        """Of two machines with one image, only the one that is restarted gets the new one."""
        image, other = self.image(prints(b"a")), self.image(prints(b"x"), "other.img")
        vm = self.offer([image, image, other])
        first, second, third = (self.extended(vm, number) for number in (1, 2, 3))
        by_rename(image, prints(b"b"))
        by_rename(other, prints(b"y"))
        for gdb, expected in ((second, b"a"), (first, b"a"), (third, b"x")):
            gdb("stepi")
            self.assertEqual(gdb.value("$al"), expected[0])
        for gdb, expected in ((third, b"y"), (first, b"b")):
            gdb("starti")
            gdb("stepi")
            self.assertEqual(gdb.value("$al"), expected[0])
        second("stepi")
        self.assertEqual(bytes(second("output/x $pc"), "ascii")[-1:], b"4", "it runs on as it did")

    def test_all_on_one_port(self):
        image, other = self.image(prints(b"a")), self.image(prints(b"x"), "other.img")
        _, gdb = self.debug_all(image, other)
        by_rename(other, prints(b"y"))
        gdb("inferior 2")
        gdb("unset tdesc filename")  # see docs/gdbstub.md
        self.assertIn("has changed and was loaded again", gdb("monitor reset"))
        gdb("maintenance flush register-cache")
        gdb("stepi")
        self.assertEqual(gdb.value("$al"), ord("y"))

    @on("soft", "auto")
    def test_history_begins_anew(self):
        """There is no way back from the new image into the past of the old one."""
        image = self.image(prints(b"a", 20))
        gdb = self.extended(self.offer(image))
        gdb("stepi 10")
        by_rename(image, prints(b"b", 20))
        gdb("starti")
        gdb("stepi 5")
        self.assertRegex(gdb("reverse-continue"), END_OF_HISTORY)
        self.assertEqual(gdb.pc(), 0)
        gdb("stepi")
        self.assertEqual(gdb.value("$al"), ord("b"))

    def test_file_for_debuggers(self):
        """gdb without a file of its own reads the one that the machine runs, whatever has its name."""
        def program():
            self.assertEqual(wire.ask(f"vFile:open:{name.encode().hex()},0,0"), "F0")
            wire.send("vFile:pread:0,3000,0")
            data = wire.receive().split(b";", 1)[1]
            self.assertEqual(wire.ask("vFile:close:0"), "F0")
            return data
        image = self.image(contents(elf("gdb_points")), "kernel.elf")
        wire = self.offer(image).wire()
        name = wire.ask("qXfer:exec-file:read:1:0,fff")[1:]
        self.assertEqual(name, os.path.realpath(image))
        by_rename(image, contents(elf("gdb_program")))
        self.assertEqual(program(), contents(elf("gdb_points"))[:0x3000])
        wire.ask("!")
        wire.ask("vRun;")
        self.assertEqual(program(), contents(elf("gdb_program"))[:0x3000])

    def test_gdb_compares_build_ids(self):
        """Symbols of another build than the machine runs: gdb itself says so when it connects."""
        def with_build_id(name, byte):
            """An ELF file with a build-id."""
            path = self.path(name)
            self.assertEqual(os.spawnlp(os.P_WAIT, "objcopy", "objcopy", "--add-section",
                                        f".note.gnu.build-id={self.write('note', note + byte * 20)}",
                                        "--set-section-flags", ".note.gnu.build-id=readonly,data", elf("gdb_points"),
                                        path), 0)
            return path
        note = b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0"
        if shutil.which("objcopy") is None:
            self.skipTest("objcopy is not installed")
        image, symbols = with_build_id("kernel.elf", b"\1"), with_build_id("other.elf", b"\2")
        vm = self.offer(image)
        gdb = Gdb(self.dir, symbols)
        self.addCleanup(gdb.close)
        gdb("set exec-file-mismatch warn")
        self.assertIn("Build ID mismatch between current exec-file", gdb(f"target remote {vm.where[0]}"))
        self.assertNotIn("mismatch", self.offer(image).gdb()("info target"))


class SymbolsTest(GdbCase):
    """The ELF file beside a flat image, which gdb is told to read."""

    def test_of_another_build(self):
        image = self.write("kernel.img", contents(elf("gdb_points")[:-4] + ".img"))
        symbols = self.write("kernel.elf", contents(elf("gdb_program")))
        told = self.offer(image).run.wait_for(b"build both again\n", "err").decode()
        self.assertIn(f"warning: {os.path.realpath(symbols)} does not have the contents of {os.path.realpath(image)}", told)

    def test_of_another_build_with_one_port(self):
        self.write("kernel.elf", contents(elf("gdb_program")))
        image = self.write("kernel.img", contents(elf("gdb_points")[:-4] + ".img"))
        run = self.start("-g", elf("gdb_points"), image, "--gdb-all", "0", *self.history([]))
        self.assertIn(b"VM 2 (kernel): warning: ", run.wait_for(b"build both again\n", "err"))

    def test_of_the_same_build(self):
        for name in ("gdb_points", "gdb_program", "simd", "rings"):
            vm = self.offer(elf(name)[:-4] + ".img")
            self.assertTrue(vm.elf[0].endswith(f"{name}.elf"))
            vm.wire().ask("qC")
            self.assertNotIn(b"warning", vm.run.output.bytes["err"])

    def test_that_cannot_be_loaded(self):
        """Something else of that name is no reason for a warning: gdb says what it thinks of it."""
        self.write("kernel.elf", b"\x7fELF")
        vm = self.offer(self.write("kernel.img", prints(b"a")))
        vm.wire().ask("qC")
        self.assertNotIn(b"warning", vm.run.output.bytes["err"])


class OpenerTest(GdbCase):
    """The process that opens images again."""

    def opener(self, run):
        path = f"/proc/{run.process.pid}/task/{run.process.pid}/children"
        return [int(pid) for pid in contents(path).split()]

    def test_only_with_a_debugger(self):
        image = self.write("kernel.img", b"\xeb\xfe")
        run = self.start("-g", image, "-g", image)
        self.assertEqual(self.opener(run), [])

    def test_has_nothing_and_may_do_nothing(self):
        vm = self.offer(self.write("kernel.img", prints(b"a")))
        vm.gdb()("monitor reset")  # the process has answered, so it has given up what it does not need
        (pid,) = self.opener(vm.run)
        self.assertEqual(os.listdir(f"/proc/{pid}/fd"), ["0"])
        if is_sanitized():
            self.skipTest("sanitizers need what is given up, so the program gives up nothing")
        status = contents(f"/proc/{pid}/status").decode()
        self.assertIn("NoNewPrivs:\t1\n", status)
        self.assertIn("Seccomp:\t2\n", status)

    def test_ends_with_the_program(self):
        for how in ("kill", signal.SIGKILL, signal.SIGTERM):
            vm = self.offer(self.write("kernel.img", prints(b"a")))
            gdb = vm.gdb()
            (pid,) = self.opener(vm.run)
            pidfd = os.pidfd_open(pid)
            self.addCleanup(os.close, pidfd)
            if how == "kill":
                gdb("kill")
            else:
                vm.run.signal(how)
            vm.run.finish()
            self.assertEqual(select.select([pidfd], [], [], DEADLINE)[0], [pidfd], how)

    def test_without_it(self):
        """Machines run on when somebody has ended it; they cannot be restarted."""
        vm = self.offer(self.write("kernel.img", prints(b"a", 2)))
        gdb = vm.gdb()
        gdb("stepi")
        os.kill(self.opener(vm.run)[0], signal.SIGKILL)
        self.assertFails(gdb("monitor reset"))
        self.assertEqual(gdb.pc(), 2)
        gdb("continue")
        self.assertEqual(vm.run.wait_for(b"aa"), b"aa")


if __name__ == "__main__":
    main()
