/* Writing everything to a descriptor, and giving up in good order when the process is to end. */
#ifndef MH_TOOL_OUTPUT_H
#define MH_TOOL_OUTPUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Write all of `bytes`, however long the other side takes. Once *ending is true (NULL: never), go on only while the
 * other side takes something at least once a second.
 * Returns 0, -EINTR when it gave up for *ending, or minus the errno of write().
 */
int output_write(int fd, const void *bytes, size_t length, const atomic_bool *ending);

#endif
