"""Tests of the sample guest `echo`, with unittest: python3 -m unittest test_echo.py"""

import os
import unittest

from mini_hypervisor import MachineTestCase, StopKind, run

GUEST = os.environ.get("GUEST", "echo/guest.elf")


class EchoTest(MachineTestCase):
    def test_conversation(self):
        machine = self.start(GUEST)
        machine.resume()
        machine.wait_for_output(b"> ")
        machine.send(b"hello\n")
        machine.wait_for_output(b"1: hello\n")
        self.assertIs(machine.interrupt().kind, StopKind.INTERRUPTED)
        self.assertEqual(machine.finish().status, 0)

    def test_without_a_debugger(self):
        result = run(GUEST, input=b"one\ntwo\n", timeout=10)
        self.assertIn(b"2: two\n", result.output)
        self.assertEqual(result.status, 0)


if __name__ == "__main__":
    unittest.main()
