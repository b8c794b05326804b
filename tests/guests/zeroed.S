/* Looks for a byte that is not zero between the end of this image and the return address on top of the stack. */
#include "guest.h"
    .section .start, "ax"
    .globl _start
_start:
    mov %rsp, %rcx
    mov $0x10000, %edi /* past this image */
    sub %rdi, %rcx
    shr $3, %rcx
    xor %eax, %eax
    cld
    repe scasq
    mov $'0', %al
    je 1f
    mov $'1', %al
1:  out %al, $SERIAL
    end_well
