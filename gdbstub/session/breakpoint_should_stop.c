#include "session/breakpoint_should_stop.h"

#include "agent/agent_context.h"

#include <inttypes.h>
#include <stdio.h>

static void complain(struct agent_context *context, const struct gdb_breakpoint *point, const char *what,
                     const struct mh_error *err)
{
    char text[sizeof(err->text) + 96];
    int length =
        snprintf(text, sizeof(text), "breakpoint at 0x%" PRIx64 ", its %s: %s\n", point->address, what, err->text);

    if (length > 0)
        gdb_machines_print(context->machines, context->machine, text, (size_t)length);
}

/* Does it matter that the machine is here? An expression that cannot be evaluated matters. */
static bool holds(struct agent_context *context, const struct gdb_breakpoint *point)
{
    const struct agent_ops ops = agent_context_ops(context);
    bool holds = point->condition_count == 0;

    for (unsigned i = 0; i < point->condition_count && !holds; i++) {
        struct mh_error err;
        uint64_t value = 0;

        if (agent_evaluate(&point->expressions[i], &ops, &value, &err) != MH_OK) {
            complain(context, point, "condition", &err);
            return true;
        }
        holds = value != 0;
    }
    return holds;
}

/* False when one of them fails; those behind it are not run then. */
static bool run_commands(struct agent_context *context, const struct gdb_breakpoint *point)
{
    const struct agent_ops ops = agent_context_ops(context);

    for (unsigned i = 0; i < point->command_count; i++) {
        struct mh_error err;

        if (agent_evaluate(&point->expressions[point->condition_count + i], &ops, NULL, &err) != MH_OK) {
            complain(context, point, "commands", &err);
            return false;
        }
    }
    return true;
}

/* Is the stop at this breakpoint wanted? Commands run instead of stopping. */
static bool meet(struct agent_context *context, const struct gdb_breakpoint *point)
{
    return holds(context, point) && (point->command_count == 0 || !run_commands(context, point));
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
static void drop(struct agent_context *context, enum mh_break_kind kind)
{
    gdb_machines_clear_breakpoint(context->machines, context->machine, kind, context->regs.general.rip, 1, NULL);
}

/*
 * Meet all that lie where the machine stands; when it stops there anyway, those with commands. True when one of them
 * wants the stop, which *kind is then, or when none is known here, not even a tracepoint.
 */
static bool meet_all(struct agent_context *context, bool known, enum mh_stop_kind *kind)
{
    static const enum mh_stop_kind kinds[] = {
        [MH_BREAK_SOFTWARE] = MH_STOP_BREAKPOINT,
        [MH_BREAK_HARDWARE] = MH_STOP_HW_BREAKPOINT,
    };
    bool stops_anyway = !is_breakpoint(&context->machine->stop), wanted = false;

    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const struct gdb_breakpoint *point =
            gdb_breakpoint_table_find(&context->machine->breakpoints, (enum mh_break_kind)i, context->regs.general.rip);

        if (!point || (stops_anyway && point->command_count == 0))
            continue;
        known = true;
        if (!meet(context, point))
            continue;
        if (!context->machine->attached)
            drop(context, point->kind);
        else if (!wanted)
            *kind = kinds[i];
        wanted |= context->machine->attached;
    }
    return wanted || !known;
}

static bool step_is_done(const struct agent_context *context)
{
    const struct mh_resume *how = &context->machine->how;
    uint64_t rip = context->regs.general.rip;

    return how->kind == MH_RESUME_STEP || (how->kind == MH_RESUME_RANGE && (rip < how->start || rip >= how->end));
}

/* Is the stop the end of a step that a tracepoint wanted, and nobody else? */
static bool is_steps_of_trace(const struct agent_context *context)
{
    return context->machine->stepping_for_trace && context->machine->stop.kind == MH_STOP_STEP &&
           !step_is_done(context);
}

bool gdb_hit_is_unwanted(struct gdb_machines *machines, struct gdb_machine *machine)
{
    struct agent_context context;
    enum mh_stop_kind kind;
    bool known;

    agent_context_init(&context, machines, machine);
    if ((machine->breakpoints.count == 0 && !machines->trace.running && !machine->stepping_for_trace) ||
        !has_arrived(&machine->stop) || !agent_context_fetch_regs(&context, MH_REGS_GENERAL))
        return false;
    known = gdb_trace_on_arrival(&context);
    if (is_steps_of_trace(&context)) {
        /* breakpoints there would have been met, had the machine run */
        machine->stop.kind = MH_STOP_BREAKPOINT;
        known = true;
    }
    kind = machine->stop.kind;
    if (meet_all(&context, known, &kind) || !is_breakpoint(&machine->stop)) {
        if (is_breakpoint(&machine->stop))
            machine->stop.kind = kind;
        return false;
    }
    if (!machine->interrupted && !step_is_done(&context))
        return true;
    machine->stop = (struct mh_stop){.kind = machine->interrupted ? MH_STOP_INTERRUPTED : MH_STOP_STEP};
    return false;
}
