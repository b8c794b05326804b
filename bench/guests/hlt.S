# Nothing but the end: what starting a machine costs.
    .globl _start
_start:
    hlt
