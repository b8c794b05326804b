/* Guest-physical memory: RAM from address 0, the system area, and the one check that every access passes. */
#ifndef MH_CORE_RAM_RAM_H
#define MH_CORE_RAM_RAM_H

#include "mh/guest_abi.h"
#include "mh/status.h"
#include "mh/types.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_4K 0x1000u
#define RAM_PAGES_MAX ((MH_SYSTEM_AREA + MH_SYSTEM_AREA_SIZE) / PAGE_4K) /* RAM ends where the area begins */

enum ram_access {
    RAM_READ,
    RAM_WRITTEN,
    RAM_EXECUTED,
    RAM_ACCESSES,
};

struct guest_ram {
    uint8_t *host;     /* RAM, followed directly by the system area; NULL: none */
    uint64_t ram_size; /* bytes */
    /* one bit per page, in the order of `host`: written since ram_snapshot.c cleared it */
    uint64_t changed[(RAM_PAGES_MAX + 63) / 64];
    /* for people, also one bit per page: what the guest did to it since the last ram_clear() */
    uint64_t accessed[RAM_ACCESSES][(RAM_PAGES_MAX + 63) / 64];
    bool misses_accesses; /* a processor ran that does not note accesses */
    size_t copies;        /* pages that snapshots of this memory hold at the moment; see ram_snapshot.c */
    /* Called for each write that is not the guest's: a processor may have cached what was there. May be NULL. */
    void (*watcher)(void *watcher_ctx, mh_gpa start, uint64_t length);
    void *watcher_ctx;
};

/*
 * Reserve zeroed memory for a machine with `ram_size` bytes of RAM; pages cost nothing until they are touched.
 * Returns MH_OK, or MH_ERR_HOST when the host has no address space left. ram_free() undoes it, also after a failure.
 */
enum mh_status ram_create(struct guest_ram *ram, uint64_t ram_size, struct mh_error *err);
void ram_free(struct guest_ram *ram);

/* Zero all of it, and give its pages back to the host. Call ram_note_written() when it has been filled again. */
void ram_clear(struct guest_ram *ram);

/* The first byte of the system area (guest-physical MH_SYSTEM_AREA). */
uint8_t *ram_system_area(const struct guest_ram *ram);

/*
 * The host address of guest-physical [start, start + length), or NULL when any byte of it is neither RAM nor system
 * area, or the sum overflows. `length` may be 0.
 */
void *ram_at(const struct guest_ram *ram, mh_gpa start, uint64_t length);

/* The same for RAM only: what a guest may name as a buffer. */
void *ram_only_at(const struct guest_ram *ram, mh_gpa start, uint64_t length);

/*
 * A processor records only what the guest writes. All other writes to guest memory use ram_put(), or call
 * ram_note_written() afterwards; `at` and `to` come from ram_at(). Both call `watcher`, if there is one.
 */
void ram_put(struct guest_ram *ram, void *to, const void *from, size_t length);
void ram_note_written(struct guest_ram *ram, const void *at, size_t length);

/* What a processor calls when the guest has written `length` bytes, at least 1. It tells nobody: a processor looks
 * after its own caches itself, and better. */
void ram_mark_written(struct guest_ram *ram, const void *at, size_t length);

/* Note an access to page number `page`, in the order of `host`. */
static inline void ram_mark_accessed(struct guest_ram *ram, size_t page, enum ram_access access)
{
    ram->accessed[access][page / 64] |= 1ull << page % 64;
}

/* The guest-physical address of a byte in this process's memory that belongs to the guest's. */
mh_gpa ram_gpa(const struct guest_ram *ram, const void *at);

/* RAM and system area, in pages. */
size_t ram_pages(const struct guest_ram *ram);

#endif
