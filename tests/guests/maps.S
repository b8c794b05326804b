/*
 * Maps memory while it runs. At 1 GB it puts, by turns, one of two pages of 4 KB, each with a copy of `piece` and a number
 * of its own (1 or 2) behind it; calls the copy, which adds the number to `sum`; writes to the number; and unmaps the page
 * again. `rounds` rounds, of two pages each.
 */
#include "guest.h"
#define AT 0x40000000
#define PAGE_1 0x120000
#define PAGE_2 0x130000
#define TABLES 0x140000 /* a page directory and a page table */
#define NUMBER 0x100

    .macro page address, number
    mov $piece, %esi
    mov $\address, %edi
    mov $piece_end - piece, %ecx
    rep movsb
    movq $\number, \address + NUMBER
    .endm

    guest_start
    page PAGE_1, 1
    page PAGE_2, 2
    mov %cr3, %rax
    mov (%rax), %rax
    and $~0xfff, %rax
    movq $TABLES + 3, 8(%rax)
    movq $TABLES + 0x1003, TABLES
label ready
again:
    mov $PAGE_1 + 3, %ebx
    call use
label between
    mov $PAGE_2 + 3, %ebx
    call use
    decq rounds
    jnz again
label done
    say_hex sum
    say "\n"
    end_well

/* Map the page with this entry, call what is in it, write to it, and unmap it. */
use:
    mov %rbx, TABLES + 0x1000
    invlpg AT
    mov $AT, %eax
    call *%rax
label written
    addq $10, AT + NUMBER
label behind
    movq $0, TABLES + 0x1000
    invlpg AT
    ret

/* Runs at AT. */
piece:
    nop
    mov AT + NUMBER, %rax
    add %rax, sum
    ret
piece_end:

    .data
label sum
    .quad 0
label rounds
    .quad 3
