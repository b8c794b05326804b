"""Images for guests that abuse their machine: random bytes, mutated images, and random sequences of evil instructions."""

import struct

from hypervisor import MB, SYSTEM_AREA

# Values that are at an edge of something.
EDGES = [0, 1, 0x7f, 0x80, 0xff, 0xfff, 0x1000, 0x7fff, 0x8000, 0xffff, 2 * MB - 1, 2 * MB, SYSTEM_AREA,
         SYSTEM_AREA + 0xa000, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 1 << 47, (1 << 47) - 1, 1 << 63,
         (1 << 64) - 1, 0xffff800000000000]
MSRS = [0x10, 0x1b, 0x174, 0x175, 0x176, 0x1a0, 0x1d9, 0x277, 0x2ff, 0xc0000080, 0xc0000081, 0xc0000082, 0xc0000084,
        0xc0000100, 0xc0000101, 0xc0000102, 0xc0000103, 0x4b564d00, 0x4b564d01, 0x4b564d02, 0x40000000]


def random_bytes(chance):
    """Anything: from one byte to some pages."""
    return chance.randbytes(chance.choice((1, 15, 64, 256, 4096, 20000)) + chance.randrange(16))


def mutated(chance, image):
    """An image with some of its bytes changed, moved, doubled or taken away."""
    data = bytearray(image)
    for _ in range(chance.choice((1, 2, 5, 20, 100))):
        at = chance.randrange(len(data))
        length = min(chance.choice((1, 2, 4, 8, 64)), len(data) - at)
        match chance.randrange(6):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at:at + length] = chance.randbytes(length)
            case 2:
                data[at:at + length] = struct.pack("<Q", chance.choice(EDGES))[:length]
            case 3:
                data[at:at] = data[at:at + length]
            case 4:
                other = chance.randrange(len(data))
                data[other:other + length] = data[at:at + length]
            case 5 if len(data) > length:
                del data[at:at + length]
    return bytes(data)


def number(chance):
    """A number, more often one at an edge than not."""
    match chance.randrange(3):
        case 0:
            return chance.getrandbits(64)
        case 1:
            return (chance.choice(EDGES) + chance.randrange(-8, 9)) & 0xffffffffffffffff
        case _:
            return 1 << chance.randrange(64)


def set_register(register, value):
    """mov $value, register (0 to 7: rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi)"""
    return bytes((0x48, 0xb8 + register)) + struct.pack("<Q", value)


def control_register(chance):
    """Read CR0, CR3, CR4 or CR8, change it, or replace it."""
    name = chance.choice((0, 2, 3, 4))
    flip = b"\x48\x0f\xba\xf8" + bytes((chance.randrange(64),))  # btc $n, %rax
    read, write = bytes((0x0f, 0x20, 0xc0 | name << 3)), bytes((0x0f, 0x22, 0xc0 | name << 3))
    return (read + flip if chance.randrange(2) else set_register(0, number(chance))) + write


def model_register(chance):
    """Read and write a model-specific register; often EFER with one bit changed."""
    register = b"\xb9" + struct.pack("<I", chance.choice(MSRS) if chance.randrange(4) else chance.getrandbits(32))
    if chance.randrange(2):
        return register + b"\x0f\x32\x48\x0f\xba\xf8" + bytes((chance.randrange(32),)) + b"\x0f\x30"
    value = number(chance)
    return register + b"\xb8" + struct.pack("<I", value & 0xffffffff) + b"\xba" + struct.pack("<I", value >> 32) + \
        b"\x0f\x30"


def descriptor_table(chance):
    """Load GDT or IDT with nonsense, then perhaps use it."""
    table = set_register(0, number(chance)) + b"\x66\xc7\x44\x24\xc0" + struct.pack("<H", chance.choice((0, 7, 0xffff))) + \
        b"\x48\x89\x44\x24\xc2" + b"\x0f\x01" + chance.choice((b"\x54", b"\x5c")) + b"\x24\xc0"  # lgdt/lidt -64(%rsp)
    return table + chance.choice((b"", b"\x0f\x0b", b"\xcc", selector(chance)))


def selector(chance):
    """Load a segment register, the task register or the local descriptor table."""
    value = b"\x66\xb8" + struct.pack("<H", chance.getrandbits(16) if chance.randrange(2) else chance.randrange(0x40))
    return value + chance.choice((b"\x8e\xd8", b"\x8e\xc0", b"\x8e\xd0", b"\x8e\xe0", b"\x8e\xe8", b"\x0f\x00\xd8",
                                  b"\x0f\x00\xd0"))


def port(chance):
    """IN, OUT, INS or OUTS, of any width, single or repeated, at any port."""
    name = chance.choice((0xe9, 0x278, 0x279, 0xcf8, 0xcfc, 0x20, 0x40, 0x60, 0x64, 0x70, 0x92, 0x3f8,
                          chance.getrandbits(16)))
    operands = b"\x66\xba" + struct.pack("<H", name) + b"\xb9" + struct.pack("<I", chance.choice((0, 1, 3, 5000)))
    operands += set_register(6, number(chance) % (4 * MB)) + set_register(7, number(chance) % (4 * MB))
    return operands + chance.choice((b"", b"\x66")) + chance.choice((b"", b"\xf3")) + \
        chance.choice((b"\xec", b"\xed", b"\xee", b"\xef", b"\x6c", b"\x6d", b"\x6e", b"\x6f"))


def memory(chance):
    """Read, write, or fill memory anywhere; a third of it where the system area is."""
    at = number(chance) if chance.randrange(3) else SYSTEM_AREA + chance.randrange(0xa000)
    return set_register(7, at) + set_register(0, number(chance)) + chance.choice((
        b"\x48\x89\x07", b"\x48\x8b\x07", b"\xb9\x00\x10\x00\x00\xf3\x48\xab", b"\xf0\x48\x0f\xb1\x07",
        b"\x48\x8d\x3f\xff\x37", b"\x0f\x01\x3f"))


def jump(chance):
    """Jump, call or return to anywhere, the last bytes of memory among it; or to a stack that is anywhere."""
    target = chance.choice((2 * MB - chance.randrange(16), number(chance), chance.randrange(400)))
    return set_register(0, target) + chance.choice((b"\xff\xe0", b"\xff\xd0", b"\x50\xc3", b"\x48\x89\xc4"))


def long_instruction(chance):
    """Prefixes up to the 15 bytes an instruction may have, and beyond."""
    prefixes = bytes(chance.choice(b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf2\xf3\xf0") for _ in range(chance.randrange(8, 16)))
    return prefixes + chance.choice((b"\x90", b"\x00\x00", b"\x48\xb8" + bytes(8), b"\xa4", b"\x6e", b"\xf4"))


def debug_register(chance):
    """Write a debug register."""
    return set_register(0, number(chance)) + bytes((0x0f, 0x23, 0xc0 | chance.randrange(8) << 3))


def exception(chance):
    """A software interrupt, or an instruction that faults, or changes the flags."""
    return chance.choice((b"\xcc", b"\xcd" + chance.randbytes(1), b"\xf1", b"\x0f\x0b", b"\x31\xc9\xf7\xf1",
                          set_register(0, number(chance)) + b"\x50\x9d", b"\xfb", b"\xfa", b"\x48\xcf", b"\xcf"))


def rare(chance):
    """Instructions that only systems use, and those that hypervisors know themselves."""
    return chance.choice((b"\x0f\xa2", b"\x0f\x31", b"\x0f\x33", b"\x0f\x01\xc1", b"\x0f\x01\xd9", b"\x0f\x01\xc8",
                          b"\x0f\x01\xc9", b"\x0f\x01\xd0", b"\x0f\x01\xd1", b"\x0f\x01\xf8", b"\x0f\x05", b"\x0f\x07",
                          b"\x0f\x34", b"\x0f\x35", b"\x0f\x09", b"\x0f\x08", b"\x0f\x06", b"\xdb\xe3", b"\x0f\x77",
                          b"\x0f\xae\x24\x24", b"\x0f\xae\x04\x24", b"\x0f\xaa", b"\x0f\x01\xca", b"\x0f\x01\xcb",
                          b"\xf3\x90", b"\x0f\x0d\x00", b"\xc5\xf8\x77", b"\x62\xf1\x7c\x48\x28\xc0"))


def page_table(chance):
    """Change an entry of the page tables in the system area, and forget or use what is cached of them."""
    entry = SYSTEM_AREA + chance.randrange(3) * 0x1000 + chance.choice((0, 0, 0, 8, chance.randrange(512) * 8))
    flush = chance.choice((b"", b"\x0f\x20\xd8\x0f\x22\xd8", b"\x48\x8b\x07", b"\x48\x8b\x04\x25" + bytes(4)))
    return set_register(7, entry) + set_register(0, number(chance) | 1) + b"\x48\x89\x07" + flush


KINDS = (control_register, model_register, descriptor_table, selector, port, memory, jump, long_instruction,
         debug_register, exception, rare, page_table)

# Cells of the guest `survivor`.
CELL = 64
COUNT = struct.pack("<I", 0x101000)


def evil(chance):
    """An image of some evil instructions, one after the other; then it halts, loops, or runs into random bytes."""
    code = b"".join(chance.choice(KINDS)(chance) for _ in range(chance.randrange(1, 12)))
    return code + chance.choice((b"\xf4", b"\xeb\xfe", b"\xe9" + struct.pack("<i", -len(code) - 5), chance.randbytes(64)))


def stubborn(chance, survivor):
    """The guest `survivor` with many evil instructions, which it all tries; then it halts, or tries them again."""
    count = chance.randrange(1, 100)
    cells = [(b"\xff\x04\x25" + COUNT + chance.choice(KINDS)(chance)).ljust(CELL, b"\x90") for _ in range(count)]
    again = b"\xc7\x04\x25" + COUNT + bytes(4)  # movl $0, COUNT
    return survivor + b"".join(cells) + chance.choice((b"\xf4", again + b"\xe9" + struct.pack("<i", -count * CELL - 16)))
