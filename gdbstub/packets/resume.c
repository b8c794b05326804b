/*
 * Resuming machines: ?, c, C, s, S, bc, bs, vCont, vCtrlC. All of them come down to a request per machine, and one
 * function that carries out all requests.
 */
#include "packets/commands.h"
#include "protocol/signals.h"

/* What a machine is to do. */
struct action {
    bool stay; /* stop, or stay stopped */
    struct mh_resume how;
    uint8_t signal; /* delivered to the program first */
};

/* All stops are reported again: the first now, the others with notifications. */
static enum gdb_outcome why_non_stop(struct gdb_session *session)
{
    for (unsigned i = 0; i < session->machines->count; i++) {
        struct gdb_machine *machine = &session->machines->list[i];

        if (machine->attached && gdb_machine_is_stopped(machine)) {
            machine->stop_requested |= !machine->stop_pending;
            machine->stop_pending = machine->resume_pending = true;
        }
        machine->stop_reported = false;
    }
    session->notifies_later = session->machines->count > 1;
    return gdb_session_put_first_stop(session) ? GDB_REPLY : gdb_session_ok(session);
}

enum gdb_outcome gdb_cmd_stopped(struct gdb_session *session, struct gdb_text args)
{
    if (!session->non_stop)
        return gdb_cmd_unknown(session, args);
    gdb_session_stop_acknowledged(session);
    gdb_session_ok(session);
    /* outside extended mode, the end of the last machine ends the session */
    bool leaves = !session->extended && gdb_machines_first_alive(session->machines, true) == NULL &&
                  gdb_machines_pending(session->machines, true) == NULL;
    return leaves ? GDB_LEAVE : GDB_REPLY;
}

enum gdb_outcome gdb_cmd_why(struct gdb_session *session, struct gdb_text args)
{
    (void)args;
    if (session->non_stop)
        return why_non_stop(session);
    struct gdb_machine *pending = gdb_machines_pending(session->machines, false);
    if (pending != NULL) {
        pending->stop_pending = false;
        session->g_thread = pending;
    }
    gdb_session_put_status(session, session->g_thread);
    return GDB_REPLY;
}

enum gdb_outcome gdb_cmd_vcont_query(struct gdb_session *session, struct gdb_text args)
{
    (void)args;
    gdb_reply_text(&session->out, "vCont;c;C;s;S;t;r");
    return GDB_REPLY;
}

enum gdb_outcome gdb_cmd_ctrl_c(struct gdb_session *session, struct gdb_text args)
{
    /* in all-stop mode, by the time a packet is answered, it has stopped all machines */
    (void)args;
    gdb_machines_interrupt(session->machines);
    return gdb_session_ok(session);
}

/* A machine has no signal handlers, so a signal that is deadly by default ends it. */
static bool machine_dies_of(const struct gdb_session *session, uint8_t signal)
{
    return gdb_signal_is_deadly(signal) && session->program_signal[signal];
}

/* In non-stop mode, the debugger does not mean to resume a machine of whose stop it does not know. */
static bool machine_can_run(const struct gdb_session *session, const struct gdb_machine *machine)
{
    return machine->attached && gdb_machine_is_stopped(machine) &&
           !(session->non_stop && machine->stop_pending && machine->resume_pending);
}

static void machine_request_resume(struct gdb_machine *machine, const struct action *action)
{
    machine->resume_pending = true;
    machine->how = action->how;
    machine->signal = action->signal;
}

/*
 * End a machine instead of resuming it, if it was held at its end or if the debugger delivers a deadly signal. That
 * signal is the one of the last stop, and is void if the machine has been moved elsewhere since. Backwards, nothing
 * ends.
 */
static void machine_end_if_requested(struct gdb_session *session, struct gdb_machine *machine)
{
    if (!machine->resume_pending || machine->stop_pending || machine->how.backwards || !gdb_machine_is_stopped(machine))
        return;
    if (machine->state == GDB_MACHINE_HELD) {
        gdb_machines_finish(machine);
        machine->stop_pending = true;
    } else if (machine->state != GDB_MACHINE_RELOCATED && machine_dies_of(session, machine->signal)) {
        gdb_machines_kill(session->machines, machine, machine->signal);
        machine->stop_pending = true;
    }
}

/*
 * Resume all machines with a request. But if one of them has a stop to report already, the debugger must be told first:
 * it is not resumed, and in all-stop mode none is.
 */
static enum gdb_outcome resume_requested(struct gdb_session *session)
{
    struct gdb_machines *machines = session->machines;
    bool any = false;

    for (unsigned i = 0; i < machines->count; i++) {
        any |= machines->list[i].resume_pending;
        machine_end_if_requested(session, &machines->list[i]);
    }
    if (session->non_stop)
        any |= gdb_machines_first_alive(machines, true) != NULL;
    if (!any)
        return gdb_session_fail(session, GDB_ERROR_NO_THREAD, "no such machine, or it has ended");
    for (unsigned i = 0; i < machines->count; i++) {
        struct gdb_machine *machine = &machines->list[i];
        bool waits = session->non_stop ? machine->stop_pending : gdb_machines_pending(machines, true) != NULL;

        if (machine->resume_pending && gdb_machine_is_stopped(machine) && !waits)
            gdb_machines_resume(machines, machine, &machine->how);
    }
    if (session->interrupt_due)
        gdb_machines_interrupt(machines);
    session->interrupt_due = false;
    return GDB_RESUMED;
}

/* --- vCont --- */

/* Parse one action of vCont without its thread. Returns false if it is invalid. */
static bool action_parse(struct gdb_text *text, struct action *action)
{
    uint32_t signal = 0;

    if (gdb_text_empty(text))
        return false;
    char verb = *text->at++;
    *action = (struct action){.stay = verb == 't', .how.kind = MH_RESUME_CONTINUE};
    if (verb == 'C' || verb == 'S')
        if (!gdb_text_u32(text, GDB_SIGNAL_COUNT - 1, &signal))
            return false;
    action->signal = (uint8_t)signal;
    if (verb == 's' || verb == 'S')
        action->how.kind = MH_RESUME_STEP;
    if (verb == 'r') {
        action->how.kind = MH_RESUME_RANGE;
        return gdb_text_u64(text, &action->how.start) && gdb_text_eat(text, ',') &&
               gdb_text_u64(text, &action->how.end);
    }
    return verb == 'c' || verb == 'C' || action->stay || action->how.kind == MH_RESUME_STEP;
}

/* Parse the thread of an action; without one it is for all. */
static bool action_parse_thread(struct gdb_session *session, struct gdb_text *text, struct gdb_thread_id *id)
{
    *id = (struct gdb_thread_id){.all = true};
    if (gdb_text_eat(text, ':') && !gdb_session_thread_id(session, text, id))
        return false;
    return gdb_text_empty(text);
}

/*
 * Find the first of `actions` that applies to `machine`. Returns 1 and *action; 0 if there is none; -1 if any action is
 * invalid.
 */
static int vcont_choose_action(struct gdb_session *session, struct gdb_text actions, const struct gdb_machine *machine,
                               struct action *action)
{
    int found = 0;

    do {
        struct gdb_text one = gdb_text_cut(&actions, ';');
        struct gdb_thread_id id;
        struct action candidate;

        if (!action_parse(&one, &candidate) || !action_parse_thread(session, &one, &id))
            return -1;
        if (found || !(id.all || id.machine == machine || (id.any && machine == session->g_thread)))
            continue;
        found = 1;
        *action = candidate;
    } while (!gdb_text_empty(&actions));
    return found;
}

/* Carry out an action that applies to an attached machine; those that do not fit its state are ignored. */
static void machine_act(struct gdb_session *session, struct gdb_machine *machine, const struct action *action)
{
    if (!action->stay && machine_can_run(session, machine))
        machine_request_resume(machine, action);
    if (action->stay && session->non_stop && gdb_machine_is_running(machine)) {
        machine->stop_requested = true;
        gdb_machines_interrupt_one(session->machines, machine);
    }
}

enum gdb_outcome gdb_cmd_vcont(struct gdb_session *session, struct gdb_text args)
{
    struct gdb_machines *machines = session->machines;
    struct action action;

    /* parse the whole list first, so that an invalid one has no effect */
    if (vcont_choose_action(session, args, session->g_thread, &action) < 0)
        return gdb_session_malformed(session);
    for (unsigned i = 0; i < machines->count; i++) {
        struct gdb_machine *machine = &machines->list[i];

        if (machine->attached && vcont_choose_action(session, args, machine, &action) > 0)
            machine_act(session, machine, &action);
    }
    session->notifies_later = false;
    return resume_requested(session);
}

/* --- c, C, s and S --- */

static enum gdb_outcome machine_set_rip(struct gdb_session *session, const struct gdb_machine *machine,
                                        uint64_t address)
{
    const struct mh_debug_target *target = session->machines->target;
    struct mh_error err = {.text = ""};

    if (target->ops->read_regs(target->ctx, machine->vm, MH_REGS_GENERAL, &session->regs, &err) == MH_OK) {
        session->regs.general.rip = address;
        if (target->ops->write_regs(target->ctx, machine->vm, MH_REGS_GENERAL, &session->regs, &err) == MH_OK)
            return GDB_RESUMED;
    }
    return gdb_session_fail(session, GDB_ERROR_FAILED, "%s", err.text);
}

/*
 * Request it of the machine selected by Hc; without one, a step is for the selected machine and a continue for all.
 * Backwards, machines that keep no history stay where they are.
 */
static enum gdb_outcome resume_c_thread(struct gdb_session *session, const struct action *action)
{
    struct gdb_machines *machines = session->machines;
    const struct gdb_machine *only = session->c_thread;

    if (only == NULL && action->how.kind == MH_RESUME_STEP)
        only = session->g_thread;
    for (unsigned i = 0; i < machines->count; i++) {
        struct gdb_machine *machine = &machines->list[i];

        if (!machine_can_run(session, machine) || (only != NULL && only != machine))
            continue;
        if (!action->how.backwards || gdb_machine_can_reverse(machines, machine))
            machine_request_resume(machine, action);
    }
    return resume_requested(session);
}

/* Parse "[SIGNAL][;][ADDRESS]" and resume. */
static enum gdb_outcome resume_packet(struct gdb_session *session, struct gdb_text args, enum mh_resume_kind kind,
                                      bool has_signal)
{
    struct action action = {.how.kind = kind};
    struct gdb_machine *machine = session->c_thread != NULL ? session->c_thread : session->g_thread;
    uint32_t signal = 0;
    uint64_t address;

    if (has_signal && !gdb_text_u32(&args, GDB_SIGNAL_COUNT - 1, &signal))
        return gdb_session_malformed(session);
    action.signal = (uint8_t)signal;
    if (has_signal && !gdb_text_empty(&args) && !gdb_text_eat(&args, ';'))
        return gdb_session_malformed(session);
    if (gdb_text_empty(&args))
        return resume_c_thread(session, &action);
    if (!gdb_text_u64(&args, &address) || !gdb_text_empty(&args))
        return gdb_session_malformed(session);
    if (!machine_can_run(session, machine))
        return resume_requested(session);
    if (machine_set_rip(session, machine, address) != GDB_RESUMED)
        return GDB_REPLY;
    return resume_c_thread(session, &action);
}

enum gdb_outcome gdb_cmd_continue(struct gdb_session *session, struct gdb_text args)
{
    return resume_packet(session, args, MH_RESUME_CONTINUE, false);
}

enum gdb_outcome gdb_cmd_continue_signal(struct gdb_session *session, struct gdb_text args)
{
    return resume_packet(session, args, MH_RESUME_CONTINUE, true);
}

enum gdb_outcome gdb_cmd_step(struct gdb_session *session, struct gdb_text args)
{
    return resume_packet(session, args, MH_RESUME_STEP, false);
}

enum gdb_outcome gdb_cmd_step_signal(struct gdb_session *session, struct gdb_text args)
{
    return resume_packet(session, args, MH_RESUME_STEP, true);
}

/* --- bc and bs --- */

static enum gdb_outcome resume_backwards(struct gdb_session *session, struct gdb_text args, enum mh_resume_kind kind)
{
    const struct action action = {.how = {.kind = kind, .backwards = true}};
    const struct gdb_machine *named = session->c_thread != NULL ? session->c_thread : session->g_thread;

    (void)args;
    if (machine_can_run(session, named) && !gdb_machine_can_reverse(session->machines, named))
        return gdb_session_fail(session, GDB_ERROR_FAILED, GDB_NO_HISTORY, named->vm);
    return resume_c_thread(session, &action);
}

enum gdb_outcome gdb_cmd_continue_backwards(struct gdb_session *session, struct gdb_text args)
{
    return resume_backwards(session, args, MH_RESUME_CONTINUE);
}

enum gdb_outcome gdb_cmd_step_backwards(struct gdb_session *session, struct gdb_text args)
{
    return resume_backwards(session, args, MH_RESUME_STEP);
}
