"""stdin as a terminal: keys one by one, and the terminal as it was after every kind of end."""

import contextlib
import os
import select
import signal
import sys
import termios

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import Wire  # noqa: E402
from hypervisor import DEADLINE, EXIT_CRASHED, EXIT_SIGINT, EXIT_SIGTERM, EXIT_TIMEOUT, Case, guest  # noqa: E402
from hypervisor import main, sample  # noqa: E402

LOCAL_FLAGS = 3
CTRL_BACKSLASH, CTRL_C, CTRL_D = b"\x1c", b"\x03", b"\x04"


class TerminalTest(Case):
    def keys(self, *arguments, **options):
        """The guest `keys`, when it waits for its first key."""
        run = self.start_on_terminal("-g", guest("keys"), *arguments, **options)
        run.wait_for(b"key? ")
        self.wait_until_taken(run)
        return run

    def wait_until_taken(self, run):
        """The prompt may be seen a moment before the terminal is taken for the read that follows it."""
        for _ in range(3000):
            if not run.settings()[LOCAL_FLAGS] & termios.ICANON:
                return
            run.output.pump(0.01)
        self.fail("the terminal still gathers lines")

    def ended(self, run, code):
        self.assertEqual(run.finish(), code, run.screen)
        self.assertTrue(run.is_as_it_was(), "the terminal is as it was")

    def test_key_at_a_time_and_no_echo(self):
        run = self.keys()
        for key in (b"a", b"\n", b"\x7f", b"\x01"):
            seen = len(run.screen)
            run.send(key)
            run.wait_for(lambda got, seen=seen: got[seen:].endswith(b"key? "))
            self.assertEqual(run.screen[seen:], b"got %016x\r\nkey? " % key[0], "and nothing else")
        run.send(b"q")
        self.ended(run, 0)

    def test_only_what_is_needed_changes(self):
        run = self.keys()
        now, before = run.settings(), run.original
        self.assertFalse(now[LOCAL_FLAGS] & (termios.ICANON | termios.ECHO))
        self.assertTrue(now[LOCAL_FLAGS] & termios.ISIG, "Ctrl-C keeps its meaning")
        self.assertEqual(now[:LOCAL_FLAGS], before[:LOCAL_FLAGS])

    def test_guest_that_does_not_read(self):
        """The terminal is left alone: what is typed is the shell's."""
        run = self.start_on_terminal("-g", guest("spin"))
        run.wait_for(b"unfinished")
        self.assertTrue(run.is_as_it_was())
        run.send(CTRL_C)
        self.ended(run, EXIT_SIGINT)

    def test_keys_typed_before_the_guest_reads(self):
        run = self.start_on_terminal("-g", guest("keys"))
        run.send(b"ab\nq")
        self.ended(run, 0)
        for code in b"ab\nq":
            self.assertIn(b"got %016x" % code, run.screen)

    def test_ctrl_d_ends_the_input(self):
        run = self.keys()
        run.send(CTRL_D)
        self.ended(run, 0)
        self.assertIn(b"got 00000000000000ff\r\nend", run.screen)

    def test_ctrl_d_ends_it_for_good(self):
        run = self.start_on_terminal("-g", guest("cat"))
        run.send(b"x")
        run.wait_for(b"x")
        self.wait_until_taken(run)
        run.send(CTRL_D)
        self.ended(run, 0)
        self.assertTrue(run.screen.endswith(b"x\xff\xff\xff"), run.screen)

    def test_normal_end(self):
        run = self.keys()
        run.send(b"q")
        self.ended(run, 0)

    def test_crash(self):
        run = self.keys()
        run.send(b"x")
        self.ended(run, EXIT_CRASHED)
        self.assertIn(b"invalid opcode", run.screen)

    def test_report_begins_a_line(self):
        run = self.start_on_terminal("-g", guest("monitor"))
        run.send(b"g" + bytes(8) + b"\x01\0\0\0" + b"x")
        self.ended(run, EXIT_CRASHED)
        self.assertIn(b"\nmini_hypervisor: VM 1", run.screen)

    def test_ctrl_c_while_waiting_for_a_key(self):
        run = self.keys()
        run.send(CTRL_C)
        self.ended(run, EXIT_SIGINT)

    def test_ctrl_c_while_spinning(self):
        run = self.keys()
        run.send(b"s")
        run.wait_for(b"spinning")
        run.send(CTRL_C)
        self.ended(run, EXIT_SIGINT)
        self.assertIn(b"spinning", run.screen)

    def test_ctrl_backslash(self):
        run = self.keys()
        run.send(CTRL_BACKSLASH)
        self.ended(run, 128 + signal.SIGQUIT)

    def test_sigterm(self):
        run = self.keys()
        os.kill(run.pid, signal.SIGTERM)
        self.ended(run, EXIT_SIGTERM)

    def test_sighup(self):
        run = self.keys()
        os.kill(run.pid, signal.SIGHUP)
        self.ended(run, 128 + signal.SIGHUP)

    def test_timeout(self):
        run = self.start_on_terminal("-g", guest("keys"), "--timeout", "1")
        self.ended(run, EXIT_TIMEOUT)
        self.assertIn(b"key? ", run.screen)
        self.assertIn(b"still running after 1 s", run.screen)

    def test_end_while_stdout_is_elsewhere(self):
        with open(os.devnull, "wb") as nowhere:
            run = self.start_on_terminal("-g", guest("keys"), stdout=nowhere)
            self.wait_until_taken(run)
            run.send(b"q")
            self.ended(run, 0)

    def test_ctrl_z_and_back(self):
        run = self.keys()
        for _ in range(2):
            run.stop()
            self.assertTrue(run.is_as_it_was(), "while it is stopped the terminal is the shell's")
            os.kill(run.pid, signal.SIGCONT)
            self.wait_until_taken(run)
            seen = len(run.screen)
            run.send(b"a")
            run.wait_for(lambda got, seen=seen: b"got 0000000000000061" in got[seen:])
        run.send(b"q")
        self.ended(run, 0)

    def test_ctrl_z_while_spinning(self):
        run = self.keys()
        run.send(b"s")
        run.wait_for(b"spinning")
        run.stop()
        self.assertTrue(run.is_as_it_was())
        os.kill(run.pid, signal.SIGCONT)
        self.wait_until_taken(run)
        run.send(CTRL_C)
        self.ended(run, EXIT_SIGINT)

    def test_waiting_for_a_key_in_the_background(self):
        """It is stopped, like any program that reads there, and takes the terminal when it gets it back."""
        run = self.keys()
        run.stop()
        run.go_on_in_background()
        run.wait_for_news(b"stopped")
        self.assertTrue(run.is_as_it_was())
        run.go_on_in_foreground()
        self.wait_until_taken(run)
        run.send(b"q")
        self.ended(run, 0)

    def test_a_debugger_interrupts_a_wait_for_a_key(self):
        run = self.start_on_terminal("-g", guest("keys"), "--gdb", "unix:socket")
        run.wait_for(b"type: gdb")
        with contextlib.closing(Wire(self.path("socket"))) as wire:
            wire.send("vCont;c")
            self.wait_until_taken(run)
            wire.send_raw(b"\x03")
            self.assertTrue(wire.receive().startswith(b"T02"))
            wire.send("k")
            self.ended(run, 0)

    def test_killed_while_stopped(self):
        run = self.keys()
        run.stop()
        os.kill(run.pid, signal.SIGTERM)
        os.kill(run.pid, signal.SIGCONT)
        self.ended(run, EXIT_SIGTERM)

    def test_several_machines(self):
        run = self.start_on_terminal("-g", sample("seed"), guest("keys"), "--console", "2", "--label", "always")
        run.wait_for(b"key? ")
        self.wait_until_taken(run)
        run.send(b"q")
        self.ended(run, 0)

    def test_terminal_that_goes_away(self):
        """A window that is closed ends the program."""
        run = self.keys()
        program = os.pidfd_open(run.pid)
        try:
            os.close(run.master)
            run.master = os.open(os.devnull, os.O_RDWR)
            self.assertTrue(select.select([program], [], [], DEADLINE)[0], "it still runs")
        finally:
            os.close(program)


if __name__ == "__main__":
    main()
