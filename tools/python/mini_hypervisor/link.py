"""The connection to one machine of a process: requests, answers, and errors that say what happened to the guest."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from .errors import Disconnected, MachineError, ProtocolError, Refused, Timeout
from .process import Process
from .rsp import Connection

PIECE = 0x4000  # bytes that one packet asks for
# Packets whose answer may be empty; for others that means that the stub does not know them.
MAY_BE_EMPTY = ("qXfer:", "qRcmd,")


class Link:
    """A connection to the stub of machine `where` of a process. Its errors end with the report of the process."""

    def __init__(self, process: Process, where: str) -> None:
        self.process = process
        self.lost = False  # the connection cannot be used any more
        with self.reporting():
            self.connection = Connection(where, process.timeout, self._wait_readable)
            process.connections.append(self.connection)
            self.ask("qSupported:swbreak+;hwbreak+;error-message+")
            self.expect_ok("QStartNoAckMode")
            self.connection.acks = False

    def _wait_readable(self, fd: int, timeout: float) -> bool:
        """Read meanwhile what the guest prints, or it would wait for us."""
        return fd in self.process.output.pump(timeout, fd)

    @contextlib.contextmanager
    def reporting(self) -> Iterator[None]:
        """Add to errors of the connection what the program and the guest have said."""
        try:
            yield
        except (Timeout, Disconnected, ProtocolError) as error:
            if isinstance(error, Disconnected):
                self._lose()
            error.args = (f"{error}\n{self.process.report()}",)
            raise
        except OSError as error:
            self._lose()
            raise Disconnected(f"no connection to the machine: {error}\n{self.process.report()}") from None

    def _lose(self) -> None:
        """The machine ends without its debugger, and the program with its last machine: let it say why."""
        self.lost = True
        with contextlib.suppress(MachineError):
            self.process.wait(10 if len(self.process.ready) == 1 else 1)

    def ask(self, packet: str | bytes) -> str:
        """The answer to a packet. Raises Refused with the stub's text when it is an error."""
        with self.reporting():
            try:
                answer = self.connection.ask(packet)
            except (Timeout, ProtocolError):
                self.lost = True  # an answer that comes now would be taken for that of another request
                raise
            return self._checked(packet, answer)

    def _checked(self, packet: str | bytes, answer: str) -> str:
        shown = packet[:40] if isinstance(packet, str) else packet[:40].decode("latin-1")
        if answer.startswith("E."):
            raise Refused(answer[2:])
        if re.fullmatch(r"E[0-9a-f]{2}", answer):
            raise Refused(f"the stub refuses '{shown}' with error {answer[1:]}")
        if answer == "" and not shown.startswith(MAY_BE_EMPTY):
            raise ProtocolError(f"the stub does not know '{shown}'")
        return answer

    def expect_ok(self, packet: str | bytes) -> None:
        """A packet whose answer can only be OK or an error."""
        answer = self.ask(packet)
        if answer != "OK":
            with self.reporting():
                raise ProtocolError(f"the answer to {packet[:40]!r} is {answer[:40]!r}")

    def transfer(self, kind: str, annex: str) -> str:
        """All of what qXfer reads."""
        whole = ""
        while True:
            part = self.ask(f"qXfer:{kind}:read:{annex}:{len(whole):x},{PIECE:x}")
            if part[:1] not in ("m", "l"):
                with self.reporting():
                    raise ProtocolError(f"the answer to a request for {annex} is {part[:40]!r}")
            whole += part[1:]
            if part[0] == "l" or len(part) == 1:
                return whole

    def send(self, packet: str) -> None:
        """Send a packet that is answered when the machine stops."""
        with self.reporting():
            self.connection.send(packet)

    def interrupt(self) -> None:
        """Ask a running machine to stop."""
        with self.reporting():
            self.connection.send_raw(b"\x03")

    def is_readable(self, timeout: float) -> bool:
        """Wait until something has come from the stub, or the guest has printed something; False for the latter."""
        return self._wait_readable(self.connection.socket.fileno(), timeout)

    def wait(self, timeout: float, doing: str = "the machine is still running") -> tuple[str, str]:
        """The next answer that is not console output, and the console output before it. `doing` is for Timeout."""
        with self.reporting():
            try:
                packet = self.connection.stop(timeout)
            except Timeout:
                raise Timeout(f"{doing} after {max(0, timeout):.3g} s") from None
        return packet, self.connection.console.decode(errors="replace")

    def monitor(self, command: str) -> str:
        """What a `monitor` command prints. Raises Refused with its error."""
        with self.reporting():
            self.connection.send("qRcmd," + command.encode().hex())
        try:
            answer, printed = self.wait(self.process.timeout, f"no answer to monitor {command}")
        except Timeout:
            self.lost = True  # as in ask()
            raise
        with self.reporting():
            answer = self._checked("qRcmd," + command, answer)
            if answer == "OK":
                return printed
            try:
                return printed + bytes.fromhex(answer).decode(errors="replace")
            except ValueError:
                raise ProtocolError(f"the answer to monitor {command} is {answer[:40]!r}") from None

    def close(self) -> None:
        """Leave; the machine ends (--gdb-lost kill)."""
        self.connection.close()
