#include "inbound.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void inbound_free(struct inbound *inbound)
{
    free(inbound->log);
    *inbound = (struct inbound){0};
}

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

static bool grow(struct inbound *inbound)
{
    size_t capacity = inbound->capacity == 0 ? 2 * INBOUND_TAKE_BACK_MAX : 2 * inbound->capacity;
    uint8_t *log = capacity > INBOUND_LOG_MAX ? NULL : realloc(inbound->log, capacity);
    if (log == NULL)
        return false;
    inbound->log = log;
    inbound->capacity = capacity;
    return true;
}

/* Make room for one more byte, if need be by forgetting the older half. */
static bool reserve(struct inbound *inbound)
{
    if (inbound->length < inbound->capacity || grow(inbound))
        return true;
    if (inbound->capacity == 0)
        return false;
    size_t dropped = inbound->length / 2;
    memmove(inbound->log, inbound->log + dropped, inbound->length - dropped);
    inbound->length -= dropped;
    inbound->at -= dropped;
    inbound->start += dropped;
    return true;
}

static int64_t log_source(void *source_ctx, void *to, size_t length)
{
    const struct inbound *inbound = source_ctx;
    memcpy(to, inbound->log + inbound->at, length);
    return (int64_t)length;
}

int64_t inbound_take(struct inbound *inbound, uint8_t *to, inbound_source *source, void *source_ctx)
{
    bool again = inbound->at < inbound->length;
    if (!again && !reserve(inbound))
        return -ENOMEM;
    int64_t got =
        again ? inbound_fill(inbound, to, 1, log_source, inbound) : inbound_fill(inbound, to, 1, source, source_ctx);
    if (got != 1)
        return got;
    if (!again)
        inbound->log[inbound->length++] = *to;
    inbound->at++;
    return got;
}

void inbound_begin(struct inbound *inbound)
{
    if (inbound->keeps || inbound->at < inbound->length)
        return;
    inbound->start += inbound->at;
    inbound->at = inbound->length = 0;
}

void inbound_take_back(struct inbound *inbound, size_t count)
{
    inbound->at -= count;
    inbound->bytes -= count;
}

uint64_t inbound_keep(struct inbound *inbound)
{
    inbound->keeps = true;
    return inbound->start + inbound->at;
}

bool inbound_reaches(const struct inbound *inbound, uint64_t place)
{
    return place >= inbound->start && place - inbound->start <= inbound->length;
}

void inbound_rewind(struct inbound *inbound, uint64_t place)
{
    inbound->at = (size_t)(place - inbound->start);
}
