/*
 * Brings its own page tables, GDT, TSS and IDT, goes to ring 3, and handles what happens there and in ring 0 itself: a
 * divide error, whose instruction is skipped, and page faults, whose page is mapped.
 */
#include "guest.h"
#define PML4 0x100000
#define PDPT 0x101000
#define PD 0x102000
#define TSS 0x105000
#define USER_STACK 0x110000
#define RING0_STACK 0x120000
#define ANYWHERE 0x540000 /* behind 4 MB: not in the tables at first */

    guest_start
    mov $0x130000, %esp /* all that follows knows the first 2 MB only */
    movq $PDPT + 7, PML4
    movq $PD + 7, PDPT
    movq $0x87, PD /* the first 2 MB, in one page, for ring 3 too */
    mov $PML4, %eax
    mov %rax, %cr3
    say "own page tables\n"

    movq $RING0_STACK, TSS + 4
    lgdt gdt_pointer
    push $0x18
    push $1f
    lretq
1:  mov $0x20, %eax
    mov %eax, %ss
    mov %eax, %ds
    mov %eax, %es
    mov $0x38, %eax
    ltr %ax
    say "own GDT and TSS, cs"
    xor %eax, %eax
    mov %cs, %ax
    say_hex %rax
    say "\n"

    set_gate 0, divide_handler, selector=0x18
    set_gate 14, page_handler, selector=0x18
    lidt idt_pointer
    xor %ecx, %ecx
    mov $1, %eax
    xor %edx, %edx
    div %ecx
    say "after the divide error\n"
    movl $0x600d, ANYWHERE
    mov ANYWHERE, %eax
    say "after the page fault:"
    say_hex %rax
    say "\n"

    push $0x2b
    push $USER_STACK
    push $2
    push $0x33
    push $user
    iretq

user:
    /* ring 3 may use no port: everything it has to report is in what it faults with */
    mov $0xbeef, %ebx
    mov 0x600000, %eax
never:
    jmp never

divide_handler:
    say "divide error at ring 0\n"
    addq $2, (%rsp)
    iretq

page_handler:
    testb $4, (%rsp)
    jnz from_user
    say "page fault, cr2"
    mov %cr2, %rax
    say_hex %rax
    say "\n"
    movq $0x83, PD + 16 /* 4 MB leads to physical 0 */
    add $8, %rsp
    iretq
from_user:
    say "page fault of ring 3, rbx"
    say_hex %rbx
    mov (%rsp), %rdx
    say ", error"
    say_hex %rdx
    say "\n"
    end_well

    .data
    .balign 8
gdt:
    .quad 0, 0, 0
    .quad 0x00af9b000000ffff /* 0x18: code */
    .quad 0x00cf93000000ffff /* 0x20: data */
    .quad 0x00cff3000000ffff /* 0x28: data for ring 3 */
    .quad 0x00affb000000ffff /* 0x30: code for ring 3 */
    .quad 0x0000890000000067 | (TSS & 0xffff) << 16 | (TSS >> 16) << 32 /* 0x38: TSS */
    .quad 0
gdt_pointer: .word gdt_pointer - gdt - 1
    .quad gdt
idt_pointer: .word 0xfff
    .quad IDT
