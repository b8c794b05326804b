/* Guest images: reading and checking them once, copying them into each machine's RAM. */
#ifndef MH_CORE_LOADER_H
#define MH_CORE_LOADER_H

#include "mh/vm.h"
#include "ram/ram.h"

/* Copy the image into RAM, which is zeroed and as large as the image was checked for. */
void image_place(const struct mh_image *image, const struct guest_ram *memory);

/* Call report() for each range of RAM that belongs to the image; what it clears is part of it. */
void image_each_range(const struct mh_image *image, void (*report)(void *ctx, uint64_t start, uint64_t length),
                      void *ctx);

/* A flat image from memory. MH_OK with *image set, or MH_ERR_HOST. */
enum mh_status image_from_bytes(const uint8_t *bytes, size_t length, struct mh_image **image, struct mh_error *err);

/* Bytes of the file that go to RAM. */
uint64_t image_size(const struct mh_image *image);

/* Is the image's file another one than when it was loaded: replaced, written to or removed? Looks at nothing but what
 * stat() says, because a confined process may not open a file that has taken its place. */
bool image_has_changed(const struct mh_image *image);

/*
 * The image in `fd`, its file opened again; a negative errno when it cannot be opened. Reads and checks it as
 * mh_image_load() did, and takes the descriptor in any case. MH_OK with *now set, or an error as of mh_image_load().
 */
enum mh_status image_reload(const struct mh_image *image, int fd, struct mh_image **now, struct mh_error *err);

/* Does a machine that starts with one of them start like one that starts with the other? */
bool image_is_same(const struct mh_image *image, const struct mh_image *other);

/* A descriptor, to be closed, for the file the image was loaded from, even when another file has its name now; or a
 * negative errno. The file may have been written to since. */
int image_open(const struct mh_image *image);

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
