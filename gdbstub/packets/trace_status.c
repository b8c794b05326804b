/* Reporting on a trace experiment to any debugger that asks: the qT packets (GDB manual, "Tracepoint Packets"). */
#include "packets/commands.h"

#include <string.h>

/* --- qTStatus --- */

/* Why it is not running, and because of which tracepoint. */
static void status_put_end(struct gdb_reply *to, const struct gdb_trace *trace)
{
    switch (trace->end) {
    case GDB_TRACE_NOT_RUN:
        gdb_reply_text(to, ";tnotrun:0");
        break;
    case GDB_TRACE_STOPPED:
        gdb_reply_printf(to, ";tstop:%s:0", trace->stop_note);
        break;
    case GDB_TRACE_FULL:
        gdb_reply_text(to, ";tfull:0");
        break;
    case GDB_TRACE_PASSCOUNT:
        gdb_reply_printf(to, ";tpasscount:%x", trace->end_tracepoint);
        break;
    case GDB_TRACE_ERROR:
        gdb_reply_text(to, ";terror:");
        gdb_reply_hex(to, trace->error.text, strlen(trace->error.text));
        gdb_reply_printf(to, ":%x", trace->end_tracepoint);
        break;
    case GDB_TRACE_DISCONNECTED:
        gdb_reply_text(to, ";tdisconnected:0");
        break;
    }
}

static size_t status_buffer_size(const struct gdb_trace *trace)
{
    if (trace->frames.size)
        return trace->frames.size;
    return trace->size ? trace->size : GDB_TRACE_SIZE_DEFAULT;
}

enum gdb_outcome gdb_cmd_trace_status(struct gdb_session *session, struct gdb_text args)
{
    const struct gdb_trace *trace = &session->machines->trace;
    const struct gdb_traceframes *frames = &trace->frames;
    size_t size = status_buffer_size(trace);

    if (!gdb_trace_possible(&session->machines->trace))
        return gdb_cmd_unknown(session, args);
    gdb_reply_printf(&session->out, "T%d", trace->running);
    if (!trace->running)
        status_put_end(&session->out, trace);
    gdb_reply_printf(&session->out, ";tframes:%zx;tcreated:%llx;tfree:%zx;tsize:%zx;circular:%d;disconn:%d",
                     frames->count, (unsigned long long)frames->created, size - frames->used, size, frames->circular,
                     trace->disconnected);
    gdb_reply_printf(&session->out, ";starttime:%llx;stoptime:%llx;username:%s;notes:%s",
                     (unsigned long long)trace->started, (unsigned long long)trace->ended, trace->user, trace->notes);
    return GDB_REPLY;
}

/* --- tracepoints and variables, piece by piece --- */

/* Append the definition without actions. */
static void upload_put_definition(struct gdb_reply *to, const struct gdb_tracepoint *point)
{
    gdb_reply_printf(to, "T%x:%llx:%c:%llx:%llx", point->number, (unsigned long long)point->address,
                     point->enabled ? 'E' : 'D', (unsigned long long)point->step_count,
                     (unsigned long long)point->pass_count);
    if (point->condition.code == NULL)
        return;
    gdb_reply_printf(to, ":X%zx,", point->condition.length);
    gdb_reply_hex(to, point->condition.code, point->condition.length);
}

/* Append one action or source string: a letter, and text. */
static void upload_put_line(struct gdb_reply *to, const struct gdb_tracepoint *point, const char *line)
{
    gdb_reply_printf(to, "%c%x:%llx:", line[0], point->number, (unsigned long long)point->address);
    gdb_reply_text(to, line + 1);
}

/* The list may have changed since the debugger asked for the first piece. True if `at` is still the start of a line. */
static bool upload_is_at_line(const struct gdb_tracepoint *point, size_t at)
{
    return at < point->lines_length && (at == 0 || point->lines[at - 1] == '\0');
}

enum gdb_outcome gdb_cmd_trace_more_points(struct gdb_session *session, struct gdb_text args)
{
    const struct gdb_tracepoints *points = &session->machines->trace.tracepoints;
    struct gdb_trace_upload *upload = &session->upload;

    (void)args;
    if (upload->defined && upload->point < points->count &&
        !upload_is_at_line(&points->list[upload->point], upload->line)) {
        upload->point++;
        upload->defined = false;
    }
    if (upload->point >= points->count) {
        gdb_reply_char(&session->out, 'l');
        return GDB_REPLY;
    }
    const struct gdb_tracepoint *point = &points->list[upload->point];
    if (upload->defined) {
        upload_put_line(&session->out, point, point->lines + upload->line);
        upload->line += strlen(point->lines + upload->line) + 1;
    } else {
        upload_put_definition(&session->out, point);
        upload->defined = true;
        upload->line = 0;
    }
    return GDB_REPLY;
}

enum gdb_outcome gdb_cmd_trace_first_points(struct gdb_session *session, struct gdb_text args)
{
    session->upload.point = session->upload.line = 0;
    session->upload.defined = false;
    return gdb_cmd_trace_more_points(session, args);
}

enum gdb_outcome gdb_cmd_trace_more_variables(struct gdb_session *session, struct gdb_text args)
{
    const struct agent_variables *variables = &session->machines->trace.variables;

    (void)args;
    if (session->upload.variable >= variables->count) {
        gdb_reply_char(&session->out, 'l');
        return GDB_REPLY;
    }
    const struct agent_variable *variable = &variables->list[session->upload.variable++];
    gdb_reply_printf(&session->out, "%x:%llx:%d:%s", variable->number, (unsigned long long)variable->initial,
                     variable->builtin, variable->name);
    return GDB_REPLY;
}

enum gdb_outcome gdb_cmd_trace_first_variables(struct gdb_session *session, struct gdb_text args)
{
    session->upload.variable = 0;
    return gdb_cmd_trace_more_variables(session, args);
}

enum gdb_outcome gdb_cmd_trace_buffer(struct gdb_session *session, struct gdb_text args)
{
    uint64_t offset, wanted;
    size_t length = GDB_PACKET_SIZE / 2;
    uint8_t *stage = gdb_reply_stage(&session->out, &length);

    if (!gdb_text_u64(&args, &offset) || !gdb_text_eat(&args, ',') || !gdb_text_u64(&args, &wanted) ||
        !gdb_text_empty(&args) || wanted == 0)
        return gdb_session_malformed(session);
    if (length > wanted)
        length = (size_t)wanted;
    length = gdb_traceframes_file(&session->machines->trace.frames, offset, stage, length);
    if (length == 0)
        gdb_reply_char(&session->out, 'l');
    else
        gdb_reply_hex(&session->out, stage, length);
    return GDB_REPLY;
}
