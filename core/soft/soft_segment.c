/*
 * Loading and storing segment registers in 64-bit mode (Intel SDM volume 2, MOV, POP, PUSH, LSS; volume 3, 5.4 to 5.6).
 */
#include "soft_descriptor.h"
#include "soft_handlers.h"
#include "soft_mem.h"
#include "soft_system.h"

#define WRITABLE_DATA (X86_SEGMENT_WRITABLE | X86_SEGMENT_CODE_OR_DATA)
#define CONFORMING_CODE (X86_SEGMENT_CODE | X86_SEGMENT_CONFORMING)

static bool is_stack(uint16_t selector, uint16_t attributes, unsigned cpl)
{
    return (attributes & (WRITABLE_DATA | X86_SEGMENT_CODE)) == WRITABLE_DATA && (selector & X86_SELECTOR_RPL) == cpl &&
           x86_dpl(attributes) == cpl;
}

/* Data or readable code that CPL and RPL may use; DPL of conforming code does not count. */
static bool is_readable(uint16_t selector, uint16_t attributes, unsigned cpl)
{
    if (!(attributes & X86_SEGMENT_CODE_OR_DATA))
        return false;
    if ((attributes & X86_SEGMENT_CODE) && !(attributes & X86_SEGMENT_READABLE))
        return false;
    if ((attributes & CONFORMING_CODE) == CONFORMING_CODE)
        return true;
    return x86_dpl(attributes) >= cpl && x86_dpl(attributes) >= (selector & X86_SELECTOR_RPL);
}

/* SS may be null in rings 0 to 2 of 64-bit mode (Intel SDM volume 3, 5.4.1.1). */
static enum soft_result load_null(struct soft_cpu *cpu, enum mh_seg which, uint16_t selector)
{
    const unsigned cpl = soft_cpl(cpu);
    if (which != MH_SS) {
        soft_load_null(cpu, which, selector);
        return SOFT_NEXT;
    }
    if (cpl == 3 || selector != cpl)
        return soft_raise_error(cpu, VECTOR_GP, 0);
    cpu->seg[MH_SS] = soft_null_stack(cpl);
    return SOFT_NEXT;
}

/* Load ES, SS, DS, FS or GS. SOFT_NEXT when it is done. */
static enum soft_result load_segment(struct soft_cpu *cpu, enum mh_seg which, uint16_t selector)
{
    struct soft_descriptor descriptor;
    if (x86_is_null(selector))
        return load_null(cpu, which, selector);
    enum soft_result result = soft_read_descriptor(cpu, selector, &descriptor);
    if (result != SOFT_NEXT)
        return result;
    const uint16_t attributes = descriptor.segment.attributes;
    const bool allowed = which == MH_SS ? is_stack(selector, attributes, soft_cpl(cpu))
                                        : is_readable(selector, attributes, soft_cpl(cpu));
    if (!allowed)
        return soft_raise_error(cpu, VECTOR_GP, x86_selector_error(selector));
    if (!(attributes & X86_SEGMENT_PRESENT))
        return soft_raise_error(cpu, which == MH_SS ? VECTOR_SS : VECTOR_NP, x86_selector_error(selector));
    result = soft_mark_accessed(cpu, &descriptor);
    if (result == SOFT_NEXT)
        cpu->seg[which] = descriptor.segment;
    return result;
}

/* ---- MOV ---- */

static bool is_data_register(unsigned which)
{
    return which <= MH_GS && which != MH_CS;
}

enum soft_result soft_op_mov_to_seg(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const unsigned which = insn->modrm >> 3 & 7;
    if (!is_data_register(which))
        return soft_raise(cpu, VECTOR_UD);
    uint16_t selector = (uint16_t)cpu->gpr[insn->rm];
    if (insn->has_memory && !soft_read16(cpu, insn->segment, soft_address(cpu, insn), &selector))
        return soft_mem_result(cpu);
    const enum soft_result result = load_segment(cpu, (enum mh_seg)which, selector);
    if (result != SOFT_NEXT)
        return result;
    if (which == MH_SS) {
        cpu->shadow |= MH_SHADOW_MOV_SS;
        soft_update_attention(cpu);
    }
    return soft_done(cpu, insn);
}

/* A register is written with its operand size, zero-extended; memory always gets 16 bits. */
enum soft_result soft_store_selector(struct soft_cpu *cpu, const struct soft_insn *insn, uint16_t selector)
{
    if (insn->has_memory)
        return soft_write16(cpu, insn->segment, soft_address(cpu, insn), selector) ? SOFT_NEXT : soft_mem_result(cpu);
    uint64_t *to = &cpu->gpr[insn->rm];
    *to = insn->operand_size == 2 ? (*to & ~0xffffull) | selector : selector;
    return SOFT_NEXT;
}

enum soft_result soft_op_mov_from_seg(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const unsigned which = insn->modrm >> 3 & 7;
    if (which > MH_GS)
        return soft_raise(cpu, VECTOR_UD);
    return soft_store_selector(cpu, insn, cpu->seg[which].selector);
}

/* ---- PUSH and POP of FS and GS ---- */

/* 0F A0 and A1: FS; 0F A8 and A9: GS. */
static enum mh_seg pushed_segment(const struct soft_insn *insn)
{
    return insn->opcode & 8 ? MH_GS : MH_FS;
}

enum soft_result soft_op_push_seg(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const uint64_t value = cpu->seg[pushed_segment(insn)].selector;
    const uint64_t rsp = cpu->gpr[MH_RSP] - insn->operand_size;
    if (!soft_write(cpu, MH_SS, rsp, &value, insn->operand_size))
        return soft_mem_result(cpu);
    cpu->gpr[MH_RSP] = rsp;
    return SOFT_NEXT;
}

enum soft_result soft_op_pop_seg(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    uint16_t value; /* no more of the stack is read */
    if (!soft_read16(cpu, MH_SS, cpu->gpr[MH_RSP], &value))
        return soft_mem_result(cpu);
    const enum soft_result result = load_segment(cpu, pushed_segment(insn), value);
    if (result == SOFT_NEXT)
        cpu->gpr[MH_RSP] += insn->operand_size;
    return result;
}

/* ---- LSS, LFS, LGS ---- */

/* AMD's far pointers have at most 32 bits of offset (APM volume 3, LFS and JMP far). */
unsigned soft_far_offset_size(const struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return insn->operand_size == 8 && cpu->cpuid->is_amd ? 4 : insn->operand_size;
}

enum soft_result soft_read_far_pointer(struct soft_cpu *cpu, const struct soft_insn *insn, uint64_t *offset,
                                       uint16_t *selector)
{
    const unsigned size = soft_far_offset_size(cpu, insn);
    const uint64_t address = soft_address(cpu, insn);
    *offset = 0;
    if (!soft_read(cpu, insn->segment, address, offset, size) ||
        !soft_read16(cpu, insn->segment, address + size, selector))
        return soft_mem_result(cpu);
    return SOFT_NEXT;
}

enum soft_result soft_op_lss_lfs_lgs(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const enum mh_seg which = insn->opcode == 0xb2 ? MH_SS : insn->opcode == 0xb4 ? MH_FS : MH_GS;
    uint64_t offset;
    uint16_t selector = 0;
    enum soft_result result = soft_read_far_pointer(cpu, insn, &offset, &selector);
    if (result == SOFT_NEXT)
        result = load_segment(cpu, which, selector);
    if (result != SOFT_NEXT)
        return result;
    uint64_t *to = &cpu->gpr[insn->reg];
    *to = insn->operand_size == 2 ? (*to & ~0xffffull) | offset : offset;
    return SOFT_NEXT;
}

/* ---- RDFSBASE, RDGSBASE, WRFSBASE, WRGSBASE ---- */

/* F3 0F AE: /0 and /1 read, /2 and /3 write. */
enum soft_result soft_op_fsgsbase(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const unsigned operation = insn->modrm >> 3 & 7;
    struct mh_x86_segment *segment = &cpu->seg[operation & 1 ? MH_GS : MH_FS];
    const uint64_t mask = insn->rex_w ? UINT64_MAX : UINT32_MAX;
    if (!(cpu->cr4 & SOFT_CR4_FSGSBASE))
        return soft_raise(cpu, VECTOR_UD);
    if (operation < 2) {
        cpu->gpr[insn->rm] = segment->base & mask;
        return SOFT_NEXT;
    }
    const uint64_t base = cpu->gpr[insn->rm] & mask;
    if (!x86_is_canonical(base))
        return soft_raise_error(cpu, VECTOR_GP, 0);
    segment->base = base;
    return SOFT_NEXT;
}
