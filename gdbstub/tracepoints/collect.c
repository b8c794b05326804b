/* Tracepoints are met: conditions, counts, and what a hit puts into the trace buffer. */
#include "tracepoints/trace.h"
#include "agent/agent_context.h"

#include <string.h>

#define CHUNK 0x1000u

/* A frame in the making. */
struct gdb_collector {
    struct gdb_trace *trace;
    bool full; /* the buffer is */
};

/* --- blocks --- */

static bool keep(struct gdb_collector *collector, bool added)
{
    collector->full |= !added;
    return added;
}

static bool collect_registers(struct gdb_view *view)
{
    const struct gdb_x86_layout *layout = gdb_machines_layout(view->machines, view->machine);
    struct gdb_traceframes *frames = &view->collector->trace->frames;
    uint8_t bytes[64];

    if (!gdb_view_fetch(view, layout->regs))
        return false;
    if (!keep(view->collector, gdb_traceframes_add_registers(frames)))
        return false;
    for (unsigned i = 0; i < layout->count; i++) {
        gdb_x86_get(layout->reg[i], &view->regs, bytes);
        if (!keep(view->collector, gdb_traceframes_add(frames, bytes, layout->reg[i]->size)))
            return false;
    }
    return true;
}

/* How much of what was read is wanted, when a zero byte is the end of it. */
static size_t up_to_zero(const uint8_t *bytes, size_t length)
{
    const uint8_t *zero = memchr(bytes, 0, length);

    return zero ? (size_t)(zero - bytes) + 1 : length;
}

/* Memory up to the first byte that is not there, which is left out with all behind it. False when the buffer is full.
 */
static bool collect_memory(struct gdb_view *view, uint64_t address, uint64_t length, bool to_zero)
{
    struct gdb_traceframes *frames = &view->collector->trace->frames;
    uint8_t chunk[CHUNK];

    while (length > 0) {
        size_t wanted = length < CHUNK ? (size_t)length : CHUNK, part;

        if (address + wanted - 1 < address)
            wanted = (size_t)(0 - address);
        part = gdb_view_read(view, address, chunk, wanted);
        if (to_zero)
            part = up_to_zero(chunk, part);
        if (part > 0 && !keep(view->collector, gdb_traceframes_add_memory(frames, address, chunk, part)))
            return false;
        if (part < wanted || (to_zero && chunk[part - 1] == 0))
            break;
        address += part;
        length -= part;
        if (address == 0)
            break;
    }
    return true;
}

static bool trace_memory(void *ctx, uint64_t address, uint64_t length, bool to_zero)
{
    return collect_memory(ctx, address, length, to_zero);
}

static bool trace_variable(void *ctx, unsigned number)
{
    const struct gdb_view *view = ctx;
    struct gdb_trace *trace = view->collector->trace;
    uint64_t value;

    return gdb_trace_get_variable(trace, number, &value) &&
           keep(view->collector, gdb_traceframes_add_variable(&trace->frames, number, value));
}

/* --- actions --- */

static enum mh_status collect_based(struct gdb_view *view, const struct gdb_trace_action *action, struct mh_error *err)
{
    const struct agent_world world = gdb_view_world(view);
    uint64_t base = 0;

    if (action->has_base && !world.read_register(view, action->base, &base))
        return mh_fail(err, MH_ERR_RANGE, "cannot read register %u", action->base);
    return collect_memory(view, base + action->offset, action->length, false) ? MH_OK : MH_ERR_RANGE;
}

static enum mh_status act(struct gdb_view *view, const struct gdb_trace_action *action, struct mh_error *err)
{
    struct agent_world world = gdb_view_world(view);

    switch (action->kind) {
    case GDB_TRACE_REGISTERS:
        return collect_registers(view) ? MH_OK : mh_fail(err, MH_ERR_HOST, "cannot read the registers");
    case GDB_TRACE_MEMORY:
        return collect_based(view, action, err);
    case GDB_TRACE_EXPRESSION:
        break;
    }
    world.trace_memory = trace_memory;
    world.trace_variable = trace_variable;
    return agent_evaluate(&action->expression, &world, NULL, err);
}

/* --- hits --- */

static void stop_at(struct gdb_view *view, const struct gdb_tracepoint *point, enum gdb_trace_end end)
{
    view->machines->trace.end_tracepoint = point->number;
    gdb_trace_stop(view->machines, end);
}

static void stop_with(struct gdb_view *view, const struct gdb_tracepoint *point, const char *what,
                      const struct mh_error *err)
{
    struct gdb_trace *trace = &view->machines->trace;

    mh_fail(&trace->error, MH_ERR_RANGE, "%s: %s", what, err->text);
    stop_at(view, point, GDB_TRACE_ERROR);
}

/* Make a frame of what the actions for a hit, or for a step, collect. What was recorded before an error is kept. */
static void record(struct gdb_view *view, struct gdb_tracepoint *point, bool stepping)
{
    struct gdb_trace *trace = &view->machines->trace;
    struct gdb_collector collector = {.trace = trace};
    struct mh_error err = {.text = ""};
    enum mh_status status = MH_OK;

    view->collector = &collector;
    keep(&collector, gdb_traceframes_begin(&trace->frames, point->number, view->regs.general.rip));
    for (size_t i = 0; i < point->action_count && status == MH_OK && !collector.full; i++)
        if (point->actions[i].stepping == stepping)
            status = act(view, &point->actions[i], &err);
    view->collector = NULL;
    if (collector.full) {
        gdb_traceframes_drop(&trace->frames);
        stop_at(view, point, GDB_TRACE_FULL);
        return;
    }
    point->usage += gdb_traceframes_commit(&trace->frames);
    if (status != MH_OK)
        stop_with(view, point, "an action", &err);
}

static void end_at_pass_count(struct gdb_view *view, const struct gdb_tracepoint *point)
{
    if (point->pass_count > 0 && point->hits >= point->pass_count && point->steps_left == 0)
        stop_at(view, point, GDB_TRACE_PASSCOUNT);
}

/* Does the condition hold? One that cannot be evaluated ends the experiment. */
static bool holds(struct gdb_view *view, const struct gdb_tracepoint *point)
{
    const struct agent_world world = gdb_view_world(view);
    struct mh_error err = {.text = ""};
    uint64_t value = 1;

    if (point->condition.code && agent_evaluate(&point->condition, &world, &value, &err) != MH_OK) {
        stop_with(view, point, "the condition", &err);
        return false;
    }
    return value != 0;
}

static void meet(struct gdb_view *view, struct gdb_tracepoint *point)
{
    if (!holds(view, point))
        return;
    point->hits++;
    record(view, point, false);
    if (view->machines->trace.running)
        point->steps_left = point->step_count;
    end_at_pass_count(view, point);
}

static void step(struct gdb_view *view, struct gdb_tracepoint *point)
{
    point->steps_left--;
    record(view, point, true);
    end_at_pass_count(view, point);
}

bool gdb_trace_arrive(struct gdb_view *view)
{
    struct gdb_trace *trace = &view->machines->trace;
    bool here = gdb_trace_needs(view->machines, view->regs.general.rip);

    for (size_t i = 0; i < trace->points.count && trace->running; i++) {
        struct gdb_tracepoint *point = &trace->points.list[i];

        if (point->steps_left > 0)
            step(view, point);
        if (trace->running && point->placed && point->address == view->regs.general.rip)
            meet(view, point);
    }
    return here;
}
