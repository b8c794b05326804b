/*
 * Brings its own IDT and calls it with int3 and int $0x80 in ring 0; then goes to ring 3, where it computes with SSE and
 * the FPU, and comes back by a privileged instruction.
 */
#include "guest.h"
#define USER_STACK 0x110000

    guest_start
    set_gate 3, breakpoint
    set_gate 13, protection
    set_gate 0x80, call
    lidt idt_pointer
    int3
    say "after int3\n"
    mov $0xca11, %ebx
    int $0x80
    say "after int 0x80, rbx"
    say_hex %rbx
    say "\n"

    push $0x1b
    push $USER_STACK
    push $2
    push $0x23
    push $user
    iretq

user:
    mov $20, %eax
    cvtsi2sd %eax, %xmm0
    addsd %xmm0, %xmm0
    cvtsd2si %xmm0, %rbx
    fld1
    fadd %st(0), %st(0)
    fistpl -8(%rsp)
    add -8(%rsp), %ebx
    cli
never:
    jmp never

breakpoint:
    say "breakpoint, in front of it"
    push %rax
    mov 8(%rsp), %rax
    sub $1, %rax
    cmpb $0xcc, (%rax)
    pop %rax
    je 1f
    say " not"
1:  say " an int3\n"
    iretq

call:
    say "call"
    say_hex %rbx
    say "\n"
    mov $0xbac4, %ebx
    iretq

protection:
    say "from ring 3, rbx"
    say_hex %rbx
    say "\n"
    end_well

    .data
    .balign 8
idt_pointer: .word 0xfff
    .quad IDT
