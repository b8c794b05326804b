/*
 * Copies of a machine's memory that share what they have in common, page by page: a copy costs the pages that changed
 * since the one before.
 *
 * The *base* is what memory held when it was last copied or put back; memory differs from it in the pages marked in
 * memory->changed, and in no others. A page of zeros takes no room.
 */
#ifndef MH_CORE_MEMORY_IMAGE_H
#define MH_CORE_MEMORY_IMAGE_H

#include "memory.h"

struct memory_image;

/*
 * Copy memory. *base is NULL before the first time; all pages count as changed then. Returns 0 with *image set, or
 * -ENOMEM. memory_image_free() frees an image, and also a base.
 */
int memory_image_take(struct memory_image **base, struct guest_memory *memory, struct memory_image **image);

/* Make memory what `image` has, which was taken with the same base. */
void memory_image_put_back(struct memory_image *base, struct guest_memory *memory, const struct memory_image *image);

void memory_image_free(struct memory_image *image);

/* How many pages hold something other than zeros. */
size_t memory_image_pages(const struct memory_image *image);

#endif
