/* What the guest's page tables map, as runs of pages. */
#ifndef MH_CORE_MAPPINGS_H
#define MH_CORE_MAPPINGS_H

#include "vm_internal.h"

/* A run of pages with the same rights whose physical addresses follow each other. */
struct mapping {
    uint64_t start, end, physical; /* end - 1 is the last byte */
    bool writable, user, executable;
};

/* No more are told: tables that lead to themselves map more than anybody can read. */
#define MAPPINGS_MAX 4096u

/*
 * Call tell() for each run, the lowest first; with paging off, once for all of RAM. Tables of 32-bit modes are not
 * followed: nothing is told. Returns true when that was all of them, false when it stopped early.
 */
bool mappings_each(struct mh_vm *vm, void (*tell)(void *ctx, const struct mapping *mapping), void *ctx);

#endif
