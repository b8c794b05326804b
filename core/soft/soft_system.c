/*
 * Small privileged instructions, and the group 0F 01, whose register forms are instructions of their own (Intel SDM
 * volume 2, table A-6). Caches do not exist here: INVD and WBINVD check the ring and do nothing.
 */
#include "soft_system.h"

#include "soft_flags.h"
#include "soft_handlers.h"
#include "soft_mem.h"

/* ---- HLT, caches, interrupt flag ---- */

/* soft_run.c retires it, and leaves the guest behind it. */
enum soft_result soft_op_hlt(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (soft_is_unprivileged(cpu))
        return soft_gp0(cpu);
    cpu->exit->instruction_length = insn->length;
    cpu->exit->kind = CPU_EXIT_HALT;
    return SOFT_EXIT;
}

static enum soft_result privileged_nop(struct soft_cpu *cpu)
{
    return soft_is_unprivileged(cpu) ? soft_gp0(cpu) : SOFT_NEXT;
}

enum soft_result soft_op_invd(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    (void)insn;
    return privileged_nop(cpu);
}

enum soft_result soft_op_wbinvd(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    (void)insn;
    return privileged_nop(cpu);
}

static bool may_change_if(const struct soft_cpu *cpu)
{
    return soft_cpl(cpu) <= (cpu->rflags & SOFT_RFLAGS_IOPL) >> 12;
}

enum soft_result soft_op_cli(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    (void)insn;
    if (!may_change_if(cpu))
        return soft_gp0(cpu);
    cpu->rflags &= ~(uint64_t)MH_RFLAGS_IF;
    return SOFT_NEXT;
}

/* Interrupts stay blocked for one more instruction when they were blocked before (Intel SDM volume 2, STI). */
enum soft_result soft_op_sti(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!may_change_if(cpu))
        return soft_gp0(cpu);
    if (cpu->rflags & MH_RFLAGS_IF)
        return SOFT_NEXT;
    cpu->rflags |= MH_RFLAGS_IF;
    cpu->shadow |= MH_SHADOW_STI;
    soft_update_attention(cpu);
    return soft_done(cpu, insn);
}

/* Not offered by CPUID. */
enum soft_result soft_op_invpcid(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return soft_op_ud(cpu, insn);
}

/* ---- members of 0F 01 ---- */

/* The operand need not be canonical; what is not is in no TLB. */
enum soft_result soft_invlpg(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (soft_is_unprivileged(cpu))
        return soft_gp0(cpu);
    soft_tlb_flush_page(cpu, soft_address(cpu, insn));
    return soft_done(cpu, insn);
}

static enum soft_result swapgs(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    (void)insn;
    if (soft_is_unprivileged(cpu))
        return soft_gp0(cpu);
    const uint64_t base = cpu->seg[MH_GS].base;
    cpu->seg[MH_GS].base = cpu->msrs.kernel_gs_base;
    cpu->msrs.kernel_gs_base = base;
    return SOFT_NEXT;
}

static enum soft_result set_ac(struct soft_cpu *cpu, const struct soft_insn *insn, bool ac)
{
    if (!x86_cpuid_has(cpu->cpuid, X86_FEATURE_SMAP) || soft_cpl(cpu) != 0)
        return soft_raise(cpu, VECTOR_UD);
    cpu->rflags = ac ? cpu->rflags | SOFT_RFLAGS_AC : cpu->rflags & ~(uint64_t)SOFT_RFLAGS_AC;
    soft_update_attention(cpu);
    return soft_done(cpu, insn);
}

static enum soft_result clac(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return set_ac(cpu, insn, false);
}

static enum soft_result stac(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return set_ac(cpu, insn, true);
}

/* ---- 0F 01 ---- */

/* Memory forms, and those whose register form is the same instruction, by ModRM.reg. */
static soft_handler *const by_reg[8] = {
    soft_sgdt, soft_sidt, soft_lgdt, soft_lidt, soft_smsw, NULL, soft_lmsw, soft_invlpg,
};

/* Register forms, by the whole ModRM byte. Those that change meaning with 66, F2 or F3 exist without them only. */
static const struct {
    uint8_t modrm;
    bool without_prefix;
    soft_handler *run;
} by_modrm[] = {
    {0xca, true, clac},           {0xcb, true, stac},    {0xd0, true, soft_op_xgetbv},
    {0xd1, true, soft_op_xsetbv}, {0xf8, false, swapgs}, {0xf9, false, soft_op_rdtscp},
};

static soft_handler *find_register_form(const struct soft_insn *insn)
{
    const unsigned prefixes = insn->prefixes & (SOFT_PREFIX_OPSIZE | SOFT_PREFIX_REP | SOFT_PREFIX_REPNE);
    const unsigned reg = insn->modrm >> 3 & 7;
    if (reg == 4 || reg == 6)
        return by_reg[reg];
    for (unsigned i = 0; i < sizeof by_modrm / sizeof by_modrm[0]; i++) {
        if (by_modrm[i].modrm == insn->modrm && (prefixes == 0 || !by_modrm[i].without_prefix))
            return by_modrm[i].run;
    }
    return NULL;
}

/* What is not in the tables above belongs to extensions that CPUID does not offer: VMX, SVM, SGX, MONITOR, PKU, CET. */
enum soft_result soft_op_group_0f01(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    soft_handler *run = insn->has_memory ? by_reg[insn->modrm >> 3 & 7] : find_register_form(insn);
    return run == NULL ? soft_raise(cpu, VECTOR_UD) : run(cpu, insn);
}
