/*
 * Far JMP, CALL and RET in 64-bit mode (Intel SDM volume 2, JMP, CALL, RET; volume 3, 5.8): to a code segment directly,
 * or through a 64-bit call gate, which may lead to an inner ring. Task switches do not exist in long mode.
 */
#include "soft_handlers.h"
#include "soft_mem.h"
#include "soft_system.h"

#define CODE (X86_SEGMENT_CODE | X86_SEGMENT_CODE_OR_DATA)

/* Where a far jump or call leads. */
struct far_target {
    uint64_t rip;
    uint16_t selector; /* its RPL does not matter: CS gets `cpl` */
    unsigned cpl;
    struct soft_descriptor code;
};

static bool is_call(const struct soft_insn *insn)
{
    return (insn->modrm >> 3 & 7) == 3;
}

static bool is_64_bit(uint16_t attributes)
{
    return (attributes & (X86_SEGMENT_LONG | X86_SEGMENT_DEFAULT_32)) == X86_SEGMENT_LONG;
}

/* ---- pushes and the transfer ---- */

/* Load CS and rip. The frame was probed, so that its write cannot fail. */
static enum soft_result enter(struct soft_cpu *cpu, struct far_target *target, uint64_t rsp, const uint64_t *frame,
                              unsigned words, unsigned size)
{
    enum soft_result result = soft_mark_accessed(cpu, &target->code);
    if (result == SOFT_NEXT)
        result = soft_write_frame(cpu, target->cpl, rsp, frame, words, size);
    if (result != SOFT_NEXT)
        return result;
    if (target->cpl != soft_cpl(cpu))
        cpu->seg[MH_SS] = soft_null_stack(target->cpl);
    cpu->seg[MH_CS] = target->code.segment;
    cpu->seg[MH_CS].selector = (uint16_t)((target->selector & ~X86_SELECTOR_RPL) | target->cpl);
    cpu->gpr[MH_RSP] = rsp - (uint64_t)words * size;
    cpu->rip = target->rip;
    soft_update_attention(cpu);
    return SOFT_JUMP;
}

/* Stay on this stack, and in this ring. */
static enum soft_result enter_same_ring(struct soft_cpu *cpu, const struct soft_insn *insn, struct far_target *target,
                                        unsigned size)
{
    const uint64_t frame[] = {cpu->rip + insn->length, cpu->seg[MH_CS].selector};
    const unsigned words = is_call(insn) ? 2 : 0;
    const uint64_t rsp = cpu->gpr[MH_RSP];
    const enum soft_result result = soft_probe_frame(cpu, target->cpl, rsp, words, size);
    if (result != SOFT_NEXT)
        return result;
    if (!x86_is_canonical(target->rip))
        return soft_gp0(cpu);
    return enter(cpu, target, rsp, frame, words, size);
}

/* A call to an inner ring: the stack comes from the TSS. */
static enum soft_result enter_inner_ring(struct soft_cpu *cpu, const struct soft_insn *insn, struct far_target *target)
{
    const uint64_t frame[] = {cpu->rip + insn->length, cpu->seg[MH_CS].selector, cpu->gpr[MH_RSP],
                              cpu->seg[MH_SS].selector};
    const unsigned words = sizeof frame / sizeof frame[0];
    uint64_t rsp;
    enum soft_result result = soft_read_tss_stack(cpu, X86_TSS_RSP0 + target->cpl * 8, &rsp);
    if (result == SOFT_NEXT)
        result = soft_probe_frame(cpu, target->cpl, rsp, words, sizeof frame[0]);
    if (result != SOFT_NEXT)
        return result;
    if (!x86_is_canonical(target->rip))
        return soft_gp0(cpu);
    return enter(cpu, target, rsp, frame, words, sizeof frame[0]);
}

/* ---- through a call gate ---- */

static enum soft_result check_gate(struct soft_cpu *cpu, const struct soft_descriptor *gate)
{
    const uint16_t selector = gate->segment.selector, attributes = gate->segment.attributes;
    if (x86_dpl(attributes) < soft_cpl(cpu) || x86_dpl(attributes) < (selector & X86_SELECTOR_RPL))
        return soft_raise_error(cpu, VECTOR_GP, x86_selector_error(selector));
    if (!(attributes & X86_SEGMENT_PRESENT))
        return soft_raise_error(cpu, VECTOR_NP, x86_selector_error(selector));
    return SOFT_NEXT;
}

static enum soft_result check_gate_code(struct soft_cpu *cpu, const struct soft_insn *insn, struct far_target *target)
{
    const uint16_t attributes = target->code.segment.attributes;
    const unsigned dpl = x86_dpl(attributes), cpl = soft_cpl(cpu);
    const bool conforming = attributes & X86_SEGMENT_CONFORMING;
    if ((attributes & CODE) != CODE || dpl > cpl || (!is_call(insn) && !conforming && dpl != cpl) ||
        !is_64_bit(attributes))
        return soft_raise_error(cpu, VECTOR_GP, x86_selector_error(target->selector));
    if (!(attributes & X86_SEGMENT_PRESENT))
        return soft_raise_error(cpu, VECTOR_NP, x86_selector_error(target->selector));
    target->cpl = conforming ? cpl : dpl;
    return SOFT_NEXT;
}

static enum soft_result through_gate(struct soft_cpu *cpu, const struct soft_insn *insn,
                                     struct soft_descriptor *descriptor)
{
    struct far_target target;
    enum soft_result result = check_gate(cpu, descriptor);
    if (result == SOFT_NEXT)
        result = soft_read_upper_half(cpu, descriptor);
    if (result != SOFT_NEXT)
        return result;
    const struct x86_gate gate = x86_gate(descriptor->raw);
    target.rip = gate.offset;
    target.selector = gate.selector;
    if (x86_is_null(gate.selector))
        return soft_gp0(cpu);
    result = soft_read_descriptor(cpu, gate.selector, &target.code);
    if (result == SOFT_NEXT)
        result = check_gate_code(cpu, insn, &target);
    if (result != SOFT_NEXT)
        return result;
    if (target.cpl != soft_cpl(cpu))
        return enter_inner_ring(cpu, insn, &target);
    return enter_same_ring(cpu, insn, &target, sizeof(uint64_t));
}

/* ---- directly ---- */

static bool may_enter(const struct soft_cpu *cpu, uint16_t selector, uint16_t attributes)
{
    const unsigned cpl = soft_cpl(cpu);
    if ((attributes & X86_SEGMENT_LONG) && (attributes & X86_SEGMENT_DEFAULT_32))
        return false;
    if (attributes & X86_SEGMENT_CONFORMING)
        return x86_dpl(attributes) <= cpl;
    return x86_dpl(attributes) == cpl && (selector & X86_SELECTOR_RPL) <= cpl;
}

static enum soft_result directly(struct soft_cpu *cpu, const struct soft_insn *insn, struct far_target *target)
{
    const uint16_t attributes = target->code.segment.attributes;
    if (!may_enter(cpu, target->selector, attributes))
        return soft_raise_error(cpu, VECTOR_GP, x86_selector_error(target->selector));
    if (!(attributes & X86_SEGMENT_PRESENT))
        return soft_raise_error(cpu, VECTOR_NP, x86_selector_error(target->selector));
    if (!(attributes & X86_SEGMENT_LONG))
        return soft_unsupported(cpu, insn, SOFT_LEAVES_64_BIT_MODE "a far branch to 32-bit code (compatibility mode)");
    target->cpl = soft_cpl(cpu);
    return enter_same_ring(cpu, insn, target, soft_far_offset_size(cpu, insn));
}

/* FF /3 is CALL, FF /5 is JMP. */
enum soft_result soft_op_far_jump_call(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    struct far_target target;
    enum soft_result result = soft_read_far_pointer(cpu, insn, &target.rip, &target.selector);
    if (result != SOFT_NEXT)
        return result;
    if (x86_is_null(target.selector))
        return soft_gp0(cpu);
    result = soft_read_descriptor(cpu, target.selector, &target.code);
    if (result != SOFT_NEXT)
        return result;
    const uint16_t attributes = target.code.segment.attributes;
    if ((attributes & CODE) == CODE)
        return directly(cpu, insn, &target);
    if ((attributes & (X86_SEGMENT_CODE_OR_DATA | X86_SEGMENT_TYPE)) == X86_CALL_GATE)
        return through_gate(cpu, insn, &target.code);
    return soft_raise_error(cpu, VECTOR_GP, x86_selector_error(target.selector));
}

/* ---- RET far ---- */

/* CA has the number of bytes to release as its immediate; CB has none, and releases none. */
enum soft_result soft_op_ret_far(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const unsigned size = insn->operand_size;
    const uint64_t released = insn->opcode == 0xca ? insn->immediate & 0xffff : 0;
    uint64_t frame[2], stack[2]; /* RIP and CS, RSP and SS */
    struct soft_return target;
    /* processors read CS first, and no more than its two bytes, as page faults and alignment checks show */
    enum soft_result result = soft_read_frame(cpu, cpu->gpr[MH_RSP] + size, frame + 1, 1, sizeof target.cs);
    if (result == SOFT_NEXT)
        result = soft_read_frame(cpu, cpu->gpr[MH_RSP], frame, 1, size);
    if (result != SOFT_NEXT)
        return result;
    const uint64_t rsp = cpu->gpr[MH_RSP] + 2 * size + released;
    target = (struct soft_return){.rip = frame[0], .cs = (uint16_t)frame[1], .rsp = rsp};
    result = soft_check_return_code(cpu, &target);
    const bool outer = (target.cs & X86_SELECTOR_RPL) > soft_cpl(cpu);
    if (result == SOFT_NEXT && outer) {
        result = soft_read_frame(cpu, rsp, stack, 2, size);
        target.rsp = stack[0] + released;
        target.ss = (uint16_t)stack[1];
        if (result == SOFT_NEXT)
            result = soft_check_return_stack(cpu, &target);
    }
    if (result == SOFT_NEXT)
        result = soft_prepare_return(cpu, insn, &target, outer);
    if (result != SOFT_NEXT)
        return result;
    soft_commit_return(cpu, &target, outer);
    return SOFT_JUMP;
}
