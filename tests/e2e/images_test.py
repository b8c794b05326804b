"""Guest images: the largest that loads, and all that are refused, by name and size."""

import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from hypervisor import (EXIT_CRASHED, EXIT_IMAGE, MB, STACK_RESERVE, Case, contents, drop_file_capabilities,  # noqa: E402
                        main, sample)

HELLO = b"Hello, world!\n"

ET_REL, ET_EXEC, ET_DYN = 1, 2, 3
PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
EM_X86_64 = 62

# mov $'!', %al; out %al, $0xe9; hlt
CODE = b"\xb0\x21\xe6\xe9\xf4"


def segment(address, data=CODE, kind=PT_LOAD, memory_size=None, file_size=None, offset=None, virtual=None):
    return {"address": address, "data": data, "kind": kind, "offset": offset,
            "virtual": address if virtual is None else virtual,
            "memory_size": len(data) if memory_size is None else memory_size,
            "file_size": len(data) if file_size is None else file_size}


def elf(segments, entry=0x1000, kind=ET_EXEC, machine=EM_X86_64, ident=b"\x02\x01", header_offset=64):
    """An ELF64 file with these segments, laid out one behind the other."""
    where = 64 + 56 * len(segments)
    table, body = b"", b""
    for part in segments:
        offset = where + len(body) if part["offset"] is None else part["offset"]
        table += struct.pack("<IIQQQQQQ", part["kind"], 7, offset, part["virtual"], part["address"], part["file_size"],
                             part["memory_size"], 1)
        body += part["data"]
    header = b"\x7fELF" + ident + b"\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", kind, machine, 1, entry, header_offset, 0, 0, 64, 56, len(segments), 0, 0, 0)
    return header + table + body


class FlatTest(Case):
    def test_largest(self):
        """An image of all RAM but the stack reserve loads, to its last byte."""
        for memory in (2, 4, 8):
            for page in (2, 4):
                with self.subTest(memory=memory, page=page):
                    size = memory * MB - STACK_RESERVE
                    # print the last byte of the image, and end
                    code = b"\x8a\x04\x25" + struct.pack("<I", size - 1) + b"\xe6\xe9\xf4"
                    image = code.ljust(size - 1, b"\x90") + b"Z"
                    self.write("full.img", image)
                    self.check(self.run_vm("-m", memory, "-p", page, "-g", "full.img"), 0, b"Z", "")

    def test_one_byte_too_large(self):
        for memory in (2, 4, 8):
            with self.subTest(memory=memory):
                size = memory * MB - STACK_RESERVE + 1
                self.write("large.img", b"\xf4".ljust(size, b"\0"))
                result = self.check(self.run_vm("-m", memory, "-g", "large.img"), EXIT_IMAGE, b"",
                                    ["large.img", str(size), str(size - 1)])
                self.assertEqual(result.messages.count("\n"), 1)
                if memory < 8:
                    self.assertIn(f"--memory {2 * memory}", result.messages)
                    self.check(self.run_vm("-m", 2 * memory, "-g", "large.img"), 0)

    def test_load_address(self):
        """An image is loaded and entered where --load says: this one prints the byte at 0x800c, its last."""
        self.write("at.img", b"\xa0" + struct.pack("<Q", 0x800c) + b"\xe6\xe9\xf4" + b"Z")
        for address in ("0x8000", "32768", "0X8000"):
            self.check(self.run_vm("--load", address, "-g", "at.img"), 0, b"Z", "")
        result = self.check(self.run_vm("--load", "0x1ff000", "-g", "at.img"), EXIT_IMAGE, b"", ["'at.img'", "0x1feff3"])
        self.assertEqual(result.messages.count("\n"), 1)
        self.check(self.run_vm("--load", "0x1feff3", "-g", "at.img"), 0, b"\0")
        self.check(self.run_vm("--load", "0x200000", "-m", 4, "-g", "at.img"), 0, b"\0")

    def test_load_leaves_elf_files_where_they_are(self):
        self.write("good.elf", elf([segment(0x1000)]))
        self.check(self.run_vm("--load", "0x8000", "-g", "good.elf"), 0, b"!", "")

    def test_hint_for_an_image_linked_elsewhere(self):
        """mov 0x8020, %al; test %al, %al; jz to hlt: the text it was linked to print is not there."""
        code = b"\xa0" + struct.pack("<Q", 0x8020) + b"\x84\xc0\x74\x02\xe6\xe9\xf4"
        self.write("quiet.img", code.ljust(0x20, b"\x90") + b"Hello, world, from far away.\n".ljust(64, b"."))
        self.check(self.run_vm("-g", "quiet.img"), 0, b"", ["--load", "0x8000"])
        self.check(self.run_vm("--load", "0x8000", "-g", "quiet.img"), 0, b"H", "")
        self.write("jump.img", b"\xb8\x00\x90\x00\x00\xff\xe0".ljust(0x40, b"\xf4"))  # mov $0x9000, %eax; jmp *%rax
        self.check(self.run_vm("-g", "jump.img"), EXIT_CRASHED, b"", ["--load", "0x8000"])
        self.write("prints.img", b"\xb0!\xe6\xe9\x0f\x0b")
        result = self.check(self.run_vm("-g", "prints.img"), EXIT_CRASHED, b"!")
        self.assertNotIn("--load", result.messages)

    def test_smallest(self):
        self.write("hlt.img", b"\xf4")
        self.check(self.run_vm("-g", "hlt.img"), 0, b"", "")

    def refused(self, path, *says):
        result = self.check(self.run_vm("-g", path), EXIT_IMAGE, b"", ["'" + path + "'", *says])
        self.assertEqual(result.messages.count("\n"), 1)

    def test_empty(self):
        self.write("empty.img", b"")
        self.refused("empty.img", "empty")

    def test_missing(self):
        self.refused("missing.img", "No such file")
        self.refused("no/such/directory.img", "No such file")

    def test_directory(self):
        os.mkdir(self.path("directory.img"))
        self.refused("directory.img", "directory")

    def test_not_a_file(self):
        os.mkfifo(self.path("pipe.img"))
        self.refused("pipe.img", "pipe")
        self.refused("/dev/zero", "device")

    def test_unreadable(self):
        """As a user who may not read it: root may read everything."""
        os.chmod(self.dir, 0o755)
        path = self.write("secret.img", b"\xf4")
        os.chmod(path, 0)
        if os.geteuid() != 0:
            self.refused("secret.img", "Permission denied")
            return
        # no longer root, this process could not open /dev/kvm: hand it over
        self.check(self.run_vm("-g", "secret.img", preexec_fn=drop_file_capabilities), EXIT_IMAGE, b"",
                   ["'secret.img'", "Permission denied"])

    def test_one_bad_image_among_good_ones(self):
        self.write("empty.img", b"")
        result = self.run_vm("-g", sample("seed"), "empty.img", sample("seed"))
        self.check(result, EXIT_IMAGE, b"", "'empty.img'")


class ElfTest(Case):
    def accepted(self, image, out=b"!"):
        self.write("guest.elf", image)
        self.check(self.run_vm("-g", "guest.elf"), 0, out, "")

    def refused(self, image, *says, memory=2):
        self.write("guest.elf", image)
        result = self.check(self.run_vm("-m", memory, "-g", "guest.elf"), EXIT_IMAGE, b"", ["'guest.elf'", *says])
        self.assertEqual(result.messages.count("\n"), 1)

    def test_entry_and_physical_addresses(self):
        self.accepted(elf([segment(0x1000)]))
        self.accepted(elf([segment(0x1000, b"\xf4" + CODE)], entry=0x1001))
        self.accepted(elf([segment(0x1000, virtual=0xffffffff80001000)]))

    def test_several_segments_and_zeroed_rest(self):
        # print the byte at 0x3000, which the file has, and add the one at 0x3fff, which is zero
        code = b"\x8a\x04\x25\x00\x30\x00\x00\x02\x04\x25\xff\x3f\x00\x00\xe6\xe9\xf4"
        self.accepted(elf([segment(0x1000, code), segment(0x3000, b"D", memory_size=0x1000)]), b"D")

    def test_neighbours_do_not_overlap(self):
        self.accepted(elf([segment(0x1000, CODE.ljust(0x1000, b"\0")), segment(0x2000, b"x")]))

    def test_largest(self):
        for memory in (2, 4, 8):
            self.write("guest.elf", elf([segment(0x1000, memory_size=memory * MB - STACK_RESERVE - 0x1000)]))
            self.check(self.run_vm("-m", memory, "-g", "guest.elf"), 0, b"!", "")

    def test_too_large(self):
        for memory in (2, 4, 8):
            size = memory * MB - STACK_RESERVE + 1
            self.refused(elf([segment(0x1000, memory_size=size - 0x1000)]), str(size), memory=memory)
            self.refused(elf([segment(0x1000), segment(size - 1, b"x")]), str(size), memory=memory)

    def test_address_beyond_everything(self):
        self.refused(elf([segment(0x1000), segment(0x1000000, b"x")]))
        self.refused(elf([segment(0x1000), segment(2**64 - 1, b"xyz")]))
        self.refused(elf([segment(0x1000), segment(0x2000, b"x", memory_size=2**64 - 1)]))

    def test_overlap(self):
        self.refused(elf([segment(0x1000), segment(0x1004, b"x")]), "overlap")
        self.refused(elf([segment(0x2000, b"x"), segment(0x1000, CODE, memory_size=0x1001)]), "overlap")
        self.refused(elf([segment(0x1000), segment(0x1000)]), "overlap")

    def test_truncated(self):
        whole = contents(sample("hello", "elf"))
        image = elf([segment(0x1000, CODE.ljust(300, b"\0"))])
        for length in (4, 5, 63, 64, 100, 64 + 55, 120, 419):
            with self.subTest(length=length):
                self.refused(image[:length], "truncated")
        self.refused(whole[:0x1100], "truncated")
        self.refused(elf([segment(0x1000, offset=2**63)]), "truncated")
        self.refused(elf([segment(0x1000, offset=2**64 - 1)]), "truncated")
        self.refused(elf([segment(0x1000)], header_offset=2**64 - 8), "truncated")

    def test_more_in_the_file_than_in_memory(self):
        self.refused(elf([segment(0x1000, memory_size=1)]), "larger in the file")

    def test_dynamic(self):
        self.refused(elf([segment(0x1000), segment(0x2000, b"/lib/ld\0", PT_INTERP)]), "dynamic", "-static")
        self.refused(elf([segment(0x1000), segment(0x2000, bytes(16), PT_DYNAMIC)]), "dynamic", "-static")

    def test_position_independent(self):
        self.refused(elf([segment(0x1000)], kind=ET_DYN), "position-independent", "-no-pie")

    def test_program_of_the_host(self):
        """A program for this very machine is no guest."""
        self.check(self.run_vm("-g", sys.executable), EXIT_IMAGE, b"", "'" + sys.executable + "'")

    def test_object_file(self):
        self.refused(elf([segment(0x1000)], kind=ET_REL), "object")
        self.check(self.run_vm("-g", os.path.join(os.path.dirname(sample("hello")), "guest.o")), EXIT_IMAGE, b"",
                   "object")

    def test_other_processor(self):
        self.refused(elf([segment(0x1000)], machine=183), "processor")
        self.refused(elf([segment(0x1000)], ident=b"\x01\x01"), "processor")
        self.refused(elf([segment(0x1000)], ident=b"\x02\x02"), "processor")

    def test_nothing_to_load(self):
        self.refused(elf([]))
        self.refused(elf([segment(0x1000, kind=4)]), "nothing to load")

    def test_entry_where_nothing_is(self):
        self.refused(elf([segment(0x1000)], entry=0x999000), "0x999000")


if __name__ == "__main__":
    main()
