/*
 * The one door through which anything from outside enters a guest: bytes of the serial line, contents and results of
 * file calls. A recorder or a replayer has to stand at this door only.
 */
#ifndef MH_CORE_INBOUND_H
#define MH_CORE_INBOUND_H

#include <stddef.h>
#include <stdint.h>

/* Counts what came in; a machine has one. */
struct inbound {
    uint64_t bytes;
};

/* Puts up to `length` bytes at `to`. Returns how many, or a negative value of its own. */
typedef int64_t inbound_source(void *source_ctx, void *to, size_t length);

/* Let `source` fill guest memory or a port's data at `to`. Returns what the source returned. */
int64_t inbound_fill(struct inbound *inbound, void *to, size_t length, inbound_source *source, void *source_ctx);

/* Bring in bytes that are at hand already. */
void inbound_copy(struct inbound *inbound, void *to, const void *from, size_t length);

#endif
