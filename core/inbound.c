#include "inbound.h"

#include <string.h>

int64_t inbound_fill(struct inbound *inbound, void *to, size_t length, inbound_source *source, void *source_ctx)
{
    int64_t got = source(source_ctx, to, length);
    if (got > 0)
        inbound->bytes += (uint64_t)got;
    return got;
}

static int64_t copy_source(void *source_ctx, void *to, size_t length)
{
    memcpy(to, source_ctx, length);
    return (int64_t)length;
}

void inbound_copy(struct inbound *inbound, void *to, const void *from, size_t length)
{
    /* the source takes a plain pointer; copy_source() only reads through it */
    inbound_fill(inbound, to, length, copy_source, (void *)(uintptr_t)from);
}
