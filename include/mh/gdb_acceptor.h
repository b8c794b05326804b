/*
 * Where debuggers come in: the listening socket, or, while the host has nothing left for one more connection, a timer.
 * The socket stays readable then, so it must not be watched until there is a chance.
 */
#ifndef MH_GDB_ACCEPTOR_H
#define MH_GDB_ACCEPTOR_H

#include "mh/gdbstub.h"

struct gdb_acceptor {
    const struct mh_gdb_listener *listener;
    int retry_timer; /* -1: nobody can come, and none is needed */
    bool paused;     /* the timer is watched in place of the socket */
    int error;       /* why nobody could be let in, an errno; 0: the last one was */
};

enum gdb_accept_result {
    GDB_ACCEPTED,
    GDB_ACCEPT_NONE,   /* who on_pending is gone again, or the door is shut: see `error` */
    GDB_ACCEPT_BROKEN, /* nobody can ever come in */
};

/* Returns false, with errno, when there is no timer to be had. Whoever succeeds calls gdb_acceptor_close(). */
bool gdb_acceptor_init(struct gdb_acceptor *acceptor, const struct mh_gdb_listener *listener);

/* The listener is its owner's to close. */
void gdb_acceptor_close(struct gdb_acceptor *acceptor);

/* The descriptor to watch for reading just now; -1: nobody can come. */
int gdb_acceptor_fd(const struct gdb_acceptor *acceptor);

/*
 * That descriptor is readable: let somebody in. Never blocks. *fd is the connection, the caller's to close, and set for
 * GDB_ACCEPTED only. Whatever fails shuts the door for a moment.
 */
enum gdb_accept_result gdb_acceptor_accept(struct gdb_acceptor *acceptor, int *fd);

#endif
