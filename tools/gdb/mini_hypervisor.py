"""
gdb commands for guests of mini_hypervisor: "help mh" lists them.

Load them with "source PATH/mini_hypervisor.py". For gdb 13 and newer; the modules beside this file belong to it.
"""

import os
import re
import sys

import gdb

# __file__ is that of the outer script where one sources another
sys.path.insert(0, os.path.dirname(os.path.abspath(sys._getframe().f_code.co_filename)))
try:
    import mh_dap
    import mh_machine as machine
    import mh_why
finally:
    del sys.path[0]

BOLD, RED, YELLOW, PLAIN = "\033[1m", "\033[31m", "\033[33m", "\033[0m"


def has_color() -> bool:
    """Does gdb print to a terminal, and is it to use colors there?"""
    return bool(gdb.parameter("style enabled")) and os.isatty(1) and os.environ.get("TERM", "dumb") != "dumb"


def colored(color: str, text: str) -> str:
    return f"{color}{text}{PLAIN}" if has_color() else text


def say(text: str) -> None:
    if text:
        gdb.write(text.rstrip("\n") + "\n")


def show(command: str) -> str:
    """The text of a monitor command that knows colors."""
    before = "on" if "in color" in machine.monitor("color") else "off"
    machine.monitor(f"color {'on' if has_color() else 'off'}")
    try:
        return machine.monitor(command)
    finally:
        machine.monitor(f"color {before}")


class Command(gdb.Command):
    """A command for a stopped machine; run() gets its arguments."""

    name = ""
    takes_argument = False

    def __init__(self, completer: int = gdb.COMPLETE_NONE) -> None:
        super().__init__(f"mh {self.name}", gdb.COMMAND_STATUS, completer)

    def invoke(self, argument: str, from_tty: bool) -> None:
        argument = argument.strip()
        if argument and not self.takes_argument:
            raise gdb.GdbError(f"mh {self.name} takes no argument")
        machine.check()
        try:
            machine.refresh()
            self.run(argument)
        except gdb.error as error:  # its text is enough
            raise gdb.GdbError(str(error)) from None

    def run(self, argument: str) -> None:
        raise NotImplementedError


class Prefix(gdb.Command):
    """Look at a machine of mini_hypervisor: page tables, memory, files, the last fault, time."""

    def __init__(self) -> None:
        super().__init__("mh", gdb.COMMAND_STATUS, gdb.COMPLETE_NONE, True)

    def invoke(self, argument: str, from_tty: bool) -> None:
        if argument:
            raise gdb.GdbError(f'there is no command "mh {argument}"; "help mh" lists them')
        gdb.execute("help mh")


class PageTables(Command):
    """Show how the page tables translate an address, level by level, with the rights of each.
Usage: mh pt [ADDRESS]
ADDRESS is an expression, such as $rsp, &variable or 0x1000; a function or an array stands for its address. Without
ADDRESS, all tables are shown as a tree."""

    name = "pt"
    takes_argument = True

    def run(self, argument: str) -> None:
        if not argument:
            say(show("pt"))
            return
        address = self.address_of(argument)
        name = machine.symbol(address)
        say(f"{argument} is {address:#x}" + (f", {name}" if name else ""))
        say(show(f"pt {address:#x}"))

    @staticmethod
    def address_of(expression: str) -> int:
        value = gdb.parse_and_eval(expression)
        code = value.type.strip_typedefs().code
        if code in (gdb.TYPE_CODE_FUNC, gdb.TYPE_CODE_ARRAY) and value.address is not None:
            value = value.address
        elif code not in (gdb.TYPE_CODE_INT, gdb.TYPE_CODE_PTR, gdb.TYPE_CODE_ENUM, gdb.TYPE_CODE_CHAR):
            advice = "" if value.address is None else f"; take that of the variable: &{expression}"
            raise gdb.GdbError(f"{expression} is no address{advice}")
        return int(value) & (1 << 64) - 1


class Map(Command):
    """Show memory at a glance: what is mapped with which access, what it is used for, and where the program is.
Usage: mh map"""

    name = "map"

    def run(self, argument: str) -> None:
        say(show("map"))
        sections = machine.sections()
        if sections:
            say("program:")
        for section in sections:
            rights = "r-x" if section.is_code else "r--" if section.is_read_only else "rw-"
            say(f"  {section.start:#010x}-{section.end:#010x}  {rights}  {section.name}")
        for name in ("rip", "rsp"):
            at = machine.register(name)
            say(f"{name} {colored(BOLD, machine.place(at))}")


class Files(Command):
    """Show the machine's own files, and those that the guest has open: descriptor, mode, position, size, name.
Usage: mh files
The modes are r (read), w (write) and a (append)."""

    name = "files"

    def run(self, argument: str) -> None:
        say(machine.monitor("files"))


class Why(Command):
    """Explain in words why the machine has stopped: the last fault, where, and what usually causes such a fault.
Usage: mh why"""

    name = "why"

    def run(self, argument: str) -> None:
        fault = mh_why.Fault()
        if not fault.is_crash:
            say(f"no fault: {fault.first}")
            if "in the past" in machine.monitor("when"):
                say("The machine is in its past; monitor goto end returns to where it has stopped.")
            return
        say(colored(RED, fault.first))
        if fault.vector is not None:
            say(f"  that is: {mh_why.MEANINGS.get(fault.vector, 'an exception without a handler')}")
        for name, text in mh_why.facts(fault):
            say(f"  {name:8} {text}")
        say(fault.text[len(fault.first) + 1:])
        self.say_causes(mh_why.causes(fault))

    @staticmethod
    def say_causes(causes: list[str]) -> None:
        if causes:
            say("likely:")
        for cause in causes:
            head, colon, rest = cause.partition(":")
            say(f"  - {colored(YELLOW, head)}{colon}{rest}")


class When(Command):
    """Show the position in time: the number of instructions executed, and how far the ends of the history are.
Usage: mh when
monitor goto goes to a position; reverse-step, reverse-continue and so on run backwards."""

    name = "when"
    WIDTH = 40

    def run(self, argument: str) -> None:
        text = machine.monitor("when")
        found = re.match(r"instruction (\d+) of (\d+) to (\d+)", text)
        if found is None:
            say(text)
            return
        now, first, last = (int(number) for number in found.groups())
        done = self.WIDTH if last == first else self.WIDTH * (now - first) // (last - first)
        say(f"instruction {colored(BOLD, str(now))}" + (", in the past" if "in the past" in text else ""))
        say(f"  {first} [{'=' * done}>{' ' * (self.WIDTH - done)}] {last}")
        say(f"  {now - first} instructions after the beginning of the history, {last - now} before its end")


Prefix()
PageTables(gdb.COMPLETE_EXPRESSION)
Map()
Files()
Why()
When()
mh_dap.add_requests()
