/*
 * Accepting debuggers. accept() can fail because the host has run out of descriptors or memory. The listening socket
 * stays readable then, and watching it would spin; so the acceptor pauses, and a timer is to be watched instead.
 */
#ifndef GDBSTUB_ACCEPTOR_H
#define GDBSTUB_ACCEPTOR_H

#include "mh/gdbstub.h"

struct gdb_acceptor {
    const struct mh_gdb_listener *listener;
    int retry_timer; /* -1: there is no listening socket */
    bool paused;     /* watch the timer instead of the socket */
    int error;       /* errno of the last accept(), 0 if it succeeded */
};

enum gdb_accept_result {
    GDB_ACCEPTED,
    GDB_ACCEPT_NONE,   /* the client is gone already, or the acceptor pauses: see `error` */
    GDB_ACCEPT_BROKEN, /* the listener will never accept again */
};

/* Initialize. Returns false with errno set if there is no timer. On success call gdb_acceptor_close() in the end. */
bool gdb_acceptor_init(struct gdb_acceptor *acceptor, const struct mh_gdb_listener *listener);

/* Close the timer. The listener remains open. */
void gdb_acceptor_close(struct gdb_acceptor *acceptor);

/* Return the descriptor to watch for reading now, -1 for none. It may change with each gdb_acceptor_accept(). */
int gdb_acceptor_fd(const struct gdb_acceptor *acceptor);

/*
 * The descriptor is readable: accept a connection. Never blocks. With GDB_ACCEPTED, *fd is the connection, to be closed
 * by the caller; otherwise it is unchanged. Any failure pauses the acceptor for a moment.
 */
enum gdb_accept_result gdb_acceptor_accept(struct gdb_acceptor *acceptor, int *fd);

#endif
