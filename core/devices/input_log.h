/*
 * The only way for data from outside into a guest: bytes of the serial line, contents and results of file calls.
 *
 * The bytes of the serial line are one stream, and can be read from outside only once. The log keeps the last part of
 * it, so that an IN can be undone, and a machine that is restored to an earlier state reads the same bytes again.
 * Results of file calls are not kept: the files are restored too, and give the same results.
 */
#ifndef MH_CORE_INBOUND_H
#define MH_CORE_INBOUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INPUT_LOG_MAX (16u << 20)    /* bytes of the stream that are kept for snapshots; the oldest go first */
#define INPUT_LOG_UNREAD_MAX (4096u) /* bytes that can always be unread */

/* A machine has one. All zero is its start; input_log_free() ends it. */
struct input_log {
    uint64_t bytes;          /* that came in, for statistics */
    uint8_t *log;            /* the last part of the stream */
    size_t length, capacity; /* bytes in it, and room */
    size_t at;               /* what is read next: log[at] or, at the end, the source */
    uint64_t start;          /* how many bytes of the stream came before log[0] */
    bool keeps;              /* for snapshots; otherwise only the bytes of the current IN are kept */
};

/* Puts up to `length` bytes at `to`. Returns how many, or a negative value of its own. */
typedef int64_t input_log_source(void *source_ctx, void *to, size_t length);

void input_log_free(struct input_log *inbound);

/* Let `source` fill guest memory or a port's data at `to`. Returns what the source returned. */
int64_t input_log_fill(struct input_log *inbound, void *to, size_t length, input_log_source *source, void *source_ctx);

/* Bring in bytes that are at hand already. */
void input_log_copy(struct input_log *inbound, void *to, const void *from, size_t length);

/*
 * Take the next byte of the stream: one that was taken before, or else one byte of `source`'s.
 * Returns 1, -ENOMEM with nothing asked of the source, or what the source returned instead of 1.
 */
int64_t input_log_next(struct input_log *inbound, uint8_t *to, input_log_source *source, void *source_ctx);

/* An IN begins: bytes read before it will not be unread. */
void input_log_begin(struct input_log *inbound);

/* The last `count` bytes read since input_log_begin() will be read again; at most INPUT_LOG_UNREAD_MAX. */
void input_log_unread(struct input_log *inbound, size_t count);

/* From now on keep what is read. Returns the position in the stream, for input_log_seek(). */
uint64_t input_log_retain(struct input_log *inbound);

/* True when the stream is kept from `place` on. */
bool input_log_contains(const struct input_log *inbound, uint64_t place);

/* Go back, or forward again, to a place that input_log_contains(). */
void input_log_seek(struct input_log *inbound, uint64_t place);

#endif
