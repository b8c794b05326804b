/*
 * The vector and x87 instructions of the host, each in one canonical form.
 *
 * A stub is the very opcode that a guest executes, with the operands in registers that are always the same, and a RET:
 *
 *     ModRM.reg    xmm0, ymm0, mm0 or eax     (destination)
 *     ModRM.rm     xmm1, ymm1, mm1 or ecx
 *     VEX.vvvv     xmm0, ymm0                 (first source; 1111b, so the stub also fits where vvvv is unused)
 *     of FMA       xmm2, ymm2, because the destination is a source there
 *     VEX /is4     xmm3, ymm3
 *
 * Stubs stand in tables of 256, 8 bytes each, by the last opcode byte; of an instruction with an immediate byte there
 * are 256 stubs, by the immediate. So soft_simd_table.c computes addresses, and this file names no mnemonic.
 * What no row of soft_simd_table.c leads to is filled with INT3.
 *
 * The functions at the end load the operands, call a stub and store the results (host_x86_64_simd.h).
 */

    .section .note.GNU-stack, "", @progbits
    .text

/* ---- tables by opcode ---- */

/* Does `op` of map 0F have a stub? Sets `has`. */
.macro has_0f op
    .set has, 0
    .if \op == 0x12 || (\op >= 0x14 && \op <= 0x16) || (\op >= 0x2a && \op <= 0x2f) || (\op >= 0x50 && \op <= 0x6d)
        .set has, 1
    .endif
    .if (\op >= 0x74 && \op <= 0x76) || \op == 0x7c || \op == 0x7d || (\op >= 0xd0 && \op <= 0xfe)
        .set has, 1
    .endif
.endm

/* \prefix is the mandatory one or 0. */
.macro table_0f name, prefix
    .balign 64
    .global \name
\name:
    .set op, 0
    .rept 256
        .balign 8, 0xcc
        has_0f op
        .if has
            .if \prefix
                .byte \prefix
            .endif
            .byte 0x0f, op, 0xc1, 0xc3
        .else
            .quad 0xcccccccccccccccc
        .endif
        .set op, op + 1
    .endr
    .balign 8, 0xcc
.endm

table_0f host_simd_0f_np, 0
table_0f host_simd_0f_66, 0x66
table_0f host_simd_0f_f3, 0xf3
table_0f host_simd_0f_f2, 0xf2

/* Conversions between scalars and 64-bit general registers: opcodes 2A to 2D with REX.W. */
.macro table_convert_64 name, prefix
    .balign 8, 0xcc
    .global \name
\name:
    .irp op, 0x2a, 0x2b, 0x2c, 0x2d
        .balign 8, 0xcc
        .byte \prefix, 0x48, 0x0f, \op, 0xc1, 0xc3
    .endr
    .balign 8, 0xcc
.endm

table_convert_64 host_simd_convert_64_f3, 0xf3
table_convert_64 host_simd_convert_64_f2, 0xf2

.macro table_0f38 name, prefix
    .balign 64, 0xcc
    .global \name
\name:
    .set op, 0
    .rept 256
        .balign 8, 0xcc
        .if op <= 0x41 || (op >= 0xdb && op <= 0xdf)
            .if \prefix
                .byte \prefix
            .endif
            .byte 0x0f, 0x38, op, 0xc1, 0xc3
        .else
            .quad 0xcccccccccccccccc
        .endif
        .set op, op + 1
    .endr
    .balign 8, 0xcc
.endm

table_0f38 host_simd_0f38_np, 0
table_0f38 host_simd_0f38_66, 0x66

/* VEX.256 of map 0F, with W=0; \pp is VEX.pp. */
.macro table_vex_0f name, pp
    .balign 64, 0xcc
    .global \name
\name:
    .set op, 0
    .rept 256
        .balign 8, 0xcc
        has_0f op
        .if has
            .byte 0xc5, 0xfc | \pp, op, 0xc1, 0xc3
        .else
            .quad 0xcccccccccccccccc
        .endif
        .set op, op + 1
    .endr
    .balign 8, 0xcc
.endm

table_vex_0f host_simd_vex256_0f_np, 0
table_vex_0f host_simd_vex256_0f_66, 1
table_vex_0f host_simd_vex256_0f_f3, 2
table_vex_0f host_simd_vex256_0f_f2, 3

/* VEX.66.0F38; \w and \l are VEX.W and VEX.L. FMA, 96 to BF, has its third operand in xmm2. */
.macro table_vex_0f38 name, w, l
    .balign 64, 0xcc
    .global \name
\name:
    .set op, 0
    .rept 256
        .balign 8, 0xcc
        .if (op >= 0x96 && op <= 0xbf)
            .byte 0xc4, 0xe2, \w << 7 | 0x68 | \l << 2 | 1, op, 0xc1, 0xc3
        .elseif op <= 0x5a
            .byte 0xc4, 0xe2, \w << 7 | 0x78 | \l << 2 | 1, op, 0xc1, 0xc3
        .else
            .quad 0xcccccccccccccccc
        .endif
        .set op, op + 1
    .endr
    .balign 8, 0xcc
.endm

table_vex_0f38 host_simd_vex128_0f38_w0, 0, 0
table_vex_0f38 host_simd_vex128_0f38_w1, 1, 0
table_vex_0f38 host_simd_vex256_0f38_w0, 0, 1
table_vex_0f38 host_simd_vex256_0f38_w1, 1, 1

/* ---- tables by immediate ---- */

.macro by_immediate name, bytes:vararg
    .balign 8, 0xcc
    .global \name
\name:
    .set imm, 0
    .rept 256
        .balign 8, 0xcc
        .byte \bytes, 0xc1, imm, 0xc3
        .set imm, imm + 1
    .endr
    .balign 8, 0xcc
.endm

by_immediate host_imm_np_0f_70, 0x0f, 0x70
by_immediate host_imm_66_0f_70, 0x66, 0x0f, 0x70
by_immediate host_imm_f3_0f_70, 0xf3, 0x0f, 0x70
by_immediate host_imm_f2_0f_70, 0xf2, 0x0f, 0x70
by_immediate host_imm_np_0f_c2, 0x0f, 0xc2
by_immediate host_imm_66_0f_c2, 0x66, 0x0f, 0xc2
by_immediate host_imm_f3_0f_c2, 0xf3, 0x0f, 0xc2
by_immediate host_imm_f2_0f_c2, 0xf2, 0x0f, 0xc2
by_immediate host_imm_np_0f_c6, 0x0f, 0xc6
by_immediate host_imm_66_0f_c6, 0x66, 0x0f, 0xc6
by_immediate host_imm_np_0f3a_0f, 0x0f, 0x3a, 0x0f

.irp op, 08, 09, 0a, 0b, 0c, 0d, 0e, 0f, 21, 40, 41, 42, 44, 60, 61, 62, 63, df
    by_immediate host_imm_66_0f3a_\op, 0x66, 0x0f, 0x3a, 0x\op
.endr

/* Comparisons with VEX have 32 predicates, so that VEX.128 cannot share the stubs of SSE. */
by_immediate host_imm_vex128_np_0f_c2, 0xc5, 0xf8, 0xc2
by_immediate host_imm_vex128_66_0f_c2, 0xc5, 0xf9, 0xc2
by_immediate host_imm_vex128_f3_0f_c2, 0xc5, 0xfa, 0xc2
by_immediate host_imm_vex128_f2_0f_c2, 0xc5, 0xfb, 0xc2
by_immediate host_imm_vex256_np_0f_c2, 0xc5, 0xfc, 0xc2
by_immediate host_imm_vex256_66_0f_c2, 0xc5, 0xfd, 0xc2
by_immediate host_imm_vex256_np_0f_c6, 0xc5, 0xfc, 0xc6
by_immediate host_imm_vex256_66_0f_c6, 0xc5, 0xfd, 0xc6
by_immediate host_imm_vex256_66_0f_70, 0xc5, 0xfd, 0x70
by_immediate host_imm_vex256_f3_0f_70, 0xc5, 0xfe, 0x70
by_immediate host_imm_vex256_f2_0f_70, 0xc5, 0xff, 0x70

.irp op, 02, 04, 05, 1d
    by_immediate host_imm_vex128_66_0f3a_\op, 0xc4, 0xe3, 0x79, 0x\op
.endr
.irp op, 02, 04, 05, 06, 08, 09, 0c, 0d, 0e, 0f, 1d, 40, 42, 46
    by_immediate host_imm_vex256_66_0f3a_\op, 0xc4, 0xe3, 0x7d, 0x\op
.endr
/* VPERMQ, VPERMPD: with VEX.W. */
.irp op, 00, 01
    by_immediate host_imm_vex256_66_0f3a_\op, 0xc4, 0xe3, 0xfd, 0x\op
.endr

/* ---- single stubs ---- */

/* VBLENDVPS, VBLENDVPD, VPBLENDVB: the selector in xmm3. */
.macro single name, bytes:vararg
    .balign 8, 0xcc
    .global \name
\name:
    .byte \bytes, 0xc3
    .balign 8, 0xcc
.endm

.irp op, 4a, 4b, 4c
    single host_simd_vex128_\op, 0xc4, 0xe3, 0x79, 0x\op, 0xc1, 0x30
    single host_simd_vex256_\op, 0xc4, 0xe3, 0x7d, 0x\op, 0xc1, 0x30
.endr

/* PBLENDVB, BLENDVPS, BLENDVPD have their selector in xmm0, where our destination is: exchange them. */
.irp op, 10, 14, 15
    .balign 16, 0xcc
    .global host_simd_blend_\op
host_simd_blend_\op:
    movaps  %xmm0, %xmm2
    movaps  %xmm3, %xmm0
    .byte   0x66, 0x0f, 0x38, 0x\op, 0xd1
    movaps  %xmm2, %xmm0
    ret
.endr

/* ---- x87 ---- */

/* By opcode D8 to DF, then by ModRM C0 to FF; 4 bytes each. WAIT states of our own never occur. */
    .balign 64, 0xcc
    .global host_x87_register
host_x87_register:
    .set op, 0xd8
    .rept 8
        .set modrm, 0xc0
        .rept 64
            .byte op, modrm, 0xc3, 0xcc
            .set modrm, modrm + 1
        .endr
        .set op, op + 1
    .endr

/* By opcode D8 to DF, then by ModRM.reg; the operand is at (%rsi). */
    .global host_x87_memory
host_x87_memory:
    .set op, 0xd8
    .rept 8
        .set modrm, 0x06
        .rept 8
            .byte op, modrm, 0xc3, 0xcc
            .set modrm, modrm + 8
        .endr
        .set op, op + 1
    .endr

/* The same with an operand size prefix, for the environment of 16 bits. */
    .global host_x87_memory_16
host_x87_memory_16:
    .set op, 0xd8
    .rept 8
        .set modrm, 0x06
        .rept 8
            .byte 0x66, op, modrm, 0xc3
            .set modrm, modrm + 8
        .endr
        .set op, op + 1
    .endr

/* ---- calling stubs ---- */

/*
 * unsigned host_simd_binary(void *to, const void *first, const void *second, const uint8_t *stub)
 * and the same with `second` of another size
 */
.macro binary name, load
    .balign 16, 0xcc
    .global \name
    .type \name, @function
\name:
    movaps  (%rsi), %xmm0
    \load  (%rdx), %xmm1
    call    *%rcx
    movaps  %xmm0, (%rdi)
    xorl    %eax, %eax
    ret
    .size \name, . - \name
.endm

binary host_simd_binary, movups
binary host_simd_binary_8, movq
binary host_simd_binary_4, movd

/* void host_simd_binary_256(void *to, const void *first, const void *second, const uint8_t *stub) */
    .balign 16, 0xcc
    .global host_simd_binary_256
    .type host_simd_binary_256, @function
host_simd_binary_256:
    vmovaps (%rsi), %ymm0
    vmovaps (%rdx), %ymm1
    call    *%rcx
    vmovaps %ymm0, (%rdi)
    vzeroupper
    ret
    .size host_simd_binary_256, . - host_simd_binary_256

/* struct host_simd_operands */
    .set VECTOR, 0
    .set MMX, 128
    .set RAX, 144
    .set RCX, 152
    .set RDX, 160
    .set FLAGS, 168

/* Call the stub in %rsi with the general registers of *%rbx; store them and the flags. */
.macro call_with_general
    movq    RAX(%rbx), %rax
    movq    RCX(%rbx), %rcx
    movq    RDX(%rbx), %rdx
    call    *%rsi
    movq    %rax, RAX(%rbx)
    movq    %rcx, RCX(%rbx)
    pushfq
    popq    FLAGS(%rbx)
.endm

/* void host_simd_call(struct host_simd_operands *operands, const uint8_t *stub) */
    .balign 16, 0xcc
    .global host_simd_call
    .type host_simd_call, @function
host_simd_call:
    pushq   %rbx
    movq    %rdi, %rbx
    movaps  VECTOR(%rbx), %xmm0
    movaps  VECTOR+32(%rbx), %xmm1
    movaps  VECTOR+64(%rbx), %xmm2
    movaps  VECTOR+96(%rbx), %xmm3
    call_with_general
    movaps  %xmm0, VECTOR(%rbx)
    movaps  %xmm1, VECTOR+32(%rbx)
    popq    %rbx
    ret
    .size host_simd_call, . - host_simd_call

/* void host_simd_call_256(struct host_simd_operands *operands, const uint8_t *stub) */
    .balign 16, 0xcc
    .global host_simd_call_256
    .type host_simd_call_256, @function
host_simd_call_256:
    pushq   %rbx
    movq    %rdi, %rbx
    vmovaps VECTOR(%rbx), %ymm0
    vmovaps VECTOR+32(%rbx), %ymm1
    vmovaps VECTOR+64(%rbx), %ymm2
    vmovaps VECTOR+96(%rbx), %ymm3
    call_with_general
    vmovaps %ymm0, VECTOR(%rbx)
    vmovaps %ymm1, VECTOR+32(%rbx)
    vzeroupper
    popq    %rbx
    ret
    .size host_simd_call_256, . - host_simd_call_256

/* void host_mmx_call(struct host_simd_operands *operands, const uint8_t *stub) */
    .balign 16, 0xcc
    .global host_mmx_call
    .type host_mmx_call, @function
host_mmx_call:
    pushq   %rbx
    movq    %rdi, %rbx
    movaps  VECTOR(%rbx), %xmm0
    movaps  VECTOR+32(%rbx), %xmm1
    movq    MMX(%rbx), %mm0
    movq    MMX+8(%rbx), %mm1
    call_with_general
    movaps  %xmm0, VECTOR(%rbx)
    movq    %mm0, MMX(%rbx)
    emms
    popq    %rbx
    ret
    .size host_mmx_call, . - host_mmx_call

/*
 * uint16_t host_x87_call(void *image, void *memory, const uint8_t *stub, uint64_t *flags)
 *
 * FXSAVE does not wait, so an exception that the instruction leaves pending stays in the image; FNINIT takes it away
 * from us.
 */
    .balign 16, 0xcc
    .global host_x87_call
    .type host_x87_call, @function
host_x87_call:
    pushq   %rbx
    subq    $16, %rsp
    movq    %rcx, %rbx
    stmxcsr (%rsp)
    fnstcw  4(%rsp)
    fxrstor64 (%rdi)
    pushq   (%rbx)
    popfq
    call    *%rdx
    pushfq
    popq    (%rbx)
    fxsave64 (%rdi)
    fninit
    fldcw   4(%rsp)
    ldmxcsr (%rsp)
    addq    $16, %rsp
    popq    %rbx
    ret
    .size host_x87_call, . - host_x87_call

/* A stub that does nothing: host_x87_call() then normalizes the image as FXRSTOR does. */
    .global host_x87_nothing
host_x87_nothing:
    ret
