/*
 * What agent expressions are evaluated against: one stopped machine. The context supplies the callbacks of struct
 * agent_ops from the machine's registers and virtual memory, and from the trace state variables. Registers are large
 * and an expression needs few of them, so each group is read from the target when it is first needed, and kept.
 */
#ifndef GDBSTUB_AGENT_CONTEXT_H
#define GDBSTUB_AGENT_CONTEXT_H

#include "agent/agent.h"
#include "agent/agent_variables.h"
#include "target_desc/x86_desc.h"

#include "mh/debug_target.h"

struct agent_context {
    const struct mh_debug_target *target;
    unsigned vm;
    struct gdb_x86_layout_cache *layouts;
    struct agent_variables *variables;
    mh_text_sink *print; /* receives what printf produces */
    void *print_ctx;
    void *recorder;  /* free for the owner of the trace_memory and trace_variable callbacks */
    unsigned groups; /* MH_REGS_* that `regs` holds */
    struct mh_x86_regs regs;
};

/* Start looking at machine `vm`; no register has been read. The caller sets print, print_ctx and recorder if needed. */
void agent_context_init(struct agent_context *context, const struct mh_debug_target *target, unsigned vm,
                        struct gdb_x86_layout_cache *layouts, struct agent_variables *variables);

/* Make context->regs hold these groups of registers. Returns false if they cannot be read. */
bool agent_context_fetch_regs(struct agent_context *context, unsigned groups);

/* Copy up to `length` bytes of virtual memory. Returns how many could be copied, counted from the first. */
size_t agent_context_read_memory(const struct agent_context *context, uint64_t address, void *to, size_t length);

/* Return callbacks that evaluate against the context, without those that record; valid as long as the context. */
struct agent_ops agent_context_ops(struct agent_context *context);

#endif
