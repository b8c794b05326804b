/* The page walk of the software processor (Intel SDM volume 3, 4.5 to 4.8; AMD APM volume 2, 5.3 to 5.6). */
#ifndef MH_CORE_SOFT_SOFT_WALK_H
#define MH_CORE_SOFT_SOFT_WALK_H

#include "soft_cpu.h"

enum soft_access_kind {
    SOFT_ACCESS_READ,
    SOFT_ACCESS_WRITE,
    SOFT_ACCESS_FETCH,
};

struct soft_access {
    enum soft_access_kind kind;
    bool user;       /* with the rights of ring 3 */
    bool implicit;   /* the processor itself reads or writes a table: SMAP holds whatever RFLAGS.AC is */
    bool dry;        /* check only: neither A nor D is set */
    bool keeps_code; /* fail, with nothing done and no fault, where A or D would be set in a page with decoded code */
};

/* A linear address is canonical when bits 48 to 63 repeat bit 47. */
static inline bool soft_is_canonical(uint64_t address)
{
    return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

/*
 * Translate a canonical address. True with *page set to the number of its page in the order of ram.host.
 * False with cpu->fault or cpu->exit filled in and cpu->mem_result set.
 */
bool soft_walk(struct soft_cpu *cpu, uint64_t address, const struct soft_access *access, size_t *page);

/*
 * The same without reading the tables, for an address in a large page that a walk for this kind of access has met since
 * the last flush of the TLB. False when there is none such. Not for accesses to which the TLB does not apply.
 */
bool soft_walk_large(const struct soft_cpu *cpu, uint64_t address, const struct soft_access *access, size_t *page);

/* Read from the table of CPUID what decides which bits of an entry are reserved. */
void soft_walk_init(struct soft_cpu *cpu);

/* Something writes to this page: when it holds page tables in use, the TLB is emptied. */
void soft_walk_written(struct soft_cpu *cpu, size_t page);

static inline bool soft_walk_used(const struct soft_cpu *cpu, size_t page)
{
    return (cpu->table_pages[page / 64] >> page % 64 & 1) != 0;
}

#endif
