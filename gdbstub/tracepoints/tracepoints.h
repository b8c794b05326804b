/*
 * Tracepoints as the debugger defines them: where to record what, under which condition (GDB manual, "Tracepoint
 * Packets", QTDP and QTDPsrc). Definitions arrive in pieces. They are also kept as text, for debuggers that connect
 * later and ask for them.
 */
#ifndef GDBSTUB_TRACEPOINTS_H
#define GDBSTUB_TRACEPOINTS_H

#include "agent/agent.h"
#include "protocol/hex.h"

#include "mh/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GDB_TRACEPOINT_NUMBER_MAX 0xffffu /* it has 16 bits in trace files */
#define GDB_TRACEPOINT_TEXT_MAX 0x100000u /* bytes of all definitions */
#define GDB_TRACEPOINT_COUNT_MAX 1000u

enum gdb_trace_action_kind {
    GDB_TRACE_REGISTERS,
    GDB_TRACE_MEMORY,
    GDB_TRACE_EXPRESSION, /* records by itself */
};

struct gdb_trace_action {
    enum gdb_trace_action_kind kind;
    bool stepping; /* for the steps after a hit (while-stepping) */
    bool has_base; /* MEMORY: `offset` is relative to the register `base` */
    unsigned base;
    uint64_t offset, length; /* MEMORY */
    struct agent_expression expression;
};

struct gdb_tracepoint {
    unsigned number;
    uint64_t address; /* a tracepoint with several locations has one entry for each */
    bool enabled;
    bool stepping_defined; /* further actions are for steps */
    bool unfinished;       /* its definition is incomplete */
    uint64_t step_count, pass_count;
    struct agent_expression condition; /* without code: none */
    struct gdb_trace_action *actions;
    size_t action_count;
    char *lines; /* actions and source strings for later debuggers, each terminated by a null byte */
    size_t lines_length;

    bool placed;         /* its breakpoint is inserted */
    uint64_t steps_left; /* of the latest hit */
    uint64_t hits, usage;
};

struct gdb_tracepoints {
    struct gdb_tracepoint *list;
    size_t count, capacity;
    size_t text; /* bytes of all definitions */
};

/*
 * Parse what follows "QTDP:" or "QTDP:-"; *point is set to the tracepoint, valid until the next definition. Returns
 * MH_OK; MH_ERR_USAGE if it is malformed, of a kind that is not supported, or out of order; MH_ERR_RANGE if there are
 * too many; MH_ERR_HOST without memory. On error *err says why, and nothing has changed.
 */
enum mh_status gdb_tracepoints_define(struct gdb_tracepoints *points, struct gdb_text text,
                                      struct gdb_tracepoint **point, struct mh_error *err);

/* Parse what follows "QTDPsrc:": the user's source text, kept for later debuggers. Returns as above. */
enum mh_status gdb_tracepoints_source(struct gdb_tracepoints *points, struct gdb_text text, struct mh_error *err);

/* Parse "NUMBER:ADDRESS" and leave the rest. Returns NULL if there is no such tracepoint. */
struct gdb_tracepoint *gdb_tracepoints_read(const struct gdb_tracepoints *points, struct gdb_text *text);

/* Delete the tracepoint defined last. */
void gdb_tracepoints_drop_last(struct gdb_tracepoints *points);

/* Delete all and free the memory. */
void gdb_tracepoints_free(struct gdb_tracepoints *points);

#endif
