"""A machine under the control of a test."""

from __future__ import annotations

import os
import pathlib
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType

from .elf import Symbols
from .errors import MachineError, NotStopped, ProtocolError, StartError, Timeout, UnexpectedStop
from .link import Link
from .memory import MemoryAccess, Place
from .output import Wanted, matcher
from .process import Path, Process, Result, paths, symbol_file
from .registers import Registers
from .stops import Stop, StopKind, parse_stop

WATCH_TYPES = {"write": 2, "read": 3, "access": 4}  # as in the packets Z and z
POSITION = re.compile(r"instruction (\d+) of")


@dataclass(eq=False)
class Breakpoint:
    """A breakpoint or watchpoint of a machine; delete() removes it."""

    machine: Machine
    type: int  # as in the packets Z and z
    address: int
    length: int
    condition: Callable[[Machine], object] | None = None

    def packet(self, letter: str) -> str:
        """The packet that inserts (Z) or removes (z) it."""
        return f"{letter}{self.type},{self.address:x},{self.length:x}"

    def delete(self) -> None:
        """Remove it. May be repeated."""
        if self in self.machine.breakpoints:
            self.machine.need_stopped()
            self.machine.breakpoints.remove(self)
            if all(other.packet("z") != self.packet("z") for other in self.machine.breakpoints):
                self.machine.link.expect_ok(self.packet("z"))


class Machine(MemoryAccess):
    """
    A guest in a mini_hypervisor of its own, stopped before its first instruction:

        with Machine("guest.elf") as machine:
            machine.run_to("main")

    `image` is an image as --guest takes it, or None with `replay`, a recording. `options` go to mini_hypervisor as they
    are. `input` is what the guest reads from its serial port first; more comes with send(). `symbols` is the ELF file
    with the symbols, if that is neither the image nor beside it. `program` is the mini_hypervisor to use, else that of
    the environment variable MINI_HYPERVISOR or in PATH. `timeout` is in seconds and limits each wait that names no other
    limit; waits raise Timeout.

    Whatever goes wrong raises a MachineError with the reason, what mini_hypervisor said and what the guest printed.
    """

    def __init__(self, image: Path | None = None, options: Sequence[Path] = (), *, replay: Path | None = None,
                 input: bytes = b"", symbols: Path | None = None, program: str | None = None,
                 timeout: float = 30) -> None:
        if image is not None and replay is None:
            source = ["--guest", os.fspath(image)]
        elif replay is not None and image is None:
            source = ["--replay", os.fspath(replay)]
        else:
            raise ValueError("give either an image or replay=RECORDING")
        process = Process([*source, *paths(options)], 1, program=program, timeout=timeout)
        try:
            self._attach(process, 0, None if symbols is None else os.fspath(symbols))
            self.send(input)
        except BaseException:
            process.close()
            raise

    @classmethod
    def start_together(cls, images: Sequence[Path], options: Sequence[Path] = (), *, program: str | None = None,
                       timeout: float = 30) -> list[Machine]:
        """Start several guests in one mini_hypervisor: a machine for each image. Closing one of them ends all."""
        if len(images) < 2:
            raise ValueError("give at least two images")
        process = Process(["--guest", *paths(images), *paths(options)], len(images), program=program,
                          timeout=timeout)
        machines = [cls.__new__(cls) for _ in images]
        try:
            for index, machine in enumerate(machines):
                machine._attach(process, index, None)
        except BaseException:
            process.close()
            raise
        return machines

    def _attach(self, process: Process, index: int, symbols: str | None) -> None:
        """Connect to the machine of this index."""
        self.process = process
        self.timeout = process.timeout
        ready = process.ready[index]
        self.number, self.name = int(ready[1]), ready[2]
        self._is_alone = len(process.ready) == 1
        self._serial = "out" if self._is_alone else f"serial{self.number}"
        self.breakpoints: list[Breakpoint] = []
        self._is_running = False
        self._stopped_early: Stop | None = None
        try:
            self.symbols = Symbols(symbols or symbol_file(ready))
        except OSError as error:
            raise StartError(f"the symbols cannot be read: {error}") from None
        self.link = Link(process, ready[4])
        self.link.ask("?")
        self.stop = Stop(StopKind.START, 0, describe=self.location)
        self.registers = Registers(self.link.transfer("features", "target.xml"), self._ask_register, self._move)
        self._move()

    def _ask_register(self, packet: str) -> str:
        self.need_stopped()
        return self.link.ask(packet)

    def _move(self) -> None:
        """The machine may be somewhere else: because registers were written, or by a `monitor` command."""
        self.stop = replace(self.stop, address=self.registers.rip)

    def need_stopped(self) -> None:
        """Raises NotStopped while the machine runs, or when it has ended."""
        if self.stop.kind is StopKind.ENDED:
            raise NotStopped("the machine has ended\n" + self.report())
        if self.link.lost:
            raise NotStopped("the connection to the machine was lost\n" + self.report())
        if self._is_running:
            raise NotStopped("the machine is running; use wait() or interrupt() first")

    # ---- running ----

    def resume(self) -> None:
        """Let the machine run, and return at once; then use wait() or interrupt()."""
        self.need_stopped()
        if any(point.type < 2 and point.address == self.stop.address for point in self.breakpoints):
            # a machine that is resumed at a breakpoint stops there at once
            stop = self._go("vCont;s", self.timeout)
            if stop.kind is not StopKind.STEP:
                self._stopped_early = stop
                self._is_running = True
                return
        self._begin("vCont;c")

    def _begin(self, packet: str) -> None:
        self.need_stopped()
        self.link.send(packet)
        self._is_running = True

    def _go(self, packet: str, timeout: float) -> Stop:
        self._begin(packet)
        return self.wait(timeout)

    def wait(self, timeout: float | None = None) -> Stop:
        """Wait until the running machine stops. Conditions of breakpoints are not looked at."""
        if not self._is_running:
            raise NotStopped("the machine is not running; use resume() first")
        if self._stopped_early is not None:
            stop, self._stopped_early = self._stopped_early, None
            self._is_running = False
            return stop
        packet, text = self.link.wait(self.timeout if timeout is None else timeout)
        self._is_running = False
        with self.link.reporting():
            kind, signal, watched = parse_stop(packet, text)
        self.stop = Stop(kind, self.stop.address, signal, text, watched, self.location)
        if kind is not StopKind.ENDED:
            self._move()
            self.process.output.drain()
        return self.stop

    def interrupt(self, timeout: float | None = None) -> Stop:
        """Stop the running machine, between two instructions. It may have stopped for another reason just before."""
        if not self._is_running:
            raise NotStopped("the machine is not running")
        if self._stopped_early is None:
            self.link.interrupt()
        return self.wait(timeout)

    def run(self, timeout: float | None = None) -> Stop:
        """Run until something stops the machine: a breakpoint whose condition is true, a crash, the end."""
        def forwards(left: float) -> Stop:
            self.resume()
            return self.wait(left)
        return self._until_wanted(forwards, timeout)

    def run_back(self, timeout: float | None = None) -> Stop:
        """Run backwards, to the last breakpoint before this place, or to the start."""
        return self._until_wanted(lambda left: self._go("bc", left), timeout)

    def _until_wanted(self, go: Callable[[float], Stop], timeout: float | None) -> Stop:
        """Run again and again until a stop is wanted by conditions."""
        limit = self.timeout if timeout is None else timeout
        end = time.monotonic() + limit
        while True:
            left = end - time.monotonic()
            if left <= 0:
                raise Timeout(f"no condition of a breakpoint was true in {limit:g} s; at {self.location()}\n" +
                              self.report())
            stop = go(left)
            if self._is_wanted(stop):
                return stop

    def _is_wanted(self, stop: Stop) -> bool:
        met = [point for point in self.breakpoints if
               (stop.kind is StopKind.BREAKPOINT and point.type < 2 and point.address == stop.address) or
               (stop.kind is StopKind.WATCHPOINT and point.type >= 2 and point.address == stop.watched)]
        return not met or any(point.condition is None or point.condition(self) for point in met)

    def step(self, count: int = 1) -> Stop:
        """Execute `count` instructions, or fewer when something else stops the machine."""
        return self._steps("vCont;s", count)

    def step_back(self, count: int = 1) -> Stop:
        """Undo `count` instructions, or as many as there are."""
        return self._steps("bs", count)

    def _steps(self, packet: str, count: int) -> Stop:
        if count < 1:
            raise ValueError("step at least once")
        for _ in range(count):
            stop = self._go(packet, self.timeout)
            if stop.kind not in (StopKind.STEP, StopKind.BREAKPOINT):
                break
        return stop

    def run_to(self, place: Place, timeout: float | None = None) -> Stop:
        """Run to a place. Raises UnexpectedStop when the machine stops before, at another breakpoint or for good."""
        return self._run_to(place, self.run, timeout)

    def run_back_to(self, place: Place, timeout: float | None = None) -> Stop:
        """Run backwards to the last time the machine was at a place. Raises UnexpectedStop when it never was."""
        return self._run_to(place, self.run_back, timeout)

    def _run_to(self, place: Place, go: Callable[[float | None], Stop], timeout: float | None) -> Stop:
        point = self.break_at(place)
        try:
            stop = go(timeout)
        finally:
            if not self._is_running and self.stop.kind is not StopKind.ENDED and not self.link.lost:
                point.delete()
        if stop.kind is StopKind.ENDED or stop.address != point.address:
            raise UnexpectedStop(f"the machine did not come to {place!r}: {stop}\n{self.report()}")
        return stop

    # ---- breakpoints ----

    def break_at(self, place: Place, condition: Callable[[Machine], object] | None = None) -> Breakpoint:
        """
        Set a breakpoint; any number may be set. run() goes on when condition(machine) is false, which may read registers
        and memory.
        """
        return self._set(Breakpoint(self, 0, self.address(place), 1, condition))

    def watch(self, place: Place, length: int | None = None, access: str = "write",
              condition: Callable[[Machine], object] | None = None) -> Breakpoint:
        """
        Stop after each access to `length` bytes (as many as the symbol has) of the kind "write", "read" or "access",
        which is either. Backwards, it stops before the access.
        """
        if access not in WATCH_TYPES:
            raise ValueError(f"no access of the kind {access!r}: write, read or access")
        return self._set(Breakpoint(self, WATCH_TYPES[access], self.address(place), self._size(place, length), condition))

    def _set(self, point: Breakpoint) -> Breakpoint:
        self.need_stopped()
        self.link.expect_ok(point.packet("Z"))
        self.breakpoints.append(point)
        return point

    # ---- places in time ----

    @property
    def position(self) -> int:
        """The number of instructions executed since the start."""
        text = self.monitor("when")
        found = POSITION.search(text)
        if found is None:
            with self.link.reporting():
                raise ProtocolError(f"no position: {text!r}")
        return int(found[1])

    def goto(self, position: int) -> Stop:
        """Go to a position in the past, or back to the last one. Raises Refused when it is none of this run."""
        self.monitor(f"goto {position}")
        return self.stop

    def snapshot(self, name: str) -> None:
        """Save the complete state of the machine; restore() returns to it."""
        self.monitor(f"snapshot {name}")

    def restore(self, name: str) -> Stop:
        """Return to a saved state. Breakpoints stay."""
        self.monitor(f"restore {name}")
        return self.stop

    def monitor(self, command: str) -> str:
        """What a `monitor` command prints. Raises Refused with its error."""
        self.need_stopped()
        text = self.link.monitor(command)
        before = self.stop.address
        self._move()
        if self.stop.address != before:
            self.stop = replace(self.stop, kind=StopKind.STEP, signal=5, text="", watched=None)
        return text

    # ---- serial port, files, the end ----

    @property
    def output(self) -> bytes:
        """All that the guest has printed until now."""
        self.process.output.drain()
        return self.process.output.bytes[self._serial]

    def send(self, data: bytes) -> None:
        """Type at the guest's serial port. Never waits: what the guest does not read yet is kept for it."""
        typed = self.process.inputs[self.number]
        if not typed.is_open:
            raise MachineError("the guest's input was closed by close_input() or finish()")
        typed.send(data)

    def close_input(self) -> None:
        """
        The guest reads the end of input after what was sent. A machine that was started together with others reads 0xff
        once, as at the end, and then waits for more.
        """
        typed = self.process.inputs[self.number]
        if not self._is_alone and typed.is_open:
            typed.send(b"\xff")
        typed.close()

    def wait_for_output(self, wanted: Wanted, timeout: float | None = None) -> bytes:
        """
        Wait until the output of the guest, which must be running, contains `wanted`, or `wanted(output)` is true.
        Returns all of it.
        """
        limit = self.timeout if timeout is None else timeout
        end = time.monotonic() + limit
        test = matcher(wanted)
        while not test(self.output):
            left = end - time.monotonic()
            if not self._is_running:
                raise UnexpectedStop(f"the machine has stopped without printing {wanted!r}: {self.stop}\n{self.report()}")
            if left <= 0:
                raise Timeout(f"no {wanted!r} in the output in {limit:g} s\n{self.report()}")
            if self._stopped_early is not None or self.link.is_readable(left):
                self.wait(left)
        return self.output

    @property
    def files(self) -> pathlib.Path:
        """The directory with the files the guest has written; close() removes it. It need not exist."""
        return pathlib.Path(self.process.files_dir) / f"{self.number}-{self.name}"

    def finish(self, timeout: float | None = None) -> Result:
        """
        Let the machine run to its end, without breakpoints and with the end of input after what was sent, and return the
        exit status of mini_hypervisor and all that was printed. Machines that were started together need
        finish_together().
        """
        if not self._is_alone:
            raise MachineError("this machine was started together with others; use Machine.finish_together()")
        return self.finish_together([self], timeout)[0]

    @staticmethod
    def finish_together(machines: Sequence[Machine], timeout: float | None = None) -> list[Result]:
        """finish() for all machines that were started together; they run at the same time."""
        process = machines[0].process
        limit = process.timeout if timeout is None else timeout
        end = time.monotonic() + limit
        for machine in machines:
            machine.close_input()
            machine._begin_to_finish(end)
        for machine in machines:
            machine._end(end)
        status = process.wait(max(0.1, end - time.monotonic()))
        return [Result(status, machine.output, process.messages) for machine in machines]

    def _begin_to_finish(self, end: float) -> None:
        if self._is_running and self.breakpoints:
            self.interrupt(max(0.1, end - time.monotonic()))
        if self.stop.kind is not StopKind.ENDED and not self._is_running:
            for point in list(self.breakpoints):
                point.delete()
            self._continue_to_end()

    def _continue_to_end(self) -> None:
        if self.stop.kind is StopKind.HISTORY_END:  # of a recording that ends before its guest does
            self.link.expect_ok(f"vKill;{self.number:x}")
            self.stop = replace(self.stop, kind=StopKind.ENDED)
        elif self.stop.kind is StopKind.CRASHED:  # ends when its signal is delivered
            self._begin(f"vCont;C{self.stop.signal:02x}")
        else:
            self._begin("vCont;c")

    def _end(self, end: float) -> None:
        while self.stop.kind is not StopKind.ENDED:
            stop = self.wait(max(0.1, end - time.monotonic()))
            if stop.kind is not StopKind.ENDED:
                if time.monotonic() >= end:
                    raise Timeout(f"the machine has not ended in time; {stop}\n{self.report()}")
                self._continue_to_end()
        self.link.close()

    def report(self) -> str:
        """What mini_hypervisor and the guest have said, for people."""
        return self.process.report()

    def location(self, address: int | None = None) -> str:
        """An address, or that of the machine, for people: `0xc27 (set_grade, guest.c:31)`."""
        at = self.stop.address if address is None else address
        parts = [part for part in (self.symbols.at(at), self.symbols.line(at)) if part]
        return f"{at:#x}" + (f" ({', '.join(parts)})" if parts else "")

    def close(self) -> None:
        """End the machine, however it is. May be repeated; the end of a `with` does it."""
        self.process.close()

    def __repr__(self) -> str:
        state = "running" if self._is_running else str(self.stop).splitlines()[0]
        return f"<Machine {self.name}: {state}>"

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.close()
