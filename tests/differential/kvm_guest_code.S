/*
 * Code of the guests of kvm_test.c, which is copied into them: handlers of exceptions, and snippets that compute, store,
 * print, read, and change page tables, MSRs, debug registers and rings. The numbers 0x5a5a0000 and up are holes, which
 * kvm_guest.c fills in.
 */
#include "kvm_guest.h"

#define RANDOM (GUEST_HOLE + GUEST_HOLE_RANDOM)
#define DATA (GUEST_HOLE + GUEST_HOLE_DATA)
#define COUNT (GUEST_HOLE + GUEST_HOLE_COUNT)
#define MSR (GUEST_HOLE + GUEST_HOLE_MSR)
#define PAGE (GUEST_HOLE + GUEST_HOLE_PAGE)
#define PAGE_ENTRY (GUEST_HOLE + GUEST_HOLE_PAGE_ENTRY)
#define OTHER_PAGE (GUEST_HOLE + GUEST_HOLE_OTHER_PAGE)
#define OTHER_ENTRY (GUEST_HOLE + GUEST_HOLE_OTHER_ENTRY)

        .section .rodata

/*
 * What each stub jumps to, after it has pushed an error code, if there is none, and the vector: log the exception, move
 * the return address on by 3, and return. When the log is full, the guest ends.
 */
        .globl  kvm_guest_handler, kvm_guest_handler_end
kvm_guest_handler:
        push    %rax
        push    %rbx
        mov     GUEST_LOG, %rbx
        cmp     $GUEST_LOG_END, %rbx
        jae     1f
        mov     16(%rsp), %rax          /* vector */
        mov     %rax, (%rbx)
        mov     24(%rsp), %rax          /* error code */
        mov     %rax, 8(%rbx)
        mov     32(%rsp), %rax          /* rip */
        mov     %rax, 16(%rbx)
        mov     40(%rsp), %rax          /* cs */
        mov     %rax, 24(%rbx)
        mov     48(%rsp), %rax          /* rflags */
        mov     %rax, 32(%rbx)
        mov     56(%rsp), %rax          /* rsp */
        mov     %rax, 40(%rbx)
        mov     64(%rsp), %rax          /* ss */
        mov     %rax, 48(%rbx)
        mov     %cr2, %rax
        mov     %rax, 56(%rbx)
        add     $64, %rbx
        mov     %rbx, GUEST_LOG
        addq    $3, 32(%rsp)
        pop     %rbx
        pop     %rax
        add     $16, %rsp
        iretq
1:      hlt
kvm_guest_handler_end:

/* rax is where a guest has its own chance: how it comes on */
        .macro  mix
        imul    $(RANDOM | 1), %rax, %rax
        add     $RANDOM, %rax
        .endm

/* rbx: an aligned address in the data, as rax says */
        .macro  point_at_data
        mov     %rax, %rbx
        and     $GUEST_DATA_MASK, %ebx
        add     $GUEST_DATA, %ebx
        .endm

mix:    mix
store_64:
        mix
        point_at_data
        mov     %rax, (%rbx)
store_32:
        mix
        point_at_data
        mov     %eax, (%rbx)
store_8:
        mix
        point_at_data
        mov     %al, (%rbx)
exclusive_or:
        mix
        point_at_data
        xor     %rax, (%rbx)
load:
        point_at_data
        xor     (%rbx), %rcx
        add     (%rbx), %r8
stack:
        push    %rax
        push    %rcx
        pushfq
        pop     %rax
        pop     %rcx
        pop     %rdx
        mix
fill:
        point_at_data
        mov     %rbx, %rdi
        mov     $COUNT, %ecx
        rep stosb
move:
        point_at_data
        mov     %rbx, %rdi
        mov     $COUNT, %ecx
        mov     $DATA, %esi
        rep movsq
output:
        out     %al, $0xe9
input:
        mov     %rax, %r9
        in      $0xe9, %al
        add     %rax, %r10
        add     %r9, %rax
input_string:
        point_at_data
        mov     %rbx, %rdi
        mov     $COUNT, %ecx
        mov     $0xe9, %dx
        rep insb
output_string:
        mov     $DATA, %esi
        mov     $COUNT, %ecx
        mov     $0xe9, %dx
        rep outsl
swap_pages:
        add     PAGE, %rax
        mov     PAGE_ENTRY, %rbx
        add     OTHER_PAGE, %rax
        mov     OTHER_ENTRY, %rcx
        mov     %rcx, PAGE_ENTRY
        invlpg  PAGE
        add     PAGE, %rax
        mov     %rbx, OTHER_ENTRY
        invlpg  OTHER_PAGE
        xor     %ebx, %ebx              /* A and D may differ: see kvm_side.c */
        xor     %ecx, %ecx
        add     OTHER_PAGE, %rax
protect_page:
        mov     $PAGE, %ebx
        xorl    $2, PAGE_ENTRY          /* may it be written? */
        invlpg  (%rbx)
        test    %ebx, %ebx              /* flags that A and D do not show in */
        mov     %cl, (%rbx)
        nop
unmap_page:
        mov     $PAGE, %ebx
        xorl    $1, PAGE_ENTRY          /* is it there? */
        invlpg  (%rbx)
        test    %ebx, %ebx
        add     (%rbx), %ecx
        nop
read_and_write_msr:
        mov     %rax, %r9
        mov     $MSR, %ecx
        rdmsr
        add     %rax, %r10
        mov     %r9d, %eax
        and     $0xfffff, %eax
        xor     %edx, %edx
        wrmsr
        mov     %r9, %rax
debug_register:
        mov     %dr2, %rcx
        add     %rcx, %rax
        mov     %rax, %rbx
        and     $0xffffff, %ebx
        mov     %rbx, %dr2
undefined:
        ud2
        nop
identify:
        mov     %rax, %r9
        mov     $COUNT, %eax
        and     $15, %eax
        mov     $0, %ecx
        cpuid
        add     %rbx, %rax
        add     %r9, %rax
to_ring_3:
        mov     %rsp, %r11
        push    $0x1b                   /* SS, of the guest interface's GDT */
        push    %r11
        push    $2
        push    $0x23                   /* CS */
        push    $(GUEST_HOLE + GUEST_HOLE_AFTER)
        iretq
call_system:
        syscall
        nop
return_from_system:
        mov     $(GUEST_HOLE + GUEST_HOLE_AFTER), %ecx
        mov     $2, %r11d
        sysretq
snippets_end:

/* Where each snippet begins, and behind the last one. */
        .globl  kvm_guest_snippets, kvm_guest_snippets_end
        .section .data.rel.ro, "aw"
        .balign 8
kvm_guest_snippets:
        .quad   mix, store_64, store_32, store_8, exclusive_or, load, stack, fill, move, output, input, input_string
        .quad   output_string, swap_pages, protect_page, unmap_page, read_and_write_msr, debug_register, undefined
        .quad   identify, to_ring_3, call_system, return_from_system, snippets_end
kvm_guest_snippets_end:

        .section .note.GNU-stack, "", @progbits
