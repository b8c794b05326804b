# A past to go back through: HEAD + TAIL rounds of 8 instructions, each of which writes to one of 64 pages. gdb is to
# find `mark` (offset 48), which lies TAIL rounds before the end (offset 96).
    .globl _start
_start:
    mov $HEAD, %ecx
    xor %eax, %eax
    xor %edx, %edx
1:  mov %edx, 0x100000(%rax)
    add $0x1008, %eax
    and $0x3fff8, %eax
    add %ecx, %edx
    rol $3, %edx
    xor $0x55, %edx
    dec %ecx
    jnz 1b
    .org 48
    nop
    mov $TAIL, %ecx
2:  mov %edx, 0x100000(%rax)
    add $0x1008, %eax
    and $0x3fff8, %eax
    add %ecx, %edx
    rol $3, %edx
    xor $0x55, %edx
    dec %ecx
    jnz 2b
    .org 96
    nop
    hlt
