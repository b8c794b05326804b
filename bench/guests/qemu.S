# What QEMU's -kernel starts without a boot sector: an ELF file with a PVH note, entered in 32-bit protected mode. It
# prints BYTES bytes on port 0xe9 and leaves through the isa-debug-exit device at 0xf4 (exit status 33).
    .code32
    .globl _start
_start:
    mov $BYTES, %ecx
    jecxz 2f
1:  mov $'a', %al
    outb %al, $0xe9
    dec %ecx
    jnz 1b
2:  mov $16, %al
    outb %al, $0xf4
3:  jmp 3b

    .section .note, "a", @note
    .long 4, 4, 18 # XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long _start
