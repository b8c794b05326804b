/* The guest's page tables themselves: which pages they are in, and what is in each. */
#ifndef MH_CORE_X86_PAGE_TABLES_H
#define MH_CORE_X86_PAGE_TABLES_H

#include "mh/memory_view.h"
#include "x86/paging.h"

#define PAGE_TABLE_ENTRIES 512u

/* No more are reported. */
#define PAGE_TABLES_MAX 4096u

/*
 * Call report() for each table that cr3 leads to, once for each level, the highest level first. Tables where the
 * machine has no memory are left out. Without four-level paging, there is none. Returns true when that was all of them.
 */
bool page_tables_each(const struct guest_ram *ram, const struct paging_mode *mode,
                      void (*report)(void *ctx, const struct mh_page_table *table), void *ctx);

/* Entry number `index` of a table. */
uint64_t page_table_entry(const struct mh_page_table *table, unsigned index);

/* Does an entry at this level name a page, and not another table? */
bool page_table_is_leaf(uint64_t entry, unsigned level);

/* The guest-physical address in an entry that names a table. */
mh_gpa page_table_next(uint64_t entry);

#endif
