#include "agent/agent_context.h"

#include <string.h>

void agent_context_init(struct agent_context *context, struct gdb_machines *machines, struct gdb_machine *machine)
{
    context->machines = machines;
    context->machine = machine;
    context->groups = 0;
    context->collector = NULL;
}

bool agent_context_fetch_regs(struct agent_context *context, unsigned groups)
{
    const struct mh_debug_target *target = context->machines->target;

    if (!(groups & ~context->groups))
        return true;
    if (target->ops->read_regs(target->ctx, context->machine->vm, groups, &context->regs, NULL) != MH_OK)
        return false;
    context->groups |= groups;
    return true;
}

size_t agent_context_read_memory(const struct agent_context *context, uint64_t address, void *to, size_t length)
{
    const struct mh_debug_target *target = context->machines->target;
    size_t done = 0;

    if (target->ops->read_memory(target->ctx, context->machine->vm, MH_SPACE_VIRTUAL, address, to, length, &done) !=
        MH_OK)
        return 0;
    return done;
}

static bool context_read_register(void *ctx, unsigned number, uint64_t *value)
{
    struct agent_context *context = ctx;
    const struct gdb_x86_layout *layout = gdb_machines_layout(context->machines, context->machine);
    uint8_t bytes[sizeof(*value)] = {0};

    if (number >= layout->count || layout->reg[number]->size > sizeof(bytes) ||
        !agent_context_fetch_regs(context, layout->reg[number]->regs))
        return false;
    gdb_x86_get(layout->reg[number], &context->regs, bytes);
    memcpy(value, bytes, sizeof(bytes));
    return true;
}

static bool context_read_memory(void *ctx, uint64_t address, void *to, size_t length)
{
    return agent_context_read_memory(ctx, address, to, length) == length;
}

static bool context_get_variable(void *ctx, unsigned number, uint64_t *value)
{
    const struct agent_context *context = ctx;

    return gdb_trace_get_variable(&context->machines->trace, number, value);
}

static bool context_set_variable(void *ctx, unsigned number, uint64_t value)
{
    const struct agent_context *context = ctx;

    return gdb_trace_set_variable(&context->machines->trace, number, value);
}

static void context_print(void *ctx, const char *text, size_t length)
{
    const struct agent_context *context = ctx;

    gdb_machines_print(context->machines, context->machine, text, length);
}

struct agent_ops agent_context_ops(struct agent_context *context)
{
    return (struct agent_ops){
        .ctx = context,
        .read_register = context_read_register,
        .read_memory = context_read_memory,
        .get_variable = context_get_variable,
        .set_variable = context_set_variable,
        .print = context_print,
    };
}
