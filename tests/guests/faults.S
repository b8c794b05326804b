/*
 * Reads a letter, prints the address of the instruction that will fault for it, gives every register a value that can be
 * recognized, and lets it fault.
 */
#include "guest.h"
    .macro fault letter, entry, instruction
    .byte \letter
    .quad \entry, \instruction
    .endm
#define ENTRY_SIZE 17

    .section .rodata
table:
    fault 'd', divide, divide_at
    fault 'u', opcode, opcode
    fault 'r', read, read_at
    fault 'w', write, write
    fault 'e', execute, 0xdead000
    fault 'g', canonical, canonical_at
    fault 'G', selector, selector_at
    fault 's', stack, stack_at
    fault 'S', no_stack, no_stack_at
    fault 'k', user, user_at
    fault 'K', user_privileged, user_privileged_at
    fault 'b', breakpoint, breakpoint
    fault 't', triple, triple_at
    fault 'm', no_memory, no_memory_at
    fault 'i', unsupported, unsupported_at
    fault 'o', user_port, user_port_at
    fault 'n', user_halt, user_halt_at
    fault 'x', no_execute, 0x40000000
    fault 'W', read_only, read_only_at
    fault 'R', reserved, reserved_at
    fault 'p', smep, smep_at
    fault 'a', smap, smap_at
    fault 'z', returned, 0
table_end:

    guest_start
    mov $0, %r10d
    get_char
    label choose
    mov $table, %ebx
1:  cmp (%rbx), %al
    je 2f
    add $ENTRY_SIZE, %rbx
    cmp $table_end, %rbx
    jb 1b
    say "no such fault\n"
    end_well
2:  say "at"
    say_hex 9(%rbx)
    say "\n"
    mov 1(%rbx), %rax
    mov %rax, target
    movabs $0xb0b0b0b0b0b0b0b0, %rbx
    movabs $0x0d0d0d0d0d0d0d0d, %rdx
    movabs $0xc1c1c1c1c1c1c1c1, %rcx
    movabs $0x5151515151515151, %rsi
    movabs $0xd1d1d1d1d1d1d1d1, %rdi
    movabs $0xbebebebebebebebe, %rbp
    movabs $0x0808080808080808, %r8
    movabs $0x0909090909090909, %r9
    movabs $0x1010101010101010, %r10
    movabs $0x1111111111111111, %r11
    movabs $0x1212121212121212, %r12
    movabs $0x1313131313131313, %r13
    movabs $0x1414141414141414, %r14
    movabs $0x1515151515151515, %r15
    jmp *target

divide:
    xor %eax, %eax
    xor %edx, %edx
    xor %ecx, %ecx
divide_at:
    div %ecx
opcode:
    ud2
read:
    movabs $0x700000008, %rax
read_at:
    mov (%rax), %al
write:
    movl $1, 0x200010 /* behind RAM, when that is 2 MB */
execute:
    mov $0xdead000, %eax
    jmp *%rax
canonical:
    movabs $0x8000000000000000, %rax
canonical_at:
    mov (%rax), %al
selector:
    mov $0x48, %eax
selector_at:
    mov %eax, %ds
stack:
    movabs $0x8000000000001000, %rsp
stack_at:
    push %rax
no_stack:
    movabs $0x123456789000, %rsp
no_stack_at:
    ud2

    .macro to_user address
    push $0x1b
    push $0x80000
    push $2
    push $0x23
    push $\address
    iretq
    .endm
user:
    to_user user_code
user_code:
    mov $0x1000000, %eax
user_at:
    mov (%rax), %ecx
user_privileged:
    to_user user_privileged_at
user_privileged_at:
    cli

user_port:
    to_user user_port_at
user_port_at:
    out %al, $SERIAL
user_halt:
    to_user user_halt_at
user_halt_at:
    hlt

breakpoint:
    int3
triple:
    lidt no_idt
triple_at:
    ud2

    /* lead the second gigabyte's start to another place, with a table of this guest's own */
    .macro map_second_gigabyte entry
    movabs $\entry, %rax
    mov %rax, 0x100000
    mov %cr3, %rax
    mov (%rax), %rax
    and $~0xfff, %rax
    movq $0x100003, 8(%rax)
    .endm
no_memory:
    map_second_gigabyte 0x3000083
no_memory_at:
    movl $1, 0x40000123
unsupported:
    map_second_gigabyte 0x3000083
    mov $0x40000000, %ebx
    mov $-1, %eax
    mov $-1, %edx
unsupported_at:
    xsave (%rbx)
no_execute:
    map_second_gigabyte 0x8000000000000083
    mov $0x40000000, %eax
    jmp *%rax
read_only:
    map_second_gigabyte 0x81
read_only_at:
    movl $1, 0x40010000
reserved:
    map_second_gigabyte 0x2083 /* a large page that does not begin where large pages do */
reserved_at:
    mov 0x40000004, %eax

    /* from now on ring 0 may not execute, or not access, pages of ring 3: all of RAM is such */
smep:
    call has_protection
    mov %cr4, %rax
    bts $20, %rax
    mov %rax, %cr4
smep_at:
    nop
smap:
    call has_protection
    mov %cr4, %rax
    bts $21, %rax
    mov %rax, %cr4
smap_at:
    mov 0x80000, %eax

    /* leave all registers as they are; without these protections the guest ends well */
has_protection:
    push %rax
    push %rbx
    push %rcx
    push %rdx
    mov $7, %eax
    xor %ecx, %ecx
    cpuid
    and $0x00100080, %ebx /* SMAP, SMEP */
    cmp $0x00100080, %ebx
    jne 1f
    pop %rdx
    pop %rcx
    pop %rbx
    pop %rax
    ret
1:  say "no such protection\n"
    end_well
returned:
    ret

    .data
target: .quad 0
no_idt: .word 0
    .quad 0
