#include "protocol/packet.h"

#include <string.h>

#define ESCAPE 0x7d
#define ESCAPE_XOR 0x20
#define INTERRUPT 0x03
#define LANES 0x00ff00ff00ff00ffull
#define LANE_WORDS 128u  /* 2 * 255 * 128 fits 16 bits */
#define TRAILER 3u       /* '#' and two digits */
#define LITTLE_ROOM 4096 /* below this the unread bytes are moved to the front, so that reads stay large */

void gdb_packet_reader_init(struct gdb_packet_reader *reader, void *buffer, size_t capacity)
{
    *reader = (struct gdb_packet_reader){.buffer = buffer, .capacity = capacity};
}

static void reader_compact(struct gdb_packet_reader *reader)
{
    memmove(reader->buffer, reader->buffer + reader->start, reader->end - reader->start);
    reader->end -= reader->start;
    reader->scanned -= reader->scanned > reader->start ? reader->start : reader->scanned;
    reader->start = 0;
}

/* The buffer is full and the packet has not ended: drop what there is, and remember to drop the rest. */
static void reader_drop_long_packet(struct gdb_packet_reader *reader)
{
    reader->start = reader->end = reader->scanned = 0;
    reader->dropping = true;
}

uint8_t *gdb_packet_room(struct gdb_packet_reader *reader, size_t *room)
{
    if (reader->start == reader->end)
        reader->start = reader->end = reader->scanned = 0;
    else if (reader->start > 0 && reader->capacity - reader->end < LITTLE_ROOM)
        reader_compact(reader);
    if (reader->end == reader->capacity)
        reader_drop_long_packet(reader);
    *room = reader->capacity - reader->end;
    return reader->buffer + reader->end;
}

void gdb_packet_received(struct gdb_packet_reader *reader, size_t length)
{
    reader->end += length;
}

/*
 * Return the sum of the bytes of at most LANE_WORDS words. Each 16-bit lane adds up two bytes at a time, and cannot
 * overflow.
 */
static uint64_t checksum_sum_words(const uint8_t *bytes, size_t words)
{
    uint64_t lanes = 0, word;

    for (size_t i = 0; i < words; i++) {
        memcpy(&word, bytes + i * sizeof word, sizeof word);
        lanes += (word & LANES) + (word >> 8 & LANES);
    }
    return (lanes & 0xffff) + (lanes >> 16 & 0xffff) + (lanes >> 32 & 0xffff) + (lanes >> 48);
}

uint8_t gdb_packet_checksum(const void *payload, size_t length)
{
    const uint8_t *bytes = payload, *end = bytes + length;
    uint64_t sum = 0;

    while ((size_t)(end - bytes) >= sizeof(uint64_t)) {
        size_t words = (size_t)(end - bytes) / sizeof(uint64_t);

        words = words < LANE_WORDS ? words : LANE_WORDS;
        sum += checksum_sum_words(bytes, words);
        bytes += words * sizeof(uint64_t);
    }
    while (bytes < end)
        sum += *bytes++;
    return (uint8_t)sum;
}

/* Undo escapes in place and return the new length. An escape at the end is dropped. */
static size_t payload_unescape(uint8_t *payload, size_t length)
{
    uint8_t *escape = memchr(payload, ESCAPE, length);
    const uint8_t *from = escape, *end = payload + length;
    uint8_t *to = escape;

    if (escape == NULL)
        return length;
    while (from < end) {
        const uint8_t *next;
        size_t plain;

        if (*from == ESCAPE) {
            if (from + 1 < end)
                *to++ = from[1] ^ ESCAPE_XOR;
            from += 2;
            continue;
        }
        next = memchr(from, ESCAPE, (size_t)(end - from));
        plain = (size_t)((next != NULL ? next : end) - from);
        memmove(to, from, plain);
        to += plain;
        from += plain;
    }
    return (size_t)(to - payload);
}

static bool checksum_matches(const uint8_t *digits, uint8_t sum)
{
    uint8_t sent;

    return gdb_hex_decode(&sent, (const char *)digits, 2) && sent == sum;
}

/* Return the packet that begins at `start` with '$', if it is complete. */
static enum gdb_packet_event reader_next_packet(struct gdb_packet_reader *reader, struct gdb_text *packet)
{
    size_t from = reader->scanned > reader->start ? reader->scanned : reader->start + 1;
    uint8_t *payload = reader->buffer + reader->start + 1, *hash, *again;

    hash = memchr(reader->buffer + from, '#', reader->end - from);
    reader->scanned = hash != NULL ? (size_t)(hash - reader->buffer) : reader->end;
    if (reader->end - reader->scanned < TRAILER)
        return GDB_PACKET_NEED_MORE;
    reader->start = reader->scanned + TRAILER;
    again = memrchr(payload, '$', (size_t)(hash - payload));
    if (again != NULL)
        payload = again + 1;
    size_t length = (size_t)(hash - payload);
    if (!checksum_matches(hash + 1, gdb_packet_checksum(payload, length)))
        return GDB_PACKET_BAD;
    packet->at = (const char *)payload;
    packet->end = packet->at + payload_unescape(payload, length);
    return GDB_PACKET_WHOLE;
}

/* Look for the end of a packet that was too long: '#' and two digits, or the '$' of the next packet. */
static enum gdb_packet_event reader_drop_rest(struct gdb_packet_reader *reader)
{
    for (; reader->start < reader->end; reader->start++) {
        uint8_t c = reader->buffer[reader->start];

        if (c != '#' && c != '$')
            continue;
        if (c == '#' && reader->end - reader->start < TRAILER)
            return GDB_PACKET_NEED_MORE;
        if (c == '#')
            reader->start += TRAILER;
        reader->dropping = false;
        return GDB_PACKET_TOO_LONG;
    }
    return GDB_PACKET_NEED_MORE;
}

enum gdb_packet_event gdb_packet_next(struct gdb_packet_reader *reader, struct gdb_text *packet)
{
    if (reader->dropping)
        return reader_drop_rest(reader);
    while (reader->start < reader->end) {
        switch (reader->buffer[reader->start]) {
        case '$':
            return reader_next_packet(reader, packet);
        case '+':
            reader->start++;
            return GDB_PACKET_ACK;
        case '-':
            reader->start++;
            return GDB_PACKET_NACK;
        case INTERRUPT:
            reader->start++;
            return GDB_PACKET_INTERRUPT;
        default:
            reader->start++;
        }
    }
    return GDB_PACKET_NEED_MORE;
}
