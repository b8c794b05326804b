/* The functions with which packets are answered: make and send replies, print, parse and append thread ids. */
#include "session/session.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

const char *gdb_session_why_unavailable(const struct gdb_session *session)
{
    const struct gdb_machine *machine = session->g_thread;

    if (machine->attached && gdb_machine_is_stopped(machine))
        return NULL;
    if (machine->attached && gdb_machine_is_running(machine))
        return "is running; interrupt it first";
    return machine->state == GDB_MACHINE_ENDED ? "has ended; use run or monitor reset to start it again"
                                               : "is not being debugged";
}

struct gdb_machine *gdb_session_machine(struct gdb_session *session)
{
    struct gdb_machine *machine = session->g_thread;

    const char *absence = gdb_session_why_unavailable(session);

    if (absence == NULL)
        return machine;
    gdb_session_fail(session, GDB_ERROR_NO_THREAD, "VM %u %s", machine->vm, absence);
    return NULL;
}

const struct gdb_x86_layout *gdb_session_layout(struct gdb_session *session)
{
    return gdb_machines_layout(session->machines, session->g_thread);
}

enum mh_space gdb_session_space(const struct gdb_session *session)
{
    return session->physical ? MH_SPACE_PHYSICAL : MH_SPACE_VIRTUAL;
}

/* Debuggers show error messages as they are, so no byte may look like a frame or an escape. */
static void reply_error_text(struct gdb_reply *to, const char *text)
{
    for (; *text; text++)
        gdb_reply_char(to, *text < ' ' || *text > '~' || strchr("#$}*", *text) != NULL ? '?' : *text);
}

enum gdb_outcome gdb_session_fail(struct gdb_session *session, enum gdb_error_code code, const char *format, ...)
{
    char text[sizeof((struct mh_error *)0)->text + 64];
    va_list args;

    gdb_reply_clear(&session->out);
    if (!session->error_message) {
        gdb_reply_printf(&session->out, "E%02x", (unsigned)code);
        return GDB_REPLY;
    }
    va_start(args, format);
    if (vsnprintf(text, sizeof text, format, args) < 0)
        text[0] = '\0';
    va_end(args);
    gdb_reply_text(&session->out, "E.");
    reply_error_text(&session->out, text);
    return GDB_REPLY;
}

enum gdb_outcome gdb_session_malformed(struct gdb_session *session)
{
    return gdb_session_fail(session, GDB_ERROR_FORMAT, "malformed packet");
}

enum gdb_outcome gdb_session_ok(struct gdb_session *session)
{
    gdb_reply_clear(&session->out);
    gdb_reply_text(&session->out, "OK");
    return GDB_REPLY;
}

void gdb_session_send_bytes(struct gdb_session *session, const char *from, size_t length)
{
    if (session->end == GDB_SESSION_ACTIVE && !gdb_transport_send(&session->io, from, length))
        session->end = GDB_SESSION_LOST;
}

void gdb_session_acknowledge(struct gdb_session *session)
{
    if (session->ack_owed)
        gdb_session_send_bytes(session, "+", 1);
    session->ack_owed = false;
}

void gdb_session_send(struct gdb_session *session)
{
    size_t length;
    char *packet = gdb_reply_finish(&session->out, &length);

    session->last_sent = packet;
    session->last_length = length;
    session->unacked += session->reply_acked && session->unacked < INT_MAX;
    if (session->ack_owed) {
        *--packet = '+';
        length++;
        session->ack_owed = false;
    }
    gdb_session_send_bytes(session, packet, length);
    gdb_reply_clear(&session->out);
}

void gdb_session_pause(struct gdb_session *session)
{
    if (session->non_stop && gdb_machines_pause(session->machines, session->g_thread))
        session->paused = session->g_thread;
}

void gdb_session_flush_console(struct gdb_session *session)
{
    if (session->console_length == 0)
        return;
    gdb_reply_clear(&session->out);
    gdb_reply_char(&session->out, 'O');
    gdb_reply_hex(&session->out, session->console, session->console_length);
    gdb_session_send(session);
    session->console_length = 0;
}

void gdb_session_print(void *ctx, const char *text, size_t length)
{
    struct gdb_session *session = ctx;

    while (length > 0) {
        size_t part = GDB_CONSOLE_SIZE - session->console_length;

        if (part > length)
            part = length;
        memcpy(session->console + session->console_length, text, part);
        session->console_length += part;
        text += part;
        length -= part;
        if (session->console_length == GDB_CONSOLE_SIZE)
            gdb_session_flush_console(session);
    }
}

/* --- thread ids --- */

/* Parse one number of a thread id: -1, 0 or the number of a machine. */
static bool thread_id_number(struct gdb_text *text, int64_t *number)
{
    uint32_t value;

    if (gdb_text_eat_word(text, "-1")) {
        *number = -1;
        return true;
    }
    if (!gdb_text_u32(text, UINT32_MAX, &value))
        return false;
    *number = value;
    return true;
}

bool gdb_session_thread_id(struct gdb_session *session, struct gdb_text *text, struct gdb_thread_id *id)
{
    int64_t process = 0, thread = -1;
    bool has_process = gdb_text_eat(text, 'p');

    *id = (struct gdb_thread_id){.all = false};
    if (has_process && !thread_id_number(text, &process))
        return false;
    if ((!has_process || gdb_text_eat(text, '.')) && !thread_id_number(text, &thread))
        return false;
    if (!has_process)
        process = thread;
    id->all = process == -1;
    id->any = process == 0;
    /* each process has one thread with its own number */
    if (process > 0 && (thread <= 0 || thread == process))
        id->machine = gdb_machines_find(session->machines, (unsigned)process);
    if (id->machine != NULL)
        id->machine->unannounced = false;
    return true;
}

void gdb_session_put_thread(struct gdb_session *session, struct gdb_reply *to, const struct gdb_machine *machine)
{
    if (session->multiprocess) {
        gdb_reply_char(to, 'p');
        gdb_reply_number(to, machine->vm);
        gdb_reply_char(to, '.');
    }
    gdb_reply_number(to, machine->vm);
}
