/*
 * A trace experiment: tracepoints, the trace buffer, trace state variables, and whether it is running (GDB manual,
 * "Tracepoints"). It belongs to the machine and not to a debugger's session, because it may continue without a
 * debugger. The packets that define tracepoints name no machine, so there is an experiment only on a port that serves
 * a single machine.
 *
 * An enabled tracepoint is a software breakpoint of the target owned by MH_OWNER_TRACEPOINT while the experiment runs.
 */
#ifndef GDBSTUB_TRACE_H
#define GDBSTUB_TRACE_H

#include "agent/agent_context.h"
#include "agent/agent_variables.h"
#include "tracepoints/traceframes.h"
#include "tracepoints/tracepoints.h"

#include "mh/debug_target.h"
#include "mh/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GDB_TRACE_SIZE_DEFAULT 0x100000u /* bytes of the trace buffer */
#define GDB_TRACE_SIZE_MIN 0x1000u
#define GDB_TRACE_SIZE_MAX 0x4000000u
#define GDB_TRACE_NOTE_MAX 1024u /* bytes of a note, in hexadecimal */
#define GDB_TRACE_READONLY_MAX 64u

/* Why the experiment is not running. */
enum gdb_trace_end {
    GDB_TRACE_NOT_RUN,
    GDB_TRACE_STOPPED,
    GDB_TRACE_FULL,
    GDB_TRACE_PASSCOUNT,
    GDB_TRACE_ERROR,
    GDB_TRACE_DISCONNECTED,
};

struct gdb_trace_range {
    uint64_t start, end;
};

struct gdb_trace {
    const struct mh_debug_target *target; /* NULL: tracing is not possible here */
    unsigned vm;
    struct gdb_tracepoints tracepoints;
    struct gdb_traceframes frames;
    struct agent_variables variables;
    struct gdb_trace_range readonly[GDB_TRACE_READONLY_MAX]; /* memory that need not be collected */
    size_t readonly_count;

    bool running;
    bool disconnected; /* continues when the debugger detaches */
    size_t size;       /* of the buffer, from the next start on; 0: the default */

    enum gdb_trace_end end;
    unsigned end_tracepoint; /* PASSCOUNT, ERROR */
    struct mh_error error;   /* ERROR */
    uint64_t started, ended; /* microseconds since 1970; 0: never */
    /* the debugger's notes, in hexadecimal */
    char user[GDB_TRACE_NOTE_MAX + 1], notes[GDB_TRACE_NOTE_MAX + 1], stop_note[GDB_TRACE_NOTE_MAX + 1];
};

/* Make experiments with machine `vm` possible. A zero-initialized trace is one where they are not. */
void gdb_trace_init(struct gdb_trace *trace, const struct mh_debug_target *target, unsigned vm);

/* True where tracing is possible. */
bool gdb_trace_possible(const struct gdb_trace *trace);

/* Stop, and forget everything but the settings (QTinit). */
void gdb_trace_reset(struct gdb_trace *trace);

/* Free everything; the experiment is not running afterwards. */
void gdb_trace_free(struct gdb_trace *trace);

/*
 * Start the experiment (QTStart): with an empty buffer for registers of `layout`, variables at their initial values and
 * breakpoints at the enabled tracepoints.
 * Returns MH_OK; MH_ERR_USAGE if it is running already; MH_ERR_HOST without memory; or the target's status if it
 * refuses a breakpoint. On error *err has the reason, and the experiment is not running.
 */
enum mh_status gdb_trace_start(struct gdb_trace *trace, const struct gdb_x86_layout *layout, struct mh_error *err);

/* Stop the experiment if it is running (QTStop), and remember why. */
void gdb_trace_stop(struct gdb_trace *trace, enum gdb_trace_end end);

/* Insert a tracepoint's breakpoint into the target. Errors are those of ops->set_breakpoint(). */
enum mh_status gdb_trace_place(struct gdb_trace *trace, struct gdb_tracepoint *point, struct mh_error *err);

/* Remove it again, unless another tracepoint needs it. */
void gdb_trace_unplace(struct gdb_trace *trace, struct gdb_tracepoint *point);

/* True if a tracepoint of the running experiment is placed at `address`. */
bool gdb_trace_is_placed(const struct gdb_trace *trace, uint64_t address);

/* The debugger detaches, and the target has forgotten all breakpoints: stop, or insert those of tracepoints again. */
void gdb_trace_on_detach(struct gdb_trace *trace);

/* True if the next instructions are to be recorded one by one (while-stepping). */
bool gdb_trace_is_stepping(const struct gdb_trace *trace);

/* The machine was moved elsewhere, so its next instruction is not the next step of a hit. */
void gdb_trace_forget_steps(struct gdb_trace *trace);

/* --- hits (collect.c) --- */

/*
 * The machine has arrived at an instruction: record what the tracepoints there collect, and the steps of earlier hits.
 * context->regs must hold the general registers. Returns true if a tracepoint is placed there.
 */
bool gdb_trace_on_arrival(struct gdb_trace *trace, struct agent_context *context);

#endif
