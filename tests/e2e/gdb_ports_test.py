"""Where gdb connects: ports, addresses, sockets, pipes; several machines; who comes second."""

import os
import re
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import Gdb, GdbCase, Offered  # noqa: E402
from hypervisor import PROGRAM, contents, guest, main, sample, sample_source  # noqa: E402


def free_ports(count):
    """A port that is free just now, with count - 1 free ones behind it."""
    while True:
        sockets = [socket.socket() for _ in range(count)]
        try:
            sockets[0].bind(("127.0.0.1", 0))
            first = sockets[0].getsockname()[1]
            for offset in range(1, count):
                sockets[offset].bind(("127.0.0.1", first + offset))
            return first
        except (OSError, OverflowError):
            continue
        finally:
            for one in sockets:
                one.close()


class PortsTest(GdbCase):
    def test_ready_line_is_the_command_to_type(self):
        offered = self.offer(sample("hello", "elf"))
        self.assertRegex(offered.where[0], r"^127\.0\.0\.1:\d+$")
        self.assertEqual(offered.elf[0], os.path.realpath(sample("hello", "elf")))
        self.assertIn("_start", offered.gdb()("info symbol $pc"))

    def test_flat_image_names_the_elf_file_beside_it(self):
        self.assertEqual(self.offer(sample("hello", "img")).elf[0], os.path.realpath(sample("hello", "elf")))

    def test_flat_image_without_one(self):
        image = self.write("flat.img", contents(sample("hello", "img")))
        self.assertFalse(self.offer(image).elf[0])

    def test_machine_n_is_on_the_nth_port(self):
        first = free_ports(3)
        offered = self.offer([sample("hello", "elf")] * 3, where=str(first))
        self.assertEqual(offered.where, [f"127.0.0.1:{first + n}" for n in range(3)])
        gdb = offered.gdb(3)
        self.assertIn("hello#3", gdb("info threads"))

    def test_address_and_port(self):
        self.assertTrue(self.offer(sample("hello", "elf"), where="127.0.0.1:0").gdb()("stepi") is not None)

    def test_beyond_this_machine_comes_with_a_warning(self):
        offered = self.offer(sample("hello", "elf"), where="0.0.0.0:0")
        self.assertIn("warning", offered.run.wait_for(b"warning", "err").decode())

    def test_unix_sockets(self):
        offered = self.offer([sample("hello", "elf")] * 2, where=f"unix:{self.path('vm%n')}")
        self.assertEqual(offered.where, [self.path("vm1"), self.path("vm2")])
        gdb = offered.gdb(2)
        self.assertIn("exited normally", gdb("continue"))

    def test_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            result = self.run_vm("-g", sample("hello"), "--gdb", port)
        self.assertEqual(result.code, 3)
        self.assertIn(str(port).encode(), result.err)
        self.assertEqual(result.out, b"")

    def test_stdio(self):
        gdb = Gdb(self.dir, sample("hello", "elf"))
        self.addCleanup(gdb.close)
        gdb(f"target remote | {PROGRAM} -g {sample('hello', 'elf')} --gdb stdio")
        gdb("break main")
        self.assertIn("main ()", gdb("continue"))
        self.assertIn("exited normally", gdb("continue"))

    def test_s_does_not_wait_and_capital_s_does(self):
        result = self.run_vm("-g", sample("hello"), "--gdb", "0", "--gdb-run")
        self.assertEqual((result.code, result.out), (0, contents(sample_source("hello", "expected.txt"))))
        run = self.start("-g", sample("hello"), "--gdb", "0", "--gdb-run", "-S")
        offered = Offered(self, run)
        offered.run.wait_for(b"")
        self.assertIn("exited normally", offered.gdb()("continue"))

    def test_gdb_comes_late(self):
        run = self.start("-g", guest("spin"), "--gdb", "0", "--gdb-run")
        offered = Offered(self, run)
        run.wait_for(b"a line\n")
        gdb = offered.gdb()
        before = gdb.pc()
        gdb("stepi")
        self.assertIsNotNone(before)

    def test_second_debugger_is_told_why(self):
        offered, first = self.debug(sample("hello", "elf"))
        second = offered.gdb(connect=False)
        self.assertIn("another debugger is connected", second(f"target remote {offered.where[0]}"))
        self.assertIn("exited normally", first("continue"))

    def test_each_connection_sees_its_machine_alone(self):
        offered = self.offer([sample("primes", "elf"), sample("fibonacci", "elf")])
        first, second = offered.gdb(1), offered.gdb(2)
        self.assertEqual(len(re.findall(r"Thread", first("info threads"))), 1)
        first("break main")
        self.assertIn("main ()", first("continue"))
        self.assertIn("exited normally", second("continue"))
        self.assertIn("main ()", first("backtrace"))

    def test_a_stopped_machine_does_not_stop_others(self):
        offered = self.offer([sample("fibonacci", "elf"), sample("hello", "elf")])
        self.assertIn("exited normally", offered.gdb(2)("continue"))
        offered.run.wait_for(contents(sample_source("hello", "expected.txt")))


class OnePortForAllTest(GdbCase):
    def all_machines(self, *images):
        run = self.start("-g", *images, "--gdb-all", "0")
        line = run.wait_for(b"target remote", "err").decode()
        gdb = Gdb(self.dir, images[0])
        self.addCleanup(gdb.close)
        gdb(f"target remote {re.search(r'target remote ([0-9.:]+)', line)[1]}")
        return run, gdb

    def test_machines_are_inferiors(self):
        run, gdb = self.all_machines(sample("primes", "elf"), sample("fibonacci", "elf"))
        inferiors = gdb("info inferiors")
        self.assertIn("process 1", inferiors)
        self.assertIn("process 2", inferiors)
        gdb("inferior 2")
        self.assertIn("_start", gdb("info symbol $pc"))

    def test_one_is_stepped_while_the_other_stands(self):
        run, gdb = self.all_machines(sample("hello", "elf"), sample("fibonacci", "elf"))
        self.assertIn("exited normally", gdb("continue"))
        run.wait_for(contents(sample_source("hello", "expected.txt")))

    def test_all_run_together(self):
        run, gdb = self.all_machines(sample("hello", "elf"), sample("fibonacci", "elf"))
        gdb("set schedule-multiple on")
        self.assertIn("exited normally", gdb("continue"))
        gdb("kill inferiors 1 2")


if __name__ == "__main__":
    main()
