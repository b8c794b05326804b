#include "hits.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A machine as expressions see it. */
struct view {
    struct gdb_machines *machines;
    struct gdb_machine *machine;
    unsigned groups; /* MH_REGS_* that `regs` has */
    struct mh_x86_regs regs;
};

static bool fetch(struct view *view, unsigned groups)
{
    const struct mh_debug_target *target = view->machines->target;

    if (!(groups & ~view->groups))
        return true;
    if (target->ops->read_regs(target->ctx, view->machine->vm, groups, &view->regs, NULL) != MH_OK)
        return false;
    view->groups |= groups;
    return true;
}

static bool read_register(void *ctx, unsigned number, uint64_t *value)
{
    struct view *view = ctx;
    const struct gdb_x86_layout *layout = gdb_machines_layout(view->machines, view->machine);
    uint8_t bytes[sizeof(*value)] = {0};

    if (number >= layout->count || layout->reg[number]->size > sizeof(bytes) || !fetch(view, layout->reg[number]->regs))
        return false;
    gdb_x86_get(layout->reg[number], &view->regs, bytes);
    memcpy(value, bytes, sizeof(bytes));
    return true;
}

static bool read_memory(void *ctx, uint64_t address, void *to, size_t length)
{
    const struct view *view = ctx;
    const struct mh_debug_target *target = view->machines->target;
    size_t done;

    return target->ops->read_memory(target->ctx, view->machine->vm, MH_SPACE_VIRTUAL, address, to, length, &done) ==
               MH_OK &&
           done == length;
}

static void print(void *ctx, const char *text, size_t length)
{
    const struct view *view = ctx;

    gdb_machines_say(view->machines, view->machine, text, length);
}

static struct agent_world world_of(struct view *view)
{
    return (struct agent_world){
        .ctx = view,
        .read_register = read_register,
        .read_memory = read_memory,
        .print = print,
    };
}

static void complain(struct view *view, const struct gdb_point *point, const char *what, const struct mh_error *err)
{
    char text[sizeof(err->text) + 96];
    int length =
        snprintf(text, sizeof(text), "breakpoint at 0x%" PRIx64 ", its %s: %s\n", point->address, what, err->text);

    if (length > 0)
        gdb_machines_say(view->machines, view->machine, text, (size_t)length);
}

/* Does it matter that the machine is here? An expression that cannot be evaluated matters. */
static bool holds(struct view *view, const struct gdb_point *point)
{
    const struct agent_world world = world_of(view);
    bool holds = point->condition_count == 0;

    for (unsigned i = 0; i < point->condition_count && !holds; i++) {
        struct mh_error err;
        uint64_t value = 0;

        if (agent_evaluate(&point->expressions[i], &world, &value, &err) != MH_OK) {
            complain(view, point, "condition", &err);
            return true;
        }
        holds = value != 0;
    }
    return holds;
}

/* False when one of them fails; those behind it are not run then. */
static bool run_commands(struct view *view, const struct gdb_point *point)
{
    const struct agent_world world = world_of(view);

    for (unsigned i = 0; i < point->command_count; i++) {
        struct mh_error err;

        if (agent_evaluate(&point->expressions[point->condition_count + i], &world, NULL, &err) != MH_OK) {
            complain(view, point, "commands", &err);
            return false;
        }
    }
    return true;
}

/* Is the stop at this breakpoint wanted? Commands run instead of stopping. */
static bool meet(struct view *view, const struct gdb_point *point)
{
    return holds(view, point) && (point->command_count == 0 || !run_commands(view, point));
}

static bool is_breakpoint(const struct mh_stop *stop)
{
    return stop->kind == MH_STOP_BREAKPOINT || stop->kind == MH_STOP_HW_BREAKPOINT;
}

/* The machine has come to where it stands by executing, so that breakpoints there are met now. */
static bool has_arrived(const struct mh_stop *stop)
{
    return is_breakpoint(stop) || stop->kind == MH_STOP_STEP || stop->kind == MH_STOP_WATCHPOINT;
}

/* Nobody is there to stop for, so what cannot be evaluated would only be complained about again and again. */
static void drop(struct view *view, enum mh_break_kind kind)
{
    const struct mh_debug_target *target = view->machines->target;
    uint64_t address = view->regs.general.rip;

    gdb_points_remove(&view->machine->points, kind, address);
    target->ops->clear_breakpoint(target->ctx, view->machine->vm, kind, address, 1, NULL);
}

/*
 * Meet all that lie where the machine stands; when it stops there anyway, those with commands. True when one of them
 * wants the stop, which *kind is then, or when none is known here.
 */
static bool meet_all(struct view *view, enum mh_stop_kind *kind)
{
    static const enum mh_stop_kind kinds[] = {
        [MH_BREAK_SOFTWARE] = MH_STOP_BREAKPOINT,
        [MH_BREAK_HARDWARE] = MH_STOP_HW_BREAKPOINT,
    };
    bool stops_anyway = !is_breakpoint(&view->machine->stop), wanted = false, known = false;

    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const struct gdb_point *point =
            gdb_points_find(&view->machine->points, (enum mh_break_kind)i, view->regs.general.rip);

        if (!point || (stops_anyway && point->command_count == 0))
            continue;
        known = true;
        if (!meet(view, point))
            continue;
        if (!view->machine->attended)
            drop(view, point->kind);
        else if (!wanted)
            *kind = kinds[i];
        wanted |= view->machine->attended;
    }
    return wanted || !known;
}

static bool step_is_done(const struct view *view)
{
    const struct mh_resume *how = &view->machine->how;
    uint64_t rip = view->regs.general.rip;

    return how->kind == MH_RESUME_STEP || (how->kind == MH_RESUME_RANGE && (rip < how->start || rip >= how->end));
}

bool gdb_hit_is_unwanted(struct gdb_machines *machines, struct gdb_machine *machine)
{
    struct view view;
    enum mh_stop_kind kind = machine->stop.kind;

    /* the registers are large, and most of them are never asked for */
    view.machines = machines;
    view.machine = machine;
    view.groups = 0;
    if (machine->points.count == 0 || !has_arrived(&machine->stop) || !fetch(&view, MH_REGS_GENERAL))
        return false;
    if (meet_all(&view, &kind) || !is_breakpoint(&machine->stop)) {
        if (is_breakpoint(&machine->stop))
            machine->stop.kind = kind;
        return false;
    }
    if (!machine->interrupted && !step_is_done(&view))
        return true;
    machine->stop = (struct mh_stop){.kind = machine->interrupted ? MH_STOP_INTERRUPTED : MH_STOP_STEP};
    return false;
}
