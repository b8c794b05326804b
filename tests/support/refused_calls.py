"""System calls that fail, as on another kernel or under other rules. For preexec_fn."""

import ctypes
import errno
import struct

LOAD, JUMP_IF_EQUAL, JUMP_IF_BITS, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, REFUSE = 0x7fff0000, 0x50000
NUMBER, THIRD_ARGUMENT = 0, 32
MPROTECT, PROT_EXEC = 10, 4
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2

libc = ctypes.CDLL(None, use_errno=True)


def filter_calls(code):
    """Have this process, and those it starts, run a filter's instructions for each system call."""
    program = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *one) for one in code))
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or libc.prctl(
            PR_SET_SECCOMP, SECCOMP_MODE_FILTER, struct.pack("<HxxxxxxQ", len(code), ctypes.addressof(program))) != 0:
        raise OSError(ctypes.get_errno(), "a filter for system calls")


def refuse_calls(numbers, error):
    """System calls with these numbers fail with this errno."""
    code = [(LOAD, 0, 0, NUMBER)]
    for number in numbers:
        code += [(JUMP_IF_EQUAL, 0, 1, number), (RETURN, 0, 0, REFUSE | error)]
    filter_calls([*code, (RETURN, 0, 0, ALLOW)])


def refuse_executable_memory():
    """No memory becomes executable but by mapping a file, as where SELinux has no execmem for a program."""
    filter_calls([(LOAD, 0, 0, NUMBER), (JUMP_IF_EQUAL, 0, 3, MPROTECT), (LOAD, 0, 0, THIRD_ARGUMENT),
                  (JUMP_IF_BITS, 0, 1, PROT_EXEC), (RETURN, 0, 0, REFUSE | errno.EACCES), (RETURN, 0, 0, ALLOW)])
