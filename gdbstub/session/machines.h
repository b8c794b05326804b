/*
 * What the stub remembers of each virtual machine across connections: its state, why it stopped last, and whether a
 * debugger has been told. A machine is *attached* while a debugger is in charge of it. Detached machines run and end
 * on their own.
 */
#ifndef GDBSTUB_MACHINES_H
#define GDBSTUB_MACHINES_H

#include "session/breakpoint_table.h"
#include "target_desc/x86_desc.h"
#include "tracepoints/trace.h"

#include "mh/debug_target.h"

#include <stdbool.h>
#include <stdint.h>

/* The first three are stopped, the next three are running. */
enum gdb_machine_state {
    GDB_MACHINE_STOPPED,
    GDB_MACHINE_RELOCATED,          /* stopped, and since moved elsewhere in its life: the signal of the stop is void */
    GDB_MACHINE_HELD,               /* halted, and held for the debugger; the next resume is its end */
    GDB_MACHINE_RUNNING,            /* as `how` says */
    GDB_MACHINE_STEPPING_FOR_TRACE, /* single-stepping instead, because a tracepoint records steps */
    GDB_MACHINE_SWITCHING,          /* has left wait() to change between the two above; not a stop */
    GDB_MACHINE_ENDED,
};

struct gdb_machine {
    unsigned vm; /* its number; process and thread id of the protocol, too */
    enum gdb_machine_state state;
    struct mh_stop stop; /* why it is stopped; MH_STOP_STEP if there is no reason worth reporting */
    bool stop_pending;   /* `stop`, or the end, has not been reported to a debugger */
    bool resume_pending; /* the debugger has resumed it and waits for a stop reply */
    bool interrupted;    /* asked to stop since it was resumed */
    bool unannounced;    /* non-stop: the debugger is still to learn of it by its stop */
    bool stop_reported;  /* non-stop: `stop` was sent, and is pending until the debugger has acknowledged it */
    bool stop_requested; /* non-stop: to be reported without a signal, for the debugger asked for the stop */
    bool attached;       /* a debugger is in charge of it */
    bool has_run;        /* has executed something since its start */
    bool found_running;  /* it had when the debugger attached; the answer to qAttached */
    bool tdesc_sent;     /* this debugger has read the target description */
    bool has_met;        /* stopped at met_rip by executing; the breakpoints there have been met */
    uint64_t met_rip;
    struct mh_resume how; /* how it runs, or is to be resumed; without the filter */
    uint8_t signal;       /* resume_pending: GDB's number of the signal to deliver first */
    uint8_t end_signal;   /* ENDED: GDB's number of the signal that ended it, 0 for a normal exit */
    struct gdb_breakpoint_table breakpoints;
};

struct gdb_machines {
    const struct mh_debug_target *target;
    struct gdb_machine *list;
    unsigned count;
    bool hold;                   /* hold machines at their end for a debugger */
    mh_stop_filter *should_stop; /* passed with each resume, with the machines as context */
    /* Receives what breakpoint commands print. May be NULL. */
    void (*print)(void *ctx, const struct gdb_machine *machine, const char *text, size_t length);
    void *print_ctx;
    struct gdb_trace trace;
    struct gdb_x86_layout_cache layouts;
};

/*
 * Initialize for all machines of the target, detached. `list` has as many entries as the target's vm_count() says, and
 * must outlive *machines. `should_stop` decides about breakpoints; NULL: each one stops.
 */
void gdb_machines_init(struct gdb_machines *machines, const struct mh_debug_target *target, struct gdb_machine *list,
                       unsigned count, bool hold, mh_stop_filter *should_stop);

/* Free what is remembered of the machines. */
void gdb_machines_free(struct gdb_machines *machines);

/* Return the machine with that number, NULL if there is none. */
struct gdb_machine *gdb_machines_find(const struct gdb_machines *machines, unsigned vm);

/* True if the machine is neither running nor ended. */
bool gdb_machine_is_stopped(const struct gdb_machine *machine);

/* True if the target may be running the machine. */
bool gdb_machine_is_running(const struct gdb_machine *machine);

/* Return the first machine that has not ended (and is attached, if `attached_only`), NULL if there is none. */
struct gdb_machine *gdb_machines_first_alive(const struct gdb_machines *machines, bool attached_only);

/* True if any machine is running (any attached one, if `attached_only`). */
bool gdb_machines_running(const struct gdb_machines *machines, bool attached_only);

/*
 * Return the first attached machine with a stop or end to report, NULL if there is none. With `resumed_only`, only
 * machines the debugger waits for.
 */
struct gdb_machine *gdb_machines_pending(const struct gdb_machines *machines, bool resumed_only);

/* Return the registers a machine has; valid until they are asked for another machine. */
const struct gdb_x86_layout *gdb_machines_layout(struct gdb_machines *machines, const struct gdb_machine *machine);

/* Print `length` bytes on behalf of a machine. */
void gdb_machines_print(const struct gdb_machines *machines, const struct gdb_machine *machine, const char *text,
                        size_t length);

/* Delete a breakpoint or watchpoint of the debugger. Errors are those of ops->clear_breakpoint(). */
enum mh_status gdb_machines_clear_breakpoint(struct gdb_machines *machines, struct gdb_machine *machine,
                                             enum mh_break_kind kind, uint64_t address, uint64_t length,
                                             struct mh_error *err);

/* Resume a stopped machine; how->filter is not used. */
void gdb_machines_resume(struct gdb_machines *machines, struct gdb_machine *machine, const struct mh_resume *how);

/* End a machine that has not ended, with GDB's signal number; nothing is pending afterwards. */
void gdb_machines_kill(struct gdb_machines *machines, struct gdb_machine *machine, uint8_t signal);

/* The normal exit of a machine that has halted. */
void gdb_machines_finish(struct gdb_machine *machine);

/*
 * Put a machine back to its start, stopped and with nothing to report. Its breakpoints and watchpoints stay if it is
 * attached already. It is attached afterwards, also on error, and gdb_machines_attach() must follow. Errors are those
 * of ops->restart().
 */
enum mh_status gdb_machines_restart(struct gdb_machines *machines, struct gdb_machine *machine, struct mh_error *err);

/*
 * Put a stopped machine back to a snapshot, with nothing to report. Errors are those of ops->restore(); if one leaves
 * the machine not alive, the machine has ended.
 */
enum mh_status gdb_machines_restore(struct gdb_machines *machines, struct gdb_machine *machine, const char *name,
                                    struct mh_error *err);

/* True if the machine can run backwards. */
bool gdb_machine_can_reverse(const struct gdb_machines *machines, const struct gdb_machine *machine);

/* Why a machine cannot run backwards, for its number. */
#define GDB_NO_HISTORY "VM %u keeps no history, so it cannot go back (see \"monitor history\")"

/*
 * Let a stopped machine go to a place in its history, with nothing to report. Errors are those of ops->go_to(); if one
 * leaves the machine not alive, the machine has ended. MH_ERR_USAGE if it keeps no history.
 */
enum mh_status gdb_machines_go_to(struct gdb_machines *machines, struct gdb_machine *machine, const char *where,
                                  struct mh_error *err);

/*
 * Process a stop that ops->wait() returned: it becomes pending if the machine is attached; otherwise the machine
 * continues or ends.
 */
void gdb_machines_on_stop(struct gdb_machines *machines, unsigned vm, const struct mh_stop *stop);

/* Ask a machine to stop if it is running. */
void gdb_machines_interrupt_one(struct gdb_machines *machines, struct gdb_machine *machine);

/* Ask all attached running machines to stop. */
void gdb_machines_interrupt(struct gdb_machines *machines);

/*
 * Stop all attached machines and wait until they have stopped. Neither the interruptions this causes nor the end of a
 * step becomes pending (the debugger steps again if it still wants to); any other stop does.
 */
void gdb_machines_halt(struct gdb_machines *machines);

/* The same for one machine; the others run on meanwhile if they do. */
void gdb_machines_halt_one(struct gdb_machines *machines, struct gdb_machine *machine);

/*
 * Stop an attached machine for a moment. Returns true if it is to be continued with gdb_machines_unpause(); false if it
 * was not running or has stopped for a reason of its own.
 */
bool gdb_machines_pause(struct gdb_machines *machines, struct gdb_machine *machine);

/* Let a paused machine do what it did, unless it has a stop to report, has ended or has been detached meanwhile. */
void gdb_machines_unpause(struct gdb_machines *machines, struct gdb_machine *machine);

/* ops->wait() returned MH_WAIT_IDLE: mark all machines as stopped. */
void gdb_machines_on_idle(struct gdb_machines *machines);

/* Attach to a machine that has not ended; if it is running, gdb_machines_halt() must follow. */
void gdb_machines_attach(struct gdb_machine *machine);

/*
 * Detach from a machine, which stays stopped. Its breakpoints and watchpoints are deleted, except persistent commands
 * and the tracepoints of an experiment that continues.
 */
void gdb_machines_detach(struct gdb_machines *machines, struct gdb_machine *machine);

/* Delete the breakpoints that the previous debugger left in a stopped machine because their commands persist. */
void gdb_machines_clear_persistent(struct gdb_machines *machines, struct gdb_machine *machine);

/* Let a detached machine that is stopped continue; if it was held or has crashed, it ends. */
void gdb_machines_run_detached(struct gdb_machines *machines, struct gdb_machine *machine);

#endif
