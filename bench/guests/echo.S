# Prints and reads BYTES bytes, one by one.
    .globl _start
_start:
    mov $BYTES, %ecx
1:  inb $0xe9, %al
    outb %al, $0xe9
    dec %ecx
    jnz 1b
    hlt
