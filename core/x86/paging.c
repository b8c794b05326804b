#include "x86/paging.h"

#include "mh/x86_regs.h"

#include <string.h>

#define ENTRIES 512u
#define ADDRESS_MASK 0x000ffffffffff000ull

static bool is_canonical(uint64_t address, unsigned bits)
{
    int64_t top = (int64_t)address >> (bits - 1);
    return top == 0 || top == -1;
}

static void map_result(struct paging_walk *walk, uint64_t base, uint64_t page_size, mh_gva address)
{
    walk->end = PAGING_MAPPED;
    walk->page_size = page_size;
    walk->physical = mh_gpa_of((base & ~(page_size - 1)) | (address.v & (page_size - 1)));
}

static bool walk_tables(const struct guest_ram *memory, const struct paging_mode *mode, mh_gva address,
                        struct paging_walk *walk)
{
    static const char *const names[PAGING_LEVELS_MAX] = {"PT", "PD", "PDPT", "PML4", "PML5"};
    unsigned levels = (mode->cr4 & MH_CR4_LA57) != 0 ? 5 : 4;
    if (!is_canonical(address.v, 12 + 9 * levels)) {
        walk->end = PAGING_NOT_CANONICAL;
        return false;
    }
    walk->writable = walk->user = walk->executable = true;
    mh_gpa table = mh_gpa_of(mode->cr3 & ADDRESS_MASK);
    for (unsigned level = levels; level-- > 0;) {
        unsigned shift = 12 + 9 * level;
        struct paging_step *step = &walk->step[walk->steps++];
        *step = (struct paging_step){.level = names[level], .table = table};
        step->index = (unsigned)(address.v >> shift) % ENTRIES;
        const void *host = ram_at(memory, mh_gpa_of(table.v + step->index * 8ull), 8);
        if (host == NULL) {
            walk->end = PAGING_NO_TABLE;
            return false;
        }
        memcpy(&step->entry, host, sizeof step->entry);
        if ((step->entry & PAGING_PRESENT) == 0) {
            walk->end = PAGING_NOT_PRESENT;
            return false;
        }
        walk->writable &= (step->entry & PAGING_WRITE) != 0;
        walk->user &= (step->entry & PAGING_USER) != 0;
        walk->executable &= (mode->efer & MH_EFER_NXE) == 0 || (step->entry & PAGING_NX) == 0;
        bool is_page = level == 0 || (level <= 2 && (step->entry & PAGING_LARGE) != 0);
        if (is_page) {
            map_result(walk, step->entry & ADDRESS_MASK, 1ull << shift, address);
            return true;
        }
        table = mh_gpa_of(step->entry & ADDRESS_MASK);
    }
    return false; /* not reached: level 0 always ends the walk */
}

bool paging_walk(const struct guest_ram *memory, const struct paging_mode *mode, mh_gva address,
                 struct paging_walk *walk)
{
    *walk = (struct paging_walk){.end = PAGING_NO_TABLE};
    if ((mode->cr0 & MH_CR0_PG) == 0) {
        walk->writable = walk->user = walk->executable = true;
        map_result(walk, address.v, PAGE_4K, address);
        walk->physical = mh_gpa_of(address.v);
        return true;
    }
    if ((mode->efer & MH_EFER_LMA) == 0)
        return false;
    return walk_tables(memory, mode, address, walk);
}

/* Tables that lead to each other could keep a search busy for hours. */
#define TABLES_SEARCHED_MAX 4096u

static bool is_table_below(const struct guest_ram *memory, uint64_t table, unsigned level, uint64_t wanted,
                           unsigned *left)
{
    const uint8_t *host = ram_at(memory, mh_gpa_of(table), ENTRIES * sizeof(uint64_t));
    if (table == wanted)
        return true;
    if (host == NULL || level == 0 || *left == 0)
        return false;
    --*left;
    for (unsigned i = 0; i < ENTRIES; i++) {
        uint64_t entry;
        memcpy(&entry, host + i * sizeof entry, sizeof entry);
        const bool is_page = level <= 2 && (entry & PAGING_LARGE) != 0;
        if ((entry & PAGING_PRESENT) != 0 && !is_page &&
            is_table_below(memory, entry & ADDRESS_MASK, level - 1, wanted, left))
            return true;
    }
    return false;
}

bool paging_is_table(const struct guest_ram *memory, const struct paging_mode *mode, mh_gpa address)
{
    unsigned left = TABLES_SEARCHED_MAX;
    const unsigned top = (mode->cr4 & MH_CR4_LA57) != 0 ? 4 : 3;
    return (mode->cr0 & MH_CR0_PG) != 0 &&
           is_table_below(memory, mode->cr3 & ADDRESS_MASK, top, address.v & ADDRESS_MASK, &left);
}
