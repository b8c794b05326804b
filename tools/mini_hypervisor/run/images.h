/* The images of the command line, and what the machines that run them are called. */
#ifndef MH_TOOL_IMAGES_H
#define MH_TOOL_IMAGES_H

#include "options/options.h"

struct images {
    const struct word_list *paths;
    struct mh_image **of_machine; /* one for each path; equal paths share an image */
    size_t count;                 /* how many are loaded */
};

/* Load an image for each path, which must outlive them; flat ones at `address`. MH_OK, or an error as of
 * mh_image_load() or MH_ERR_HOST. images_free() is to be called in either case. */
enum mh_status images_load(struct images *images, const struct word_list *paths, uint64_t ram_size, uint64_t address,
                           struct mh_error *err);
/* Close their files: no debugger is going to ask for them. */
void images_close_files(struct images *images);
void images_free(struct images *images);

/* What a machine that runs the image at `path` is called: the file's name without ".img" or ".elf", or, as every sample
 * and most homework builds a "guest.img", the name of the directory around that. Printable. */
void image_label(const char *path, char *label, size_t size);

#endif
