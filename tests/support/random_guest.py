"""
Guests made of chance: loops of harmless snippets that compute, write all over memory, print, read, call files,
change page tables, MSRs and debug registers, and raise exceptions they handle. Endless, unless they are given a number
of rounds: then they end by printing all registers and a sum of their memory. Flat images for 2 MB of RAM.

Memory: code from 0; tables from 0x10000 (PML4, PDPT, page directory, page table of the first 2 MB); file calls from
0x18000, their names from 0x1a000; IDT at 0x1e000; the stack below 0x30000; data from DATA on.
"""

import struct

TABLES, CALLS, NAMES, IDT, STACK = 0x10000, 0x18000, 0x1a000, 0x1e000, 0x30000
ROUNDS = 0x1a800
DATA = 0x80000
READS = 0x190000  # where files are read to, and nothing else writes
PAGE_TABLE = TABLES + 0x3000
END = 0x200000


def call(op, fd=0, flags=0, buffer=0, length=0, offset=0):
    """A struct mh_file_call."""
    return struct.pack("<IiIIQQqq", op, fd, flags, 0, buffer, length, offset, 0)


class Guest:
    """One of them; `image` is what it is made of, `points` are addresses at which breakpoints may lie."""

    def __init__(self, chance, rounds=0):
        self.chance, self.rounds = chance, rounds
        self.code = bytearray()
        self.points = []
        self.calls = self.file_calls()
        self.start()
        loop = len(self.code)
        for _ in range(chance.randrange(10, 60)):
            self.points.append(len(self.code))
            chance.choice(self.SNIPPETS)(self)
        self.go_on(loop)
        self.handler = len(self.code)
        # the only exceptions are those of ud2: r14 counts them, and the two bytes are skipped
        self.code += b"\x49\xff\xc6" b"\x48\x83\x04\x24\x02" b"\x48\xcf"
        self.image = self.assemble()

    def go_on(self, loop):
        """The next round; after the last of them the end."""
        if self.rounds == 0:
            self.code += b"\xe9" + struct.pack("<i", loop - len(self.code) - 5)
            return
        self.code += b"\xff\x0c\x25" + struct.pack("<I", ROUNDS)  # dec dword [ROUNDS]
        self.code += b"\x0f\x85" + struct.pack("<i", loop - len(self.code) - 6)  # jnz
        self.code += b"\x50\x51\x52\x53\x55\x56\x57" + b"".join(bytes((0x41, 0x50 + i)) for i in range(8))  # push all
        self.code += b"\x31\xc0\xbf" + struct.pack("<I", DATA)  # xor eax, eax; mov edi, DATA
        self.code += b"\xb9" + struct.pack("<I", (END - DATA) // 8)  # mov ecx, n
        self.code += b"\x48\x6b\xc0\x1f\x48\x03\x07\x83\xc7\x08\xff\xc9\x75\xf2"  # imul rax, 31; add rax, [rdi]; ...
        self.code += b"\x50\x48\x89\xe6\xb9" + struct.pack("<I", 16 * 8) + b"\x66\xba\xe9\x00\xf3\x6e\xf4"  # rep outsb; hlt

    # ---- what there is besides code ----

    def file_calls(self):
        chance = self.chance
        calls = [call(1, flags=7, buffer=NAMES + 8, length=1)]
        for _ in range(chance.randrange(4, 12)):
            fd = chance.choice([0, 0, 0, 1, 2])
            buffer = DATA + chance.randrange(0x1000)
            calls.append(chance.choice([
                call(1, flags=chance.choice([1, 2, 3, 7, 0xb, 0x12]), buffer=NAMES, length=chance.choice([1, 2])),
                call(1, flags=0xb, buffer=NAMES + chance.randrange(4), length=1),
                call(2, fd),
                call(3, fd, buffer=READS + chance.randrange(0x4000), length=chance.randrange(3000)),
                call(4, fd, buffer=buffer, length=chance.randrange(3000)),
                call(4, fd, buffer=buffer, length=chance.randrange(3000)),
                call(5, fd, chance.randrange(3), offset=chance.randrange(-5, 9000)),
                call(6, fd)]))
        return calls

    def tables(self):
        entries = [b""] * 4
        for level in range(2):
            entries[level] = struct.pack("<Q", TABLES + 0x1000 * (level + 1) + 3)
        directory = [0] * 512
        directory[0] = PAGE_TABLE + 3
        directory[8] = 0x1000000 + 0x83  # the system area, with the TSS
        entries[2] = struct.pack("<512Q", *directory)
        entries[3] = struct.pack("<512Q", *(page * 0x1000 + 3 for page in range(512)))
        return b"".join(entry.ljust(0x1000, b"\0") for entry in entries)

    def assemble(self):
        image = bytearray(IDT + 0x100)
        image[:len(self.code)] = self.code
        image[TABLES:TABLES + 0x4000] = self.tables()
        for i, made in enumerate(self.calls):
            image[CALLS + 64 * i:CALLS + 64 * i + len(made)] = made
        image[NAMES:NAMES + 16] = b"abcdefghijklmnop"
        struct.pack_into("<I", image, ROUNDS, self.rounds)
        image[IDT + 6 * 16:IDT + 7 * 16] = struct.pack("<HHHHII", self.handler & 0xffff, 8, 0x8e00, 0, 0, 0)
        struct.pack_into("<HQ", image, IDT - 16, 7 * 16 - 1, IDT)
        return bytes(image)

    # ---- code ----

    def start(self):
        self.code += b"\xbc" + struct.pack("<I", STACK)  # mov esp, STACK
        self.code += b"\xb8" + struct.pack("<I", TABLES) + b"\x0f\x22\xd8"  # mov eax, TABLES; mov cr3, rax
        self.code += b"\x0f\x01\x1c\x25" + struct.pack("<I", IDT - 16)  # lidt
        self.code += b"\x48\xb8" + struct.pack("<Q", self.chance.getrandbits(64))  # movabs rax
        self.code += b"\x45\x31\xf6"  # xor r14d, r14d
        self.call_file(CALLS)  # so that there is one to be used

    def mix(self):
        """rax is where the guest's own chance is."""
        self.code += b"\x48\x69\xc0" + struct.pack("<I", self.chance.getrandbits(31) | 1)  # imul rax, rax, n
        self.code += b"\x48\x05" + struct.pack("<I", self.chance.getrandbits(31))  # add rax, n

    def point_at_data(self):
        """rbx: an aligned address in data, as rax says."""
        self.code += b"\x48\x89\xc3" b"\x81\xe3" + struct.pack("<I", 0xffff8)  # mov rbx, rax; and ebx, 0xffff8
        self.code += b"\x81\xc3" + struct.pack("<I", DATA)  # add ebx, DATA

    def store(self):
        self.mix()
        self.point_at_data()
        self.code += self.chance.choice([b"\x48\x89\x03", b"\x89\x03", b"\x88\x03", b"\x48\x31\x03", b"\x48\x01\x03"])

    def load(self):
        self.point_at_data()
        self.code += self.chance.choice([b"\x48\x33\x0b", b"\x48\x03\x0b", b"\x4c\x8b\x03", b"\x48\x2b\x33"])

    def stack(self):
        self.code += b"\x50\x51\x9c\x58\x59\x5a"  # push rax; push rcx; pushfq; pop rax; pop rcx; pop rdx
        self.mix()

    def string(self):
        self.point_at_data()
        self.code += b"\x48\x89\xdf\xb9" + struct.pack("<I", self.chance.randrange(1, 40))  # mov rdi, rbx; mov ecx, n
        self.code += b"\xbe" + struct.pack("<I", self.chance.randrange(DATA, DATA + 0x1000))  # mov esi, address
        self.code += b"\xf3" + self.chance.choice([b"\xaa", b"\xa4", b"\x48\xa5"])

    def write_serial(self):
        self.code += b"\xe6\xe9"

    def read_serial(self):
        self.code += b"\x49\x89\xc1\xe4\xe9\x49\x01\xc2\x4c\x01\xc8"  # keep rax in r9; in al; add r10, rax; add rax, r9

    def read_serial_string(self):
        self.point_at_data()
        self.code += b"\x48\x89\xdf\xb9" + struct.pack("<I", self.chance.randrange(1, 20)) + b"\x66\xba\xe9\x00\xf3\x6c"

    def file_call(self):
        self.call_file(CALLS + 64 * self.chance.randrange(len(self.calls)))

    def call_file(self, at):
        self.code += b"\x49\x89\xc1\xb8" + struct.pack("<I", at) + b"\x66\xba\x78\x02\xef"  # mov dx, 0x278; out dx, eax
        self.code += b"\x48\x8b\x04\x25" + struct.pack("<I", at + 48) + b"\x4c\x01\xc8"  # its result; add rax, r9

    def file_bytes(self):
        """Some bytes of a request or of an answer: calls half made, too."""
        self.code += b"\x66\xba\x78\x02\x49\x89\xc1"
        for _ in range(self.chance.randrange(1, 12)):
            if self.chance.random() < 0.3:
                self.code += b"\xec\x49\x01\xc2"
            else:
                self.code += b"\xb0" + bytes([self.chance.choice([0, 0, 0, 1, 2, 3, 4, 6])]) + b"\xee"
        self.code += b"\x4c\x89\xc8"

    def page_table(self):
        """Let two pages of the data swap places, and read there before and after."""
        pages = self.chance.sample(range(DATA // 4096, DATA // 4096 + 32), 2)
        offset = 8 * self.chance.randrange(512)
        for number, register in zip(pages, (b"\x1c", b"\x0c")):
            self.code += b"\x48\x03\x04\x25" + struct.pack("<I", number * 4096 + offset)  # add rax, [there]
            self.code += b"\x48\x8b" + register + b"\x25" + struct.pack("<I", PAGE_TABLE + 8 * number)  # its entry
        for number, register in zip(pages, (b"\x0c", b"\x1c")):
            self.code += b"\x48\x89" + register + b"\x25" + struct.pack("<I", PAGE_TABLE + 8 * number)
            self.code += b"\x0f\x01\x3c\x25" + struct.pack("<I", number * 4096)  # invlpg
            self.code += b"\x48\x03\x04\x25" + struct.pack("<I", number * 4096 + offset)

    def msr(self):
        index = self.chance.choice([0xc0000082, 0xc0000100, 0xc0000101, 0xc0000102, 0x175, 0x176])
        self.code += b"\x49\x89\xc1\xb9" + struct.pack("<I", index)  # mov ecx, index
        self.code += b"\x0f\x32\x49\x01\xc2\x44\x89\xc8\x25\xff\xff\x0f\x00\x31\xd2\x0f\x30\x4c\x89\xc8"

    def debug_register(self):
        number = 8 * self.chance.randrange(4)
        self.code += b"\x0f\x21" + bytes([0xc1 + number]) + b"\x48\x01\xc8"  # mov rcx, dr; add rax, rcx
        self.code += b"\x48\x89\xc3\x81\xe3\xff\xff\xff\x00\x0f\x23" + bytes([0xc3 + number])  # 24 bits of rax

    def exception(self):
        self.code += b"\x0f\x0b"

    def identify(self):
        self.code += b"\x49\x89\xc1\x31\xc0\x31\xc9\x0f\xa2\x48\x01\xd8\x4c\x01\xc8"  # cpuid

    SNIPPETS = [mix, store, store, store, load, stack, string, write_serial, write_serial, read_serial,
                read_serial_string, file_call, file_call, file_bytes, page_table, msr, debug_register, exception,
                identify]
