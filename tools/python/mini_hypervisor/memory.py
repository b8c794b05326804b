"""Memory of a machine, by addresses and symbols."""

from __future__ import annotations

import re

from .elf import Symbols
from .errors import ProtocolError, Refused
from .link import PIECE, Link
from .rsp import escape

Place = str | int  # a guest-virtual address, a symbol, or a symbol and an offset: "main+0x10"

OFFSET = re.compile(r"\s*\+\s*(0x[0-9a-fA-F]+|\d+)$")


class MemoryAccess:
    """Reading and writing of a stopped machine's memory, through the guest's page tables."""

    link: Link
    symbols: Symbols

    def need_stopped(self) -> None:
        """Raises NotStopped while the machine runs, or when it has ended."""
        raise NotImplementedError

    def address(self, place: Place) -> int:
        """The address of a place: an address, `"symbol"` or `"symbol+0x10"`. Raises SymbolNotFound."""
        if isinstance(place, int):
            return place
        offset = OFFSET.search(place)
        name = place[:offset.start()] if offset else place
        return self.symbols[name].address + (int(offset[1], 0) if offset else 0)

    def _size(self, place: Place, size: int | None) -> int:
        if size is not None:
            return size
        if isinstance(place, str) and place in self.symbols and self.symbols[place].size > 0:
            return self.symbols[place].size
        raise ValueError(f"say how many bytes at {place!r}; no symbol says it")

    def read(self, place: Place, length: int | None = None) -> bytes:
        """`length` bytes at a place; without it, as many as the symbol has. Raises Refused where nothing is mapped."""
        self.need_stopped()
        start, left, whole = self.address(place), self._size(place, length), b""
        while len(whole) < left:
            at = (start + len(whole)) % 2**64
            answer = self.link.ask(f"m{at:x},{min(PIECE, left - len(whole)):x}")
            try:
                part = bytes.fromhex(answer)
            except ValueError:
                raise ProtocolError(f"memory that is not hexadecimal: {answer[:40]!r}") from None
            if not part:
                raise Refused(f"no memory at {at:#x}")
            whole += part
        return whole

    def write(self, place: Place, data: bytes) -> None:
        """Write bytes at a place. Raises Refused where nothing is mapped; what is before that was written."""
        self.need_stopped()
        start = self.address(place)
        for at in range(0, len(data), PIECE):
            piece = data[at:at + PIECE]
            self.link.expect_ok(f"X{(start + at) % 2**64:x},{len(piece):x}:".encode() + escape(piece))

    def value(self, place: Place, size: int | None = None, *, signed: bool = False) -> int:
        """An integer of `size` bytes at a place; without it, of as many as the symbol has."""
        return int.from_bytes(self.read(place, size), "little", signed=signed)

    def set_value(self, place: Place, value: int, size: int | None = None) -> None:
        """Write an integer, as value() reads it."""
        length = self._size(place, size)
        self.write(place, value.to_bytes(length, "little", signed=value < 0))

    def string(self, place: Place, limit: int = 4096) -> str:
        """The text at a place up to its NUL, or of `limit` bytes."""
        start, text = self.address(place), b""
        while len(text) < limit and b"\0" not in text:
            at = start + len(text)  # within a page: the next need not be mapped
            text += self.read(at, min(limit - len(text), 0x1000 - at % 0x1000, 256))
        return text.split(b"\0")[0].decode(errors="replace")
