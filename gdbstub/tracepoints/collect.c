/* Tracepoints are met: conditions, counts, and what a hit puts into the trace buffer. */
#include "agent/agent_context.h"
#include "tracepoints/trace.h"

#include <string.h>

#define CHUNK 0x1000u

/* A frame in the making. */
struct gdb_collector {
    struct gdb_trace *trace;
    bool full; /* the buffer is */
};

/* --- blocks --- */

static bool collector_added(struct gdb_collector *collector, bool added)
{
    collector->full |= !added;
    return added;
}

static bool collect_registers(struct agent_context *context)
{
    const struct gdb_x86_layout *layout = gdb_machines_layout(context->machines, context->machine);
    struct gdb_traceframes *frames = &context->collector->trace->frames;
    uint8_t bytes[64];

    if (!agent_context_fetch_regs(context, layout->regs))
        return false;
    if (!collector_added(context->collector, gdb_traceframes_add_registers(frames)))
        return false;
    for (unsigned i = 0; i < layout->count; i++) {
        gdb_x86_get(layout->reg[i], &context->regs, bytes);
        if (!collector_added(context->collector, gdb_traceframes_add(frames, bytes, layout->reg[i]->size)))
            return false;
    }
    return true;
}

/* How much of what was read is wanted, when a zero byte is the end of it. */
static size_t length_to_zero(const uint8_t *bytes, size_t length)
{
    const uint8_t *zero = memchr(bytes, 0, length);

    return zero ? (size_t)(zero - bytes) + 1 : length;
}

/* Memory up to the first byte that is not there, which is left out with all behind it. False when the buffer is full.
 */
static bool collect_memory(struct agent_context *context, uint64_t address, uint64_t length, bool to_zero)
{
    struct gdb_traceframes *frames = &context->collector->trace->frames;
    uint8_t chunk[CHUNK];

    while (length > 0) {
        size_t wanted = length < CHUNK ? (size_t)length : CHUNK, part;

        if (address + wanted - 1 < address)
            wanted = (size_t)(0 - address);
        part = agent_context_read_memory(context, address, chunk, wanted);
        if (to_zero)
            part = length_to_zero(chunk, part);
        if (part > 0 && !collector_added(context->collector, gdb_traceframes_add_memory(frames, address, chunk, part)))
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
    struct gdb_trace *trace = context->collector->trace;
    uint64_t value;

    return gdb_trace_get_variable(trace, number, &value) &&
           collector_added(context->collector, gdb_traceframes_add_variable(&trace->frames, number, value));
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

static void trace_end(struct agent_context *context, const struct gdb_tracepoint *point, enum gdb_trace_end end)
{
    context->machines->trace.end_tracepoint = point->number;
    gdb_trace_stop(context->machines, end);
}

static void trace_end_with_error(struct agent_context *context, const struct gdb_tracepoint *point, const char *what,
                                 const struct mh_error *err)
{
    struct gdb_trace *trace = &context->machines->trace;

    mh_fail(&trace->error, MH_ERR_RANGE, "%s: %s", what, err->text);
    trace_end(context, point, GDB_TRACE_ERROR);
}

/* Make a frame of what the actions for a hit, or for a step, collect. What was recorded before an error is kept. */
static void tracepoint_record(struct agent_context *context, struct gdb_tracepoint *point, bool stepping)
{
    struct gdb_trace *trace = &context->machines->trace;
    struct gdb_collector collector = {.trace = trace};
    struct mh_error err = {.text = ""};
    enum mh_status status = MH_OK;

    context->collector = &collector;
    collector_added(&collector, gdb_traceframes_begin(&trace->frames, point->number, context->regs.general.rip));
    for (size_t i = 0; i < point->action_count && status == MH_OK && !collector.full; i++)
        if (point->actions[i].stepping == stepping)
            status = collector_run_action(context, &point->actions[i], &err);
    context->collector = NULL;
    if (collector.full) {
        gdb_traceframes_drop(&trace->frames);
        trace_end(context, point, GDB_TRACE_FULL);
        return;
    }
    point->usage += gdb_traceframes_commit(&trace->frames);
    if (status != MH_OK)
        trace_end_with_error(context, point, "an action", &err);
}

static void tracepoint_check_pass_count(struct agent_context *context, const struct gdb_tracepoint *point)
{
    if (point->pass_count > 0 && point->hits >= point->pass_count && point->steps_left == 0)
        trace_end(context, point, GDB_TRACE_PASSCOUNT);
}

/* Does the condition hold? One that cannot be evaluated ends the experiment. */
static bool tracepoint_condition_holds(struct agent_context *context, const struct gdb_tracepoint *point)
{
    const struct agent_ops ops = agent_context_ops(context);
    struct mh_error err = {.text = ""};
    uint64_t value = 1;

    if (point->condition.code && agent_evaluate(&point->condition, &ops, &value, &err) != MH_OK) {
        trace_end_with_error(context, point, "the condition", &err);
        return false;
    }
    return value != 0;
}

static void tracepoint_on_hit(struct agent_context *context, struct gdb_tracepoint *point)
{
    if (!tracepoint_condition_holds(context, point))
        return;
    point->hits++;
    tracepoint_record(context, point, false);
    if (context->machines->trace.running)
        point->steps_left = point->step_count;
    tracepoint_check_pass_count(context, point);
}

static void tracepoint_on_step(struct agent_context *context, struct gdb_tracepoint *point)
{
    point->steps_left--;
    tracepoint_record(context, point, true);
    tracepoint_check_pass_count(context, point);
}

bool gdb_trace_on_arrival(struct agent_context *context)
{
    struct gdb_trace *trace = &context->machines->trace;
    bool here = gdb_trace_needs(context->machines, context->regs.general.rip);

    for (size_t i = 0; i < trace->tracepoints.count && trace->running; i++) {
        struct gdb_tracepoint *point = &trace->tracepoints.list[i];

        if (point->steps_left > 0)
            tracepoint_on_step(context, point);
        if (trace->running && point->placed && point->address == context->regs.general.rip)
            tracepoint_on_hit(context, point);
    }
    return here;
}
