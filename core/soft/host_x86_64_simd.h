/*
 * The host's vector and x87 units, as soft_simd*.c and soft_x87.c use them: stubs that execute one instruction each,
 * and functions that call them (host_x86_64_simd.S, where the canonical operands are listed).
 *
 * A host of another architecture would offer the same functions, with numbers of operations in the place of stubs.
 */
#ifndef MH_CORE_SOFT_HOST_X86_64_SIMD_H
#define MH_CORE_SOFT_HOST_X86_64_SIMD_H

#include <stdalign.h>
#include <stdint.h>

/* Bytes from one stub to the next in a table. */
#define HOST_SIMD_STRIDE 8u
#define HOST_X87_STRIDE 4u

/* Tables by opcode. */
extern const uint8_t host_simd_0f_np[], host_simd_0f_66[], host_simd_0f_f3[], host_simd_0f_f2[];
extern const uint8_t host_simd_0f38_np[], host_simd_0f38_66[];
extern const uint8_t host_simd_vex256_0f_np[], host_simd_vex256_0f_66[], host_simd_vex256_0f_f3[],
    host_simd_vex256_0f_f2[];
extern const uint8_t host_simd_vex128_0f38_w0[], host_simd_vex128_0f38_w1[];
extern const uint8_t host_simd_vex256_0f38_w0[], host_simd_vex256_0f38_w1[];

/* Opcodes 2A to 2D with REX.W. */
extern const uint8_t host_simd_convert_64_f3[], host_simd_convert_64_f2[];

/* Tables by immediate. */
extern const uint8_t host_imm_np_0f_70[], host_imm_66_0f_70[], host_imm_f3_0f_70[], host_imm_f2_0f_70[];
extern const uint8_t host_imm_np_0f_c2[], host_imm_66_0f_c2[], host_imm_f3_0f_c2[], host_imm_f2_0f_c2[];
extern const uint8_t host_imm_np_0f_c6[], host_imm_66_0f_c6[], host_imm_np_0f3a_0f[];
extern const uint8_t host_imm_66_0f3a_08[], host_imm_66_0f3a_09[], host_imm_66_0f3a_0a[], host_imm_66_0f3a_0b[];
extern const uint8_t host_imm_66_0f3a_0c[], host_imm_66_0f3a_0d[], host_imm_66_0f3a_0e[], host_imm_66_0f3a_0f[];
extern const uint8_t host_imm_66_0f3a_21[], host_imm_66_0f3a_40[], host_imm_66_0f3a_41[], host_imm_66_0f3a_42[];
extern const uint8_t host_imm_66_0f3a_44[], host_imm_66_0f3a_60[], host_imm_66_0f3a_61[], host_imm_66_0f3a_62[];
extern const uint8_t host_imm_66_0f3a_63[], host_imm_66_0f3a_df[];
extern const uint8_t host_imm_vex128_np_0f_c2[], host_imm_vex128_66_0f_c2[], host_imm_vex128_f3_0f_c2[],
    host_imm_vex128_f2_0f_c2[];
extern const uint8_t host_imm_vex256_np_0f_c2[], host_imm_vex256_66_0f_c2[];
extern const uint8_t host_imm_vex256_np_0f_c6[], host_imm_vex256_66_0f_c6[];
extern const uint8_t host_imm_vex256_66_0f_70[], host_imm_vex256_f3_0f_70[], host_imm_vex256_f2_0f_70[];
extern const uint8_t host_imm_vex128_66_0f3a_02[], host_imm_vex128_66_0f3a_04[], host_imm_vex128_66_0f3a_05[],
    host_imm_vex128_66_0f3a_1d[];
extern const uint8_t host_imm_vex256_66_0f3a_00[], host_imm_vex256_66_0f3a_01[], host_imm_vex256_66_0f3a_02[],
    host_imm_vex256_66_0f3a_04[], host_imm_vex256_66_0f3a_05[], host_imm_vex256_66_0f3a_06[];
extern const uint8_t host_imm_vex256_66_0f3a_08[], host_imm_vex256_66_0f3a_09[], host_imm_vex256_66_0f3a_0c[],
    host_imm_vex256_66_0f3a_0d[], host_imm_vex256_66_0f3a_0e[], host_imm_vex256_66_0f3a_0f[];
extern const uint8_t host_imm_vex256_66_0f3a_1d[], host_imm_vex256_66_0f3a_40[], host_imm_vex256_66_0f3a_42[],
    host_imm_vex256_66_0f3a_46[];

/* Variable blends; the selector is vector[3]. */
extern const uint8_t host_simd_blend_10[], host_simd_blend_14[], host_simd_blend_15[];
extern const uint8_t host_simd_vex128_4a[], host_simd_vex128_4b[], host_simd_vex128_4c[];
extern const uint8_t host_simd_vex256_4a[], host_simd_vex256_4b[], host_simd_vex256_4c[];

/* By the low three bits of the opcode, then by the low six bits of ModRM, or by ModRM.reg. */
extern const uint8_t host_x87_register[], host_x87_memory[], host_x87_memory_16[];
extern const uint8_t host_x87_nothing[];

/* What a stub finds in the host's registers, and leaves there. */
struct host_simd_operands {
    alignas(32) uint8_t vector[4][32]; /* in: xmm0 to xmm3 or ymm0 to ymm3; out: the first two */
    uint64_t mmx[2];                   /* in: mm0, mm1; out: the first; host_mmx_call() only */
    uint64_t rax, rcx, rdx;            /* in; out: rax, rcx */
    uint64_t flags;                    /* out: RFLAGS */
};

_Static_assert(sizeof(struct host_simd_operands) == 192, "as host_x86_64_simd.S has it");

/* *to = operation(*first, *second); 16 bytes each. Only *second need not be aligned, and is 8 or 4 bytes long in the
 * other functions. They return 0. */
unsigned host_simd_binary(void *to, const void *first, const void *second, const uint8_t *stub);
unsigned host_simd_binary_8(void *to, const void *first, const void *second, const uint8_t *stub);
unsigned host_simd_binary_4(void *to, const void *first, const void *second, const uint8_t *stub);
/* The same with 32 bytes; the host must have AVX. */
void host_simd_binary_256(void *to, const void *first, const void *second, const uint8_t *stub);

void host_simd_call(struct host_simd_operands *operands, const uint8_t *stub);     /* 16 bytes of each vector */
void host_simd_call_256(struct host_simd_operands *operands, const uint8_t *stub); /* all 32 */
/* With mm0, mm1, xmm0 and xmm1. The host's x87 registers are empty afterwards. */
void host_mmx_call(struct host_simd_operands *operands, const uint8_t *stub);

/*
 * Execute an x87 instruction on the 512 bytes of an FXSAVE64 image, with a memory operand at `memory`, and with *flags
 * (arithmetic flags and bit 1 only) as RFLAGS. *flags is what it left. Returns AX.
 * The image must not have an exception pending (ES) if the instruction waits for exceptions.
 */
uint16_t host_x87_call(void *image, void *memory, const uint8_t *stub, uint64_t *flags);

/*
 * The same in place, for loops: *to = operation(*to, *from), with 16, 8 or 4 bytes of *from. The CALL writes below the
 * stack pointer, so that the function this is used in must call other functions, too: then it has no red zone.
 */
#define HOST_SIMD_APPLY(name, load)                                                                                    \
    static inline __attribute__((always_inline)) void name(void *to, const void *from, const uint8_t *stub)            \
    {                                                                                                                  \
        __asm__ volatile("movaps (%0), %%xmm0\n\t" load " (%1), %%xmm1\n\tcall *%2\n\tmovaps %%xmm0, (%0)"             \
                         :                                                                                             \
                         : "r"(to), "r"(from), "r"(stub)                                                               \
                         : "xmm0", "xmm1", "cc", "memory");                                                            \
    }

HOST_SIMD_APPLY(host_simd_apply, "movaps")
HOST_SIMD_APPLY(host_simd_apply_8, "movq")
HOST_SIMD_APPLY(host_simd_apply_4, "movd")

/* The most frequent of all have no stub: *to = operation(*to, *from), with as many bytes of *from as the operation
 * reads; packed operands must be aligned. */
#define HOST_SIMD_OPERATION(name)                                                                                      \
    static inline void host_simd_##name(void *to, const void *from)                                                    \
    {                                                                                                                  \
        __asm__ volatile("movaps (%0), %%xmm0\n\t" #name " (%1), %%xmm0\n\tmovaps %%xmm0, (%0)"                        \
                         :                                                                                             \
                         : "r"(to), "r"(from)                                                                          \
                         : "xmm0", "memory");                                                                          \
    }

HOST_SIMD_OPERATION(addsd)
HOST_SIMD_OPERATION(mulsd)
HOST_SIMD_OPERATION(subsd)
HOST_SIMD_OPERATION(divsd)
HOST_SIMD_OPERATION(addpd)
HOST_SIMD_OPERATION(mulpd)
HOST_SIMD_OPERATION(subpd)
HOST_SIMD_OPERATION(addss)
HOST_SIMD_OPERATION(mulss)
HOST_SIMD_OPERATION(subss)
HOST_SIMD_OPERATION(addps)
HOST_SIMD_OPERATION(mulps)
HOST_SIMD_OPERATION(subps)

static inline uint32_t host_simd_mxcsr(void)
{
    uint32_t value;
    __asm__ volatile("stmxcsr %0" : "=m"(value));
    return value;
}

static inline void host_simd_set_mxcsr(uint32_t value)
{
    __asm__ volatile("ldmxcsr %0" : : "m"(value));
}

#endif
