/*
 * Hexadecimal numbers and a cursor over the rest of a packet. The protocol writes most numbers and memory in
 * hexadecimal. Parsing is strict: an invalid digit is an error, and so is a number that does not fit.
 */
#ifndef GDBSTUB_HEX_H
#define GDBSTUB_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The unread rest of a packet; not terminated, may contain any byte. */
struct gdb_text {
    const char *at;
    const char *end;
};

/* Return the text of a C string. */
struct gdb_text gdb_text_of(const char *string);

/* Return the number of bytes left. */
size_t gdb_text_length(const struct gdb_text *text);

/* True if nothing is left. */
bool gdb_text_empty(const struct gdb_text *text);

/* If the next byte is `c`, step over it and return true; otherwise change nothing and return false. */
bool gdb_text_eat(struct gdb_text *text, char c);

/* If the text begins with `word`, step over it and return true; otherwise change nothing and return false. */
bool gdb_text_eat_word(struct gdb_text *text, const char *word);

/* True if the text is exactly `word`. */
bool gdb_text_is(const struct gdb_text *text, const char *word);

/* Return the text before the next `separator` and step over both; return all of it if there is no separator. */
struct gdb_text gdb_text_cut(struct gdb_text *text, char separator);

/*
 * Read a hexadecimal number at the cursor, up to the first byte that is not a digit. Returns false, with the cursor and
 * *value unspecified, if there is no digit or the value needs more than 64 bits.
 */
bool gdb_text_u64(struct gdb_text *text, uint64_t *value);

/* As gdb_text_u64(), for values up to `max`. */
bool gdb_text_u32(struct gdb_text *text, uint32_t max, uint32_t *value);

/* Return the value of a hexadecimal digit of either case, -1 if `c` is none. */
int gdb_hex_digit(char c);

/* Write two lower-case digits per byte to `to`, which has room for 2 * `length`; `from` may be the tail of `to`. */
void gdb_hex_encode(char *to, const uint8_t *from, size_t length);

/*
 * Decode `digits` digits into half as many bytes. Returns false if the number is odd or a digit is invalid; the bytes
 * before that have been written then.
 */
bool gdb_hex_decode(uint8_t *to, const char *from, size_t digits);

#endif
