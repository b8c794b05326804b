/*
 * Where debuggers come in: the listening socket, or, while the host has nothing left for one more connection, a timer.
 * The socket stays readable then, so it must not be watched until there is a chance.
 */
#ifndef MH_GDB_DOOR_H
#define MH_GDB_DOOR_H

#include "mh/gdbstub.h"

struct gdb_door {
    const struct mh_gdb_listener *listener;
    int timer; /* -1: nobody can come, and none is needed */
    bool shut; /* the timer is watched in place of the socket */
    int error; /* why nobody could be let in, an errno; 0: the last one was */
};

enum gdb_entry {
    GDB_ENTERED,
    GDB_NOBODY, /* who knocked is gone again, or the door is shut: see `error` */
    GDB_BROKEN, /* nobody can ever come in */
};

/* Returns false, with errno, when there is no timer to be had. Whoever succeeds calls gdb_door_close(). */
bool gdb_door_init(struct gdb_door *door, const struct mh_gdb_listener *listener);

/* The listener is its owner's to close. */
void gdb_door_close(struct gdb_door *door);

/* The descriptor to watch for reading just now; -1: nobody can come. */
int gdb_door_fd(const struct gdb_door *door);

/*
 * That descriptor is readable: let somebody in. Never blocks. *fd is the connection, the caller's to close, and set for
 * GDB_ENTERED only. Whatever fails shuts the door for a moment.
 */
enum gdb_entry gdb_door_open(struct gdb_door *door, int *fd);

#endif
