/* Moving bytes between the debugger's connection and buffers. Nothing here knows what they mean. */
#ifndef GDBSTUB_TRANSPORT_H
#define GDBSTUB_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>

/* A connection: one socket, or two descriptors when the debugger talks through pipes. Does not own them. */
struct gdb_transport {
    int in_fd;
    int out_fd;
    bool in_is_socket, out_is_socket;
    int stop_fd; /* gives up sending when this is readable; -1: none */
};

enum gdb_receive_result {
    GDB_RECEIVED,
    GDB_RECEIVE_NOTHING, /* nothing there yet */
    GDB_RECEIVE_CLOSED,  /* the other end is gone */
};

/* Set up for these descriptors; asks the system whether they are sockets. */
void gdb_transport_init(struct gdb_transport *transport, int in_fd, int out_fd, int stop_fd);

/*
 * Read at most `room` bytes. From a socket this never blocks; from anything else it may, so poll first.
 * *length is set with GDB_RECEIVED only, and is then at least 1.
 */
enum gdb_receive_result gdb_transport_receive(const struct gdb_transport *transport, void *to, size_t room,
                                              size_t *length);

/*
 * Send all bytes, waiting while the other end does not take them.
 * Returns false when it is gone or stop_fd became readable; how much was sent is unknown then.
 */
bool gdb_transport_send(const struct gdb_transport *transport, const char *from, size_t length);

#endif
