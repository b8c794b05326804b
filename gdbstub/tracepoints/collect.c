/*
 * Tracepoint hits: conditions, counts, and recording into the trace buffer what the actions collect. The actions of a
 * tracepoint run in order and fill one frame. A frame that does not fit the buffer is dropped whole.
 */
#include "tracepoints/trace.h"

#include <string.h>

#define CHUNK 0x1000u

/* A frame under construction. */
struct collector {
    struct gdb_trace *trace;
    bool full; /* the buffer is */
};

/* --- blocks --- */

static bool collector_added(struct collector *collector, bool added)
{
    collector->full |= !added;
    return added;
}

static bool collect_registers(struct agent_context *context)
{
    const struct gdb_x86_layout *layout = gdb_x86_layout_of(context->layouts, context->target, context->vm);
    struct collector *collector = context->recorder;
    struct gdb_traceframes *frames = &collector->trace->frames;
    uint8_t bytes[64];

    if (!agent_context_fetch_regs(context, layout->g_regs))
        return false;
    if (!collector_added(collector, gdb_traceframes_add_registers(frames)))
        return false;
    for (unsigned i = 0; i < layout->g_count; i++) {
        gdb_x86_get(layout->reg[i], &context->regs, bytes);
        if (!collector_added(collector, gdb_traceframes_add(frames, bytes, layout->reg[i]->size)))
            return false;
    }
    return true;
}

/* How many of the bytes are wanted if the first zero byte ends them. */
static size_t length_to_zero(const uint8_t *bytes, size_t length)
{
    const uint8_t *zero = memchr(bytes, 0, length);

    return zero != NULL ? (size_t)(zero - bytes) + 1 : length;
}

/* Record memory up to the first unmapped byte. Returns false if the buffer is full. */
static bool collect_memory(struct agent_context *context, uint64_t address, uint64_t length, bool to_zero)
{
    struct collector *collector = context->recorder;
    uint8_t chunk[CHUNK];

    while (length > 0) {
        size_t wanted = length < CHUNK ? (size_t)length : CHUNK;

        if (address + wanted - 1 < address)
            wanted = (size_t)(0 - address);
        size_t part = agent_context_read_memory(context, address, chunk, wanted);
        if (to_zero)
            part = length_to_zero(chunk, part);
        if (part > 0 &&
            !collector_added(collector, gdb_traceframes_add_memory(&collector->trace->frames, address, chunk, part)))
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

static bool collector_trace_memory(void *ctx, uint64_t address, uint64_t length, bool to_zero)
{
    return collect_memory(ctx, address, length, to_zero);
}

static bool collector_trace_variable(void *ctx, unsigned number)
{
    const struct agent_context *context = ctx;
    struct collector *collector = context->recorder;
    uint64_t value;

    return agent_variables_get(context->variables, number, &value) &&
           collector_added(collector, gdb_traceframes_add_variable(&collector->trace->frames, number, value));
}

/* --- actions --- */

static enum mh_status collect_based_memory(struct agent_context *context, const struct gdb_trace_action *action,
                                           struct mh_error *err)
{
    const struct agent_ops ops = agent_context_ops(context);
    uint64_t base = 0;

    if (action->has_base && !ops.read_register(context, action->base, &base))
        return mh_fail(err, MH_ERR_RANGE, "cannot read register %u", action->base);
    return collect_memory(context, base + action->offset, action->length, false) ? MH_OK : MH_ERR_RANGE;
}

static enum mh_status collector_run_action(struct agent_context *context, const struct gdb_trace_action *action,
                                           struct mh_error *err)
{
    struct agent_ops ops = agent_context_ops(context);

    switch (action->kind) {
    case GDB_TRACE_REGISTERS:
        return collect_registers(context) ? MH_OK : mh_fail(err, MH_ERR_HOST, "cannot read the registers");
    case GDB_TRACE_MEMORY:
        return collect_based_memory(context, action, err);
    case GDB_TRACE_EXPRESSION:
        break;
    }
    ops.trace_memory = collector_trace_memory;
    ops.trace_variable = collector_trace_variable;
    return agent_evaluate(&action->expression, &ops, NULL, err);
}

/* --- hits --- */

static void trace_end(struct gdb_trace *trace, const struct gdb_tracepoint *point, enum gdb_trace_end end)
{
    trace->end_tracepoint = point->number;
    gdb_trace_stop(trace, end);
}

static void trace_end_with_error(struct gdb_trace *trace, const struct gdb_tracepoint *point, const char *what,
                                 const struct mh_error *err)
{
    mh_fail(&trace->error, MH_ERR_RANGE, "%s: %s", what, err->text);
    trace_end(trace, point, GDB_TRACE_ERROR);
}

/* Record one frame with the actions for a hit, or for a step. What was recorded before an error is kept. */
static void tracepoint_record(struct gdb_trace *trace, struct agent_context *context, struct gdb_tracepoint *point,
                              bool stepping)
{
    struct collector collector = {.trace = trace};
    struct mh_error err = {.text = ""};
    enum mh_status status = MH_OK;

    context->recorder = &collector;
    collector_added(&collector, gdb_traceframes_begin(&trace->frames, point->number, context->regs.general.rip));
    for (size_t i = 0; i < point->action_count && status == MH_OK && !collector.full; i++)
        if (point->actions[i].stepping == stepping)
            status = collector_run_action(context, &point->actions[i], &err);
    context->recorder = NULL;
    if (collector.full) {
        gdb_traceframes_drop(&trace->frames);
        trace_end(trace, point, GDB_TRACE_FULL);
        return;
    }
    point->usage += gdb_traceframes_commit(&trace->frames);
    if (status != MH_OK)
        trace_end_with_error(trace, point, "action failed", &err);
}

static void tracepoint_check_pass_count(struct gdb_trace *trace, const struct gdb_tracepoint *point)
{
    if (point->pass_count > 0 && point->hits >= point->pass_count && point->steps_left == 0)
        trace_end(trace, point, GDB_TRACE_PASSCOUNT);
}

/* A condition that cannot be evaluated ends the experiment. */
static bool tracepoint_condition_holds(struct gdb_trace *trace, struct agent_context *context,
                                       const struct gdb_tracepoint *point)
{
    const struct agent_ops ops = agent_context_ops(context);
    struct mh_error err = {.text = ""};
    uint64_t value = 1;

    if (point->condition.code != NULL && agent_evaluate(&point->condition, &ops, &value, &err) != MH_OK) {
        trace_end_with_error(trace, point, "condition failed", &err);
        return false;
    }
    return value != 0;
}

static void tracepoint_on_hit(struct gdb_trace *trace, struct agent_context *context, struct gdb_tracepoint *point)
{
    if (!tracepoint_condition_holds(trace, context, point))
        return;
    point->hits++;
    tracepoint_record(trace, context, point, false);
    if (trace->running)
        point->steps_left = point->step_count;
    tracepoint_check_pass_count(trace, point);
}

static void tracepoint_on_step(struct gdb_trace *trace, struct agent_context *context, struct gdb_tracepoint *point)
{
    point->steps_left--;
    tracepoint_record(trace, context, point, true);
    tracepoint_check_pass_count(trace, point);
}

bool gdb_trace_on_arrival(struct gdb_trace *trace, struct agent_context *context)
{
    uint64_t rip = context->regs.general.rip;
    bool placed = gdb_trace_is_placed(trace, rip);

    for (size_t i = 0; i < trace->tracepoints.count && trace->running; i++) {
        struct gdb_tracepoint *point = &trace->tracepoints.list[i];

        if (point->steps_left > 0)
            tracepoint_on_step(trace, context, point);
        if (trace->running && point->placed && point->address == rip)
            tracepoint_on_hit(trace, context, point);
    }
    return placed;
}
