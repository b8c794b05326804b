/* Frames on the guest's stack: several values that are pushed as one, or not at all. */
#include "soft_descriptor.h"
#include "soft_mem.h"

#define PAGE_MASK (~0xfffull)

/* Two bytes lie in one page. */
static bool same_page(uint64_t a, uint64_t b)
{
    return ((a ^ b) & PAGE_MASK) == 0;
}

static enum soft_result probe_pushes(struct soft_cpu *cpu, uint64_t rsp, unsigned count, unsigned size)
{
    uint64_t probed = 0;
    for (unsigned i = 0; i < count; i++) {
        const uint64_t slot = rsp - (uint64_t)(i + 1) * size;
        /* What was probed before answers for this slot, too, when it lies in the same page. */
        if (i != 0 && same_page(slot, probed) && same_page(slot, slot + size - 1))
            continue;
        if (!soft_probe(cpu, MH_SS, slot, size, true))
            return soft_mem_result(cpu);
        probed = slot;
    }
    return SOFT_NEXT;
}

enum soft_result soft_probe_frame(struct soft_cpu *cpu, unsigned cpl, uint64_t rsp, unsigned count, unsigned size)
{
    const unsigned user = cpu->user;
    soft_mem_set_user(cpu, cpl == 3);
    const enum soft_result result = probe_pushes(cpu, rsp, count, size);
    cpu->user = user;
    return result;
}

enum soft_result soft_write_frame(struct soft_cpu *cpu, unsigned cpl, uint64_t rsp, const uint64_t *values,
                                  unsigned count, unsigned size)
{
    const unsigned user = cpu->user;
    bool written = true;
    soft_mem_set_user(cpu, cpl == 3);
    for (unsigned i = count; i-- > 0 && written;) {
        rsp -= size;
        written = soft_write(cpu, MH_SS, rsp, &values[i], size);
    }
    cpu->user = user;
    return written ? SOFT_NEXT : soft_mem_result(cpu);
}

enum soft_result soft_read_frame(struct soft_cpu *cpu, uint64_t rsp, uint64_t *values, unsigned count, unsigned size)
{
    for (unsigned i = 0; i < count; i++) {
        values[i] = 0;
        if (!soft_read(cpu, MH_SS, rsp + (uint64_t)i * size, &values[i], size))
            return soft_mem_result(cpu);
    }
    return SOFT_NEXT;
}
