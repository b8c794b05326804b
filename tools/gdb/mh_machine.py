"""What gdb and the stub of mini_hypervisor know about the selected machine."""

import re
from typing import Iterator, NamedTuple, Optional

import gdb

PAGE = 4096


class Section(NamedTuple):
    """A section of the guest's ELF file that lies in memory."""

    name: str
    start: int
    end: int
    is_code: bool
    is_read_only: bool


class Instruction(NamedTuple):
    """A disassembled instruction, in AT&T syntax."""

    mnemonic: str
    operands: str


def check() -> None:
    """Raise gdb.GdbError, with the remedy, unless a stopped machine is selected."""
    connection = gdb.selected_inferior().connection
    if connection is not None and connection.type == "core":
        raise gdb.GdbError("a core file is no machine; core_report prints its fault and its control registers")
    if connection is None or connection.type not in ("remote", "extended-remote"):
        raise gdb.GdbError("there is no machine; connect to one with target remote :1234, or what the line says "
                           "that mini_hypervisor --gdb prints")
    thread = gdb.selected_thread()
    if thread is None:
        raise gdb.GdbError("the machine has ended; with --gdb-hold it stops before its end")
    if thread.is_running():
        raise gdb.GdbError("the machine is running; interrupt it first (Ctrl-C)")


def select() -> None:
    """Make the stub's current machine the one that gdb shows: gdb tells the stub only when it reads something."""
    read(0, 1)


def monitor(command: str) -> str:
    """The text of a monitor command. Raises gdb.error, after gdb has printed what the stub said."""
    select()
    try:
        return gdb.execute(f"monitor {command}", to_string=True)
    except gdb.error:
        gdb.execute(f"monitor {command}")  # an error discards the text that was to be returned
        raise


def refresh() -> None:
    """Make gdb read registers and memory again if a monitor command, such as goto, has moved the machine."""
    for name, value in re.findall(r"\b(r\w{1,2}) +0x([0-9a-f]{16})", monitor("regs")):
        if register(name) != int(value, 16):
            gdb.execute("maintenance flush register-cache", to_string=True)
            gdb.execute("maintenance flush dcache", to_string=True)
            return


def system_register(name: str) -> int:
    """cr0 to cr4 or efer; or gdt_limit, idt_base and idt_limit. gdb may not know them: not of a second inferior."""
    text = monitor("regs")
    table, _, field = name.partition("_")
    pattern = rf"\b{table} base 0x(?P<base>\w+) limit 0x(?P<limit>\w+)" if field else rf"\b{name} 0x(?P<value>\w+)"
    return int(re.search(pattern, text)[field or "value"], 16)


def register(name: str) -> int:
    """A general register of the machine, whichever frame is selected."""
    return int(gdb.newest_frame().read_register(name)) & (1 << 64) - 1


def read(address: int, length: int) -> Optional[bytes]:
    """Memory, or None where nothing is mapped."""
    try:
        return bytes(gdb.selected_inferior().read_memory(address & (1 << 64) - 1, length))
    except (gdb.error, OverflowError):
        return None


def read_quad(address: int) -> Optional[int]:
    data = read(address, 8)
    return None if data is None else int.from_bytes(data, "little")


def instruction(address: int) -> Optional[Instruction]:
    """The instruction at an address, or None where nothing is mapped."""
    try:
        text = gdb.execute(f"with disassembly-flavor att -- x/i {address:#x}", to_string=True)
    except gdb.error:
        return None
    words = text.split(":\t", 1)[-1].split(None, 1)
    return Instruction(words[0], words[1].strip() if len(words) > 1 else "") if words else None


def sections() -> list[Section]:
    """The sections of the guest's ELF file; none if gdb has no file."""
    text = gdb.execute("maintenance info sections -all-objects ALLOC", to_string=True)
    found = re.findall(r"0x([0-9a-f]+)->0x([0-9a-f]+) at 0x[0-9a-f]+: (\S+) (.*)", text)
    return [Section(name, int(start, 16), int(end, 16), "CODE" in flags, "READONLY" in flags)
            for start, end, name, flags in found]


def section_at(address: int) -> Optional[Section]:
    return next((section for section in sections() if section.start <= address < section.end), None)


def differs_from_file(address: int, length: int) -> bool:
    """Does code in memory differ from the guest's ELF file?"""
    section = section_at(address)
    if section is None or not section.is_read_only:
        return False
    length = min(length, section.end - address)
    try:
        original = gdb.execute(f"with trust-readonly-sections on -- output/x *(unsigned char (*)[{length}]){address:#x}",
                               to_string=True)
        current = gdb.execute(f"output/x *(unsigned char (*)[{length}]){address:#x}", to_string=True)
    except gdb.error:
        return False
    return original != current


def symbol(address: int) -> str:
    """'set_grade + 4', or '' where there is no symbol."""
    text = gdb.execute(f"info symbol {address:#x}", to_string=True)
    found = re.match(r"(.+) in section ", text)
    return found[1] if found and section_at(address) is not None else ""


def place(address: int) -> str:
    """An address with its function, and file and line if there is debug information."""
    name = symbol(address)
    line = gdb.find_pc_line(address)
    at = f", {line.symtab.filename}:{line.line}" if line.symtab is not None and line.line else ""
    return f"{address:#x}" + (f" in {name}{at}" if name else "")


def source_line(address: int) -> str:
    """The text of an address's source line, '' if it is not known."""
    line = gdb.find_pc_line(address)
    if line.symtab is None or not line.line:
        return ""
    try:
        with open(line.symtab.fullname(), encoding="utf-8", errors="replace") as file:
            lines = file.read().split("\n")  # no other ends of lines: compilers do not count form feeds
    except OSError:
        return ""
    return lines[line.line - 1].strip() if line.line <= len(lines) else ""


def mapped() -> list[tuple[int, int]]:
    """The mapped ranges of addresses, the lowest first; ranges that touch are one."""
    ranges: list[tuple[int, int]] = []
    for start, end in re.findall(r"^([0-9a-f]{16})-([0-9a-f]{16}) ", monitor("info mem"), re.MULTILINE):
        if ranges and ranges[-1][1] == int(start, 16):
            ranges[-1] = (ranges[-1][0], int(end, 16))
        else:
            ranges.append((int(start, 16), int(end, 16)))
    return ranges


def functions(limit: int) -> Iterator[str]:
    """The names of the functions in the backtrace, the innermost first, at most `limit`."""
    frame = gdb.newest_frame()
    for _ in range(limit):
        if frame is None:
            return
        yield frame.name() or ""
        try:
            frame = frame.older()
        except gdb.error:
            return


def pointers_to(address: int) -> list[str]:
    """The variables of the innermost function that are pointers with this value."""
    frame, names = gdb.newest_frame(), []
    try:
        block = frame.block()
    except RuntimeError:  # no debug information
        return names
    while block is not None and not block.is_static and not block.is_global:
        for variable in block:
            try:
                value = variable.value(frame) if variable.is_variable or variable.is_argument else None
                if value is not None and value.type.strip_typedefs().code == gdb.TYPE_CODE_PTR and \
                        int(value) & (1 << 64) - 1 == address:
                    names.append(variable.name)
            except (gdb.error, ValueError, TypeError):  # optimized out
                continue
        block = block.superblock
    return names


def is_canonical(address: int) -> bool:
    return address < 1 << 47 or address >= (1 << 64) - (1 << 47)
