"""
GDB's remote serial protocol, from the debugger's side: packets, and what they are wrapped in.

The protocol is in the GDB manual, appendix "GDB Remote Serial Protocol".
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable

from .errors import Disconnected, ProtocolError, Timeout


def frame(packet: bytes | str) -> bytes:
    """A packet as it is sent: with `$`, `#` and checksum. The contents must be escaped already: see escape()."""
    contents = packet.encode("latin-1") if isinstance(packet, str) else packet
    return b"$" + contents + b"#%02x" % (sum(contents) & 0xff)


def escape(data: bytes) -> bytes:
    """Binary data as it may be in a packet."""
    return b"".join(bytes((0x7d, byte ^ 0x20)) if byte in b"#$}*" else bytes((byte,)) for byte in data)


def plain(contents: bytes) -> bytes:
    """A packet's contents with run lengths and escapes undone."""
    done = bytearray()
    at = 0
    while at < len(contents):
        if contents[at] in b"}*" and (at + 1 == len(contents) or (contents[at] == ord("*") and not done)):
            raise ProtocolError(f"a packet with half a run or escape: {contents[:100]!r}")
        if contents[at] == ord("}"):
            done.append(contents[at + 1] ^ 0x20)
            at += 2
        elif contents[at] == ord("*"):
            done += done[-1:] * (contents[at + 1] - 29)
            at += 2
        else:
            done.append(contents[at])
            at += 1
    return bytes(done)


def open_socket(where: str, timeout: float) -> socket.socket:
    """Connect to what follows `target remote`: HOST:PORT, :PORT, or the path of a socket."""
    if where.startswith("/"):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(timeout)
        try:
            connection.connect(where)
        except OSError:
            connection.close()
            raise
        return connection
    host, port = where.rsplit(":", 1)
    connection = socket.create_connection((host.strip("[]") or "127.0.0.1", int(port)), timeout)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def wait_readable(fd: int, timeout: float) -> bool:
    """Wait until the descriptor is readable; False when it is not in time."""
    return bool(select.select([fd], [], [], max(0, timeout))[0])


class Connection:
    """
    A connection to a stub, packet by packet. `timeout` is in seconds, for one answer; `wait` is called to wait until the
    descriptor is readable, and may do other things meanwhile.
    """

    def __init__(self, where: str, timeout: float, wait: Callable[[int, float], bool] = wait_readable) -> None:
        self.socket = open_socket(where, timeout)
        self.timeout = timeout
        self.wait = wait
        self.got = b""
        self.acks = True
        self.console = b""
        self._is_waiting = False  # stop() was called, and has not returned an answer yet

    frame = staticmethod(frame)
    plain = staticmethod(plain)

    def send_raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.socket.settimeout(self.timeout)
        try:
            self.socket.sendall(data)
        except TimeoutError:
            raise Timeout(f"the stub has not taken {len(data)} bytes in {self.timeout:g} s") from None
        except ConnectionError as error:
            raise Disconnected(f"the connection was closed: {error}") from None

    def send(self, packet: bytes | str) -> None:
        """Send a packet."""
        self.send_raw(frame(packet))

    def receive_bytes(self, test: Callable[[bytes], int], timeout: float | None = None) -> bytes:
        """Take bytes until test(bytes so far) is a length; these are returned and no longer there."""
        limit = self.timeout if timeout is None else timeout
        end = time.monotonic() + limit
        while True:
            length = test(self.got)
            if length:
                taken, self.got = self.got[:length], self.got[length:]
                return taken
            left = end - time.monotonic()
            if left <= 0:
                raise Timeout(f"no answer of the stub in {limit:g} s; there was {self.got[:200]!r}")
            if self.wait(self.socket.fileno(), left):
                self._receive_some()

    def _receive_some(self) -> None:
        try:
            part = self.socket.recv(65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except ConnectionError as error:
            raise Disconnected(f"the connection was closed: {error}") from None
        if not part:
            raise Disconnected(f"the connection was closed; there was {self.got[:200]!r}")
        self.got += part

    def receive(self, timeout: float | None = None) -> bytes:
        """The next packet's contents, with run lengths and escapes undone; its checksum must be right."""
        def whole(got: bytes) -> int:
            start = got.find(b"$")
            end = got.find(b"#", start)
            return end + 3 if start >= 0 and end >= 0 and len(got) >= end + 3 else 0
        framed = self.receive_bytes(whole, timeout)
        body = framed[framed.index(b"$") + 1:-3]
        if framed[-2:] != b"%02x" % (sum(body) & 0xff):
            raise ProtocolError(f"wrong checksum: {framed[:200]!r}")
        if self.acks:
            self.send_raw(b"+")
        return plain(body)

    def ask(self, packet: bytes | str) -> str:
        """A packet's answer, as text."""
        self.send(packet)
        return self.receive().decode("latin-1")

    def stop(self, timeout: float | None = None) -> str:
        """
        The next answer that is no console output; that before it is gathered in .console, also over calls that raise
        Timeout.
        """
        limit = self.timeout if timeout is None else timeout
        end = time.monotonic() + limit
        if not self._is_waiting:
            self.console = b""
        self._is_waiting = True
        while True:
            packet = self.receive(max(0, end - time.monotonic()))
            if not packet.startswith(b"O") or packet == b"OK":
                self._is_waiting = False
                return packet.decode("latin-1")
            try:
                self.console += bytes.fromhex(packet[1:].decode("ascii"))
            except ValueError:
                raise ProtocolError(f"console output that is not hexadecimal: {packet[:100]!r}") from None

    def ends(self) -> bool:
        """True when the stub closes the connection, and not before that is seen."""
        self.socket.settimeout(self.timeout)
        try:
            while True:
                part = self.socket.recv(65536)
                if not part:
                    return True
                self.got += part
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    def close(self) -> None:
        """Close it; the stub sees the end of the connection."""
        self.socket.close()
