/*
 * Goes to ring 3 and executes a few instructions there: with the exception table it starts with, so that the INT3 is its
 * end; or, entered at with_handlers, with one of its own for #BP and #GP; or, at with_one_handler, for #GP alone.
 */
#include "guest.h"
#define USER_STACK 0x110000

    guest_start
    jmp start

label with_handlers
    set_gate 3, int3_handler, 0xee00 /* ring 3 may */
label with_one_handler
    set_gate 13, protection_handler, 0x8e00
    lidt idt_pointer
    put_char '\n' /* an exit, at which the debugger's side sees the new table */
start:
    push $0x1b
    push $USER_STACK
    push $2
    push $0x23
    push $user
label to_ring_3
    iretq

label user
    mov $1, %eax
label user_1
    pushfq
label user_2
    mov %rax, counter
label user_3
    pop %rbx
label user_int3
    int3
label user_end
    cli
label never
    jmp never
    jmp never

label int3_handler
    say "int3\n"
    iretq
label protection_handler
    say "#GP\n"
    end_well

    .balign 8
label counter
    .quad 0
idt_pointer:
    .word 14 * 16 - 1
    .quad IDT
