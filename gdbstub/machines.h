/*
 * What the protocol room remembers of each virtual machine, across connections: whether it runs, why it stopped last
 * and whether a debugger knows. A machine is *attended* while a debugger looks after it; machines nobody attends run
 * on by themselves and end by themselves.
 */
#ifndef GDBSTUB_MACHINES_H
#define GDBSTUB_MACHINES_H

#include "mh/debug_target.h"

#include <stdbool.h>
#include <stdint.h>

enum gdb_machine_state {
    GDB_MACHINE_STOPPED,
    GDB_MACHINE_RUNNING,
    GDB_MACHINE_ENDED,
};

struct gdb_machine {
    unsigned vm; /* its number; process and thread number towards the debugger, too */
    enum gdb_machine_state state;
    struct mh_stop stop; /* why it does not run; MH_STOP_STEP for "no reason worth telling" */
    bool pending;        /* `stop`, or the end, has not been told to a debugger */
    bool held;           /* it halted and is kept for the debugger; the next resume is its end */
    bool started;        /* has executed something since its start */
    bool attached;       /* the debugger came to it, rather than having been there from its start */
    bool attended;
    bool described;       /* this debugger has read what registers it has */
    bool asked;           /* the debugger has asked it to run, and waits */
    struct mh_resume how; /* asked: how */
    uint8_t signal;       /* asked: GDB's number of the signal to be passed to it first */
    uint8_t end_signal;   /* ENDED: GDB's number of the signal that did it, 0 for a good end */
};

struct gdb_machines {
    const struct mh_debug_target *target;
    struct gdb_machine *list;
    unsigned count;
    bool hold; /* keep machines at their end for a debugger */
};

/* Fill in `list` of `count` entries, count being what the target's vm_count() says. All are unattended. */
void gdb_machines_init(struct gdb_machines *machines, const struct mh_debug_target *target, struct gdb_machine *list,
                       unsigned count, bool hold);

/* The machine with that number, NULL when there is none. */
struct gdb_machine *gdb_machines_find(const struct gdb_machines *machines, unsigned vm);

/* The first machine that has not ended (and is attended, if asked for), NULL when there is none. */
struct gdb_machine *gdb_machines_first_alive(const struct gdb_machines *machines, bool attended_only);

/* True when any machine runs (any attended one, if asked for). */
bool gdb_machines_running(const struct gdb_machines *machines, bool attended_only);

/*
 * The first attended machine (that was asked to run, if `asked_only`) with something to tell, NULL when there is none.
 */
struct gdb_machine *gdb_machines_pending(const struct gdb_machines *machines, bool asked_only);

/* Let a stopped machine run. */
void gdb_machines_resume(struct gdb_machines *machines, struct gdb_machine *machine, const struct mh_resume *how);

/* End a machine that has not ended, by GDB's signal number; there is nothing to tell then. */
void gdb_machines_kill(struct gdb_machines *machines, struct gdb_machine *machine, uint8_t signal);

/* The good end of a machine that halted. */
void gdb_machines_finish(struct gdb_machine *machine);

/* Put a machine back to its start, stopped and without anything to tell. Errors are ops->restart()'s. */
enum mh_status gdb_machines_restart(struct gdb_machines *machines, struct gdb_machine *machine, struct mh_error *err);

/* Take a stop that ops->wait() reported: for the debugger when it is attended, else as the rules for unattended say. */
void gdb_machines_stopped(struct gdb_machines *machines, unsigned vm, const struct mh_stop *stop);

/* Ask all attended running machines to stop. */
void gdb_machines_interrupt(struct gdb_machines *machines);

/*
 * Stop all attended machines and wait until they have. Interruptions this causes are nothing to tell, and neither is
 * the end of a step, which the debugger will ask for again if it still wants it; whatever else stopped a machine
 * meanwhile stays pending.
 */
void gdb_machines_halt(struct gdb_machines *machines);

/* After ops->wait() said that no machine runs: believe it. */
void gdb_machines_idle(struct gdb_machines *machines);

/* Begin to attend a machine that has not ended; if it runs, gdb_machines_halt() must follow. */
void gdb_machines_attend(struct gdb_machine *machine);

/* The debugger leaves the machine, stopped as it is: its break- and watchpoints go. It stays stopped. */
void gdb_machines_leave(struct gdb_machines *machines, struct gdb_machine *machine);

/* Let an unattended machine that is stopped run on; one that was held at its end, or crashed, ends. */
void gdb_machines_release(struct gdb_machines *machines, struct gdb_machine *machine);

#endif
