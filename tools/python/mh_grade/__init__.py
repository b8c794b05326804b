"""Grades a class: runs every submission against a suite of tests on mini_hypervisor. See docs/grading.md."""
