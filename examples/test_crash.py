"""
Tests of the sample guest `crash`, with pytest. In the directory with the samples, once they are built:

    pytest test_crash.py
"""

import os

from mini_hypervisor import StopKind

GUEST = os.environ.get("GUEST", "crash/guest.elf")


def test_first_student_gets_a_ten(start_machine):
    machine = start_machine(GUEST)
    machine.run_to("record_grade")
    assert machine.registers.rsi == 10
    machine.watch("ada", 4)
    machine.run()
    assert machine.value("ada", 4) == 10
    assert b"student 0:" in machine.output


def test_who_wrote_the_grade(start_machine):
    machine = start_machine(GUEST)
    assert machine.run().kind is StopKind.CRASHED
    machine.watch("ada", 4)
    stop = machine.run_back()
    assert "set_grade" in stop.location
    assert machine.value("ada", 4) == 0  # before the write


def test_only_the_second_student_crashes(start_machine):
    machine = start_machine(GUEST)
    second = machine.break_at("set_grade", condition=lambda m: m.registers.rsi == 9)
    machine.run()
    machine.registers.rdi = machine.address("ada")
    second.delete()
    assert machine.run().kind is StopKind.HALTED
    assert machine.finish().status == 0
