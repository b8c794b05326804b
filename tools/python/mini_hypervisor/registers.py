"""The registers of a stopped machine."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .errors import ProtocolError


@dataclass(frozen=True)
class Register:
    """A register of the target description: its number in packets and its size in bytes."""

    name: str
    number: int
    size: int


def parse_description(xml: str) -> dict[str, Register]:
    """The registers of a target description, by name. Raises ProtocolError."""
    registers: dict[str, Register] = {}
    number = 0
    try:
        for element in ElementTree.fromstring(xml).iter("reg"):
            number = int(element.get("regnum", number))
            name = element.attrib["name"]
            registers[name] = Register(name, number, int(element.attrib["bitsize"]) // 8)
            number += 1
    except (ElementTree.ParseError, KeyError, ValueError) as error:
        raise ProtocolError(f"the description of the registers cannot be read: {error}") from None
    return registers


class Registers:
    """
    Registers by gdb's names, as attributes or items: `registers.rax`, `registers["cr3"]`, `registers.rip = 0x1000`. Values
    are unsigned integers; those of vectors and x87 registers have their lowest byte first in memory order. `rip` and
    `pc`, `rsp` and `sp` are the same.
    """

    _described: dict[str, Register]
    _ask: Callable[[str], str]
    _changed: Callable[[], None]
    _ALIASES = {"pc": "rip", "sp": "rsp", "rflags": "eflags"}

    def __init__(self, xml: str, ask: Callable[[str], str], changed: Callable[[], None]) -> None:
        for name, value in (("_described", parse_description(xml)), ("_ask", ask), ("_changed", changed)):
            object.__setattr__(self, name, value)

    def _find(self, name: str) -> Register:
        register = self._described.get(self._ALIASES.get(name, name))
        if register is None:
            raise AttributeError(f"there is no register '{name}'; there are: {', '.join(self._described)}")
        return register

    def __getattr__(self, name: str) -> int:
        if name.startswith("__"):
            raise AttributeError(name)
        register = self._find(name)
        answer = self._ask(f"p{register.number:x}")
        try:
            return int.from_bytes(bytes.fromhex(answer), "little")
        except ValueError:
            raise ProtocolError(f"the value of register {name} cannot be read: {answer!r}") from None

    def __setattr__(self, name: str, value: int) -> None:
        register = self._find(name)
        limit = 1 << 8 * register.size
        if not -(limit >> 1) <= value < limit:
            raise ValueError(f"{value:#x} does not fit into register {name}, which has {8 * register.size} bits")
        self._ask(f"P{register.number:x}={(value % limit).to_bytes(register.size, 'little').hex()}")
        self._changed()

    def __getitem__(self, name: str) -> int:
        return self.__getattr__(name)

    def __setitem__(self, name: str, value: int) -> None:
        self.__setattr__(name, value)

    def __iter__(self) -> Iterator[str]:
        """The names of all registers."""
        return iter(self._described)
