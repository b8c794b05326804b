/*
 * MOV to and from control and debug registers, CLTS (Intel SDM volume 2, MOV; volume 3, 2.5 and 17.2). Only 64-bit code
 * executes here, so that paging and long mode cannot be left: from 64-bit mode every attempt raises #GP(0).
 */
#include "soft_handlers.h"
#include "soft_mem.h"
#include "soft_system.h"

/* ---- control registers ---- */

#define CR0_NW (1u << 29)
#define CR0_CD (1u << 30)
#define CR0_EM (1u << 2)
#define CR0_EXISTING                                                                                                   \
    (MH_CR0_PE | MH_CR0_MP | CR0_EM | SOFT_CR0_TS | MH_CR0_NE | MH_CR0_WP | MH_CR0_AM | CR0_NW | CR0_CD | MH_CR0_PG)

#define CR4_PSE (1u << 4)
#define CR4_MCE (1u << 6)
#define CR4_PGE (1u << 7)
#define CR4_PCE (1u << 8)

#define CR8_EXISTING 0xfu

/* Bits of CR4 that exist whatever the processor, and those that come with a feature. */
#define CR4_ALWAYS (MH_CR4_PAE | CR4_PCE | MH_CR4_OSFXSR | MH_CR4_OSXMMEXCPT)

static const struct {
    uint32_t bit;
    enum x86_feature feature;
} cr4_features[] = {
    {SOFT_CR4_TSD, X86_FEATURE_TSC},     {MH_CR4_DE, X86_FEATURE_DE},
    {CR4_PSE, X86_FEATURE_PSE},          {CR4_MCE, X86_FEATURE_MCE},
    {CR4_PGE, X86_FEATURE_PGE},          {SOFT_CR4_UMIP, X86_FEATURE_UMIP},
    {MH_CR4_OSXSAVE, X86_FEATURE_XSAVE}, {SOFT_CR4_FSGSBASE, X86_FEATURE_FSGSBASE},
    {MH_CR4_SMEP, X86_FEATURE_SMEP},     {MH_CR4_SMAP, X86_FEATURE_SMAP},
};

/* Bits that change what addresses translate to, or who may use them. */
#define CR0_OF_TRANSLATION (MH_CR0_WP | MH_CR0_AM)
#define CR4_OF_TRANSLATION (CR4_PSE | CR4_PGE | MH_CR4_SMEP | MH_CR4_SMAP)

uint64_t soft_cr4_existing(const struct soft_cpu *cpu)
{
    uint64_t bits = CR4_ALWAYS;
    for (unsigned i = 0; i < sizeof cr4_features / sizeof cr4_features[0]; i++) {
        if (x86_cpuid_has(cpu->cpuid, cr4_features[i].feature))
            bits |= cr4_features[i].bit;
    }
    return bits;
}

enum soft_result soft_load_cr0(struct soft_cpu *cpu, const struct soft_insn *insn, uint64_t value)
{
    if (value > UINT32_MAX || !(value & MH_CR0_PE) || !(value & MH_CR0_PG) || ((value & CR0_NW) && !(value & CR0_CD)))
        return soft_gp0(cpu);
    const uint64_t old = cpu->cr0;
    cpu->cr0 = (value & CR0_EXISTING) | MH_CR0_ET; /* reserved bits are ignored */
    if ((old ^ cpu->cr0) & CR0_OF_TRANSLATION)
        soft_tlb_flush(cpu);
    soft_update_attention(cpu);
    return soft_done(cpu, insn);
}

static enum soft_result load_cr3(struct soft_cpu *cpu, const struct soft_insn *insn, uint64_t value)
{
    if (value >> cpu->cpuid->physical_bits != 0)
        return soft_gp0(cpu);
    const uint64_t old = cpu->cr3;
    cpu->cr3 = value;
    soft_tlb_flush(cpu);
    soft_note_cr3(cpu, old);
    return soft_done(cpu, insn);
}

static enum soft_result load_cr4(struct soft_cpu *cpu, const struct soft_insn *insn, uint64_t value)
{
    if ((value & ~soft_cr4_existing(cpu)) != 0 || !(value & MH_CR4_PAE))
        return soft_gp0(cpu);
    const uint64_t old = cpu->cr4;
    cpu->cr4 = value;
    if ((old ^ value) & CR4_OF_TRANSLATION)
        soft_tlb_flush(cpu);
    soft_update_attention(cpu);
    return soft_done(cpu, insn);
}

static bool is_control_register(unsigned number)
{
    return number == 0 || number == 2 || number == 3 || number == 4 || number == 8;
}

enum soft_result soft_op_mov_to_cr(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const uint64_t value = cpu->gpr[insn->rm];
    if (!is_control_register(insn->reg))
        return soft_raise(cpu, VECTOR_UD);
    if (soft_is_unprivileged(cpu))
        return soft_gp0(cpu);
    switch (insn->reg) {
    case 0:
        return soft_load_cr0(cpu, insn, value);
    case 2:
        cpu->cr2 = value;
        return SOFT_NEXT;
    case 3:
        return load_cr3(cpu, insn, value);
    case 4:
        return load_cr4(cpu, insn, value);
    default:
        if (value & ~(uint64_t)CR8_EXISTING)
            return soft_gp0(cpu);
        cpu->cr8 = value;
        return SOFT_NEXT;
    }
}

enum soft_result soft_op_mov_from_cr(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const uint64_t values[] = {[0] = cpu->cr0, [2] = cpu->cr2, [3] = cpu->cr3, [4] = cpu->cr4, [8] = cpu->cr8};
    if (!is_control_register(insn->reg))
        return soft_raise(cpu, VECTOR_UD);
    if (soft_is_unprivileged(cpu))
        return soft_gp0(cpu);
    cpu->gpr[insn->rm] = values[insn->reg];
    return SOFT_NEXT;
}

enum soft_result soft_op_clts(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (soft_is_unprivileged(cpu))
        return soft_gp0(cpu);
    cpu->cr0 &= ~(uint64_t)SOFT_CR0_TS;
    return soft_done(cpu, insn);
}

/* ---- debug registers ---- */

#define DR6_EXISTING 0xe00fu /* B0 to B3, BD, BS, BT */
#define DR6_FIXED_ONES 0xffff0ff0u
#define DR6_BD (1u << 13)
#define DR7_EXISTING 0xffff23ffu /* L0 to G3, LE, GE, GD, and the fields of the four breakpoints */
#define DR7_FIXED_ONES 0x400u
#define DR7_GD (1u << 13)

/* DR4 and DR5 are other names of DR6 and DR7, unless CR4.DE is set (17.2.2). */
static enum soft_result check_debug_access(struct soft_cpu *cpu, unsigned number)
{
    if (number > 7 || ((number == 4 || number == 5) && (cpu->cr4 & MH_CR4_DE)))
        return soft_raise(cpu, VECTOR_UD);
    if (soft_is_unprivileged(cpu))
        return soft_gp0(cpu);
    if (cpu->dr7 & DR7_GD) {
        soft_raise(cpu, VECTOR_DB);
        cpu->fault.dr6 = DR6_BD;
        return SOFT_FAULT;
    }
    return SOFT_NEXT;
}

enum soft_result soft_op_mov_to_dr(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const uint64_t value = cpu->gpr[insn->rm];
    const enum soft_result result = check_debug_access(cpu, insn->reg);
    if (result != SOFT_NEXT)
        return result;
    if (insn->reg >= 4 && value > UINT32_MAX)
        return soft_gp0(cpu);
    if (insn->reg < 4)
        cpu->dr[insn->reg] = value;
    else if (insn->reg == 4 || insn->reg == 6)
        cpu->dr6 = (value & DR6_EXISTING) | DR6_FIXED_ONES;
    else
        cpu->dr7 = (value & DR7_EXISTING) | DR7_FIXED_ONES;
    soft_update_attention(cpu);
    return soft_done(cpu, insn);
}

enum soft_result soft_op_mov_from_dr(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const enum soft_result result = check_debug_access(cpu, insn->reg);
    if (result != SOFT_NEXT)
        return result;
    if (insn->reg < 4)
        cpu->gpr[insn->rm] = cpu->dr[insn->reg];
    else
        cpu->gpr[insn->rm] = insn->reg == 4 || insn->reg == 6 ? cpu->dr6 : cpu->dr7;
    return SOFT_NEXT;
}
