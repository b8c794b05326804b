/*
 * The guest's own breakpoints: DR0 to DR3 hold addresses, DR7 says what they mean (Intel SDM volume 3, 18.2.4). When an
 * enabled one is met, DR6 reports every breakpoint whose condition is met, enabled or not.
 */
#include "soft_points.h"

#include "soft_mem.h"

#define DEBUG_REGISTERS 4u

/* The R/W field of DR7. */
enum debug_type {
    DEBUG_EXECUTE,
    DEBUG_WRITE,
    DEBUG_PORT, /* with CR4.DE only */
    DEBUG_ACCESS,
};

static enum debug_type type_of(const struct soft_cpu *cpu, unsigned i)
{
    return (enum debug_type)(cpu->dr7 >> (16 + 4 * i) & 3);
}

/* LEN: 1, 2, 8 or 4 bytes. */
static unsigned length_of(const struct soft_cpu *cpu, unsigned i)
{
    static const uint8_t lengths[] = {1, 2, 8, 4};
    return lengths[cpu->dr7 >> (18 + 4 * i) & 3];
}

static bool is_enabled(const struct soft_cpu *cpu, unsigned i)
{
    return (cpu->dr7 >> (2 * i) & 3) != 0;
}

static bool is_data(enum debug_type type)
{
    return type == DEBUG_WRITE || type == DEBUG_ACCESS;
}

/* Does a breakpoint on data or ports overlap [first, last]? The low bits of its address do not count. */
static bool overlaps(const struct soft_cpu *cpu, unsigned i, uint64_t first, uint64_t last)
{
    uint64_t start = cpu->dr[i] & ~(uint64_t)(length_of(cpu, i) - 1);
    return start <= last && first <= start + length_of(cpu, i) - 1;
}

static bool matches_data(const struct soft_cpu *cpu, unsigned i, uint64_t first, uint64_t last, bool is_write)
{
    enum debug_type type = type_of(cpu, i);
    return (type == DEBUG_ACCESS || (type == DEBUG_WRITE && is_write)) && overlaps(cpu, i, first, last);
}

uint64_t soft_debug_data(const struct soft_cpu *cpu, uint64_t first, uint64_t last, bool is_write)
{
    uint64_t met = 0;
    bool enabled = false;
    for (unsigned i = 0; i < DEBUG_REGISTERS; i++) {
        if (!matches_data(cpu, i, first, last, is_write))
            continue;
        met |= 1u << i;
        enabled |= is_enabled(cpu, i);
    }
    return enabled ? met : 0;
}

uint64_t soft_debug_execute(const struct soft_cpu *cpu, uint64_t address)
{
    uint64_t met = 0;
    bool enabled = false;
    for (unsigned i = 0; i < DEBUG_REGISTERS; i++) {
        if (type_of(cpu, i) != DEBUG_EXECUTE || cpu->dr[i] != address)
            continue;
        met |= 1u << i;
        enabled |= is_enabled(cpu, i);
    }
    return enabled ? met : 0;
}

uint64_t soft_debug_port(const struct soft_cpu *cpu, uint16_t port, unsigned width)
{
    uint64_t met = 0;
    bool enabled = false;
    if ((cpu->cr4 & MH_CR4_DE) == 0 || (cpu->dr7 & 0xff) == 0)
        return 0;
    for (unsigned i = 0; i < DEBUG_REGISTERS; i++) {
        if (type_of(cpu, i) != DEBUG_PORT || !overlaps(cpu, i, port, (uint64_t)port + width - 1))
            continue;
        met |= 1u << i;
        enabled |= is_enabled(cpu, i);
    }
    return enabled ? met : 0;
}

bool soft_debug_execute_in_page(const struct soft_cpu *cpu, uint64_t page)
{
    for (unsigned i = 0; i < DEBUG_REGISTERS; i++) {
        if (is_enabled(cpu, i) && type_of(cpu, i) == DEBUG_EXECUTE && (cpu->dr[i] & ~0xfffull) == page)
            return true;
    }
    return false;
}

bool soft_debug_watched(const struct soft_cpu *cpu, uint64_t first, uint64_t last, bool is_write)
{
    return soft_debug_data(cpu, first, last, is_write) != 0;
}

void soft_debug_update(struct soft_cpu *cpu)
{
    if (cpu->debug_dr7 == cpu->dr7 && memcmp(cpu->debug_dr, cpu->dr, sizeof cpu->dr) == 0)
        return;
    bool had_data = cpu->debug_data;
    cpu->code_is_stale = true;
    cpu->debug_dr7 = cpu->dr7;
    memcpy(cpu->debug_dr, cpu->dr, sizeof cpu->dr);
    cpu->debug_execute = cpu->debug_data = false;
    for (unsigned i = 0; i < DEBUG_REGISTERS; i++) {
        cpu->debug_execute |= is_enabled(cpu, i) && type_of(cpu, i) == DEBUG_EXECUTE;
        cpu->debug_data |= is_enabled(cpu, i) && is_data(type_of(cpu, i));
    }
    if (had_data || cpu->debug_data)
        soft_tlb_flush(cpu); /* its entries say which pages are watched */
}
