"""
A host that refuses: runs mini_hypervisor with tests/support/fail_nth.c loaded into it, which makes system calls, KVM's
ioctls and allocations fail on demand.
"""

import os
import tempfile

import hypervisor

LIBRARY = os.path.join(hypervisor.BUILD, "tests", "libfail_nth.so")

KINDS = ["kvm", "run", "map", "open", "socket", "thread", "file", "terminal"]
if not hypervisor.is_sanitized():  # sanitizers bring an allocator of their own
    KINDS.append("memory")


class Refusal:
    """Of the calls of `kind`, the `nth` and those after it, `times` in all, fail; nth 0: none, times 0: all."""

    def __init__(self, kind, nth=0, error=0, times=1):
        self.kind, self.nth, self.error, self.times = kind, nth, error, times
        self.file = tempfile.NamedTemporaryFile(prefix="mh-count-")
        self.file.write(bytes(8))
        self.file.flush()

    def environment(self):
        return dict(os.environ, LD_PRELOAD=LIBRARY, FAIL_KIND=self.kind, FAIL_NTH=str(self.nth),
                    FAIL_ERRNO=str(self.error), FAIL_TIMES=str(self.times), FAIL_COUNT=self.file.name,
                    ASAN_OPTIONS="verify_asan_link_order=0:" + os.environ.get("ASAN_OPTIONS", ""))

    def count(self):
        """How many calls of the kind there were."""
        self.file.seek(0)
        return int.from_bytes(self.file.read(8), "little")

    def close(self):
        self.file.close()

    def __str__(self):
        return f"{self.kind} {self.nth}, {self.times or 'all'} from there on: {os.strerror(self.error)}"
