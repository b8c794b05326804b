/*
 * Survives what its cells do: every interrupt leads on to the next of them. What follows this image is cells of 64 bytes
 * each, as many as there are. The first instruction of each is `incl COUNT`; a cell that ends well runs into the next.
 */
#include "guest.h"
#define TABLE 0x100000
#define COUNT 0x101000
#define STACK 0x180000
#define CELL_SHIFT 6

    guest_start
    mov $TABLE, %edi
    mov $256, %ecx
1:  movl $(0x08 << 16), (%rdi) /* selector, and a handler below 64 KB */
    movw $survive, (%rdi)
    movw $0x8e01, 4(%rdi) /* an interrupt gate on IST 1, whose stack no cell moves by accident */
    add $16, %edi
    loop 1b
    lidt idt_register
    jmp cells

survive:
    mov $STACK, %esp
    mov COUNT, %eax
    shl $CELL_SHIFT, %eax
    add $cells, %eax
    jmp *%rax

    .data
idt_register: .word 256 * 16 - 1
    .quad TABLE
    .balign 1 << CELL_SHIFT
cells:
