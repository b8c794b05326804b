"""
Debuggers that mean no good: clients of the stub that keep to no manners, and what they cost the program.
"""

import os
import select
import signal
import socket
import struct
import subprocess
import time

from gdb_driver import GdbCase, Wire
from hypervisor import DEADLINE, EXIT_SIGTERM, contents, is_sanitized


def symbols(path):
    """The addresses of an ELF file's symbols."""
    lines = subprocess.run(["nm", path], check=True, capture_output=True, text=True).stdout.splitlines()
    return {name: int(value, 16) for value, _, name in (line.split() for line in lines)}


class Costs:
    """What a process has of the host just now: memory in KB, descriptors and threads."""

    def __init__(self, pid):
        status = dict(line.split(":", 1) for line in contents(f"/proc/{pid}/status").decode().splitlines())
        self.memory = int(status["VmRSS"].split()[0])
        self.threads = int(status["Threads"])
        self.descriptors = len(os.listdir(f"/proc/{pid}/fd"))


class Frames:
    """Checks that a server's bytes are acknowledgements and packets, and takes the packets out."""

    def __init__(self):
        self.rest = b""
        self.packets = []

    def take(self, data):
        self.rest += data
        while True:
            self.rest = self.rest.lstrip(b"+-")
            end = self.rest.find(b"#")
            if not self.rest or len(self.rest) < end + 3 or (end < 0 and self.rest[:1] == b"$"):
                return
            body = self.rest[1:end]
            if self.rest[:1] != b"$" or b"$" in body or self.rest[end + 1:end + 3] != b"%02x" % (sum(body) & 0xff):
                raise AssertionError(f"no frame: {self.rest[:200]!r}")
            self.packets.append(Wire.plain(body))
            self.rest = self.rest[end + 3:]


class Hostile:
    """A connection whose owner sends what it likes and reads when it likes."""

    def __init__(self, where, small=False):
        host, port = where.rsplit(":", 1)
        self.socket = socket.socket()
        if small:  # before the connection, or the window is offered already
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        self.socket.settimeout(DEADLINE)
        try:
            self.socket.connect((host, int(port)))
        except OSError:
            self.socket.close()
            raise
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.frames = Frames()
        self.closed = False

    def send(self, data):
        """Send all, taking whatever comes meanwhile. False when the server has gone."""
        data = memoryview(data)
        while data and not self.closed:
            readable, writable, _ = select.select([self.socket], [self.socket], [], DEADLINE)
            if not readable and not writable:
                raise AssertionError("the server takes nothing")
            try:
                if writable:
                    data = data[self.socket.send(data, socket.MSG_DONTWAIT):]
                if readable:
                    self.receive()
            except BlockingIOError:
                continue
            except (ConnectionResetError, BrokenPipeError):
                self.closed = True
        return not self.closed

    def packet(self, packet):
        return self.send(Wire.frame(packet))

    def stuff(self, data):
        """Send again and again, reading nothing, until the server takes no more. Returns how much that was. Without
        acknowledgements: the server would wait for that of its first answer, and throw away all that is sent."""
        self.ask("QStartNoAckMode")
        self.socket.setblocking(False)
        sent = 0
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            try:
                sent += self.socket.send(data)
            except BlockingIOError:
                # full: but is it for good, or does the server only need a moment?
                if not select.select([], [self.socket], [], 0.2)[1]:
                    break
            except (ConnectionResetError, BrokenPipeError):  # it has ended meanwhile
                break
        else:
            raise AssertionError("the server never stops to read")
        self.socket.settimeout(DEADLINE)
        return sent

    def receive(self):
        """Take what comes next."""
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.closed = not data
        self.frames.take(data)

    def wait_for_packet(self):
        """The next packet of the server; None when it has gone."""
        while not self.frames.packets and not self.closed:
            self.receive()
        return self.frames.packets.pop(0) if self.frames.packets else None

    def ask(self, packet):
        self.packet(packet)
        return self.wait_for_packet()

    def reset(self):
        """Vanish: the server gets a reset, not the end of what was sent."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self):
        self.socket.close()


class HostileCase(GdbCase):
    keeps_history = False  # its memory grows, as it should

    def hostile(self, vm, number=1, **options):
        client = Hostile(vm.where[number - 1], **options)
        self.addCleanup(client.close)
        return client

    def assertNoGrowth(self, before, after, about=None):
        """Sanitizers keep what is freed, and shadows of it."""
        if not is_sanitized():
            self.assertLess(after.memory - before.memory, 4096, f"KB {about or ''}")

    def assertServed(self, vm, number=1):
        """Another machine's debugger finds everything as always."""
        client = self.hostile(vm, number)
        self.assertEqual(client.ask("?")[:1], b"T")
        self.assertEqual(len(client.ask("m0,40")), 128)
        self.assertTrue(client.ask("vCont;s").startswith(b"T05"))
        client.reset()

    def assertEnds(self, vm):
        vm.run.signal(signal.SIGTERM)
        self.assertEqual(vm.run.finish().code, EXIT_SIGTERM)
