#include "x86/descriptors.h"

static uint16_t attributes_of(uint64_t descriptor)
{
    return (uint16_t)(descriptor >> 40 & 0xf0ff);
}

static uint32_t limit_of(uint64_t descriptor)
{
    uint32_t limit = (uint32_t)(descriptor & 0xffff) | (uint32_t)(descriptor >> 32 & 0xf0000);
    return attributes_of(descriptor) & X86_SEGMENT_GRANULARITY ? limit << 12 | 0xfff : limit;
}

static uint32_t base_of(uint64_t descriptor)
{
    return (uint32_t)(descriptor >> 16 & 0xffffff) | (uint32_t)(descriptor >> 32 & 0xff000000);
}

struct mh_x86_segment x86_segment(uint16_t selector, uint64_t descriptor)
{
    return (struct mh_x86_segment){
        .base = base_of(descriptor),
        .limit = limit_of(descriptor),
        .selector = selector,
        .attributes = attributes_of(descriptor),
    };
}

struct mh_x86_segment x86_system_segment(uint16_t selector, const uint64_t descriptor[2])
{
    struct mh_x86_segment segment = x86_segment(selector, descriptor[0]);
    segment.base |= descriptor[1] << 32;
    return segment;
}

bool x86_upper_half_is_valid(uint64_t upper_half)
{
    return (upper_half >> 32 & 0x1f00) == 0;
}

struct x86_gate x86_gate(const uint64_t descriptor[2])
{
    return (struct x86_gate){
        .offset = (descriptor[0] & 0xffff) | (descriptor[0] >> 32 & 0xffff0000) | descriptor[1] << 32,
        .selector = (uint16_t)(descriptor[0] >> 16),
        .attributes = (uint16_t)(descriptor[0] >> 40 & 0xff),
        .ist = (uint8_t)(descriptor[0] >> 32 & 7),
    };
}

static struct mh_x86_segment flat(uint16_t selector, unsigned dpl, unsigned attributes)
{
    attributes |= X86_SEGMENT_GRANULARITY | X86_SEGMENT_PRESENT | X86_SEGMENT_CODE_OR_DATA | X86_SEGMENT_ACCESSED;
    return (struct mh_x86_segment){
        .limit = UINT32_MAX,
        .selector = selector,
        .attributes = (uint16_t)(attributes | dpl << X86_SEGMENT_DPL_SHIFT),
    };
}

struct mh_x86_segment x86_flat_code(uint16_t selector, unsigned dpl)
{
    return flat(selector, dpl, X86_SEGMENT_LONG | X86_SEGMENT_CODE | X86_SEGMENT_READABLE);
}

struct mh_x86_segment x86_flat_data(uint16_t selector, unsigned dpl)
{
    return flat(selector, dpl, X86_SEGMENT_DEFAULT_32 | X86_SEGMENT_WRITABLE);
}
