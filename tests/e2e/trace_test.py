"""--trace and --stats: what is in the file however a run ends, and that it is what happened."""

import ctypes
import json
import os
import re
import resource
import signal
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import GdbCase, Wire, elf  # noqa: E402
from hypervisor import EXIT_CRASHED, EXIT_IO, EXIT_SIGINT, EXIT_SIGTERM, EXIT_TIMEOUT, Case, Output  # noqa: E402
from hypervisor import contents, guest, main, on, sample  # noqa: E402


class Trace:
    """A trace's events, those about the file itself aside."""

    def __init__(self, path, is_whole=True):
        data = contents(path).decode("ascii")
        lines = data.splitlines()
        assert lines[0] == "[", lines[:1]
        if is_whole:
            everything = json.loads(data)
        else:
            everything = [json.loads(line.rstrip(",")) for line in lines[1:] if line != "]"]
        self.tracks = {event["tid"]: event["args"]["name"] for event in everything
                       if event.get("name") == "thread_name"}
        self.events = [event for event in everything if event["ph"] != "M"]

    def named(self, name, track=None):
        return [event for event in self.events if event.get("name") == name and track in (None, event["tid"])]

    def printed(self, track=None):
        return "".join(event["args"]["bytes"] for event in self.named("serial out", track)).encode("latin-1")

    def last_stop(self, track=1):
        return [event for event in self.events if event["tid"] == track][-1]


class TraceCase(Case):
    def trace(self, is_whole=True):
        trace = Trace(self.path("trace.json"), is_whole)
        for track in {event["tid"] for event in trace.events}:
            self.check_track([event for event in trace.events if event["tid"] == track])
        return trace

    def check_track(self, events):
        """Times never go back; entries and exits take turns."""
        times = [event["ts"] for event in events]
        self.assertEqual(times, sorted(times))
        turns = [event["ph"] for event in events if event["ph"] in "BE"]
        self.assertEqual(turns, ["B", "E"] * (len(turns) // 2) + ["B"] * (len(turns) % 2))

    def run_traced(self, *arguments, **options):
        return self.run_vm(*arguments, "--trace", "trace.json", **options)


class EndingTest(TraceCase):
    """Complete up to the last event, whatever the end."""

    def test_hlt(self):
        result = self.check(self.run_traced("-g", sample("hello")), 0, err="")
        trace = self.trace()
        self.assertEqual(trace.printed(), result.out)
        self.assertEqual(trace.last_stop()["name"], "stop: halted")
        self.assertEqual(len(trace.named("hlt")), 1)
        self.assertEqual(trace.tracks, {1: "VM 1 (hello)"})

    def test_crash(self):
        result = self.check(self.run_traced("-g", sample("crash")), EXIT_CRASHED)
        trace = self.trace()
        self.assertEqual(trace.printed(), result.out)
        stop = trace.last_stop()
        self.assertEqual(stop["name"], "stop: fault")
        self.assertIn("page fault (#PF), vector 14, at rip 0x", stop["args"]["what"])
        self.assertIn(stop["args"]["what"], result.messages)
        self.assertIn(f"at rip 0x{int(stop['args']['rip'], 16):016x}", result.messages)

    @on("soft")
    def test_positions(self):
        """Each event has the instruction count that reports and `monitor goto` use."""
        result = self.check(self.run_traced("-g", sample("crash")), EXIT_CRASHED)
        trace = self.trace()
        positions = [event["args"]["instruction"] for event in trace.events if event["ph"] == "i"]
        self.assertEqual(positions, sorted(positions))
        stop = trace.last_stop()["args"]
        self.assertEqual(positions[-1], stop["instruction"])
        self.assertIn(f", instruction {stop['instruction']}\n", result.messages)

    def test_timeout(self):
        self.check(self.run_traced("-g", guest("spin"), "--timeout", 1), EXIT_TIMEOUT)
        self.assertEqual(self.trace().last_stop()["name"], "stop: interrupted")

    def test_signals(self):
        for number, code in ((signal.SIGINT, EXIT_SIGINT), (signal.SIGTERM, EXIT_SIGTERM)):
            run = self.start("-g", guest("keys"), "--trace", "trace.json")
            run.wait_for(b"key? ")
            run.signal(number)
            run.output.wait_for("err", lambda got: "err" not in run.output.fds)
            self.check(run.finish(), code)
            trace = self.trace()
            self.assertEqual(trace.printed(), b"key? ")
            self.assertEqual(trace.last_stop()["name"], "stop: interrupted")

    def test_output_that_cannot_be_written(self):
        with open("/dev/full", "wb") as full:
            self.check(self.run_traced("-g", sample("hello"), stdout=full), EXIT_IO)
        self.assertEqual(self.trace().last_stop()["name"], "stop: input/output error")

    def test_kill(self):
        """Nothing can be written at that end; but one tick after an event it is in the file."""
        changes = self.watch(self.write("trace.json", b""))
        run = self.start("-g", guest("keys"), "--trace", "trace.json")
        changes.wait_for("file", lambda _: b'"bytes":" "' in contents(self.path("trace.json")))
        run.signal(signal.SIGKILL)
        self.assertEqual(run.finish().code, -signal.SIGKILL)
        self.assertNotIn(b"]\n", contents(self.path("trace.json"))[-3:])
        self.assertEqual(self.trace(is_whole=False).printed(), b"key? ")

    def watch(self, path):
        """Something arrives at its "file" whenever the file is written to."""
        libc = ctypes.CDLL(None, use_errno=True)
        fd = libc.inotify_init1(os.O_CLOEXEC)
        self.addCleanup(os.close, fd)
        self.assertGreaterEqual(libc.inotify_add_watch(fd, path.encode(), 2), 0)  # IN_MODIFY
        return Output(file=fd)

    def test_an_image_that_cannot_be_used(self):
        self.check(self.run_traced("-g", "missing"), 4)
        self.assertEqual(self.trace().events, [])


class EventsTest(TraceCase):
    def test_all_bytes_in_order(self):
        """An exit each at first, then gathered by KVM."""
        result = self.check(self.run_traced("-g", guest("bulk"), "--stats"), 0)
        trace = self.trace()
        self.assertEqual(len(result.out), 0x30000)
        self.assertEqual(trace.printed(), result.out)
        for event in trace.named("serial out"):
            self.assertEqual(event["args"]["count"], len(event["args"]["bytes"]))

    def test_input(self):
        result = self.check(self.run_traced("-g", guest("cat"), input=bytes(range(255))), 0)
        trace = self.trace()
        taken = "".join(event["args"]["bytes"] for event in trace.named("serial in")).encode("latin-1")
        self.assertEqual(taken[:255], bytes(range(255)))
        self.assertEqual(trace.printed(), result.out)

    def test_other_ports(self):
        run, monitor = self.start_monitor("--trace", "trace.json")
        monitor.out(0x60, 2, 0x1234)
        self.assertEqual(monitor.inp(0x61, 4), 0xffffffff)
        monitor.halt()
        self.assertEqual(run.finish().code, 0)
        trace = self.trace()
        event, = [event for event in trace.named("port out") if event["args"]["port"] == "0x60"]
        self.assertEqual((event["args"]["width"], event["args"]["value"]), (2, "0x1234"))
        event, = [event for event in trace.named("port in") if event["args"]["port"] == "0x61"]
        self.assertEqual((event["args"]["width"], event["args"]["value"]), (4, "0xffffffff"))

    def test_files_with_odd_names(self):
        """Whatever bytes a guest makes of a name, the file stays JSON."""
        run, monitor = self.start_monitor("--trace", "trace.json")
        names = [b'"', b"\\", b"\x01\x1f\x7f", b"\xff\xfe", b"</script>", b'",{}],', b"x" * 255]
        results = []
        for name in names:
            monitor.file_write(struct.pack("<BIH", 1, 1, len(name)) + name)
            results.append(struct.unpack("<q", monitor.file_read(8))[0])
        monitor.halt()
        self.assertEqual(run.finish().code, 0)
        events = self.trace().named("file open")
        self.assertEqual([event["args"]["file"].encode("latin-1") for event in events], names)
        self.assertEqual([event["args"]["result"] for event in events], results)
        self.assertTrue(all(result < 0 for result in results), results)

    def test_sample_that_uses_files(self):
        self.write("notes.txt", b"water the flowers\n")
        self.check(self.run_traced("-g", sample("files"), "-f", "notes.txt"), 0)
        trace = self.trace()
        self.assertIn("notes.txt", [event["args"]["file"] for event in trace.named("file open")])
        self.assertTrue(trace.named("file read"))
        self.assertTrue(trace.named("file close"))

    def test_several_machines(self):
        guests = [guest("bytes"), sample("hello"), guest("lines")] * 3
        self.check(self.run_traced("-g", *guests), 0)
        trace = self.trace()
        self.assertEqual(sorted(trace.tracks), list(range(1, 10)))
        self.assertEqual(trace.tracks[4], "VM 4 (bytes#4)")
        for track in range(1, 10):
            alone = self.check(self.run_vm("-g", guests[track - 1]), 0)
            self.assertEqual(trace.printed(track), alone.out)


class FileTest(TraceCase):
    def test_a_disk_that_is_full(self):
        """Reported once; the guest continues, and what was written can be read."""
        limit = 100000

        def limit_files():
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        result = self.run_traced("-g", guest("bulk"), preexec_fn=limit_files)
        self.check(result, EXIT_IO)
        self.assertEqual(len(result.out), 0x30000)
        self.assertEqual(result.messages, "mini_hypervisor: the trace cannot be written: File too large; it ends "
                                          "here\n")
        self.assertTrue(result.out.startswith(self.trace(is_whole=False).printed()))
        self.assertLessEqual(os.path.getsize(self.path("trace.json")), limit)

    def test_a_device_that_takes_nothing(self):
        result = self.check(self.run_vm("-g", sample("hello"), "--trace", "/dev/full"), EXIT_IO, b"Hello, world!\n")
        self.assertEqual(result.messages.count("No space left on device"), 1)

    def test_a_place_that_is_not_there(self):
        self.check(self.run_vm("-g", sample("hello"), "--trace", "missing/trace.json"), EXIT_IO, b"",
                   "--trace missing/trace.json: cannot open it: No such file or directory")
        self.check(self.run_vm("-g", sample("hello"), "--trace="), 2, b"", "give a file")

    def test_what_was_in_the_file_is_gone(self):
        self.write("trace.json", b"x" * 1000000)
        self.check(self.run_traced("-g", sample("hello")), 0)
        self.assertTrue(self.trace().events)

    def test_a_reader_that_does_not_read(self):
        """Ctrl-C ends a run whose trace is not read."""
        os.mkfifo(self.path("fifo"))
        reader = os.open(self.path("fifo"), os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        run = self.start("-g", guest("bulk"), "--trace", "fifo")
        Output(fifo=reader).wait_for("fifo", b"serial out")
        run.signal(signal.SIGINT)
        self.check(run.finish(), EXIT_SIGINT)


class DebuggerTest(TraceCase, GdbCase):
    def test_commands_and_stops(self):
        vm, gdb = self.debug(elf("gdb_program"), "--trace", "trace.json")
        gdb("break program")
        gdb("continue")
        gdb("stepi")
        gdb("monitor stats")
        where = gdb.pc()
        gdb("delete")
        gdb("continue")
        self.assertEqual(vm.run.finish().code, 0)
        trace = self.trace()
        packets = [event["args"]["packet"] for event in trace.named("gdb", 1)]
        self.assertTrue(packets[0].startswith("qSupported"), packets)
        self.assertIn("qRcmd,7374617473", packets)
        self.assertTrue(any(packet.startswith("vCont;s") for packet in packets), packets)
        stops = [event for event in trace.events if event.get("name", "").startswith("stop: ")]
        self.assertEqual([stop["name"] for stop in stops][1:], ["stop: step", "stop: halted"])
        self.assertIn("breakpoint", stops[0]["name"])
        self.assertEqual(int(stops[1]["args"]["rip"], 16), where)
        self.assertTrue(all(len(packet) <= 127 for packet in packets))

    def test_interrupt(self):
        vm, gdb = self.debug(elf("spin"), "--trace", "trace.json")
        gdb.begin("continue")
        gdb.wait_until_running()
        gdb.interrupt()
        gdb.answer()
        gdb("kill")
        vm.run.finish()
        self.assertTrue(self.trace().named("stop: interrupted"))

    def test_one_debugger_for_all(self):
        run = self.start("-g", guest("bytes"), guest("bytes"), "--gdb-all", "0", "--trace", "trace.json")
        where = re.search(rb"target remote (\S+)'", run.wait_for(lambda got: b"target remote" in got and
                                                                 got.endswith(b"\n"), "err"))[1].decode()
        wire = Wire(where)
        self.addCleanup(wire.close)
        wire.ask("?")
        wire.ask("vKill;1")
        wire.ask("vKill;2")
        wire.close()
        run.finish()
        trace = self.trace()
        self.assertEqual(trace.tracks, {1: "VM 1 (bytes)", 2: "VM 2 (bytes#2)", 3: "gdb of all VMs"})
        self.assertEqual([event["args"]["packet"] for event in trace.named("gdb", 3)], ["?", "vKill;1", "vKill;2"])


class StatsTest(Case):
    def rows(self, messages):
        """The tables: machine -> word(s) -> first number."""
        tables = {}
        for line in messages.splitlines():
            title = re.match(r"mini_hypervisor: (VM \d+ \(.*\)):$", line)
            row = re.match(r" *(\d+)  +(?:[\d.]+  )?(\S.*)$", line)
            if title:
                tables[title[1]] = {}
            elif row and tables:
                tables[list(tables)[-1]][row[2]] = int(row[1])
        return tables

    def test_table(self):
        result = self.check(self.run_vm("-g", guest("cat"), sample("hello"), "--stats", input=b"abcd"), 0)
        tables = self.rows(result.messages)
        self.assertEqual(list(tables), ["VM 1 (cat)", "VM 2 (hello)"])
        self.assertEqual(tables["VM 2 (hello)"]["bytes out of the serial port"], len(b"Hello, world!\n"))
        self.assertEqual(tables["VM 2 (hello)"]["port access"], len(b"Hello, world!\n"))
        self.assertEqual(tables["VM 2 (hello)"]["hlt"], 1)
        self.assertGreaterEqual(tables["VM 1 (cat)"]["bytes into it"], 4)

    def test_columns(self):
        """Numbers end where their headings do."""
        result = self.check(self.run_vm("-g", sample("hello"), "--stats"), 0)
        lines = result.messages.splitlines()
        self.assertRegex(lines[1], r"^processor: (kvm|soft)")
        at, heading = next((i, line) for i, line in enumerate(lines) if line.lstrip().startswith("exits "))
        for line in lines[at + 1:]:
            self.assertRegex(line[:heading.index("exits") + 5], r"^ *\d+$")

    def test_files(self):
        self.write("notes.txt", b"water the flowers\n")
        result = self.check(self.run_vm("-g", sample("files"), "-f", "notes.txt", "--stats"), 0)
        table, = self.rows(result.messages).values()
        self.assertGreater(table["file calls: open"], 0)
        self.assertGreater(table["file calls: read"], 0)

    def test_of_a_crash_and_a_timeout(self):
        result = self.check(self.run_vm("-g", sample("crash"), "--stats"), EXIT_CRASHED)
        self.assertIn("VM 1 (crash)", self.rows(result.messages))
        result = self.check(self.run_vm("-g", guest("spin"), "--stats", "--timeout", 1), EXIT_TIMEOUT)
        self.assertIn("VM 1 (spin)", self.rows(result.messages))

    def test_nothing_is_said_without_it(self):
        self.check(self.run_vm("-g", sample("hello")), 0, b"Hello, world!\n", "")


if __name__ == "__main__":
    main()
