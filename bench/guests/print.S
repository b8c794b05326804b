# Prints BYTES bytes one by one, in lines of 16: 15 letters and a newline.
    .globl _start
_start:
    mov $(BYTES / 16), %ecx
1:  mov $'a', %al
    .rept 15
    outb %al, $0xe9
    .endr
    mov $'\n', %al
    outb %al, $0xe9
    dec %ecx
    jnz 1b
    hlt
