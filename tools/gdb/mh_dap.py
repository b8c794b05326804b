"""
For editors that debug with gdb's own Debug Adapter Protocol (gdb --interpreter=dap): buttons that run backwards, and the
reports of faults.

gdb up to version 18 at least does not have the requests stepBack and reverseContinue. They are made here of those that
it has, with the direction of execution reversed until the next stop. What the stub prints while a machine runs goes to a
log of gdb's, so the report of a fault is sent once more. This uses names of gdb's that are not documented; where a gdb
does not have them, nothing is added.
"""

import sys
from typing import Any, Callable

import gdb
import mh_machine as machine


class Backwards:
    """The requests, and whether one of them is under way."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.under_way = False
        gdb.events.stop.connect(self.stopped)

    def turn(self, backwards: bool) -> None:
        gdb.execute(f"set exec-direction {'reverse' if backwards else 'forward'}", to_string=True)
        self.under_way = backwards

    def stopped(self, _: gdb.StopEvent) -> None:
        if self.under_way:  # gdb sets the direction itself behind this event
            gdb.post_event(lambda: self.turn(False))

    def request(self, forwards: Callable[..., Any]) -> Callable[..., Any]:
        """A request, in the other direction. It is called on the thread of the protocol, not on gdb's."""
        def run(**arguments: Any) -> Any:
            self.server.send_gdb_with_response(lambda: self.turn(True))
            try:
                return forwards(**arguments)
            except BaseException:
                self.server.send_gdb_with_response(lambda: self.turn(False))
                raise
        return run


def report_fault(server: Any, event: gdb.StopEvent) -> None:
    """Show in the editor's console what the stub says of a fault."""
    def report() -> None:
        try:
            machine.check()
            machine.select()
            text = gdb.execute("monitor why", to_string=True)
        except (gdb.error, gdb.GdbError):  # another stub, or none
            return
        server.send_event("output", {"category": "important", "output": text})
    if isinstance(event, gdb.SignalEvent) and event.stop_signal not in ("SIGINT", "0"):
        gdb.post_event(report)


def add_requests() -> None:
    """Add what the server of gdb lacks, if it runs."""
    server = sys.modules.get("gdb.dap.server")
    commands, capabilities = getattr(server, "_commands", {}), getattr(server, "_capabilities", {})
    if "next" not in commands or "continue" not in commands or "stepBack" in commands:
        return
    backwards = Backwards(server)
    commands["stepBack"] = backwards.request(commands["next"])
    commands["reverseContinue"] = backwards.request(commands["continue"])
    capabilities["supportsStepBack"] = True
    gdb.events.stop.connect(lambda event: report_fault(server, event))
