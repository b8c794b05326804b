/*
 * Instructions to be stepped over, one after the other: a debugger sets rip to one of the labels NAME, and the
 * instruction behind it ends at NAME_end. Left alone, the guest only halts.
 */
#include "guest.h"

    guest_start
    end_well

label one_hlt
    hlt
label one_hlt_end
    hlt

    /* 'A' and 'B', then the end */
label one_out
    out %al, $SERIAL
label one_out_end
    out %al, $SERIAL
    hlt

label one_out_dx
    out %al, %dx
label one_out_dx_end
    hlt

label one_in
    in $SERIAL, %al
label one_in_end
    in $SERIAL, %al
label two_in_end
    in $SERIAL, %al
    hlt

label one_in_dx
    in %dx, %al
label one_in_dx_end
    hlt

label other_in
    in $0x60, %eax
label other_in_end
    hlt

label rep_outsb
    rep outsb
label rep_outsb_end
    hlt
label rep_insb
    rep insb
label rep_insb_end
    hlt
label rep_insb_nops
    rep insb
label rep_insb_nops_end
    .rept 4
    nop
    .endr
    hlt
label rep_outsb_nops
    rep outsb
label rep_outsb_nops_end
    .rept 4
    nop
    .endr
    hlt
label rep_movsb
    rep movsb
label rep_movsb_end
    hlt
label rep_stosb
    rep stosb
label rep_stosb_end
    hlt

label one_pushf
    pushfq
label one_pushf_end
    pop %rbx
    hlt
label one_popf
    popfq
label one_popf_end
    nop
    nop
    hlt
label popf_tf
    push $0x102 /* the guest's own trap flag, with a handler of its own */
    popfq
label popf_tf_end
    nop
label popf_tf_after
    pushfq
    pop %rbx
    hlt

label one_iretq
    push $0x10
    push $0x1ff000
    push $2
    push $8
    push $one_iretq_target
label one_iretq_at
    iretq
    ud2
label one_iretq_target
    hlt

label one_sti
    sti
label one_sti_end
    nop
label one_sti_after
    cli
    hlt

label mov_ss
    mov %ax, %ss
label mov_ss_end
    nop
label mov_ss_after
    hlt

label one_fault
    mov 0x40000000, %eax
label one_fault_end
    hlt
label one_divide
    div %ecx
label one_divide_end
    hlt
label one_undefined
    ud2
label one_undefined_end
    hlt
label one_int3
    int3
label one_int3_end
    nop
    hlt
label one_int
    int $0x40
label one_int_end
    nop
    hlt
label to_itself
    jmp to_itself
label a_loop
    loop a_loop
label a_loop_end
    hlt
label a_cpuid
    cpuid
label a_cpuid_end
    hlt
label a_rdtsc
    rdtsc
label a_rdtsc_end
    hlt
label an_rdmsr
    rdmsr
label an_rdmsr_end
    hlt
label a_cr3
    mov %rax, %cr3
label a_cr3_end
    hlt
label a_call
    call a_function
label a_call_end
    hlt
label a_function
    nop
    ret
label far_jump
    ljmp *far_pointer
    ud2
label far_jump_target
    hlt

    /* rax: the counts of a few pushes through a page's border, and of nops */
label many_nops
    .rept 64
    nop
    .endr
label many_nops_end
    hlt

    /* handlers of its own for the exceptions and interrupts above; then a HLT */
label install_handlers
    set_gate 0, skip_two
    set_gate 1, on_debug
    set_gate 3, on_int3
    set_gate 6, skip_two
    set_gate 14, skip_seven
    set_gate 0x40, on_int
    lidt idt_pointer
label installed
    hlt

label skip_two
    addq $2, (%rsp)
    iretq
label skip_seven
    addq $7, 8(%rsp)
    add $8, %rsp
    iretq
label on_int3
    incq int3_count
    iretq
label on_int
    incq int_count
    iretq
label on_debug
    incq debug_count
    andq $~0x100, 16(%rsp)
    iretq

    .data
    .globl int3_count, int_count, debug_count, text_out
int3_count: .quad 0
int_count: .quad 0
debug_count: .quad 0
text_out: .ascii "abcdefgh"
far_pointer: .long far_jump_target
    .word 8
idt_pointer: .word 0xfff
    .quad IDT
