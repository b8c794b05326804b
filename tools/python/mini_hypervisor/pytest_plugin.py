"""
A plugin for pytest. The package that installs the module makes it known to pytest; otherwise put

    pytest_plugins = "mini_hypervisor.pytest_plugin"

into conftest.py. It has the fixture `start_machine`, and adds what machines said to the report of a test that failed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from .machine import Machine

MACHINES = pytest.StashKey[list[Machine]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of this plugin."""
    group = parser.getgroup("mini_hypervisor")
    group.addoption("--mini-hypervisor", metavar="PROGRAM",
                    help="the mini_hypervisor to use (default: $MINI_HYPERVISOR, or the one in PATH)")


@pytest.fixture
def start_machine(request: pytest.FixtureRequest) -> Iterator[Callable[..., Machine]]:
    """A function that starts a machine, with the arguments of Machine; all of them end with the test."""
    machines: list[Machine] = request.node.stash.setdefault(MACHINES, [])

    def start(*arguments: Any, **options: Any) -> Machine:
        options.setdefault("program", request.config.getoption("--mini-hypervisor"))
        machine = Machine(*arguments, **options)
        machines.append(machine)
        return machine

    yield start
    for machine in machines:
        machine.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    """Show with a failed test where its machines are, and what they said."""
    outcome = yield
    report = outcome.get_result()
    if call.when == "call" and report.failed:
        for machine in item.stash.get(MACHINES, []):
            report.sections.append((f"machine {machine.name}", f"{machine.stop}\n{machine.report()}"))
