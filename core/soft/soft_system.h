/* What the files of system instructions share among themselves. */
#ifndef MH_CORE_SOFT_SOFT_SYSTEM_H
#define MH_CORE_SOFT_SOFT_SYSTEM_H

#include "soft_descriptor.h"

#define SOFT_CR0_TS (1u << 3)

#define SOFT_CR4_TSD (1u << 2)
#define SOFT_CR4_UMIP (1u << 11)
#define SOFT_CR4_FSGSBASE (1u << 16)

/* ---- soft_segment.c ---- */

/* Store a selector, or another word of 16 bits, in a register or memory. */
enum soft_result soft_store_selector(struct soft_cpu *cpu, const struct soft_insn *insn, uint16_t selector);

/* The bytes of a far pointer's offset. */
unsigned soft_far_offset_size(const struct soft_cpu *cpu, const struct soft_insn *insn);

/* Read the far pointer m16:16, m16:32 or m16:64 that the instruction names. */
enum soft_result soft_read_far_pointer(struct soft_cpu *cpu, const struct soft_insn *insn, uint64_t *offset,
                                       uint16_t *selector);

/* ---- soft_lar.c ---- */

/* VERR and VERW. */
enum soft_result soft_verify(struct soft_cpu *cpu, const struct soft_insn *insn, bool for_write);

/* ---- soft_control.c ---- */

/* The bits of CR4 that this processor has (Intel SDM volume 3, 2.5). */
uint64_t soft_cr4_existing(const struct soft_cpu *cpu);

/* Load CR0 by MOV or LMSW: checks, flushes translations. */
enum soft_result soft_load_cr0(struct soft_cpu *cpu, const struct soft_insn *insn, uint64_t value);

/* ---- soft_tables.c ---- */

/* The memory forms of 0F 01, and SMSW and LMSW in both forms. */
soft_handler soft_sgdt, soft_sidt, soft_lgdt, soft_lidt, soft_smsw, soft_lmsw, soft_invlpg;

/* ---- soft_cpuid.c ---- */
soft_handler soft_op_xgetbv, soft_op_xsetbv;

/* ---- for handlers ---- */

/* Ring 0 is needed, and this is not it. */
static inline bool soft_is_unprivileged(const struct soft_cpu *cpu)
{
    return soft_cpl(cpu) != 0;
}

static inline enum soft_result soft_gp0(struct soft_cpu *cpu)
{
    return soft_raise_error(cpu, VECTOR_GP, 0);
}

/* UMIP keeps outer rings from reading the addresses of tables (Intel SDM volume 3, 2.5). */
static inline bool soft_is_kept_by_umip(const struct soft_cpu *cpu)
{
    return (cpu->cr4 & SOFT_CR4_UMIP) && soft_cpl(cpu) != 0;
}

/* Is each byte one of the memory types that PAT can have? */
bool soft_pat_is_valid(uint64_t pat);

#endif
