"""The Python module (tools/python) in front of stubs that are broken, and files that are. Runs no guest."""

import contextlib
import os
import socket
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from hypervisor import DEADLINE, Case, main  # noqa: E402
from mini_hypervisor import Machine, StopKind  # noqa: E402
from mini_hypervisor.errors import Disconnected, MachineError, ProtocolError, Refused, Timeout  # noqa: E402
from mini_hypervisor.registers import parse_description  # noqa: E402
from mini_hypervisor.rsp import Connection, escape, frame, plain  # noqa: E402
from mini_hypervisor.stops import parse_stop  # noqa: E402

# A program that says it waits for a debugger, and answers each packet with what ANSWERS has for it, else with OK.
FAKE = """#!%s
import re, socket, sys
at = next(word for word in sys.argv if word.startswith("unix:"))[5:].replace("%%n", "1")
server = socket.socket(socket.AF_UNIX)
server.bind(at)
server.listen()
print("mini_hypervisor: a note", file=sys.stderr)
print("mini_hypervisor: VM 1 (fake): waits for gdb; type: gdb -ex 'target remote " + at + "'", file=sys.stderr, flush=True)
connection = server.accept()[0]
answers = %r
text = b""
while part := connection.recv(65536):
    text += part
    while found := re.search(rb"\\$([^#]*)#..", text):
        text = text[found.end():]
        answer = next((each for start, each in answers.items() if found[1].startswith(start)), b"$OK#9a")
        if answer is None:
            sys.exit(7)
        connection.sendall(answer)
"""

DESCRIPTION = b'l<target><feature name="x"><reg name="rip" bitsize="64" regnum="16"/></feature></target>'
GOOD = {b"?": frame("T05thread:1;"), b"qXfer:features": frame(DESCRIPTION), b"p10": frame("0" * 16)}


class PacketTest(Case):
    def test_escapes_and_runs(self):
        data = bytes(range(256))
        self.assertEqual(plain(escape(data)), data)
        self.assertNotRegex(escape(data), rb"[#$]")
        self.assertEqual(plain(b"0* "), b"0000")
        for bad in (b"* ", b"a}", b"a*"):
            with self.assertRaises(ProtocolError):
                plain(bad)

    def test_stops(self):
        self.assertEqual(parse_stop("T05swbreak:;thread:1;", ""), (StopKind.BREAKPOINT, 5, None))
        self.assertEqual(parse_stop("T05watch:2010;", ""), (StopKind.WATCHPOINT, 5, 0x2010))
        self.assertEqual(parse_stop("T05thread:1;", "history: 1 MB\n"), (StopKind.STEP, 5, None))
        self.assertEqual(parse_stop("T05thread:1;", "breakpoint (#BP), vector 3, at rip 0x5; ...")[0], StopKind.CRASHED)
        self.assertEqual(parse_stop("T08thread:1;", "divide error")[0], StopKind.CRASHED)
        self.assertEqual(parse_stop("W00", "")[0], StopKind.ENDED)
        for bad in ("", "OK", "Txx", "T05watch:nonsense;", "T05nonsense", "W", "Q05"):
            with self.subTest(packet=bad), self.assertRaises(ProtocolError):
                parse_stop(bad, "")

    def test_descriptions(self):
        found = parse_description('<t><reg name="a" bitsize="8"/><reg name="b" bitsize="16" regnum="7"/>'
                                  '<reg name="c" bitsize="8"/></t>')
        self.assertEqual([(each.name, each.number, each.size) for each in found.values()],
                         [("a", 0, 1), ("b", 7, 2), ("c", 8, 1)])
        for bad in ("", "<t>", '<t><reg bitsize="8"/></t>', '<t><reg name="a" bitsize="x"/></t>'):
            with self.assertRaises(ProtocolError):
                parse_description(bad)


class ConnectionTest(Case):
    def serve(self, *pieces, timeout=DEADLINE):
        """A connection to a server that sends these pieces and closes; None: it keeps the connection."""
        path = self.path(f"socket{len(os.listdir(self.dir))}")
        server = socket.socket(socket.AF_UNIX)
        self.addCleanup(server.close)
        server.bind(path)
        server.listen()
        kept = []

        def serve():
            peer = server.accept()[0]
            for piece in pieces:
                if piece is None:
                    kept.append(peer)
                    self.peer = peer
                    return
                peer.sendall(piece)
            peer.close()
        thread = threading.Thread(target=serve)
        thread.start()
        connection = Connection(path, timeout)
        thread.join()
        for peer in kept:
            self.addCleanup(peer.close)
        return connection

    def test_packets(self):
        with contextlib.closing(self.serve(b"+", b"noise$T0", b"5#b9$O4", b"14" + frame("O4142")[5:], frame("W00"), None)) as connection:
            self.assertEqual(connection.receive(), b"T05")
            self.assertEqual(connection.stop(), "W00")
            self.assertEqual(connection.console, b"AB")

    def test_wrong_checksum(self):
        for bad in (b"$OK#9b", b"$OK#zz", b"$#01"):
            with self.subTest(packet=bad), contextlib.closing(self.serve(bad, None)) as connection, \
                    self.assertRaises(ProtocolError):
                connection.receive()

    def test_closed_in_the_middle(self):
        with contextlib.closing(self.serve(b"$T05thr")) as connection, self.assertRaises(Disconnected):
            connection.receive()

    def test_silence(self):
        with contextlib.closing(self.serve(b"$T05thr", None, timeout=0.1)) as connection, \
                self.assertRaises(Timeout) as caught:
            connection.receive()
        self.assertIn("T05thr", str(caught.exception))

    def test_console_output_before_a_timeout(self):
        """It belongs to the stop that comes later."""
        with contextlib.closing(self.serve(frame("O4142"), None)) as connection:
            with self.assertRaises(Timeout):
                connection.stop(0.01)
            self.peer.sendall(frame("O43") + frame("T05") + frame("O44") + frame("W00"))
            self.assertEqual((connection.stop(), connection.console), ("T05", b"ABC"))
            self.assertEqual((connection.stop(), connection.console), ("W00", b"D"))

    def test_console_output_that_is_none(self):
        with contextlib.closing(self.serve(frame("Oxyz"), None)) as connection, self.assertRaises(ProtocolError):
            connection.stop()


class StubTest(Case):
    """Machine, in front of a program that only seems to be mini_hypervisor."""

    def machine(self, answers):
        known = {**GOOD, **answers}
        path = self.write("fake", (FAKE % (sys.executable, known)).encode())
        os.chmod(path, 0o755)
        machine = Machine("image", program=path, timeout=DEADLINE)
        self.addCleanup(machine.close)
        return machine

    def test_one_that_works(self):
        machine = self.machine({b"m": frame("0102")})
        self.assertEqual(machine.read(0, 2), b"\1\2")

    def test_wrong_checksum(self):
        with self.assertRaises(ProtocolError) as caught:
            self.machine({b"m": b"$0102#00"}).read(0, 2)
        self.assertIn("wrong checksum", str(caught.exception))
        self.assertIn("a note", str(caught.exception))

    def test_no_answer(self):
        for silent, ask in ((b"m", lambda machine: machine.read(0, 2)), (b"qRcmd", lambda machine: machine.monitor("when"))):
            machine = self.machine({silent: b""})
            machine.process.timeout = machine.link.connection.timeout = 0.1
            with self.assertRaises(Timeout):
                ask(machine)
            with self.assertRaises(MachineError) as caught:
                ask(machine)  # the answer would be another's
            self.assertIn("lost", str(caught.exception))

    def test_end_in_the_middle(self):
        with self.assertRaises(Disconnected) as caught:
            self.machine({b"vCont": None}).run()
        self.assertIn("ended with status 7", str(caught.exception))

    def test_nonsense(self):
        for answers, act in (({b"m": frame("xy")}, lambda machine: machine.read(0, 1)),
                             ({b"X": frame("E01")}, lambda machine: machine.write(0, b"x")),
                             ({b"Z0": frame("")}, lambda machine: machine.break_at(0)),
                             ({b"Z0": frame("E.no")}, lambda machine: machine.break_at(0)),
                             ({b"p10": frame("00")}, lambda machine: machine.registers.nothing),
                             ({b"vCont": frame("nonsense")}, lambda machine: machine.run()),
                             ({b"qRcmd": frame("zz")}, lambda machine: machine.monitor("when")),
                             ({b"qRcmd": frame("OK")}, lambda machine: machine.position)):
            machine = self.machine(answers)
            with self.subTest(answers=answers), self.assertRaises((ProtocolError, Refused, AttributeError)):
                act(machine)

    def test_no_description(self):
        for bad in (frame("l<t>"), frame(""), frame("E00"), frame("x")):
            with self.subTest(answer=bad), self.assertRaises((ProtocolError, Refused)):
                self.machine({b"qXfer:features": bad})


if __name__ == "__main__":
    main()
