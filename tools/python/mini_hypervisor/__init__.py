"""
Tests for guests of mini_hypervisor, in Python: start a machine, run it to places, look at registers and memory, go
backwards, and check what it prints and how it ends. Speaks the remote protocol of the stub itself, so gdb is not needed.

    from mini_hypervisor import Machine

    with Machine("guest.elf") as machine:
        machine.run_to("main")
        assert machine.registers.rdi == 0
        assert machine.finish().status == 0

docs/python.md is the guide.
"""

from .elf import Symbol, Symbols
from .errors import (Disconnected, MachineError, NotStopped, ProgramNotFound, ProtocolError, Refused, StartError,
                     SymbolNotFound, Timeout, UnexpectedStop)
from .machine import Breakpoint, Machine
from .process import Result, find_program, run
from .stops import Stop, StopKind
from .testcase import MachineTestCase

__all__ = ["Breakpoint", "Disconnected", "Machine", "MachineError", "MachineTestCase", "NotStopped", "ProgramNotFound",
           "ProtocolError", "Refused", "Result", "StartError", "Stop", "StopKind", "Symbol", "SymbolNotFound", "Symbols",
           "Timeout", "UnexpectedStop", "find_program", "run"]
