"""
guest-address [HOST-ADDRESS]: which guest code the generated code at an address was made from; without one, at $pc.

A command for gdb, for debugging mini_hypervisor itself, which has to be started with --perf-map:

    $ gdb -x tools/dev/guest_address.py --args mini_hypervisor --accel soft --perf-map -g guest.elf
"""

import gdb


class GuestAddress(gdb.Command):
    """Print which guest code the generated code at an address was made from.
Usage: guest-address [HOST-ADDRESS]
Without an argument, it is the code at $pc. mini_hypervisor has to run with --perf-map."""

    def __init__(self):
        super().__init__("guest-address", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        address = int(gdb.parse_and_eval(argument or "(long) $pc")) & 0xffffffffffffffff
        path = f"/tmp/perf-{gdb.selected_inferior().pid}.map"
        try:
            with open(path) as file:
                lines = [line.split(None, 2) for line in file]
        except OSError as error:
            raise gdb.GdbError(f"{path}: {error.strerror}; is mini_hypervisor running with --perf-map?") from None
        # the latest is right: memory is used again
        for start, size, name in reversed(lines):
            if 0 <= address - int(start, 16) < int(size, 16):
                print(f"{address:#x}: {name.strip()}, from {int(start, 16):#x} on")
                return
        print(f"{address:#x} is not in generated code")


GuestAddress()
