/*
 * The breakpoints a debugger has set in one machine, with what it wants to be evaluated here when they are met:
 * conditions, and commands that run instead of stopping (GDB manual, "Packets", Z0).
 */
#ifndef GDBSTUB_BREAKPOINT_TABLE_H
#define GDBSTUB_BREAKPOINT_TABLE_H

#include "agent/agent.h"
#include "protocol/hex.h"

#include "mh/debug_target.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GDB_BREAKPOINT_TABLE_SIZE_MAX 0x100000u /* bytes that the conditions and commands of all breakpoints take */

struct gdb_breakpoint {
    enum mh_break_kind kind; /* SOFTWARE or HARDWARE */
    uint64_t address;
    bool persists; /* stays when the debugger leaves */
    unsigned condition_count, command_count;
    struct agent_expression *expressions; /* conditions, then commands; their code lies behind them */
    size_t size;                          /* of all that, in bytes */
};

struct gdb_breakpoint_table {
    struct gdb_breakpoint *list;
    size_t count, capacity;
    size_t size; /* of what the points hold */
};

/*
 * Read what follows kind, address and length in a Z packet, into a point that has the first two: lists of conditions
 * ("X LENGTH,CODE..."), each behind a ';', then "cmds:PERSIST," and a list of commands; nothing at all for a plain one.
 * Returns MH_OK, MH_ERR_USAGE when it is malformed or an expression too long, MH_ERR_HOST without memory; *err says so,
 * and the point holds nothing then.
 */
enum mh_status gdb_breakpoint_parse(struct gdb_text options, struct gdb_breakpoint *point, struct mh_error *err);

/* Free what reading a point took. */
void gdb_breakpoint_free(struct gdb_breakpoint *point);

/*
 * Keep a point, in the place of one of the same kind and address; what it holds belongs to the list then.
 * Returns MH_OK; MH_ERR_RANGE when all together would hold too much, MH_ERR_HOST without memory: with *err saying so,
 * and nothing changed.
 */
enum mh_status gdb_breakpoint_table_set(struct gdb_breakpoint_table *points, const struct gdb_breakpoint *point,
                                        struct mh_error *err);

/* The point of that kind at that address, NULL when there is none; good until the list changes. */
const struct gdb_breakpoint *gdb_breakpoint_table_find(const struct gdb_breakpoint_table *points,
                                                       enum mh_break_kind kind, uint64_t address);

/* Forget one, if it is there. */
void gdb_breakpoint_table_remove(struct gdb_breakpoint_table *points, enum mh_break_kind kind, uint64_t address);

/* Forget those that do not persist. */
void gdb_breakpoint_table_keep_persistent(struct gdb_breakpoint_table *points);

/* Forget all, and free what the list took. */
void gdb_breakpoint_table_free(struct gdb_breakpoint_table *points);

#endif
