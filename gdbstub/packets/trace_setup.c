/* Defining and controlling a trace experiment: the QT packets (GDB manual, "Tracepoint Packets"). */
#include "packets/commands.h"

#include <string.h>

/* Debuggers that do not take error messages print what comes before the reply, here as for qRcmd. */
static enum gdb_outcome trace_fail(struct gdb_session *session, const struct mh_error *err)
{
    if (!session->error_message) {
        gdb_session_print(session, err->text, strlen(err->text));
        gdb_session_print(session, "\n", 1);
        gdb_session_flush_console(session);
    }
    return gdb_session_fail(session, GDB_ERROR_FAILED, "%s", err->text);
}

static enum gdb_outcome trace_reply_status(struct gdb_session *session, enum mh_status status,
                                           const struct mh_error *err)
{
    return status == MH_OK ? gdb_session_ok(session) : trace_fail(session, err);
}

/* Check that tracing is possible and the machine stopped. Returns false with the error reply made if not. */
static bool trace_check_possible(struct gdb_session *session)
{
    struct mh_error err;

    if (gdb_trace_possible(&session->machines->trace))
        return gdb_session_machine(session) != NULL;
    mh_fail(&err, MH_ERR_USAGE, "tracepoints need one port per machine: use --gdb without --gdb-all");
    trace_fail(session, &err);
    return false;
}

enum gdb_outcome gdb_cmd_trace_init(struct gdb_session *session, struct gdb_text args)
{
    (void)args;
    if (!trace_check_possible(session))
        return GDB_REPLY;
    gdb_trace_reset(&session->machines->trace);
    session->traceframe_selected = false;
    return gdb_session_ok(session);
}

enum gdb_outcome gdb_cmd_trace_define(struct gdb_session *session, struct gdb_text args)
{
    struct gdb_trace *trace = &session->machines->trace;
    struct gdb_tracepoint *point = NULL;
    struct mh_error err = {.text = ""};

    if (!trace_check_possible(session))
        return GDB_REPLY;
    enum mh_status status = gdb_tracepoints_define(&trace->tracepoints, args, &point, &err);
    /* a tracepoint defined while tracing is running is inserted as soon as its definition is complete */
    if (status == MH_OK && trace->running && point->enabled && !point->unfinished) {
        status = gdb_trace_place(&session->machines->trace, point, &err);
        if (status != MH_OK)
            gdb_tracepoints_drop_last(&trace->tracepoints);
    }
    return trace_reply_status(session, status, &err);
}

enum gdb_outcome gdb_cmd_trace_source(struct gdb_session *session, struct gdb_text args)
{
    struct mh_error err = {.text = ""};

    return trace_reply_status(session, gdb_tracepoints_source(&session->machines->trace.tracepoints, args, &err), &err);
}

/* Parse "NUMBER:ADDRESS". Returns NULL with the error reply made if there is no such tracepoint. */
static struct gdb_tracepoint *trace_parse_tracepoint(struct gdb_session *session, struct gdb_text args)
{
    struct gdb_tracepoint *point = gdb_tracepoints_read(&session->machines->trace.tracepoints, &args);

    if (point != NULL && gdb_text_empty(&args))
        return point;
    gdb_session_fail(session, GDB_ERROR_FAILED, "no such tracepoint");
    return NULL;
}

enum gdb_outcome gdb_cmd_trace_enable(struct gdb_session *session, struct gdb_text args)
{
    struct gdb_tracepoint *point = trace_check_possible(session) ? trace_parse_tracepoint(session, args) : NULL;
    struct mh_error err = {.text = ""};

    if (point == NULL)
        return GDB_REPLY;
    if (session->machines->trace.running && gdb_trace_place(&session->machines->trace, point, &err) != MH_OK)
        return trace_fail(session, &err);
    point->enabled = true;
    return gdb_session_ok(session);
}

enum gdb_outcome gdb_cmd_trace_disable(struct gdb_session *session, struct gdb_text args)
{
    struct gdb_tracepoint *point = trace_check_possible(session) ? trace_parse_tracepoint(session, args) : NULL;

    if (point == NULL)
        return GDB_REPLY;
    point->enabled = false;
    gdb_trace_unplace(&session->machines->trace, point);
    return gdb_session_ok(session);
}

enum gdb_outcome gdb_cmd_trace_point_status(struct gdb_session *session, struct gdb_text args)
{
    const struct gdb_tracepoint *point = trace_parse_tracepoint(session, args);

    if (point != NULL)
        gdb_reply_printf(&session->out, "V%llx:%llx", (unsigned long long)point->hits,
                         (unsigned long long)point->usage);
    return GDB_REPLY;
}

/* Copy hexadecimal text. Returns false if it is invalid or too long. */
static bool trace_copy_hex(char *to, size_t most, const struct gdb_text *text)
{
    size_t length = gdb_text_length(text);

    if (length > most)
        return false;
    for (size_t i = 0; i < length; i++)
        if (gdb_hex_digit(text->at[i]) < 0)
            return false;
    memcpy(to, text->at, length);
    to[length] = '\0';
    return true;
}

enum gdb_outcome gdb_cmd_trace_variable(struct gdb_session *session, struct gdb_text args)
{
    struct agent_variable *variable, read = {.number = 0};
    uint32_t builtin;

    if (!trace_check_possible(session))
        return GDB_REPLY;
    if (!gdb_text_u32(&args, GDB_TRACEPOINT_NUMBER_MAX, &read.number) || !gdb_text_eat(&args, ':') ||
        !gdb_text_u64(&args, &read.initial) || !gdb_text_eat(&args, ':') || !gdb_text_u32(&args, 1, &builtin) ||
        !gdb_text_eat(&args, ':') || !trace_copy_hex(read.name, AGENT_VARIABLE_NAME_MAX, &args))
        return gdb_session_malformed(session);
    variable = agent_variables_add(&session->machines->trace.variables, read.number);
    if (variable == NULL)
        return gdb_session_fail(session, GDB_ERROR_FAILED, "too many trace state variables");
    read.builtin = builtin;
    read.value = read.initial;
    *variable = read;
    return gdb_session_ok(session);
}

enum gdb_outcome gdb_cmd_trace_readonly(struct gdb_session *session, struct gdb_text args)
{
    struct gdb_trace *trace = &session->machines->trace;

    trace->readonly_count = 0;
    while (!gdb_text_empty(&args)) {
        struct gdb_text one = gdb_text_cut(&args, ':');
        struct gdb_trace_range range;

        if (!gdb_text_u64(&one, &range.start) || !gdb_text_eat(&one, ',') || !gdb_text_u64(&one, &range.end) ||
            !gdb_text_empty(&one))
            return gdb_session_malformed(session);
        if (trace->readonly_count == GDB_TRACE_READONLY_MAX)
            return gdb_session_fail(session, GDB_ERROR_FAILED, "too many read-only regions");
        trace->readonly[trace->readonly_count++] = range;
    }
    return gdb_session_ok(session);
}

enum gdb_outcome gdb_cmd_trace_start(struct gdb_session *session, struct gdb_text args)
{
    struct mh_error err = {.text = ""};

    (void)args;
    if (!trace_check_possible(session))
        return GDB_REPLY;
    session->traceframe_selected = false;
    return trace_reply_status(session, gdb_trace_start(&session->machines->trace, gdb_session_layout(session), &err),
                              &err);
}

enum gdb_outcome gdb_cmd_trace_stop(struct gdb_session *session, struct gdb_text args)
{
    (void)args;
    gdb_trace_stop(&session->machines->trace, GDB_TRACE_STOPPED);
    return gdb_session_ok(session);
}

/* --- settings --- */

/* Parse '0' or '1' into a switch. */
static enum gdb_outcome trace_set_switch(struct gdb_session *session, struct gdb_text args, bool *to)
{
    uint32_t value;

    if (!gdb_text_u32(&args, 1, &value) || !gdb_text_empty(&args))
        return gdb_session_malformed(session);
    *to = value;
    return gdb_session_ok(session);
}

enum gdb_outcome gdb_cmd_trace_disconnected(struct gdb_session *session, struct gdb_text args)
{
    return trace_set_switch(session, args, &session->machines->trace.disconnected);
}

enum gdb_outcome gdb_cmd_trace_circular(struct gdb_session *session, struct gdb_text args)
{
    return trace_set_switch(session, args, &session->machines->trace.frames.circular);
}

enum gdb_outcome gdb_cmd_trace_size(struct gdb_session *session, struct gdb_text args)
{
    struct mh_error err;
    uint64_t size = 0;

    if (!gdb_text_is(&args, "-1")) {
        if (!gdb_text_u64(&args, &size) || !gdb_text_empty(&args))
            return gdb_session_malformed(session);
        if (size < GDB_TRACE_SIZE_MIN || size > GDB_TRACE_SIZE_MAX) {
            mh_fail(&err, MH_ERR_RANGE, "the trace buffer must have %u to %u bytes", GDB_TRACE_SIZE_MIN,
                    GDB_TRACE_SIZE_MAX);
            return trace_fail(session, &err);
        }
    }
    session->machines->trace.size = (size_t)size;
    return gdb_session_ok(session);
}

enum gdb_outcome gdb_cmd_trace_notes(struct gdb_session *session, struct gdb_text args)
{
    struct gdb_trace *trace = &session->machines->trace;
    const struct {
        const char *key;
        char *note;
    } notes[] = {{"user", trace->user}, {"notes", trace->notes}, {"tstop", trace->stop_note}};

    while (!gdb_text_empty(&args)) {
        struct gdb_text value = gdb_text_cut(&args, ';'), key = gdb_text_cut(&value, ':');

        for (size_t i = 0; i < sizeof notes / sizeof notes[0]; i++)
            if (gdb_text_is(&key, notes[i].key) && !trace_copy_hex(notes[i].note, GDB_TRACE_NOTE_MAX, &value))
                return gdb_session_malformed(session);
    }
    return gdb_session_ok(session);
}
