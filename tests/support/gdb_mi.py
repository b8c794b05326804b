"""Drives gdb by its machine interface (GDB/MI), as development environments do."""

import os
import re
import subprocess

from gdb_driver import SETTINGS
from hypervisor import DEADLINE, Output


class Mi:
    """
    A gdb --interpreter=mi. Answers and events are kept as gdb's lines, without the token: a test looks for parts of
    them, because environments read them with parsers of their own.
    """

    def __init__(self, cwd, file=None, program="gdb"):
        arguments = [argument for setting in SETTINGS for argument in ("-iex", setting)]
        self.process = subprocess.Popen([program, "--interpreter=mi", "-nx", "-q", *arguments, *([file] if file else [])],
                                        cwd=cwd, env=dict(os.environ, LC_ALL="C"), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.output = Output(mi=self.process.stdout.fileno())
        self.taken = self.token = 0

    def take(self, pattern):
        """Everything up to and including the next line that matches; the match is in .match."""
        def found(got):
            self.match = re.search(rf"(?m)^{pattern}.*\n", got[self.taken:].decode(errors="replace"))
            return self.match
        self.output.wait_for("mi", found, DEADLINE)
        text = self.output.bytes["mi"][self.taken:].decode(errors="replace")[:self.match.end()]
        self.taken += len(text.encode())
        return text

    def __call__(self, command):
        """Give a command; its result, `done,...`, `running` or `error,...`."""
        self.token += 1
        self.process.stdin.write(f"{self.token}{command}\n".encode())
        self.process.stdin.flush()
        self.before = self.take(rf"{self.token}\^")
        return self.match[0].split("^", 1)[1].rstrip()

    def stopped(self):
        """The next stop."""
        self.take(r"\*stopped")
        return self.match[0].rstrip()

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
