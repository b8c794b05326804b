"""What can go wrong. Each error's text says what happened to the guest: its report and what it printed."""


class MachineError(Exception):
    """Base of all errors of this package."""


class ProgramNotFound(MachineError):
    """mini_hypervisor is not installed, or cannot be executed."""


class StartError(MachineError):
    """mini_hypervisor ended, or did not become ready, before a machine could be debugged."""


class Timeout(MachineError, TimeoutError):
    """What was waited for has not happened in time. The machine is as it was, and may still be running."""


class Disconnected(MachineError, ConnectionError):
    """The program has ended, or closed the connection, in the middle of a request."""


class ProtocolError(MachineError):
    """What came from the stub is no packet, has a wrong checksum, or is no answer to the request."""


class Refused(MachineError):
    """The stub answered with an error; the text is the stub's."""


class UnexpectedStop(MachineError, AssertionError):
    """The machine stopped, but not where or why the test wanted."""


class NotStopped(MachineError):
    """The machine is running, or has ended, and the operation needs one that has stopped."""


class SymbolNotFound(MachineError, KeyError):
    """The guest's ELF file has no such symbol, or several."""

    def __str__(self) -> str:  # KeyError would print the text with quotes
        return str(self.args[0])
