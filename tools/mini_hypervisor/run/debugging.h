/* Debuggers: where they connect, the line that tells how, and serving them on the threads of the machines. */
#ifndef MH_TOOL_DEBUGGING_H
#define MH_TOOL_DEBUGGING_H

#include "mh/gdbstub.h"
#include "mh/vm.h"
#include "options/options.h"

#include <pthread.h>

struct machine;
struct shared;

/* --gdb-all: one debugger for all machines. Its members count only with that option. */
struct debugging {
    struct mh_debug_group *group;
    struct mh_gdb_listener listener;
    pthread_t thread; /* serves the group */
    bool thread_is_there;
    enum mh_status status; /* of serving; likewise */
    struct mh_error err;
};

/* Prepare machine's own listener, when it is to have one, and tell what to type. MH_OK, or what mh_gdb_listen() says.
 */
enum mh_status debugging_open_machine(struct machine *machine, struct mh_error *err);

/* The same for the listener of all; `machines` are initialized. */
enum mh_status debugging_open_group(struct shared *shared, const struct machine *machines, size_t count,
                                    struct mh_error *err);
void debugging_close_group(struct debugging *debugging);

/* Serve the group on a thread of its own, until its machines have ended. 0, or an errno. */
int debugging_start_group(struct shared *shared);

/* Let debuggers have the machine until it has ended; *stop says how. MH_OK, or an error to be told. */
enum mh_status debugging_run(struct machine *machine, struct mh_vm *vm, struct mh_stop *stop, struct mh_error *err);

/* The machine could not be made: the group is not to wait for it. */
void debugging_miss(struct machine *machine);

#endif
