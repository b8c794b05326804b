/* What the guest's page tables map, as runs of pages. */
#ifndef MH_CORE_X86_PAGE_MAP_H
#define MH_CORE_X86_PAGE_MAP_H

#include "x86/paging.h"

/* A run of pages with the same rights whose physical addresses follow each other. */
struct page_mapping {
    uint64_t start, end, physical; /* end - 1 is the last byte */
    bool writable, user, executable;
};

/* No more are reported: tables that lead to themselves map more than can be read. */
#define PAGE_MAP_RUNS_MAX 4096u

/*
 * Call report() for each run, the lowest first; with paging off, once for all of RAM. Tables of 32-bit modes are not
 * followed: nothing is reported. Returns true when that was all of them, false when it stopped early.
 */
bool page_map_each(const struct guest_ram *ram, const struct paging_mode *mode,
                   void (*report)(void *ctx, const struct page_mapping *mapping), void *ctx);

#endif
