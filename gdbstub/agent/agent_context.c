#include "agent/agent_context.h"

#include <string.h>

void agent_context_init(struct agent_context *context, const struct mh_debug_target *target, unsigned vm,
                        struct gdb_x86_layout_cache *layouts, struct agent_variables *variables)
{
    /* not a compound literal: that would clear the registers, several kilobytes, at each breakpoint */
    context->target = target;
    context->vm = vm;
    context->layouts = layouts;
    context->variables = variables;
    context->print = NULL;
    context->print_ctx = NULL;
    context->recorder = NULL;
    context->groups = 0;
}

bool agent_context_fetch_regs(struct agent_context *context, unsigned groups)
{
    const struct mh_debug_target *target = context->target;

    if ((groups & ~context->groups) == 0)
        return true;
    if (target->ops->read_regs(target->ctx, context->vm, groups, &context->regs, NULL) != MH_OK)
        return false;
    context->groups |= groups;
    return true;
}

size_t agent_context_read_memory(const struct agent_context *context, uint64_t address, void *to, size_t length)
{
    const struct mh_debug_target *target = context->target;
    size_t done = 0;

    if (target->ops->read_memory(target->ctx, context->vm, MH_SPACE_VIRTUAL, address, to, length, &done) != MH_OK)
        return 0;
    return done;
}

static bool context_read_register(void *ctx, unsigned number, uint64_t *value)
{
    struct agent_context *context = ctx;
    const struct gdb_x86_layout *layout = gdb_x86_layout_of(context->layouts, context->target, context->vm);
    uint8_t bytes[sizeof *value] = {0};

    if (number >= layout->count || layout->reg[number]->size > sizeof bytes ||
        !agent_context_fetch_regs(context, layout->reg[number]->regs))
        return false;
    gdb_x86_get(layout->reg[number], &context->regs, bytes);
    memcpy(value, bytes, sizeof bytes);
    return true;
}

static bool context_read_memory(void *ctx, uint64_t address, void *to, size_t length)
{
    return agent_context_read_memory(ctx, address, to, length) == length;
}

static bool context_get_variable(void *ctx, unsigned number, uint64_t *value)
{
    const struct agent_context *context = ctx;

    return agent_variables_get(context->variables, number, value);
}

static bool context_set_variable(void *ctx, unsigned number, uint64_t value)
{
    const struct agent_context *context = ctx;

    return agent_variables_set(context->variables, number, value);
}

static void context_print(void *ctx, const char *text, size_t length)
{
    const struct agent_context *context = ctx;

    if (context->print != NULL)
        context->print(context->print_ctx, text, length);
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
