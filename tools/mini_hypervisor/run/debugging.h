/* Debuggers: where they connect, the message that says how, and serving them on the machines' threads. */
#ifndef MH_TOOL_DEBUGGING_H
#define MH_TOOL_DEBUGGING_H

#include "mh/gdbstub.h"
#include "mh/vm.h"
#include "options/options.h"

#include <pthread.h>

struct machine;
struct shared;

/* --gdb-all: one debugger for all machines. The members are only used with that option. */
struct debugging {
    struct mh_debug_group *group;
    struct mh_gdb_listener listener;
    pthread_t thread; /* serves the group */
    bool has_thread;
    enum mh_status status; /* how serving ended; *err too */
    struct mh_error err;
};

/* Open the machine's own listener, if it is to have one, and print the gdb command to type. MH_OK, or an error as of
 * mh_gdb_listen(). */
enum mh_status debugging_open_machine(struct machine *machine, struct mh_error *err);

/* The same for the listener of all machines, which are initialized. */
enum mh_status debugging_open_group(struct shared *shared, const struct machine *machines, size_t count,
                                    struct mh_error *err);
void debugging_close_group(struct debugging *debugging);

/* With --gdb-all, start the thread that serves the group until its machines have ended. MH_OK, or MH_ERR_HOST. */
enum mh_status debugging_start_group(struct shared *shared, struct mh_error *err);

/* Let debuggers control the machine until it has ended; *stop says how. MH_OK, or an error to be reported. */
enum mh_status debugging_run(struct machine *machine, struct mh_vm *vm, struct mh_stop *stop, struct mh_error *err);

/* The machine could not be created: the group must not wait for it. */
void debugging_miss(struct machine *machine);

#endif
