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
static void stop_put_reason(struct gdb_session *session, const struct mh_stop *stop)
{
    if (stop->kind == MH_STOP_WATCHPOINT)
        stop_put_watch(&session->out, stop);
    else if (stop->kind == MH_STOP_BREAKPOINT && session->swbreak)
        gdb_reply_text(&session->out, "swbreak:;");
    else if (stop->kind == MH_STOP_HW_BREAKPOINT && session->hwbreak)
        gdb_reply_text(&session->out, "hwbreak:;");
    else if (stop->kind == MH_STOP_HISTORY_BEGIN)
        gdb_reply_text(&session->out, "replaylog:begin;");
    else if (stop->kind == MH_STOP_HISTORY_END)
        gdb_reply_text(&session->out, "replaylog:end;");
}

/* Registers that cannot be read are omitted; the debugger will ask and get the error. */
static void stop_put_expedited(struct gdb_session *session, const struct gdb_machine *machine)
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
        gdb_reply_number(&session->out, expedited[i]);
        gdb_reply_char(&session->out, ':');
        gdb_reply_hex(&session->out, value, reg->size);
        gdb_reply_char(&session->out, ';');
    }
}

static void stop_put_end(struct gdb_session *session, const struct gdb_machine *machine)
{
    gdb_reply_printf(&session->out, "%c%02x", machine->end_signal ? 'X' : 'W', machine->end_signal);
    if (session->multiprocess)
        gdb_reply_printf(&session->out, ";process:%x", machine->vm);
}

static uint8_t stop_signal(const struct gdb_machine *machine)
{
    /* gdb takes SIGTRAP after a step for its end, and continues if the step was its own, to get off a breakpoint */
    if (machine->stop.kind == MH_STOP_CAUGHT && machine->how.kind != MH_RESUME_CONTINUE)
        return GDB_SIGNAL_INT;
    return machine->state == GDB_MACHINE_HELD ? GDB_SIGNAL_TRAP : gdb_stop_signal(&machine->stop);
}

void gdb_session_put_stop(struct gdb_session *session, const struct gdb_machine *machine)
{
    gdb_reply_clear(&session->out);
    if (machine->state == GDB_MACHINE_ENDED) {
        stop_put_end(session, machine);
        return;
    }
    const uint8_t signal = stop_signal(machine);
    gdb_reply_char(&session->out, 'T');
    gdb_reply_hex(&session->out, &signal, sizeof signal);
    stop_put_reason(session, &machine->stop);
    gdb_reply_text(&session->out, "thread:");
    gdb_session_put_thread(session, &session->out, machine);
    gdb_reply_char(&session->out, ';');
    stop_put_expedited(session, machine);
}

/* Stops for which the protocol has no reason are described on the console. */
static bool stop_needs_description(const struct mh_stop *stop)
{
    return stop->kind == MH_STOP_CAUGHT || mh_stop_is_crash(stop);
}

/* Describe the stop on the debugger's console. */
static void stop_describe(struct gdb_session *session, const struct gdb_machine *machine)
{
    const struct mh_debug_target *target = session->machines->target;
    static const char halted[] = "The guest has halted. Continue to end it.\n";

    if (machine->state == GDB_MACHINE_HELD)
        gdb_session_print(session, halted, sizeof halted - 1);
    else if (gdb_machine_is_stopped(machine) && stop_needs_description(&machine->stop))
        target->ops->describe_stop(target->ctx, machine->vm, &machine->stop, gdb_session_print, session);
    gdb_session_flush_console(session);
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
