#include "soft_descriptor.h"

#include "soft_mem.h"

bool soft_find_descriptor(const struct soft_cpu *cpu, uint16_t selector, unsigned length, uint64_t *address)
{
    const bool local = selector & X86_SELECTOR_LDT;
    const uint64_t base = local ? cpu->seg[MH_LDTR].base : cpu->gdt.base;
    const uint64_t limit = local ? cpu->seg[MH_LDTR].limit : cpu->gdt.limit;
    const uint64_t offset = selector & 0xfff8u;
    if (local && !(cpu->seg[MH_LDTR].attributes & X86_SEGMENT_PRESENT))
        return false;
    *address = base + offset;
    return offset + length - 1 <= limit;
}

enum soft_result soft_read_descriptor(struct soft_cpu *cpu, uint16_t selector, struct soft_descriptor *descriptor)
{
    if (!soft_find_descriptor(cpu, selector, sizeof descriptor->raw[0], &descriptor->address))
        return soft_raise_error(cpu, VECTOR_GP, x86_selector_error(selector));
    if (!soft_read_system(cpu, descriptor->address, &descriptor->raw[0], sizeof descriptor->raw[0]))
        return soft_mem_result(cpu);
    descriptor->raw[1] = 0;
    descriptor->segment = x86_segment(selector, descriptor->raw[0]);
    return SOFT_NEXT;
}

enum soft_result soft_read_upper_half(struct soft_cpu *cpu, struct soft_descriptor *descriptor)
{
    const uint16_t selector = descriptor->segment.selector;
    uint64_t address;
    if (!soft_find_descriptor(cpu, selector, sizeof descriptor->raw, &address))
        return soft_raise_error(cpu, VECTOR_GP, x86_selector_error(selector));
    if (!soft_read_system(cpu, address + sizeof descriptor->raw[0], &descriptor->raw[1], sizeof descriptor->raw[1]))
        return soft_mem_result(cpu);
    if (!x86_upper_half_is_valid(descriptor->raw[1]))
        return soft_raise_error(cpu, VECTOR_GP, x86_selector_error(selector));
    descriptor->segment = x86_system_segment(selector, descriptor->raw);
    return SOFT_NEXT;
}

/* Byte 5 of a descriptor holds its type. */
#define TYPE_BYTE 5u

/* Set a bit of the descriptor's type, in memory and in `segment`. */
static enum soft_result set_type_bit(struct soft_cpu *cpu, struct soft_descriptor *descriptor, uint16_t bit)
{
    const uint8_t type = (uint8_t)(descriptor->segment.attributes | bit);
    if (!soft_write_system(cpu, descriptor->address + TYPE_BYTE, &type, sizeof type))
        return soft_mem_result(cpu);
    descriptor->segment.attributes |= bit;
    return SOFT_NEXT;
}

enum soft_result soft_mark_accessed(struct soft_cpu *cpu, struct soft_descriptor *descriptor)
{
    if (descriptor->segment.attributes & X86_SEGMENT_ACCESSED)
        return SOFT_NEXT;
    return set_type_bit(cpu, descriptor, X86_SEGMENT_ACCESSED);
}

enum soft_result soft_mark_busy(struct soft_cpu *cpu, struct soft_descriptor *descriptor)
{
    return set_type_bit(cpu, descriptor, X86_TSS_AVAILABLE ^ X86_TSS_BUSY);
}

void soft_load_null(struct soft_cpu *cpu, enum mh_seg which, uint16_t selector)
{
    struct mh_x86_segment *segment = &cpu->seg[which];
    /* AMD keeps the base (APM volume 2, 4.5.3); Intel's processors clear it. */
    const uint64_t base = cpu->cpuid->is_amd ? segment->base : 0;
    *segment = (struct mh_x86_segment){.base = base, .selector = selector};
}

struct mh_x86_segment soft_null_stack(unsigned cpl)
{
    return (struct mh_x86_segment){
        .selector = (uint16_t)cpl,
        .attributes = (uint16_t)(cpl << X86_SEGMENT_DPL_SHIFT),
    };
}

enum soft_result soft_read_tss_stack(struct soft_cpu *cpu, unsigned offset, uint64_t *rsp)
{
    const struct mh_x86_segment *tr = &cpu->seg[MH_TR];
    if (offset + sizeof *rsp - 1 > tr->limit)
        return soft_raise_error(cpu, VECTOR_TS, x86_selector_error(tr->selector));
    if (!soft_read_system(cpu, tr->base + offset, rsp, sizeof *rsp))
        return soft_mem_result(cpu);
    if (!x86_is_canonical(*rsp))
        return soft_raise_error(cpu, VECTOR_SS, 0);
    return SOFT_NEXT;
}
