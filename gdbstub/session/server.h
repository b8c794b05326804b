/*
 * Serving one debugger after another, and running the machines while there is none. See mh_gdb_serve(), which this
 * implements for a given set of packets.
 */
#ifndef GDBSTUB_SERVER_H
#define GDBSTUB_SERVER_H

#include "session/session.h"

#include "mh/gdbstub.h"

/* As mh_gdb_serve(); `dispatch` answers the packets. */
enum mh_status gdb_server_run(const struct mh_gdb_listener *listener, const struct mh_debug_target *target,
                              const struct mh_gdb_options *options, gdb_dispatch_fn *dispatch, struct mh_error *err);

#endif
