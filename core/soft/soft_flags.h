/*
 * The flags. The six arithmetic ones are computed only when something asks for them, from the operation that set them
 * last: cpu->flag_operation, flag_result, flag_left, flag_right.
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

/* All of RFLAGS, bit 1 included. */
uint64_t soft_rflags(const struct soft_cpu *cpu);

/* Replace all of RFLAGS; bit 1 is set, bits that do not exist are cleared. Calls soft_update_attention(). */
void soft_set_rflags(struct soft_cpu *cpu, uint64_t value);

/* Replace the six arithmetic flags only. */
void soft_set_arithmetic(struct soft_cpu *cpu, uint32_t value);

#endif
