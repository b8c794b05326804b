"""Drives gdb by the Debug Adapter Protocol, which gdb speaks from version 14 on, as editors do."""

import functools
import json
import os
import re
import subprocess

from hypervisor import DEADLINE, Output

# The gdb for these tests: Debian 12 has version 13.
PROGRAM = os.environ.get("GDB", "gdb")


@functools.cache
def version():
    """The major version of that gdb."""
    line = subprocess.run([PROGRAM, "--version"], stdout=subprocess.PIPE, check=True).stdout.decode().splitlines()[0]
    return int(re.search(r"(\d+)\.[\d.]+\s*$", line)[1])


class Dap:
    """A gdb --interpreter=dap. Events are kept in the order in which they came."""

    def __init__(self, cwd, *arguments):
        self.process = subprocess.Popen([PROGRAM, "-nx", "-q", "--interpreter=dap", "-iex", "set debuginfod enabled off",
                                         *arguments], cwd=cwd, env=dict(os.environ, LC_ALL="C"), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.output = Output(dap=self.process.stdout.fileno())
        self.taken = self.sequence = 0
        self.events, self.responses = [], {}

    def receive(self):
        """Take the next message."""
        got = self.output.wait_for("dap", lambda got: b"\r\n\r\n" in got[self.taken:], DEADLINE)
        head = got.index(b"\r\n\r\n", self.taken)
        begin = head + 4
        length = int(re.search(rb"Content-Length: *(\d+)", got[self.taken:head])[1])
        got = self.output.wait_for("dap", lambda got: len(got) >= begin + length, DEADLINE)
        message = json.loads(got[begin:begin + length])
        self.taken = begin + length
        if message["type"] == "event":
            self.events.append(message)
        else:
            self.responses[message["request_seq"]] = message

    def send(self, command, **arguments):
        """Send a request without waiting; its number."""
        self.sequence += 1
        body = json.dumps({"seq": self.sequence, "type": "request", "command": command, "arguments": arguments}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.process.stdin.flush()
        return self.sequence

    def response(self, number):
        while number not in self.responses:
            self.receive()
        return self.responses.pop(number)

    def __call__(self, command, **arguments):
        """The body of the response to a request, which must succeed."""
        response = self.response(self.send(command, **arguments))
        if not response["success"]:
            raise AssertionError(f"{command}: {response}")
        return response.get("body", {})

    def event(self, name):
        """The body of the next event of this name; events before it are dropped."""
        while True:
            while not self.events:
                self.receive()
            event = self.events.pop(0)
            if event["event"] == name:
                return event.get("body", {})

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
