/*
 * The breakpoints a debugger has inserted into one machine, with the conditions and commands that the stub evaluates
 * (GDB manual, "Packets", Z0). Commands run instead of stopping.
 */
#ifndef GDBSTUB_BREAKPOINT_TABLE_H
#define GDBSTUB_BREAKPOINT_TABLE_H

#include "agent/agent.h"
#include "protocol/hex.h"

#include "mh/debug_target.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GDB_BREAKPOINT_TABLE_SIZE_MAX 0x100000u /* bytes of the conditions and commands of all breakpoints */

struct gdb_breakpoint {
    enum mh_break_kind kind; /* SOFTWARE or HARDWARE */
    uint64_t address;
    bool persists; /* stays when the debugger detaches */
    unsigned condition_count, command_count;
    struct agent_expression *expressions; /* conditions, then commands; the code follows in the same allocation */
    size_t size;                          /* of that allocation */
};

struct gdb_breakpoint_table {
    struct gdb_breakpoint *list;
    size_t count, capacity;
    size_t size; /* of all allocations */
};

/*
 * Parse what follows kind, address and length in a Z packet into `point`, whose kind and address are set: lists of
 * conditions ("X LENGTH,CODE..."), each after a ';', then "cmds:PERSIST," and a list of commands; nothing for a plain
 * breakpoint. Returns MH_OK; MH_ERR_USAGE if it is malformed or an expression is too long; MH_ERR_HOST without memory.
 * On error *err says why, and nothing is allocated.
 */
enum mh_status gdb_breakpoint_parse(struct gdb_text options, struct gdb_breakpoint *point, struct mh_error *err);

/* Free what gdb_breakpoint_parse() allocated. */
void gdb_breakpoint_free(struct gdb_breakpoint *point);

/*
 * Add a breakpoint, replacing one of the same kind and address. Takes over its allocation. Returns MH_OK; MH_ERR_RANGE
 * if all together would be too large; MH_ERR_HOST without memory. On error *err says why, and nothing has changed.
 */
enum mh_status gdb_breakpoint_table_set(struct gdb_breakpoint_table *points, const struct gdb_breakpoint *point,
                                        struct mh_error *err);

/* Return the breakpoint of that kind at that address, NULL if there is none; valid until the table changes. */
const struct gdb_breakpoint *gdb_breakpoint_table_find(const struct gdb_breakpoint_table *points,
                                                       enum mh_break_kind kind, uint64_t address);

/* Delete a breakpoint if there is one. */
void gdb_breakpoint_table_remove(struct gdb_breakpoint_table *points, enum mh_break_kind kind, uint64_t address);

/* Delete all breakpoints that do not persist. */
void gdb_breakpoint_table_keep_persistent(struct gdb_breakpoint_table *points);

/* Delete all and free the memory. */
void gdb_breakpoint_table_free(struct gdb_breakpoint_table *points);

#endif
