/*
 * Hexadecimal, the protocol's way of writing numbers and memory, and a cursor over the unread rest of a packet.
 * Decoding is strict: a digit that is none is an error, and so is a number that does not fit.
 */
#ifndef GDBSTUB_HEX_H
#define GDBSTUB_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What of a packet has not been read yet; not terminated, may hold any byte. */
struct gdb_text {
    const char *at;
    const char *end;
};

/* The text of a C string. */
struct gdb_text gdb_text_of(const char *string);

/* Number of bytes left. */
size_t gdb_text_length(const struct gdb_text *text);

/* True when nothing is left. */
bool gdb_text_empty(const struct gdb_text *text);

/* If the next byte is `c`, steps over it and returns true; else changes nothing and returns false. */
bool gdb_text_eat(struct gdb_text *text, char c);

/* If the text begins with `word`, steps over it and returns true; else changes nothing and returns false. */
bool gdb_text_eat_word(struct gdb_text *text, const char *word);

/* True when the text is exactly `word`. */
bool gdb_text_is(const struct gdb_text *text, const char *word);

/* Cuts off and returns what stands before the next `separator`, stepping over that; the whole rest if there is none. */
struct gdb_text gdb_text_cut(struct gdb_text *text, char separator);

/*
 * Reads a hexadecimal number at the cursor, stopping at the first byte that is no digit.
 * Returns false, with the cursor and *value unspecified, when there is no digit or the value needs more than 64 bits.
 */
bool gdb_text_u64(struct gdb_text *text, uint64_t *value);

/* As gdb_text_u64, for values up to `max`. */
bool gdb_text_u32(struct gdb_text *text, uint32_t max, uint32_t *value);

/* The value of one hexadecimal digit of either case, -1 when `c` is none. */
int gdb_hex_digit(char c);

/* Writes two lower-case digits a byte to `to`, which has room for 2 * `length`; `from` may be the tail of `to`. */
void gdb_hex_encode(char *to, const uint8_t *from, size_t length);

/*
 * Decodes `digits` (an even number) into digits / 2 bytes.
 * Returns false when the number is odd or a digit is bad; the bytes before the bad one are written then.
 */
bool gdb_hex_decode(uint8_t *to, const char *from, size_t digits);

#endif
