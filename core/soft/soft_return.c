/*
 * What far RET and IRET have in common (Intel SDM volume 2, RET and IRET; volume 3, 5.8.6): the checks of the code and
 * stack segments they return to, and the return itself, to the same ring or an outer one.
 */
#include "soft_descriptor.h"

#define CODE (X86_SEGMENT_CODE | X86_SEGMENT_CODE_OR_DATA)
#define WRITABLE_DATA (X86_SEGMENT_WRITABLE | X86_SEGMENT_CODE_OR_DATA)

static bool may_return_to(const struct soft_cpu *cpu, uint16_t selector, uint16_t attributes)
{
    const unsigned rpl = selector & X86_SELECTOR_RPL;
    if ((attributes & CODE) != CODE || rpl < soft_cpl(cpu))
        return false;
    if ((attributes & X86_SEGMENT_LONG) && (attributes & X86_SEGMENT_DEFAULT_32))
        return false;
    return attributes & X86_SEGMENT_CONFORMING ? x86_dpl(attributes) <= rpl : x86_dpl(attributes) == rpl;
}

enum soft_result soft_check_return_code(struct soft_cpu *cpu, struct soft_return *target)
{
    if (x86_is_null(target->cs))
        return soft_raise_error(cpu, VECTOR_GP, 0);
    const enum soft_result result = soft_read_descriptor(cpu, target->cs, &target->code);
    if (result != SOFT_NEXT)
        return result;
    const uint16_t attributes = target->code.segment.attributes;
    if (!may_return_to(cpu, target->cs, attributes))
        return soft_raise_error(cpu, VECTOR_GP, x86_selector_error(target->cs));
    if (!(attributes & X86_SEGMENT_PRESENT))
        return soft_raise_error(cpu, VECTOR_NP, x86_selector_error(target->cs));
    return SOFT_NEXT;
}

/* 64-bit code of rings 0 to 2 may have a null stack segment. */
static bool may_have_null_stack(const struct soft_return *target)
{
    return (target->code.segment.attributes & X86_SEGMENT_LONG) && (target->cs & X86_SELECTOR_RPL) != 3;
}

enum soft_result soft_check_return_stack(struct soft_cpu *cpu, struct soft_return *target)
{
    const unsigned rpl = target->cs & X86_SELECTOR_RPL;
    if (x86_is_null(target->ss))
        return may_have_null_stack(target) ? SOFT_NEXT : soft_raise_error(cpu, VECTOR_GP, 0);
    if ((target->ss & X86_SELECTOR_RPL) != rpl)
        return soft_raise_error(cpu, VECTOR_GP, x86_selector_error(target->ss));
    const enum soft_result result = soft_read_descriptor(cpu, target->ss, &target->stack);
    if (result != SOFT_NEXT)
        return result;
    const uint16_t attributes = target->stack.segment.attributes;
    if ((attributes & (WRITABLE_DATA | X86_SEGMENT_CODE)) != WRITABLE_DATA || x86_dpl(attributes) != rpl)
        return soft_raise_error(cpu, VECTOR_GP, x86_selector_error(target->ss));
    if (!(attributes & X86_SEGMENT_PRESENT))
        return soft_raise_error(cpu, VECTOR_SS, x86_selector_error(target->ss));
    return SOFT_NEXT;
}

enum soft_result soft_prepare_return(struct soft_cpu *cpu, const struct soft_insn *insn, struct soft_return *target,
                                     bool loads_stack)
{
    if (!(target->code.segment.attributes & X86_SEGMENT_LONG)) {
        if ((uint32_t)target->rip > target->code.segment.limit)
            return soft_raise_error(cpu, VECTOR_GP, 0);
        return soft_unsupported(cpu, insn, SOFT_LEAVES_64_BIT_MODE "a return to 32-bit code (compatibility mode)");
    }
    if (!x86_is_canonical(target->rip))
        return soft_raise_error(cpu, VECTOR_GP, 0);
    const enum soft_result result = soft_mark_accessed(cpu, &target->code);
    if (result != SOFT_NEXT || !loads_stack || x86_is_null(target->ss))
        return result;
    return soft_mark_accessed(cpu, &target->stack);
}

/* Outer rings must not use segments of inner ones. The bases stay: in 64-bit mode they are set by MSRs. */
static void drop_inner_segments(struct soft_cpu *cpu)
{
    static const enum mh_seg segments[] = {MH_ES, MH_DS, MH_FS, MH_GS};
    for (unsigned i = 0; i < sizeof segments / sizeof segments[0]; i++) {
        struct mh_x86_segment *segment = &cpu->seg[segments[i]];
        const unsigned conforming = CODE | X86_SEGMENT_CONFORMING;
        if (x86_is_null(segment->selector) || x86_dpl(segment->attributes) >= soft_cpl(cpu) ||
            (segment->attributes & conforming) == conforming)
            continue;
        *segment = (struct mh_x86_segment){.base = segment->base};
    }
}

static void load_stack(struct soft_cpu *cpu, const struct soft_return *target)
{
    const unsigned rpl = target->cs & X86_SELECTOR_RPL;
    if (x86_is_null(target->ss)) {
        cpu->seg[MH_SS] = soft_null_stack(rpl);
        cpu->seg[MH_SS].selector = target->ss;
    } else {
        cpu->seg[MH_SS] = target->stack.segment;
    }
}

void soft_commit_return(struct soft_cpu *cpu, const struct soft_return *target, bool loads_stack)
{
    const unsigned old_cpl = soft_cpl(cpu);
    cpu->seg[MH_CS] = target->code.segment;
    if (loads_stack)
        load_stack(cpu, target);
    cpu->gpr[MH_RSP] = target->rsp;
    cpu->rip = target->rip;
    if (soft_cpl(cpu) > old_cpl)
        drop_inner_segments(cpu);
    soft_update_attention(cpu);
}
