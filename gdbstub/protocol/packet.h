/*
 * Framing of what the debugger sends (GDB manual, "Overview" of the remote protocol). The reader is an incremental
 * decoder without I/O: the caller asks where to put received bytes, puts them there and asks for events, which are
 * acknowledgements, interrupts and packets. Where the stream was cut into reads makes no difference.
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
    GDB_PACKET_INTERRUPT, /* 0x03 outside a packet; inside one it is data */
    GDB_PACKET_WHOLE,     /* a packet with a correct checksum */
    GDB_PACKET_BAD,       /* a packet with an incorrect or invalid checksum */
    GDB_PACKET_TOO_LONG,  /* a packet that does not fit into the buffer; all of it was dropped */
};

struct gdb_packet_reader {
    uint8_t *buffer;
    size_t capacity;
    size_t start;   /* first unread byte */
    size_t end;     /* end of the received bytes */
    size_t scanned; /* there is no '#' of the packet at `start` before this */
    bool dropping;  /* in a packet that was too long */
};

/* Initialize with a buffer of `capacity` bytes, at least 8. It must outlive the reader. */
void gdb_packet_reader_init(struct gdb_packet_reader *reader, void *buffer, size_t capacity);

/*
 * Return where to put the next received bytes, and in *room how many fit, at least 1. Packets returned before become
 * invalid.
 */
uint8_t *gdb_packet_room(struct gdb_packet_reader *reader, size_t *room);

/* Add `length` bytes that have been put where gdb_packet_room() said. */
void gdb_packet_received(struct gdb_packet_reader *reader, size_t length);

/*
 * Return the next event. With GDB_PACKET_WHOLE, *packet is the payload without escapes, valid until gdb_packet_room()
 * is called; otherwise it is unchanged. A '$' inside a packet begins a new one, because the debugger has started over.
 */
enum gdb_packet_event gdb_packet_next(struct gdb_packet_reader *reader, struct gdb_text *packet);

/* Return the checksum of a payload: the modulo-256 sum of its bytes as they are sent, escapes included. */
uint8_t gdb_packet_checksum(const void *payload, size_t length);

#endif
