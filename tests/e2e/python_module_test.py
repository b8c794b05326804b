"""The Python module for tests of guests (tools/python): machines, and what goes wrong with them."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from hypervisor import ACCEL, DEADLINE, EXIT_CRASHED, EXIT_SIGTERM, PROGRAM, SOURCE  # noqa: E402
from hypervisor import Case, contents, guest, main, sample  # noqa: E402
import mini_hypervisor  # noqa: E402
from mini_hypervisor import Machine, MachineError, StopKind  # noqa: E402


def far_away(elf):
    """An ELF file whose section headers are said to be behind everything."""
    return elf[:40] + b"\xff" * 8 + elf[48:]


class ModuleCase(Case):
    def machine(self, image, options=(), **keywords):
        keywords.setdefault("timeout", DEADLINE)
        machine = Machine(image, ["--accel", ACCEL, *options], program=PROGRAM, **keywords)
        self.addCleanup(machine.close)
        return machine

    def crash(self):
        return self.machine(sample("crash", "elf"))


class StoppedTest(ModuleCase):
    def test_start(self):
        machine = self.crash()
        self.assertIs(machine.stop.kind, StopKind.START)
        self.assertEqual(machine.stop.address, machine.address("_start"))
        self.assertEqual(machine.output, b"")

    def test_breakpoints(self):
        machine = self.crash()
        stop = machine.run_to("record_grade")
        self.assertIs(stop.kind, StopKind.BREAKPOINT)
        self.assertTrue(stop.location.startswith(f"{machine.address('record_grade'):#x} (record_grade"), stop)
        self.assertEqual((machine.registers.rdi, machine.registers.rsi), (0, 10))
        point = machine.break_at("set_grade")
        self.assertIs(machine.run().kind, StopKind.BREAKPOINT)
        self.assertIs(machine.run().kind, StopKind.BREAKPOINT)
        point.delete()
        point.delete()
        self.assertIs(machine.run().kind, StopKind.CRASHED)

    def test_two_breakpoints_at_one_place(self):
        machine = self.crash()
        one, other = machine.break_at("set_grade"), machine.break_at("set_grade")
        one.delete()
        self.assertIs(machine.run().kind, StopKind.BREAKPOINT)
        other.delete()
        self.assertIs(machine.run().kind, StopKind.CRASHED)

    def test_condition(self):
        machine = self.crash()
        asked = []
        machine.break_at("set_grade", condition=lambda m: asked.append(m.registers.rsi) or m.registers.rsi == 9)
        machine.run()
        self.assertEqual((machine.registers.rsi, asked), (9, [10, 9]))

    def test_watchpoints(self):
        machine = self.crash()
        machine.watch("ada", 4)
        stop = machine.run()
        self.assertIs(stop.kind, StopKind.WATCHPOINT)
        self.assertEqual((stop.watched, machine.value("ada", 4)), (machine.address("ada"), 10))
        machine.watch("class", access="read")
        self.assertEqual(machine.run().watched - machine.address("class") & ~8, 0)
        with self.assertRaises(ValueError):
            machine.watch("ada", access="execute")

    def test_steps(self):
        machine = self.crash()
        machine.run_to("set_grade")
        position, start = machine.position, machine.registers.rip
        self.assertIs(machine.step().kind, StopKind.STEP)
        self.assertEqual(machine.position, position + 1)
        machine.step(2)
        self.assertEqual(machine.position, position + 3)
        self.assertEqual(machine.step_back(3).address, start)
        self.assertEqual(machine.position, position)

    def test_backwards(self):
        machine = self.crash()
        self.assertIs(machine.run().kind, StopKind.CRASHED)
        end = machine.position
        machine.watch("ada", 4)
        stop = machine.run_back()
        self.assertIs(stop.kind, StopKind.WATCHPOINT)
        self.assertEqual(machine.value("ada", 4), 0)
        machine.run_back_to("main")
        self.assertIs(machine.run_back().kind, StopKind.HISTORY_BEGIN)
        self.assertEqual(machine.position, 0)
        self.assertEqual(machine.goto(end).kind, StopKind.STEP)
        self.assertEqual(machine.position, end)
        with self.assertRaises(mini_hypervisor.Refused):
            machine.goto(end + 1000)

    def test_snapshot(self):
        machine = self.crash()
        machine.run_to("set_grade")
        machine.snapshot("before")
        here = machine.stop.address
        machine.run()
        self.assertEqual(machine.restore("before").address, here)
        self.assertIs(machine.run().kind, StopKind.CRASHED)

    def test_registers(self):
        machine = self.crash()
        self.assertIn("cr3", list(machine.registers))
        self.assertEqual(machine.registers["cr3"], 0x1000000)
        machine.registers.rax = -1
        machine.registers["rbx"] = 0x1234
        self.assertEqual((machine.registers.rax, machine.registers.rbx), (2**64 - 1, 0x1234))
        machine.registers.rip = machine.address("main")
        self.assertEqual(machine.stop.address, machine.address("main"))
        self.assertIn("main", machine.location())
        with self.assertRaises(AttributeError):
            machine.registers.r16 = 1
        with self.assertRaises(ValueError):
            machine.registers.rax = 2**64

    def test_memory(self):
        machine = self.crash()
        data = bytes(range(256)) * 200  # more than one packet, with every byte that is escaped
        machine.write(0x100000, data)
        self.assertEqual(machine.read(0x100000, len(data)), data)
        machine.set_value("ada", -2, 4)
        self.assertEqual(machine.value("ada", 4, signed=True), -2)
        self.assertEqual(machine.value("ada+1", 1), 0xff)
        self.assertEqual(len(machine.read("ada")), machine.symbols["ada"].size)
        machine.write(0x1ffff0, b"up to the end\0")
        self.assertEqual(machine.string(0x1ffff0), "up to the end")
        self.assertEqual(machine.string(0x1ffff0, 5), "up to")
        for bad in (lambda: machine.read(0x40000000, 4), lambda: machine.write(0x40000000, b"x"),
                    lambda: machine.read(0x1ffffe, 4)):
            with self.assertRaises(mini_hypervisor.Refused):
                bad()
        with self.assertRaises(ValueError):
            machine.read(0x1000)

    def test_symbols(self):
        machine = self.crash()
        with self.assertRaises(mini_hypervisor.SymbolNotFound) as caught:
            machine.break_at("set_grad")
        self.assertIn("similar: set_grade", str(caught.exception))
        self.assertEqual(machine.symbols.at(machine.address("main") + 1), "main+0x1")
        self.assertIn("main", machine.symbols)

    def test_monitor(self):
        machine = self.crash()
        self.assertIn("page walk of 0x0000000000002010", machine.monitor("pt 0x2010"))
        with self.assertRaises(mini_hypervisor.Refused):
            machine.monitor("nonsense")

    def test_catchpoint(self):
        machine = self.crash()
        machine.monitor("catch out 0xe9")
        stop = machine.run()
        self.assertIs(stop.kind, StopKind.CAUGHT)
        self.assertIn("out port 0xe9", stop.text)


class RunningTest(ModuleCase):
    def test_conversation(self):
        machine = self.machine(sample("echo", "elf"), input=b"hello\n")
        machine.resume()
        machine.wait_for_output(b"1: hello\n")
        machine.send(b"more\n")
        machine.wait_for_output(lambda output: output.endswith(b"2: more\n> "))
        self.assertIs(machine.interrupt().kind, StopKind.INTERRUPTED)
        machine.send(b"x" * 200000 + b"\n")  # more than a pipe holds
        result = machine.finish()
        self.assertEqual(result.status, 0)
        self.assertIn(b"3: xxx", result.output)

    def test_halted_and_looked_at(self):
        machine = self.machine(sample("hello", "elf"))
        self.assertIs(machine.run().kind, StopKind.HALTED)
        self.assertEqual(machine.output, b"Hello, world!\n")
        self.assertIs(machine.run_back_to("main").kind, StopKind.BREAKPOINT)
        self.assertEqual(machine.finish().status, 0)
        self.assertIs(machine.stop.kind, StopKind.ENDED)
        with self.assertRaises(mini_hypervisor.NotStopped):
            machine.read(0, 1)

    def test_finish_of_a_crash(self):
        result = self.crash().finish()
        self.assertEqual(result.status, EXIT_CRASHED)
        self.assertIn("page fault (#PF)", result.messages)
        self.assertTrue(result.output.endswith(b"student 1:\n"))

    def test_finish_while_it_runs(self):
        machine = self.machine(sample("echo", "elf"))
        machine.break_at("main")
        machine.run()
        machine.resume()
        self.assertEqual(machine.finish().status, 0)

    def test_finish_of_a_guest_that_stops_again_and_again(self):
        machine = self.machine(self.write("flood.img", b"\xe6\xe9\xeb\xfc"))  # 1: out 0xe9, al; jmp 1b
        machine.monitor("catch out 0xe9")
        with self.assertRaises(mini_hypervisor.Timeout):
            machine.finish(0.2)

    def test_resume_that_is_over_at_once(self):
        """The step off a breakpoint executes hlt."""
        machine = self.machine(sample("hello", "elf"))
        machine.run()
        machine.step_back()
        machine.break_at(machine.stop.address)
        machine.resume()
        self.assertIs(machine.interrupt().kind, StopKind.HALTED)

    def test_files(self):
        machine = self.machine(sample("files", "elf"), [f"--files-dir={self.path('kept')}"])
        machine.finish()
        self.assertEqual(str(machine.files), self.path("kept", "1-files"))
        machine.close()
        self.assertTrue(machine.files.is_dir())
        machine = self.machine(sample("files", "elf"), ["--max-open", "4"])
        machine.finish()
        self.assertTrue(machine.files.is_dir())
        machine.close()
        self.assertFalse(machine.files.exists())

    def test_several_machines(self):
        one, other = self.machine(sample("hello", "elf")), self.machine(sample("fibonacci", "elf"))
        other.run_to("fibonacci")
        self.assertEqual(one.finish().output, b"Hello, world!\n")
        self.assertEqual(other.value(other.stop.address, 1), other.read("fibonacci", 1)[0])

    def test_machines_started_together(self):
        machines = Machine.start_together([sample("hello", "elf"), sample("echo", "elf")], ["--accel", ACCEL],
                                          program=PROGRAM, timeout=DEADLINE)
        for machine in machines:
            self.addCleanup(machine.close)
        machines[1].resume()
        machines[1].wait_for_output(b"> ")
        machines[1].send(b"a line\n")
        results = Machine.finish_together(machines)
        self.assertEqual([result.status for result in results], [0, 0])
        self.assertEqual(results[0].output, b"Hello, world!\n")
        self.assertIn(b"1: a line\n", results[1].output)
        with self.assertRaises(MachineError):
            machines[0].finish()

    def test_without_a_debugger(self):
        result = mini_hypervisor.run(sample("echo"), ["--accel", ACCEL], input=b"one\n", program=PROGRAM)
        self.assertEqual(result.status, 0)
        self.assertIn(b"1: one\n", result.output)
        with self.assertRaises(mini_hypervisor.Timeout) as caught:
            mini_hypervisor.run(guest("spin"), ["--accel", ACCEL], program=PROGRAM, timeout=0.5)
        self.assertIn("a line", str(caught.exception))

    def test_recording(self):
        recording = self.path("crash.mhr")
        mini_hypervisor.run(sample("crash"), ["--accel", ACCEL, "--record", recording], program=PROGRAM)
        with Machine(replay=recording, symbols=sample("crash", "elf"), program=PROGRAM, timeout=DEADLINE) as machine:
            machine.run_to("record_grade")
            self.assertIs(machine.run().kind, StopKind.CRASHED)
            machine.run_back_to("main")
            self.assertEqual(machine.finish().status, EXIT_CRASHED)

    def test_recording_that_ends_before_its_guest(self):
        recording = self.path("spin.mhr")
        mini_hypervisor.run(guest("spin"), ["--accel", "soft", "--record", recording, "--max-instructions", "1000"],
                            program=PROGRAM, timeout=DEADLINE)
        with Machine(replay=recording, program=PROGRAM, timeout=DEADLINE) as machine:
            self.assertIs(machine.run().kind, StopKind.HISTORY_END)
            machine.finish()


class WrongTest(ModuleCase):
    """What goes wrong is said, with what the program and the guest have printed, and nothing is left behind."""

    def assertRaisesSaying(self, error, *parts):
        case = self

        class Check:
            def __enter__(self):
                return self

            def __exit__(self, kind, value, traceback):
                case.assertIsNotNone(kind, f"{error.__name__} was not raised")
                if not issubclass(kind, error):
                    return False
                for part in parts:
                    case.assertIn(part, str(value))
                return True
        return Check()

    def test_no_program(self):
        with self.assertRaisesSaying(mini_hypervisor.ProgramNotFound, "/no/such/program"):
            Machine(sample("hello"), program="/no/such/program")
        broken = self.write("broken", b"\x7fELF, but no more")
        os.chmod(broken, 0o755)
        with self.assertRaisesSaying(mini_hypervisor.ProgramNotFound, "cannot be executed"):
            Machine(sample("hello"), program=broken)

    def test_other_program(self):
        with self.assertRaisesSaying(mini_hypervisor.StartError, "status 0"):
            Machine(sample("hello"), program="/bin/true")

    def test_no_image(self):
        with self.assertRaisesSaying(mini_hypervisor.StartError, "status 4", "cannot be opened"):
            self.machine(self.path("none"))
        with self.assertRaises(ValueError):
            Machine()

    def test_wrong_option(self):
        with self.assertRaisesSaying(mini_hypervisor.StartError, "status 2", "unknown option '--nonsense'"):
            self.machine(sample("hello"), ["--nonsense"])
        with self.assertRaises(TypeError):
            Machine(sample("hello"), "--memory 4", program=PROGRAM)

    def test_endless_guest(self):
        machine = self.machine(guest("spin"))
        with self.assertRaisesSaying(mini_hypervisor.Timeout, "still running after 0.5 s", "a line"):
            machine.run(timeout=0.5)
        with self.assertRaisesSaying(mini_hypervisor.NotStopped, "is running"):
            machine.read(0, 1)
        self.assertIs(machine.interrupt().kind, StopKind.INTERRUPTED)

    def test_place_that_is_not_reached(self):
        machine = self.crash()
        machine.run_to("set_grade")
        with self.assertRaisesSaying(mini_hypervisor.UnexpectedStop, "did not come to 'main'", "page fault", "student 1:"):
            machine.run_to("main")
        with self.assertRaises(AssertionError):  # so that test frameworks count it as a failure
            machine.run_to("main+1")

    def test_output_that_does_not_come(self):
        machine = self.machine(sample("echo", "elf"))
        with self.assertRaisesSaying(mini_hypervisor.UnexpectedStop, "without printing b'> '", "start at"):
            machine.wait_for_output(b"> ")
        machine.resume()
        with self.assertRaisesSaying(mini_hypervisor.Timeout, "no b'never' in the output in 0.2 s", "> "):
            machine.wait_for_output(b"never", timeout=0.2)
        machine.close_input()
        with self.assertRaisesSaying(mini_hypervisor.UnexpectedStop, "halted"):
            machine.wait_for_output(b"never")

    def test_program_that_is_killed(self):
        for act in (lambda machine: machine.registers.rip, lambda machine: machine.run(),
                    lambda machine: machine.finish()):
            machine = self.crash()
            os.kill(machine.process.process.pid, signal.SIGKILL)
            with self.assertRaisesSaying(mini_hypervisor.Disconnected, "closed", "mini_hypervisor has ended with status -9"):
                act(machine)
            with self.assertRaisesSaying(mini_hypervisor.NotStopped, "lost"):
                machine.read(0, 1)

    def test_program_that_is_asked_to_end(self):
        machine = self.machine(guest("spin"))
        machine.resume()
        machine.wait_for_output(b"unfinished")
        machine.process.process.terminate()
        self.assertIs(machine.wait().kind, StopKind.ENDED)
        self.assertEqual(machine.finish().status, EXIT_SIGTERM)

    def test_input_after_its_end(self):
        machine = self.machine(sample("echo", "elf"))
        machine.close_input()
        with self.assertRaisesSaying(MachineError, "closed"):
            machine.send(b"x")

    def test_flat_image_without_symbols(self):
        image = self.write("bare.img", contents(sample("hello")))
        machine = self.machine(image)
        with self.assertRaisesSaying(mini_hypervisor.SymbolNotFound, "flat"):
            machine.run_to("main")
        self.assertEqual(machine.location(), "0x0")

    def test_paths_may_be_any_bytes(self):
        directory = self.path("\udce4 '\"")
        os.mkdir(directory)
        machine = self.machine(shutil.copy(sample("hello", "elf"), os.path.join(directory, "guest.elf")))
        self.assertIs(machine.run_to("main").kind, StopKind.BREAKPOINT)
        self.assertEqual(os.path.basename(machine.files), "1-\udce4 '\"")
        machine.location(0x100000)

    def test_symbols_that_are_none(self):
        for bad, text in ((self.write("text", b"no ELF file"), "no 64-bit ELF"), (self.path("none"), "cannot be read"),
                          (self.write("cut.elf", contents(sample("hello", "elf"))[:2000]), "damaged"),
                          (self.write("far.elf", far_away(contents(sample("hello", "elf")))), "damaged")):
            with self.assertRaisesSaying(MachineError, text):
                self.machine(sample("hello"), symbols=bad)

    def test_nothing_is_left_when_python_ends(self):
        """Neither a process nor a directory, whether it ends in order or is killed."""
        script = (f"import sys, os, signal; sys.path.insert(0, {os.path.dirname(mini_hypervisor.__path__[0])!r})\n"
                  f"from mini_hypervisor import Machine\n"
                  f"machine = Machine({guest('spin')!r}, program={PROGRAM!r})\n"
                  f"print(machine.process.process.pid, machine.process.directory, flush=True)\n"
                  f"machine.resume()\n")
        for end, left in (("", False), ("raise SystemExit(3)", False), ("os.kill(os.getpid(), signal.SIGKILL)", True)):
            done = subprocess.run([sys.executable, "-B", "-c", script + end], stdout=subprocess.PIPE, timeout=DEADLINE,
                                  check=False)
            pid, directory = done.stdout.decode().split()
            self.assertGone(int(pid))
            if not left:
                self.assertFalse(os.path.exists(directory))
            subprocess.run(["rm", "-rf", directory], check=True)

    def assertGone(self, pid):
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        import select  # only needed here
        gone = select.select([fd], [], [], DEADLINE)[0]
        os.close(fd)
        self.assertTrue(gone)


class ExamplesTest(Case):
    """The examples, as their texts say they are run."""

    def run_example(self, command, name, guest_name, path):
        environment = dict(os.environ, PYTHONPATH=os.path.join(SOURCE, "tools", "python"), MINI_HYPERVISOR=PROGRAM,
                           GUEST=sample(guest_name, "elf"), COLUMNS="80")
        if path is None:
            shutil.copy(os.path.join(SOURCE, "examples", name), self.dir)
        return subprocess.run([*command, name], cwd=self.dir, env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=DEADLINE, check=False)

    def pytest(self, path=None, name="test_crash.py"):
        """pytest may belong to another Python than the one that runs the tests."""
        for python in (sys.executable, "/usr/bin/python3"):
            command = [python, "-B", "-m", "pytest", "-p", "no:cacheprovider"]
            if subprocess.run([*command, "--version"], capture_output=True, timeout=DEADLINE, check=False).returncode == 0:
                return self.run_example([*command, "-p", "mini_hypervisor.pytest_plugin"], name, "crash", path)
        return self.skipTest("pytest is not installed")

    def test_unittest(self):
        done = self.run_example([sys.executable, "-B", "-m", "unittest"], "test_echo.py", "echo", None)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("Ran 2 tests", done.stdout)

    def test_pytest(self):
        done = self.pytest()
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("3 passed", done.stdout)

    def test_pytest_shows_what_machines_said(self):
        path = self.write("test_failing.py", b"import os\ndef test_it(start_machine):\n"
                          b"    machine = start_machine(os.environ['GUEST'])\n    machine.run()\n    assert 1 == 2\n")
        done = self.pytest(path, "test_failing.py")
        self.assertEqual(done.returncode, 1, done.stdout)
        for part in ("assert 1 == 2", "machine crash", "crashed (SIGSEGV) at", "student 1:"):
            self.assertIn(part, done.stdout)


class GuideTest(Case):
    """docs/python.md and the module agree."""

    def setUp(self):
        super().setUp()
        self.guide = contents(os.path.join(SOURCE, "docs", "python.md")).decode()

    def test_everything_is_explained(self):
        methods = [name for name in dir(Machine) if not name.startswith("_") and callable(getattr(Machine, name))]
        for name in [*mini_hypervisor.__all__, *methods, *(kind.name for kind in StopKind)]:
            if name not in ("MachineError", "find_program", "need_stopped", "report", "Breakpoint", "Symbol", "Symbols"):
                self.assertRegex(self.guide, rf"\b{name}\b")

    def test_it_shows_the_examples(self):
        for example, start in (("test_crash.py", "def test_first_student"), ("test_echo.py", "class EchoTest")):
            text = contents(os.path.join(SOURCE, "examples", example)).decode()
            shown = text[text.index(start):].split("\n\n")[0]
            self.assertIn(textwrap.indent(shown, "    ", lambda line: True), self.guide)


if __name__ == "__main__":
    main()
