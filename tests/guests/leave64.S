/* Leaves 64-bit mode, in the way that the byte read from the serial port names. It never comes back. */
#include "guest.h"

    .set CODE_32, 0x30
    .set DATA_32, 0x38

    guest_start
    lgdt gdt_register
    get_char
    cmp $'h', %al /* a far return to 32-bit code, which halts */
    je to_halt
    cmp $'u', %al /* ... which runs into an exception */
    je to_fault
    cmp $'p', %al /* ... which turns off paging, and with it long mode */
    je to_protected
    cmp $'l', %al /* ... which loops */
    je to_loop
    cmp $'i', %al /* IRETQ */
    je by_iret
    end_well

to_halt:
    mov $halt32, %eax
    jmp far_return
to_fault:
    mov $fault32, %eax
    jmp far_return
to_protected:
    mov $protected32, %eax
    jmp far_return
to_loop:
    mov $loop32, %eax
    jmp far_return

    label far_return
    push $CODE_32
    push %rax
    lretq

    label by_iret
    mov %rsp, %rax
    push $DATA_32
    push %rax
    pushfq
    push $CODE_32
    push $halt32
    iretq

    .code32
halt32:
    hlt
fault32:
    ud2
protected32:
    mov %cr0, %eax
    and $0x7fffffff, %eax
    mov %eax, %cr0
    hlt
    label loop32
    jmp loop32
    .code64

    .data
    .balign 8
gdt:
    .quad 0
    .quad 0x00af9b000000ffff /* 64-bit code, data, as at the start */
    .quad 0x00cf93000000ffff
    .quad 0x00cff3000000ffff
    .quad 0x00affb000000ffff
    .quad 0
    .quad 0x00cf9b000000ffff /* 32-bit code and data */
    .quad 0x00cf93000000ffff
gdt_register:
    .word gdt_register - gdt - 1
    .quad gdt
