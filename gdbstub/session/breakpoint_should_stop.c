#include "session/breakpoint_should_stop.h"

#include "session/machines.h"

#include <inttypes.h>
#include <stdio.h>

/* One call of the filter. */
struct arrival {
    struct gdb_machines *machines;
    struct gdb_machine *machine;
    bool is_new; /* false: the machine has been here before: it continues where it stopped, or runs backwards */
    struct agent_context context;
};

static void arrival_print(void *ctx, const char *text, size_t length)
{
    const struct arrival *arrival = ctx;

    gdb_machines_print(arrival->machines, arrival->machine, text, length);
}

static void arrival_report_error(struct arrival *arrival, const struct gdb_breakpoint *point, const char *what,
                                 const struct mh_error *err)
{
    char text[sizeof err->text + 96];
    int length =
        snprintf(text, sizeof text, "%s of the breakpoint at 0x%" PRIx64 ": %s\n", what, point->address, err->text);

    if (length > 0)
        arrival_print(arrival, text, (size_t)length);
}

/* A condition that cannot be evaluated counts as true. */
static bool breakpoint_condition_holds(struct arrival *arrival, const struct gdb_breakpoint *point)
{
    const struct agent_ops ops = agent_context_ops(&arrival->context);
    bool holds = point->condition_count == 0;

    for (unsigned i = 0; i < point->condition_count && !holds; i++) {
        struct mh_error err;
        uint64_t value = 0;

        if (agent_evaluate(&point->expressions[i], &ops, &value, &err) != MH_OK) {
            arrival_report_error(arrival, point, "condition", &err);
            return true;
        }
        holds = value != 0;
    }
    return holds;
}

/* Returns false if a command fails; those after it are not run. */
static bool breakpoint_run_commands(struct arrival *arrival, const struct gdb_breakpoint *point)
{
    const struct agent_ops ops = agent_context_ops(&arrival->context);

    for (unsigned i = 0; i < point->command_count; i++) {
        struct mh_error err;

        if (agent_evaluate(&point->expressions[point->condition_count + i], &ops, NULL, &err) != MH_OK) {
            arrival_report_error(arrival, point, "command", &err);
            return false;
        }
    }
    return true;
}

/* Does this breakpoint want the stop? Commands run instead of stopping. */
static bool breakpoint_meet(struct arrival *arrival, const struct gdb_breakpoint *point)
{
    if (point->command_count > 0 && !arrival->is_new)
        return false;
    return breakpoint_condition_holds(arrival, point) &&
           (point->command_count == 0 || !breakpoint_run_commands(arrival, point));
}

static bool stop_is_breakpoint(const struct mh_stop *stop)
{
    return stop->kind == MH_STOP_BREAKPOINT || stop->kind == MH_STOP_HW_BREAKPOINT;
}

/*
 * Meet all breakpoints where the machine stands; if it stops there anyway, only those with commands. Returns true if
 * one of them wants the stop, and sets stop->kind to its kind; or if none is known (`known`: a tracepoint is).
 */
static bool arrival_meet_all(struct arrival *arrival, bool known, struct mh_stop *stop)
{
    static const enum mh_stop_kind kinds[] = {
        [MH_BREAK_SOFTWARE] = MH_STOP_BREAKPOINT,
        [MH_BREAK_HARDWARE] = MH_STOP_HW_BREAKPOINT,
    };
    struct gdb_machine *machine = arrival->machine;
    uint64_t rip = arrival->context.regs.general.rip;
    bool stops_anyway = !stop_is_breakpoint(stop), wanted = false;

    for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        enum mh_break_kind kind = (enum mh_break_kind)i;
        const struct gdb_breakpoint *point = gdb_breakpoint_table_find(&machine->breakpoints, kind, rip);

        if (point == NULL || (stops_anyway && point->command_count == 0))
            continue;
        known = true;
        if (!breakpoint_meet(arrival, point))
            continue;
        /* without a debugger, a command that fails would only fail again and again */
        if (!machine->attached)
            gdb_machines_clear_breakpoint(arrival->machines, machine, kind, rip, 1, NULL);
        else if (!wanted && !stops_anyway)
            stop->kind = kinds[i];
        wanted |= machine->attached;
    }
    return wanted || !known;
}

/* Is what the debugger asked for done, regardless of breakpoints? */
static bool machine_step_is_done(const struct gdb_machine *machine, uint64_t rip)
{
    const struct mh_resume *how = &machine->how;

    return how->kind == MH_RESUME_STEP || (how->kind == MH_RESUME_RANGE && (rip < how->start || rip >= how->end));
}

/*
 * Nobody wants the stop. The machine continues, unless it was interrupted or its step ends here. If a tracepoint
 * begins or ends to record steps, it must be resumed in another way, and so has to leave wait().
 */
static bool arrival_continue(struct arrival *arrival, struct mh_stop *stop)
{
    struct gdb_machine *machine = arrival->machine;

    if (machine->interrupted || machine_step_is_done(machine, arrival->context.regs.general.rip)) {
        *stop = (struct mh_stop){.kind = machine->interrupted ? MH_STOP_INTERRUPTED : MH_STOP_STEP};
        return true;
    }
    bool is_stepping = machine->state == GDB_MACHINE_STEPPING_FOR_TRACE;
    if (gdb_trace_is_stepping(&arrival->machines->trace) == is_stepping)
        return false;
    machine->state = GDB_MACHINE_SWITCHING;
    return true;
}

/* Returns true if the machine should leave wait(). */
static bool arrival_decide(struct arrival *arrival, struct mh_stop *stop)
{
    struct gdb_machine *machine = arrival->machine;
    struct gdb_trace *trace = &arrival->machines->trace;
    uint64_t rip = arrival->context.regs.general.rip;
    bool known = arrival->is_new ? gdb_trace_on_arrival(trace, &arrival->context) : gdb_trace_is_placed(trace, rip);

    if (machine->state == GDB_MACHINE_STEPPING_FOR_TRACE && stop->kind == MH_STOP_STEP &&
        !machine_step_is_done(machine, rip)) {
        /* the debugger asked for no step; if the machine had run here, it would have met the breakpoints */
        stop->kind = MH_STOP_BREAKPOINT;
        known = true;
    }
    bool wanted = arrival_meet_all(arrival, known, stop) || !stop_is_breakpoint(stop);
    return (wanted && machine->attached) || arrival_continue(arrival, stop);
}

bool gdb_breakpoint_should_stop(void *ctx, unsigned vm, struct mh_stop *stop)
{
    struct arrival arrival;

    arrival.machines = ctx;
    arrival.machine = gdb_machines_find(arrival.machines, vm);
    if (arrival.machine == NULL)
        return true;
    struct gdb_machine *machine = arrival.machine;
    bool had_met = machine->has_met;
    machine->has_met = false;
    agent_context_init(&arrival.context, arrival.machines->target, vm, &arrival.machines->layouts,
                       &arrival.machines->trace.variables);
    arrival.context.print = arrival_print;
    arrival.context.print_ctx = &arrival;
    if (!agent_context_fetch_regs(&arrival.context, MH_REGS_GENERAL))
        return machine->attached;
    uint64_t rip = arrival.context.regs.general.rip;
    /* backwards, it comes back to where it has arrived before */
    arrival.is_new = !machine->how.backwards && !(had_met && stop_is_breakpoint(stop) && rip == machine->met_rip);
    bool leaves = arrival_decide(&arrival, stop);
    machine->has_met = leaves;
    machine->met_rip = rip;
    return leaves;
}
