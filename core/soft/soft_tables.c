/*
 * Descriptor table registers, LDTR and TR, and the machine status word: SGDT, SIDT, LGDT, LIDT, SLDT, STR, LLDT, LTR,
 * SMSW, LMSW (Intel SDM volume 2; volume 3, 2.4 and 3.5).
 */
#include "soft_handlers.h"
#include "soft_mem.h"
#include "soft_system.h"

#define CR0_OF_LMSW 0xfu /* PE, MP, EM, TS */

/* A table register in memory: limit, then base; always 64 bits of base in 64-bit mode. */
struct pseudo_descriptor {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

/* ---- GDTR and IDTR ---- */

static enum soft_result store_table(struct soft_cpu *cpu, const struct soft_insn *insn,
                                    const struct mh_x86_table *table)
{
    const struct pseudo_descriptor stored = {.limit = table->limit, .base = table->base};
    if (soft_is_kept_by_umip(cpu))
        return soft_gp0(cpu);
    if (!soft_write(cpu, insn->segment, soft_address(cpu, insn), &stored, sizeof stored))
        return soft_mem_result(cpu);
    return SOFT_NEXT;
}

enum soft_result soft_sgdt(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return store_table(cpu, insn, &cpu->gdt);
}

enum soft_result soft_sidt(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return store_table(cpu, insn, &cpu->idt);
}

static enum soft_result load_table(struct soft_cpu *cpu, const struct soft_insn *insn, struct mh_x86_table *table)
{
    struct pseudo_descriptor loaded;
    if (soft_is_unprivileged(cpu))
        return soft_gp0(cpu);
    if (!soft_read(cpu, insn->segment, soft_address(cpu, insn), &loaded, sizeof loaded))
        return soft_mem_result(cpu);
    if (!x86_is_canonical(loaded.base))
        return soft_gp0(cpu);
    *table = (struct mh_x86_table){.base = loaded.base, .limit = loaded.limit};
    return SOFT_NEXT;
}

enum soft_result soft_lgdt(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return load_table(cpu, insn, &cpu->gdt);
}

enum soft_result soft_lidt(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return load_table(cpu, insn, &cpu->idt);
}

/* ---- the machine status word ---- */

enum soft_result soft_smsw(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (soft_is_kept_by_umip(cpu))
        return soft_gp0(cpu);
    if (insn->has_memory || insn->operand_size == 2)
        return soft_store_selector(cpu, insn, (uint16_t)cpu->cr0);
    cpu->gpr[insn->rm] = cpu->cr0;
    return SOFT_NEXT;
}

/* LMSW can set PE, but not clear it. */
enum soft_result soft_lmsw(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    uint16_t word = (uint16_t)cpu->gpr[insn->rm];
    if (soft_is_unprivileged(cpu))
        return soft_gp0(cpu);
    if (insn->has_memory && !soft_read16(cpu, insn->segment, soft_address(cpu, insn), &word))
        return soft_mem_result(cpu);
    const uint64_t kept = cpu->cr0 & (~(uint64_t)CR0_OF_LMSW | MH_CR0_PE);
    return soft_load_cr0(cpu, insn, kept | (word & CR0_OF_LMSW));
}

/* ---- LDTR and TR ---- */

static enum soft_result store_register(struct soft_cpu *cpu, const struct soft_insn *insn, enum mh_seg which)
{
    if (soft_is_kept_by_umip(cpu))
        return soft_gp0(cpu);
    return soft_store_selector(cpu, insn, cpu->seg[which].selector);
}

/* Read the descriptor of an LDT or TSS, which must lie in the GDT and be of type `type`. */
static enum soft_result read_system_segment(struct soft_cpu *cpu, uint16_t selector, unsigned type,
                                            struct soft_descriptor *descriptor)
{
    const uint32_t error = x86_selector_error(selector);
    if (selector & X86_SELECTOR_LDT)
        return soft_raise_error(cpu, VECTOR_GP, error);
    enum soft_result result = soft_read_descriptor(cpu, selector, descriptor);
    if (result != SOFT_NEXT)
        return result;
    const uint16_t attributes = descriptor->segment.attributes;
    if ((attributes & (X86_SEGMENT_TYPE | X86_SEGMENT_CODE_OR_DATA)) != type)
        return soft_raise_error(cpu, VECTOR_GP, error);
    result = soft_read_upper_half(cpu, descriptor);
    if (result != SOFT_NEXT)
        return result;
    if (!(attributes & X86_SEGMENT_PRESENT))
        return soft_raise_error(cpu, VECTOR_NP, error);
    if (!x86_is_canonical(descriptor->segment.base))
        return soft_raise_error(cpu, VECTOR_GP, error);
    return SOFT_NEXT;
}

static enum soft_result load_ldtr(struct soft_cpu *cpu, uint16_t selector)
{
    struct soft_descriptor descriptor;
    if (x86_is_null(selector)) {
        soft_load_null(cpu, MH_LDTR, selector);
        return SOFT_NEXT;
    }
    const enum soft_result result = read_system_segment(cpu, selector, X86_LDT, &descriptor);
    if (result == SOFT_NEXT)
        cpu->seg[MH_LDTR] = descriptor.segment;
    return result;
}

/* LTR marks the descriptor busy, in memory and in the register. */
static enum soft_result load_tr(struct soft_cpu *cpu, uint16_t selector)
{
    struct soft_descriptor descriptor;
    if (x86_is_null(selector))
        return soft_gp0(cpu);
    enum soft_result result = read_system_segment(cpu, selector, X86_TSS_AVAILABLE, &descriptor);
    if (result != SOFT_NEXT)
        return result;
    result = soft_mark_busy(cpu, &descriptor);
    if (result == SOFT_NEXT)
        cpu->seg[MH_TR] = descriptor.segment;
    return result;
}

static enum soft_result load_register(struct soft_cpu *cpu, const struct soft_insn *insn, enum mh_seg which)
{
    uint16_t selector = (uint16_t)cpu->gpr[insn->rm];
    if (soft_is_unprivileged(cpu))
        return soft_gp0(cpu);
    if (insn->has_memory && !soft_read16(cpu, insn->segment, soft_address(cpu, insn), &selector))
        return soft_mem_result(cpu);
    return which == MH_TR ? load_tr(cpu, selector) : load_ldtr(cpu, selector);
}

/* 0F 00: /0 SLDT, /1 STR, /2 LLDT, /3 LTR, /4 VERR, /5 VERW. */
enum soft_result soft_op_group_0f00(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    switch (insn->modrm >> 3 & 7) {
    case 0:
        return store_register(cpu, insn, MH_LDTR);
    case 1:
        return store_register(cpu, insn, MH_TR);
    case 2:
        return load_register(cpu, insn, MH_LDTR);
    case 3:
        return load_register(cpu, insn, MH_TR);
    case 4:
        return soft_verify(cpu, insn, false);
    case 5:
        return soft_verify(cpu, insn, true);
    default:
        return soft_raise(cpu, VECTOR_UD);
    }
}
