/*
 * SYSCALL, SYSRET, SYSENTER and SYSEXIT (Intel SDM volume 2 and volume 3, 5.8.7 and 5.8.8; AMD APM volume 2, 6.1 and
 * 6.2). They load flat segments without reading a descriptor.
 */
#include "soft_descriptor.h"
#include "soft_flags.h"
#include "soft_handlers.h"

#define SYSRET_FLAGS 0x3c7fd7u /* RF and VM are cleared, and what is reserved */

/* Load RFLAGS. Whether a trap follows is decided by the new TF, not by the one the instruction began with. */
static void load_flags(struct soft_cpu *cpu, uint64_t flags)
{
    cpu->traps_by_new_tf = ((cpu->rflags | flags) & MH_RFLAGS_TF) != 0;
    soft_set_rflags(cpu, flags);
}

enum soft_result soft_op_syscall(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!(cpu->efer & MH_EFER_SCE))
        return soft_raise(cpu, VECTOR_UD);
    const uint16_t selector = (uint16_t)(cpu->msrs.star >> 32);
    const uint64_t flags = soft_rflags(cpu) & ~(uint64_t)MH_RFLAGS_RF;
    cpu->gpr[MH_RCX] = cpu->rip + insn->length;
    cpu->gpr[MH_R11] = flags;
    cpu->rip = cpu->msrs.lstar;
    cpu->seg[MH_CS] = x86_flat_code((uint16_t)(selector & ~X86_SELECTOR_RPL), 0);
    cpu->seg[MH_SS] = x86_flat_data((uint16_t)(selector + 8), 0);
    load_flags(cpu, flags & ~cpu->msrs.sfmask);
    return SOFT_JUMP;
}

/* AMD's SYSRET loads the selector of SS only (APM volume 3, SYSRET). */
static void load_sysret_stack(struct soft_cpu *cpu, uint16_t selector)
{
    struct mh_x86_segment *ss = &cpu->seg[MH_SS];
    if (!cpu->cpuid->is_amd) {
        *ss = x86_flat_data(selector, 3);
        return;
    }
    ss->selector = selector;
    ss->attributes |= 3u << X86_SEGMENT_DPL_SHIFT;
}

enum soft_result soft_op_sysret(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!(cpu->efer & MH_EFER_SCE))
        return soft_raise(cpu, VECTOR_UD);
    if (soft_cpl(cpu) != 0)
        return soft_raise_error(cpu, VECTOR_GP, 0);
    if (!insn->rex_w)
        return soft_unsupported(cpu, insn, SOFT_LEAVES_64_BIT_MODE "SYSRET to 32-bit code (compatibility mode)");
    /* AMD's processors return, and fault at the target in ring 3. */
    if (!x86_is_canonical(cpu->gpr[MH_RCX]) && !cpu->cpuid->is_amd)
        return soft_raise_error(cpu, VECTOR_GP, 0);
    const uint16_t selector = (uint16_t)(cpu->msrs.star >> 48);
    cpu->rip = cpu->gpr[MH_RCX];
    cpu->seg[MH_CS] = x86_flat_code((uint16_t)((selector + 16) | 3), 3);
    load_sysret_stack(cpu, (uint16_t)((selector + 8) | 3));
    load_flags(cpu, cpu->gpr[MH_R11] & SYSRET_FLAGS);
    return SOFT_JUMP;
}

enum soft_result soft_op_sysenter(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    (void)insn;
    if (cpu->cpuid->is_amd || !x86_cpuid_has(cpu->cpuid, X86_FEATURE_SEP))
        return soft_raise(cpu, VECTOR_UD); /* AMD: not in long mode */
    const uint16_t selector = (uint16_t)(cpu->msrs.sysenter_cs & 0xfffc);
    if (x86_is_null(selector))
        return soft_raise_error(cpu, VECTOR_GP, 0);
    cpu->seg[MH_CS] = x86_flat_code(selector, 0);
    cpu->seg[MH_SS] = x86_flat_data((uint16_t)(selector + 8), 0);
    cpu->gpr[MH_RSP] = cpu->msrs.sysenter_esp;
    cpu->rip = cpu->msrs.sysenter_eip;
    cpu->rflags &= ~(uint64_t)(MH_RFLAGS_IF | SOFT_RFLAGS_VM);
    soft_update_attention(cpu);
    return SOFT_JUMP;
}

enum soft_result soft_op_sysexit(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (cpu->cpuid->is_amd || !x86_cpuid_has(cpu->cpuid, X86_FEATURE_SEP))
        return soft_raise(cpu, VECTOR_UD);
    const uint16_t base = (uint16_t)(cpu->msrs.sysenter_cs & 0xfffc);
    if (x86_is_null(base) || soft_cpl(cpu) != 0)
        return soft_raise_error(cpu, VECTOR_GP, 0);
    if (!insn->rex_w)
        return soft_unsupported(cpu, insn, SOFT_LEAVES_64_BIT_MODE "SYSEXIT to 32-bit code (compatibility mode)");
    if (!x86_is_canonical(cpu->gpr[MH_RCX]) || !x86_is_canonical(cpu->gpr[MH_RDX]))
        return soft_raise_error(cpu, VECTOR_GP, 0);
    const uint16_t selector = (uint16_t)((base + 32) | 3);
    cpu->seg[MH_CS] = x86_flat_code(selector, 3);
    cpu->seg[MH_SS] = x86_flat_data((uint16_t)(selector + 8), 3);
    cpu->gpr[MH_RSP] = cpu->gpr[MH_RCX];
    cpu->rip = cpu->gpr[MH_RDX];
    soft_update_attention(cpu);
    return SOFT_JUMP;
}
