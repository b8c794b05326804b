"""Symbols of an ELF file, and their source lines."""

from __future__ import annotations

import bisect
import difflib
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from .errors import MachineError, SymbolNotFound

SHT_SYMTAB = 2
STT_OBJECT, STT_FUNC, STT_SECTION, STT_FILE = 1, 2, 3, 4


@dataclass(frozen=True)
class Symbol:
    """A name for an address; `size` is in bytes, 0 when the file does not say."""

    name: str
    address: int
    size: int
    is_function: bool


def read_symbols(path: str) -> list[Symbol]:
    """All named symbols of a 64-bit little-endian ELF file. Raises MachineError when it is none, OSError."""
    with open(path, "rb") as file:
        data = file.read()
    if data[:6] != b"\x7fELF\x02\x01":
        raise MachineError(f"{path} is no 64-bit ELF file, so it has no symbols")
    try:
        return list(_symbols(data))
    except (struct.error, IndexError, ValueError, OverflowError):
        raise MachineError(f"{path} is a damaged ELF file") from None


def _symbols(data: bytes) -> Iterator[Symbol]:
    table, = struct.unpack_from("<Q", data, 40)
    entry, count = struct.unpack_from("<HH", data, 58)
    sections = [struct.unpack_from("<IIQQQQII", data, table + i * entry) for i in range(count)]
    for _, kind, _, _, start, size, link, _ in sections:
        if kind != SHT_SYMTAB:
            continue
        strings = sections[link][4]
        for at in range(start, start + size, 24):
            name, info, _, section, value, length = struct.unpack_from("<IBBHQQ", data, at)
            if name != 0 and section != 0 and info & 15 not in (STT_SECTION, STT_FILE):
                text = data[strings + name:data.index(b"\0", strings + name)].decode(errors="replace")
                yield Symbol(text, value, length, info & 15 == STT_FUNC)


class Symbols:
    """The symbols of one file; none at all without a file."""

    def __init__(self, path: str | None) -> None:
        self.path = path
        self._all = read_symbols(path) if path else []
        self._by_name: dict[str, list[Symbol]] = {}
        for symbol in self._all:
            self._by_name.setdefault(symbol.name, []).append(symbol)
        self._sorted = sorted(self._all, key=lambda symbol: (symbol.address, symbol.is_function, symbol.size))
        self._lines: dict[int, str | None] = {}

    def __iter__(self) -> Iterator[Symbol]:
        return iter(self._all)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> Symbol:
        """The symbol of this name. Raises SymbolNotFound, with similar names, also when there are several."""
        found = self._by_name.get(name, [])
        if len({symbol.address for symbol in found}) == 1:
            return found[0]
        if found:
            places = ", ".join(f"{symbol.address:#x}" for symbol in found)
            raise SymbolNotFound(f"there are several symbols '{name}', at {places}; give the address")
        if not self.path:
            raise SymbolNotFound(f"no symbol '{name}': the image is flat and there is no ELF file beside it; "
                                 "start the ELF file, or give symbols=FILE")
        similar = difflib.get_close_matches(name, self._by_name)
        hint = f"; similar: {', '.join(similar)}" if similar else ""
        raise SymbolNotFound(f"no symbol '{name}' in {self.path}{hint}")

    def at(self, address: int) -> str | None:
        """`name` or `name+0x12` for an address within a symbol, else None."""
        after = bisect.bisect_right(self._sorted, address, key=lambda symbol: symbol.address)
        if after == 0:
            return None
        symbol = self._sorted[after - 1]
        offset = address - symbol.address
        if offset > 0 and offset >= symbol.size and symbol.size > 0:
            return None
        return f"{symbol.name}+{offset:#x}" if offset else symbol.name

    def line(self, address: int) -> str | None:
        """`file.c:12` of an address: None without debug information for it, or without addr2line (binutils)."""
        if address not in self._lines:
            self._lines[address] = self._addr2line(address)
        return self._lines[address]

    def _addr2line(self, address: int) -> str | None:
        program = shutil.which("addr2line")
        if not self.path or program is None:
            return None
        try:
            done = subprocess.run([program, "-e", self.path, f"{address:#x}"], capture_output=True, timeout=20,
                                  check=False)
        except subprocess.TimeoutExpired:
            return None
        place = done.stdout.decode(errors="replace").strip().split(" (discriminator")[0]
        if done.returncode != 0 or not place or place.startswith("??") or place.endswith((":0", ":?")):
            return None
        return os.path.basename(place)
