/* Prints the state a guest finds, a register a line: "name", and its value. */
#include "guest.h"
    .macro show name, value
    say "\name"
    say_hex \value
    put_char '\n'
    .endm
    .macro show_segment name
    mov $0, %eax
    mov %\name, %ax
    show \name, %rax
    .endm

    /* the first instruction is the guest's entry: keep what it finds before anything changes it */
    .section .start, "ax"
    jmp first
    guest_start
first:
    mov %rsp, saved_rsp
    pushfq
    pop saved_flags
    mov %rax, saved_rax
    show rax, saved_rax
    show rbx, %rbx
    show rcx, %rcx
    show rdx, %rdx
    show rsi, %rsi
    show rdi, %rdi
    show rbp, %rbp
    show rsp, saved_rsp
    show r8, %r8
    show r9, %r9
    show r10, %r10
    show r11, %r11
    show r12, %r12
    show r13, %r13
    show r14, %r14
    show r15, %r15
    show rflags, saved_flags
    mov %cr0, %rax
    show cr0, %rax
    mov %cr3, %rax
    show cr3, %rax
    mov %cr4, %rax
    show cr4, %rax
    mov $0xc0000080, %ecx
    rdmsr
    shl $32, %rdx
    mov %eax, %eax
    or %rdx, %rax
    show efer, %rax
    show_segment cs
    show_segment ds
    show_segment es
    show_segment fs
    show_segment gs
    show_segment ss
    xor %eax, %eax
    str %ax
    show tr, %rax
    sub $16, %rsp
    sgdt (%rsp)
    mov 2(%rsp), %rax
    show gdt, %rax
    sidt (%rsp)
    mov 2(%rsp), %rax
    show idt, %rax
    end_well
    .data
saved_rax: .quad 0
saved_flags: .quad 0
saved_rsp: .quad 0
