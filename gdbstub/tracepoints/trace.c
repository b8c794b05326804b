#include "tracepoints/trace.h"

#include "session/machines.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

bool gdb_trace_possible(const struct gdb_machines *machines)
{
    return machines->count == 1;
}

static uint64_t trace_now(void)
{
    struct timespec time = {0, 0};

    clock_gettime(CLOCK_REALTIME, &time);
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

/* --- the target's breakpoints --- */

bool gdb_trace_needs(const struct gdb_machines *machines, uint64_t address)
{
    const struct gdb_tracepoints *points = &machines->trace.tracepoints;

    for (size_t i = 0; i < points->count && machines->trace.running; i++)
        if (points->list[i].placed && points->list[i].address == address)
            return true;
    return false;
}

enum mh_status gdb_trace_place(struct gdb_machines *machines, struct gdb_tracepoint *point, struct mh_error *err)
{
    const struct mh_debug_target *target = machines->target;
    enum mh_status status =
        target->ops->set_breakpoint(target->ctx, machines->list[0].vm, MH_BREAK_SOFTWARE, point->address, 1, err);

    point->placed = status == MH_OK;
    return status;
}

void gdb_trace_unplace(struct gdb_machines *machines, struct gdb_tracepoint *point)
{
    const struct mh_debug_target *target = machines->target;
    struct gdb_machine *machine = &machines->list[0];
    bool placed = point->placed;

    point->placed = false;
    point->steps_left = 0;
    if (!placed || gdb_trace_needs(machines, point->address) ||
        gdb_breakpoint_table_find(&machine->breakpoints, MH_BREAK_SOFTWARE, point->address))
        return;
    target->ops->clear_breakpoint(target->ctx, machine->vm, MH_BREAK_SOFTWARE, point->address, 1, NULL);
}

/* --- starting and stopping --- */

void gdb_trace_stop(struct gdb_machines *machines, enum gdb_trace_end end)
{
    struct gdb_trace *trace = &machines->trace;

    if (!trace->running)
        return;
    for (size_t i = 0; i < trace->tracepoints.count; i++)
        gdb_trace_unplace(machines, &trace->tracepoints.list[i]);
    trace->running = false;
    trace->end = end;
    trace->ended = trace_now();
}

void gdb_trace_free(struct gdb_trace *trace)
{
    gdb_tracepoints_free(&trace->tracepoints);
    gdb_traceframes_free(&trace->frames);
    free(trace->variables);
    trace->variables = NULL;
    trace->variable_count = trace->readonly_count = 0;
}

void gdb_trace_reset(struct gdb_machines *machines)
{
    gdb_trace_stop(machines, GDB_TRACE_STOPPED);
    gdb_trace_free(&machines->trace);
    machines->trace.end = GDB_TRACE_NOT_RUN;
}

/* Everything as at the beginning of an experiment. */
static void trace_rewind(struct gdb_trace *trace)
{
    for (size_t i = 0; i < trace->tracepoints.count; i++) {
        struct gdb_tracepoint *point = &trace->tracepoints.list[i];

        point->hits = point->usage = point->steps_left = 0;
        point->placed = false;
    }
    for (size_t i = 0; i < trace->variable_count; i++)
        trace->variables[i].value = trace->variables[i].initial;
    trace->started = trace_now();
    trace->ended = 0;
}

enum mh_status gdb_trace_start(struct gdb_machines *machines, struct mh_error *err)
{
    struct gdb_trace *trace = &machines->trace;
    size_t size = trace->size ? trace->size : GDB_TRACE_SIZE_DEFAULT;

    if (trace->running)
        return mh_fail(err, MH_ERR_USAGE, "tracing is running already");
    if (!gdb_traceframes_reset(&trace->frames, size, gdb_machines_layout(machines, &machines->list[0])->bytes))
        return mh_fail(err, MH_ERR_HOST, "no memory for a trace buffer of %zu bytes", size);
    trace_rewind(trace);
    trace->running = true;
    for (size_t i = 0; i < trace->tracepoints.count; i++) {
        struct gdb_tracepoint *point = &trace->tracepoints.list[i];
        enum mh_status status = point->enabled ? gdb_trace_place(machines, point, err) : MH_OK;

        if (status != MH_OK) {
            gdb_trace_stop(machines, GDB_TRACE_NOT_RUN);
            return status;
        }
    }
    return MH_OK;
}

void gdb_trace_on_detach(struct gdb_machines *machines)
{
    struct gdb_trace *trace = &machines->trace;

    if (!trace->running)
        return;
    if (!trace->stays) {
        gdb_trace_stop(machines, GDB_TRACE_DISCONNECTED);
        return;
    }
    for (size_t i = 0; i < trace->tracepoints.count; i++)
        if (trace->tracepoints.list[i].placed)
            gdb_trace_place(machines, &trace->tracepoints.list[i], NULL);
}

bool gdb_trace_is_stepping(const struct gdb_machines *machines)
{
    const struct gdb_tracepoints *points = &machines->trace.tracepoints;

    for (size_t i = 0; i < points->count && machines->trace.running; i++)
        if (points->list[i].steps_left > 0)
            return true;
    return false;
}

void gdb_trace_forget_steps(struct gdb_machines *machines)
{
    for (size_t i = 0; i < machines->trace.tracepoints.count; i++)
        machines->trace.tracepoints.list[i].steps_left = 0;
}

/* --- trace state variables --- */

struct gdb_trace_variable *gdb_trace_variable(const struct gdb_trace *trace, uint32_t number)
{
    for (size_t i = 0; i < trace->variable_count; i++)
        if (trace->variables[i].number == number)
            return &trace->variables[i];
    return NULL;
}

struct gdb_trace_variable *gdb_trace_new_variable(struct gdb_trace *trace, uint32_t number)
{
    struct gdb_trace_variable *variable = gdb_trace_variable(trace, number);

    if (variable || trace->variable_count == GDB_TRACE_VARIABLES_MAX)
        return variable;
    variable = realloc(trace->variables, (trace->variable_count + 1) * sizeof(*variable));
    if (!variable)
        return NULL;
    trace->variables = variable;
    variable += trace->variable_count++;
    *variable = (struct gdb_trace_variable){.number = number};
    return variable;
}

bool gdb_trace_get_variable(const struct gdb_trace *trace, unsigned number, uint64_t *value)
{
    const struct gdb_trace_variable *variable = gdb_trace_variable(trace, number);

    if (variable)
        *value = variable->value;
    return variable != NULL;
}

bool gdb_trace_set_variable(struct gdb_trace *trace, unsigned number, uint64_t value)
{
    struct gdb_trace_variable *variable = gdb_trace_new_variable(trace, number);

    if (variable)
        variable->value = value;
    return variable != NULL;
}
