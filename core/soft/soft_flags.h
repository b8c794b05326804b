/*
 * The flags. The six arithmetic ones are computed only when something asks for them, from the operation that set them
 * last: cpu->flag_operation, flag_result, flag_left, flag_right.
 *
 * flag_operation is SOFT_FLAGS_*, a kind in steps of 4, plus the logarithm of the operand size; the three values are
 * zero-extended from that size. Flags that the manual leaves undefined come from the host (host_x86_64_int.h), which
 * executes the instruction again on the same operands.
 */
#ifndef MH_CORE_SOFT_SOFT_FLAGS_H
#define MH_CORE_SOFT_SOFT_FLAGS_H

#include "soft_cpu.h"

#define SOFT_CF (1u << 0)
#define SOFT_PF (1u << 2)
#define SOFT_AF (1u << 4)
#define SOFT_ZF (1u << 6)
#define SOFT_SF (1u << 7)
#define SOFT_OF (1u << 11)
#define SOFT_ARITHMETIC (SOFT_CF | SOFT_PF | SOFT_AF | SOFT_ZF | SOFT_SF | SOFT_OF)

enum soft_flags_kind {
    SOFT_FLAGS_KNOWN = 0,  /* flag_result is the flags themselves; has no size */
    SOFT_FLAGS_ADD = 4,    /* ADD, ADC: both operands, result */
    SOFT_FLAGS_SUB = 8,    /* SUB, SBB, CMP: both operands, result */
    SOFT_FLAGS_LOGIC = 12, /* AND, OR, XOR, TEST: result */
    SOFT_FLAGS_INC = 16,   /* result; flag_right is CF, which stays as it was */
    SOFT_FLAGS_DEC = 20,
    SOFT_FLAGS_SHL = 24, /* flag_left is what was shifted, flag_right the count, which is not 0 */
    SOFT_FLAGS_SHR = 28,
    SOFT_FLAGS_SAR = 32,
    SOFT_FLAGS_MUL = 36,   /* both factors */
    SOFT_FLAGS_IMUL = 40,  /* one operand */
    SOFT_FLAGS_IMUL2 = 44, /* two or three operands */
};

/* All of RFLAGS, bit 1 included. */
uint64_t soft_rflags(const struct soft_cpu *cpu);

/* Replace all of RFLAGS; bit 1 is set, bits that do not exist are cleared. Calls soft_update_attention(). */
void soft_set_rflags(struct soft_cpu *cpu, uint64_t value);

/* Replace the six arithmetic flags only. */
void soft_set_arithmetic(struct soft_cpu *cpu, uint32_t value);

/* The six arithmetic flags. */
uint32_t soft_arithmetic(const struct soft_cpu *cpu);

/* Only the carry flag, 0 or 1. */
unsigned soft_carry(const struct soft_cpu *cpu);

/* Does condition `code`, the low four bits of Jcc, SETcc and CMOVcc, hold (Intel SDM volume 1, appendix B)? */
bool soft_condition(const struct soft_cpu *cpu, unsigned code);

static inline unsigned soft_log2_size(unsigned size)
{
    return size == 8 ? 3 : size >> 1;
}

static inline void soft_flags_from(struct soft_cpu *cpu, enum soft_flags_kind kind, unsigned size, uint64_t left,
                                   uint64_t right, uint64_t result)
{
    cpu->flag_operation = (uint8_t)(kind + soft_log2_size(size));
    cpu->flag_left = left;
    cpu->flag_right = right;
    cpu->flag_result = result;
}

#endif
