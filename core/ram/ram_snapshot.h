/*
 * Copies of a machine's memory that share what they have in common, page by page: a copy costs the pages that changed
 * since the one before.
 *
 * The *base* is what memory held when it was last copied or restored; memory differs from it in the pages marked in
 * ram->changed, and in no others. A page of zeros takes no space.
 */
#ifndef MH_CORE_RAM_RAM_SNAPSHOT_H
#define MH_CORE_RAM_RAM_SNAPSHOT_H

#include "ram/ram.h"

#include <stdbool.h>

struct ram_snapshot;

/*
 * Copy memory. *base is NULL before the first time; all pages count as changed then. Returns 0 with *image set, or
 * -ENOMEM. ram_snapshot_free() frees an image, and also a base.
 */
int ram_snapshot_take(struct ram_snapshot **base, struct guest_ram *ram, struct ram_snapshot **image);

/* Make memory what `image` has, which was taken with the same base. */
void ram_snapshot_restore(struct ram_snapshot *base, struct guest_ram *ram, const struct ram_snapshot *image);

/*
 * Look from page *page on for one in which memory differs from `image`, which was taken with the same base. True with
 * *page set, and *was, which is what the image has there (NULL: zeros).
 */
bool ram_snapshot_differs(const struct ram_snapshot *base, const struct guest_ram *ram,
                          const struct ram_snapshot *image, size_t *page, const uint8_t **was);

void ram_snapshot_free(struct ram_snapshot *image);

/* How many pages hold something other than zeros. */
size_t ram_snapshot_pages(const struct ram_snapshot *image);

#endif
