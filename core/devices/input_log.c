#include "devices/input_log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void input_log_free(struct input_log *inbound)
{
    free(inbound->log);
    *inbound = (struct input_log){0};
}

int64_t input_log_fill(struct input_log *inbound, void *to, size_t length, input_log_source *source, void *source_ctx)
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

void input_log_copy(struct input_log *inbound, void *to, const void *from, size_t length)
{
    /* the source takes a plain pointer; copy_source() only reads through it */
    input_log_fill(inbound, to, length, copy_source, (void *)(uintptr_t)from);
}

static bool grow(struct input_log *inbound)
{
    size_t capacity = inbound->capacity == 0 ? 2 * INPUT_LOG_UNREAD_MAX : 2 * inbound->capacity;
    uint8_t *log = capacity > INPUT_LOG_MAX ? NULL : realloc(inbound->log, capacity);
    if (log == NULL)
        return false;
    inbound->log = log;
    inbound->capacity = capacity;
    return true;
}

/* Make space for one more byte, if necessary by dropping the older half. */
static bool reserve(struct input_log *inbound)
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
    const struct input_log *inbound = source_ctx;
    memcpy(to, inbound->log + inbound->at, length);
    return (int64_t)length;
}

int64_t input_log_next(struct input_log *inbound, uint8_t *to, input_log_source *source, void *source_ctx)
{
    bool again = inbound->at < inbound->length;
    if (!again && !reserve(inbound))
        return -ENOMEM;
    int64_t got = again ? input_log_fill(inbound, to, 1, log_source, inbound)
                        : input_log_fill(inbound, to, 1, source, source_ctx);
    if (got != 1)
        return got;
    if (!again)
        inbound->log[inbound->length++] = *to;
    inbound->at++;
    return got;
}

void input_log_begin(struct input_log *inbound)
{
    if (inbound->keeps || inbound->at < inbound->length)
        return;
    inbound->start += inbound->at;
    inbound->at = inbound->length = 0;
}

void input_log_unread(struct input_log *inbound, size_t count)
{
    inbound->at -= count;
    inbound->bytes -= count;
}

uint64_t input_log_retain(struct input_log *inbound)
{
    inbound->keeps = true;
    return inbound->start + inbound->at;
}

bool input_log_contains(const struct input_log *inbound, uint64_t place)
{
    return place >= inbound->start && place - inbound->start <= inbound->length;
}

void input_log_seek(struct input_log *inbound, uint64_t place)
{
    inbound->at = (size_t)(place - inbound->start);
}
