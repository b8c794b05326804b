/*
 * What the launcher of --anywhere and /init of its tiny machine say to each other over one virtio serial port: frames.
 * A frame is a header of eight bytes (type, stream, two zero bytes, length of the payload as 32 bits, least byte
 * first) and its payload.
 */
#ifndef MH_TOOL_ANYWHERE_WIRE_H
#define MH_TOOL_ANYWHERE_WIRE_H

#include <stddef.h>
#include <stdint.h>

#define WIRE_HEADER 8u
#define WIRE_PAYLOAD_MAX 16384u
#define WIRE_STREAMS 20u /* 0, 1 and 2 are the program's; from 3 on connections of debuggers */

enum wire_type {
    WIRE_DATA = 1, /* either way, of a stream: its next bytes */
    WIRE_CREDIT,   /* either way, of a stream: that many more bytes may be sent on it (a number) */
    WIRE_CLOSE,    /* either way, of a stream: no more bytes come */
    WIRE_BROKEN,   /* either way, of a stream: no more bytes are taken */
    WIRE_OPEN,     /* to the machine, of a stream that is free: a debugger has come to this listener (a number) */
    WIRE_SIGNAL,   /* to the machine: send this signal to the program (a number) */
    WIRE_STARTED,  /* from the machine: the program runs */
    WIRE_TERMINAL, /* from the machine: the program takes the terminal on stdin (1), or gives it back (0) */
    WIRE_EXIT,     /* from the machine, its last: an exit status, and how many bytes of stdin were read (64 bits) */
    WIRE_FAILED,   /* from the machine, its last: what went wrong, as text */
};

struct wire_frame {
    enum wire_type type;
    unsigned stream; /* below WIRE_STREAMS; 0 where the type has none */
    const uint8_t *payload;
    size_t length; /* WIRE_PAYLOAD_MAX at most, and what the type allows */
};

/*
 * Read the frame that `bytes` begins with; its payload stays there. Returns how many bytes it has, 0 when there is no
 * whole one yet, or -1 when no frame can begin like this.
 */
int wire_decode(const uint8_t *bytes, size_t length, struct wire_frame *frame);

/* Write a frame to `to`. Returns its length, or 0 when `room` is too small. The payload has WIRE_PAYLOAD_MAX at most.
 */
size_t wire_encode(uint8_t *to, size_t room, const struct wire_frame *frame);

/* A number as payload, in `size` bytes (8 at most), least byte first. */
void wire_put_number(uint8_t *to, size_t size, uint64_t number);
uint64_t wire_get_number(const uint8_t *from, size_t size);

#endif
