#include "tracepoints/trace.h"

#include <time.h>

void gdb_trace_init(struct gdb_trace *trace, const struct mh_debug_target *target, unsigned vm)
{
    trace->target = target;
    trace->vm = vm;
}

bool gdb_trace_possible(const struct gdb_trace *trace)
{
    return trace->target != NULL;
}

static uint64_t trace_now(void)
{
    struct timespec time = {0, 0};

    clock_gettime(CLOCK_REALTIME, &time);
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

/* --- the target's breakpoints --- */

bool gdb_trace_is_placed(const struct gdb_trace *trace, uint64_t address)
{
    const struct gdb_tracepoints *points = &trace->tracepoints;

    for (size_t i = 0; i < points->count && trace->running; i++)
        if (points->list[i].placed && points->list[i].address == address)
            return true;
    return false;
}

enum mh_status gdb_trace_place(struct gdb_trace *trace, struct gdb_tracepoint *point, struct mh_error *err)
{
    enum mh_status status = trace->target->ops->set_breakpoint(trace->target->ctx, trace->vm, MH_OWNER_TRACEPOINT,
                                                               MH_BREAK_SOFTWARE, point->address, 1, err);

    point->placed = status == MH_OK;
    return status;
}

void gdb_trace_unplace(struct gdb_trace *trace, struct gdb_tracepoint *point)
{
    bool placed = point->placed;

    point->placed = false;
    point->steps_left = 0;
    if (placed && !gdb_trace_is_placed(trace, point->address))
        trace->target->ops->clear_breakpoint(trace->target->ctx, trace->vm, MH_OWNER_TRACEPOINT, MH_BREAK_SOFTWARE,
                                             point->address, 1, NULL);
}

/* --- starting and stopping --- */

void gdb_trace_stop(struct gdb_trace *trace, enum gdb_trace_end end)
{
    if (!trace->running)
        return;
    for (size_t i = 0; i < trace->tracepoints.count; i++)
        gdb_trace_unplace(trace, &trace->tracepoints.list[i]);
    trace->running = false;
    trace->end = end;
    trace->ended = trace_now();
}

void gdb_trace_free(struct gdb_trace *trace)
{
    gdb_tracepoints_free(&trace->tracepoints);
    gdb_traceframes_free(&trace->frames);
    agent_variables_free(&trace->variables);
    trace->readonly_count = 0;
}

void gdb_trace_reset(struct gdb_trace *trace)
{
    gdb_trace_stop(trace, GDB_TRACE_STOPPED);
    gdb_trace_free(trace);
    trace->end = GDB_TRACE_NOT_RUN;
}

/* Put everything into the state an experiment starts in. */
static void trace_rewind(struct gdb_trace *trace)
{
    for (size_t i = 0; i < trace->tracepoints.count; i++) {
        struct gdb_tracepoint *point = &trace->tracepoints.list[i];

        point->hits = point->usage = point->steps_left = 0;
        point->placed = false;
    }
    agent_variables_reset(&trace->variables);
    trace->started = trace_now();
    trace->ended = 0;
}

enum mh_status gdb_trace_start(struct gdb_trace *trace, const struct gdb_x86_layout *layout, struct mh_error *err)
{
    size_t size = trace->size > 0 ? trace->size : GDB_TRACE_SIZE_DEFAULT;

    if (trace->running)
        return mh_fail(err, MH_ERR_USAGE, "tracing is already running");
    if (!gdb_traceframes_reset(&trace->frames, size, layout->g_bytes))
        return mh_fail(err, MH_ERR_HOST, "no memory for a trace buffer of %zu bytes", size);
    trace_rewind(trace);
    trace->running = true;
    for (size_t i = 0; i < trace->tracepoints.count; i++) {
        struct gdb_tracepoint *point = &trace->tracepoints.list[i];
        enum mh_status status = point->enabled ? gdb_trace_place(trace, point, err) : MH_OK;

        if (status != MH_OK) {
            gdb_trace_stop(trace, GDB_TRACE_NOT_RUN);
            return status;
        }
    }
    return MH_OK;
}

void gdb_trace_on_detach(struct gdb_trace *trace)
{
    if (!trace->running)
        return;
    if (!trace->disconnected) {
        gdb_trace_stop(trace, GDB_TRACE_DISCONNECTED);
        return;
    }
    for (size_t i = 0; i < trace->tracepoints.count; i++)
        if (trace->tracepoints.list[i].placed)
            gdb_trace_place(trace, &trace->tracepoints.list[i], NULL);
}

/* --- while-stepping --- */

bool gdb_trace_is_stepping(const struct gdb_trace *trace)
{
    const struct gdb_tracepoints *points = &trace->tracepoints;

    for (size_t i = 0; i < points->count && trace->running; i++)
        if (points->list[i].steps_left > 0)
            return true;
    return false;
}

void gdb_trace_forget_steps(struct gdb_trace *trace)
{
    for (size_t i = 0; i < trace->tracepoints.count; i++)
        trace->tracepoints.list[i].steps_left = 0;
}
