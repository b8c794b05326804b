#include "protocol/hex.h"

#include <string.h>

#define DIGITS_OF_U64 16

/* The two digits of every byte: encoding takes one load and one store per byte. */
static const char hex_pairs[2 * 256 + 1] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
                                           "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
                                           "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f"
                                           "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f"
                                           "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"
                                           "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf"
                                           "c0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf"
                                           "e0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";

struct gdb_text gdb_text_of(const char *string)
{
    return (struct gdb_text){string, string + strlen(string)};
}

size_t gdb_text_length(const struct gdb_text *text)
{
    return (size_t)(text->end - text->at);
}

bool gdb_text_empty(const struct gdb_text *text)
{
    return text->at == text->end;
}

bool gdb_text_eat(struct gdb_text *text, char c)
{
    if (gdb_text_empty(text) || *text->at != c)
        return false;
    text->at++;
    return true;
}

bool gdb_text_eat_word(struct gdb_text *text, const char *word)
{
    size_t length = strlen(word);

    if (gdb_text_length(text) < length || memcmp(text->at, word, length) != 0)
        return false;
    text->at += length;
    return true;
}

bool gdb_text_is(const struct gdb_text *text, const char *word)
{
    return gdb_text_length(text) == strlen(word) && memcmp(text->at, word, gdb_text_length(text)) == 0;
}

struct gdb_text gdb_text_cut(struct gdb_text *text, char separator)
{
    struct gdb_text part = *text;
    const char *found = memchr(text->at, separator, gdb_text_length(text));

    if (found == NULL) {
        text->at = text->end;
        return part;
    }
    part.end = found;
    text->at = found + 1;
    return part;
}

bool gdb_text_u64(struct gdb_text *text, uint64_t *value)
{
    uint64_t number = 0;
    bool any = false;

    for (; !gdb_text_empty(text); text->at++) {
        int digit = gdb_hex_digit(*text->at);

        if (digit < 0)
            break;
        if (number >> (4 * (DIGITS_OF_U64 - 1)))
            return false;
        number = number << 4 | (uint64_t)digit;
        any = true;
    }
    *value = number;
    return any;
}

bool gdb_text_u32(struct gdb_text *text, uint32_t max, uint32_t *value)
{
    uint64_t number;

    if (!gdb_text_u64(text, &number) || number > max)
        return false;
    *value = (uint32_t)number;
    return true;
}

int gdb_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

typedef uint8_t octet __attribute__((vector_size(8)));
typedef uint8_t characters __attribute__((vector_size(16)));
typedef uint16_t pairs __attribute__((vector_size(16)));

/* Eight bytes at once. All are read before the first digit is written. Hosts are little-endian. */
static void hex_encode_octet(char *to, const uint8_t *from)
{
    octet bytes;

    memcpy(&bytes, from, sizeof bytes);
    const pairs wide = __builtin_convertvector(bytes, pairs);
    const characters nibbles = (characters)(wide >> 4 | (wide & 15) << 8);
    const characters text = nibbles + '0' + ((characters)(nibbles > 9) & ('a' - '0' - 10));
    memcpy(to, &text, sizeof text);
}

void gdb_hex_encode(char *to, const uint8_t *from, size_t length)
{
    size_t i = 0;

    for (; length - i >= sizeof(octet); i += sizeof(octet))
        hex_encode_octet(to + 2 * i, from + i);
    for (; i < length; i++)
        memcpy(to + 2 * i, hex_pairs + 2 * from[i], 2);
}

bool gdb_hex_decode(uint8_t *to, const char *from, size_t digits)
{
    if (digits % 2 != 0)
        return false;
    for (size_t i = 0; i < digits / 2; i++) {
        int high = gdb_hex_digit(from[2 * i]);
        int low = gdb_hex_digit(from[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        to[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}
