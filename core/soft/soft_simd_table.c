/*
 * The opcode tables of x87, MMX, SSE and AVX, by map and mandatory prefix as in the manual (Intel SDM volume 2,
 * appendix A). A row has the handler, the bytes of a memory operand with 128 and 256 bits, and the feature each
 * encoding needs: SSE, VEX.128 and VEX.256. NONE there is #UD, and so is what has no row.
 *
 *      opcode  handler  what is special  bytes: 128, 256  features: SSE, VEX.128, VEX.256
 */
#include "soft_simd.h"

/* One row; several rows of an opcode differ in the encodings they have, or in `digit`, 1 + ModRM.reg. */
struct simd_row {
    uint8_t opcode;
    uint8_t digit; /* 0: any */
    struct soft_opcode entry;
};

#define MODRM SOFT_OP_MODRM
#define MEMORY (SOFT_OP_MODRM | SOFT_OP_MEMORY_ONLY)
#define REGISTER (SOFT_OP_MODRM | SOFT_OP_REGISTER_ONLY)
#define IMMEDIATE (SOFT_OP_MODRM | SOFT_OP_IMM8)

#define STUB(table, opcode) (table + (opcode)*HOST_SIMD_STRIDE)

#define ROW(opcode, digit, run, how, special, size, wide, sse, vex128, vex256, stub0, stub1, stub2)                    \
    {                                                                                                                  \
        opcode, digit,                                                                                                 \
        {                                                                                                              \
            run, how, 0, &(const struct simd_info)                                                                     \
            {                                                                                                          \
                {stub0, stub1, stub2}, {sse, vex128, vex256}, {size, size, wide}, special                              \
            }                                                                                                          \
        }                                                                                                              \
    }

/* Executed by a stub: of map 0F with a prefix, of map 0F38 with 66, of map 0F38 with VEX only. */
#define OP_0F(prefix, opcode, run, how, special, size, wide, sse, vex128, vex256)                                      \
    ROW(opcode, 0, run, how, special, size, wide, sse, vex128, vex256, STUB(host_simd_0f_##prefix, opcode),            \
        STUB(host_simd_0f_##prefix, opcode), STUB(host_simd_vex256_0f_##prefix, opcode))
#define OP_0F38(opcode, run, special, size, wide, sse, vex128, vex256)                                                 \
    ROW(opcode, 0, run, MODRM, special, size, wide, sse, vex128, vex256, STUB(host_simd_0f38_66, opcode),              \
        STUB(host_simd_0f38_66, opcode), STUB(host_simd_vex256_0f38_w0, opcode))
#define OP_VEX38(w, opcode, run, special, size, wide, vex128, vex256)                                                  \
    ROW(opcode, 0, run, MODRM, (special) | SIMD_W##w, size, wide, NONE, vex128, vex256, NULL,                          \
        STUB(host_simd_vex128_0f38_w##w, opcode), STUB(host_simd_vex256_0f38_w##w, opcode))
/* With an immediate. */
#define OP_IMM(opcode, run, special, size, wide, sse, vex128, vex256, stub0, stub1, stub2)                             \
    ROW(opcode, 0, run, IMMEDIATE, special, size, wide, sse, vex128, vex256, stub0, stub1, stub2)
/* Shifts by an immediate, which use the stub of the shift by a register, `by_register`. */
#define OP_SHIFT(prefix, opcode, digit, run, by_register, sse, vex128, vex256)                                         \
    ROW(opcode, 1 + (digit), run, REGISTER | SOFT_OP_IMM8, SIMD_NDS, 0, 0, sse, vex128, vex256,                        \
        STUB(host_simd_0f_##prefix, by_register), STUB(host_simd_0f_##prefix, by_register),                            \
        STUB(host_simd_vex256_0f_##prefix, by_register))
/* Without a stub. */
#define OP_C(opcode, run, how, special, size, wide, sse, vex128, vex256)                                               \
    ROW(opcode, 0, run, how, special, size, wide, sse, vex128, vex256, NULL, NULL, NULL)
#define OP_DIGIT(opcode, digit, run, sse, vex128)                                                                      \
    ROW(opcode, 1 + (digit), run, MEMORY, 0, 0, 0, sse, vex128, NONE, NULL, NULL, NULL)

/* ---- map 0F ---- */

static const struct simd_row rows_0f_np[] = {
    OP_C(0x10, simd_load, MODRM, SIMD_UNALIGNED, 16, 32, SSE, AVX, AVX), /* movups */
    OP_C(0x11, simd_store, MODRM, SIMD_UNALIGNED, 16, 32, SSE, AVX, AVX),
    OP_C(0x12, simd_load_half, MODRM, SIMD_NDS, 8, 8, SSE, AVX, NONE), /* movlps, movhlps */
    OP_C(0x13, simd_store_half, MEMORY, 0, 8, 8, SSE, AVX, NONE),
    OP_0F(np, 0x14, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE, AVX, AVX),          /* unpcklps */
    OP_0F(np, 0x15, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE, AVX, AVX),          /* unpckhps */
    OP_C(0x16, simd_load_half, MODRM, SIMD_NDS | SIMD_HALF, 8, 8, SSE, AVX, NONE), /* movhps, movlhps */
    OP_C(0x17, simd_store_half, MEMORY, SIMD_HALF, 8, 8, SSE, AVX, NONE),
    OP_C(0x28, simd_load, MODRM, SIMD_ALIGNED, 16, 32, SSE, AVX, AVX), /* movaps */
    OP_C(0x29, simd_store, MODRM, SIMD_ALIGNED, 16, 32, SSE, AVX, AVX),
    OP_0F(np, 0x2a, simd_mmx_to_xmm, MODRM, SIMD_FP, 8, 0, SSE, NONE, NONE),          /* cvtpi2ps */
    OP_C(0x2b, simd_store, MEMORY, SIMD_ALIGNED, 16, 32, SSE, AVX, AVX),              /* movntps */
    OP_0F(np, 0x2c, simd_mmx_from_xmm, MODRM, SIMD_FP, 8, 0, SSE, NONE, NONE),        /* cvttps2pi */
    OP_0F(np, 0x2d, simd_mmx_from_xmm, MODRM, SIMD_FP, 8, 0, SSE, NONE, NONE),        /* cvtps2pi */
    OP_0F(np, 0x2e, simd_compare, MODRM, SIMD_FP | SIMD_SCALAR, 4, 4, SSE, AVX, AVX), /* ucomiss */
    OP_0F(np, 0x2f, simd_compare, MODRM, SIMD_FP | SIMD_SCALAR, 4, 4, SSE, AVX, AVX), /* comiss */
    OP_0F(np, 0x50, simd_to_general, REGISTER, 0, 0, 0, SSE, AVX, AVX),               /* movmskps */
    OP_0F(np, 0x51, simd_vector, MODRM, SIMD_FP, 16, 32, SSE, AVX, AVX),              /* sqrtps */
    OP_0F(np, 0x52, simd_vector, MODRM, 0, 16, 32, SSE, AVX, AVX),                    /* rsqrtps */
    OP_0F(np, 0x53, simd_vector, MODRM, 0, 16, 32, SSE, AVX, AVX),                    /* rcpps */
    OP_0F(np, 0x54, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE, AVX, AVX),             /* andps */
    OP_0F(np, 0x55, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE, AVX, AVX),             /* andnps */
    OP_0F(np, 0x56, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE, AVX, AVX),             /* orps */
    OP_0F(np, 0x57, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE, AVX, AVX),             /* xorps */
    OP_0F(np, 0x58, simd_vector, MODRM, SIMD_NDS | SIMD_FP, 16, 32, SSE, AVX, AVX),   /* addps */
    OP_0F(np, 0x59, simd_vector, MODRM, SIMD_NDS | SIMD_FP, 16, 32, SSE, AVX, AVX),   /* mulps */
    OP_0F(np, 0x5a, simd_vector, MODRM, SIMD_FP, 8, 16, SSE2, AVX, AVX),              /* cvtps2pd */
    OP_0F(np, 0x5b, simd_vector, MODRM, SIMD_FP, 16, 32, SSE2, AVX, AVX),             /* cvtdq2ps */
    OP_0F(np, 0x5c, simd_vector, MODRM, SIMD_NDS | SIMD_FP, 16, 32, SSE, AVX, AVX),   /* subps */
    OP_0F(np, 0x5d, simd_vector, MODRM, SIMD_NDS | SIMD_FP, 16, 32, SSE, AVX, AVX),   /* minps */
    OP_0F(np, 0x5e, simd_vector, MODRM, SIMD_NDS | SIMD_FP, 16, 32, SSE, AVX, AVX),   /* divps */
    OP_0F(np, 0x5f, simd_vector, MODRM, SIMD_NDS | SIMD_FP, 16, 32, SSE, AVX, AVX),   /* maxps */
    OP_0F(np, 0x60, simd_mmx, MODRM, 0, 4, 0, MMX, NONE, NONE),                       /* punpcklbw */
    OP_0F(np, 0x61, simd_mmx, MODRM, 0, 4, 0, MMX, NONE, NONE),                       /* punpcklwd */
    OP_0F(np, 0x62, simd_mmx, MODRM, 0, 4, 0, MMX, NONE, NONE),                       /* punpckldq */
    OP_0F(np, 0x63, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),                       /* packsswb */
    OP_0F(np, 0x64, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),                       /* pcmpgtb */
    OP_0F(np, 0x65, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),                       /* pcmpgtw */
    OP_0F(np, 0x66, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),                       /* pcmpgtd */
    OP_0F(np, 0x67, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),                       /* packuswb */
    OP_0F(np, 0x68, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),                       /* punpckhbw */
    OP_0F(np, 0x69, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),                       /* punpckhwd */
    OP_0F(np, 0x6a, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),                       /* punpckhdq */
    OP_0F(np, 0x6b, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),                       /* packssdw */
    OP_C(0x6e, simd_mmx_movd_load, MODRM, 0, 0, 0, MMX, NONE, NONE),                  /* movd, movq */
    OP_C(0x6f, simd_mmx_load, MODRM, 0, 8, 0, MMX, NONE, NONE),                       /* movq */
    OP_IMM(0x70, simd_mmx, 0, 8, 0, SSE, NONE, NONE, host_imm_np_0f_70, NULL, NULL),  /* pshufw */
    OP_SHIFT(np, 0x71, 2, simd_mmx_shift_imm, 0xd1, MMX, NONE, NONE),                 /* psrlw */
    OP_SHIFT(np, 0x71, 4, simd_mmx_shift_imm, 0xe1, MMX, NONE, NONE),                 /* psraw */
    OP_SHIFT(np, 0x71, 6, simd_mmx_shift_imm, 0xf1, MMX, NONE, NONE),                 /* psllw */
    OP_SHIFT(np, 0x72, 2, simd_mmx_shift_imm, 0xd2, MMX, NONE, NONE),                 /* psrld */
    OP_SHIFT(np, 0x72, 4, simd_mmx_shift_imm, 0xe2, MMX, NONE, NONE),                 /* psrad */
    OP_SHIFT(np, 0x72, 6, simd_mmx_shift_imm, 0xf2, MMX, NONE, NONE),                 /* pslld */
    OP_SHIFT(np, 0x73, 2, simd_mmx_shift_imm, 0xd3, MMX, NONE, NONE),                 /* psrlq */
    OP_SHIFT(np, 0x73, 6, simd_mmx_shift_imm, 0xf3, MMX, NONE, NONE),                 /* psllq */
    OP_0F(np, 0x74, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),                       /* pcmpeqb */
    OP_0F(np, 0x75, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),                       /* pcmpeqw */
    OP_0F(np, 0x76, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),                       /* pcmpeqd */
    ROW(0x77, 0, simd_emms, 0, 0, 0, 0, MMX, NONE, NONE, NULL, NULL, NULL),
    ROW(0x77, 0, simd_vzero, 0, 0, 0, 0, NONE, AVX, AVX, NULL, NULL, NULL), /* vzeroupper, vzeroall */
    OP_C(0x7e, simd_mmx_movd_store, MODRM, 0, 0, 0, MMX, NONE, NONE),
    OP_C(0x7f, simd_mmx_store, MODRM, 0, 8, 0, MMX, NONE, NONE),
    OP_DIGIT(0xae, 0, simd_fxsave, FXSR, NONE),
    OP_DIGIT(0xae, 1, simd_fxrstor, FXSR, NONE),
    OP_DIGIT(0xae, 2, simd_ldmxcsr, SSE, AVX),
    OP_DIGIT(0xae, 3, simd_stmxcsr, SSE, AVX),
    OP_DIGIT(0xae, 4, simd_xsave, XSAVE, NONE),
    OP_DIGIT(0xae, 5, simd_xrstor, XSAVE, NONE),
    OP_DIGIT(0xae, 6, simd_xsaveopt, XSAVEOPT, NONE),
    OP_IMM(0xc2, simd_vector, SIMD_NDS | SIMD_FP, 16, 32, SSE, AVX, AVX, host_imm_np_0f_c2, host_imm_vex128_np_0f_c2,
           host_imm_vex256_np_0f_c2), /* cmpps */
    OP_C(0xc4, simd_mmx_pinsrw, IMMEDIATE, 0, 2, 0, SSE, NONE, NONE),
    OP_C(0xc5, simd_mmx_pextrw, REGISTER | SOFT_OP_IMM8, 0, 0, 0, SSE, NONE, NONE),
    OP_IMM(0xc6, simd_vector, SIMD_NDS, 16, 32, SSE, AVX, AVX, host_imm_np_0f_c6, host_imm_np_0f_c6,
           host_imm_vex256_np_0f_c6), /* shufps */
    OP_DIGIT(0xc7, 4, simd_xsavec, XSAVEC, NONE),
    OP_0F(np, 0xd1, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),            /* psrlw */
    OP_0F(np, 0xd2, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),            /* psrld */
    OP_0F(np, 0xd3, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),            /* psrlq */
    OP_0F(np, 0xd4, simd_mmx, MODRM, 0, 8, 0, SSE2, NONE, NONE),           /* paddq */
    OP_0F(np, 0xd5, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),            /* pmullw */
    OP_0F(np, 0xd7, simd_mmx_movmskb, REGISTER, 0, 0, 0, SSE, NONE, NONE), /* pmovmskb */
    OP_0F(np, 0xd8, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),            /* psubusb */
    OP_0F(np, 0xd9, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),            /* psubusw */
    OP_0F(np, 0xda, simd_mmx, MODRM, 0, 8, 0, SSE, NONE, NONE),            /* pminub */
    OP_0F(np, 0xdb, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),            /* pand */
    OP_0F(np, 0xdc, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),            /* paddusb */
    OP_0F(np, 0xdd, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),            /* paddusw */
    OP_0F(np, 0xde, simd_mmx, MODRM, 0, 8, 0, SSE, NONE, NONE),            /* pmaxub */
    OP_0F(np, 0xdf, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),            /* pandn */
    OP_0F(np, 0xe0, simd_mmx, MODRM, 0, 8, 0, SSE, NONE, NONE),            /* pavgb */
    OP_0F(np, 0xe1, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),            /* psraw */
    OP_0F(np, 0xe2, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),            /* psrad */
    OP_0F(np, 0xe3, simd_mmx, MODRM, 0, 8, 0, SSE, NONE, NONE),            /* pavgw */
    OP_0F(np, 0xe4, simd_mmx, MODRM, 0, 8, 0, SSE, NONE, NONE),            /* pmulhuw */
    OP_0F(np, 0xe5, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),            /* pmulhw */
    OP_C(0xe7, simd_mmx_store, MEMORY, 0, 8, 0, SSE, NONE, NONE),          /* movntq */
    OP_0F(np, 0xe8, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),            /* psubsb */
    OP_0F(np, 0xe9, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),            /* psubsw */
    OP_0F(np, 0xea, simd_mmx, MODRM, 0, 8, 0, SSE, NONE, NONE),            /* pminsw */
    OP_0F(np, 0xeb, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),            /* por */
    OP_0F(np, 0xec, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),            /* paddsb */
    OP_0F(np, 0xed, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),            /* paddsw */
    OP_0F(np, 0xee, simd_mmx, MODRM, 0, 8, 0, SSE, NONE, NONE),            /* pmaxsw */
    OP_0F(np, 0xef, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),            /* pxor */
    OP_0F(np, 0xf1, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),            /* psllw */
    OP_0F(np, 0xf2, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),            /* pslld */
    OP_0F(np, 0xf3, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),            /* psllq */
    OP_0F(np, 0xf4, simd_mmx, MODRM, 0, 8, 0, SSE2, NONE, NONE),           /* pmuludq */
    OP_0F(np, 0xf5, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),            /* pmaddwd */
    OP_0F(np, 0xf6, simd_mmx, MODRM, 0, 8, 0, SSE, NONE, NONE),            /* psadbw */
    OP_C(0xf7, simd_maskmovq, REGISTER, 0, 0, 0, SSE, NONE, NONE),
    OP_0F(np, 0xf8, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),  /* psubb */
    OP_0F(np, 0xf9, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),  /* psubw */
    OP_0F(np, 0xfa, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),  /* psubd */
    OP_0F(np, 0xfb, simd_mmx, MODRM, 0, 8, 0, SSE2, NONE, NONE), /* psubq */
    OP_0F(np, 0xfc, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),  /* paddb */
    OP_0F(np, 0xfd, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),  /* paddw */
    OP_0F(np, 0xfe, simd_mmx, MODRM, 0, 8, 0, MMX, NONE, NONE),  /* paddd */
};

static const struct simd_row rows_0f_66[] = {
    OP_C(0x10, simd_load, MODRM, SIMD_UNALIGNED, 16, 32, SSE2, AVX, AVX), /* movupd */
    OP_C(0x11, simd_store, MODRM, SIMD_UNALIGNED, 16, 32, SSE2, AVX, AVX),
    OP_C(0x12, simd_load_half, MEMORY, SIMD_NDS, 8, 8, SSE2, AVX, NONE), /* movlpd */
    OP_C(0x13, simd_store_half, MEMORY, 0, 8, 8, SSE2, AVX, NONE),
    OP_0F(66, 0x14, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX),           /* unpcklpd */
    OP_0F(66, 0x15, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX),           /* unpckhpd */
    OP_C(0x16, simd_load_half, MEMORY, SIMD_NDS | SIMD_HALF, 8, 8, SSE2, AVX, NONE), /* movhpd */
    OP_C(0x17, simd_store_half, MEMORY, SIMD_HALF, 8, 8, SSE2, AVX, NONE),
    OP_C(0x28, simd_load, MODRM, SIMD_ALIGNED, 16, 32, SSE2, AVX, AVX), /* movapd */
    OP_C(0x29, simd_store, MODRM, SIMD_ALIGNED, 16, 32, SSE2, AVX, AVX),
    OP_0F(66, 0x2a, simd_mmx_to_xmm, MODRM, 0, 8, 0, SSE2, NONE, NONE),                /* cvtpi2pd */
    OP_C(0x2b, simd_store, MEMORY, SIMD_ALIGNED, 16, 32, SSE2, AVX, AVX),              /* movntpd */
    OP_0F(66, 0x2c, simd_mmx_from_xmm, MODRM, SIMD_FP, 16, 0, SSE2, NONE, NONE),       /* cvttpd2pi */
    OP_0F(66, 0x2d, simd_mmx_from_xmm, MODRM, SIMD_FP, 16, 0, SSE2, NONE, NONE),       /* cvtpd2pi */
    OP_0F(66, 0x2e, simd_compare, MODRM, SIMD_FP | SIMD_SCALAR, 8, 8, SSE2, AVX, AVX), /* ucomisd */
    OP_0F(66, 0x2f, simd_compare, MODRM, SIMD_FP | SIMD_SCALAR, 8, 8, SSE2, AVX, AVX), /* comisd */
    OP_0F(66, 0x50, simd_to_general, REGISTER, 0, 0, 0, SSE2, AVX, AVX),               /* movmskpd */
    OP_0F(66, 0x51, simd_vector, MODRM, SIMD_FP, 16, 32, SSE2, AVX, AVX),              /* sqrtpd */
    OP_0F(66, 0x54, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX),             /* andpd */
    OP_0F(66, 0x55, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX),             /* andnpd */
    OP_0F(66, 0x56, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX),             /* orpd */
    OP_0F(66, 0x57, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX),             /* xorpd */
    OP_0F(66, 0x58, simd_vector, MODRM, SIMD_NDS | SIMD_FP, 16, 32, SSE2, AVX, AVX),   /* addpd */
    OP_0F(66, 0x59, simd_vector, MODRM, SIMD_NDS | SIMD_FP, 16, 32, SSE2, AVX, AVX),   /* mulpd */
    OP_0F(66, 0x5a, simd_vector, MODRM, SIMD_FP, 16, 32, SSE2, AVX, AVX),              /* cvtpd2ps */
    OP_0F(66, 0x5b, simd_vector, MODRM, SIMD_FP, 16, 32, SSE2, AVX, AVX),              /* cvtps2dq */
    OP_0F(66, 0x5c, simd_vector, MODRM, SIMD_NDS | SIMD_FP, 16, 32, SSE2, AVX, AVX),   /* subpd */
    OP_0F(66, 0x5d, simd_vector, MODRM, SIMD_NDS | SIMD_FP, 16, 32, SSE2, AVX, AVX),   /* minpd */
    OP_0F(66, 0x5e, simd_vector, MODRM, SIMD_NDS | SIMD_FP, 16, 32, SSE2, AVX, AVX),   /* divpd */
    OP_0F(66, 0x5f, simd_vector, MODRM, SIMD_NDS | SIMD_FP, 16, 32, SSE2, AVX, AVX),   /* maxpd */
    OP_0F(66, 0x60, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),            /* punpcklbw */
    OP_0F(66, 0x61, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),            /* punpcklwd */
    OP_0F(66, 0x62, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),            /* punpckldq */
    OP_0F(66, 0x63, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),            /* packsswb */
    OP_0F(66, 0x64, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),            /* pcmpgtb */
    OP_0F(66, 0x65, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),            /* pcmpgtw */
    OP_0F(66, 0x66, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),            /* pcmpgtd */
    OP_0F(66, 0x67, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),            /* packuswb */
    OP_0F(66, 0x68, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),            /* punpckhbw */
    OP_0F(66, 0x69, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),            /* punpckhwd */
    OP_0F(66, 0x6a, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),            /* punpckhdq */
    OP_0F(66, 0x6b, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),            /* packssdw */
    OP_0F(66, 0x6c, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),            /* punpcklqdq */
    OP_0F(66, 0x6d, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),            /* punpckhqdq */
    OP_C(0x6e, simd_movd_load, MODRM, 0, 0, 0, SSE2, AVX, NONE),                       /* movd, movq */
    OP_C(0x6f, simd_load, MODRM, SIMD_ALIGNED, 16, 32, SSE2, AVX, AVX),                /* movdqa */
    OP_IMM(0x70, simd_vector, 0, 16, 32, SSE2, AVX, AVX2, host_imm_66_0f_70, host_imm_66_0f_70,
           host_imm_vex256_66_0f_70),                                                /* pshufd */
    OP_SHIFT(66, 0x71, 2, simd_shift_imm, 0xd1, SSE2, AVX, AVX2),                    /* psrlw */
    OP_SHIFT(66, 0x71, 4, simd_shift_imm, 0xe1, SSE2, AVX, AVX2),                    /* psraw */
    OP_SHIFT(66, 0x71, 6, simd_shift_imm, 0xf1, SSE2, AVX, AVX2),                    /* psllw */
    OP_SHIFT(66, 0x72, 2, simd_shift_imm, 0xd2, SSE2, AVX, AVX2),                    /* psrld */
    OP_SHIFT(66, 0x72, 4, simd_shift_imm, 0xe2, SSE2, AVX, AVX2),                    /* psrad */
    OP_SHIFT(66, 0x72, 6, simd_shift_imm, 0xf2, SSE2, AVX, AVX2),                    /* pslld */
    OP_SHIFT(66, 0x73, 2, simd_shift_imm, 0xd3, SSE2, AVX, AVX2),                    /* psrlq */
    OP_SHIFT(66, 0x73, 6, simd_shift_imm, 0xf3, SSE2, AVX, AVX2),                    /* psllq */
    OP_SHIFT(66, 0x73, 3, simd_shift_bytes, 0xd3, SSE2, AVX, AVX2),                  /* psrldq */
    OP_SHIFT(66, 0x73, 7, simd_shift_bytes, 0xf3, SSE2, AVX, AVX2),                  /* pslldq */
    OP_0F(66, 0x74, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),          /* pcmpeqb */
    OP_0F(66, 0x75, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),          /* pcmpeqw */
    OP_0F(66, 0x76, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),          /* pcmpeqd */
    OP_0F(66, 0x7c, simd_vector, MODRM, SIMD_NDS | SIMD_FP, 16, 32, SSE3, AVX, AVX), /* haddpd */
    OP_0F(66, 0x7d, simd_vector, MODRM, SIMD_NDS | SIMD_FP, 16, 32, SSE3, AVX, AVX), /* hsubpd */
    OP_C(0x7e, simd_movd_store, MODRM, 0, 0, 0, SSE2, AVX, NONE),
    OP_C(0x7f, simd_store, MODRM, SIMD_ALIGNED, 16, 32, SSE2, AVX, AVX),
    OP_IMM(0xc2, simd_vector, SIMD_NDS | SIMD_FP, 16, 32, SSE2, AVX, AVX, host_imm_66_0f_c2, host_imm_vex128_66_0f_c2,
           host_imm_vex256_66_0f_c2),                                           /* cmppd */
    OP_C(0xc4, simd_pinsr, IMMEDIATE, SIMD_NDS, 2, 0, SSE2, AVX, NONE),         /* pinsrw */
    OP_C(0xc5, simd_pextrw, REGISTER | SOFT_OP_IMM8, 0, 0, 0, SSE2, AVX, NONE), /* pextrw */
    OP_IMM(0xc6, simd_vector, SIMD_NDS, 16, 32, SSE2, AVX, AVX, host_imm_66_0f_c6, host_imm_66_0f_c6,
           host_imm_vex256_66_0f_c6),                                                /* shufpd */
    OP_0F(66, 0xd0, simd_vector, MODRM, SIMD_NDS | SIMD_FP, 16, 32, SSE3, AVX, AVX), /* addsubpd */
    OP_0F(66, 0xd1, simd_vector, MODRM, SIMD_NDS, 16, 16, SSE2, AVX, AVX2),          /* psrlw */
    OP_0F(66, 0xd2, simd_vector, MODRM, SIMD_NDS, 16, 16, SSE2, AVX, AVX2),          /* psrld */
    OP_0F(66, 0xd3, simd_vector, MODRM, SIMD_NDS, 16, 16, SSE2, AVX, AVX2),          /* psrlq */
    OP_0F(66, 0xd4, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),          /* paddq */
    OP_0F(66, 0xd5, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),          /* pmullw */
    OP_C(0xd6, simd_movq_store, MODRM, 0, 8, 0, SSE2, AVX, NONE),                    /* movq */
    OP_0F(66, 0xd7, simd_to_general, REGISTER, 0, 0, 0, SSE2, AVX, AVX2),            /* pmovmskb */
    OP_0F(66, 0xd8, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),          /* psubusb */
    OP_0F(66, 0xd9, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),          /* psubusw */
    OP_0F(66, 0xda, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),          /* pminub */
    OP_0F(66, 0xdb, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),          /* pand */
    OP_0F(66, 0xdc, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),          /* paddusb */
    OP_0F(66, 0xdd, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),          /* paddusw */
    OP_0F(66, 0xde, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),          /* pmaxub */
    OP_0F(66, 0xdf, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),          /* pandn */
    OP_0F(66, 0xe0, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),          /* pavgb */
    OP_0F(66, 0xe1, simd_vector, MODRM, SIMD_NDS, 16, 16, SSE2, AVX, AVX2),          /* psraw */
    OP_0F(66, 0xe2, simd_vector, MODRM, SIMD_NDS, 16, 16, SSE2, AVX, AVX2),          /* psrad */
    OP_0F(66, 0xe3, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),          /* pavgw */
    OP_0F(66, 0xe4, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),          /* pmulhuw */
    OP_0F(66, 0xe5, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),          /* pmulhw */
    OP_0F(66, 0xe6, simd_vector, MODRM, SIMD_FP, 16, 32, SSE2, AVX, AVX),            /* cvttpd2dq */
    OP_C(0xe7, simd_store, MEMORY, SIMD_ALIGNED, 16, 32, SSE2, AVX, AVX),            /* movntdq */
    OP_0F(66, 0xe8, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),          /* psubsb */
    OP_0F(66, 0xe9, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),          /* psubsw */
    OP_0F(66, 0xea, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),          /* pminsw */
    OP_0F(66, 0xeb, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),          /* por */
    OP_0F(66, 0xec, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),          /* paddsb */
    OP_0F(66, 0xed, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),          /* paddsw */
    OP_0F(66, 0xee, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),          /* pmaxsw */
    OP_0F(66, 0xef, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),          /* pxor */
    OP_0F(66, 0xf1, simd_vector, MODRM, SIMD_NDS, 16, 16, SSE2, AVX, AVX2),          /* psllw */
    OP_0F(66, 0xf2, simd_vector, MODRM, SIMD_NDS, 16, 16, SSE2, AVX, AVX2),          /* pslld */
    OP_0F(66, 0xf3, simd_vector, MODRM, SIMD_NDS, 16, 16, SSE2, AVX, AVX2),          /* psllq */
    OP_0F(66, 0xf4, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),          /* pmuludq */
    OP_0F(66, 0xf5, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),          /* pmaddwd */
    OP_0F(66, 0xf6, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2),          /* psadbw */
    OP_C(0xf7, simd_maskmovdqu, REGISTER, 0, 0, 0, SSE2, AVX, NONE),
    OP_0F(66, 0xf8, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2), /* psubb */
    OP_0F(66, 0xf9, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2), /* psubw */
    OP_0F(66, 0xfa, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2), /* psubd */
    OP_0F(66, 0xfb, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2), /* psubq */
    OP_0F(66, 0xfc, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2), /* paddb */
    OP_0F(66, 0xfd, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2), /* paddw */
    OP_0F(66, 0xfe, simd_vector, MODRM, SIMD_NDS, 16, 32, SSE2, AVX, AVX2), /* paddd */
};

static const struct simd_row rows_0f_f3[] = {
    OP_C(0x10, simd_load_scalar, MODRM, SIMD_NDS | SIMD_SCALAR, 4, 4, SSE, AVX, AVX), /* movss */
    OP_C(0x11, simd_store_scalar, MODRM, SIMD_NDS | SIMD_SCALAR, 4, 4, SSE, AVX, AVX),
    OP_0F(f3, 0x12, simd_vector, MODRM, 0, 16, 32, SSE3, AVX, AVX),                                   /* movsldup */
    OP_0F(f3, 0x16, simd_vector, MODRM, 0, 16, 32, SSE3, AVX, AVX),                                   /* movshdup */
    OP_0F(f3, 0x2a, simd_from_general, MODRM, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 0, 0, SSE, AVX, AVX), /* cvtsi2ss */
    OP_0F(f3, 0x2c, simd_to_general, MODRM, SIMD_FP | SIMD_SCALAR, 4, 4, SSE, AVX, AVX),              /* cvttss2si */
    OP_0F(f3, 0x2d, simd_to_general, MODRM, SIMD_FP | SIMD_SCALAR, 4, 4, SSE, AVX, AVX),              /* cvtss2si */
    OP_0F(f3, 0x51, simd_vector, MODRM, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 4, 4, SSE, AVX, AVX),       /* sqrtss */
    OP_0F(f3, 0x52, simd_vector, MODRM, SIMD_NDS | SIMD_SCALAR, 4, 4, SSE, AVX, AVX),                 /* rsqrtss */
    OP_0F(f3, 0x53, simd_vector, MODRM, SIMD_NDS | SIMD_SCALAR, 4, 4, SSE, AVX, AVX),                 /* rcpss */
    OP_0F(f3, 0x58, simd_vector, MODRM, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 4, 4, SSE, AVX, AVX),       /* addss */
    OP_0F(f3, 0x59, simd_vector, MODRM, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 4, 4, SSE, AVX, AVX),       /* mulss */
    OP_0F(f3, 0x5a, simd_vector, MODRM, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 4, 4, SSE2, AVX, AVX),      /* cvtss2sd */
    OP_0F(f3, 0x5b, simd_vector, MODRM, SIMD_FP, 16, 32, SSE2, AVX, AVX),                             /* cvttps2dq */
    OP_0F(f3, 0x5c, simd_vector, MODRM, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 4, 4, SSE, AVX, AVX),       /* subss */
    OP_0F(f3, 0x5d, simd_vector, MODRM, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 4, 4, SSE, AVX, AVX),       /* minss */
    OP_0F(f3, 0x5e, simd_vector, MODRM, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 4, 4, SSE, AVX, AVX),       /* divss */
    OP_0F(f3, 0x5f, simd_vector, MODRM, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 4, 4, SSE, AVX, AVX),       /* maxss */
    OP_C(0x6f, simd_load, MODRM, SIMD_UNALIGNED, 16, 32, SSE2, AVX, AVX),                             /* movdqu */
    OP_IMM(0x70, simd_vector, 0, 16, 32, SSE2, AVX, AVX2, host_imm_f3_0f_70, host_imm_f3_0f_70,
           host_imm_vex256_f3_0f_70),                            /* pshufhw */
    OP_C(0x7e, simd_movq_load, MODRM, 0, 8, 0, SSE2, AVX, NONE), /* movq */
    OP_C(0x7f, simd_store, MODRM, SIMD_UNALIGNED, 16, 32, SSE2, AVX, AVX),
    OP_IMM(0xc2, simd_vector, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 4, 4, SSE, AVX, AVX, host_imm_f3_0f_c2,
           host_imm_vex128_f3_0f_c2, host_imm_vex128_f3_0f_c2), /* cmpss */
    OP_C(0xd6, simd_movq2dq, REGISTER, 0, 0, 0, SSE2, NONE, NONE),
    OP_0F(f3, 0xe6, simd_vector, MODRM, 0, 8, 16, SSE2, AVX, AVX), /* cvtdq2pd */
};

static const struct simd_row rows_0f_f2[] = {
    OP_C(0x10, simd_load_scalar, MODRM, SIMD_NDS | SIMD_SCALAR, 8, 8, SSE2, AVX, AVX), /* movsd */
    OP_C(0x11, simd_store_scalar, MODRM, SIMD_NDS | SIMD_SCALAR, 8, 8, SSE2, AVX, AVX),
    OP_0F(f2, 0x12, simd_vector, MODRM, 0, 8, 32, SSE3, AVX, AVX),                                     /* movddup */
    OP_0F(f2, 0x2a, simd_from_general, MODRM, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 0, 0, SSE2, AVX, AVX), /* cvtsi2sd */
    OP_0F(f2, 0x2c, simd_to_general, MODRM, SIMD_FP | SIMD_SCALAR, 8, 8, SSE2, AVX, AVX),              /* cvttsd2si */
    OP_0F(f2, 0x2d, simd_to_general, MODRM, SIMD_FP | SIMD_SCALAR, 8, 8, SSE2, AVX, AVX),              /* cvtsd2si */
    OP_0F(f2, 0x51, simd_vector, MODRM, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 8, 8, SSE2, AVX, AVX),       /* sqrtsd */
    OP_0F(f2, 0x58, simd_vector, MODRM, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 8, 8, SSE2, AVX, AVX),       /* addsd */
    OP_0F(f2, 0x59, simd_vector, MODRM, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 8, 8, SSE2, AVX, AVX),       /* mulsd */
    OP_0F(f2, 0x5a, simd_vector, MODRM, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 8, 8, SSE2, AVX, AVX),       /* cvtsd2ss */
    OP_0F(f2, 0x5c, simd_vector, MODRM, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 8, 8, SSE2, AVX, AVX),       /* subsd */
    OP_0F(f2, 0x5d, simd_vector, MODRM, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 8, 8, SSE2, AVX, AVX),       /* minsd */
    OP_0F(f2, 0x5e, simd_vector, MODRM, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 8, 8, SSE2, AVX, AVX),       /* divsd */
    OP_0F(f2, 0x5f, simd_vector, MODRM, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 8, 8, SSE2, AVX, AVX),       /* maxsd */
    OP_IMM(0x70, simd_vector, 0, 16, 32, SSE2, AVX, AVX2, host_imm_f2_0f_70, host_imm_f2_0f_70,
           host_imm_vex256_f2_0f_70),                                                /* pshuflw */
    OP_0F(f2, 0x7c, simd_vector, MODRM, SIMD_NDS | SIMD_FP, 16, 32, SSE3, AVX, AVX), /* haddps */
    OP_0F(f2, 0x7d, simd_vector, MODRM, SIMD_NDS | SIMD_FP, 16, 32, SSE3, AVX, AVX), /* hsubps */
    OP_IMM(0xc2, simd_vector, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 8, 8, SSE2, AVX, AVX, host_imm_f2_0f_c2,
           host_imm_vex128_f2_0f_c2, host_imm_vex128_f2_0f_c2),                      /* cmpsd */
    OP_0F(f2, 0xd0, simd_vector, MODRM, SIMD_NDS | SIMD_FP, 16, 32, SSE3, AVX, AVX), /* addsubps */
    OP_C(0xd6, simd_movdq2q, REGISTER, 0, 0, 0, SSE2, NONE, NONE),
    OP_0F(f2, 0xe6, simd_vector, MODRM, SIMD_FP, 16, 32, SSE2, AVX, AVX),  /* cvtpd2dq */
    OP_C(0xf0, simd_load, MEMORY, SIMD_UNALIGNED, 16, 32, SSE3, AVX, AVX), /* lddqu */
};

/* ---- map 0F38 ---- */

static const struct simd_row rows_0f38_np[] = {
    ROW(0x00, 0, simd_mmx, MODRM, 0, 8, 0, SSSE3, NONE, NONE, STUB(host_simd_0f38_np, 0x00), NULL, NULL), /* pshufb */
    ROW(0x01, 0, simd_mmx, MODRM, 0, 8, 0, SSSE3, NONE, NONE, STUB(host_simd_0f38_np, 0x01), NULL, NULL), /* phaddw */
    ROW(0x02, 0, simd_mmx, MODRM, 0, 8, 0, SSSE3, NONE, NONE, STUB(host_simd_0f38_np, 0x02), NULL, NULL), /* phaddd */
    ROW(0x03, 0, simd_mmx, MODRM, 0, 8, 0, SSSE3, NONE, NONE, STUB(host_simd_0f38_np, 0x03), NULL, NULL), /* phaddsw */
    ROW(0x04, 0, simd_mmx, MODRM, 0, 8, 0, SSSE3, NONE, NONE, STUB(host_simd_0f38_np, 0x04), NULL,
        NULL), /* pmaddubsw */
    ROW(0x05, 0, simd_mmx, MODRM, 0, 8, 0, SSSE3, NONE, NONE, STUB(host_simd_0f38_np, 0x05), NULL, NULL), /* phsubw */
    ROW(0x06, 0, simd_mmx, MODRM, 0, 8, 0, SSSE3, NONE, NONE, STUB(host_simd_0f38_np, 0x06), NULL, NULL), /* phsubd */
    ROW(0x07, 0, simd_mmx, MODRM, 0, 8, 0, SSSE3, NONE, NONE, STUB(host_simd_0f38_np, 0x07), NULL, NULL), /* phsubsw */
    ROW(0x08, 0, simd_mmx, MODRM, 0, 8, 0, SSSE3, NONE, NONE, STUB(host_simd_0f38_np, 0x08), NULL, NULL), /* psignb */
    ROW(0x09, 0, simd_mmx, MODRM, 0, 8, 0, SSSE3, NONE, NONE, STUB(host_simd_0f38_np, 0x09), NULL, NULL), /* psignw */
    ROW(0x0a, 0, simd_mmx, MODRM, 0, 8, 0, SSSE3, NONE, NONE, STUB(host_simd_0f38_np, 0x0a), NULL, NULL), /* psignd */
    ROW(0x0b, 0, simd_mmx, MODRM, 0, 8, 0, SSSE3, NONE, NONE, STUB(host_simd_0f38_np, 0x0b), NULL, NULL), /* pmulhrsw */
    ROW(0x1c, 0, simd_mmx, MODRM, 0, 8, 0, SSSE3, NONE, NONE, STUB(host_simd_0f38_np, 0x1c), NULL, NULL), /* pabsb */
    ROW(0x1d, 0, simd_mmx, MODRM, 0, 8, 0, SSSE3, NONE, NONE, STUB(host_simd_0f38_np, 0x1d), NULL, NULL), /* pabsw */
    ROW(0x1e, 0, simd_mmx, MODRM, 0, 8, 0, SSSE3, NONE, NONE, STUB(host_simd_0f38_np, 0x1e), NULL, NULL), /* pabsd */
};

static const struct simd_row rows_0f38_66[] = {
    OP_0F38(0x00, simd_vector, SIMD_NDS, 16, 32, SSSE3, AVX, AVX2),                               /* pshufb */
    OP_0F38(0x01, simd_vector, SIMD_NDS, 16, 32, SSSE3, AVX, AVX2),                               /* phaddw */
    OP_0F38(0x02, simd_vector, SIMD_NDS, 16, 32, SSSE3, AVX, AVX2),                               /* phaddd */
    OP_0F38(0x03, simd_vector, SIMD_NDS, 16, 32, SSSE3, AVX, AVX2),                               /* phaddsw */
    OP_0F38(0x04, simd_vector, SIMD_NDS, 16, 32, SSSE3, AVX, AVX2),                               /* pmaddubsw */
    OP_0F38(0x05, simd_vector, SIMD_NDS, 16, 32, SSSE3, AVX, AVX2),                               /* phsubw */
    OP_0F38(0x06, simd_vector, SIMD_NDS, 16, 32, SSSE3, AVX, AVX2),                               /* phsubd */
    OP_0F38(0x07, simd_vector, SIMD_NDS, 16, 32, SSSE3, AVX, AVX2),                               /* phsubsw */
    OP_0F38(0x08, simd_vector, SIMD_NDS, 16, 32, SSSE3, AVX, AVX2),                               /* psignb */
    OP_0F38(0x09, simd_vector, SIMD_NDS, 16, 32, SSSE3, AVX, AVX2),                               /* psignw */
    OP_0F38(0x0a, simd_vector, SIMD_NDS, 16, 32, SSSE3, AVX, AVX2),                               /* psignd */
    OP_0F38(0x0b, simd_vector, SIMD_NDS, 16, 32, SSSE3, AVX, AVX2),                               /* pmulhrsw */
    OP_VEX38(0, 0x0c, simd_vector, SIMD_NDS, 16, 32, AVX, AVX),                                   /* vpermilps */
    OP_VEX38(0, 0x0d, simd_vector, SIMD_NDS, 16, 32, AVX, AVX),                                   /* vpermilpd */
    OP_VEX38(0, 0x0e, simd_compare, 0, 16, 32, AVX, AVX),                                         /* vtestps */
    OP_VEX38(0, 0x0f, simd_compare, 0, 16, 32, AVX, AVX),                                         /* vtestpd */
    ROW(0x10, 0, simd_blend, MODRM, 0, 16, 0, SSE41, NONE, NONE, host_simd_blend_10, NULL, NULL), /* pblendvb */
    ROW(0x14, 0, simd_blend, MODRM, 0, 16, 0, SSE41, NONE, NONE, host_simd_blend_14, NULL, NULL), /* blendvps */
    ROW(0x15, 0, simd_blend, MODRM, 0, 16, 0, SSE41, NONE, NONE, host_simd_blend_15, NULL, NULL), /* blendvpd */
    OP_VEX38(0, 0x13, simd_vector, SIMD_FP | SIMD_NO_AC, 8, 16, F16C, F16C),                      /* vcvtph2ps */
    OP_VEX38(0, 0x16, simd_vector, SIMD_NDS, 0, 32, NONE, AVX2),                                  /* vpermps */
    OP_0F38(0x17, simd_compare, 0, 16, 32, SSE41, AVX, AVX),                                      /* ptest */
    OP_C(0x18, simd_broadcast, MODRM, SIMD_W0, 4, 4, NONE, AVX, AVX),                             /* vbroadcastss */
    OP_C(0x19, simd_broadcast, MODRM, SIMD_W0, 8, 8, NONE, NONE, AVX),                            /* vbroadcastsd */
    OP_C(0x1a, simd_broadcast, MEMORY, SIMD_W0, 16, 16, NONE, NONE, AVX),                         /* vbroadcastf128 */
    OP_0F38(0x1c, simd_vector, 0, 16, 32, SSSE3, AVX, AVX2),                                      /* pabsb */
    OP_0F38(0x1d, simd_vector, 0, 16, 32, SSSE3, AVX, AVX2),                                      /* pabsw */
    OP_0F38(0x1e, simd_vector, 0, 16, 32, SSSE3, AVX, AVX2),                                      /* pabsd */
    OP_0F38(0x20, simd_vector, 0, 8, 16, SSE41, AVX, AVX2),                                       /* pmovsxbw */
    OP_0F38(0x21, simd_vector, 0, 4, 8, SSE41, AVX, AVX2),                                        /* pmovsxbd */
    OP_0F38(0x22, simd_vector, 0, 2, 4, SSE41, AVX, AVX2),                                        /* pmovsxbq */
    OP_0F38(0x23, simd_vector, 0, 8, 16, SSE41, AVX, AVX2),                                       /* pmovsxwd */
    OP_0F38(0x24, simd_vector, 0, 4, 8, SSE41, AVX, AVX2),                                        /* pmovsxwq */
    OP_0F38(0x25, simd_vector, 0, 8, 16, SSE41, AVX, AVX2),                                       /* pmovsxdq */
    OP_0F38(0x28, simd_vector, SIMD_NDS, 16, 32, SSE41, AVX, AVX2),                               /* pmuldq */
    OP_0F38(0x29, simd_vector, SIMD_NDS, 16, 32, SSE41, AVX, AVX2),                               /* pcmpeqq */
    OP_C(0x2a, simd_load, MEMORY, SIMD_ALIGNED, 16, 32, SSE41, AVX, AVX2),                        /* movntdqa */
    OP_0F38(0x2b, simd_vector, SIMD_NDS, 16, 32, SSE41, AVX, AVX2),                               /* packusdw */
    OP_C(0x2c, simd_maskmov_load, MEMORY, SIMD_NDS | SIMD_W0, 0, 0, NONE, AVX, AVX),              /* vmaskmovps */
    OP_C(0x2d, simd_maskmov_load, MEMORY, SIMD_NDS | SIMD_W0, 0, 0, NONE, AVX, AVX),              /* vmaskmovpd */
    OP_C(0x2e, simd_maskmov_store, MEMORY, SIMD_NDS | SIMD_W0, 0, 0, NONE, AVX, AVX),             /* vmaskmovps */
    OP_C(0x2f, simd_maskmov_store, MEMORY, SIMD_NDS | SIMD_W0, 0, 0, NONE, AVX, AVX),             /* vmaskmovpd */
    OP_0F38(0x30, simd_vector, 0, 8, 16, SSE41, AVX, AVX2),                                       /* pmovzxbw */
    OP_0F38(0x31, simd_vector, 0, 4, 8, SSE41, AVX, AVX2),                                        /* pmovzxbd */
    OP_0F38(0x32, simd_vector, 0, 2, 4, SSE41, AVX, AVX2),                                        /* pmovzxbq */
    OP_0F38(0x33, simd_vector, 0, 8, 16, SSE41, AVX, AVX2),                                       /* pmovzxwd */
    OP_0F38(0x34, simd_vector, 0, 4, 8, SSE41, AVX, AVX2),                                        /* pmovzxwq */
    OP_0F38(0x35, simd_vector, 0, 8, 16, SSE41, AVX, AVX2),                                       /* pmovzxdq */
    OP_VEX38(0, 0x36, simd_vector, SIMD_NDS, 0, 32, NONE, AVX2),                                  /* vpermd */
    OP_0F38(0x37, simd_vector, SIMD_NDS, 16, 32, SSE42, AVX, AVX2),                               /* pcmpgtq */
    OP_0F38(0x38, simd_vector, SIMD_NDS, 16, 32, SSE41, AVX, AVX2),                               /* pminsb */
    OP_0F38(0x39, simd_vector, SIMD_NDS, 16, 32, SSE41, AVX, AVX2),                               /* pminsd */
    OP_0F38(0x3a, simd_vector, SIMD_NDS, 16, 32, SSE41, AVX, AVX2),                               /* pminuw */
    OP_0F38(0x3b, simd_vector, SIMD_NDS, 16, 32, SSE41, AVX, AVX2),                               /* pminud */
    OP_0F38(0x3c, simd_vector, SIMD_NDS, 16, 32, SSE41, AVX, AVX2),                               /* pmaxsb */
    OP_0F38(0x3d, simd_vector, SIMD_NDS, 16, 32, SSE41, AVX, AVX2),                               /* pmaxsd */
    OP_0F38(0x3e, simd_vector, SIMD_NDS, 16, 32, SSE41, AVX, AVX2),                               /* pmaxuw */
    OP_0F38(0x3f, simd_vector, SIMD_NDS, 16, 32, SSE41, AVX, AVX2),                               /* pmaxud */
    OP_0F38(0x40, simd_vector, SIMD_NDS, 16, 32, SSE41, AVX, AVX2),                               /* pmulld */
    OP_0F38(0x41, simd_vector, 0, 16, 0, SSE41, AVX, NONE),                                       /* phminposuw */
    OP_VEX38(0, 0x45, simd_vector, SIMD_NDS, 16, 32, AVX2, AVX2),                                 /* vpsrlv */
    OP_VEX38(1, 0x45, simd_vector, SIMD_NDS, 16, 32, AVX2, AVX2),                                 /* vpsrlv */
    OP_VEX38(0, 0x46, simd_vector, SIMD_NDS, 16, 32, AVX2, AVX2),                                 /* vpsravd */
    OP_VEX38(0, 0x47, simd_vector, SIMD_NDS, 16, 32, AVX2, AVX2),                                 /* vpsllv */
    OP_VEX38(1, 0x47, simd_vector, SIMD_NDS, 16, 32, AVX2, AVX2),                                 /* vpsllv */
    OP_C(0x58, simd_broadcast, MODRM, SIMD_W0, 4, 4, NONE, AVX2, AVX2),                           /* vpbroadcastd */
    OP_C(0x59, simd_broadcast, MODRM, SIMD_W0, 8, 8, NONE, AVX2, AVX2),                           /* vpbroadcastq */
    OP_C(0x5a, simd_broadcast, MEMORY, SIMD_W0, 16, 16, NONE, NONE, AVX2),                        /* vbroadcasti128 */
    OP_C(0x78, simd_broadcast, MODRM, SIMD_W0, 1, 1, NONE, AVX2, AVX2),                           /* vpbroadcastb */
    OP_C(0x79, simd_broadcast, MODRM, SIMD_W0, 2, 2, NONE, AVX2, AVX2),                           /* vpbroadcastw */
    OP_C(0x8c, simd_maskmov_load, MEMORY, SIMD_NDS, 0, 0, NONE, AVX2, AVX2),                      /* vpmaskmov */
    OP_C(0x8e, simd_maskmov_store, MEMORY, SIMD_NDS, 0, 0, NONE, AVX2, AVX2),                     /* vpmaskmov */
    OP_C(0x90, simd_gather, MEMORY, SIMD_NDS, 0, 0, NONE, AVX2, AVX2),                            /* vpgatherd */
    OP_C(0x91, simd_gather, MEMORY, SIMD_NDS, 0, 0, NONE, AVX2, AVX2),                            /* vpgatherq */
    OP_C(0x92, simd_gather, MEMORY, SIMD_NDS, 0, 0, NONE, AVX2, AVX2),                            /* vgatherdp */
    OP_C(0x93, simd_gather, MEMORY, SIMD_NDS, 0, 0, NONE, AVX2, AVX2),                            /* vgatherqp */
    OP_VEX38(0, 0x96, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfmaddsub132ps */
    OP_VEX38(1, 0x96, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfmaddsub132pd */
    OP_VEX38(0, 0x97, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfmsubadd132ps */
    OP_VEX38(1, 0x97, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfmsubadd132pd */
    OP_VEX38(0, 0x98, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfmadd132ps */
    OP_VEX38(1, 0x98, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfmadd132pd */
    OP_VEX38(0, 0x99, simd_fma, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 4, 4, FMA, FMA),                /* vfmadd132ss */
    OP_VEX38(1, 0x99, simd_fma, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 8, 8, FMA, FMA),                /* vfmadd132sd */
    OP_VEX38(0, 0x9a, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfmsub132ps */
    OP_VEX38(1, 0x9a, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfmsub132pd */
    OP_VEX38(0, 0x9b, simd_fma, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 4, 4, FMA, FMA),                /* vfmsub132ss */
    OP_VEX38(1, 0x9b, simd_fma, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 8, 8, FMA, FMA),                /* vfmsub132sd */
    OP_VEX38(0, 0x9c, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfnmadd132ps */
    OP_VEX38(1, 0x9c, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfnmadd132pd */
    OP_VEX38(0, 0x9d, simd_fma, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 4, 4, FMA, FMA),                /* vfnmadd132ss */
    OP_VEX38(1, 0x9d, simd_fma, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 8, 8, FMA, FMA),                /* vfnmadd132sd */
    OP_VEX38(0, 0x9e, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfnmsub132ps */
    OP_VEX38(1, 0x9e, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfnmsub132pd */
    OP_VEX38(0, 0x9f, simd_fma, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 4, 4, FMA, FMA),                /* vfnmsub132ss */
    OP_VEX38(1, 0x9f, simd_fma, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 8, 8, FMA, FMA),                /* vfnmsub132sd */
    OP_VEX38(0, 0xa6, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfmaddsub213ps */
    OP_VEX38(1, 0xa6, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfmaddsub213pd */
    OP_VEX38(0, 0xa7, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfmsubadd213ps */
    OP_VEX38(1, 0xa7, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfmsubadd213pd */
    OP_VEX38(0, 0xa8, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfmadd213ps */
    OP_VEX38(1, 0xa8, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfmadd213pd */
    OP_VEX38(0, 0xa9, simd_fma, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 4, 4, FMA, FMA),                /* vfmadd213ss */
    OP_VEX38(1, 0xa9, simd_fma, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 8, 8, FMA, FMA),                /* vfmadd213sd */
    OP_VEX38(0, 0xaa, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfmsub213ps */
    OP_VEX38(1, 0xaa, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfmsub213pd */
    OP_VEX38(0, 0xab, simd_fma, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 4, 4, FMA, FMA),                /* vfmsub213ss */
    OP_VEX38(1, 0xab, simd_fma, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 8, 8, FMA, FMA),                /* vfmsub213sd */
    OP_VEX38(0, 0xac, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfnmadd213ps */
    OP_VEX38(1, 0xac, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfnmadd213pd */
    OP_VEX38(0, 0xad, simd_fma, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 4, 4, FMA, FMA),                /* vfnmadd213ss */
    OP_VEX38(1, 0xad, simd_fma, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 8, 8, FMA, FMA),                /* vfnmadd213sd */
    OP_VEX38(0, 0xae, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfnmsub213ps */
    OP_VEX38(1, 0xae, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfnmsub213pd */
    OP_VEX38(0, 0xaf, simd_fma, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 4, 4, FMA, FMA),                /* vfnmsub213ss */
    OP_VEX38(1, 0xaf, simd_fma, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 8, 8, FMA, FMA),                /* vfnmsub213sd */
    OP_VEX38(0, 0xb6, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfmaddsub231ps */
    OP_VEX38(1, 0xb6, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfmaddsub231pd */
    OP_VEX38(0, 0xb7, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfmsubadd231ps */
    OP_VEX38(1, 0xb7, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfmsubadd231pd */
    OP_VEX38(0, 0xb8, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfmadd231ps */
    OP_VEX38(1, 0xb8, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfmadd231pd */
    OP_VEX38(0, 0xb9, simd_fma, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 4, 4, FMA, FMA),                /* vfmadd231ss */
    OP_VEX38(1, 0xb9, simd_fma, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 8, 8, FMA, FMA),                /* vfmadd231sd */
    OP_VEX38(0, 0xba, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfmsub231ps */
    OP_VEX38(1, 0xba, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfmsub231pd */
    OP_VEX38(0, 0xbb, simd_fma, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 4, 4, FMA, FMA),                /* vfmsub231ss */
    OP_VEX38(1, 0xbb, simd_fma, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 8, 8, FMA, FMA),                /* vfmsub231sd */
    OP_VEX38(0, 0xbc, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfnmadd231ps */
    OP_VEX38(1, 0xbc, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfnmadd231pd */
    OP_VEX38(0, 0xbd, simd_fma, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 4, 4, FMA, FMA),                /* vfnmadd231ss */
    OP_VEX38(1, 0xbd, simd_fma, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 8, 8, FMA, FMA),                /* vfnmadd231sd */
    OP_VEX38(0, 0xbe, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfnmsub231ps */
    OP_VEX38(1, 0xbe, simd_fma, SIMD_NDS | SIMD_FP, 16, 32, FMA, FMA),                            /* vfnmsub231pd */
    OP_VEX38(0, 0xbf, simd_fma, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 4, 4, FMA, FMA),                /* vfnmsub231ss */
    OP_VEX38(1, 0xbf, simd_fma, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 8, 8, FMA, FMA),                /* vfnmsub231sd */
    OP_0F38(0xdb, simd_vector, 0, 16, 0, AES, AVX_AES, NONE),                                     /* aesimc */
    OP_0F38(0xdc, simd_vector, SIMD_NDS, 16, 0, AES, AVX_AES, NONE),                              /* aesenc */
    OP_0F38(0xdd, simd_vector, SIMD_NDS, 16, 0, AES, AVX_AES, NONE),                              /* aesenclast */
    OP_0F38(0xde, simd_vector, SIMD_NDS, 16, 0, AES, AVX_AES, NONE),                              /* aesdec */
    OP_0F38(0xdf, simd_vector, SIMD_NDS, 16, 0, AES, AVX_AES, NONE),                              /* aesdeclast */
};

/* ---- map 0F3A ---- */

static const struct simd_row rows_0f3a_np[] = {
    OP_IMM(0x0f, simd_mmx, 0, 8, 0, SSSE3, NONE, NONE, host_imm_np_0f3a_0f, NULL, NULL), /* palignr */
};

static const struct simd_row rows_0f3a_66[] = {
    OP_IMM(0x00, simd_vector, SIMD_W1, 0, 32, NONE, NONE, AVX2, NULL, NULL, host_imm_vex256_66_0f3a_00), /* vpermq */
    OP_IMM(0x01, simd_vector, SIMD_W1, 0, 32, NONE, NONE, AVX2, NULL, NULL, host_imm_vex256_66_0f3a_01), /* vpermpd */
    OP_IMM(0x02, simd_vector, SIMD_NDS | SIMD_W0, 16, 32, NONE, AVX2, AVX2, NULL, host_imm_vex128_66_0f3a_02,
           host_imm_vex256_66_0f3a_02), /* vpblendd */
    OP_IMM(0x04, simd_vector, SIMD_W0, 16, 32, NONE, AVX, AVX, NULL, host_imm_vex128_66_0f3a_04,
           host_imm_vex256_66_0f3a_04), /* vpermilps */
    OP_IMM(0x05, simd_vector, SIMD_W0, 16, 32, NONE, AVX, AVX, NULL, host_imm_vex128_66_0f3a_05,
           host_imm_vex256_66_0f3a_05), /* vpermilpd */
    OP_IMM(0x06, simd_vector, SIMD_NDS | SIMD_W0, 0, 32, NONE, NONE, AVX, NULL, NULL,
           host_imm_vex256_66_0f3a_06), /* vperm2f128 */
    OP_IMM(0x08, simd_vector, SIMD_FP, 16, 32, SSE41, AVX, AVX, host_imm_66_0f3a_08, host_imm_66_0f3a_08,
           host_imm_vex256_66_0f3a_08), /* roundps */
    OP_IMM(0x09, simd_vector, SIMD_FP, 16, 32, SSE41, AVX, AVX, host_imm_66_0f3a_09, host_imm_66_0f3a_09,
           host_imm_vex256_66_0f3a_09), /* roundpd */
    OP_IMM(0x0a, simd_vector, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 4, 4, SSE41, AVX, AVX, host_imm_66_0f3a_0a,
           host_imm_66_0f3a_0a, host_imm_66_0f3a_0a), /* roundss */
    OP_IMM(0x0b, simd_vector, SIMD_NDS | SIMD_FP | SIMD_SCALAR, 8, 8, SSE41, AVX, AVX, host_imm_66_0f3a_0b,
           host_imm_66_0f3a_0b, host_imm_66_0f3a_0b), /* roundsd */
    OP_IMM(0x0c, simd_vector, SIMD_NDS, 16, 32, SSE41, AVX, AVX, host_imm_66_0f3a_0c, host_imm_66_0f3a_0c,
           host_imm_vex256_66_0f3a_0c), /* blendps */
    OP_IMM(0x0d, simd_vector, SIMD_NDS, 16, 32, SSE41, AVX, AVX, host_imm_66_0f3a_0d, host_imm_66_0f3a_0d,
           host_imm_vex256_66_0f3a_0d), /* blendpd */
    OP_IMM(0x0e, simd_vector, SIMD_NDS, 16, 32, SSE41, AVX, AVX2, host_imm_66_0f3a_0e, host_imm_66_0f3a_0e,
           host_imm_vex256_66_0f3a_0e), /* pblendw */
    OP_IMM(0x0f, simd_vector, SIMD_NDS, 16, 32, SSSE3, AVX, AVX2, host_imm_66_0f3a_0f, host_imm_66_0f3a_0f,
           host_imm_vex256_66_0f3a_0f),                                                /* palignr */
    OP_C(0x14, simd_pextr, IMMEDIATE, 0, 1, 0, SSE41, AVX, NONE),                      /* pextrb */
    OP_C(0x15, simd_pextr, IMMEDIATE, 0, 2, 0, SSE41, AVX, NONE),                      /* pextrw */
    OP_C(0x16, simd_pextr, IMMEDIATE, 0, 4, 0, SSE41, AVX, NONE),                      /* pextrd, pextrq */
    OP_C(0x17, simd_pextr, IMMEDIATE, 0, 4, 0, SSE41, AVX, NONE),                      /* extractps */
    OP_C(0x18, simd_insert128, IMMEDIATE, SIMD_NDS | SIMD_W0, 0, 16, NONE, NONE, AVX), /* vinsertf128 */
    OP_C(0x19, simd_extract128, IMMEDIATE, SIMD_W0, 0, 16, NONE, NONE, AVX),           /* vextractf128 */
    OP_IMM(0x1d, simd_cvtps2ph, SIMD_FP | SIMD_W0, 8, 16, NONE, F16C, F16C, NULL, host_imm_vex128_66_0f3a_1d,
           host_imm_vex256_66_0f3a_1d),                                  /* vcvtps2ph */
    OP_C(0x20, simd_pinsr, IMMEDIATE, SIMD_NDS, 1, 0, SSE41, AVX, NONE), /* pinsrb */
    OP_IMM(0x21, simd_insertps, SIMD_NDS, 4, 0, SSE41, AVX, NONE, host_imm_66_0f3a_21, host_imm_66_0f3a_21,
           NULL),                                                                       /* insertps */
    OP_C(0x22, simd_pinsr, IMMEDIATE, SIMD_NDS, 4, 0, SSE41, AVX, NONE),                /* pinsrd, pinsrq */
    OP_C(0x38, simd_insert128, IMMEDIATE, SIMD_NDS | SIMD_W0, 0, 16, NONE, NONE, AVX2), /* vinserti128 */
    OP_C(0x39, simd_extract128, IMMEDIATE, SIMD_W0, 0, 16, NONE, NONE, AVX2),           /* vextracti128 */
    OP_IMM(0x40, simd_vector, SIMD_NDS | SIMD_FP, 16, 32, SSE41, AVX, AVX, host_imm_66_0f3a_40, host_imm_66_0f3a_40,
           host_imm_vex256_66_0f3a_40), /* dpps */
    OP_IMM(0x41, simd_vector, SIMD_NDS | SIMD_FP, 16, 0, SSE41, AVX, NONE, host_imm_66_0f3a_41, host_imm_66_0f3a_41,
           NULL), /* dppd */
    OP_IMM(0x42, simd_vector, SIMD_NDS, 16, 32, SSE41, AVX, AVX2, host_imm_66_0f3a_42, host_imm_66_0f3a_42,
           host_imm_vex256_66_0f3a_42), /* mpsadbw */
    OP_IMM(0x44, simd_vector, SIMD_NDS, 16, 0, PCLMUL, AVX_PCLMUL, NONE, host_imm_66_0f3a_44, host_imm_66_0f3a_44,
           NULL), /* pclmulqdq */
    OP_IMM(0x46, simd_vector, SIMD_NDS | SIMD_W0, 0, 32, NONE, NONE, AVX2, NULL, NULL,
           host_imm_vex256_66_0f3a_46), /* vperm2i128 */
    OP_IMM(0x4a, simd_blend_is4, SIMD_NDS | SIMD_W0, 16, 32, NONE, AVX, AVX, NULL, host_simd_vex128_4a,
           host_simd_vex256_4a), /* vblendvps */
    OP_IMM(0x4b, simd_blend_is4, SIMD_NDS | SIMD_W0, 16, 32, NONE, AVX, AVX, NULL, host_simd_vex128_4b,
           host_simd_vex256_4b), /* vblendvpd */
    OP_IMM(0x4c, simd_blend_is4, SIMD_NDS | SIMD_W0, 16, 32, NONE, AVX, AVX2, NULL, host_simd_vex128_4c,
           host_simd_vex256_4c), /* vpblendvb */
    OP_IMM(0x60, simd_string, SIMD_UNALIGNED, 16, 0, SSE42, AVX, NONE, host_imm_66_0f3a_60, host_imm_66_0f3a_60,
           NULL), /* pcmpestrm */
    OP_IMM(0x61, simd_string, SIMD_UNALIGNED, 16, 0, SSE42, AVX, NONE, host_imm_66_0f3a_61, host_imm_66_0f3a_61,
           NULL), /* pcmpestri */
    OP_IMM(0x62, simd_string, SIMD_UNALIGNED, 16, 0, SSE42, AVX, NONE, host_imm_66_0f3a_62, host_imm_66_0f3a_62,
           NULL), /* pcmpistrm */
    OP_IMM(0x63, simd_string, SIMD_UNALIGNED, 16, 0, SSE42, AVX, NONE, host_imm_66_0f3a_63, host_imm_66_0f3a_63,
           NULL), /* pcmpistri */
    OP_IMM(0xdf, simd_vector, 0, 16, 0, AES, AVX_AES, NONE, host_imm_66_0f3a_df, host_imm_66_0f3a_df,
           NULL), /* aeskeygenassist */
};

/* ---- x87 ---- */

static const struct soft_opcode x87_rows[2] = {
    {x87_memory, SOFT_OP_MODRM, 0, NULL},
    {x87_register, SOFT_OP_MODRM, 0, NULL},
};
static const struct soft_opcode wait_row = {x87_wait, 0, 0, NULL};

#define OPCODE_WAIT 0x9b
#define OPCODE_X87 0xd8

/* Which instructions there are. Of memory forms: a bit for each ModRM.reg. Of register forms: a bit for each ModRM from
 * C0 to FF, the undocumented aliases of FCOM, FXCH and FSTP included. */
struct x87_opcodes {
    uint8_t memory;
    uint64_t registers;
};

static const struct x87_opcodes x87_opcodes[8] = {
    {0xff, 0xffffffffffffffffull}, /* D8 */
    {0xfd, 0xffff7f33ff01ffffull}, /* D9 */
    {0xff, 0x00000200ffffffffull}, /* DA */
    {0xaf, 0x00ffff1fffffffffull}, /* DB */
    {0xff, 0xffffffffffffffffull}, /* DC */
    {0xdf, 0x0000ffffffffffffull}, /* DD */
    {0xff, 0xffffffff02ffffffull}, /* DE */
    {0xff, 0x00ffff01ffffffffull}, /* DF */
};

static const struct soft_opcode *x87_opcode(uint8_t opcode, uint8_t modrm)
{
    const struct x87_opcodes *known = &x87_opcodes[opcode & 7];
    const bool is_register = modrm >= 0xc0;
    const bool exists =
        is_register ? (known->registers >> (modrm & 63) & 1) != 0 : (known->memory >> (modrm >> 3 & 7) & 1) != 0;
    return exists ? &x87_rows[is_register] : NULL;
}

/* ---- looking up ---- */

struct simd_table {
    const struct simd_row *rows;
    size_t count;
};

#define TABLE(rows)                                                                                                    \
    {                                                                                                                  \
        rows, sizeof rows / sizeof rows[0]                                                                             \
    }

/* By map, then by mandatory prefix: none, 66, F3, F2. */
static const struct simd_table tables[3][4] = {
    {TABLE(rows_0f_np), TABLE(rows_0f_66), TABLE(rows_0f_f3), TABLE(rows_0f_f2)},
    {TABLE(rows_0f38_np), TABLE(rows_0f38_66), {NULL, 0}, {NULL, 0}},
    {TABLE(rows_0f3a_np), TABLE(rows_0f3a_66), {NULL, 0}, {NULL, 0}},
};

/* F2 and F3 count before 66 (Intel SDM volume 2, 2.1.2). */
static unsigned mandatory_prefix(unsigned prefixes)
{
    if ((prefixes & SOFT_PREFIX_REPNE) != 0)
        return 3;
    if ((prefixes & SOFT_PREFIX_REP) != 0)
        return 2;
    return (prefixes & SOFT_PREFIX_OPSIZE) != 0 ? 1 : 0;
}

struct simd_key {
    uint8_t opcode, digit;
    enum simd_kind kind;
    bool w;
};

static bool matches(const struct simd_row *row, const struct simd_key *key)
{
    const struct simd_info *info = row->entry.data;
    const unsigned wrong_w = key->w ? SIMD_W0 : SIMD_W1;
    return row->opcode == key->opcode && (row->digit == 0 || row->digit == key->digit) &&
           info->feature[key->kind] != NONE && (key->kind == SIMD_LEGACY || (info->flags & wrong_w) == 0);
}

const struct soft_opcode *soft_simd_opcode(enum soft_map map, uint8_t opcode, unsigned prefixes, uint8_t modrm,
                                           bool rex_w, bool vex_256)
{
    const bool is_vex = (prefixes & SOFT_PREFIX_VEX) != 0;
    if (map == SOFT_MAP_ONE_BYTE) {
        if (opcode == OPCODE_WAIT)
            return &wait_row;
        return (opcode & 0xf8) == OPCODE_X87 ? x87_opcode(opcode, modrm) : NULL;
    }
    const struct simd_key key = {.opcode = opcode,
                                 .digit = (uint8_t)(1 + (modrm >> 3 & 7)),
                                 .kind = !is_vex   ? SIMD_LEGACY
                                         : vex_256 ? SIMD_VEX256
                                                   : SIMD_VEX128,
                                 .w = rex_w};
    const struct simd_table *table = &tables[map - SOFT_MAP_0F][mandatory_prefix(prefixes)];
    for (size_t i = 0; i < table->count; i++)
        if (matches(&table->rows[i], &key))
            return &table->rows[i].entry;
    return NULL;
}
