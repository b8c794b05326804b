#include "agent/agent_context.h"

#include <string.h>

void gdb_view_init(struct gdb_view *view, struct gdb_machines *machines, struct gdb_machine *machine)
{
    view->machines = machines;
    view->machine = machine;
    view->groups = 0;
    view->collector = NULL;
}

bool gdb_view_fetch(struct gdb_view *view, unsigned groups)
{
    const struct mh_debug_target *target = view->machines->target;

    if (!(groups & ~view->groups))
        return true;
    if (target->ops->read_regs(target->ctx, view->machine->vm, groups, &view->regs, NULL) != MH_OK)
        return false;
    view->groups |= groups;
    return true;
}

size_t gdb_view_read(const struct gdb_view *view, uint64_t address, void *to, size_t length)
{
    const struct mh_debug_target *target = view->machines->target;
    size_t done = 0;

    if (target->ops->read_memory(target->ctx, view->machine->vm, MH_SPACE_VIRTUAL, address, to, length, &done) != MH_OK)
        return 0;
    return done;
}

static bool read_register(void *ctx, unsigned number, uint64_t *value)
{
    struct gdb_view *view = ctx;
    const struct gdb_x86_layout *layout = gdb_machines_layout(view->machines, view->machine);
    uint8_t bytes[sizeof(*value)] = {0};

    if (number >= layout->count || layout->reg[number]->size > sizeof(bytes) ||
        !gdb_view_fetch(view, layout->reg[number]->regs))
        return false;
    gdb_x86_get(layout->reg[number], &view->regs, bytes);
    memcpy(value, bytes, sizeof(bytes));
    return true;
}

static bool read_memory(void *ctx, uint64_t address, void *to, size_t length)
{
    return gdb_view_read(ctx, address, to, length) == length;
}

static bool get_variable(void *ctx, unsigned number, uint64_t *value)
{
    const struct gdb_view *view = ctx;

    return gdb_trace_get_variable(&view->machines->trace, number, value);
}

static bool set_variable(void *ctx, unsigned number, uint64_t value)
{
    const struct gdb_view *view = ctx;

    return gdb_trace_set_variable(&view->machines->trace, number, value);
}

static void print(void *ctx, const char *text, size_t length)
{
    const struct gdb_view *view = ctx;

    gdb_machines_say(view->machines, view->machine, text, length);
}

struct agent_world gdb_view_world(struct gdb_view *view)
{
    return (struct agent_world){
        .ctx = view,
        .read_register = read_register,
        .read_memory = read_memory,
        .get_variable = get_variable,
        .set_variable = set_variable,
        .print = print,
    };
}
