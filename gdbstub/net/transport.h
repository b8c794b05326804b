/*
 * Moving bytes between the debugger's connection and buffers. A connection is one socket, or two descriptors when the
 * debugger uses pipes (stdio). The transport does not interpret the bytes.
 */
#ifndef GDBSTUB_TRANSPORT_H
#define GDBSTUB_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>

/* A connection. It does not own the descriptors. */
struct gdb_transport {
    int in_fd;
    int out_fd;
    bool in_is_socket, out_is_socket;
    bool can_wait; /* gdb_transport_receive_soon() does */
    int stop_fd;   /* sending is abandoned when this is readable; -1: none */
};

enum gdb_receive_result {
    GDB_RECEIVED,
    GDB_RECEIVE_NOTHING, /* no data available yet */
    GDB_RECEIVE_CLOSED,  /* the peer has closed the connection */
};

/* Initialize for these descriptors, after finding out whether they are sockets. */
void gdb_transport_init(struct gdb_transport *transport, int in_fd, int out_fd, int stop_fd);

/*
 * Read at most `room` bytes. This never blocks on a socket but may block on any other descriptor, so poll first.
 * *length is set for GDB_RECEIVED only, and is at least 1 then.
 */
enum gdb_receive_result gdb_transport_receive(const struct gdb_transport *transport, void *to, size_t room,
                                              size_t *length);

/*
 * The same, after waiting for some milliseconds if necessary. A debugger that steps sends its next packet within
 * microseconds: waiting here for that saves a poll() for each. Only for a connection on which `can_wait` is set.
 */
enum gdb_receive_result gdb_transport_receive_soon(const struct gdb_transport *transport, void *to, size_t room,
                                                   size_t *length);

/*
 * Send all bytes, waiting while the peer does not read. Returns false if the peer is gone or stop_fd became readable;
 * it is unknown how much was sent then.
 */
bool gdb_transport_send(const struct gdb_transport *transport, const char *from, size_t length);

#endif
