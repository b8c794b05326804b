/* A stopped machine as agent expressions see it: its registers, its virtual memory, the trace state variables. */
#ifndef GDBSTUB_AGENT_CONTEXT_H
#define GDBSTUB_AGENT_CONTEXT_H

#include "session/machines.h"

struct gdb_collector;

struct agent_context {
    struct gdb_machines *machines;
    struct gdb_machine *machine;
    unsigned groups;                 /* MH_REGS_* that `regs` has */
    struct gdb_collector *collector; /* of collect.c, while it records what an expression wants */
    struct mh_x86_regs regs;
};

/* Begin to look at a machine. Registers are large and most are never asked for: none is read yet. */
void agent_context_init(struct agent_context *context, struct gdb_machines *machines, struct gdb_machine *machine);

/* Have these groups of registers in context->regs. False when they cannot be read. */
bool agent_context_fetch_regs(struct agent_context *context, unsigned groups);

/* How many of `length` bytes of virtual memory at `address`, counted from the first, could be copied. */
size_t agent_context_read_memory(const struct agent_context *context, uint64_t address, void *to, size_t length);

/* What expressions see; good as long as the context. Nothing can be recorded in it. */
struct agent_ops agent_context_ops(struct agent_context *context);

#endif
