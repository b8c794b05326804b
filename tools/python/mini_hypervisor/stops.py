"""Why a machine has stopped."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from .errors import ProtocolError

SIGNALS = {2: "SIGINT", 4: "SIGILL", 5: "SIGTRAP", 8: "SIGFPE", 10: "SIGBUS", 11: "SIGSEGV"}

HALTED = "The guest has halted."
CAUGHT = re.compile(r"^catchpoint \d+: ", re.M)
# The exceptions without a handler that are reported with the signal of an ordinary stop.
TRAPPED = re.compile(r", vector [13], at rip ")


class StopKind(Enum):
    """What has stopped a machine."""

    START = "start"                  # it has executed nothing yet
    BREAKPOINT = "breakpoint"        # rip is at it
    WATCHPOINT = "watchpoint"        # a watched access was made; backwards: is about to be made
    STEP = "step"                    # the instructions asked for are done
    INTERRUPTED = "interrupted"      # by interrupt()
    HALTED = "halted"                # the guest executed hlt; it can still be looked at, and run backwards
    CRASHED = "crashed"              # a fault without a handler: .text is the report
    CAUGHT = "caught"                # a catchpoint of `monitor catch`: .text says which
    HISTORY_BEGIN = "history begin"  # it ran backwards to the start
    HISTORY_END = "history end"      # a recording was replayed to its end
    ENDED = "ended"                  # there is no machine any more


@dataclass(frozen=True)
class Stop:
    """A stop: what, where, and what the stub said about it."""

    kind: StopKind
    address: int  # rip
    signal: int = 0
    text: str = ""
    watched: int | None = None  # WATCHPOINT: the address that is watched
    describe: Callable[[int], str] = field(default=hex, repr=False, compare=False)

    @property
    def location(self) -> str:
        """The address for people: `0xc27 (set_grade, guest.c:31)`."""
        return self.describe(self.address)

    def __str__(self) -> str:
        if self.kind is StopKind.ENDED:
            return "ended"
        signal = f" ({SIGNALS.get(self.signal, f'signal {self.signal}')})" if self.kind is StopKind.CRASHED else ""
        text = "\n" + self.text.rstrip() if self.text and self.kind is not StopKind.HALTED else ""
        return f"{self.kind.value}{signal} at {self.location}{text}"


REASONS = {"swbreak": StopKind.BREAKPOINT, "hwbreak": StopKind.BREAKPOINT, "watch": StopKind.WATCHPOINT,
           "rwatch": StopKind.WATCHPOINT, "awatch": StopKind.WATCHPOINT}


def parse_stop(packet: str, text: str) -> tuple[StopKind, int, int | None]:
    """Kind, signal and watched address of a stop reply that came after `text` on the console. Raises ProtocolError."""
    try:
        if packet[:1] in ("W", "X"):
            return StopKind.ENDED, int(packet[1:3], 16), None
        if packet[:1] != "T":
            raise ValueError
        signal = int(packet[1:3], 16)
        fields = dict(field.split(":", 1) for field in packet[3:].split(";") if field)
        for name, kind in REASONS.items():
            if name in fields:
                return kind, signal, int(fields[name], 16) if kind is StopKind.WATCHPOINT else None
    except ValueError:
        raise ProtocolError(f"no stop reply: {packet[:200]!r}") from None
    if "replaylog" in fields:
        return StopKind.HISTORY_BEGIN if fields["replaylog"] == "begin" else StopKind.HISTORY_END, signal, None
    if HALTED in text:
        return StopKind.HALTED, signal, None
    if CAUGHT.search(text):
        return StopKind.CAUGHT, signal, None
    if signal == 2:
        return StopKind.INTERRUPTED, signal, None
    crashed = signal not in (0, 5) or TRAPPED.search(text)
    return StopKind.CRASHED if crashed else StopKind.STEP, signal, None
