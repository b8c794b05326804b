"""The machine a guest finds: registers, memory, what is mapped and what is not."""

import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from hypervisor import EXIT_CRASHED, MB, SYSTEM_AREA, Case, guest, main, probe  # noqa: E402

SYSTEM_AREA_SIZE = 0xa000
PAGE = 0x1000
PRESENT, WRITABLE, USER, LARGE, NO_EXECUTE = 1, 2, 4, 0x80, 1 << 63
ADDRESS = 0x000ffffffffff000
MACHINES = [(memory, page) for memory in (2, 4, 8) for page in (2, 4)]


class StateTest(Case):
    def state(self, *arguments):
        result = self.check(self.run_vm("-g", guest("state"), *arguments), 0, err="")
        pairs = [line.split() for line in result.out.decode().splitlines()]
        return {name: int(value, 16) for name, value in pairs}

    def test_registers(self):
        for memory, page in MACHINES:
            with self.subTest(memory=memory, page=page):
                state = self.state("-m", memory, "-p", page)
                self.assertEqual(state["rsp"], memory * MB - 8)
                self.assertEqual(state["rflags"], 2, "interrupts are off")
                for name in "rax rbx rcx rdx rsi rdi rbp r8 r9 r10 r11 r12 r13 r14 r15".split():
                    self.assertEqual(state[name], 0, name)

    def test_control_registers(self):
        state = self.state()
        cr0 = 1 << 0 | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 16 | 1 << 18 | 1 << 31  # PE MP ET NE WP AM PG
        self.assertEqual(state["cr0"], cr0)
        self.assertEqual(state["cr3"], SYSTEM_AREA)
        self.assertEqual(state["efer"], 1 << 0 | 1 << 8 | 1 << 10 | 1 << 11)  # SCE LME LMA NXE
        cr4 = 1 << 5 | 1 << 9 | 1 << 10  # PAE OSFXSR OSXMMEXCPT
        osxsave = 1 << 18 if int(probe()["xcr0"], 16) else 0
        self.assertEqual(state["cr4"], cr4 | osxsave)

    def test_segments(self):
        state = self.state()
        self.assertEqual(state["cs"], 0x08)
        for name in ("ds", "es", "fs", "gs", "ss"):
            self.assertEqual(state[name], 0x10, name)
        self.assertEqual(state["tr"], 0x28)
        for name in ("gdt", "idt"):
            self.assertTrue(SYSTEM_AREA <= state[name] < SYSTEM_AREA + SYSTEM_AREA_SIZE, name)


class MemoryTest(Case):
    def test_ram_is_zeroed(self):
        for memory, page in MACHINES:
            with self.subTest(memory=memory, page=page):
                self.check(self.run_vm("-m", memory, "-p", page, "-g", guest("zeroed")), 0, b"0", "")

    def test_all_ram_can_be_used(self):
        for memory, page in MACHINES:
            with self.subTest(memory=memory, page=page):
                run, monitor = self.start_monitor("-m", memory, "-p", page)
                for address in (0x8000, memory * MB // 2 - 1, memory * MB - 0x10000, memory * MB - 1):
                    monitor.poke(address, b"\xa5")
                    self.assertEqual(monitor.peek(address, 1), b"\xa5")
                self.check(run.finish(), err="")

    def test_first_byte_behind_ram_faults(self):
        for memory, page in MACHINES:
            for command in ("peek", "poke"):
                with self.subTest(memory=memory, page=page, command=command):
                    run, monitor = self.start_monitor("-m", memory, "-p", page)
                    address = struct.pack("<QI", memory * MB, 1)
                    monitor.write(b"g" + address if command == "peek" else b"p" + address + b"x")
                    self.check(run.finish(), EXIT_CRASHED, b"",
                               ["page fault (#PF), vector 14", f"address 0x{memory * MB:016x};",
                                f"error code 0x{2 if command == 'poke' else 0:x}:"])

    def test_around_the_system_area(self):
        for address in (SYSTEM_AREA - 1, SYSTEM_AREA + SYSTEM_AREA_SIZE, 0x40000000, 0xffff800000000000):
            with self.subTest(address=hex(address)):
                run, monitor = self.start_monitor("-m", 8)
                monitor.write(b"g" + struct.pack("<QI", address, 1))
                self.check(run.finish(), EXIT_CRASHED, b"", ["page fault", f"address 0x{address:016x};"])

    def mappings(self, monitor):
        """All that the page tables map, walked from CR3 by what a guest can read: address -> (size, entry)."""
        area = monitor.peek(SYSTEM_AREA, SYSTEM_AREA_SIZE)
        found = {}

        def walk(table, level, base, rights):
            self.assertTrue(SYSTEM_AREA <= table <= SYSTEM_AREA + SYSTEM_AREA_SIZE - PAGE, "a table of its own")
            for index, entry in enumerate(struct.unpack_from("<512Q", area, table - SYSTEM_AREA)):
                if not entry & PRESENT:
                    continue
                address = base + (index << (12 + 9 * level))
                own = rights & entry & (WRITABLE | USER)
                if level == 0 or entry & LARGE and level < 3:
                    found[address] = (1 << (12 + 9 * level), entry & ADDRESS & ~(PAGE if level else 0), own,
                                      entry & NO_EXECUTE)
                else:
                    self.assertFalse(entry & NO_EXECUTE)
                    walk(entry & ADDRESS, level - 1, address, own)
        walk(SYSTEM_AREA, 3, 0, WRITABLE | USER)
        return found

    def test_page_tables(self):
        """RAM in pages of the size asked for, the system area in small ones, each where it is, and nothing else."""
        for memory, page in MACHINES:
            with self.subTest(memory=memory, page=page):
                _, monitor = self.start_monitor("-m", memory, "-p", page)
                found = self.mappings(monitor)
                size = 2 * MB if page == 2 else PAGE
                expected = {address: (size, address, WRITABLE | USER, 0) for address in range(0, memory * MB, size)}
                system = range(SYSTEM_AREA, SYSTEM_AREA + SYSTEM_AREA_SIZE, PAGE)
                self.assertEqual(set(found), set(expected) | set(system))
                for address, mapping in expected.items():
                    self.assertEqual(found[address], mapping)
                for address in system:
                    self.assertEqual(found[address][:3], (PAGE, address, WRITABLE))

    def test_system_area_is_the_guests_own(self):
        """What one guest writes there no other machine sees."""
        run, (first, second) = self.start_monitors(2)
        before = second.peek(SYSTEM_AREA + 0x9ff0, 8)
        first.poke(SYSTEM_AREA + 0x9ff0, b"scribble")
        self.assertEqual(first.peek(SYSTEM_AREA + 0x9ff0, 8), b"scribble")
        self.assertEqual(second.peek(SYSTEM_AREA + 0x9ff0, 8), before)
        first.poke(0x50000, b"mine")
        self.assertEqual(second.peek(0x50000, 4), bytes(4))
        first.halt()
        second.halt()
        self.check(run.finish(), 0)


class OwnTablesTest(Case):
    def test_own_tables_handlers_and_ring_3(self):
        """A guest's own page tables, GDT, TSS and IDT work, and its handlers take precedence over ours."""
        expected = b"".join([
            b"own page tables\n",
            b"own GDT and TSS, cs 0000000000000018\n",
            b"divide error at ring 0\n",
            b"after the divide error\n",
            b"page fault, cr2 0000000000540000\n",
            b"after the page fault: 000000000000600d\n",
            b"page fault of ring 3, rbx 000000000000beef, error 0000000000000004\n",
        ])
        for memory, page in MACHINES:
            with self.subTest(memory=memory, page=page):
                self.check(self.run_vm("-m", memory, "-p", page, "-g", guest("handlers")), 0, expected, "")

    def test_software_interrupts_and_floating_point(self):
        """int3 and int n come to the guest's own IDT, and ring 3 has SSE and the FPU."""
        expected = b"".join([
            b"breakpoint, in front of it an int3\n",
            b"after int3\n",
            b"call 000000000000ca11\n",
            b"after int 0x80, rbx 000000000000bac4\n",
            b"from ring 3, rbx 000000000000002a\n",
        ])
        for page in (2, 4):
            self.check(self.run_vm("-p", page, "-g", guest("interrupts")), 0, expected, "")

    def test_no_registers_of_kvm(self):
        """MSRs that CPUID does not announce are not there: a clock of the host among them."""
        for msr in (0x4b564d00, 0x4b564d01, 0x11, 0x12):
            image = self.write("msr.img", b"\xb9" + struct.pack("<I", msr) + b"\x0f\x32\xf4")  # mov ecx, msr; rdmsr; hlt
            self.check(self.run_vm("-g", image), EXIT_CRASHED, b"", "general protection fault (#GP)")

    def test_floating_point_in_ring_0(self):
        """x87, SSE and AVX, where a KVM cannot execute them too: the guest goes on in software, and is not told."""
        for label in ("auto", "always"):
            result = self.check(self.run_vm("-g", guest("simd"), "--label", label), 0, err="")
            lines = result.out.decode().replace("simd| ", "").splitlines()
            self.assertEqual(lines[:2], ["x87 0000000000000c46", "sse 0000000000000a55 0000000000000006"])
            avx = ["avx 4008000000000000"] if int(probe()["xcr0"], 16) & 4 else []
            self.assertEqual(lines[2:], avx + ["end"])


if __name__ == "__main__":
    main()
