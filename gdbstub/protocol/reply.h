/*
 * Building a reply packet in a buffer of fixed size. Functions append to the payload. What does not fit sets a flag
 * that stays set, and a reply that overflowed is sent as an error instead, so callers need not check. Run-length
 * encoding, checksum and frame are added at the end, in one place (GDB manual, "Overview" and "Binary Data" of the
 * remote protocol).
 */
#ifndef GDBSTUB_REPLY_H
#define GDBSTUB_REPLY_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gdb_reply {
    char *buffer; /* an acknowledgement, '$', the payload, '#' and two digits */
    size_t capacity;
    size_t end; /* where the next byte of the payload goes */
    bool overflow;
};

/* Bytes of the buffer that are not payload. */
#define GDB_REPLY_FRAME 5u

/* Initialize with an empty payload in a buffer of `capacity` bytes, at least GDB_REPLY_FRAME + 3. */
void gdb_reply_init(struct gdb_reply *reply, char *buffer, size_t capacity);

/* Clear the payload and the overflow flag. */
void gdb_reply_clear(struct gdb_reply *reply);

/* Return the length of the payload so far. */
size_t gdb_reply_length(const struct gdb_reply *reply);

/* Return how many bytes of payload still fit. */
size_t gdb_reply_left(const struct gdb_reply *reply);

/* Append one byte that needs no escape. */
void gdb_reply_char(struct gdb_reply *reply, char c);

/* Append text that needs no escape. */
void gdb_reply_text(struct gdb_reply *reply, const char *text);

/* Append formatted text that needs no escape. */
void gdb_reply_printf(struct gdb_reply *reply, const char *format, ...) __attribute__((format(printf, 2, 3)));
void gdb_reply_vprintf(struct gdb_reply *reply, const char *format, va_list args) __attribute__((format(printf, 2, 0)));

/* Append a number in hexadecimal, without leading zeros. */
void gdb_reply_number(struct gdb_reply *reply, uint64_t number);

/* Append bytes in hexadecimal, two digits each. */
void gdb_reply_hex(struct gdb_reply *reply, const void *bytes, size_t length);

/* Append binary data, escaping '#', '$', '}' and '*'. */
void gdb_reply_binary(struct gdb_reply *reply, const void *bytes, size_t length);

/*
 * Return a place inside the buffer for *length bytes that the next gdb_reply_hex() or gdb_reply_binary() appends, which
 * saves another buffer. *length is lowered to what is certain to fit.
 */
void *gdb_reply_stage(struct gdb_reply *reply, size_t *length);

/*
 * Finish the packet: replace an overflowed reply by an error, encode runs, add checksum and frame. Returns the first
 * byte, '$', and sets *length. The byte before it belongs to the buffer, too, for an acknowledgement.
 */
char *gdb_reply_finish(struct gdb_reply *reply, size_t *length);

/*
 * Encode runs of equal bytes in place as byte, '*', count. Returns the new length. No count is '#' or '$', or greater
 * than '~'.
 */
size_t gdb_reply_encode_runs(char *payload, size_t length);

#endif
