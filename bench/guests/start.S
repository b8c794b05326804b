# Where a guest in C begins.
    .section .start, "ax"
    .globl _start
_start:
    call guest_main
    hlt
