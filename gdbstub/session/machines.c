#include "session/machines.h"

#include "protocol/signals.h"

static const struct mh_resume resume_continue = {.kind = MH_RESUME_CONTINUE};

void gdb_machines_init(struct gdb_machines *machines, const struct mh_debug_target *target, struct gdb_machine *list,
                       unsigned count, bool hold, mh_stop_filter *should_stop)
{
    *machines =
        (struct gdb_machines){.target = target, .list = list, .count = count, .hold = hold, .should_stop = should_stop};
    for (unsigned i = 0; i < count; i++) {
        unsigned vm = target->ops->vm_number(target->ctx, i);

        list[i] = (struct gdb_machine){.vm = vm, .stop.kind = MH_STOP_STEP};
        if (!target->ops->vm_alive(target->ctx, vm))
            list[i].state = GDB_MACHINE_ENDED;
    }
    if (count == 1)
        gdb_trace_init(&machines->trace, target, list[0].vm);
}

void gdb_machines_free(struct gdb_machines *machines)
{
    for (unsigned i = 0; i < machines->count; i++)
        gdb_breakpoint_table_free(&machines->list[i].breakpoints);
    gdb_trace_free(&machines->trace);
}

const struct gdb_x86_layout *gdb_machines_layout(struct gdb_machines *machines, const struct gdb_machine *machine)
{
    return gdb_x86_layout_of(&machines->layouts, machines->target, machine->vm);
}

void gdb_machines_print(const struct gdb_machines *machines, const struct gdb_machine *machine, const char *text,
                        size_t length)
{
    if (machines->print != NULL)
        machines->print(machines->print_ctx, machine, text, length);
}

bool gdb_machine_is_stopped(const struct gdb_machine *machine)
{
    return machine->state <= GDB_MACHINE_HELD;
}

bool gdb_machine_is_running(const struct gdb_machine *machine)
{
    return !gdb_machine_is_stopped(machine) && machine->state != GDB_MACHINE_ENDED;
}

struct gdb_machine *gdb_machines_find(const struct gdb_machines *machines, unsigned vm)
{
    for (unsigned i = 0; i < machines->count; i++)
        if (machines->list[i].vm == vm)
            return &machines->list[i];
    return NULL;
}

struct gdb_machine *gdb_machines_first_alive(const struct gdb_machines *machines, bool attached_only)
{
    for (unsigned i = 0; i < machines->count; i++) {
        struct gdb_machine *machine = &machines->list[i];

        if (machine->state != GDB_MACHINE_ENDED && (machine->attached || !attached_only))
            return machine;
    }
    return NULL;
}

bool gdb_machines_running(const struct gdb_machines *machines, bool attached_only)
{
    for (unsigned i = 0; i < machines->count; i++) {
        const struct gdb_machine *machine = &machines->list[i];

        if (gdb_machine_is_running(machine) && (machine->attached || !attached_only))
            return true;
    }
    return false;
}

struct gdb_machine *gdb_machines_pending(const struct gdb_machines *machines, bool resumed_only)
{
    for (unsigned i = 0; i < machines->count; i++) {
        struct gdb_machine *machine = &machines->list[i];

        if (machine->attached && machine->stop_pending && (machine->resume_pending || !resumed_only))
            return machine;
    }
    return NULL;
}

enum mh_status gdb_machines_clear_breakpoint(struct gdb_machines *machines, struct gdb_machine *machine,
                                             enum mh_break_kind kind, uint64_t address, uint64_t length,
                                             struct mh_error *err)
{
    const struct mh_debug_target *target = machines->target;

    gdb_breakpoint_table_remove(&machine->breakpoints, kind, address);
    return target->ops->clear_breakpoint(target->ctx, machine->vm, MH_OWNER_DEBUGGER, kind, address, length, err);
}

void gdb_machines_resume(struct gdb_machines *machines, struct gdb_machine *machine, const struct mh_resume *how)
{
    /* backwards, the next instruction is not the next step of a hit */
    if (how->backwards)
        gdb_trace_forget_steps(&machines->trace);
    bool steps_for_trace = how->kind != MH_RESUME_STEP && gdb_trace_is_stepping(&machines->trace);
    struct mh_resume request = steps_for_trace ? (struct mh_resume){.kind = MH_RESUME_STEP} : *how;

    request.filter = machines->should_stop;
    request.filter_ctx = machines;
    machine->state = steps_for_trace ? GDB_MACHINE_STEPPING_FOR_TRACE : GDB_MACHINE_RUNNING;
    machine->has_run = true;
    machine->stop_pending = machine->stop_reported = machine->stop_requested = machine->interrupted = false;
    machine->how = *how;
    /* only a CONTINUE forwards asks again about the breakpoints where it starts */
    machine->has_met &= request.kind == MH_RESUME_CONTINUE && !request.backwards;
    machines->target->ops->resume(machines->target->ctx, machine->vm, &request);
}

void gdb_machines_kill(struct gdb_machines *machines, struct gdb_machine *machine, uint8_t signal)
{
    machines->target->ops->kill(machines->target->ctx, machine->vm);
    machine->state = GDB_MACHINE_ENDED;
    machine->end_signal = signal;
    machine->stop_pending = false;
}

void gdb_machines_finish(struct gdb_machine *machine)
{
    machine->state = GDB_MACHINE_ENDED;
    machine->end_signal = 0;
}

/* A machine that had ended or was detached is started again without the breakpoints of earlier debuggers. */
static void machine_forget_breakpoints(struct gdb_machines *machines, struct gdb_machine *machine)
{
    machines->target->ops->clear_all_breakpoints(machines->target->ctx, machine->vm);
    gdb_breakpoint_table_free(&machine->breakpoints);
}

/* The machine is somewhere else than where it stopped, without having executed anything. */
static void machine_relocate(struct gdb_machines *machines, struct gdb_machine *machine)
{
    machine->state = GDB_MACHINE_RELOCATED;
    machine->has_met = false;
    gdb_trace_forget_steps(&machines->trace);
}

enum mh_status gdb_machines_restart(struct gdb_machines *machines, struct gdb_machine *machine, struct mh_error *err)
{
    bool is_new = !machine->attached;

    machine->attached = true;
    gdb_machines_halt_one(machines, machine);
    enum mh_status status = machines->target->ops->restart(machines->target->ctx, machine->vm, err);
    if (is_new && status == MH_ERR_IMAGE) { /* nothing has changed, so a detached machine runs on */
        machine->attached = false;
        gdb_machines_run_detached(machines, machine);
    } else if (is_new) {
        machine_forget_breakpoints(machines, machine);
    }
    if (status != MH_OK)
        return status;
    if (is_new)
        gdb_trace_on_detach(&machines->trace); /* tracepoints were forgotten, too; now there is a machine for them */
    machine->stop = (struct mh_stop){.kind = MH_STOP_STEP};
    machine->stop_pending = machine->has_run = false;
    machine_relocate(machines, machine);
    return MH_OK;
}

/* What follows ops->restore() or ops->go_to(), which returned `status`. */
static enum mh_status machine_on_relocation(struct gdb_machines *machines, struct gdb_machine *machine,
                                            enum mh_status status)
{
    const struct mh_debug_target *target = machines->target;

    gdb_trace_forget_steps(&machines->trace);
    if (status == MH_OK)
        machine_relocate(machines, machine);
    else if (!target->ops->vm_alive(target->ctx, machine->vm))
        gdb_machines_kill(machines, machine, GDB_SIGNAL_KILL);
    else
        return status;
    machine->stop = (struct mh_stop){.kind = MH_STOP_STEP};
    machine->stop_pending = false;
    return status;
}

enum mh_status gdb_machines_restore(struct gdb_machines *machines, struct gdb_machine *machine, const char *name,
                                    struct mh_error *err)
{
    const struct mh_debug_target *target = machines->target;

    return machine_on_relocation(machines, machine, target->ops->restore(target->ctx, machine->vm, name, err));
}

bool gdb_machine_can_reverse(const struct gdb_machines *machines, const struct gdb_machine *machine)
{
    const struct mh_debug_target *target = machines->target;

    return target->ops->can_reverse != NULL && target->ops->can_reverse(target->ctx, machine->vm);
}

enum mh_status gdb_machines_go_to(struct gdb_machines *machines, struct gdb_machine *machine, const char *where,
                                  struct mh_error *err)
{
    const struct mh_debug_target *target = machines->target;

    if (!gdb_machine_can_reverse(machines, machine))
        return mh_fail(err, MH_ERR_USAGE, GDB_NO_HISTORY, machine->vm);
    return machine_on_relocation(machines, machine, target->ops->go_to(target->ctx, machine->vm, where, err));
}

/* HLT ends the machine, unless machines are to be held there. */
static void machine_on_halt(struct gdb_machines *machines, struct gdb_machine *machine)
{
    if (machines->hold)
        machine->state = GDB_MACHINE_HELD;
    else
        gdb_machines_finish(machine);
}

/*
 * A stop without a debugger: HLT or a crash is the end, as if there were no stub, unless machines are to be held for a
 * debugger. Anything else was meant for one that has detached.
 */
static void machine_stopped_detached(struct gdb_machines *machines, struct gdb_machine *machine)
{
    if (machine->stop.kind == MH_STOP_HALTED)
        machine_on_halt(machines, machine);
    else if (!mh_stop_is_crash(&machine->stop))
        gdb_machines_resume(machines, machine, &resume_continue);
    else if (!machines->hold)
        gdb_machines_kill(machines, machine, gdb_stop_signal(&machine->stop));
}

void gdb_machines_on_stop(struct gdb_machines *machines, unsigned vm, const struct mh_stop *stop)
{
    struct gdb_machine *machine = gdb_machines_find(machines, vm);

    if (machine == NULL)
        return;
    bool is_switching = machine->state == GDB_MACHINE_SWITCHING;
    machine->state = GDB_MACHINE_STOPPED;
    machine->stop = *stop;
    if (is_switching && !machine->interrupted) {
        gdb_machines_resume(machines, machine, &machine->how);
        return;
    }
    if (is_switching)
        machine->stop = (struct mh_stop){.kind = MH_STOP_INTERRUPTED};
    machine->stop_pending = true;
    if (!machine->attached)
        machine_stopped_detached(machines, machine);
    else if (stop->kind == MH_STOP_HALTED)
        machine_on_halt(machines, machine);
}

void gdb_machines_interrupt_one(struct gdb_machines *machines, struct gdb_machine *machine)
{
    if (!gdb_machine_is_running(machine))
        return;
    machine->interrupted = true;
    machines->target->ops->interrupt(machines->target->ctx, machine->vm);
}

void gdb_machines_interrupt(struct gdb_machines *machines)
{
    for (unsigned i = 0; i < machines->count; i++)
        if (machines->list[i].attached)
            gdb_machines_interrupt_one(machines, &machines->list[i]);
}

void gdb_machines_on_idle(struct gdb_machines *machines)
{
    for (unsigned i = 0; i < machines->count; i++) {
        struct gdb_machine *machine = &machines->list[i];

        if (!gdb_machine_is_running(machine))
            continue;
        machine->state = GDB_MACHINE_STOPPED;
        machine->stop = (struct mh_stop){.kind = MH_STOP_INTERRUPTED};
        machine->stop_pending = true;
    }
}

/* What only comes from stopping everything is not reported. */
static void machine_forget_halt(struct gdb_machine *machine)
{
    if (machine->state != GDB_MACHINE_STOPPED)
        return;
    if (machine->stop.kind != MH_STOP_INTERRUPTED && machine->stop.kind != MH_STOP_STEP)
        return;
    machine->stop.kind = MH_STOP_STEP;
    machine->stop_pending = false;
}

/* Let machines run until one stops, and return that one; NULL if none has. */
static struct gdb_machine *machines_wait(struct gdb_machines *machines)
{
    const struct mh_debug_target *target = machines->target;
    struct mh_stop stop = {.kind = MH_STOP_INTERRUPTED};
    unsigned vm = 0;

    switch (target->ops->wait(target->ctx, NULL, 0, &vm, &stop)) {
    case MH_WAIT_STOPPED:
        gdb_machines_on_stop(machines, vm, &stop);
        return gdb_machines_find(machines, vm);
    case MH_WAIT_IDLE:
        gdb_machines_on_idle(machines);
        break;
    case MH_WAIT_INPUT:
        break;
    }
    return NULL;
}

void gdb_machines_halt(struct gdb_machines *machines)
{
    gdb_machines_interrupt(machines);
    while (gdb_machines_running(machines, true)) {
        struct gdb_machine *stopped = machines_wait(machines);

        if (stopped != NULL)
            machine_forget_halt(stopped);
    }
}

void gdb_machines_halt_one(struct gdb_machines *machines, struct gdb_machine *machine)
{
    if (!gdb_machine_is_running(machine))
        return;
    gdb_machines_interrupt_one(machines, machine);
    while (gdb_machine_is_running(machine))
        machines_wait(machines);
    machine_forget_halt(machine);
}

bool gdb_machines_pause(struct gdb_machines *machines, struct gdb_machine *machine)
{
    bool stops_anyway = machine->interrupted;

    if (!machine->attached || !gdb_machine_is_running(machine))
        return false;
    gdb_machines_interrupt_one(machines, machine);
    while (gdb_machine_is_running(machine))
        machines_wait(machines);
    if (stops_anyway || machine->state != GDB_MACHINE_STOPPED || machine->stop.kind != MH_STOP_INTERRUPTED)
        return false;
    machine->stop_pending = false;
    return true;
}

void gdb_machines_unpause(struct gdb_machines *machines, struct gdb_machine *machine)
{
    if (!machine->attached || !gdb_machine_is_stopped(machine) || machine->stop_pending)
        return;
    machine->resume_pending = true;
    gdb_machines_resume(machines, machine, &machine->how);
}

void gdb_machines_attach(struct gdb_machine *machine)
{
    machine->attached = true;
    machine->resume_pending = machine->stop_reported = machine->stop_requested = machine->unannounced = false;
    machine->tdesc_sent = false;
    machine->found_running = machine->has_run;
}

void gdb_machines_detach(struct gdb_machines *machines, struct gdb_machine *machine)
{
    const struct mh_debug_target *target = machines->target;

    machine->attached = false;
    if (machine->state == GDB_MACHINE_ENDED)
        return; /* the target may have no machine; if one is started again, all breakpoints are forgotten then */
    target->ops->clear_all_breakpoints(target->ctx, machine->vm);
    gdb_trace_on_detach(&machines->trace);
    gdb_breakpoint_table_keep_persistent(&machine->breakpoints);
    for (size_t i = 0; i < machine->breakpoints.count; i++) {
        const struct gdb_breakpoint *point = &machine->breakpoints.list[i];

        /* it was inserted a moment ago; if it cannot be inserted now, it is lost like the others */
        target->ops->set_breakpoint(target->ctx, machine->vm, MH_OWNER_DEBUGGER, point->kind, point->address, 1, NULL);
    }
}

void gdb_machines_clear_persistent(struct gdb_machines *machines, struct gdb_machine *machine)
{
    for (size_t i = machine->breakpoints.count; i-- > 0;) {
        const struct gdb_breakpoint point = machine->breakpoints.list[i];

        if (point.persists)
            gdb_machines_clear_breakpoint(machines, machine, point.kind, point.address, 1, NULL);
    }
}

void gdb_machines_run_detached(struct gdb_machines *machines, struct gdb_machine *machine)
{
    if (!gdb_machine_is_stopped(machine))
        return;
    if (machine->state == GDB_MACHINE_HELD)
        gdb_machines_finish(machine);
    else if (mh_stop_is_crash(&machine->stop))
        gdb_machines_kill(machines, machine, gdb_stop_signal(&machine->stop));
    else
        gdb_machines_resume(machines, machine, &resume_continue);
}
