/*
 * LAR, LSL, VERR and VERW ask about a selector without loading it (Intel SDM volume 2; volume 3, 5.10). ZF says whether
 * the descriptor is visible. They fault on their operand and on page faults in the table only.
 */
#include "soft_descriptor.h"
#include "soft_flags.h"
#include "soft_handlers.h"
#include "soft_mem.h"
#include "soft_system.h"

#define CONFORMING_CODE (X86_SEGMENT_CODE | X86_SEGMENT_CONFORMING)

/* LAR's result: the descriptor's second four bytes without the base. */
#define ACCESS_RIGHTS 0x00ffff00u

/* System descriptors that have access rights, and those that have a limit, by type. */
#define HAS_RIGHTS (1u << X86_LDT | 1u << X86_TSS_AVAILABLE | 1u << X86_TSS_BUSY | 1u << X86_CALL_GATE)
#define HAS_LIMIT (1u << X86_LDT | 1u << X86_TSS_AVAILABLE | 1u << X86_TSS_BUSY)

static void set_zf(struct soft_cpu *cpu, bool zf)
{
    const uint32_t flags = (uint32_t)soft_rflags(cpu) & SOFT_ARITHMETIC & ~SOFT_ZF;
    soft_set_arithmetic(cpu, zf ? flags | SOFT_ZF : flags);
}

static enum soft_result read_selector(struct soft_cpu *cpu, const struct soft_insn *insn, uint16_t *selector)
{
    *selector = (uint16_t)cpu->gpr[insn->rm];
    if (insn->has_memory && !soft_read16(cpu, insn->segment, soft_address(cpu, insn), selector))
        return soft_mem_result(cpu);
    return SOFT_NEXT;
}

/* May CPL and RPL see the descriptor? */
static bool is_visible(const struct soft_cpu *cpu, uint16_t selector, uint16_t attributes)
{
    const unsigned conforming = CONFORMING_CODE | X86_SEGMENT_CODE_OR_DATA;
    if ((attributes & conforming) == conforming)
        return true;
    return x86_dpl(attributes) >= soft_cpl(cpu) && x86_dpl(attributes) >= (selector & X86_SELECTOR_RPL);
}

/*
 * Read the descriptor. *found is false when the selector names none, or one of a type that is not asked for. System
 * descriptors must lie in the table with all of their 16 bytes.
 */
static enum soft_result look_up(struct soft_cpu *cpu, uint16_t selector, unsigned system_types,
                                struct soft_descriptor *descriptor, bool *found)
{
    uint64_t address;
    *found = false;
    if (x86_is_null(selector) || !soft_find_descriptor(cpu, selector, sizeof descriptor->raw[0], &address))
        return SOFT_NEXT;
    const enum soft_result result = soft_read_descriptor(cpu, selector, descriptor);
    if (result != SOFT_NEXT)
        return result;
    const uint16_t attributes = descriptor->segment.attributes;
    *found = is_visible(cpu, selector, attributes);
    if (!(attributes & X86_SEGMENT_CODE_OR_DATA))
        *found = *found && (system_types >> (attributes & X86_SEGMENT_TYPE) & 1) &&
                 soft_find_descriptor(cpu, selector, sizeof descriptor->raw, &address);
    return SOFT_NEXT;
}

static enum soft_result answer(struct soft_cpu *cpu, const struct soft_insn *insn, bool found, uint32_t value)
{
    uint64_t *to = &cpu->gpr[insn->reg];
    set_zf(cpu, found);
    if (found)
        *to = insn->operand_size == 2 ? (*to & ~0xffffull) | (value & 0xffff) : value;
    return SOFT_NEXT;
}

enum soft_result soft_op_lar(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    struct soft_descriptor descriptor = {.address = 0};
    uint16_t selector;
    bool found;
    enum soft_result result = read_selector(cpu, insn, &selector);
    if (result == SOFT_NEXT)
        result = look_up(cpu, selector, HAS_RIGHTS, &descriptor, &found);
    if (result != SOFT_NEXT)
        return result;
    return answer(cpu, insn, found, (uint32_t)(descriptor.raw[0] >> 32) & ACCESS_RIGHTS);
}

enum soft_result soft_op_lsl(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    struct soft_descriptor descriptor = {.address = 0};
    uint16_t selector;
    bool found;
    enum soft_result result = read_selector(cpu, insn, &selector);
    if (result == SOFT_NEXT)
        result = look_up(cpu, selector, HAS_LIMIT, &descriptor, &found);
    if (result != SOFT_NEXT)
        return result;
    return answer(cpu, insn, found, descriptor.segment.limit);
}

enum soft_result soft_verify(struct soft_cpu *cpu, const struct soft_insn *insn, bool for_write)
{
    struct soft_descriptor descriptor = {.address = 0};
    uint16_t selector;
    bool found;
    enum soft_result result = read_selector(cpu, insn, &selector);
    if (result == SOFT_NEXT)
        result = look_up(cpu, selector, 0, &descriptor, &found);
    if (result != SOFT_NEXT)
        return result;
    const uint16_t attributes = descriptor.segment.attributes;
    const bool is_code = attributes & X86_SEGMENT_CODE;
    /* One bit means "writable" in data and "readable" in code. Data can always be read, and code never written. */
    const bool bit = attributes & X86_SEGMENT_WRITABLE;
    set_zf(cpu, found && (for_write ? !is_code && bit : !is_code || bit));
    return SOFT_NEXT;
}
