# Waits for a byte, so that its machine can be looked at while it exists. Touches no page but this one.
    .globl _start
_start:
    inb $0xe9, %al
    hlt
