/*
 * A walk reads one entry per level, from the PML4 down to the entry that names a page. Bits that are reserved raise a
 * page fault where they are met; rights are collected on the way and checked at the end, as the processor does. Only
 * when they suffice are the A bits of all entries, and the D bit of the last, written back to guest memory.
 *
 * The TLB must not be visible: when it is emptied depends on the debugger and on devices. So it is kept coherent, which
 * no real processor promises but every one may do. A page that a walk read an entry from is noted in
 * cpu->table_pages, writes to it take the slow path from then on, and the first of them empties the TLB.
 */
#include "soft_walk.h"

#include "soft_mem.h"
#include "x86/exceptions.h"
#include "x86/paging.h"

/* Error codes of page faults (Intel SDM volume 3, 4.7). */
#define PF_PRESENT 1u
#define PF_WRITE 2u
#define PF_USER 4u
#define PF_RESERVED 8u
#define PF_FETCH 16u

#define LEVEL_PT 1u
#define LEVEL_PD 2u
#define LEVEL_PDPT 3u
#define LEVEL_PML4 4u

#define ENTRY_GLOBAL 0x100ull
#define PHYSICAL_BITS_MAX 52u

/* The table entries that one translation used, and what they allow together. */
struct walk {
    uint8_t *entry[LEVEL_PML4 + 1]; /* by level; where they are in this process */
    uint64_t value[LEVEL_PML4 + 1];
    unsigned leaf; /* the level of the last */
    bool writable, user, no_execute;
};

void soft_walk_init(struct soft_cpu *cpu)
{
    cpu->physical_mask = ((1ull << cpu->cpuid->physical_bits) - 1) & ~0xfffull;
}

static bool walk_fault(struct soft_cpu *cpu, uint64_t address, const struct soft_access *access, uint32_t error)
{
    if (access->kind == SOFT_ACCESS_WRITE)
        error |= PF_WRITE;
    if (access->user)
        error |= PF_USER;
    if (access->kind == SOFT_ACCESS_FETCH && ((cpu->efer & MH_EFER_NXE) != 0 || (cpu->cr4 & MH_CR4_SMEP) != 0))
        error |= PF_FETCH;
    cpu->mem_result = soft_raise_error(cpu, EXCEPTION_PAGE_FAULT, error);
    cpu->fault.address = address;
    return false;
}

static bool walk_no_memory(struct soft_cpu *cpu, uint64_t physical, bool is_write)
{
    cpu->exit->kind = CPU_EXIT_NO_MEMORY;
    cpu->exit->physical = physical;
    cpu->exit->is_write = is_write;
    cpu->mem_result = SOFT_EXIT;
    return false;
}

/* The number of a guest-physical page in the order of ram.host; false when there is no memory. */
static bool page_of(const struct guest_ram *ram, uint64_t physical, size_t *page)
{
    uint64_t offset = physical;
    if (physical >= MH_SYSTEM_AREA) {
        if (physical - MH_SYSTEM_AREA >= MH_SYSTEM_AREA_SIZE)
            return false;
        offset = physical - MH_SYSTEM_AREA + ram->ram_size;
    } else if (physical >= ram->ram_size) {
        return false;
    }
    *page = offset / PAGE_4K;
    return true;
}

/* Bits that must be 0 in a present entry (Intel SDM volume 3, 4.5.4, tables 4-15 to 4-20; AMD APM volume 2, 5.3.3). */
static uint64_t reserved_bits(const struct soft_cpu *cpu, unsigned level, bool is_leaf)
{
    uint64_t bits = ((1ull << PHYSICAL_BITS_MAX) - 1) & ~0xfffull & ~cpu->physical_mask;
    if ((cpu->efer & MH_EFER_NXE) == 0)
        bits |= PAGING_NX;
    if (level == LEVEL_PML4 || (level == LEVEL_PDPT && !x86_cpuid_has(cpu->cpuid, X86_FEATURE_PAGE_1G)))
        bits |= PAGING_LARGE;
    if (cpu->cpuid->is_amd && (level == LEVEL_PML4 || (level == LEVEL_PDPT && !is_leaf)))
        bits |= ENTRY_GLOBAL;
    if (is_leaf && level == LEVEL_PD)
        bits |= 0x1fe000; /* below the address, above PAT */
    if (is_leaf && level == LEVEL_PDPT)
        bits |= 0x3fffe000;
    return bits;
}

/* A page holds tables in use from now on: writes to it must be noticed. */
static void note_table(struct soft_cpu *cpu, size_t page)
{
    if (soft_walk_used(cpu, page))
        return;
    cpu->table_pages[page / 64] |= 1ull << page % 64;
    soft_mem_protect_code(cpu, page);
}

void soft_walk_written(struct soft_cpu *cpu, size_t page)
{
    if (soft_walk_used(cpu, page))
        soft_tlb_flush(cpu);
}

/* Read the entry of one level; `table` is the table's guest-physical address. */
static bool read_entry(struct soft_cpu *cpu, uint64_t address, unsigned level, uint64_t table, struct walk *walk)
{
    uint64_t at = table + (address >> (3 + 9 * level) & 0x1ff) * sizeof(uint64_t);
    size_t page;
    if (!page_of(cpu->ram, at, &page))
        return walk_no_memory(cpu, at, false);
    note_table(cpu, page);
    walk->entry[level] = cpu->ram->host + page * PAGE_4K + (at & 0xfff);
    memcpy(&walk->value[level], walk->entry[level], sizeof walk->value[level]);
    return true;
}

/* Follow the tables down to the page's entry, and collect the rights. */
static bool descend(struct soft_cpu *cpu, uint64_t address, const struct soft_access *access, struct walk *walk)
{
    uint64_t table = cpu->cr3 & cpu->physical_mask;
    for (unsigned level = LEVEL_PML4;; level--) {
        if (!read_entry(cpu, address, level, table, walk))
            return false;
        uint64_t entry = walk->value[level];
        bool is_leaf = level == LEVEL_PT || (level != LEVEL_PML4 && (entry & PAGING_LARGE) != 0);
        if ((entry & PAGING_PRESENT) == 0)
            return walk_fault(cpu, address, access, 0);
        if ((entry & reserved_bits(cpu, level, is_leaf)) != 0)
            return walk_fault(cpu, address, access, PF_PRESENT | PF_RESERVED);
        walk->writable &= (entry & PAGING_WRITE) != 0;
        walk->user &= (entry & PAGING_USER) != 0;
        walk->no_execute |= (entry & PAGING_NX) != 0;
        walk->leaf = level;
        if (is_leaf)
            return true;
        table = entry & cpu->physical_mask;
    }
}

/* Do the rights suffice (Intel SDM volume 3, 4.6.1)? */
static bool allowed(const struct soft_cpu *cpu, const struct soft_access *access, const struct walk *walk)
{
    if (access->user && !walk->user)
        return false;
    if (access->kind == SOFT_ACCESS_FETCH)
        return !walk->no_execute && (access->user || !walk->user || (cpu->cr4 & MH_CR4_SMEP) == 0);
    if (!access->user && walk->user && (cpu->cr4 & MH_CR4_SMAP) != 0 &&
        (access->implicit || (cpu->rflags & MH_RFLAGS_AC) == 0))
        return false;
    if (access->kind == SOFT_ACCESS_WRITE && !walk->writable)
        return !access->user && (cpu->cr0 & MH_CR0_WP) == 0;
    return true;
}

/* What an access sets in the entry of a level. */
static uint64_t bits_to_set(const struct soft_access *access, const struct walk *walk, unsigned level)
{
    const bool dirties = level == walk->leaf && access->kind == SOFT_ACCESS_WRITE;
    return (dirties ? PAGING_ACCESSED | PAGING_DIRTY : PAGING_ACCESSED) & ~walk->value[level];
}

static size_t offset_of_entry(const struct soft_cpu *cpu, const struct walk *walk, unsigned level)
{
    return (size_t)(walk->entry[level] - cpu->ram->host);
}

static bool changes_code(const struct soft_cpu *cpu, const struct soft_access *access, const struct walk *walk)
{
    for (unsigned level = LEVEL_PML4; level >= walk->leaf; level--)
        if (bits_to_set(access, walk, level) != 0 &&
            soft_blocks_has_page(cpu, offset_of_entry(cpu, walk, level) / PAGE_4K))
            return true;
    return false;
}

static void set_bits(struct soft_cpu *cpu, struct walk *walk, unsigned level, uint64_t bits)
{
    const uint64_t value = walk->value[level] | bits;
    const size_t offset = offset_of_entry(cpu, walk, level);
    if (bits == 0)
        return;
    memcpy(walk->entry[level], &value, sizeof value);
    if (cpu->tracks_writes)
        ram_mark_written(cpu->ram, walk->entry[level], sizeof value);
    soft_blocks_write(cpu, offset / PAGE_4K, (unsigned)(offset % PAGE_4K), sizeof value);
}

static void set_accessed(struct soft_cpu *cpu, const struct soft_access *access, struct walk *walk)
{
    for (unsigned level = LEVEL_PML4; level >= walk->leaf; level--)
        set_bits(cpu, walk, level, bits_to_set(access, walk, level));
}

/* ---- large pages ---- */

static size_t large_slot(uint64_t address)
{
    return (address >> SOFT_TLB_LARGE_SHIFT) % SOFT_TLB_LARGE_SIZE;
}

/* A walk succeeded. What it was allowed to do because RFLAGS.AC is set is not for the processor's own accesses. */
static void note_large(struct soft_cpu *cpu, uint64_t address, const struct soft_access *access, uint64_t physical)
{
    if (access->dry || access->implicit)
        return;
    cpu->tlb_large[access->user][access->kind][large_slot(address)] = (struct soft_tlb_large_entry){
        address >> SOFT_TLB_LARGE_SHIFT, physical & ~((1ull << SOFT_TLB_LARGE_SHIFT) - 1)};
}

bool soft_walk_large(const struct soft_cpu *cpu, uint64_t address, const struct soft_access *access, size_t *page)
{
    const struct soft_tlb_large_entry *entry = &cpu->tlb_large[access->user][access->kind][large_slot(address)];
    return entry->tag == address >> SOFT_TLB_LARGE_SHIFT &&
           page_of(cpu->ram, entry->physical | (address & ((1ull << SOFT_TLB_LARGE_SHIFT) - 1)), page);
}

bool soft_walk(struct soft_cpu *cpu, uint64_t address, const struct soft_access *access, size_t *page)
{
    struct walk walk = {.writable = true, .user = true};
    if (!descend(cpu, address, access, &walk))
        return false;
    if (!allowed(cpu, access, &walk))
        return walk_fault(cpu, address, access, PF_PRESENT);
    if (access->keeps_code && changes_code(cpu, access, &walk))
        return false;
    if (!access->dry)
        set_accessed(cpu, access, &walk);
    cpu->tlb_has_large |= walk.leaf != LEVEL_PT;
    uint64_t in_page = (1ull << (3 + 9 * walk.leaf)) - 1;
    uint64_t physical = (walk.value[walk.leaf] & cpu->physical_mask & ~in_page) | (address & in_page);
    if (!page_of(cpu->ram, physical, page))
        return walk_no_memory(cpu, physical, access->kind == SOFT_ACCESS_WRITE);
    if (walk.leaf != LEVEL_PT)
        note_large(cpu, address, access, physical);
    return true;
}
