/* Stop replies: reporting why machines stopped (GDB manual, "Stop Reply Packets"). */
#include "protocol/signals.h"
#include "session/session.h"

#include <stdio.h>
#include <string.h>

/* Registers sent with each stop reply, so that gdb need not ask: rbp, rsp, rip, eflags. */
static const uint8_t expedited[] = {6, 7, 16, 17};

static void stop_put_watch(struct gdb_reply *to, const struct mh_stop *stop)
{
    static const char *const names[] = {
        [MH_WATCH_WRITE] = "watch",
        [MH_WATCH_READ] = "rwatch",
        [MH_WATCH_ACCESS] = "awatch",
    };

    gdb_reply_printf(to, "%s:%llx;", names[stop->watch], (unsigned long long)stop->watch_address);
}

/* Append the reason if the protocol has one for it and the debugger knows it. */
static void stop_put_reason(const struct gdb_session *session, struct gdb_reply *to, const struct mh_stop *stop)
{
    if (stop->kind == MH_STOP_WATCHPOINT)
        stop_put_watch(to, stop);
    else if (stop->kind == MH_STOP_BREAKPOINT && session->swbreak)
        gdb_reply_text(to, "swbreak:;");
    else if (stop->kind == MH_STOP_HW_BREAKPOINT && session->hwbreak)
        gdb_reply_text(to, "hwbreak:;");
    else if (stop->kind == MH_STOP_HISTORY_BEGIN)
        gdb_reply_text(to, "replaylog:begin;");
    else if (stop->kind == MH_STOP_HISTORY_END)
        gdb_reply_text(to, "replaylog:end;");
}

/* Registers that cannot be read are omitted; the debugger will ask and get the error. */
static void stop_put_expedited(struct gdb_session *session, struct gdb_reply *to, const struct gdb_machine *machine)
{
    const struct mh_debug_target *target = session->machines->target;
    size_t count;

    if (target->ops->read_regs(target->ctx, machine->vm, MH_REGS_GENERAL, &session->regs, NULL) != MH_OK)
        return;
    const struct gdb_x86_reg *table = gdb_x86_table(&count);
    for (size_t i = 0; i < sizeof expedited; i++) {
        const struct gdb_x86_reg *reg = &table[expedited[i]];
        uint8_t value[sizeof(uint64_t)];

        gdb_x86_get(reg, &session->regs, value);
        gdb_reply_number(to, expedited[i]);
        gdb_reply_char(to, ':');
        gdb_reply_hex(to, value, reg->size);
        gdb_reply_char(to, ';');
    }
}

static void stop_put_end(const struct gdb_session *session, struct gdb_reply *to, const struct gdb_machine *machine)
{
    gdb_reply_printf(to, "%c%02x", machine->end_signal ? 'X' : 'W', machine->end_signal);
    if (session->multiprocess)
        gdb_reply_printf(to, ";process:%x", machine->vm);
}

static uint8_t stop_signal(const struct gdb_machine *machine)
{
    if (machine->stop_requested && (machine->stop.kind == MH_STOP_INTERRUPTED || machine->stop.kind == MH_STOP_STEP))
        return GDB_SIGNAL_0;
    /* gdb takes SIGTRAP after a step for its end, and continues if the step was its own, to get off a breakpoint */
    if (machine->stop.kind == MH_STOP_CAUGHT && machine->how.kind != MH_RESUME_CONTINUE)
        return GDB_SIGNAL_INT;
    return machine->state == GDB_MACHINE_HELD ? GDB_SIGNAL_TRAP : gdb_stop_signal(&machine->stop);
}

static void stop_put(struct gdb_session *session, struct gdb_reply *to, const struct gdb_machine *machine,
                     bool expedites)
{
    if (machine->state == GDB_MACHINE_ENDED) {
        stop_put_end(session, to, machine);
        return;
    }
    const uint8_t signal = stop_signal(machine);
    gdb_reply_char(to, 'T');
    gdb_reply_hex(to, &signal, sizeof signal);
    stop_put_reason(session, to, &machine->stop);
    gdb_reply_text(to, "thread:");
    gdb_session_put_thread(session, to, machine);
    gdb_reply_char(to, ';');
    if (expedites)
        stop_put_expedited(session, to, machine);
}

void gdb_session_put_stop(struct gdb_session *session, const struct gdb_machine *machine)
{
    gdb_reply_clear(&session->out);
    stop_put(session, &session->out, machine, true);
}

void gdb_session_put_status(struct gdb_session *session, const struct gdb_machine *machine)
{
    gdb_reply_clear(&session->out);
    stop_put(session, &session->out, machine, false);
}

/* Stops for which the protocol has no reason are described on the console. */
static bool stop_needs_description(const struct mh_stop *stop)
{
    return stop->kind == MH_STOP_CAUGHT || mh_stop_is_crash(stop);
}

/* In non-stop mode, texts go where those of breakpoint commands go, line by line. */
struct stop_note {
    const struct gdb_machines *machines;
    const struct gdb_machine *machine;
    size_t length;
    char line[256];
};

static void stop_note_end_line(struct stop_note *note)
{
    if (note->length > 0)
        gdb_machines_print(note->machines, note->machine, note->line, note->length);
    note->length = 0;
}

static void stop_note_add(void *ctx, const char *text, size_t length)
{
    struct stop_note *note = ctx;

    for (size_t i = 0; i < length; i++) {
        note->line[note->length++] = text[i];
        if (text[i] == '\n' || note->length == sizeof note->line)
            stop_note_end_line(note);
    }
}

static void stop_describe_to(struct gdb_session *session, const struct gdb_machine *machine, mh_text_sink *sink,
                             void *sink_ctx)
{
    const struct mh_debug_target *target = session->machines->target;
    static const char halted[] = "The guest has halted. Continue to end it.\n";

    if (machine->state == GDB_MACHINE_HELD)
        sink(sink_ctx, halted, sizeof halted - 1);
    else if (gdb_machine_is_stopped(machine) && stop_needs_description(&machine->stop))
        target->ops->describe_stop(target->ctx, machine->vm, &machine->stop, sink, sink_ctx);
}

/* Describe the stop on the debugger's console, if the protocol allows it. */
static void stop_describe(struct gdb_session *session, const struct gdb_machine *machine)
{
    struct stop_note note;

    if (session->non_stop) {
        note.machines = session->machines;
        note.machine = machine;
        note.length = 0;
        stop_describe_to(session, machine, stop_note_add, &note);
        stop_note_end_line(&note);
    } else {
        stop_describe_to(session, machine, gdb_session_print, session);
        gdb_session_flush_console(session);
    }
}

/* A crash whose signal the debugger passes on without being told (QPassSignals) ends the machine. */
static void stop_pass_signal(struct gdb_session *session, struct gdb_machine *machine)
{
    uint8_t signal = gdb_stop_signal(&machine->stop);

    if (!gdb_machine_is_stopped(machine) || !mh_stop_is_crash(&machine->stop) || !session->pass_signal[signal])
        return;
    stop_describe(session, machine);
    gdb_machines_kill(session->machines, machine, signal);
}

/*
 * Choose the machine to report. Without multiprocess, W or X would mean the end of all machines, so the end of one of
 * several is not reported, but the state of another.
 */
static struct gdb_machine *stop_choose_reported(struct gdb_session *session, struct gdb_machine *machine)
{
    if (machine->state != GDB_MACHINE_ENDED || session->multiprocess)
        return machine;
    struct gdb_machine *other = gdb_machines_first_alive(session->machines, true);
    return other != NULL ? other : machine;
}

bool gdb_session_report(struct gdb_session *session)
{
    struct gdb_machine *machine = gdb_machines_pending(session->machines, true);

    if (machine == NULL)
        return false;
    gdb_machines_halt(session->machines);
    for (unsigned i = 0; i < session->machines->count; i++)
        session->machines->list[i].resume_pending = false;
    stop_pass_signal(session, machine);
    machine->stop_pending = false;
    machine = stop_choose_reported(session, machine);
    stop_describe(session, machine);
    gdb_session_put_stop(session, machine);
    session->resumed = false;
    session->stop_acked = false;
    session->stepping = gdb_machine_is_stopped(machine) && machine->stop.kind == MH_STOP_STEP;
    session->g_thread = machine;
    gdb_session_send(session);
    /* outside extended mode, the end of the last machine ends the session */
    if (!session->extended && session->end == GDB_SESSION_ACTIVE &&
        gdb_machines_first_alive(session->machines, true) == NULL)
        session->end = GDB_SESSION_DETACHED;
    return true;
}

/*
 * --- non-stop mode ---
 *
 * Each stop has a notification of its own: vStopped is always answered with "OK", and the next notification follows.
 * gdb aborts if it is told of two stops while it connects; gdb 16 also if it gets a notification then. If it finds a
 * machine of whose stop it has not been told, it takes it for running, and lets it run. So in answer to "?" it is told
 * of one machine; it learns of each other one by its stop, and until then no list of threads has that. Nothing in the
 * protocol says when a debugger has connected: it has when it sends nothing for a while, or resumes a machine.
 */

#define NOTIFICATION_MAX 512u

/*
 * Return the next machine with a stop to report, NULL if there is none. Without multiprocess, the end of one of several
 * is not reported.
 */
static struct gdb_machine *stop_take_next(struct gdb_session *session)
{
    struct gdb_machine *machine = gdb_machines_pending(session->machines, true);

    for (; machine != NULL; machine = gdb_machines_pending(session->machines, true)) {
        stop_pass_signal(session, machine);
        if (stop_choose_reported(session, machine) == machine)
            break;
        machine->stop_pending = machine->resume_pending = false;
    }
    if (machine == NULL)
        return NULL;
    stop_describe(session, machine);
    machine->stop_pending = machine->stop_reported = true;
    return machine;
}

void gdb_session_notify(struct gdb_session *session)
{
    char buffer[NOTIFICATION_MAX];
    struct gdb_reply notification;
    size_t length;
    const bool is_possible = !session->notifying && !session->notifies_later;
    const struct gdb_machine *machine = is_possible ? stop_take_next(session) : NULL;

    if (machine == NULL)
        return;
    gdb_reply_init(&notification, buffer, sizeof buffer);
    gdb_reply_text(&notification, "Stop:");
    stop_put(session, &notification, machine, true);
    char *packet = gdb_reply_finish(&notification, &length);
    packet[0] = '%';
    session->notifying = true;
    gdb_session_send_bytes(session, packet, length);
}

bool gdb_session_put_first_stop(struct gdb_session *session)
{
    const struct gdb_machine *machine = stop_take_next(session);

    session->notifying = machine != NULL;
    if (machine != NULL)
        gdb_session_put_stop(session, machine);
    return machine != NULL;
}

void gdb_session_stop_acknowledged(struct gdb_session *session)
{
    for (unsigned i = 0; i < session->machines->count; i++) {
        struct gdb_machine *machine = &session->machines->list[i];

        if (machine->stop_reported)
            machine->stop_pending = machine->resume_pending = machine->stop_reported = false;
    }
    session->notifying = false;
}
