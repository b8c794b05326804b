#include "anywhere_wire.h"

#include <stdbool.h>
#include <string.h>

#define LENGTH_AT 4u
#define LENGTH_SIZE 4u

/* How a frame of each type looks. */
static const struct shape {
    bool has_stream;
    size_t least, most; /* bytes of payload */
} shapes[] = {
    [WIRE_DATA] = {true, 1, WIRE_PAYLOAD_MAX},
    [WIRE_CREDIT] = {true, 4, 4},
    [WIRE_CLOSE] = {true, 0, 0},
    [WIRE_BROKEN] = {true, 0, 0},
    [WIRE_OPEN] = {true, 4, 4},
    [WIRE_SIGNAL] = {false, 4, 4},
    [WIRE_STARTED] = {false, 0, 0},
    [WIRE_TERMINAL] = {false, 4, 4},
    [WIRE_EXIT] = {false, 12, 12},
    [WIRE_FAILED] = {false, 1, 512},
};

void wire_put_number(uint8_t *to, size_t size, uint64_t number)
{
    for (size_t i = 0; i < size; i++)
        to[i] = (uint8_t)(number >> 8 * i);
}

uint64_t wire_get_number(const uint8_t *from, size_t size)
{
    uint64_t number = 0;
    for (size_t i = size; i-- > 0;)
        number = number << 8 | from[i];
    return number;
}

static bool is_header(const uint8_t *bytes)
{
    if (bytes[0] < WIRE_DATA || bytes[0] > WIRE_FAILED || bytes[2] != 0 || bytes[3] != 0)
        return false;
    const struct shape *shape = &shapes[bytes[0]];
    uint64_t length = wire_get_number(bytes + LENGTH_AT, LENGTH_SIZE);
    return bytes[1] < (shape->has_stream ? WIRE_STREAMS : 1) && length >= shape->least && length <= shape->most;
}

int wire_decode(const uint8_t *bytes, size_t length, struct wire_frame *frame)
{
    if (length < WIRE_HEADER)
        return 0;
    if (!is_header(bytes))
        return -1;
    frame->type = (enum wire_type)bytes[0];
    frame->stream = bytes[1];
    frame->length = wire_get_number(bytes + LENGTH_AT, LENGTH_SIZE);
    frame->payload = bytes + WIRE_HEADER;
    return length - WIRE_HEADER < frame->length ? 0 : (int)(WIRE_HEADER + frame->length);
}

size_t wire_encode(uint8_t *to, size_t room, const struct wire_frame *frame)
{
    size_t whole = WIRE_HEADER + frame->length;
    if (room < whole)
        return 0;
    memset(to, 0, WIRE_HEADER);
    to[0] = (uint8_t)frame->type;
    to[1] = (uint8_t)frame->stream;
    wire_put_number(to + LENGTH_AT, LENGTH_SIZE, frame->length);
    if (frame->length > 0)
        memcpy(to + WIRE_HEADER, frame->payload, frame->length);
    return whole;
}
