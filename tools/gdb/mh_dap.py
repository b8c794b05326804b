"""
Buttons that run backwards, for editors that debug with gdb's own Debug Adapter Protocol (gdb --interpreter=dap).

gdb up to version 16 at least does not have the requests stepBack and reverseContinue. They are made here of those that
it has, with the direction of execution reversed until the next stop. This uses names of gdb's that are not documented;
where a gdb does not have them, there are no such buttons.
"""

import sys
from typing import Any, Callable

import gdb


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


def add_requests() -> None:
    """Add the requests to gdb's server, if it runs and lacks them."""
    server = sys.modules.get("gdb.dap.server")
    commands, capabilities = getattr(server, "_commands", {}), getattr(server, "_capabilities", {})
    if "next" not in commands or "continue" not in commands or "stepBack" in commands:
        return
    backwards = Backwards(server)
    commands["stepBack"] = backwards.request(commands["next"])
    commands["reverseContinue"] = backwards.request(commands["continue"])
    capabilities["supportsStepBack"] = True
