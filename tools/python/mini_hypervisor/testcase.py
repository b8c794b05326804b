"""Machines in tests of unittest."""

from __future__ import annotations

import unittest
from typing import Any

from .machine import Machine


class MachineTestCase(unittest.TestCase):
    """A test case whose machines end with each test."""

    def start(self, *arguments: Any, **options: Any) -> Machine:
        """Start a machine, with the arguments of Machine."""
        machine = Machine(*arguments, **options)
        self.addCleanup(machine.close)
        return machine
