"""Mounts that only one process sees, for tests of hosts that lack something. They need root."""

import ctypes
import os

CLONE_NEWNS = 0x20000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 1 << 18

libc = ctypes.CDLL(None, use_errno=True)


def mount(source, target, kind=None, flags=0, options=None):
    if libc.mount(source.encode(), target.encode(), kind, flags, options) != 0:
        raise OSError(ctypes.get_errno(), "mount")


def own_mounts():
    """Give this process mounts of its own."""
    if libc.unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    mount("none", "/", flags=MS_REC | MS_PRIVATE)


def may_mount():
    """Whether this user may do what these tests need, tried in a child."""
    pid = os.fork()
    if pid == 0:
        try:
            own_mounts()
            mount("tmpfs", "/dev", b"tmpfs")
            os._exit(0)
        except OSError:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0
