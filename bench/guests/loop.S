# What the debuggers of tools/bench step through: the same bytes in 32-bit and 64-bit code, 1002 instructions a round.
# bench/gdb_client.c knows the offsets.
    .globl _start
_start:
    mov $250, %ecx
1:  add $1, %eax # offset 5: where breakpoints go
    xor %eax, %ebx
    sub $1, %ecx
    jnz 1b
    jmp _start # offset 15: outside of the range that is stepped through

#ifdef NATIVE
    .data # linked to where the machines have free memory
    .space 0x20000
#endif

#ifdef PVH
    .section .note, "a", @note
    .long 4, 4, 18 # XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long _start
#endif
