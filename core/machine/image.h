/* Guest images: reading and checking them once, copying them into each machine's RAM. */
#ifndef MH_CORE_LOADER_H
#define MH_CORE_LOADER_H

#include "mh/vm.h"
#include "ram/ram.h"

/* Copy the image into RAM, which is zeroed and as large as the image was checked for. */
void image_place(const struct mh_image *image, const struct guest_ram *memory);

/* A flat image from memory. MH_OK with *image set, or MH_ERR_HOST. */
enum mh_status image_from_bytes(const uint8_t *bytes, size_t length, struct mh_image **image, struct mh_error *err);

/* Bytes of the file that go to RAM. */
uint64_t image_size(const struct mh_image *image);

/*
 * Is the image's file another one than when it was loaded: replaced, written to or removed? Looks at nothing but its
 * inode, because a confined process may not open a file that has taken its place.
 */
bool image_has_changed(const struct mh_image *image);

/* A part of an image. */
struct image_part {
    uint64_t address, length;
    const uint8_t *bytes;
};

/* An image made of parts at hand, which are copied and fit the RAM they will be placed in. MH_OK with *image set, or
 * MH_ERR_HOST. */
enum mh_status image_from_parts(uint64_t entry, const struct image_part *parts, size_t count, struct mh_image **image,
                                struct mh_error *err);

/* Where the guest begins. */
uint64_t image_entry(const struct mh_image *image);

#endif
