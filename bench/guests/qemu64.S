# Where a guest of QEMU's in C begins: from 32-bit protected mode, where a PVH note has it entered, to 64-bit mode with
# SSE and one gigabyte mapped as it is; at the end through the isa-debug-exit device (exit status 33).
    .code32
    .globl _start
_start:
    mov $stack_end, %esp
    mov $pd, %edi
    mov $0x83, %eax # present, writable, large
    mov $512, %ecx
1:  mov %eax, (%edi)
    add $0x200000, %eax
    add $8, %edi
    dec %ecx
    jnz 1b
    movl $pdpt + 3, pml4
    movl $pd + 3, pdpt
    mov $0x620, %eax # PAE, OSFXSR, OSXMMEXCPT
    mov %eax, %cr4
    mov $pml4, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx # EFER
    rdmsr
    or $0x100, %eax # LME
    wrmsr
    mov $0x80000033, %eax # PG, NE, ET, MP, PE
    mov %eax, %cr0
    lgdt gdt_pointer
    ljmp $8, $long_mode

    .code64
long_mode:
    mov $16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    call guest_main
    mov $16, %al
    outb %al, $0xf4
2:  jmp 2b

    .balign 8
gdt:
    .quad 0, 0x00209b0000000000, 0x00cf93000000ffff
gdt_pointer:
    .word . - gdt - 1
    .long gdt

    .bss
    .balign 4096
pml4:
    .space 4096
pdpt:
    .space 4096
pd:
    .space 4096
    .space 65536
stack_end:

    .section .note, "a", @note
    .long 4, 4, 18 # XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long _start
