"""
Editors that debug with gdb's own Debug Adapter Protocol: the dialogue of VS Code, dape and nvim-dap, with the machine
started as their settings start it. gdb has it from version 14 on; set GDB to such a one if yours is older.
"""

import base64
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_dap import Dap, version  # noqa: E402
from gdb_driver import GdbCase, elf  # noqa: E402
from hypervisor import DEADLINE, SOURCE, contents, guest, main, sample  # noqa: E402

COMMANDS = os.path.join(SOURCE, "tools", "gdb", "mini_hypervisor.py")
PROGRAM_SOURCE = os.path.join(SOURCE, "tests", "guests", "gdb_program.c")
CLIENT = {"clientID": "vscode", "clientName": "Visual Studio Code", "adapterID": "gdb-dap", "locale": "en",
          "linesStartAt1": True, "columnsStartAt1": True, "pathFormat": "path", "supportsVariableType": True,
          "supportsVariablePaging": True, "supportsRunInTerminalRequest": True, "supportsMemoryReferences": True,
          "supportsProgressReporting": True, "supportsInvalidatedEvent": True, "supportsMemoryEvent": True}


class DapCase(GdbCase):
    def setUp(self):
        super().setUp()
        if version() < 14:
            self.skipTest(f"gdb {version()} does not speak the Debug Adapter Protocol; set GDB to version 14 or later")

    def attach(self, program, target, source, lines, *arguments):
        """What an editor sends when F5 is pressed, with breakpoints in a source file."""
        gdb = Dap(self.dir, *arguments)
        self.addCleanup(gdb.close)
        self.capabilities = gdb("initialize", **CLIENT)
        attached = gdb.send("attach", type="gdb-dap", request="attach", name="Guest", program=program, target=target)
        gdb.event("initialized")
        gdb("setBreakpoints", source={"name": os.path.basename(source), "path": source},
            lines=lines, breakpoints=[{"line": line} for line in lines], sourceModified=False)
        gdb("setFunctionBreakpoints", breakpoints=[])
        gdb("setInstructionBreakpoints", breakpoints=[])
        gdb("configurationDone")
        self.assertEqual(gdb.event("stopped")["reason"], "attach")
        self.assertTrue(gdb.response(attached)["success"])
        self.assertEqual(gdb("threads")["threads"][0]["id"], 1)
        return gdb

    def debug_program(self, lines, *arguments):
        self.vm = self.offer(elf("gdb_program"))
        return self.attach(elf("gdb_program"), self.vm.where[0], PROGRAM_SOURCE, lines, *arguments)

    def move(self, gdb, command, reason, line, **arguments):
        """Let the machine run until the next stop; its innermost frame."""
        gdb(command, threadId=1, **arguments)
        stop = gdb.event("stopped")
        self.assertEqual(stop["reason"], reason)
        frame = gdb("stackTrace", threadId=1, startFrame=0, levels=20)["stackFrames"][0]
        self.assertEqual(frame["line"], line)
        return frame

    def variables(self, gdb, frame, scope):
        scopes = {found["name"]: found for found in gdb("scopes", frameId=frame["id"])["scopes"]}
        found = gdb("variables", variablesReference=scopes[scope]["variablesReference"])["variables"]
        return {variable["name"]: variable["value"] for variable in found}


class ForwardsTest(DapCase):
    def test_breakpoint_and_views(self):
        gdb = self.debug_program([8])
        frame = self.move(gdb, "continue", "breakpoint", 8)
        self.assertEqual(frame["name"], "add")
        self.assertEqual(self.variables(gdb, frame, "Arguments"), {"a": "1", "b": "2"})
        self.assertEqual(self.variables(gdb, frame, "Locals"), {"sum": "3"})
        self.assertEqual(self.variables(gdb, frame, "Registers")["rsi"], "2")
        self.assertEqual(gdb("evaluate", expression="sum + 3", frameId=frame["id"], context="watch")["result"], "6")
        self.assertIn("PML4", gdb("evaluate", expression="monitor pt 0", context="repl")["result"])
        self.assertEqual(gdb("setExpression", expression="sum", value="7", frameId=frame["id"])["value"], "7")
        code = gdb("disassemble", memoryReference=frame["instructionPointerReference"], instructionCount=4)
        self.assertEqual(len(code["instructions"]), 4)
        memory = gdb("readMemory", memoryReference="0", offset=0, count=5)
        self.assertEqual(base64.b64decode(memory["data"]), contents(guest("gdb_program"))[:5])

    def test_steps_and_end(self):
        gdb = self.debug_program([32])
        self.move(gdb, "continue", "breakpoint", 32)
        self.move(gdb, "stepIn", "step", 7)
        self.move(gdb, "next", "step", 8)
        self.move(gdb, "stepIn", "step", 8, granularity="instruction")
        self.move(gdb, "stepOut", "step", 32)
        gdb("setBreakpoints", source={"path": PROGRAM_SOURCE}, breakpoints=[])
        gdb("continue", threadId=1)
        self.assertEqual(gdb.event("exited")["exitCode"], 0)
        gdb.event("terminated")
        gdb("disconnect", terminateDebuggee=True)
        self.assertEqual(gdb.process.wait(DEADLINE), 0)

    def test_crash(self):
        """A fault is a signal; it is explained in the console."""
        vm = self.offer(sample("crash", "elf"))
        source = os.path.join(SOURCE, "guests", "crash", "guest.c")
        gdb = self.attach(sample("crash", "elf"), vm.where[0], source, [])
        frame = self.move(gdb, "continue", "signal", 32)
        self.assertEqual(self.variables(gdb, frame, "Arguments")["grade"], "9")
        self.assertIn("page fault", gdb("evaluate", expression="monitor why", context="repl")["result"])
        vm.run.wait_for(b"about to crash\n")

    def test_pause(self):
        vm = self.offer(elf("spin"))
        gdb = self.attach(elf("spin"), vm.where[0], os.path.join(SOURCE, "tests", "guests", "spin.S"), [])
        gdb("continue", threadId=1)
        vm.run.wait_for(b"unfinished")  # it runs
        gdb("pause", threadId=1)
        self.assertEqual(gdb.event("stopped")["reason"], "pause")


class CommandsTest(DapCase):
    """What the commands of tools/gdb add: buttons that run backwards, and the report of a fault."""

    def test_fault(self):
        vm = self.offer(sample("crash", "elf"))
        source = os.path.join(SOURCE, "guests", "crash", "guest.c")
        gdb = self.attach(sample("crash", "elf"), vm.where[0], source, [], f"--init-command={COMMANDS}")
        gdb("continue", threadId=1)
        self.assertEqual(gdb.event("stopped")["reason"], "signal")
        report = gdb.event("output")
        self.assertEqual(report["category"], "important")
        self.assertTrue(report["output"].startswith("page fault (#PF), vector 14, at rip "), report)

    def test_without_the_commands(self):
        self.debug_program([8])
        self.assertNotIn("supportsStepBack", self.capabilities)

    def test_buttons(self):
        gdb = self.debug_program([8], f"--init-command={COMMANDS}")
        self.assertTrue(self.capabilities["supportsStepBack"])
        self.move(gdb, "continue", "breakpoint", 8)
        self.move(gdb, "next", "step", 9)
        self.move(gdb, "stepBack", "breakpoint", 8)
        self.move(gdb, "stepBack", "step", 7)
        self.move(gdb, "next", "breakpoint", 8)  # forwards again
        self.move(gdb, "continue", "breakpoint", 8)
        self.move(gdb, "reverseContinue", "breakpoint", 8)
        gdb("reverseContinue", threadId=1)
        gdb.event("stopped")
        self.assertTrue(gdb("evaluate", expression="mh when", context="repl")["result"].startswith("instruction 0, in "))
        self.move(gdb, "continue", "breakpoint", 8)
        here = gdb("evaluate", expression="$pc", context="watch")["result"]
        self.move(gdb, "stepIn", "step", 8, granularity="instruction")
        self.move(gdb, "stepBack", "breakpoint", 8, granularity="instruction")
        self.assertEqual(gdb("evaluate", expression="$pc", context="watch")["result"], here)

    def test_direction_that_the_user_sets(self):
        """Our requests turn back what they have turned, and nothing else."""
        gdb = self.debug_program([8], f"--init-command={COMMANDS}")
        self.move(gdb, "continue", "breakpoint", 8)
        gdb("evaluate", expression="set exec-direction reverse", context="repl")
        self.move(gdb, "next", "step", 7)
        self.assertIn("Reverse", gdb("evaluate", expression="show exec-direction", context="repl")["result"])

    def test_machine_without_history(self):
        vm = self.offer(elf("gdb_program"), "--no-history")
        gdb = self.attach(elf("gdb_program"), vm.where[0], PROGRAM_SOURCE, [8],
                          f"--init-command={COMMANDS}")
        self.move(gdb, "continue", "breakpoint", 8)
        response = gdb.response(gdb.send("stepBack", threadId=1))
        self.assertFalse(response["success"])
        self.assertIn("does not support", response["message"])
        self.move(gdb, "next", "step", 9)


if __name__ == "__main__":
    main()
