/*
 * What the assembly guests share. A guest starts with `guest_start`, and can then use
 *
 *     say "text"      print it
 *     put_char 'c'    print one byte
 *     get_char        the next byte of the input in al
 *     say_hex %reg    print " " and 16 hexadecimal digits
 *     end_well        hlt
 *     label name      a label that debuggers know
 *     set_gate 3, handler[, type, selector]   a gate in a table of the guest's own, at IDT; it uses eax
 *
 * All but end_well keep every register, except get_char al. They use the stack.
 */
#define SERIAL 0xe9
#define IDT 0x104000

    .macro label name
    .globl \name
\name:
    .endm

    .macro set_gate vector, handler, type=0x8e00, selector=8
    mov $\handler, %eax
    mov %ax, IDT + 16 * \vector
    movw $\selector, IDT + 16 * \vector + 2
    movw $\type, IDT + 16 * \vector + 4
    shr $16, %eax
    mov %ax, IDT + 16 * \vector + 6
    .endm

    .macro guest_start
    .section .start, "ax"
    .globl _start
    jmp _start

print_text: /* rsi: text that ends with a NUL */
    push %rax
    push %rsi
1:  mov (%rsi), %al
    inc %rsi
    test %al, %al
    jz 2f
    out %al, $SERIAL
    jmp 1b
2:  pop %rsi
    pop %rax
    ret

print_hex: /* rax: the number */
    push %rax
    push %rbx
    push %rcx
    mov %rax, %rbx
    mov $' ', %al
    out %al, $SERIAL
    mov $16, %ecx
1:  rol $4, %rbx
    mov %bl, %al
    and $15, %al
    add $'0', %al
    cmp $'9', %al
    jbe 2f
    add $('a' - '9' - 1), %al
2:  out %al, $SERIAL
    dec %ecx
    jnz 1b
    pop %rcx
    pop %rbx
    pop %rax
    ret
_start:
    .endm

    .macro say text
    push %rsi
    mov $700f, %esi
    call print_text
    pop %rsi
    .section .rodata
700: .asciz "\text"
    .previous
    .endm

    .macro say_hex value
    push %rax
    mov \value, %rax
    call print_hex
    pop %rax
    .endm

    .macro put_char c
    push %rax
    mov $\c, %al
    out %al, $SERIAL
    pop %rax
    .endm

    .macro get_char
    in $SERIAL, %al
    .endm

    .macro end_well
800: hlt
    jmp 800b
    .endm
