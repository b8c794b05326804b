/*
 * What the protocol room remembers of each virtual machine, across connections: whether it runs, why it stopped last
 * and whether a debugger knows. A machine is *attended* while a debugger looks after it; machines nobody attends run
 * on by themselves and end by themselves.
 */
#ifndef GDBSTUB_MACHINES_H
#define GDBSTUB_MACHINES_H

#include "session/breakpoint_table.h"
#include "target_desc/x86_desc.h"
#include "tracepoints/trace.h"

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
    bool moved;          /* to its start or a snapshot since it stopped; debuggers still think of the stop */
    bool started;        /* has executed something since its start */
    bool found_running;  /* the debugger came to it, rather than having been there from its start */
    bool attached;
    bool described;       /* this debugger has read what registers it has */
    bool resume_pending;  /* the debugger has asked it to run, and waits */
    bool interrupted;     /* asked to stop since it was resumed */
    bool detour;          /* runs one step instead, for a tracepoint that records steps */
    struct mh_resume how; /* how it runs, or is asked to */
    uint8_t signal;       /* asked: GDB's number of the signal to be passed to it first */
    uint8_t end_signal;   /* ENDED: GDB's number of the signal that did it, 0 for a good end */
    struct gdb_breakpoint_table points;
};

struct gdb_machines {
    const struct mh_debug_target *target;
    struct gdb_machine *list;
    unsigned count;
    bool hold; /* keep machines at their end for a debugger */
    /* Takes what breakpoints' commands print. NULL: nobody does. */
    void (*say)(void *ctx, const struct gdb_machine *machine, const char *text, size_t length);
    void *say_ctx;
    struct gdb_trace trace;
    struct gdb_x86_layout layout; /* see gdb_machines_layout() */
    uint64_t layout_xcr0;
};

/* Fill in `list` of `count` entries, count being what the target's vm_count() says. All are unattended. */
void gdb_machines_init(struct gdb_machines *machines, const struct mh_debug_target *target, struct gdb_machine *list,
                       unsigned count, bool hold);

/* Free what is remembered of the machines. */
void gdb_machines_free(struct gdb_machines *machines);

/* The machine with that number, NULL when there is none. */
struct gdb_machine *gdb_machines_find(const struct gdb_machines *machines, unsigned vm);

/* The first machine that has not ended (and is attended, if asked for), NULL when there is none. */
struct gdb_machine *gdb_machines_first_alive(const struct gdb_machines *machines, bool attached_only);

/* True when any machine runs (any attended one, if asked for). */
bool gdb_machines_running(const struct gdb_machines *machines, bool attached_only);

/*
 * The first attended machine (that was asked to run, if `resumed_only`) with something to tell, NULL when there is
 * none.
 */
struct gdb_machine *gdb_machines_pending(const struct gdb_machines *machines, bool resumed_only);

/* The registers a machine has; good until it is asked for another's. */
const struct gdb_x86_layout *gdb_machines_layout(struct gdb_machines *machines, const struct gdb_machine *machine);

/* Print `length` bytes on behalf of a machine. */
void gdb_machines_print(const struct gdb_machines *machines, const struct gdb_machine *machine, const char *text,
                        size_t length);

/* Forget a break- or watchpoint of the debugger's. The target keeps it where a tracepoint needs it. Errors are
 * ops->clear_breakpoint()'s. */
enum mh_status gdb_machines_clear_breakpoint(struct gdb_machines *machines, struct gdb_machine *machine,
                                             enum mh_break_kind kind, uint64_t address, uint64_t length,
                                             struct mh_error *err);

/* Let a stopped machine run. */
void gdb_machines_resume(struct gdb_machines *machines, struct gdb_machine *machine, const struct mh_resume *how);

/* End a machine that has not ended, by GDB's signal number; there is nothing to tell then. */
void gdb_machines_kill(struct gdb_machines *machines, struct gdb_machine *machine, uint8_t signal);

/* The good end of a machine that halted. */
void gdb_machines_finish(struct gdb_machine *machine);

/*
 * Put a machine back to its start, stopped and without anything to tell. Its break- and watchpoints stay when it is
 * attended already; it is from now on, also after an error, and gdb_machines_attach() must follow. Errors are
 * ops->restart()'s.
 */
enum mh_status gdb_machines_restart(struct gdb_machines *machines, struct gdb_machine *machine, struct mh_error *err);

/* Put a machine that is stopped back to a snapshot, without anything to tell. Errors are ops->restore()'s; a machine
 * that is no longer alive after one has ended. */
enum mh_status gdb_machines_restore(struct gdb_machines *machines, struct gdb_machine *machine, const char *name,
                                    struct mh_error *err);

/*
 * Take a stop that ops->wait() reported: for the debugger when it is attended, else as the rules for unattended say. A
 * breakpoint whose conditions are false, or whose commands have run, is no stop: the machine is resumed the same way.
 */
void gdb_machines_on_stop(struct gdb_machines *machines, unsigned vm, const struct mh_stop *stop);

/* Ask all attended running machines to stop. */
void gdb_machines_interrupt(struct gdb_machines *machines);

/*
 * Stop all attended machines and wait until they have. Interruptions this causes are nothing to tell, and neither is
 * the end of a step, which the debugger will ask for again if it still wants it; whatever else stopped a machine
 * meanwhile stays pending.
 */
void gdb_machines_halt(struct gdb_machines *machines);

/* After ops->wait() said that no machine runs: believe it. */
void gdb_machines_on_idle(struct gdb_machines *machines);

/* Begin to attend a machine that has not ended; if it runs, gdb_machines_halt() must follow. */
void gdb_machines_attach(struct gdb_machine *machine);

/* The debugger leaves the machine, stopped as it is: its break- and watchpoints go, but for those that are to persist.
 * It stays stopped. */
void gdb_machines_detach(struct gdb_machines *machines, struct gdb_machine *machine);

/* A debugger has come to a machine, which is stopped: breakpoints the one before it has let persist go. */
void gdb_machines_clear_persistent(struct gdb_machines *machines, struct gdb_machine *machine);

/* Let an unattended machine that is stopped run on; one that was held at its end, or crashed, ends. */
void gdb_machines_run_detached(struct gdb_machines *machines, struct gdb_machine *machine);

#endif
