/* A machine's memory at a glance: which parts of it are what, and what the guest did to them. */
#ifndef MH_MEMORY_VIEW_H
#define MH_MEMORY_VIEW_H

#include "mh/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mh_vm;

#define MH_VIEW_PAGE 0x1000u
/* The unit in which changes are known. */
#define MH_VIEW_GRAIN 64u
#define MH_VIEW_GRAINS (MH_VIEW_PAGE / MH_VIEW_GRAIN)

/* What a page of 4 KB is; a mask. */
#define MH_VIEW_IMAGE 0x01u    /* the image has memory in it */
#define MH_VIEW_TABLE 0x02u    /* a page table that cr3 leads to */
#define MH_VIEW_STACK 0x04u    /* rsp points into it, or directly behind it */
#define MH_VIEW_MAPPED 0x08u   /* the page tables map it */
#define MH_VIEW_READ 0x10u     /* only known as far as `knows_accesses` says, as are the next two */
#define MH_VIEW_WRITTEN 0x20u  /* by the guest or, with `knows_writes` only, for it */
#define MH_VIEW_EXECUTED 0x40u /* code was fetched from it */
#define MH_VIEW_CHANGED 0x80u  /* it differs from the start; the guest or a debugger wrote it */

struct mh_memory_view {
    size_t ram_pages;  /* from address 0 */
    size_t pages;      /* and the system area, at MH_SYSTEM_AREA, behind them */
    uint8_t *page;     /* for each page: MH_VIEW_* */
    uint64_t *changed; /* for each page: a bit for each grain, the lowest for the first */
    /* All that the guest read, wrote and executed since its start is noted. False when it ran on KVM, which does not
     * say: what a bit says is true then, but not all bits are set. */
    bool knows_accesses;
    bool knows_writes; /* the same, of what it wrote: also on KVM, with config.notes_writes */
};

/* Look at a machine that is stopped, on its thread. MH_OK, or MH_ERR_HOST without memory. Free *view in either case. */
enum mh_status mh_vm_view_memory(struct mh_vm *vm, struct mh_memory_view *view, struct mh_error *err);
void mh_memory_view_free(struct mh_memory_view *view);

/* A page table, at one of the levels at which it is used. */
struct mh_page_table {
    uint64_t address;       /* guest-physical */
    unsigned level;         /* 1: its entries name pages of 4 KB; 4 (PML4) or 5 is the highest */
    const uint8_t *entries; /* 512 of 8 bytes, in this process */
    bool is_known;          /* it was reported before, at another level */
};

/*
 * Call report() for each table that cr3 of a stopped machine leads to, once for each level, the highest level first.
 * Tables where the machine has no memory are left out; without four-level paging there is none. Returns true when that
 * was all of them, false when there are too many.
 */
bool mh_vm_each_page_table(struct mh_vm *vm, void (*report)(void *ctx, const struct mh_page_table *table), void *ctx);

/* The guest-physical address of page number `page` of the view. */
uint64_t mh_memory_view_address(const struct mh_memory_view *view, size_t page);

#endif
