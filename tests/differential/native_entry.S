/*
 * Enters and leaves code that runs natively with registers of its own. `native_frame` is the only memory used while
 * the stack pointer is the guest's.
 */
#include "native_frame.h"

        .text

/* void native_enter(void): loads everything from native_frame; native_leave() returns from it */
        .globl  native_enter
        .type   native_enter, @function
native_enter:
        push    %rbx
        push    %rbp
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        mov     %rsp, native_frame+FRAME_HOST_RSP(%rip)
        rdfsbase %rax
        mov     %rax, native_frame+FRAME_HOST_FS(%rip)
        rdgsbase %rax
        mov     %rax, native_frame+FRAME_HOST_GS(%rip)
        mov     native_frame+FRAME_MASK(%rip), %eax
        xor     %edx, %edx
        lea     native_frame+FRAME_XSAVE(%rip), %rcx
        xrstor64 (%rcx)
        mov     native_frame+FRAME_FS(%rip), %rax
        wrfsbase %rax
        mov     native_frame+FRAME_GS(%rip), %rax
        wrgsbase %rax
        lea     native_frame+FRAME_GPR(%rip), %rdi
        mov     0*8(%rdi), %rax
        mov     1*8(%rdi), %rcx
        mov     2*8(%rdi), %rdx
        mov     3*8(%rdi), %rbx
        mov     5*8(%rdi), %rbp
        mov     6*8(%rdi), %rsi
        mov     8*8(%rdi), %r8
        mov     9*8(%rdi), %r9
        mov     10*8(%rdi), %r10
        mov     11*8(%rdi), %r11
        mov     12*8(%rdi), %r12
        mov     13*8(%rdi), %r13
        mov     14*8(%rdi), %r14
        mov     15*8(%rdi), %r15
        pushq   native_frame+FRAME_RFLAGS(%rip)
        popfq
        mov     4*8(%rdi), %rsp
        mov     7*8(%rdi), %rdi
        jmp     *native_frame+FRAME_RIP(%rip)
        .size   native_enter, . - native_enter

/* void native_leave(void): never returns to its caller */
        .globl  native_leave
        .type   native_leave, @function
native_leave:
        mov     native_frame+FRAME_HOST_RSP(%rip), %rsp
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbp
        pop     %rbx
        ret
        .size   native_leave, . - native_leave

/*
 * The signal handler. Linux leaves AC, NT, segments and their bases as they were; C code needs its own. The selectors
 * of a process are 0 in DS, ES, FS and GS.
 */
        .globl  native_signal_entry
        .type   native_signal_entry, @function
native_signal_entry:
        pushfq
        andq    $~0x44500, (%rsp)
        popfq
        cmpl    $0, native_frame+FRAME_RUNNING(%rip)
        je      native_signal
        rdfsbase %rax
        mov     %rax, native_frame+FRAME_FS_AFTER(%rip)
        rdgsbase %rax
        mov     %rax, native_frame+FRAME_GS_AFTER(%rip)
        xor     %ecx, %ecx
        mov     %ds, %eax
        mov     %ax, native_frame+FRAME_DS(%rip)
        mov     %es, %eax
        mov     %ax, native_frame+FRAME_ES(%rip)
        mov     %fs, %eax
        mov     %ax, native_frame+FRAME_FS_SELECTOR(%rip)
        mov     %gs, %eax
        mov     %ax, native_frame+FRAME_GS_SELECTOR(%rip)
        cmpq    $0, native_frame+FRAME_DS(%rip)
        je      1f
        mov     %ecx, %ds
        mov     %ecx, %es
        mov     %ecx, %fs
        mov     %ecx, %gs
1:
        mov     native_frame+FRAME_HOST_FS(%rip), %rax
        wrfsbase %rax
        mov     native_frame+FRAME_HOST_GS(%rip), %rax
        wrgsbase %rax
        jmp     native_signal
        .size   native_signal_entry, . - native_signal_entry

        .section .note.GNU-stack,"",@progbits
