/*
 * Fills all registers of the processor with known values, and looks at them again and again, in ring 3 at what ring 3 sees and
 * in ring 0 at the rest: general registers, flags, x87 and SSE, the upper halves of AVX where there is AVX, segments,
 * control and debug registers, descriptor tables and MSRs. Prints "." for each round in which all is as it was, and a
 * letter for what is not. `rounds` rounds.
 */
#include "guest.h"
#define USER_STACK 0x110000
#define FLAGS 0x8d7 /* CF PF AF ZF SF OF */
#define IF 0x200
#define FXSAVE_SIZE 416
#define CR2 0x0000123456789abc

    .macro expect_equal letter
    je 900f
    movb $\letter, difference
900:
    .endm

    guest_start
    set_gate 13, look
    lidt idt_pointer

    /* MSRs, from a table; those of the bases after the selectors */
    mov $msrs, %ebx
1:  mov (%rbx), %ecx
    test %ecx, %ecx
    jz 2f
    mov 8(%rbx), %eax
    mov 12(%rbx), %edx
    wrmsr
    add $16, %ebx
    jmp 1b
2:  mov $debug_addresses, %ebx
    mov (%rbx), %rax
    mov %rax, %dr0
    mov 8(%rbx), %rax
    mov %rax, %dr1
    mov 16(%rbx), %rax
    mov %rax, %dr2
    mov 24(%rbx), %rax
    mov %rax, %dr3
    movabs $CR2, %rax
    mov %rax, %cr2
    mov $5, %eax
    mov %rax, %cr8
    mov %cr0, %rax
    mov %rax, want_cr0
    mov %cr4, %rax
    mov %rax, want_cr4
    mov %cr3, %rax
    mov %rax, want_cr3
    sgdt want_gdt
    /* is there AVX, and does XCR0 have it? */
    mov $1, %eax
    cpuid
    and $0x18000000, %ecx /* AVX, OSXSAVE */
    cmp $0x18000000, %ecx
    jne 3f
    xor %ecx, %ecx
    xgetbv
    mov %eax, want_xcr0
    mov $7, %eax
    xor %edx, %edx
    xsetbv
    movb $1, has_avx
3:
    push $0x1b
    push $USER_STACK
    push $2
    push $0x23
    push $user
    iretq

    /* ---- ring 3 ---- */

user:
    /* x87 and SSE: control words that are not the usual ones, something on the stack, and 16 registers */
    fninit
    fldpi
    fld1
    fldl2e
    fstp %st(1)
    fldcw control_word
    ldmxcsr control_word + 4
    .macro load_xmm number
    movdqu patterns + 16 * \number, %xmm\number
    .endm
    .macro load_ymm number
    vinsertf128 $1, patterns + 16 * \number + 8, %ymm\number, %ymm\number
    .endm
    .macro store_upper number
    vextractf128 $1, %ymm\number, now_upper + 16 * \number
    .endm
    .altmacro
    .set n, 0
    .rept 16
    load_xmm %n
    .set n, n + 1
    .endr
    cmpb $0, has_avx
    je 1f
    .set n, 0
    .rept 16
    load_ymm %n
    .set n, n + 1
    .endr
    .noaltmacro
1:
    fxsave64 first_fxsave
    mov $general, %r15d
    mov 0(%r15), %rax
    mov 8(%r15), %rbx
    mov 16(%r15), %rcx
    mov 24(%r15), %rdx
    mov 32(%r15), %rsi
    mov 40(%r15), %rdi
    mov 48(%r15), %rbp
    mov 56(%r15), %r8
    mov 64(%r15), %r9
    mov 72(%r15), %r10
    mov 80(%r15), %r11
    mov 88(%r15), %r12
    mov 96(%r15), %r13
    mov 104(%r15), %r14
    mov 112(%r15), %r15

round:
    pushq $FLAGS
    popfq
label spot_1
    nop
    nop
label spot_2
    nop
    nop
    pushfq
    andq $~IF, (%rsp) /* some KVMs show ring 3 one that is set */
    cmpq $FLAGS, (%rsp)
    expect_equal 'F'
    lea 8(%rsp), %rsp
    cmp $USER_STACK, %rsp
    expect_equal 'S'
    .macro check_general offset, register
    cmp general + \offset, \register
    expect_equal 'G'
    .endm
    check_general 0, %rax
    check_general 8, %rbx
    check_general 16, %rcx
    check_general 24, %rdx
    check_general 32, %rsi
    check_general 40, %rdi
    check_general 48, %rbp
    check_general 56, %r8
    check_general 64, %r9
    check_general 72, %r10
    check_general 80, %r11
    check_general 88, %r12
    check_general 96, %r13
    check_general 104, %r14
    check_general 112, %r15
label spot_3
    push %rsi
    push %rdi
    push %rcx
    fxsave64 now_fxsave
    mov $first_fxsave, %esi
    mov $now_fxsave, %edi
    mov $FXSAVE_SIZE / 8, %ecx
    cld
    repe cmpsq
    expect_equal 'X'
    cmpb $0, has_avx
    je 1f
    .altmacro
    .set n, 0
    .rept 16
    store_upper %n
    .set n, n + 1
    .endr
    .noaltmacro
    mov $patterns + 8, %esi
    mov $now_upper, %edi
    mov $2 * 16, %ecx
    repe cmpsq
    expect_equal 'Y'
1:
    cmpq $0x11223344, %fs:0
    expect_equal 'f'
    cmpq $0x55667788, %gs:0
    expect_equal 'g'
    pop %rcx
    pop %rdi
    pop %rsi
label spot_4
    cli /* which ring 3 may not: it calls ring 0 */
label spot_5
    jmp round

    /* ---- ring 0 ---- */

look:
    add $8, %rsp /* the error code */
    incq (%rsp)
    push %rax
    push %rbx
    push %rcx
    push %rdx
    .macro check_control register, wanted
    mov %\register, %rax
    cmp \wanted, %rax
    expect_equal 'C'
    .endm
    movabs $CR2, %rbx
    check_control cr2, %rbx
    check_control cr0, want_cr0
    check_control cr3, want_cr3
    check_control cr4, want_cr4
    check_control cr8, $5
label kernel_spot_1
    .macro check_debug register, wanted
    mov %\register, %rax
    cmp \wanted, %rax
    expect_equal 'D'
    .endm
    check_debug dr0, debug_addresses
    check_debug dr1, debug_addresses + 8
    check_debug dr2, debug_addresses + 16
    check_debug dr3, debug_addresses + 24
    check_debug dr7, $0x400
    mov %dr6, %rax
    test $0xf00f, %eax /* nothing of the debugger's is seen */
    expect_equal 'd'
label kernel_spot_2
    mov $msrs, %ebx
1:  mov (%rbx), %ecx
    test %ecx, %ecx
    jz 2f
    rdmsr
    cmp 8(%rbx), %eax
    expect_equal 'M'
    cmp 12(%rbx), %edx
    expect_equal 'M'
    add $16, %ebx
    jmp 1b
2:  sgdt now_gdt
    mov now_gdt, %rax
    cmp want_gdt, %rax
    expect_equal 'T'
    sidt now_gdt
    mov now_gdt, %rax
    cmp idt_pointer, %rax
    expect_equal 'T'
    xor %eax, %eax
    str %ax
    cmp $0x28, %eax
    expect_equal 'T'
    cmpb $0, has_avx
    je 3f
    xor %ecx, %ecx
    xgetbv
    cmp $7, %eax
    expect_equal 'A'
3:  mov difference, %al
    movb $'.', difference
    out %al, $SERIAL
label kernel_spot_3
    pop %rdx
    pop %rcx
    pop %rbx
    pop %rax
    decq rounds
    jz end
    iretq

label end
    end_well

    .data
    .balign 64
first_fxsave: .fill 512, 1, 0
now_fxsave: .fill 512, 1, 0
now_upper: .fill 256, 1, 0
patterns: /* 16 bytes for each register, and 8 more: upper halves begin 8 bytes on */
    .set n, 0
    .rept 34
    .quad 0x0123456789abcdef + n * 0x1111111111111
    .set n, n + 1
    .endr
general:
    .set n, 1
    .rept 15
    .quad 0xfedcba9876543210 + n * 0x0101010101010101
    .set n, n + 1
    .endr
msrs:
    .quad 0xc0000081, 0x0013000800000000 /* STAR */
    .quad 0xc0000082, 0xffff800000001234 /* LSTAR */
    .quad 0xc0000083, 0xffff800000002345 /* CSTAR */
    .quad 0xc0000084, 0x47700            /* FMASK */
    .quad 0xc0000100, fs_area
    .quad 0xc0000101, gs_area
    .quad 0xc0000102, 0xffff900000000000 /* the other GS base */
    .quad 0x174, 0x8                     /* SYSENTER */
    .quad 0x175, 0x3456
    .quad 0x176, 0x4567
    .quad 0x277, 0x0007010600070106      /* PAT */
    .quad 0
fs_area: .quad 0x11223344
gs_area: .quad 0x55667788
debug_addresses: .quad 0x1111, 0x2222, 0x3333, 0x4444
control_word: .long 0x27f /* double precision */
    .long 0x3f80 /* round down */
want_cr0: .quad 0
want_cr3: .quad 0
want_cr4: .quad 0
want_xcr0: .quad 0
    .globl rounds
rounds: .quad 300
want_gdt: .quad 0, 0
now_gdt: .quad 0, 0
idt_pointer:
    .word 14 * 16 - 1
    .quad IDT
has_avx: .byte 0
difference: .byte '.'
