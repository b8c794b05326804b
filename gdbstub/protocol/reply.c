#include "protocol/reply.h"

#include "protocol/hex.h"
#include "protocol/packet.h"

#include <stdio.h>
#include <string.h>

#define HEAD 2u    /* an acknowledgement, '$' */
#define TRAILER 3u /* '#' and two digits */

#define RUN_MIN 4u      /* encoding shorter runs saves nothing */
#define REPEATS_MAX 97u /* after the first byte; 97 + 29 is '~' */
#define REPEATS_BASE 29u

/* Payloads are long, and few of their bytes need an escape or belong to a run, so they are searched by blocks. */
typedef uint8_t block __attribute__((vector_size(16)));

static block block_at(const void *bytes)
{
    block loaded;

    memcpy(&loaded, bytes, sizeof loaded);
    return loaded;
}

/* True if any byte of a comparison's result is set. */
static bool block_any(block mask)
{
    uint64_t halves[2];

    memcpy(halves, &mask, sizeof halves);
    return (halves[0] | halves[1]) != 0;
}

/* The index of the first byte of a comparison's result that is set, the size of a block if none is. Hosts are
 * little-endian. */
static size_t block_first(block mask)
{
    uint64_t halves[2];

    memcpy(halves, &mask, sizeof halves);
    if (halves[0] != 0)
        return (size_t)__builtin_ctzll(halves[0]) / 8;
    return halves[1] != 0 ? sizeof halves[0] + (size_t)__builtin_ctzll(halves[1]) / 8 : sizeof mask;
}

void gdb_reply_init(struct gdb_reply *reply, char *buffer, size_t capacity)
{
    reply->buffer = buffer;
    reply->capacity = capacity;
    gdb_reply_clear(reply);
}

void gdb_reply_clear(struct gdb_reply *reply)
{
    reply->end = HEAD;
    reply->overflow = false;
}

size_t gdb_reply_length(const struct gdb_reply *reply)
{
    return reply->end - HEAD;
}

size_t gdb_reply_left(const struct gdb_reply *reply)
{
    return reply->capacity - TRAILER - reply->end;
}

/* Return room for `length` bytes, or NULL with the overflow flag set if there is none. */
static char *reply_extend(struct gdb_reply *reply, size_t length)
{
    char *at = reply->buffer + reply->end;

    if (reply->overflow || length > gdb_reply_left(reply)) {
        reply->overflow = true;
        return NULL;
    }
    reply->end += length;
    return at;
}

void gdb_reply_char(struct gdb_reply *reply, char c)
{
    char *at = reply_extend(reply, 1);

    if (at != NULL)
        *at = c;
}

void gdb_reply_text(struct gdb_reply *reply, const char *text)
{
    size_t length = strlen(text);
    char *at = reply_extend(reply, length);

    if (at != NULL)
        memcpy(at, text, length);
}

void gdb_reply_vprintf(struct gdb_reply *reply, const char *format, va_list args)
{
    /* the terminator may overwrite the trailer, which is written last */
    int length = vsnprintf(reply->buffer + reply->end, gdb_reply_left(reply) + 1, format, args);

    if (length < 0)
        reply->overflow = true;
    else
        reply_extend(reply, (size_t)length);
}

void gdb_reply_printf(struct gdb_reply *reply, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    gdb_reply_vprintf(reply, format, args);
    va_end(args);
}

void gdb_reply_number(struct gdb_reply *reply, uint64_t number)
{
    unsigned digits = 1;

    while (digits < 16 && number >> (4 * digits) != 0)
        digits++;
    char *at = reply_extend(reply, digits);
    for (unsigned i = 0; at != NULL && i < digits; i++)
        at[i] = "0123456789abcdef"[number >> (4 * (digits - 1 - i)) & 15];
}

void gdb_reply_hex(struct gdb_reply *reply, const void *bytes, size_t length)
{
    if (length > gdb_reply_left(reply) / 2) {
        reply->overflow = true;
        return;
    }
    char *at = reply_extend(reply, 2 * length);
    if (at != NULL)
        gdb_hex_encode(at, bytes, length);
}

static bool byte_needs_escape(uint8_t byte)
{
    static const bool table[256] = {['#'] = true, ['$'] = true, ['}'] = true, ['*'] = true};

    return table[byte];
}

static bool block_needs_escape(block bytes)
{
    return block_any((block)((bytes == '#') | (bytes == '$') | (bytes == '}') | (bytes == '*')));
}

/* Escape `length` bytes into room for twice as many; returns the end of what was written. */
static char *escape_bytes(char *to, const uint8_t *from, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        uint8_t byte = from[i];

        if (byte_needs_escape(byte)) {
            *to++ = '}';
            byte ^= 0x20;
        }
        *to++ = (char)byte;
    }
    return to;
}

void gdb_reply_binary(struct gdb_reply *reply, const void *bytes, size_t length)
{
    const uint8_t *from = bytes, *end = from + length;
    char *to = reply->buffer + reply->end, *limit = to + gdb_reply_left(reply);

    while ((size_t)(end - from) >= sizeof(block) && (size_t)(limit - to) >= 2 * sizeof(block)) {
        block plain = block_at(from);

        if (block_needs_escape(plain)) {
            to = escape_bytes(to, from, sizeof plain);
        } else {
            memcpy(to, &plain, sizeof plain);
            to += sizeof plain;
        }
        from += sizeof plain;
    }
    for (; from < end; from++) {
        if (limit - to < 2) {
            reply->overflow = true;
            return;
        }
        to = escape_bytes(to, from, 1);
    }
    reply->end = (size_t)(to - reply->buffer);
}

void *gdb_reply_stage(struct gdb_reply *reply, size_t *length)
{
    size_t most = gdb_reply_left(reply) / 2;

    if (*length > most)
        *length = most;
    /* at the very end, so that writing two bytes for each one never overtakes the reading */
    return reply->buffer + reply->capacity - TRAILER - *length;
}

/* Return the number of equal bytes from `i` on. */
static size_t run_length_at(const char *payload, size_t length, size_t i)
{
    const block same = (block){0} + (uint8_t)payload[i];
    size_t end = i + 1;

    while (length - end >= sizeof(block)) {
        size_t equal = block_first((block)(block_at(payload + end) != same));

        end += equal;
        if (equal < sizeof(block))
            return end - i;
    }
    while (end < length && payload[end] == payload[i])
        end++;
    return end - i;
}

/* Where in the block at `at` the first run of at least RUN_MIN bytes begins, the size of a block if none does. Looks at
 * the RUN_MIN - 1 bytes after it, too. */
static size_t block_first_run(const char *at)
{
    block first = block_at(at), second = block_at(at + 1), third = block_at(at + 2), fourth = block_at(at + 3);

    return block_first((block)((first == second) & (second == third) & (third == fourth)));
}

/* Return the position of the first run of at least RUN_MIN bytes at or after `from`, `length` if there is none. */
static size_t run_find(const char *payload, size_t length, size_t from)
{
    size_t i = from;

    while (length - i >= sizeof(block) + RUN_MIN - 1) {
        size_t begin = block_first_run(payload + i);

        i += begin;
        if (begin < sizeof(block))
            return i;
    }
    for (; length - i >= RUN_MIN; i++)
        if (payload[i] == payload[i + 1] && payload[i] == payload[i + 2] && payload[i] == payload[i + 3])
            return i;
    return length;
}

/* Return how many of `repeats` one count can express. '#' and '$' cannot be counts. */
static size_t run_countable(size_t repeats)
{
    if (repeats > REPEATS_MAX)
        repeats = REPEATS_MAX;
    if (repeats + REPEATS_BASE == '#' || repeats + REPEATS_BASE == '$')
        return '#' - 1 - REPEATS_BASE;
    return repeats;
}

/* Write `run` times `byte` at `to`; returns the end of what was written. */
static char *run_write(char *to, char byte, size_t run)
{
    while (run >= RUN_MIN) {
        size_t repeats = run_countable(run - 1);

        *to++ = byte;
        *to++ = '*';
        *to++ = (char)(repeats + REPEATS_BASE);
        run -= repeats + 1;
    }
    memset(to, byte, run);
    return to + run;
}

size_t gdb_reply_encode_runs(char *payload, size_t length)
{
    size_t at = run_find(payload, length, 0);
    char *to = payload + at;

    while (at < length) {
        size_t run = run_length_at(payload, length, at);
        size_t next = run_find(payload, length, at + run);

        to = run_write(to, payload[at], run);
        memmove(to, payload + at + run, next - at - run);
        to += next - at - run;
        at = next;
    }
    return (size_t)(to - payload);
}

char *gdb_reply_finish(struct gdb_reply *reply, size_t *length)
{
    char *payload = reply->buffer + HEAD;

    if (reply->overflow) {
        gdb_reply_clear(reply);
        gdb_reply_text(reply, "E01");
    }
    reply->end = HEAD + gdb_reply_encode_runs(payload, gdb_reply_length(reply));
    uint8_t sum = gdb_packet_checksum(payload, gdb_reply_length(reply));
    payload[-1] = '$';
    reply->buffer[reply->end] = '#';
    gdb_hex_encode(reply->buffer + reply->end + 1, &sum, 1);
    *length = gdb_reply_length(reply) + 1 + TRAILER;
    return payload - 1;
}
