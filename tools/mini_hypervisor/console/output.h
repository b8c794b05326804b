/* Output files, and writing everything to a descriptor until the process is to end. */
#ifndef MH_TOOL_OUTPUT_H
#define MH_TOOL_OUTPUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Create or overwrite the file at `path`. A FIFO without a reader is refused: while open() waits for one, no signal
 * is handled. Returns a descriptor, or -1 with *why saying what is wrong.
 */
int output_open(const char *path, const char **why);

/* True when `path` is the same file as one of `others`, whatever their names. */
bool output_is_one_of(const char *path, const char *const *others, size_t count);

/*
 * Write all of `bytes`, however long that takes. Once *ending is true (NULL: never), give up when nothing can be
 * written for a second.
 * Returns 0, -EINTR when it gave up for *ending, or minus the errno of write().
 */
int output_write(int fd, const void *bytes, size_t length, const atomic_bool *ending);

#endif
