/*
 * Threads: H, T, qC, qfThreadInfo, qsThreadInfo, qThreadExtraInfo. Each machine is a process with one thread of the
 * same number.
 */
#include "packets/commands.h"

#include <string.h>

static bool thread_is_alive(const struct gdb_machine *machine)
{
    return machine != NULL && machine->attached && machine->state != GDB_MACHINE_ENDED;
}

static enum gdb_outcome thread_fail(struct gdb_session *session)
{
    return gdb_session_fail(session, GDB_ERROR_NO_THREAD, "no such thread");
}

enum gdb_outcome gdb_cmd_set_thread(struct gdb_session *session, struct gdb_text args)
{
    bool general = gdb_text_eat(&args, 'g');
    struct gdb_thread_id id;

    if (!general && !gdb_text_eat(&args, 'c'))
        return gdb_cmd_unknown(session, args);
    if (!gdb_session_thread_id(session, &args, &id) || !gdb_text_empty(&args))
        return gdb_session_malformed(session);
    if (!id.all && !id.any && !thread_is_alive(id.machine))
        return thread_fail(session);
    if (!general)
        session->c_thread = id.machine;
    else if (id.machine != NULL)
        session->g_thread = id.machine;
    return gdb_session_ok(session);
}

enum gdb_outcome gdb_cmd_thread_alive(struct gdb_session *session, struct gdb_text args)
{
    struct gdb_thread_id id;

    if (!gdb_session_thread_id(session, &args, &id) || !gdb_text_empty(&args))
        return gdb_session_malformed(session);
    return thread_is_alive(id.machine) ? gdb_session_ok(session) : thread_fail(session);
}

enum gdb_outcome gdb_cmd_current_thread(struct gdb_session *session, struct gdb_text args)
{
    (void)args;
    if (!thread_is_alive(session->g_thread))
        return thread_fail(session);
    gdb_reply_text(&session->out, "QC");
    gdb_session_put_thread(session, &session->out, session->g_thread);
    return GDB_REPLY;
}

enum gdb_outcome gdb_cmd_first_threads(struct gdb_session *session, struct gdb_text args)
{
    const struct gdb_machines *machines = session->machines;
    char separator = 'm';

    (void)args;
    for (unsigned i = 0; i < machines->count; i++) {
        if (!thread_is_alive(&machines->list[i]) || machines->list[i].unannounced)
            continue;
        gdb_reply_char(&session->out, separator);
        gdb_session_put_thread(session, &session->out, &machines->list[i]);
        separator = ',';
    }
    if (separator == 'm')
        gdb_reply_char(&session->out, 'l');
    return GDB_REPLY;
}

enum gdb_outcome gdb_cmd_more_threads(struct gdb_session *session, struct gdb_text args)
{
    (void)args;
    gdb_reply_char(&session->out, 'l');
    return GDB_REPLY;
}

enum gdb_outcome gdb_cmd_thread_extra(struct gdb_session *session, struct gdb_text args)
{
    const struct mh_debug_target *target = session->machines->target;
    struct gdb_thread_id id;

    if (!gdb_session_thread_id(session, &args, &id) || !gdb_text_empty(&args))
        return gdb_session_malformed(session);
    if (!thread_is_alive(id.machine))
        return thread_fail(session);
    const char *name = target->ops->vm_name(target->ctx, id.machine->vm);
    gdb_reply_hex(&session->out, name, strlen(name));
    return GDB_REPLY;
}
