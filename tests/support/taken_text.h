/* Text that comes piece by piece. */
#ifndef MH_TEST_TAKEN_TEXT_H
#define MH_TEST_TAKEN_TEXT_H

#include "unit.h"

#include <string.h>

struct taken_text {
    char bytes[65536]; /* ends with a 0 once something was taken */
    size_t length;
};

/* A writer of text, with a struct taken_text as its context. */
static inline void take_text(void *ctx, const char *text, size_t length)
{
    struct taken_text *taken = ctx;
    assert_true(taken->length + length < sizeof taken->bytes);
    memcpy(taken->bytes + taken->length, text, length);
    taken->length += length;
    taken->bytes[taken->length] = '\0';
}

static inline void clear_text(struct taken_text *taken)
{
    taken->length = 0;
    taken->bytes[0] = '\0';
}

#endif
