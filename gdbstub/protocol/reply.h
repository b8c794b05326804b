/*
 * Building one reply packet in a buffer of fixed size. Verbs add to the payload; what does not fit sets a flag that
 * stays, and a reply that overflowed is sent as an error instead. Run-length encoding, checksum and frame are added
 * in one place, at the end (GDB manual, "Overview" and "Binary Data" of the remote protocol).
 */
#ifndef GDBSTUB_REPLY_H
#define GDBSTUB_REPLY_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gdb_reply {
    char *buffer; /* one byte for an acknowledgement, '$', the payload, '#' and two digits */
    size_t capacity;
    size_t end; /* where the next byte of the payload goes */
    bool overflow;
};

/* Bytes of a buffer that are not payload. */
#define GDB_REPLY_FRAME 5u

/* Begin with an empty payload in `buffer` of `capacity` bytes, at least GDB_REPLY_FRAME + 3. */
void gdb_reply_init(struct gdb_reply *reply, char *buffer, size_t capacity);

/* Drop the payload and the overflow flag. */
void gdb_reply_clear(struct gdb_reply *reply);

/* Bytes of payload so far. */
size_t gdb_reply_length(const struct gdb_reply *reply);

/* Bytes of payload that still fit. */
size_t gdb_reply_left(const struct gdb_reply *reply);

/* Add one byte that needs no escape. */
void gdb_reply_char(struct gdb_reply *reply, char c);

/* Add text that needs no escape. */
void gdb_reply_text(struct gdb_reply *reply, const char *text);

/* Add formatted text that needs no escape. */
void gdb_reply_printf(struct gdb_reply *reply, const char *format, ...) __attribute__((format(printf, 2, 3)));
void gdb_reply_vprintf(struct gdb_reply *reply, const char *format, va_list args) __attribute__((format(printf, 2, 0)));

/* Add two digits a byte. */
void gdb_reply_hex(struct gdb_reply *reply, const void *bytes, size_t length);

/* Add bytes as they are, escaping '#', '$', '}' and '*'. */
void gdb_reply_binary(struct gdb_reply *reply, const void *bytes, size_t length);

/*
 * Where *length bytes may be put to become hexadecimal digits or escaped bytes by the next call of gdb_reply_hex()
 * or gdb_reply_binary(), without another buffer. *length is lowered to what is sure to fit when written so.
 */
void *gdb_reply_stage(struct gdb_reply *reply, size_t *length);

/*
 * Finish the packet: an error in place of what overflowed, runs encoded, checksum and frame put on.
 * Returns its first byte, '$', and sets *length. The byte before it belongs to the reply too and may be overwritten
 * with an acknowledgement.
 */
char *gdb_reply_finish(struct gdb_reply *reply, size_t *length);

/*
 * Encode runs of equal bytes in place as byte, '*', count; returns the new length. No count is '#' or '$', or beyond
 * '~'.
 */
size_t gdb_reply_encode_runs(char *payload, size_t length);

#endif
