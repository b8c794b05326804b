/*
 * Framing of what the debugger sends (GDB manual, "Overview" of the remote protocol): bytes in; acknowledgements,
 * interrupts and packets out. It knows no socket: the caller asks where bytes may be put, puts some there and asks
 * what they make.
 */
#ifndef GDBSTUB_PACKET_H
#define GDBSTUB_PACKET_H

#include "protocol/hex.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum gdb_packet_event {
    GDB_PACKET_NEED_MORE,
    GDB_PACKET_ACK,       /* '+' */
    GDB_PACKET_NACK,      /* '-' */
    GDB_PACKET_INTERRUPT, /* 0x03 outside a packet; inside it is data */
    GDB_PACKET_WHOLE,     /* a packet with the right checksum */
    GDB_PACKET_BAD,       /* a packet with a checksum that is wrong or is none */
    GDB_PACKET_TOO_LONG,  /* a packet that does not fit the buffer; all of it was dropped */
};

struct gdb_packet_reader {
    uint8_t *buffer;
    size_t capacity;
    size_t start;   /* first byte not consumed */
    size_t end;     /* behind the last byte received */
    size_t scanned; /* no '#' of the packet at `start` lies before this */
    bool dropping;  /* inside a packet that was too long */
};

/* Start reading into `buffer` of `capacity` bytes (at least 8), which must outlive the reader. */
void gdb_packet_reader_init(struct gdb_packet_reader *reader, void *buffer, size_t capacity);

/*
 * Where the next received bytes go; *room, never 0, says how many may. Texts handed out before become invalid.
 */
uint8_t *gdb_packet_room(struct gdb_packet_reader *reader, size_t *room);

/* Tell that `length` bytes have been put where gdb_packet_room() said. */
void gdb_packet_received(struct gdb_packet_reader *reader, size_t length);

/* True when a packet has begun and not ended: more bytes are probably on their way. */
bool gdb_packet_is_partial(const struct gdb_packet_reader *reader);

/*
 * The next event the received bytes make. With GDB_PACKET_WHOLE *packet is the payload, escapes undone, valid until
 * gdb_packet_room() is called; with all others it is not touched. A '$' inside a packet begins a new one, for the
 * debugger has started over.
 */
enum gdb_packet_event gdb_packet_next(struct gdb_packet_reader *reader, struct gdb_text *packet);

/* Modulo-256 sum of `length` bytes: the checksum of a payload as it travels. */
uint8_t gdb_packet_checksum(const void *payload, size_t length);

#endif
