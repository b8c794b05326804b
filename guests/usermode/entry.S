/* The ways into and out of ring 3 that C cannot express. guest.c explains the whole. */

/* MH_SEL_USER_DATA and MH_SEL_USER_CODE of mh/guest_abi.h, which is for C only. */
#define USER_DATA 0x1b
#define USER_CODE 0x23

#define VECTOR_PROTECTION_FAULT 13
#define VECTOR_PAGE_FAULT 14

    .text
    .cfi_sections .debug_frame

/*
 * void enter_user(void (*program)(void), void *stack_top): IRET takes five words from the stack and goes where they
 * say. The lowest two bits of the selectors ask for ring 3.
 */
    .globl enter_user
    .type enter_user, @function
enter_user:
    .cfi_startproc
    subq $8, %rsi    /* leave room for a return address, as if the program had been called */
    pushq $USER_DATA /* ss */
    pushq %rsi       /* rsp */
    pushq $2         /* rflags: the bit that is always set, nothing else */
    pushq $USER_CODE /* cs */
    pushq %rdi       /* rip */
    iretq
    .cfi_endproc
    .size enter_user, . - enter_user

/*
 * Where faults come in. The processor has switched to the kernel's stack and pushed ss, rsp, rflags, cs, rip and an
 * error code. Together with what is pushed here they make a struct trap of guest.c: sixteen words, so the stack is
 * aligned as the ABI wants it at a call.
 */
    .globl protection_fault_entry
    .type protection_fault_entry, @function
protection_fault_entry:
    .cfi_startproc simple
    .cfi_signal_frame
    .cfi_def_cfa %rsp, 48
    .cfi_offset %rip, -40
    .cfi_offset %rsp, -16
    pushq $VECTOR_PROTECTION_FAULT
    .cfi_adjust_cfa_offset 8
    jmp save_registers
    .cfi_endproc
    .size protection_fault_entry, . - protection_fault_entry

    .globl page_fault_entry
    .type page_fault_entry, @function
page_fault_entry:
    .cfi_startproc simple
    .cfi_signal_frame
    .cfi_def_cfa %rsp, 48
    .cfi_offset %rip, -40
    .cfi_offset %rsp, -16
    pushq $VECTOR_PAGE_FAULT
    .cfi_adjust_cfa_offset 8

save_registers: /* those that C code may change; it gives the others back as they were */
    pushq %r11
    pushq %r10
    pushq %r9
    pushq %r8
    pushq %rdi
    pushq %rsi
    pushq %rdx
    pushq %rcx
    pushq %rax
    .cfi_adjust_cfa_offset 72
    movq %rsp, %rdi
    cld
    call handle_trap

    popq %rax
    popq %rcx
    popq %rdx
    popq %rsi
    popq %rdi
    popq %r8
    popq %r9
    popq %r10
    popq %r11
    addq $16, %rsp /* vector and error code */
    .cfi_adjust_cfa_offset -88
    iretq
    .cfi_endproc
    .size page_fault_entry, . - page_fault_entry

    .section .note.GNU-stack, "", @progbits
