/* A stopped machine as agent expressions see it: its registers, its virtual memory, the trace state variables. */
#ifndef GDBSTUB_VIEW_H
#define GDBSTUB_VIEW_H

#include "session/machines.h"

struct gdb_collector;

struct gdb_view {
    struct gdb_machines *machines;
    struct gdb_machine *machine;
    unsigned groups;                 /* MH_REGS_* that `regs` has */
    struct gdb_collector *collector; /* of collect.c, while it records what an expression wants */
    struct mh_x86_regs regs;
};

/* Begin to look at a machine. Registers are large and most are never asked for: none is read yet. */
void gdb_view_init(struct gdb_view *view, struct gdb_machines *machines, struct gdb_machine *machine);

/* Have these groups of registers in view->regs. False when they cannot be read. */
bool gdb_view_fetch(struct gdb_view *view, unsigned groups);

/* How many of `length` bytes of virtual memory at `address`, counted from the first, could be copied. */
size_t gdb_view_read(const struct gdb_view *view, uint64_t address, void *to, size_t length);

/* What expressions see; good as long as the view. Nothing can be recorded in it. */
struct agent_world gdb_view_world(struct gdb_view *view);

#endif
