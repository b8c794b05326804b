/*
 * What a debugger wants to be recorded where: tracepoints with their conditions and actions, as its packets define them
 * (GDB manual, "Tracepoint Packets", QTDP and QTDPsrc).
 */
#ifndef GDBSTUB_TRACEPOINTS_H
#define GDBSTUB_TRACEPOINTS_H

#include "agent/agent.h"
#include "protocol/hex.h"

#include "mh/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GDB_TRACEPOINT_NUMBER_MAX 0xffffu /* trace files have 16 bits for it */
#define GDB_TRACEPOINT_TEXT_MAX 0x100000u /* bytes of definitions, all together */
#define GDB_TRACEPOINT_COUNT_MAX 1000u

enum gdb_trace_action_kind {
    GDB_TRACE_REGISTERS,
    GDB_TRACE_MEMORY,
    GDB_TRACE_EXPRESSION, /* which records by itself */
};

struct gdb_trace_action {
    enum gdb_trace_action_kind kind;
    bool stepping; /* for the steps after a hit */
    bool has_base; /* MEMORY: `offset` counts from what the register `base` holds */
    unsigned base;
    uint64_t offset, length; /* MEMORY */
    struct agent_expression expression;
};

struct gdb_tracepoint {
    unsigned number;
    uint64_t address; /* one number may have several addresses */
    bool enabled;
    bool stepping_defined; /* actions to come are for steps */
    bool unfinished;       /* more of its definition is to come */
    uint64_t step_count, pass_count;
    struct agent_expression condition; /* no code: none */
    struct gdb_trace_action *actions;
    size_t action_count;
    char *lines; /* actions and sources as a debugger that comes later is told, each ended by a null byte */
    size_t lines_length;

    bool placed;         /* the target has a breakpoint there for it */
    uint64_t steps_left; /* of the last hit */
    uint64_t hits, usage;
};

struct gdb_tracepoints {
    struct gdb_tracepoint *list;
    size_t count, capacity;
    size_t text; /* bytes of definitions */
};

/*
 * Take what follows "QTDP:", "QTDP:-" included; *point gets the tracepoint defined so far, good until the next one is.
 * Returns MH_OK; MH_ERR_USAGE when it is malformed, of a kind not known here, or follows the wrong packet; MH_ERR_RANGE
 * when there are too many; MH_ERR_HOST without memory. Then *err says what, and nothing has changed.
 */
enum mh_status gdb_tracepoints_define(struct gdb_tracepoints *points, struct gdb_text text,
                                      struct gdb_tracepoint **point, struct mh_error *err);

/* Take what follows "QTDPsrc:": text of the user's, kept for debuggers to come. Returns as above. */
enum mh_status gdb_tracepoints_source(struct gdb_tracepoints *points, struct gdb_text text, struct mh_error *err);

/* Reads "NUMBER:ADDRESS" and leaves the rest. NULL when there is no such tracepoint. */
struct gdb_tracepoint *gdb_tracepoints_read(const struct gdb_tracepoints *points, struct gdb_text *text);

/* Forget the one defined last. */
void gdb_tracepoints_drop_last(struct gdb_tracepoints *points);

/* Forget all, and free what the list took. */
void gdb_tracepoints_free(struct gdb_tracepoints *points);

#endif
