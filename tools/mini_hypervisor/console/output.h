/* Files for output; writing everything to a descriptor, and giving up in good order when the process is to end. */
#ifndef MH_TOOL_OUTPUT_H
#define MH_TOOL_OUTPUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Create or overwrite the file at `path`. A FIFO that nobody reads is refused: waiting for a reader would keep us where
 * no signal is answered. Returns a descriptor, or -1 with *why saying what is wrong.
 */
int output_open(const char *path, const char **why);

/* True when `path` is the same file as one of these, whatever the names. */
bool output_is_one_of(const char *path, const char *const *others, size_t count);

/*
 * Write all of `bytes`, however long the other side takes. Once *ending is true (NULL: never), go on only while the
 * other side takes something at least once a second.
 * Returns 0, -EINTR when it gave up for *ending, or minus the errno of write().
 */
int output_write(int fd, const void *bytes, size_t length, const atomic_bool *ending);

#endif
