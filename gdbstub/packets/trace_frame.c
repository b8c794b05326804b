/* Examining trace frames: QTFrame and qTV, and what g, p and m answer while a frame is selected. */
#include "packets/commands.h"

#include <string.h>

/* --- selecting a frame --- */

/* What QTFrame searches for, other than a frame's number. */
struct criterion {
    bool by_tracepoint, outside;
    uint64_t first, last; /* tracepoints, or addresses */
};

static bool criterion_matches(const struct criterion *criterion, const struct gdb_traceframe *frame)
{
    uint64_t value = criterion->by_tracepoint ? frame->tracepoint : frame->rip;

    return (value >= criterion->first && value <= criterion->last) != criterion->outside;
}

static bool criterion_parse(struct gdb_text *args, struct criterion *criterion)
{
    bool range;

    *criterion = (struct criterion){.by_tracepoint = gdb_text_eat_word(args, "tdp:")};
    criterion->outside = !criterion->by_tracepoint && gdb_text_eat_word(args, "outside:");
    range = criterion->outside || (!criterion->by_tracepoint && gdb_text_eat_word(args, "range:"));
    if (!criterion->by_tracepoint && !range && !gdb_text_eat_word(args, "pc:"))
        return false;
    if (!gdb_text_u64(args, &criterion->first))
        return false;
    criterion->last = criterion->first;
    return (!range || (gdb_text_eat(args, ':') && gdb_text_u64(args, &criterion->last))) && gdb_text_empty(args);
}

/* Find the next matching frame after the selected one, or from the first on if none is selected. */
static bool frame_find(const struct gdb_session *session, const struct criterion *criterion,
                       struct gdb_traceframe *frame)
{
    const struct gdb_traceframes *frames = &session->machines->trace.frames;

    if (!gdb_traceframes_get(frames, session->traceframe_selected ? session->traceframe + 1 : 0, frame))
        return false;
    do {
        if (criterion_matches(criterion, frame))
            return true;
    } while (gdb_traceframes_next(frames, frame));
    return false;
}

static enum gdb_outcome frame_select(struct gdb_session *session, bool found, const struct gdb_traceframe *frame)
{
    if (!found) {
        gdb_reply_text(&session->out, "F-1");
        return GDB_REPLY;
    }
    session->traceframe_selected = true;
    session->traceframe = frame->index;
    gdb_reply_printf(&session->out, "F%zxT%x", frame->index, frame->tracepoint);
    return GDB_REPLY;
}

enum gdb_outcome gdb_cmd_select_frame(struct gdb_session *session, struct gdb_text args)
{
    struct gdb_text number_text = args;
    struct gdb_traceframe frame;
    struct criterion criterion;
    uint32_t number;

    if (criterion_parse(&args, &criterion))
        return frame_select(session, frame_find(session, &criterion, &frame), &frame);
    if (!gdb_text_u32(&number_text, UINT32_MAX, &number) || !gdb_text_empty(&number_text))
        return gdb_session_malformed(session);
    if (number != UINT32_MAX)
        return frame_select(session, gdb_traceframes_get(&session->machines->trace.frames, number, &frame), &frame);
    session->traceframe_selected = false;
    return gdb_session_ok(session);
}

/* --- contents of the frame --- */

bool gdb_frame_get(const struct gdb_session *session, struct gdb_traceframe *frame)
{
    /* an empty frame if it has been overwritten by newer ones */
    if (!gdb_traceframes_get(&session->machines->trace.frames, session->traceframe, frame))
        *frame = (struct gdb_traceframe){.index = 0};
    return session->traceframe_selected;
}

/* Registers that were not collected are marked as unavailable, except rip, which each frame has. */
void gdb_frame_put_regs(struct gdb_session *session, unsigned first, unsigned count)
{
    const struct gdb_traceframes *frames = &session->machines->trace.frames;
    const struct gdb_x86_layout *layout = gdb_session_layout(session);
    const int rip = gdb_x86_find(layout, "rip");
    struct gdb_traceframe frame;
    size_t at = 0;
    bool has = gdb_frame_get(session, &frame) && gdb_traceframes_registers(frames, &frame, &at);

    for (unsigned i = 0; i < first + count; i++) {
        size_t size = layout->reg[i]->size;

        if (i < first) {
            at += size;
            continue;
        }
        bool has_it = has && i < layout->g_count;

        gdb_traceframes_copy(frames, at, session->scratch, has_it ? size : 0);
        at += size;
        if (has_it)
            gdb_reply_hex(&session->out, session->scratch, size);
        else if ((int)i == rip)
            gdb_reply_hex(&session->out, &frame.rip, size);
        else
            for (size_t digit = 0; digit < 2 * size; digit++)
                gdb_reply_char(&session->out, 'x');
    }
}

/* Return how many of `length` bytes at `address` lie in a read-only region, counted from the first. */
static size_t frame_readonly_length(const struct gdb_trace *trace, uint64_t address, size_t length)
{
    for (size_t i = 0; i < trace->readonly_count; i++) {
        const struct gdb_trace_range *range = &trace->readonly[i];

        if (address < range->start || address >= range->end)
            continue;
        return length < range->end - address ? length : (size_t)(range->end - address);
    }
    return 0;
}

bool gdb_frame_read_memory(struct gdb_session *session, uint64_t address, void *to, size_t length, size_t *done)
{
    const struct gdb_trace *trace = &session->machines->trace;
    const struct mh_debug_target *target = session->machines->target;
    struct gdb_traceframe frame;

    *done = 0;
    if (session->physical)
        return false;
    if (gdb_frame_get(session, &frame))
        *done = gdb_traceframes_read_memory(&trace->frames, &frame, address, to, length);
    if (*done > 0)
        return true;
    length = frame_readonly_length(trace, address, length);
    return length > 0 && target->ops->read_memory(target->ctx, session->g_thread->vm, MH_SPACE_VIRTUAL, address, to,
                                                  length, done) == MH_OK;
}

enum gdb_outcome gdb_frame_unchangeable(struct gdb_session *session)
{
    return gdb_session_fail(session, GDB_ERROR_FAILED,
                            "a trace frame cannot be changed; use tfind none to return to the machine");
}

enum gdb_outcome gdb_cmd_trace_value(struct gdb_session *session, struct gdb_text args)
{
    const struct gdb_trace *trace = &session->machines->trace;
    struct gdb_traceframe frame;
    uint32_t number;
    uint64_t value = 0;
    bool known;

    if (!gdb_text_u32(&args, UINT32_MAX, &number) || !gdb_text_empty(&args))
        return gdb_session_malformed(session);
    if (gdb_frame_get(session, &frame))
        known = gdb_traceframes_variable(&trace->frames, &frame, number, &value);
    else
        known = agent_variables_get(&trace->variables, number, &value);
    if (known)
        gdb_reply_printf(&session->out, "V%llx", (unsigned long long)value);
    else
        gdb_reply_char(&session->out, 'U');
    return GDB_REPLY;
}
