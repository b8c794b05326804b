/*
 * A trace experiment: tracepoints, the trace buffer, trace state variables, and whether all that is running (GDB
 * manual, "Tracepoints"). It belongs to the machine, not to a debugger's session: it may go on with nobody there. Only
 * where a port serves a single machine is there one.
 */
#ifndef GDBSTUB_TRACE_H
#define GDBSTUB_TRACE_H

#include "tracepoints/traceframes.h"
#include "tracepoints/tracepoints.h"

#include "mh/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GDB_TRACE_SIZE_DEFAULT 0x100000u /* bytes of the trace buffer */
#define GDB_TRACE_SIZE_MIN 0x1000u
#define GDB_TRACE_SIZE_MAX 0x4000000u
#define GDB_TRACE_NOTE_MAX 1024u /* bytes of a note, in hexadecimal */
#define GDB_TRACE_NAME_MAX 128u  /* bytes of a variable's name, in hexadecimal */
#define GDB_TRACE_VARIABLES_MAX 256u
#define GDB_TRACE_READONLY_MAX 64u

struct gdb_machine;
struct gdb_machines;
struct agent_context;

/* Why nothing is traced any more, or has never been. */
enum gdb_trace_end {
    GDB_TRACE_NOT_RUN,
    GDB_TRACE_STOPPED,
    GDB_TRACE_FULL,
    GDB_TRACE_PASSCOUNT,
    GDB_TRACE_ERROR,
    GDB_TRACE_DISCONNECTED,
};

struct gdb_trace_variable {
    uint32_t number;
    uint64_t initial, value;
    bool builtin;
    char name[GDB_TRACE_NAME_MAX + 1]; /* in hexadecimal, as it came */
};

struct gdb_trace_range {
    uint64_t start, end;
};

struct gdb_trace {
    struct gdb_tracepoints points;
    struct gdb_traceframes frames;
    struct gdb_trace_variable *variables;
    size_t variable_count;
    struct gdb_trace_range readonly[GDB_TRACE_READONLY_MAX]; /* memory that needs no collecting */
    size_t readonly_count;

    bool running;
    bool stays;  /* goes on when the debugger leaves */
    size_t size; /* of the buffer, from the next start on; 0: the default */

    enum gdb_trace_end end;
    unsigned end_tracepoint; /* PASSCOUNT, ERROR */
    struct mh_error error;   /* ERROR */
    uint64_t started, ended; /* microseconds since 1970; 0: never */
    /* what the debugger said about it, in hexadecimal */
    char user[GDB_TRACE_NOTE_MAX + 1], notes[GDB_TRACE_NOTE_MAX + 1], stop_note[GDB_TRACE_NOTE_MAX + 1];
};

/* True where tracing is possible. */
bool gdb_trace_possible(const struct gdb_machines *machines);

/* Stop, and forget everything but the settings. */
void gdb_trace_reset(struct gdb_machines *machines);

/* Free everything; nothing is running then. */
void gdb_trace_free(struct gdb_trace *trace);

/*
 * Start: an empty buffer, variables with their initial values, breakpoints where enabled tracepoints are.
 * Returns MH_OK; MH_ERR_USAGE when it runs; MH_ERR_HOST without memory; or what the target says against a breakpoint.
 * Then *err says what, and nothing runs.
 */
enum mh_status gdb_trace_start(struct gdb_machines *machines, struct mh_error *err);

/* Stop, if it runs. */
void gdb_trace_stop(struct gdb_machines *machines, enum gdb_trace_end end);

/* Have the target's breakpoint for a tracepoint, or not. Errors are ops->set_breakpoint()'s. */
enum mh_status gdb_trace_place(struct gdb_machines *machines, struct gdb_tracepoint *point, struct mh_error *err);
void gdb_trace_unplace(struct gdb_machines *machines, struct gdb_tracepoint *point);

/* True when a tracepoint needs the target's breakpoint at `address`. */
bool gdb_trace_needs(const struct gdb_machines *machines, uint64_t address);

/* The debugger leaves, and all breakpoints of the target are gone: stop, or set those of tracepoints again. */
void gdb_trace_on_detach(struct gdb_machines *machines);

/* True when what comes next is to be recorded step by step. */
bool gdb_trace_is_stepping(const struct gdb_machines *machines);

/* The machine is somewhere else than where it stopped: it is not a hit's next step any more. */
void gdb_trace_forget_steps(struct gdb_machines *machines);

/*
 * The machine has come to where it stands by executing; context->regs has the general registers. What tracepoints want
 * of it is recorded. Returns true when one is there.
 */
bool gdb_trace_on_arrival(struct agent_context *context);

/* --- trace state variables --- */

/* Returns the variable with that number, NULL when there is none. */
struct gdb_trace_variable *gdb_trace_variable(const struct gdb_trace *trace, uint32_t number);

/* The same, made if need be; NULL when there are too many, or there is no memory. */
struct gdb_trace_variable *gdb_trace_new_variable(struct gdb_trace *trace, uint32_t number);

/* As in struct agent_ops. */
bool gdb_trace_get_variable(const struct gdb_trace *trace, unsigned number, uint64_t *value);
bool gdb_trace_set_variable(struct gdb_trace *trace, unsigned number, uint64_t value);

#endif
