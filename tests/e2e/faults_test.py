"""Every fault of a guest has a name, and a report that says what there is to say."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from hypervisor import ACCEL, EXIT_CRASHED, MB, Case, guest, main, on  # noqa: E402

# What the guest `faults` puts into the registers that no fault needs for itself.
REGISTERS = {"rsi": 0x5151515151515151, "rdi": 0xd1d1d1d1d1d1d1d1, "rbp": 0xbebebebebebebebe,
             "r8": 0x0808080808080808, "r9": 0x0909090909090909, "r10": 0x1010101010101010,
             "r11": 0x1111111111111111, "r12": 0x1212121212121212, "r13": 0x1313131313131313,
             "r14": 0x1414141414141414, "r15": 0x1515151515151515}


class Report:
    """What the text on stderr says."""

    def __init__(self, text):
        self.text = text
        self.first_line = text.splitlines()[0]
        self.registers = {name: int(value, 16)
                          for name, value in re.findall(r"\b(r[a-z0-9]{1,5}|cr[0-4]|efer)\s+0x([0-9a-f]+)",
                                                        "\n".join(text.splitlines()[1:]))}
        code = re.search(r"code at rip:((?: [0-9a-f]{2})*)", text)
        self.code = bytes.fromhex(code.group(1)) if code else None
        error = re.search(r"error code 0x([0-9a-f]+)", text)
        self.error = int(error.group(1), 16) if error else None


class FaultsTest(Case):
    def fault(self, letter, *arguments):
        """Let the guest fault; returns the report, and the address of the faulting instruction as the guest said it."""
        result = self.check(self.run_vm("-g", guest("faults"), *arguments, input=letter.encode()), EXIT_CRASHED)
        said = re.fullmatch(rb"at ([0-9a-f]{16})\n", result.out)
        self.assertTrue(said, "output before the fault is kept: " + repr(result))
        self.assertTrue(result.messages.startswith("mini_hypervisor: VM 1 (faults): "), result)
        self.assertTrue(result.messages.endswith("\n"))
        report = Report(result.messages)
        for name, value in REGISTERS.items():
            self.assertEqual(report.registers.get(name), value, name)
        return report, int(said.group(1), 16)

    def exception(self, letter, name, vector, error=None, code=None, ring=0, arguments=()):
        report, at = self.fault(letter, *arguments)
        self.assertIn(f"{name}, vector {vector}, at rip 0x{at:016x}", report.first_line)
        self.assertEqual(report.registers["rip"], at)
        self.assertEqual(report.error, error)
        self.assertIn(f"ring {ring}", report.text)
        if code is not None:
            self.assertTrue(report.code.startswith(code), report.text)
        return report

    def page_fault(self, letter, address, error, walk, meaning, **more):
        report = self.exception(letter, "page fault (#PF)", 14, error, **more)
        self.assertIn(f"address 0x{address:016x}", report.first_line)
        self.assertEqual(report.registers["cr2"], address)
        self.assertIn(meaning, report.text)
        self.assertIn(f"page walk of 0x{address:016x}, cr3 0x1000000:", report.text)
        steps = re.findall(r"^ +(P[A-Z0-9]+) *\[ *(\d+)\] at 0x[0-9a-f]+: 0x[0-9a-f]{16} (present|not present)",
                           report.text, re.MULTILINE)
        self.assertEqual([(level, int(index), state == "present") for level, index, state in steps], walk)
        return report

    def test_divide_error(self):
        report = self.exception("d", "divide error (#DE)", 0, code=b"\xf7\xf1")
        self.assertEqual(report.registers["rsp"], 2 * MB - 8)
        self.assertEqual(report.registers["rbx"], 0xb0b0b0b0b0b0b0b0)
        self.assertEqual((report.registers["rax"], report.registers["rcx"], report.registers["rdx"]), (0, 0, 0))

    def test_invalid_opcode(self):
        report = self.exception("u", "invalid opcode (#UD)", 6, code=b"\x0f\x0b")
        self.assertEqual(report.registers["rdx"], 0x0d0d0d0d0d0d0d0d)
        self.assertEqual(report.registers["rcx"], 0xc1c1c1c1c1c1c1c1)

    def test_page_fault_on_read(self):
        for page in (2, 4):
            report = self.page_fault("r", 0x700000008, 0, [("PML4", 0, True), ("PDPT", 28, False)], "read",
                                     code=b"\x8a\x00", arguments=("-p", page))
            self.assertEqual(report.registers["rax"], 0x700000008)

    def test_page_fault_on_write(self):
        self.page_fault("w", 0x200010, 2, [("PML4", 0, True), ("PDPT", 0, True), ("PD", 1, False)], "write",
                        code=b"\xc7\x04\x25")

    def test_page_fault_on_execution(self):
        report = self.page_fault("e", 0xdead000, 0x10, [("PML4", 0, True), ("PDPT", 0, True), ("PD", 111, False)],
                                 "instruction fetch")
        self.assertEqual(report.code, b"", "there is no code to be shown")

    def test_general_protection(self):
        self.exception("g", "general protection fault (#GP)", 13, error=0, code=b"\x8a\x00")

    def test_general_protection_with_a_selector(self):
        report = self.exception("G", "general protection fault (#GP)", 13, error=0x48, code=b"\x8e\xd8")
        self.assertIn("selector 0x48", report.text)

    @on("soft")  # not every KVM distinguishes it from a general protection fault
    def test_stack_fault(self):
        report = self.exception("s", "stack fault (#SS)", 12, error=0, code=b"\x50")
        self.assertEqual(report.registers["rsp"], 0x8000000000001000)

    def test_fault_without_a_usable_stack(self):
        report = self.exception("S", "invalid opcode (#UD)", 6, code=b"\x0f\x0b")
        self.assertEqual(report.registers["rsp"], 0x123456789000)

    def test_page_fault_of_ring_3(self):
        walk = [("PML4", 0, True), ("PDPT", 0, True), ("PD", 8, True), ("PT", 0, True)]
        report = self.page_fault("k", 0x1000000, 5, walk, "ring 3", ring=3, code=b"\x8b\x08")
        self.assertEqual(report.registers["rsp"], 0x80000)
        self.assertIn("    the page is for ring 0 only\n", report.text)
        self.assertIn("cs 0023", report.text)
        self.assertIn("ss 001b", report.text)

    def test_what_ring_3_may_not_do(self):
        """A privileged instruction, a port, and halting the machine."""
        for letter, code in (("K", b"\xfa"), ("o", b"\xe6\xe9"), ("n", b"\xf4")):
            self.exception(letter, "general protection fault (#GP)", 13, error=0, ring=3, code=code)

    def own_table_walk(self):
        return [("PML4", 0, True), ("PDPT", 1, True), ("PD", 0, True)]

    def test_page_that_may_not_be_executed(self):
        report = self.page_fault("x", 0x40000000, 0x11, self.own_table_walk(), "instruction fetch")
        self.assertIn("no execute", report.text)
        self.assertIn("    the page is not executable\n", report.text)

    def test_page_that_may_not_be_written(self):
        report = self.page_fault("W", 0x40010000, 3, self.own_table_walk(), "does not allow it")
        self.assertIn("leads to physical 0x10000, in a page of 2097152 bytes\n    the page is read-only\n", report.text)

    def protection(self, letter, *expected):
        """A fault of SMEP or SMAP, where the processor has these."""
        if b"no such" in self.run_vm("-g", guest("faults"), input=letter.encode()).out:
            self.assertNotEqual(ACCEL, "soft")
            return
        at = self.fault(letter)[1]
        address, error, access, why = expected
        report = self.page_fault(letter, address or at, error, [("PML4", 0, True), ("PDPT", 0, True), ("PD", 0, True)],
                                 access)
        self.assertIn(f"    {why}\n", report.text)

    def test_smep(self):
        self.protection("p", None, 0x11, "instruction fetch from a page that does not allow it",
                        "SMEP is on: ring 0 may not execute a page of ring 3")

    def test_smap(self):
        self.protection("a", 0x80000, 1, "read of a page that does not allow it",
                        "SMAP is on: ring 0 may not access a page of ring 3 before STAC")

    @on("soft")  # not every KVM looks at them
    def test_reserved_bits(self):
        self.page_fault("R", 0x40000004, 9, self.own_table_walk(), "reserved bits")

    def test_breakpoint(self):
        report, at = self.fault("b")
        self.assertIn("breakpoint (#BP), vector 3", report.first_line)
        self.assertEqual(report.registers["rip"], at + 1, "behind the int3, as the processor has it")

    def test_triple_fault(self):
        """The registers are there, unless the processor reset itself; then the report says so."""
        result = self.check(self.run_vm("-g", guest("faults"), input=b"t"), EXIT_CRASHED, err="triple fault")
        at = int(result.out.split()[1], 16)
        report = Report(result.messages)
        if "registers are lost" not in report.text:
            self.assertEqual(report.registers["rip"], at)
            self.assertEqual(report.registers["r15"], REGISTERS["r15"])
            self.assertEqual(report.code[:2], b"\x0f\x0b")
            self.assertRegex(report.text, r"idt base 0x0+ limit 0x0000")

    def test_physical_address_without_memory(self):
        report, at = self.fault("m")
        self.assertIn("write to physical address 0x3000123", report.first_line)
        rip = report.registers["rip"]
        self.assertTrue(at <= rip <= at + 11, "at the instruction or right behind it: KVM decides")

    def test_instruction_that_kvm_cannot_emulate(self):
        """xsave to where there is no memory: no KVM can do that, so it goes to software."""
        report, at = self.fault("i")
        if "vector 6" in report.first_line:  # a processor without XSAVE
            self.assertIn("invalid opcode", report.first_line)
        else:
            self.assertIn("write to physical address 0x3000", report.first_line)
        self.assertEqual(report.registers["rip"], at)
        self.assertEqual(report.code[:3], b"\x0f\xae\x23")

    def test_entry_point_returned(self):
        report, _ = self.fault("z")
        self.assertIn("the entry point returned", report.first_line)
        self.assertEqual(report.registers["rsp"], 2 * MB)

    def test_all_registers_are_there(self):
        report, _ = self.fault("u")
        names = "rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip rflags cr0 cr2 cr3 cr4 efer"
        self.assertLessEqual(set(names.split()), set(report.registers))
        for name in ("cs", "ss", "ds", "es", "fs", "gs", "tr"):
            self.assertRegex(report.text, rf"(?m)^ +{name} [0-9a-f]{{4}} base 0x")

    def test_both_page_sizes_and_all_memory_sizes(self):
        for memory in (2, 4, 8):
            for page in (2, 4):
                with self.subTest(memory=memory, page=page):
                    self.exception("d", "divide error (#DE)", 0, arguments=("-m", memory, "-p", page))

    def test_code_that_leaves_64_bit_mode(self):
        """A machine has none but 64-bit mode. KVM goes on without it; then the report comes at the next stop."""
        for letter in "hupi":
            with self.subTest(letter=letter):
                result = self.check(self.run_vm("-g", guest("leave64"), input=letter.encode()), EXIT_CRASHED, b"")
                first = result.messages.splitlines()[0]
                self.assertRegex(first, r"the guest leaves 64-bit mode, which the machine does not support, with a return to "
                                        r"32-bit code \(compatibility mode\)|the guest left 64-bit mode, which the "
                                        r"machine does not support, for (compatibility mode|32-bit protected mode)")
                self.assertIn("code at rip:", result.messages)


if __name__ == "__main__":
    main()
