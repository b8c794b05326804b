/* The public entry point. It connects two parts that do not know each other: the server and the packets it answers. */
#include "mh/gdbstub.h"

#include "packets/dispatch.h"
#include "session/server.h"

enum mh_status mh_gdb_serve(const struct mh_gdb_listener *listener, const struct mh_debug_target *target,
                            const struct mh_gdb_options *options, struct mh_error *err)
{
    return gdb_server_run(listener, target, options, gdb_dispatch, err);
}
