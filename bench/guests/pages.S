# What snapshots are measured with: each round writes to 100 pages, from 1 MB on.
    .globl _start
_start:
    mov $0x100000, %edi
    mov $100, %ecx
1:  incq (%rdi)
    add $0x1000, %edi
    dec %ecx
    jnz 1b
    nop # offset 23: the end of a round
    jmp _start
