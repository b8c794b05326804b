"""Offering ports, and debuggers that come, go, come again or are lost."""

import os
import shlex
import re
import select
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import SETTINGS, Gdb, GdbCase, elf  # noqa: E402
from hypervisor import (  # noqa: E402
    DEADLINE, EXIT_HOST, EXIT_USAGE, command, contents, guest, main, sample)


def free_ports(count):
    """The first of `count` consecutive ports that are free now."""
    while True:
        held = [socket.socket() for _ in range(count)]
        try:
            held[0].bind(("127.0.0.1", 0))
            first = held[0].getsockname()[1]
            for i, one in enumerate(held[1:], 1):
                one.bind(("127.0.0.1", first + i))
            return first
        except (OSError, OverflowError):
            continue
        finally:
            for one in held:
                one.close()


class OfferTest(GdbCase):
    def test_the_ready_line_is_the_command(self):
        """What it says to type is typed, in a shell."""
        vm = self.offer(elf("gdb_points"))
        self.assertEqual(vm.elf[0], elf("gdb_points"))
        command = re.search(r"type: (gdb .*)", vm.run.output.bytes["err"].decode())[1]
        done = subprocess.run(command + " -nx -batch -ex 'info symbol $pc' -ex continue", shell=True, timeout=DEADLINE,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        self.assertIn("_start in section .text", done.stdout)
        self.assertIn("exited normally", done.stdout)
        self.assertEqual(vm.run.finish().code, 0)

    def test_the_command_can_be_typed_whatever_the_path(self):
        os.mkdir(self.path("it's mine"))
        image = self.write("it's mine/guest.elf", contents(elf("gdb_points")))
        run = self.start("-g", image, "--gdb", "0")
        line = run.wait_for(b"\n", "err").decode()
        words = shlex.split(line.split("type: ")[1])
        self.assertEqual(words[-1], os.path.realpath(image))

    def test_flat_image_without_symbols(self):
        image = self.write("alone.img", contents(guest("spin")))
        vm = self.offer(image)
        self.assertEqual(vm.elf[0], None)
        self.assertIn("0x0", vm.gdb()("info registers rip"))

    def test_symbols_come_by_themselves(self):
        """Without the file on its command line, gdb gets it from the stub or says where it looked."""
        vm = self.offer(elf("gdb_points"))
        gdb = vm.gdb(file=False)
        self.assertIn("_start", gdb("info symbol $pc"))

    def test_loopback_only(self):
        vm = self.offer(elf("gdb_points"))
        self.assertNotIn("warning", vm.run.output.bytes["err"].decode())
        port = int(vm.where[0].rsplit(":", 1)[1])
        sockets = [line.split() for line in contents("/proc/net/tcp").decode().splitlines()]
        listening = [words[1] for words in sockets if words[3] == "0A"]
        self.assertIn(f"0100007F:{port:04X}", listening)
        self.assertNotIn(f"00000000:{port:04X}", listening)

    def test_host_and_port(self):
        vm = self.offer(elf("gdb_points"), where="127.0.0.1:0")
        self.assertIn("exited normally", vm.gdb()("continue"))

    def test_everywhere_is_worth_a_warning(self):
        vm = self.offer(elf("gdb_points"), where="0.0.0.0:0")
        vm.run.wait_for(b"warning", "err")

    def test_unix(self):
        vm = self.offer(elf("gdb_points"), where="unix:" + self.path("socket"))
        self.assertEqual(vm.where[0], self.path("socket"))
        self.assertIn("exited normally", vm.gdb()("continue"))
        self.assertEqual(vm.run.finish().code, 0)
        self.assertFalse(os.path.exists(self.path("socket")))

    def test_unix_with_numbers(self):
        vm = self.offer([elf("gdb_points")] * 3, where="unix:" + self.path("vm-%n"))
        for number in (3, 1, 2):
            self.assertEqual(vm.where[number - 1], self.path(f"vm-{number}"))
            self.assertIn("exited normally", vm.gdb(number)("continue"))
        self.assertEqual(vm.run.finish().code, 0)

    def on_a_pipe(self, link, *more_settings):
        arguments = [argument for setting in [*SETTINGS, *more_settings] for argument in ("-iex", setting)]
        program = " ".join(command(["-g", elf("gdb_points"), "--gdb", "stdio"]))
        done = subprocess.run(["gdb", "-nx", "-q", "-batch", *arguments, elf("gdb_points"),
                               "-ex", f"target remote | exec {link} {program}",
                               "-ex", "break place_9", "-ex", "continue", "-ex", "delete", "-ex", "continue"],
                              cwd=self.dir, timeout=DEADLINE, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        self.assertIn("place_9", done.stdout, done)
        self.assertIn("exited normally", done.stdout, done)

    def test_stdio(self):
        self.on_a_pipe("")

    def test_slow_link(self):
        """What gdb sends again, because the answer takes long, is answered once."""
        link = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support", "slow_link.py")
        self.on_a_pipe(f"{sys.executable} -B {link}", "set remotetimeout 1")

    def test_consecutive_ports(self):
        first = free_ports(3)
        vm = self.offer([elf("gdb_points")] * 3, where=str(first))
        self.assertEqual([int(where.rsplit(":", 1)[1]) for where in vm.where], [first, first + 1, first + 2])
        for number in (2, 3, 1):
            self.assertIn("exited normally", vm.gdb(number)("continue"))
        self.assertEqual(vm.run.finish().code, 0)

    def test_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            result = self.run_vm("-g", elf("gdb_points"), "--gdb", port)
        self.check(result, EXIT_HOST, b"", [str(port), "in use"])

    def test_nonsense(self):
        for where in ("65536", "host:", "unix:", "x" * 300 + ":1", "-1", "1:2:3"):
            self.assertEqual(self.run_vm("-g", elf("gdb_points"), "--gdb", where).code, EXIT_USAGE, where)
        self.check(self.run_vm("-g", *[elf("gdb_points")] * 2, "--gdb", "stdio"), EXIT_USAGE)
        self.check(self.run_vm("-g", elf("gdb_points"), "--gdb-hold"), EXIT_USAGE, err="--gdb")

    def test_unix_path_that_numbers_make_too_long(self):
        fits = "unix:/nowhere/" + "x" * 96 + "%n"
        self.check(self.run_vm("-g", *[elf("gdb_points")] * 100, "--gdb", fits), EXIT_USAGE, b"", "too long")
        self.check(self.run_vm("-g", *[elf("gdb_points")] * 9, "--gdb", fits), EXIT_HOST, b"", "cannot listen")

    def test_run_without_waiting(self):
        vm = self.offer(guest("spin"), "--gdb-run")
        self.assertEqual(vm.ready[0][3], "gdb may connect")
        vm.run.wait_for(b"a line\nunfinished")
        gdb = vm.gdb()
        self.assertIn("jmp", gdb("x/i $pc"))

    def test_like_qemu(self):
        for arguments, ready in ((["--gdb", "0", "-S"], "waits for gdb"), (["--gdb", "0", "--gdb-run"], "gdb may"),
                                 (["--gdb", "0", "--gdb-run", "-S"], "waits for gdb")):
            run = self.start("-g", guest("spin"), *arguments)
            run.wait_for(ready.encode(), "err")
            run.close()

    def test_second_client(self):
        vm, gdb = self.debug(elf("gdb_points"))
        other = vm.gdb(connect=False)
        answer = other(f"target remote {vm.where[0]}")
        self.assertIn("another debugger is connected", answer)
        vm.run.wait_for(b"refused a second debugger", "err")
        self.assertIn("exited normally", gdb("continue"))

    def test_second_client_while_the_guest_runs(self):
        vm, gdb = self.debug(elf("gdb_points"))
        gdb("set $pc = spin")
        gdb.begin("continue")
        gdb.wait_until_running()
        self.assertIn("another debugger", vm.wire().ask("qSupported"))
        gdb.interrupt()
        self.assertIn("SIGINT", gdb.answer())


class GoingTest(GdbCase):
    def test_detach(self):
        vm, gdb = self.debug(elf("gdb_points"))
        gdb("break place_50")
        gdb("continue")
        self.assertIn("detached", gdb("detach"))
        result = vm.run.finish()
        self.assertEqual((result.code, result.out), (0, b"done\n"))

    def test_disconnect_and_come_again(self):
        vm, gdb = self.debug(elf("gdb_points"))
        gdb("break place_50")
        gdb("continue")
        gdb("disconnect")
        again = vm.gdb()
        self.assertEqual(again.pc(), again.value("&place_50"), "it has not moved")
        self.assertIn("exited normally", again("continue"), "and the first gdb's breakpoint is gone")

    def test_lost_connection_stops(self):
        vm, gdb = self.debug(elf("gdb_points"))
        gdb("set $pc = spin")
        gdb.begin("continue")
        gdb.wait_until_running()
        gdb.kill()
        vm.run.wait_for(b"connection is closed", "err")
        again = vm.gdb()
        spins = again.value("*(long*)&spins")
        again("disconnect")
        once_more = vm.gdb()
        self.assertEqual(once_more.value("*(long*)&spins"), spins, "it stood still all the time")
        once_more("kill")
        self.assertEqual(vm.run.finish().code, 0)

    def test_lost_connection_continues(self):
        vm, gdb = self.debug(elf("gdb_points"), "--gdb-lost", "continue")
        gdb("break place_50")
        gdb("continue")
        gdb.kill()
        result = vm.run.finish()
        self.assertEqual((result.code, result.out), (0, b"done\n"))

    def test_lost_connection_kills(self):
        vm, gdb = self.debug(elf("gdb_points"), "--gdb-lost", "kill")
        gdb("break place_50")
        gdb("continue")
        gdb.kill()
        self.assertEqual(vm.run.finish().out, b"")

    def test_a_hundred_times(self):
        vm = self.offer(elf("gdb_points"))
        gdb = vm.gdb(connect=False)
        gdb(f"target remote {vm.where[0]}")
        gdb("set $pc = spin")
        last = -1
        for i in range(100):
            gdb("break place_3")
            spins = gdb.value("*(long*)&spins")
            self.assertGreaterEqual(spins, last)
            last = spins
            gdb("delete")
            self.assertNotIn("error", gdb("detach"))
            self.assertNotIn("error", gdb(f"target remote {vm.where[0]}"), i)
            self.assertIn("spin", gdb("info symbol $pc"))
        descriptors = len(os.listdir(f"/proc/{vm.run.process.pid}/fd"))
        self.assertLess(descriptors, 60, "none is left over")
        gdb("kill")
        self.assertEqual(vm.run.finish().code, 0)

    def test_gdb_killed_at_many_moments(self):
        """While it connects, runs, steps, reads memory, inserts breakpoints: the machine is there for the next."""
        vm = self.offer(elf("gdb_points"))
        commands = ["continue", "stepi 100000", "next", "x/100000xb 0", "find 0, 0x1fffff, 0x12345678",
                    "while 1\nx/xg 0\nend", "dump binary memory all 0 0x200000", "monitor map", "disconnect",
                    "monitor reset"]
        for i, command in enumerate(commands * 2):
            gdb = vm.gdb()
            gdb("set $pc = spin")
            for place in range(20):
                gdb(f"break place_{place}")
            gdb.begin(command)
            select.select([gdb.process.stdout], [], [], i % 7 * 0.003)
            gdb.kill()
        last = vm.gdb()
        last("set $pc = place_0")
        last("tbreak done")
        self.assertIn("done", last("continue"))
        self.assertIn("exited normally", last("continue"))
        self.assertEqual(vm.run.finish().code, 0)

    def test_connection_broken_in_a_packet(self):
        vm = self.offer(elf("gdb_points"))
        gdb = vm.gdb()
        gdb("set $pc = spin")  # one of the packets resumes it, and it must not end before that is interrupted
        gdb.kill()
        for data in (b"", b"$", b"$m0,10", b"$m0,10#", b"+$g#67", b"$vCont;c#a8", b"\x03", b"$X0,4:}", b"\xff" * 3000,
                     b"GET / HTTP/1.0\r\n\r\n"):
            wire = vm.wire()
            wire.send_raw(data)
            wire.close()
        gdb = vm.gdb()
        gdb("set $pc = done")
        self.assertIn("exited normally", gdb("continue"))

    def test_timeout_and_signal_while_nobody_is_there(self):
        for end, code in ((["--timeout", "0.3"], 124), ([], 143)):
            vm = self.offer(elf("gdb_points"), *end)
            if not end:
                vm.run.process.terminate()
            self.assertEqual(vm.run.finish().code, code)


class SeveralTest(GdbCase):
    def test_each_connection_sees_its_machine(self):
        vm = self.offer([elf("gdb_points"), elf("gdb_steps"), sample("hello", "elf")])
        names = [vm.gdb(number)("info threads") for number in (1, 2, 3)]
        for name, text in zip(("gdb_points", "gdb_steps", "hello"), names):
            self.assertIn(f'"{name}"', text)
            self.assertEqual(len(text.strip().splitlines()), 2)

    def test_one_port_for_all(self):
        run = self.start("-g", elf("gdb_points"), elf("gdb_steps"), "--gdb-all", "unix:" + self.path("all"))
        run.wait_for(b"type: gdb", "err")
        gdb = Gdb(self.dir, elf("gdb_points"))
        self.addCleanup(gdb.close)
        self.assertNotIn("error", gdb(f"target extended-remote {self.path('all')}"))
        text = gdb("info inferiors") + gdb("info threads")
        self.assertIn("gdb_points", text)
        self.assertIn("exited normally", gdb("continue"))
        gdb.kill()
        run.signal(15)
        run.finish()


if __name__ == "__main__":
    main()
