/*
 * What a debugger must not disturb, and must not be disturbed by. A letter chooses a part; or a debugger sets rip to its
 * label.
 *
 *   t  steps itself with the trap flag          x, w  an execute and a write breakpoint of its own
 *   f  a fault whose handler returns to the instruction      F  ... and to another place
 *   s  goes to ring 3 with SYSRET, and comes back with SYSCALL
 *   c  raises and lowers CR8                    m  maps 1 GB to the first 2 MB, and writes through it
 *   3  an int3 without a handler, and continues
 *
 * Its #DB handler prints rip and DR6 of each debug exception.
 */
#include "guest.h"
#define TF 0x100
#define RF 0x10000
#define GIGABYTE 0x40000000

    .macro part letter, entry
    cmp $\letter, %al
    je \entry
    .endm

    guest_start
    get_char
    part 't', own_steps
    part 'x', own_execute
    part 'w', own_write
    part 'f', faults
    part 'F', faults_elsewhere
    part 's', syscalls
    part 'c', cr8
    part 'm', map
    part '3', with_int3
    say "no such part\n"
    end_well

install_handlers:
    set_gate 0, on_divide
    set_gate 1, on_debug
    lidt idt_pointer
    ret

    /* ---- debugging itself ---- */

label own_steps
    call install_handlers
    pushfq
    orq $TF, (%rsp)
    popfq
label own_step_1
    nop
label own_step_2
    nop
label own_step_3
    pushfq
label own_step_4
    andq $~TF, (%rsp)
label own_step_5
    popfq
label own_step_6
    nop
    say "end\n"
    end_well

label own_execute
    call install_handlers
    mov $own_executed, %eax
    mov %rax, %dr0
    mov $0x402, %eax /* G0 */
    mov %rax, %dr7
    nop
label own_executed
    nop
label own_executed_end
    mov $0x400, %eax
    mov %rax, %dr7
    say "end\n"
    end_well

label own_write
    call install_handlers
    mov $cell, %eax
    mov %rax, %dr1
    mov $0xd00408, %eax /* G1, four bytes, writes */
    mov %rax, %dr7
    mov cell, %ebx
label own_store
    movl $1, cell
label own_stored
    nop
    mov $0x400, %eax
    mov %rax, %dr7
    say "end\n"
    end_well

on_debug:
    push %rax
    say "#DB"
    mov 8(%rsp), %rax
    say_hex %rax
    mov %dr6, %rax
    say_hex %rax
    say "\n"
    mov $0xffff0ff0, %eax
    mov %rax, %dr6
    pop %rax
    orq $RF, 16(%rsp)
    iretq

    /* ---- returning from a handler ---- */

label faults
    call install_handlers
    movl $0, elsewhere
    jmp divide
label faults_elsewhere
    call install_handlers
    movl $other_place, elsewhere
divide:
    xor %eax, %eax
    xor %edx, %edx
    xor %ecx, %ecx
label faulting
    div %ecx
label divided
    say "divided\n"
    end_well
label other_place
    nop
    say "elsewhere\n"
    end_well

label on_divide
    mov $1, %ecx
    orq $RF, 16(%rsp) /* as the processor does for faults */
    cmpl $0, elsewhere
    je 1f
    mov elsewhere, %edx
    mov %rdx, (%rsp)
1:
label on_divide_iret
    iretq

    /* ---- SYSCALL and SYSRET ---- */

label syscalls
    mov $0xc0000081, %ecx /* STAR */
    xor %eax, %eax
    mov $0x00130008, %edx
    wrmsr
    inc %ecx /* LSTAR */
    mov $kentry, %eax
    xor %edx, %edx
    wrmsr
    mov $0xc0000084, %ecx /* FMASK */
    mov fmask, %eax
    wrmsr
    mov $user, %ecx
    mov $2, %r11d
label to_ring_3
    sysretq
label user
    mov $1, %ebx
label user_syscall
    syscall
label user_back
    mov $3, %ebx
label user_last
    syscall
label kentry
    mov %r11, %r12
label kentry_1
    cmp $3, %ebx
    jne kernel_return
    mov $'Y', %al
    out %al, $SERIAL
    end_well
label kernel_return
    sysretq

    /* ---- CR8 ---- */

label cr8
    mov $5, %eax
    mov %rax, %cr8
label cr8_raised
    mov $3, %eax
    mov %rax, %cr8
label cr8_lowered
    mov %cr8, %rbx
    add $'0', %bl
    mov %bl, %al
    out %al, $SERIAL
label cr8_printed
    xor %eax, %eax
    mov %rax, %cr8
    mov %cr8, %rbx
    add $'0', %bl
    mov %bl, %al
    out %al, $SERIAL
    end_well

    /* ---- memory that is not there yet ---- */

label map
    mov %cr3, %rbx
    mov (%rbx), %rax
    and $~0xfff, %rax
    movq $0x100003, 8(%rax)
    movq $0x83, 0x100000
label mapped
    incl GIGABYTE + cell
label incremented
    mov GIGABYTE + cell, %ecx
label cell_read
    mov $GIGABYTE + far_away, %eax
    jmp *%rax
label far_away
    nop
    say "far away\n"
    end_well

label with_int3
    mov $1, %ebx
label its_int3
    int3
label behind_int3
    mov $2, %ebx
    say "went on\n"
    end_well

label never
    jmp never

    .data
    .balign 8
    .globl cell, fmask
cell: .quad 41
fmask: .long 0x47700 /* what Linux masks: TF among it */
elsewhere: .long 0
idt_pointer:
    .word 2 * 16 - 1
    .quad IDT
