/*
 * From instructions to the operations of the fast loop. Instructions that are frequent, in forms that are frequent,
 * have an operation of their own for each operand size; all others become OP_HANDLER.
 */
#ifndef MH_CORE_SOFT_SOFT_TRANSLATE_H
#define MH_CORE_SOFT_SOFT_TRANSLATE_H

#include "soft_block.h"
#include "soft_flags.h"

/* clang-format 14 changes lists of macro arguments each time it sees them. */
/* clang-format off */
/* R: register, I: immediate, M: memory; the destination first. */
#define SOFT_FORMS(X, name)                                                                                            \
    X(name##_RR8)                                                                                                      \
    X(name##_RR32)                                                                                                     \
    X(name##_RR64) X(name##_RI8) X(name##_RI32) X(name##_RI64) X(name##_RM8) X(name##_RM32) X(name##_RM64)             \
        X(name##_MR8) X(name##_MR32) X(name##_MR64) X(name##_MI8) X(name##_MI32) X(name##_MI64)

#define SOFT_SIZES(X, name) X(name##32) X(name##64)

/* Jcc by what is known about the operation that set the flags. */
#define SOFT_JCC_SPECIAL(X)                                                                                            \
    X(JZ_RESULT)                                                                                                       \
    X(JNZ_RESULT)                                                                                                      \
    X(JS_RESULT32) X(JS_RESULT64) X(JNS_RESULT32) X(JNS_RESULT64) X(JB_SUB) X(JAE_SUB) X(JBE_SUB) X(JA_SUB)            \
        X(JL_SUB32) X(JL_SUB64) X(JGE_SUB32) X(JGE_SUB64) X(JLE_SUB32) X(JLE_SUB64) X(JG_SUB32) X(JG_SUB64)            \
            X(JLE_LOGIC32) X(JLE_LOGIC64) X(JG_LOGIC32) X(JG_LOGIC64)

/* A comparison and the Jcc behind it in one; the Jcc follows as an operation of its own, which says where it leads. */
#define SOFT_FUSED(X, name)                                                                                            \
    X(name##_JZ)                                                                                                       \
    X(name##_JNZ)                                                                                                      \
    X(name##_JB) X(name##_JAE) X(name##_JBE) X(name##_JA) X(name##_JL) X(name##_JGE) X(name##_JLE) X(name##_JG)

/* SSE; in the order of enum simd_shape. */
#define SOFT_SSE(X)                                                                                                    \
    X(SSE_RR)                                                                                                          \
    X(SSE_RM4)                                                                                                         \
    X(SSE_RM8) X(SSE_RM16) X(SSE_MOVE) X(SSE_LOAD4) X(SSE_LOAD8) X(SSE_LOAD16) X(SSE_LOAD16_ALIGNED) X(SSE_STORE4)     \
        X(SSE_STORE8) X(SSE_STORE16) X(SSE_STORE16_ALIGNED)

/* Calculations that have an operation of their own, with the bytes of an operand; each as RR and RM. */
#define SOFT_SSE_HOT(X)                                                                                                \
    X(addsd, 8)                                                                                                        \
    X(mulsd, 8)                                                                                                        \
    X(subsd, 8) X(divsd, 8) X(addpd, 16) X(mulpd, 16) X(subpd, 16) X(addss, 4) X(mulss, 4) X(subss, 4) X(addps, 16)    \
        X(mulps, 16) X(subps, 16)

#define SOFT_OPS(X)                                                                                                    \
    X(HANDLER)                                                                                                         \
    X(BITS)                                                                                                            \
    X(END)                                                                                                             \
    X(NOP) SOFT_SSE(X) SOFT_FORMS(X, ADD) SOFT_FORMS(X, OR) SOFT_FORMS(X, ADC) SOFT_FORMS(X, SBB) SOFT_FORMS(X, AND)   \
        SOFT_FORMS(X, SUB) SOFT_FORMS(X, XOR) SOFT_FORMS(X, CMP) SOFT_FORMS(X, TEST) SOFT_SIZES(X, INC_R)              \
            SOFT_SIZES(X, DEC_R) SOFT_SIZES(X, INC_M) SOFT_SIZES(X, DEC_M) SOFT_SIZES(X, NEG_R) SOFT_SIZES(X, NOT_R)   \
                SOFT_SIZES(X, ROL_I) SOFT_SIZES(X, ROR_I) SOFT_SIZES(X, SHL_I) SOFT_SIZES(X, SHR_I) SOFT_SIZES(X, SAR_I) SOFT_SIZES(X, SHL_C)                    \
                    SOFT_SIZES(X, SHR_C) SOFT_SIZES(X, SAR_C) SOFT_SIZES(X, IMUL_RR) SOFT_SIZES(X, IMUL_RM)            \
                        SOFT_SIZES(X, IMUL_RRI) SOFT_SIZES(X, MUL_R) SOFT_SIZES(X, IMUL_R) SOFT_SIZES(X, DIV_R)        \
                            SOFT_SIZES(X, IDIV_R) X(MOV_RR8) SOFT_SIZES(X, MOV_RR) X(MOV_RI8) X(MOV_WIDE) X(LOAD8)     \
                                SOFT_SIZES(X, LOAD) X(STORE8) X(STORE16) SOFT_SIZES(X, STORE) X(STORE_I8) X(STORE_I16) \
                                    SOFT_SIZES(X, STORE_I) X(MOVZX_RR8) X(MOVZX_RR16) X(MOVZX_RM8) X(MOVZX_RM16)       \
                                        SOFT_SIZES(X, MOVSX_RR8_) SOFT_SIZES(X, MOVSX_RR16_) SOFT_SIZES(X, MOVSX_RM8_) \
                                            SOFT_SIZES(X, MOVSX_RM16_) X(MOVSXD_RR) X(MOVSXD_RM) SOFT_SIZES(X, LEA)    \
                                                SOFT_SIZES(X, CBW) SOFT_SIZES(X, CWD) SOFT_SIZES(X, CMOV) X(SETCC)     \
                                                    X(PUSH_R) X(PUSH_I) X(POP_R) X(LEAVE) X(CALL) X(CALL_PAGE)         \
                                                        X(CALL_R) X(RET) X(JMP) X(JMP_PAGE) X(JMP_R) X(JMP_M) X(JCC)   \
                                                            X(JCC_PAGE) SOFT_JCC_SPECIAL(X) SOFT_FUSED(X, CMP_RR32)    \
                                                                SOFT_FUSED(X, CMP_RR64) SOFT_FUSED(X, CMP_RI32)        \
                                                                    SOFT_FUSED(X, CMP_RI64) X(TEST_RR32_JZ)            \
                                                                        X(TEST_RR32_JNZ) X(TEST_RR64_JZ)               \
                                                                            X(TEST_RR64_JNZ)
/* clang-format on */

#define SOFT_OP_ENUM(name) OP_##name,

#define SOFT_OP_ENUM_HOT(name, size) OP_##name##_RR, OP_##name##_RM,

enum soft_op_code { SOFT_OPS(SOFT_OP_ENUM) SOFT_SSE_HOT(SOFT_OP_ENUM_HOT) };

/* Does the operation keep its instruction? OP_BITS is a bit test or scan of registers, which generated code has. */
static inline bool soft_op_has_insn(const struct soft_op *op)
{
    return op->code == OP_HANDLER || op->code == OP_BITS;
}

/* What the translation of a block knows about the instructions before. */
struct soft_translation {
    const struct soft_block_cache *cache;
    unsigned flags;         /* flag_operation of the last instruction that set flags; SOFT_FLAGS_KNOWN: not known */
    struct soft_op *before; /* the operation before, when its flags can be tested together with it; else NULL */
};

/* Fill in *op. True when the block ends with it. */
bool soft_translate(struct soft_translation *translation, const struct soft_insn *insn, unsigned offset,
                    struct soft_op *op);

#endif
