"""
Development environments: the dialogues that they have with gdb's machine interface, with the settings of
guests/.vscode/launch.json and examples/editors. VS Code's C/C++ extension (cppdbg) and Emacs (gdb-mi, recorded from
Emacs 28); and CLion, whose remote debugging connects, and asks by thread and frame, in the same way.
"""

import os
import pty
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import END_OF_HISTORY, GdbCase, elf  # noqa: E402
from gdb_mi import Mi  # noqa: E402
from hypervisor import ACCEL, PROGRAM, main, on  # noqa: E402


class MiCase(GdbCase):
    def connect(self, vm, name):
        """What cppdbg sends until it is connected."""
        gdb = Mi(self.dir)
        self.addCleanup(gdb.close)
        for command in ("-gdb-set mi-async on", "-enable-pretty-printing", "-gdb-set stop-on-solib-events 1",
                        f"-file-exec-and-symbols {elf(name)}"):
            self.assertEqual(gdb(command), "done")
        self.assertIn("done", gdb('-interpreter-exec console "show version"'))
        self.assertTrue(gdb(f"-target-select remote {vm.where[0]}").startswith("connected"))
        self.assertEqual(gdb("-gdb-set stop-on-solib-events 0"), "done")
        return gdb

    def launch(self, name, *arguments):
        vm = self.offer(elf(name), *arguments)
        return vm, self.connect(vm, name)

    def resume(self, gdb, command, *parts):
        """Run until the next stop, which has these parts."""
        self.assertEqual(gdb(command), "running")
        stop = gdb.stopped()
        for part in parts:
            self.assertIn(part, stop)
        return stop

    def views(self, gdb, function):
        """What is asked for the views at every stop: threads, call stack, variables, registers."""
        self.assertIn('current-thread-id="1"', gdb("-thread-info"))
        self.assertIn('level="0",addr="0x', gdb("-stack-list-frames 0 1000"))
        self.assertIn(f'func="{function}"', gdb("-stack-info-frame"))
        self.assertIn("stack-args=", gdb("-stack-list-arguments 0 0 10"))
        self.assertEqual(gdb("-stack-select-frame 0"), "done")
        self.assertIn("variables=", gdb("-stack-list-variables --thread 1 --frame 0 --simple-values"))


class LaunchTest(MiCase):
    def test_breakpoint_and_views(self):
        vm, gdb = self.launch("gdb_program")
        self.assertIn('number="1"', gdb("-break-insert -f gdb_program.c:8"))
        self.resume(gdb, "-exec-continue", 'reason="breakpoint-hit"', 'func="add"', 'line="8"')
        self.views(gdb, "add")
        self.assertIn('name="a",arg="1",type="int",value="1"',
                      gdb("-stack-list-variables --thread 1 --frame 0 --simple-values"))
        self.assertIn('value="3"', gdb('-var-create --thread 1 --frame 0 - * "sum"'))
        self.assertIn('value="7"', gdb("-var-assign var1 7"))
        self.assertIn('value="7"', gdb("-var-evaluate-expression var1"))
        self.assertIn("done", gdb("-var-delete var1"))
        self.assertIn('value="10"', gdb('-data-evaluate-expression "sum + 3"'))
        self.assertIn('"rip"', gdb("-data-list-register-names"))
        registers = gdb("-data-list-register-values --skip-unavailable x")
        self.assertIn('{number="16",value="0x', registers)
        self.assertIn('inst="', gdb("-data-disassemble -s $pc -e $pc+20 -- 2"))
        self.assertIn('contents="', gdb("-data-read-memory-bytes &total 8"))
        self.assertEqual(gdb("-data-write-memory-bytes &total 0500000000000000"), "done")
        self.assertIn('value="5"', gdb('-data-evaluate-expression total'))
        self.assertIn("done", gdb('-interpreter-exec console "monitor pt 0"'))
        self.assertIn("PML4", gdb.before)

    def test_steps(self):
        vm, gdb = self.launch("gdb_program")
        gdb("-break-insert -t -f loop")
        self.resume(gdb, "-exec-continue", 'func="loop"')
        self.resume(gdb, "-exec-next", 'reason="end-stepping-range"', 'line="31"')
        self.resume(gdb, "-exec-next", 'line="32"')
        self.resume(gdb, "-exec-step", 'func="add"')
        self.resume(gdb, "-exec-finish", 'reason="function-finished"', 'func="loop"', 'return-value="0"')
        self.resume(gdb, "-exec-step-instruction", 'func="loop"')
        self.resume(gdb, "-exec-until gdb_program.c:33", 'line="33"')
        self.resume(gdb, "-exec-jump gdb_program.c:33", 'reason="exited-normally"')

    def test_conditions_watchpoints_and_edits(self):
        """Breakpoints that are edited in the window: conditions, counts, enabled or not."""
        vm, gdb = self.launch("gdb_program")
        self.assertIn('cond="b == 3"', gdb('-break-insert -f -c "b == 3" add'))
        self.resume(gdb, "-exec-continue", 'args=[{name="a",value="3"},{name="b",value="3"}]')
        self.assertEqual(gdb('-break-condition 1 b == 4'), "done")
        self.resume(gdb, "-exec-continue", 'args=[{name="a",value="6"},{name="b",value="4"}]')
        self.assertEqual(gdb("-break-disable 1"), "done")
        self.assertIn("wpt=", gdb("-break-watch -a depth_reached"))
        self.resume(gdb, "-exec-continue", 'reason="access-watchpoint-trigger"', 'new="5"')
        self.assertEqual(gdb("-break-delete 1 2"), "done")
        self.resume(gdb, "-exec-continue", 'reason="exited-normally"')

    @on("soft", "auto")
    def test_backwards(self):
        """The buttons appear if the target says that it can."""
        vm, gdb = self.launch("gdb_program")
        gdb("-break-insert -t -f factorial")
        self.resume(gdb, "-exec-continue", 'func="factorial"')
        self.assertIn('"reverse"', gdb("-list-target-features"))
        self.resume(gdb, "-exec-finish --reverse", 'func="program"')
        if 'line="40"' in self.resume(gdb, "-exec-next --reverse"):  # gdb 13: from the call to the line's start
            self.resume(gdb, "-exec-next --reverse", 'line="39"')
        self.resume(gdb, "-exec-continue --reverse", 'func="_start"')
        self.assertRegex(gdb.output.bytes["mi"].decode(), END_OF_HISTORY)
        self.resume(gdb, "-exec-step-instruction", 'func="program"')

    def test_crash(self):
        """A fault is shown as a signal; its description is on the console."""
        vm, gdb = self.launch("gdb_points")
        self.assertIn("done", gdb('-interpreter-exec console "set $pc = 0x400000"'))
        self.resume(gdb, "-exec-continue", 'reason="signal-received"', 'signal-name="SIGSEGV"')
        self.assertIn("page fault", gdb.output.bytes["mi"].decode())
        self.assertIn("addr=", gdb("-stack-list-frames 0 1000"))

    def test_end(self):
        """What is sent when the red square is pressed."""
        vm, gdb = self.launch("gdb_program")
        self.assertIn("done", gdb('-interpreter-exec console "kill"'))
        self.assertEqual(gdb("-gdb-exit"), "exit")
        self.assertEqual(vm.run.finish().code, 0)


    @on("soft", "auto")
    def test_buttons_backwards(self):
        """Each of the buttons that run backwards."""
        vm, gdb = self.launch("gdb_program")
        gdb("-break-insert -f add")
        self.resume(gdb, "-exec-continue", 'func="add"', 'line="7"')
        self.resume(gdb, "-exec-continue", 'func="add"', 'line="7"')
        self.resume(gdb, "-exec-next", 'line="8"')
        self.resume(gdb, "-exec-next --reverse", 'line="7"')
        self.resume(gdb, "-exec-continue --reverse", 'reason="breakpoint-hit"', 'args=[{name="a",value="1"}')
        self.resume(gdb, "-exec-continue", 'reason="breakpoint-hit"', 'args=[{name="a",value="0"}')
        self.resume(gdb, "-exec-step-instruction --reverse", 'func="add"')
        self.resume(gdb, "-exec-step --reverse", 'func="loop"', 'line="32"')


class EmacsTest(MiCase):
    """What gdb-mi of Emacs 28 sends: M-x mini-hypervisor-debug, and the buffers that it keeps up to date."""

    def ask(self, gdb, *exchanges):
        for command, part in exchanges:
            self.assertIn(part, gdb(command), command)

    def connect_emacs(self, target):
        gdb = Mi(self.dir, elf("gdb_program"))
        self.addCleanup(gdb.close)
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        self.ask(gdb, (f"-inferior-tty-set {os.ttyname(slave)}", "done"), ("-gdb-set height 0", "done"),
                 ("-gdb-set non-stop 1", "done"), ("-enable-pretty-printing", "done"), ("-enable-frame-filters", "done"),
                 ("-file-list-exec-source-files", "gdb_program.c"), ("-file-list-exec-source-file", ""),
                 ("-gdb-show prompt", "(gdb)"), ("-stack-info-frame", "error"), ("-thread-info", "threads=[]"),
                 ("-break-list", "BreakpointTable"), ("-gdb-set target-async 1", "done"),
                 ("-list-target-features", "features=["), ("-gdb-set non-stop 0", "done"),
                 (f'-interpreter-exec console "target remote {target}"', "done"))
        self.buffers(gdb, "_start")
        return gdb

    def buffers(self, gdb, function):
        self.ask(gdb, ("-data-list-register-names --thread 1", '"rip"'), ("-stack-info-frame --thread 1", f'func="{function}"'),
                 ("-thread-info --thread 1", 'state="stopped"'), ("-break-list", "BreakpointTable"),
                 ("-stack-list-locals --thread 1 --simple-values", "locals=["), ("-stack-list-frames --thread 1", "frame={"),
                 ("-data-list-register-values --thread 1 x", '{number="16",value="0x'),
                 ("-data-list-changed-registers", "changed-registers=["), ('-data-read-memory "program" x 4 8 4', 'addr="0x'),
                 ('-data-disassemble -s $pc -e "$pc + 150" -- 0', 'inst="'))

    def run_to(self, gdb, command, *parts):
        gdb(command)
        stop = gdb.stopped()
        for part in parts:
            self.assertIn(part, stop)

    def session(self, gdb):
        self.ask(gdb, ('-interpreter-exec console "break factorial"', "done"))
        self.run_to(gdb, '-interpreter-exec console "continue"', 'func="factorial"', 'line="14"')
        self.buffers(gdb, "factorial")
        self.ask(gdb, ("-data-disassemble -f gdb_program.c -l 14 -n -1 -- 0", "cmpl"))
        self.run_to(gdb, "-exec-next 1", 'line="16"')
        self.run_to(gdb, "-exec-step 1", 'line="17"')
        self.run_to(gdb, "-exec-finish", 'func="factorial"')  # the recursion meets the breakpoint

    def test_a_session(self):
        vm = self.offer(elf("gdb_program"))
        self.session(self.connect_emacs(vm.where[0]))

    def test_a_session_that_gdb_starts(self):
        self.session(self.connect_emacs(f"| exec {PROGRAM} --accel {ACCEL} --gdb stdio --guest {elf('gdb_program')}"))

    @on("soft", "auto")
    def test_backwards(self):
        """The commands that examples/editors/emacs adds."""
        vm = self.offer(elf("gdb_program"))
        gdb = self.connect_emacs(vm.where[0])
        self.ask(gdb, ('-interpreter-exec console "break factorial"', "done"))
        self.run_to(gdb, '-interpreter-exec console "continue"', 'func="factorial"')
        self.run_to(gdb, "-exec-next 1", 'line="16"')
        self.run_to(gdb, "-exec-next --reverse", 'line="14"')
        self.run_to(gdb, "-exec-finish --reverse", 'func="program"')
        self.run_to(gdb, "-exec-continue --reverse", 'func="_start"')
        self.run_to(gdb, "-exec-continue", 'func="factorial"')
        self.run_to(gdb, "-exec-step --reverse", 'func="program"')
        self.run_to(gdb, "-exec-step-instruction --reverse", 'func="program"')


class ClionTest(MiCase):
    """A remote debug configuration: the machine is there already, and everything is asked by thread and frame."""

    def connect_clion(self, name, where):
        gdb = Mi(self.dir)
        self.addCleanup(gdb.close)
        for command in ("-gdb-set mi-async on", "-gdb-set breakpoint pending on", "-gdb-set print sevenbit-strings off",
                        "-gdb-set print elements 300", "-gdb-set print repeats unlimited", "-enable-pretty-printing",
                        f"-file-exec-and-symbols {elf(name)}"):
            self.assertEqual(gdb(command), "done")
        self.assertIn('"frozen-varobjs"', gdb("-list-features"))
        self.assertTrue(gdb(f"-target-select remote {where}").startswith("connected"))
        self.assertIn("*stopped", gdb.before)
        return gdb

    def test_a_session(self):
        vm = self.offer(elf("gdb_program"))
        gdb = self.connect_clion("gdb_program", vm.where[0])
        self.assertIn("bkpt=", gdb("-break-insert -f --source gdb_program.c --line 8"))
        self.resume(gdb, "-exec-continue --all", 'reason="breakpoint-hit"', 'line="8"')
        self.assertIn('type="process",pid="1"', gdb("-list-thread-groups"))
        self.assertIn('state="stopped"', gdb("-thread-info"))
        self.assertIn('depth="3"', gdb("-stack-info-depth --thread 1"))
        self.assertIn('func="program"', gdb("-stack-list-frames --thread 1 0 20"))
        self.assertIn('name="sum"', gdb("-stack-list-variables --thread 1 --frame 0 --no-values"))
        self.assertIn('value="3"', gdb("-var-create --thread 1 --frame 0 - @ sum"))
        self.assertIn("changelist=", gdb("-var-update --all-values *"))
        self.assertIn('value="4"', gdb('-data-evaluate-expression --thread 1 --frame 0 "sum + 1"'))
        self.resume(gdb, "-exec-next --thread 1", 'line="9"')
        self.assertIn("memory=[", gdb("-data-read-memory-bytes --thread 1 &total 64"))
        self.assertIn('inst="', gdb("-data-disassemble -s $pc -e $pc+32 -- 5"))
        self.assertEqual(gdb("-break-delete 1"), "done")
        self.resume(gdb, "-exec-continue --all", 'reason="exited-normally"')
        self.assertEqual(gdb("-gdb-exit"), "exit")

    @on("soft", "auto")
    def test_backwards_from_its_console(self):
        vm = self.offer(elf("gdb_program"))
        gdb = self.connect_clion("gdb_program", vm.where[0])
        gdb("-break-insert -f factorial")
        self.resume(gdb, "-exec-continue --all", 'func="factorial"')
        self.resume(gdb, '-interpreter-exec console "reverse-step"', 'func="program"')


class JoinTest(MiCase):
    def spinning(self):
        """A machine that runs already."""
        vm = self.offer(elf("spin"), "--gdb-run")
        return vm, self.connect(vm, "spin")

    def test_pause(self):
        vm, gdb = self.spinning()
        self.assertEqual(gdb("-exec-continue"), "running")
        self.assertEqual(gdb("-exec-interrupt"), "done")
        self.assertIn('signal-name="SIGINT"', gdb.stopped())
        self.assertIn('frame={level="0"', gdb("-stack-list-frames 0 1000"))

    def test_breakpoint_while_it_runs(self):
        """The extension interrupts, inserts, and continues."""
        vm, gdb = self.spinning()
        where = gdb('-data-evaluate-expression "(long)$pc"').split('"')[1]
        self.assertEqual(gdb("-exec-continue"), "running")
        self.assertEqual(gdb("-exec-interrupt"), "done")
        gdb.stopped()
        self.assertIn("bkpt=", gdb(f"-break-insert -f *{where}"))
        self.resume(gdb, "-exec-continue", 'reason="breakpoint-hit"')

    def test_detach(self):
        vm, gdb = self.spinning()
        self.assertEqual(gdb("-target-detach"), "done")
        self.assertEqual(gdb("-gdb-exit"), "exit")
        self.assertTrue(vm.run.is_running())


if __name__ == "__main__":
    main()
