"""Debuggers: packets and gdb itself, snapshots, and going back through a machine's past."""

import os
import random
import re
import shutil
import socket
import statistics
import subprocess
import time

from measure import Stub, milliseconds, our_stub, print_table, rate_text, verdict


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def our_loop(setup, *words, name="ours"):
    return our_stub(setup, *words, "-g", setup.image("loop.img"), name=name)


def gdbserver_stub(setup):
    path = shutil.which("gdbserver")
    argv = [path, "--once", "127.0.0.1:0", setup.image("native-loop")]
    return Stub("gdbserver", argv, r"Listening on port (\d+)", 0x400000) if path else None


def qemu_stub(setup):
    program, port = setup.qemu("QEMU", "qemu-loop.elf", output="null,id=out"), free_port()
    argv = [*program.argv, "-S", "-gdb", f"tcp:127.0.0.1:{port}", "-qmp", "stdio"]
    # where KVM reports no INT3, QEMU has hardware breakpoints only
    if program.problem:
        return None
    # its main loop answers, and by then its stub listens
    return Stub("qemu", argv, '"return"', 0x100000, port, 1, b'{"execute": "qmp_capabilities"}\n')


def all_stubs(setup):
    stubs = [Stub("floor", [setup.image("gdb_floor")], r"(\d+)", 0), our_loop(setup)]
    stubs += [our_loop(setup, "--no-history", name="forgetful"), qemu_stub(setup), gdbserver_stub(setup)]
    return [stub for stub in stubs if stub is not None]


def measure_stubs(setup, rounds):
    """Median of what gdb_client measures, by measurement and server."""
    stubs = all_stubs(setup)
    addresses = [f"{stub.name}:{stub.port}:{stub.base:x}:{stub.kind}" for stub in stubs if stub.port]
    argv = [setup.image("gdb_client"), str(rounds), *addresses]
    client = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False)
    for stub in stubs:
        stub.end()
    values = {}
    for line in client.stdout.splitlines():
        what, name, value = line.split()
        if value != "none":
            values.setdefault(what, {}).setdefault(name, []).append(float(value))
    return {what: {name: statistics.median(list) for name, list in by.items()} for what, by in values.items()}


def gdb_seconds(stub, prepare, command):
    """How long a real gdb takes for a command, by its own clock: connecting and preparing are not counted."""
    if stub is None or stub.port is None:
        return None
    argv = ["gdb", "-nx", "-batch", "-ex", f"target remote 127.0.0.1:{stub.port}", *prepare(stub)]
    argv += ["-ex", "shell date +%s.%N", "-ex", command, "-ex", "shell date +%s.%N"]
    gdb = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    stub.end()
    times = re.findall(r"^\d{9,}\.\d{9}$", gdb.stdout, re.MULTILINE)
    return float(times[1]) - float(times[0]) if len(times) == 2 else None


def condition_of_2000_hits(stub):
    """In the loop of bench/guests/loop.S, eax counts the hits of its first instruction."""
    return ["-ex", f"break *{stub.base + 5} if $rax == 2000"]


def measure_gdb(setup, rounds, starts, prepare, command):
    """Median seconds by server; nothing without a gdb."""
    seconds = {}
    for _ in range(rounds if shutil.which("gdb") else 0):
        for name, start in starts.items():
            taken = gdb_seconds(start(setup), prepare, command)
            if taken is not None:
                seconds.setdefault(name, []).append(taken)
    return {name: statistics.median(list) for name, list in seconds.items()}


# what, how it is printed, its unit, and the target: a value, or a share of what "floor" or "forgetful" does
GDB_ROWS = [
    ("step", "vCont;s", "rate", {"floor": 0.85, "forgetful": 0.95}),
    ("step_and_look", "vCont;s, g", "rate", {"floor": 0.85}),
    ("break_as_gdb", "continue to a breakpoint, as gdb does", "rate", {"floor": 0.85}),
    ("step_range", "vCont;r, steps", "rate", {None: 20e6}),
    ("conditions", "hits of a condition that is false", "rate", {None: 5e6}),
    ("read_digits", "m, largest packets", "bytes", {None: 300e6}),
    ("read_binary", "x, largest packets", "bytes", {None: 500e6}),
    ("write_binary", "X, largest packets", "bytes", {None: 400e6}),
    ("interrupt", "Ctrl-C to stop reply", "seconds", {None: 80e-6, "forgetful": 1.05}),
    ("stepi", "stepi 2000 in gdb", "seconds", {}),
    ("hits", "2000 hits of a condition in gdb", "seconds", {None: 0.05}),
]
COLUMNS = {"floor": "floor", "ours": "ours", "forgetful": "no history", "qemu": "QEMU", "gdbserver": "gdbserver"}


def gdb_cell(value, unit):
    if value is None:
        return "-"
    if unit == "bytes":
        return rate_text(value)
    if unit == "seconds":
        return f"{value * 1e6:.0f} us" if value < 0.01 else f"{value:.2f} s"
    return f"{value / 1e6:.3g} M/s" if value >= 1e6 else f"{value / 1e3:.3g} k/s"


def gdb_note(values, unit, targets):
    notes = []
    for other, target in targets.items():
        if "ours" not in values or (other and other not in values):
            continue
        value = values["ours"] / values[other] if other else values["ours"]
        text = f"{target} of {COLUMNS[other]}" if other else gdb_cell(target, unit)
        share = f"{value:.2f}: " if other else ""
        notes.append(share + verdict(value, target, text, at_most=unit == "seconds"))
    return "; ".join(notes)


def gdb(setup):
    values = measure_stubs(setup, 9)
    starts = {"ours": our_loop, "qemu": qemu_stub, "gdbserver": gdbserver_stub}
    values["stepi"] = measure_gdb(setup, 3, starts, lambda stub: [], "stepi 2000")
    del starts["qemu"]  # what a firmware has left in eax is not what is counted from
    values["hits"] = measure_gdb(setup, 3, starts, condition_of_2000_hits, "continue")
    rows = []
    for what, title, unit, targets in GDB_ROWS:
        row = values.get(what, {})
        rows.append((title, [gdb_cell(row.get(name), unit) for name in COLUMNS], gdb_note(row, unit, targets)))
    print_table("Debuggers: the same instructions behind each; floor: a bare exchange of the same packets",
                list(COLUMNS.values()), rows)
    for name, tool in [("QEMU", "qemu-system-x86_64"), ("gdbserver", "gdbserver"), ("gdb", "gdb")]:
        if shutil.which(tool) is None:
            print(f"  {name}: not installed")


class Client:
    """Asks a stub, packet by packet; acknowledgements are off."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ask("QStartNoAckMode")
        self.socket.sendall(b"+")

    def ask(self, packet):
        """The last reply: console texts before it are passed over."""
        self.socket.sendall(b"$%s#%02x" % (packet.encode(), sum(packet.encode()) & 0xFF))
        return self.reply()

    def reply(self):
        got = b""
        while not re.search(rb"\$(OK|[TWX][^#]*|[^O#][^#]*)?#..$", got):
            got += self.socket.recv(65536)
        return got

    def timed(self, packet):
        start = time.perf_counter()
        self.ask(packet)
        return time.perf_counter() - start

    def seconds(self, command):
        return self.timed("qRcmd," + command.encode().hex())

    def say(self, command):
        """What a monitor command prints."""
        texts = re.findall(rb"\$O?((?:[0-9a-f]{2}|[0-9a-f]\*.)+)#", self.ask("qRcmd," + command.encode().hex()))
        runs = [re.sub(rb"(.)\*(.)", lambda m: m[1] * (m[2][0] - 28), text, flags=re.DOTALL) for text in texts]
        return b"".join(bytes.fromhex(text.decode()) for text in runs if len(text) % 2 == 0).decode()


# ---- snapshots ----

END_OF_ROUND = 23  # in bench/guests/pages.S


def core_files(client, rounds):
    """Seconds for core files of a machine whose memory is empty, and of one that has a byte in each page."""
    empty = [client.seconds("core empty") for _ in range(rounds)]
    for page in range(4096, 8 << 20, 4096):
        client.ask(f"M{page:x},1:55")
    return empty, [client.seconds("core full") for _ in range(rounds)]


def snapshots(setup):
    stub = our_stub(setup, "-m", "8", "-g", setup.image("pages.img"), "--core", setup.directory)
    client = Client(stub.port)
    client.ask(f"Z0,{END_OF_ROUND:x},1")
    first = client.seconds("snapshot first")
    taken, put_back, nothing = [], [], []
    for number in range(200):
        client.ask("vCont;c:1")
        taken.append(client.seconds(f"snapshot s{number % 2}"))
        client.ask("vCont;c:1")
        put_back.append(client.seconds(f"restore s{number % 2}"))
        nothing.append(client.seconds("phys off"))
    empty, full = core_files(client, 50)
    stub.end()
    rows = [("the first snapshot", [milliseconds(first)], "")]
    for title, list, target in [
        ("a snapshot after 100 pages changed", taken, 1e-3),
        ("restoring it after 100 pages changed", put_back, 1e-3),
        ("a core file, most pages empty", empty, 20e-3),
        ("a core file, no page empty", full, 20e-3),
    ]:
        median = statistics.median(list)
        rows.append((title, [milliseconds(median)], verdict(median, target, f"{target * 1e3:.0f} ms")))
    rows.append(("a monitor command that does nothing", [milliseconds(statistics.median(nothing))], ""))
    print_table("Snapshots and core files of a machine with 8 MB, as a debugger asks for them", ["median"], rows)


# ---- the past ----

MARK, END = 4096, 8192  # in bench/guests/reverse.S


def position(client):
    return int(re.search(r"instruction (\d+)", client.say("when"))[1])


def run_to(client, offset, packet="vCont;c:1"):
    """Seconds to a breakpoint there."""
    client.ask(f"Z0,{offset:x},1")
    seconds = client.timed(packet)
    client.ask(f"z0,{offset:x},1")
    return seconds


def seconds_of(setup, offset, *words):
    """How long a machine takes to a breakpoint from its start."""
    stub = our_stub(setup, *words, "-g", setup.image("reverse.img"))
    seconds = run_to(Client(stub.port), offset)
    stub.end()
    return seconds


def echo_seconds(setup, *words):
    """A debugged run that prints and reads."""
    with open(setup.path("typed"), "wb") as file:
        file.write(b"a" * setup.amounts["print_bytes"])
    with open(setup.path("typed"), "rb") as file, open(setup.path("output"), "wb") as output:
        argv = setup.our_argv("--gdb", "0", *words, "-g", setup.image("echo.img"))
        process = subprocess.Popen(argv, stdin=file, stdout=output, stderr=subprocess.PIPE)
        port = next(int(m[1]) for m in (re.search(rb"target remote \S*:(\d+)", line) for line in process.stderr) if m)
        seconds = Client(port).timed("vCont;c:1")
        process.kill()
        process.communicate()
    return seconds


def places(client, first, last, count):
    chance = random.Random(1)
    return [chance.randrange(first, last) for _ in range(count)]


def reverse_rows(client, last):
    """The machine is at the end of its past."""
    gotos = [client.seconds(f"goto {place}") for place in places(client, 0, last, 60)]
    back = []
    for place in places(client, 1, last, 60):
        client.say(f"goto {place}")
        back.append(client.timed("bs"))
    client.say("goto end")
    tail = run_to(client, MARK, "bc")
    marked = position(client)
    client.say("goto end")
    forwards = client.forwards
    per_instruction = forwards / last
    ratio = tail / (per_instruction * (last - marked))
    return [
        ("goto anywhere, median", [milliseconds(statistics.median(gotos))], ""),
        ("goto anywhere, worst", [milliseconds(max(gotos))], verdict(max(gotos), 0.05, "50 ms")),
        ("reverse-stepi anywhere, median", [milliseconds(statistics.median(back))],
         verdict(statistics.median(back), 0.01, "10 ms")),
        ("reverse-stepi anywhere, worst", [milliseconds(max(back))], verdict(max(back), 0.05, "50 ms")),
        (f"reverse-continue, {(last - marked) / 1e6:.0f} M instructions", [f"{tail:.2f} s"],
         f"{ratio:.2f} x forwards: " + verdict(ratio, 2, "2")),
    ]


def recorded_seconds(setup, connect):
    """How long gdb's own recording takes: forwards, for reverse-stepi, and for reverse-continue; None: it failed."""
    commands = [*connect, "record full", "set record full insn-number-max unlimited", "tbreak end", "continue",
                "reverse-stepi", "tbreak mark", "reverse-continue", "kill"]
    argv = ["gdb", "-nx", "-batch", "-iex", "set confirm off"]
    for command in commands:
        clock = [] if command.startswith(("record", "set", "tbreak")) else ["-ex", "shell date +%s.%N"]
        argv += [*clock, "-ex", command]
    gdb = subprocess.run([*argv, setup.image("native-reverse")], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, text=True)
    times = [float(time) for time in re.findall(r"^\d{9,}\.\d{9}$", gdb.stdout, re.MULTILINE)]
    return [b - a for a, b in zip(times[1:], times[2:])] if len(times) == 5 and "mark ()" in gdb.stdout else None


def record_full(setup):
    """The same program and the same questions, with far fewer rounds."""
    ways = {"native": ["gdb", "starti"], "over gdbserver": ["gdbserver", "target remote | gdbserver --once - %s"]}
    rows = []
    for name, (tool, connect) in ways.items():
        missing = next((tool for tool in ("gdb", tool) if shutil.which(tool) is None), None)
        if missing is not None:
            print(f"  {missing}: not installed")
            continue
        seconds = recorded_seconds(setup, [connect.replace("%s", setup.image("native-reverse"))])
        rows.append((f"record full, {name}", [milliseconds(s) for s in seconds or []], "" if seconds else "failed"))
    print_table("gdb's own recording: the same program, with 40 thousand instructions, of which the last 8 thousand are "
                "gone back through", ["forwards", "stepi back", "to the mark"], rows)


def reverse(setup):
    stub = our_stub(setup, "-g", setup.image("reverse.img"))
    client = Client(stub.port)
    client.forwards = run_to(client, END)
    last = position(client)
    rows = [(f"{last / 1e6:.0f} M instructions forwards", [f"{client.forwards:.2f} s"], "")]
    rows += reverse_rows(client, last)
    stub.end()
    pairs = [(echo_seconds(setup), echo_seconds(setup, "--no-history")) for _ in range(7)]
    ratio = statistics.median(a / b for a, b in pairs)
    rows.append(("printing and reading 1 MB, with a history", [f"{statistics.median(a for a, _ in pairs):.2f} s"],
                 f"{ratio:.3f} x without: " + verdict(ratio, 1.03, "1.03")))
    pairs = [(seconds_of(setup, MARK), seconds_of(setup, MARK, "--no-history")) for _ in range(3)]
    ratio = statistics.median(a / b for a, b in pairs)
    rows.append(("computing, with a history", [f"{statistics.median(a for a, _ in pairs):.2f} s"], f"{ratio:.3f} x without"))
    print_table("The past of a machine that runs 10^9 instructions and writes to 64 pages", ["time"], rows)
    record_full(setup)
