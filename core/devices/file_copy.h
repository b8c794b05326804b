/* Copies of file contents: of one version of a file, in memory, shared by its holders. Holes cost nothing. */
#ifndef MH_CORE_DEVICES_FILE_COPY_H
#define MH_CORE_DEVICES_FILE_COPY_H

#include <stdint.h>

struct file_copy;

/*
 * Copy what the file behind `fd` holds. Returns 0 with *copy set, -EFBIG when there are more than *room bytes, or minus
 * another errno. The bytes copied are taken from *room, and given back to it when the last holder releases the copy:
 * it must be there as long.
 */
int file_copy_make(int fd, uint64_t *room, struct file_copy **copy);

/* Write it into the empty file behind `fd`. 0, or minus an errno. */
int file_copy_write(const struct file_copy *copy, int fd);

/* One more who holds it; NULL is allowed and returned. */
struct file_copy *file_copy_share(struct file_copy *copy);
/* One less; NULL is allowed. */
void file_copy_release(struct file_copy *copy);

#endif
