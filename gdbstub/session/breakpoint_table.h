/*
 * The breakpoints a debugger has set in one machine, with what it wants to be evaluated here when they are met:
 * conditions, and commands that run instead of stopping (GDB manual, "Packets", Z0).
 */
#ifndef GDBSTUB_POINTS_H
#define GDBSTUB_POINTS_H

#include "agent/agent.h"
#include "protocol/hex.h"

#include "mh/debug_target.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GDB_POINTS_SIZE_MAX 0x100000u /* bytes that the conditions and commands of all breakpoints take */

struct gdb_point {
    enum mh_break_kind kind; /* SOFTWARE or HARDWARE */
    uint64_t address;
    bool persists; /* stays when the debugger leaves */
    unsigned condition_count, command_count;
    struct agent_expression *expressions; /* conditions, then commands; their code lies behind them */
    size_t size;                          /* of all that, in bytes */
};

struct gdb_points {
    struct gdb_point *list;
    size_t count, capacity;
    size_t size; /* of what the points hold */
};

/*
 * Read what follows kind, address and length in a Z packet, into a point that has the first two: lists of conditions
 * ("X LENGTH,CODE..."), each behind a ';', then "cmds:PERSIST," and a list of commands; nothing at all for a plain one.
 * Returns MH_OK, MH_ERR_USAGE when it is malformed or an expression too long, MH_ERR_HOST without memory; *err says so,
 * and the point holds nothing then.
 */
enum mh_status gdb_point_read(struct gdb_text options, struct gdb_point *point, struct mh_error *err);

/* Free what reading a point took. */
void gdb_point_free(struct gdb_point *point);

/*
 * Keep a point, in the place of one of the same kind and address; what it holds belongs to the list then.
 * Returns MH_OK; MH_ERR_RANGE when all together would hold too much, MH_ERR_HOST without memory: with *err saying so,
 * and nothing changed.
 */
enum mh_status gdb_points_set(struct gdb_points *points, const struct gdb_point *point, struct mh_error *err);

/* The point of that kind at that address, NULL when there is none; good until the list changes. */
const struct gdb_point *gdb_points_find(const struct gdb_points *points, enum mh_break_kind kind, uint64_t address);

/* Forget one, if it is there. */
void gdb_points_remove(struct gdb_points *points, enum mh_break_kind kind, uint64_t address);

/* Forget those that do not persist. */
void gdb_points_keep_persistent(struct gdb_points *points);

/* Forget all, and free what the list took. */
void gdb_points_free(struct gdb_points *points);

#endif
