#include "observe/json_line.h"

#include <stdbool.h>
#include <string.h>

static void json_put_bytes(struct json_line *line, const char *bytes, size_t length)
{
    if (length > (size_t)(line->end - line->at))
        return;
    memcpy(line->at, bytes, length);
    line->at += length;
}

void json_put(struct json_line *line, const char *text)
{
    json_put_bytes(line, text, strlen(text));
}

void json_put_key(struct json_line *line, const char *key)
{
    json_put(line, line->at[-1] == '{' ? "\"" : ",\"");
    json_put(line, key);
    json_put(line, "\":");
}

#define DIGITS_MAX 20u

void json_put_number(struct json_line *line, uint64_t value)
{
    char digits[DIGITS_MAX];
    size_t at = DIGITS_MAX;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    json_put_bytes(line, digits + at, DIGITS_MAX - at);
}

void json_put_signed(struct json_line *line, int64_t value)
{
    if (value < 0)
        json_put(line, "-");
    json_put_number(line, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

static const char hex_digits[] = "0123456789abcdef";

void json_put_hex(struct json_line *line, uint64_t value)
{
    char digits[DIGITS_MAX];
    size_t at = DIGITS_MAX;
    digits[--at] = '"';
    do {
        digits[--at] = hex_digits[value % 16];
        value /= 16;
    } while (value != 0);
    digits[--at] = 'x';
    digits[--at] = '0';
    digits[--at] = '"';
    json_put_bytes(line, digits + at, DIGITS_MAX - at);
}

void json_put_microseconds(struct json_line *line, uint64_t ns)
{
    const unsigned rest = (unsigned)(ns % 1000);
    const char fraction[] = {'.', (char)('0' + rest / 100), (char)('0' + rest / 10 % 10), (char)('0' + rest % 10)};
    json_put_number(line, ns / 1000);
    json_put_bytes(line, fraction, sizeof fraction);
}

/* Without '<' a string cannot end the element of a page that it is in. */
static bool is_plain(unsigned char byte)
{
    return byte >= ' ' && byte < 0x7f && byte != '"' && byte != '\\' && byte != '<';
}

void json_put_escaped(struct json_line *line, const void *bytes, size_t length)
{
    const unsigned char *from = bytes;
    for (size_t i = 0, plain; i < length; i += plain) {
        for (plain = 0; i + plain < length && is_plain(from[i + plain]); plain++) {
        }
        json_put_bytes(line, (const char *)from + i, plain);
        if (plain > 0)
            continue;
        const char escape[] = {'\\', 'u', '0', '0', hex_digits[from[i] / 16], hex_digits[from[i] % 16]};
        json_put_bytes(line, escape, sizeof escape);
        plain = 1;
    }
}

void json_put_string(struct json_line *line, const void *bytes, size_t length)
{
    json_put_bytes(line, "\"", 1);
    json_put_escaped(line, bytes, length);
    json_put_bytes(line, "\"", 1);
}
