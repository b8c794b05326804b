/* Guest images: reading and checking them once, copying them into each machine's RAM. */
#ifndef MH_CORE_LOADER_H
#define MH_CORE_LOADER_H

#include "memory.h"
#include "mh/vm.h"

/* Copy the image into RAM, which is zeroed and as large as the image was checked for. */
void loader_place(const struct mh_image *image, const struct guest_memory *memory);

/* Where the guest begins. */
uint64_t loader_entry(const struct mh_image *image);

#endif
