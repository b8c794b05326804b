/* Negotiation: qSupported, QStartNoAckMode and other switches, and qAttached. */
#include "packets/commands.h"

#include <string.h>

enum gdb_outcome gdb_cmd_unknown(struct gdb_session *session, struct gdb_text args)
{
    (void)args;
    gdb_reply_clear(&session->out);
    return GDB_REPLY;
}

/* Enable a "FEATURE+" of the debugger; ignore unknown features and those it lacks. */
static void features_enable(struct gdb_session *session, const struct gdb_text *feature)
{
    const struct {
        const char *name;
        bool *known;
    } features[] = {
        {"multiprocess+", &session->multiprocess},
        {"swbreak+", &session->swbreak},
        {"hwbreak+", &session->hwbreak},
        {"error-message+", &session->error_message},
    };

    for (size_t i = 0; i < sizeof features / sizeof features[0]; i++)
        if (gdb_text_is(feature, features[i].name))
            *features[i].known = true;
}

static bool any_can_reverse(const struct gdb_machines *machines)
{
    for (unsigned i = 0; i < machines->count; i++)
        if (gdb_machine_can_reverse(machines, &machines->list[i]))
            return true;
    return false;
}

enum gdb_outcome gdb_cmd_supported(struct gdb_session *session, struct gdb_text args)
{
    session->multiprocess = session->swbreak = session->hwbreak = session->error_message = false;
    while (!gdb_text_empty(&args)) {
        struct gdb_text feature = gdb_text_cut(&args, ';');

        features_enable(session, &feature);
    }
    gdb_reply_printf(&session->out, "PacketSize=%x", GDB_PACKET_SIZE);
    gdb_reply_text(&session->out,
                   ";QStartNoAckMode+;vContSupported+;swbreak+;hwbreak+;QThreadEvents+;QPassSignals+"
                   ";QProgramSignals+;QNonStop+;qXfer:features:read+;qXfer:threads:read+;qXfer:memory-map:read+"
                   ";qXfer:exec-file:read+;binary-upload+;ConditionalBreakpoints+;BreakpointCommands+");
    if (gdb_trace_possible(&session->machines->trace))
        gdb_reply_text(&session->out, ";ConditionalTracepoints+;TracepointSource+;EnableDisableTracepoints+;tracenz+"
                                      ";InstallInTrace+;DisconnectedTracing+;QTBuffer:size+"
                                      ";qXfer:traceframe-info:read+");
    if (any_can_reverse(session->machines))
        gdb_reply_text(&session->out, ";ReverseStep+;ReverseContinue+");
    if (session->multiprocess)
        gdb_reply_text(&session->out, ";multiprocess+");
    if (session->error_message)
        gdb_reply_text(&session->out, ";error-message+");
    return GDB_REPLY;
}

enum gdb_outcome gdb_cmd_no_ack(struct gdb_session *session, struct gdb_text args)
{
    (void)args;
    session->no_ack = true;
    return gdb_session_ok(session);
}

enum gdb_outcome gdb_cmd_non_stop(struct gdb_session *session, struct gdb_text args)
{
    bool non_stop = gdb_text_is(&args, "1");

    if (!non_stop && !gdb_text_is(&args, "0"))
        return gdb_session_malformed(session);
    if (session->non_stop && !non_stop)
        gdb_machines_halt(session->machines);
    const struct gdb_machine *first = gdb_machines_first_alive(session->machines, true);
    for (unsigned i = 0; i < session->machines->count && session->non_stop != non_stop; i++) {
        struct gdb_machine *machine = &session->machines->list[i];

        machine->resume_pending = machine->stop_reported = false;
        machine->unannounced = non_stop && machine != first;
    }
    session->notifying = session->notifies_later = session->interrupt_due = false;
    session->non_stop = non_stop;
    return gdb_session_ok(session);
}

/* Parse "SIGNAL[;SIGNAL]..." into a set. Returns false, with the set incomplete, if a signal is invalid. */
static bool signals_parse(struct gdb_text args, bool *set)
{
    memset(set, false, GDB_SIGNAL_COUNT * sizeof *set);
    while (!gdb_text_empty(&args)) {
        struct gdb_text one = gdb_text_cut(&args, ';');
        uint32_t signal;

        if (!gdb_text_u32(&one, GDB_SIGNAL_COUNT - 1, &signal) || !gdb_text_empty(&one))
            return false;
        set[signal] = true;
    }
    return true;
}

static enum gdb_outcome signals_set(struct gdb_session *session, struct gdb_text args, bool *set)
{
    bool wanted[GDB_SIGNAL_COUNT];

    if (!signals_parse(args, wanted))
        return gdb_session_malformed(session);
    memcpy(set, wanted, sizeof wanted);
    return gdb_session_ok(session);
}

enum gdb_outcome gdb_cmd_pass_signals(struct gdb_session *session, struct gdb_text args)
{
    return signals_set(session, args, session->pass_signal);
}

enum gdb_outcome gdb_cmd_program_signals(struct gdb_session *session, struct gdb_text args)
{
    return signals_set(session, args, session->program_signal);
}

enum gdb_outcome gdb_cmd_thread_events(struct gdb_session *session, struct gdb_text args)
{
    /* a machine has the same thread from start to end, so there is never an event to report */
    if (!gdb_text_is(&args, "0") && !gdb_text_is(&args, "1"))
        return gdb_session_malformed(session);
    return gdb_session_ok(session);
}

static struct gdb_machine *announced(struct gdb_machine *machine)
{
    if (machine != NULL)
        machine->unannounced = false;
    return machine;
}

enum gdb_outcome gdb_cmd_attached(struct gdb_session *session, struct gdb_text args)
{
    const struct gdb_machine *machine = session->g_thread;
    uint32_t vm = 0;

    if (!gdb_text_empty(&args)) {
        if (!gdb_text_u32(&args, UINT32_MAX, &vm) || !gdb_text_empty(&args))
            return gdb_session_malformed(session);
        machine = announced(gdb_machines_find(session->machines, vm));
    }
    if (machine == NULL)
        return gdb_session_fail(session, GDB_ERROR_NO_THREAD, "there is no VM %u", vm);
    gdb_reply_char(&session->out, machine->found_running ? '1' : '0');
    return GDB_REPLY;
}
