"""Reading from several descriptors at once, without threads."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

from .errors import Timeout


Wanted = bytes | Callable[[bytes], object]


def matcher(wanted: Wanted) -> Callable[[bytes], object]:
    """Whether an output contains `wanted` or, if that is a function, what it says of the output."""
    if callable(wanted):
        return wanted
    part = wanted
    return lambda got: part in got


class Input:
    """Bytes for a descriptor, which Output.pump() writes when there is room: the writer never waits."""

    def __init__(self, fd: int, close: Callable[[], None] | None = None) -> None:
        """`close` closes the descriptor; without it, close() only writes the rest."""
        os.set_blocking(fd, False)
        self.fd = fd
        self.waiting = b""
        self.is_open = True
        self._close = close
        self._closes = False  # once all is written

    def send(self, data: bytes) -> None:
        """Write the bytes, now or later."""
        self.waiting += data
        self.flush()

    def flush(self) -> None:
        """Write what there is room for. What nobody will read is dropped."""
        try:
            while self.waiting:
                self.waiting = self.waiting[os.write(self.fd, self.waiting[:4096]):]
        except BlockingIOError:
            return
        except OSError:
            self.waiting = b""
        if self._closes and self._close is not None:
            self._close()

    def close(self) -> None:
        """There is no more to send: close the descriptor once all is written. May be repeated."""
        self.is_open = False
        if not self._closes:
            self._closes = True
            self.flush()


class Output:
    """
    What arrives at some descriptors: `Output(out=3, err=4)`. All that has come at one is in `.bytes[name]`; descriptors
    that have reached their end are no longer in `.fds`.
    """

    def __init__(self, **fds: int) -> None:
        self.fds = dict(fds)
        self.bytes = {name: b"" for name in fds}
        self.inputs: list[Input] = []

    def add(self, name: str, fd: int) -> None:
        """Read from one more descriptor."""
        self.fds[name] = fd
        self.bytes.setdefault(name, b"")

    def pump(self, timeout: float, also: int = -1) -> set[int]:
        """
        Take what is there; wait at most `timeout` seconds for something, or for the descriptor `also`, from which
        nothing is read. Returns the descriptors that were ready: none when nothing came.
        """
        poll = select.poll()
        for fd in self.fds.values():
            poll.register(fd, select.POLLIN)
        if also >= 0:
            poll.register(also, select.POLLIN)
        elif not self.fds:
            return set()
        waiting = [one for one in self.inputs if one.waiting]
        for one in waiting:
            poll.register(one.fd, select.POLLOUT | (select.POLLIN if one.fd in self.fds.values() else 0))
        ready = {fd for fd, _ in poll.poll(max(0, timeout) * 1000)}
        for one in waiting:
            one.flush()
        for name, fd in list(self.fds.items()):
            if fd in ready:
                self._read(name, fd)
        return ready

    def _read(self, name: str, fd: int) -> None:
        try:
            data = os.read(fd, 65536)
        except OSError:  # the other side of a pseudo-terminal is closed
            data = b""
        self.bytes[name] += data
        if not data:
            del self.fds[name]

    def drain(self) -> None:
        """Take everything that is there already."""
        while self.fds and self.pump(0):
            pass

    def wait_for(self, name: str, wanted: Wanted, deadline: float) -> bytes:
        """
        Wait until what came at `name` contains `wanted`, or `wanted(bytes)` is true, for `deadline` seconds. Returns all
        that came. Raises Timeout, also when the descriptor has reached its end and nothing more can come.
        """
        test = matcher(wanted)
        end = time.monotonic() + deadline
        while not test(self.bytes[name]):
            left = end - time.monotonic()
            if left <= 0 or (name not in self.fds and not test(self.bytes[name])):
                raise Timeout(f"waited in vain for {wanted!r} on {name}; there was {self.bytes}")
            self.pump(left)
        return self.bytes[name]
