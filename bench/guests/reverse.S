# A past to go back through: HEAD + TAIL rounds of 8 instructions, each of which writes to one of 64 pages. gdb is to
# find `mark` (offset 4096), which lies TAIL rounds before the end (offset 8192). Both have pages of their own: code in
# the page of a breakpoint is executed one by one.
    .globl _start, mark, end
_start:
    mov $HEAD, %ecx
    xor %eax, %eax
    xor %edx, %edx
    call rounds
    jmp mark
tail:
    mov $TAIL, %ecx
    call rounds
    jmp end

rounds:
    mov %edx, DATA(%rax)
    add $0x1008, %eax
    and $0x3fff8, %eax
    add %ecx, %edx
    rol $3, %edx
    xor $0x55, %edx
    dec %ecx
    jnz rounds
    ret

    .org 4096
mark:
    nop
    jmp tail
    .org 8192
end:
    nop
    hlt

#ifdef NATIVE
    .comm memory, 0x41000, 4096
#endif
