"""Why a guest has stopped: the facts of its last fault, and what usually causes such a fault."""

import re
from typing import Callable, Iterator, Optional

import gdb
import mh_machine as machine

DIVIDE, DEBUG, BREAKPOINT, OPCODE, NO_DEVICE, DOUBLE = 0, 1, 3, 6, 7, 8
STACK, PROTECTION, PAGE, ALIGNMENT = 12, 13, 14, 17

# What each exception means, for people who have not met it before.
MEANINGS = {
    DIVIDE: "a division by zero, or one whose quotient does not fit",
    DEBUG: "a debug trap that the guest itself has asked for (TF, or a debug register)",
    BREAKPOINT: "the guest has executed int3",
    4: "into was executed with OF set",
    5: "bound was executed with an index out of bounds",
    OPCODE: "the bytes at rip are no instruction, or one that is not available here",
    NO_DEVICE: "an x87 or SSE instruction while CR0 forbids them",
    DOUBLE: "an exception could not be delivered because of a second one",
    10: "a task state segment that cannot be used",
    11: "a segment or gate that is marked as not present",
    STACK: "an access through rsp or rbp to an address that is no address",
    PROTECTION: "something that the processor does not allow",
    PAGE: "an access to memory that the page tables do not allow",
    16: "an x87 error that the guest has not masked",
    ALIGNMENT: "an unaligned access in ring 3 while alignment is checked",
    19: "an SSE error that the guest has not masked",
}

PRIVILEGED = re.compile(r"(cli|sti|hlt|l[gi]dt|lldt|ltr|lmsw|clts|invlpg|invd|wbinvd|rdmsr|wrmsr|in[bwl]?|out[bwl]?|"
                        r"ins[bwl]|outs[bwl]|sysretq?|swapgs|xsetbv)$")
ALIGNED = re.compile(r"v?(movap[sd]|movdqa|movntp[sd]|movntdq)$")
MEMORY = re.compile(r"(?:%([c-g]s):)?(-?0x[0-9a-f]+)?\((%\w+)?(?:,(%\w+)(?:,(\d))?)?\)")
WRITERS_NAME = "to find who wrote there: watch *(char *) {:#x}, then reverse-continue"


class Fault:
    """What is known about the stop."""

    def __init__(self) -> None:
        self.text = machine.monitor("why").rstrip("\n")
        self.first = self.text.split("\n", 1)[0]
        self.vector = self.number(r", vector (\d+), ", 10)
        self.error = self.number(r"error code 0x([0-9a-f]+)")
        self.address = self.number(r", address 0x([0-9a-f]+);")
        self.rip, self.rsp = machine.register("rip"), machine.register("rsp")
        if self.vector == BREAKPOINT and machine.read(self.rip - 1, 1) == b"\xcc":
            self.rip -= 1  # it is a trap: rip is behind the instruction
        self.ring = machine.register("cs") & 3
        self.instruction = machine.instruction(self.rip)
        self.section = machine.section_at(self.rip)

    def number(self, pattern: str, base: int = 16) -> Optional[int]:
        found = re.search(pattern, self.text)
        return int(found[1], base) if found else None

    @property
    def is_triple(self) -> bool:
        return self.first.startswith("triple fault")

    @property
    def is_crash(self) -> bool:
        return (self.vector is not None or self.is_triple or self.first.startswith("the entry point returned") or
                "where the machine has no memory" in self.first)

    def has(self, bit: int) -> bool:
        return self.error is not None and self.error & bit != 0

    @property
    def is_fetch(self) -> bool:
        return self.vector == PAGE and (self.has(0x10) or self.address == self.rip)

    def is_one_of(self, *mnemonics: str) -> bool:
        return self.instruction is not None and self.instruction.mnemonic.rstrip("q") in mnemonics

    def operand_registers(self) -> list[tuple[str, int]]:
        """The general registers of the instruction, with their values."""
        operands = self.instruction.operands.split("#")[0].split("<")[0] if self.instruction is not None else ""
        values = []
        for name in dict.fromkeys(re.findall(r"%([a-z]\w*)", operands)):
            try:
                value = gdb.newest_frame().read_register(name)
                values.append((name, int(value) & (1 << 8 * value.type.sizeof) - 1))
            except (ValueError, gdb.error):  # a vector register, or one that gdb does not know
                continue
        return values

    def operand_address(self) -> Optional[int]:
        """The address of the instruction's memory operand."""
        found = MEMORY.search(self.instruction.operands) if self.instruction is not None else None
        if found is None or found[1] in ("fs", "gs"):
            return None
        address = int(found[2] or "0", 16)
        for name, scale in ((found[3], "1"), (found[4], found[5] or "1")):
            if name is not None and name != "%riz":
                address += machine.register(name[1:]) * int(scale)
        return address & (1 << 64) - 1


# ---- causes: each yields sentences, or nothing ----

def text_in(number: int) -> Optional[str]:
    """The characters of a number that looks as if it were text."""
    data = number.to_bytes(8, "little").rstrip(b"\0")
    return data.decode() if len(data) >= 4 and all(0x20 <= byte < 0x7f for byte in data) else None


def about_text(fault: Fault) -> Iterator[str]:
    for name, value in [*fault.operand_registers(), ("the address", fault.address or 0)]:
        text = text_in(value)
        if text is not None:
            yield f"overwritten pointer: {name} consists of the characters '{text}': a text was copied over it"
            return


def pointer_of(fault: Fault) -> str:
    """The pointer that led to the address: a variable, or else the address itself."""
    for _, value in fault.operand_registers():
        for name in machine.pointers_to(value):
            return f"{name} is {value:#x}"
    return f"the address is {fault.address:#x}"


def recursion() -> Optional[str]:
    names = list(machine.functions(64))
    name = max(set(names), key=names.count) if names else ""
    return name if name and names.count(name) >= 20 else None


def about_stack(fault: Fault) -> Iterator[str]:
    own = machine.section_at(fault.rsp)
    reach = 8 if machine.read(fault.rsp, 1) is not None else 16 * machine.PAGE  # push, or locals
    near = fault.address is not None and -machine.PAGE <= fault.address - fault.rsp < reach or fault.vector == STACK
    if own is not None and own.name != ".bss":
        yield (f"stack overflow: rsp {fault.rsp:#x} lies in {own.name} of the program; the stack has grown down over "
               "code or data")
    elif near and machine.read(fault.rsp, 1) is None and not machine.is_canonical(fault.rsp):
        yield f"wrong stack pointer: rsp {fault.rsp:#x} is no address; something was loaded or popped into it"
    elif near and not fault.is_fetch:
        page_above = (max(fault.rsp, fault.address or 0) | machine.PAGE - 1) + 1
        if machine.read(page_above, 1) is not None or machine.read(fault.rsp, 1) is not None:
            yield f"stack overflow: rsp {fault.rsp:#x} has reached the end of the memory for the stack"
        else:
            yield f"wrong stack pointer: rsp {fault.rsp:#x} is not mapped, and neither is what lies above it"
    name = recursion()
    if name is not None:
        yield f"endless recursion: {name} is on the stack again and again (backtrace -20 shows where it began)"


def is_after_call(address: int) -> bool:
    """Does a call instruction end at this address?"""
    code = machine.read(address - 7, 7)
    if code is None:
        return False
    return code[2] == 0xe8 or any(code[-n] == 0xff and code[-n + 1] >> 3 & 7 == 2 for n in (2, 3, 4, 6, 7))


def about_jump(fault: Fault) -> Iterator[str]:
    """How the machine came to an address where there is no code."""
    popped, pushed = machine.read_quad(fault.rsp - 8), machine.read_quad(fault.rsp)
    if popped == fault.rip and fault.rip != 0:
        yield ("wrong return address: a ret took it from the stack; it was overwritten, or push and pop do not match "
               f"(the stack slot: {fault.rsp - 8:#x})")
    elif pushed is not None and is_after_call(pushed):
        yield f"{'null' if fault.rip == 0 else 'wrong'} function pointer: called from {machine.place(pushed - 1)}"
    else:
        yield "wrong jump: reverse-stepi shows the instruction that led here"


def is_outside_code(fault: Fault) -> bool:
    return bool(machine.sections()) and (fault.section is None or not fault.section.is_code)


def about_data(fault: Fault) -> Iterator[str]:
    """Code is executed that is none."""
    if is_outside_code(fault):
        where = f"lies in {fault.section.name}" if fault.section is not None else "is not part of the program"
        name = machine.symbol(fault.rip)
        yield f"jump into data: rip {fault.rip:#x} {where}" + (f" ({name})" if name else "")
        yield from about_jump(fault)
    elif machine.differs_from_file(fault.rip, 8):
        yield ("overwritten code: the bytes at rip are not those of the program's file; "
               + WRITERS_NAME.format(fault.rip))


def entries_without(fault: Fault, right: str) -> str:
    """The entries of the walk that lack a right."""
    walk = re.findall(r"^ +(P\w+) *\[ *(\d+)\] at 0x[0-9a-f]+: 0x[0-9a-f]+ present(.*)$", fault.text, re.MULTILINE)
    return ", ".join(f"{level}[{index}]" for level, index, rights in walk if right not in rights)


def about_rights(fault: Fault) -> Iterator[str]:
    """A page that is mapped, and does not allow the access."""
    section = machine.section_at(fault.address or 0)
    of = f" {section.name}" if section is not None else ""
    if fault.has(8):
        yield ("wrong page table: the last entry of the walk has a bit set that must be 0; its address is too large, or "
               "was shifted")
    elif fault.has(4) and entries_without(fault, "user"):
        yield f"ring 3 in a page of ring 0: the user bit is missing in {entries_without(fault, 'user')}"
    elif "SMEP is on" in fault.text:
        yield from about_jump(fault)
    elif "SMAP is on" in fault.text:
        yield "SMAP: put stac before the access and clac behind it, or leave CR4.SMAP clear"
    elif fault.is_fetch:
        yield f"jump into data: the page{of} is not executable"
        yield from about_jump(fault)
    elif fault.has(2) and entries_without(fault, "writable"):
        yield f"write to a read-only page{of}: the write bit is missing in {entries_without(fault, 'writable')}"


def about_nothing_mapped(fault: Fault) -> Iterator[str]:
    address = fault.address or 0
    if fault.is_fetch:
        yield from about_jump(fault)
    elif address < machine.PAGE:
        yield f"null pointer: {pointer_of(fault)}; what was accessed is {address} bytes behind address 0"
    else:
        below = [(start, end) for start, end in machine.mapped() if end <= address]
        if below and address - below[-1][1] < 16 * machine.PAGE:
            yield (f"beyond the end: {pointer_of(fault)}, and memory is mapped from {below[-1][0]:#x} to {below[-1][1]:#x}; "
                   "an index or a pointer has run out of it, or the machine needs more memory (--memory)")
        else:
            yield f"wild pointer: {pointer_of(fault)}, and nothing is mapped there; it was never set, or was overwritten"


def about_page_fault(fault: Fault) -> Iterator[str]:
    of_stack = list(about_stack(fault))
    if of_stack:
        yield from of_stack
        return
    yield from about_text(fault)
    yield from about_rights(fault) if fault.has(1) else about_nothing_mapped(fault)


def about_opcode(fault: Fault) -> Iterator[str]:
    of_place = [*about_data(fault), *about_stack(fault)]
    if of_place:
        yield from of_place
        return
    code = machine.read(fault.rip, 2)
    operands = fault.instruction.operands if fault.instruction is not None else ""
    if code == b"\x0f\x0b":
        yield ("ud2: the compiler puts it where the program can only come by undefined behaviour, or after "
               "__builtin_trap() and __builtin_unreachable()")
    elif re.search(r"%[xyz]?mm", operands) and machine.system_register("cr4") & 1 << 9 == 0:
        yield "SSE is off: set CR4.OSFXSR before, or compile with -mgeneral-regs-only"
    else:
        yield ("unknown instruction: rip is in the middle of one, or the processor does not have it (see CPUID; -march "
               "of the compiler)")


def about_privilege(fault: Fault) -> Iterator[str]:
    if fault.ring == 3 and fault.instruction is not None and (
            PRIVILEGED.match(fault.instruction.mnemonic) or re.search(r"%[cd]r\d", fault.instruction.operands)):
        yield f"not allowed in ring 3: {fault.instruction.mnemonic} needs ring 0 (or, for ports, the TSS's permission)"


def about_selector(fault: Fault) -> Iterator[str]:
    if fault.has(2):
        limit = machine.system_register("idt_limit")
        yield (f"IDT: entry {(fault.error or 0) >> 3} is missing, outside the limit {limit:#x}, or not allowed for int from "
               "ring 3 (its DPL)")
    elif fault.error:
        limit = machine.system_register("gdt_limit")
        yield (f"wrong selector {fault.error & ~3:#x}: the GDT (limit {limit:#x}) has no such segment, or not of this kind "
               "and privilege")


def about_return(fault: Fault) -> Iterator[str]:
    """An address, or an interrupt frame, that is taken from the stack."""
    target = machine.read_quad(fault.rsp)
    if target is None or not fault.is_one_of("ret", "iret"):
        return
    text = text_in(target)
    what = f"{target:#x}" + (f" (the characters '{text}')" if text else "")
    if fault.is_one_of("iret"):
        yield (f"wrong pop: iretq takes {what} for rip from the stack at {fault.rsp:#x}; the frame there is rip, cs, "
               "rflags, rsp, ss, and an error code has to be removed before")
    elif not machine.is_canonical(target):
        yield (f"wrong pop: ret takes {what} from the stack at {fault.rsp:#x}; push and pop do not match, or it was "
               "overwritten; " + WRITERS_NAME.format(fault.rsp))


def about_operand(fault: Fault) -> Iterator[str]:
    address = fault.operand_address()
    if address is None:
        return
    if not machine.is_canonical(address):
        yield (f"wild pointer: the operand's address {address:#x} is not canonical (bits 63 to 47 must be equal); it was "
               "never set, or was overwritten")
    elif fault.instruction is not None and ALIGNED.match(fault.instruction.mnemonic) and address % 16 != 0:
        yield (f"unaligned: {fault.instruction.mnemonic} needs an address that is a multiple of 16, not {address:#x}; is "
               "rsp a multiple of 16 at each call?")


def about_control(fault: Fault) -> Iterator[str]:
    if fault.is_one_of("wrmsr", "rdmsr") and fault.ring == 0:
        yield f"MSR {machine.register('rcx'):#x} does not exist, or does not take this value"
    elif fault.ring == 0 and fault.instruction is not None and re.search(r"%cr\d$", fault.instruction.operands):
        yield "control register: the value has a reserved bit, or bits that exclude each other"


def about_protection(fault: Fault) -> Iterator[str]:
    for about in (about_privilege, about_selector, about_return, about_text, about_operand, about_control, about_stack,
                  about_data):
        yield from about(fault)


def about_stack_fault(fault: Fault) -> Iterator[str]:
    yield from about_selector(fault)
    yield from about_stack(fault)


def about_division(fault: Fault) -> Iterator[str]:
    values = fault.operand_registers()
    is_register = fault.instruction is not None and re.fullmatch(r"%\w+", fault.instruction.operands)
    if is_register and values:
        name, value = values[0]
        yield (f"division by zero: {name} is 0" if value == 0 else
               f"overflow: the quotient of rdx:rax and {name} does not fit; was rdx set (cqo, cdq, or 0)?")
    else:
        yield "the divisor is 0, or the quotient does not fit (was rdx set?)"


def about_breakpoint(fault: Fault) -> Iterator[str]:
    yield from about_data(fault)
    yield "int3: one that is in the program, or padding (0xcc) behind a function that does not return"


def about_device(fault: Fault) -> Iterator[str]:
    yield "CR0.EM or CR0.TS is set: clear it (clts), or compile with -mgeneral-regs-only"


def about_double(fault: Fault) -> Iterator[str]:
    yield from about_stack(fault)
    yield from about_tables(fault)


def ranges(numbers: list[int]) -> str:
    """'0 to 13, 15'."""
    starts = [number for number in numbers if number - 1 not in numbers]
    ends = [number for number in numbers if number + 1 not in numbers]
    return ", ".join(f"{start} to {end}" if start < end else f"{start}" for start, end in zip(starts, ends))


def about_tables(fault: Fault) -> Iterator[str]:
    """Can an exception be delivered at all?"""
    base, limit = machine.system_register("idt_base"), machine.system_register("idt_limit")
    table = machine.read(base, min(limit + 1, 4096)) if limit >= 15 else b""
    if table == b"":
        yield f"no IDT: its limit is {limit:#x}, so it has no entries; lidt takes the size minus 1 and the address"
        return
    if table is None:
        yield f"no IDT: its address {base:#x} is not mapped"
        return
    missing = [vector for vector in range(32) if table[vector * 16 + 5:vector * 16 + 6] < b"\x80"]
    if missing:
        yield "IDT: there is no handler for " + ("any exception" if len(missing) == 32 else f"vector {ranges(missing)}")
    limit = machine.system_register("gdt_limit")
    selectors = [int.from_bytes(table[vector * 16 + 2:vector * 16 + 4], "little") for vector in range(32)
                 if vector not in missing]
    if any(selector | 7 > limit for selector in selectors):
        yield f"GDT: its limit {limit:#x} excludes the segment {min(selectors):#x} of handlers"
    if machine.read(fault.rsp - 8, 8) is None:
        yield (f"stack: rsp {fault.rsp:#x} is not mapped, so no handler could be called; use an IST stack for page and "
               "double faults")


def about_first_exception(fault: Fault) -> Iterator[str]:
    """The exception that could not be delivered."""
    cr2 = machine.system_register("cr2")
    if fault.instruction is not None and re.match(r"i?div[bwlq]?$", fault.instruction.mnemonic):
        yield from (cause for cause in about_division(fault) if cause.startswith("division by zero"))
    elif machine.read(fault.rip, 2) == b"\x0f\x0b":
        yield "ud2: an invalid opcode (#UD)"
    elif fault.is_one_of("iret"):
        yield from about_return(fault)
    elif machine.read(cr2, 1) is None:
        yield f"page fault: cr2 is {cr2:#x}, and nothing is mapped there"


def about_triple(fault: Fault) -> Iterator[str]:
    yield from about_first_exception(fault)
    yield from about_tables(fault)
    yield from about_data(fault)
    yield from about_stack(fault)


def about_end(fault: Fault) -> Iterator[str]:
    if fault.first.startswith("the entry point returned"):
        yield ("the end is missing: a guest ends with hlt; with the SDK, crt0.S does that after main. If hlt is there, a "
               "ret came too early: push and pop do not match")
    else:
        yield ("wrong page table: it leads to a physical address where the machine has no memory; RAM ends at the size of "
               "--memory")


CAUSES: dict[int, Callable[[Fault], Iterator[str]]] = {
    DIVIDE: about_division,
    BREAKPOINT: about_breakpoint,
    OPCODE: about_opcode,
    NO_DEVICE: about_device,
    DOUBLE: about_double,
    10: about_selector,
    11: about_selector,
    STACK: about_stack_fault,
    PROTECTION: about_protection,
    PAGE: about_page_fault,
}


def causes(fault: Fault) -> list[str]:
    """Likely causes, the most likely first."""
    if fault.vector is None:
        about = about_triple if fault.is_triple else about_end
    else:
        about = CAUSES.get(fault.vector, lambda _: iter(()))
    return list(dict.fromkeys(about(fault)))


def facts(fault: Fault) -> Iterator[tuple[str, str]]:
    """Lines with a name each; lines without one belong to that above."""
    if fault.first.startswith("the entry point returned"):
        return  # rip is in a stub of the hypervisor
    yield "at", machine.place(fault.rip) + (f", ring {fault.ring}" if fault.ring else "")
    source = machine.source_line(fault.rip)
    if source:
        yield "", source
    if fault.instruction is not None:
        yield "code", f"{fault.instruction.mnemonic} {fault.instruction.operands}".rstrip()
        values = ", ".join(f"{name} = {value:#x}" for name, value in fault.operand_registers())
        if values:
            yield "", values
    else:
        yield "code", "not mapped"
