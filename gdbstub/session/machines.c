#include "session/machines.h"

#include "protocol/signals.h"
#include "session/breakpoint_should_stop.h"

static const struct mh_resume go_on = {.kind = MH_RESUME_CONTINUE};
static const struct mh_resume one_step = {.kind = MH_RESUME_STEP};

void gdb_machines_init(struct gdb_machines *machines, const struct mh_debug_target *target, struct gdb_machine *list,
                       unsigned count, bool hold)
{
    *machines = (struct gdb_machines){.target = target, .list = list, .count = count, .hold = hold};
    for (unsigned i = 0; i < count; i++) {
        unsigned vm = target->ops->vm_number(target->ctx, i);

        list[i] = (struct gdb_machine){.vm = vm, .stop.kind = MH_STOP_STEP};
        if (!target->ops->vm_alive(target->ctx, vm))
            list[i].state = GDB_MACHINE_ENDED;
    }
}

void gdb_machines_free(struct gdb_machines *machines)
{
    for (unsigned i = 0; i < machines->count; i++)
        gdb_breakpoint_table_free(&machines->list[i].breakpoints);
    gdb_trace_free(&machines->trace);
}

const struct gdb_x86_layout *gdb_machines_layout(struct gdb_machines *machines, const struct gdb_machine *machine)
{
    uint64_t xcr0 = machines->target->ops->xcr0_supported(machines->target->ctx, machine->vm);

    if (machines->layout.count == 0 || machines->layout_xcr0 != xcr0) {
        gdb_x86_layout_init(&machines->layout, xcr0);
        machines->layout_xcr0 = xcr0;
    }
    return &machines->layout;
}

void gdb_machines_print(const struct gdb_machines *machines, const struct gdb_machine *machine, const char *text,
                        size_t length)
{
    if (machines->print)
        machines->print(machines->print_ctx, machine, text, length);
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

        if (machine->state == GDB_MACHINE_RUNNING && (machine->attached || !attached_only))
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
    if (kind == MH_BREAK_SOFTWARE && gdb_trace_needs(machines, address))
        return MH_OK;
    return target->ops->clear_breakpoint(target->ctx, machine->vm, kind, address, length, err);
}

void gdb_machines_resume(struct gdb_machines *machines, struct gdb_machine *machine, const struct mh_resume *how)
{
    machine->state = GDB_MACHINE_RUNNING;
    machine->started = true;
    machine->stop_pending = machine->interrupted = machine->relocated = false;
    machine->how = *how;
    machine->stepping_for_trace = how->kind != MH_RESUME_STEP && gdb_trace_is_stepping(machines);
    machines->target->ops->resume(machines->target->ctx, machine->vm, machine->stepping_for_trace ? &one_step : how);
}

void gdb_machines_kill(struct gdb_machines *machines, struct gdb_machine *machine, uint8_t signal)
{
    machines->target->ops->kill(machines->target->ctx, machine->vm);
    machine->state = GDB_MACHINE_ENDED;
    machine->end_signal = signal;
    machine->stop_pending = machine->held = false;
}

void gdb_machines_finish(struct gdb_machine *machine)
{
    machine->state = GDB_MACHINE_ENDED;
    machine->end_signal = 0;
    machine->held = false;
}

/* What earlier debuggers left in a machine that had ended, or let go, is not for whoever starts it again. */
static void machine_forget_breakpoints(struct gdb_machines *machines, struct gdb_machine *machine)
{
    machines->target->ops->clear_all_breakpoints(machines->target->ctx, machine->vm);
    gdb_breakpoint_table_free(&machine->breakpoints);
}

enum mh_status gdb_machines_restart(struct gdb_machines *machines, struct gdb_machine *machine, struct mh_error *err)
{
    bool is_new = !machine->attached;
    enum mh_status status;

    /* one that was let go runs */
    machine->attached = true;
    gdb_machines_halt(machines);
    if (is_new)
        machine_forget_breakpoints(machines, machine);
    status = machines->target->ops->restart(machines->target->ctx, machine->vm, err);
    if (status != MH_OK)
        return status;
    if (is_new)
        gdb_trace_on_detach(machines); /* its points were among those, and can be set now that there is a machine */
    machine->state = GDB_MACHINE_STOPPED;
    machine->stop = (struct mh_stop){.kind = MH_STOP_STEP};
    machine->stop_pending = machine->held = machine->started = false;
    machine->relocated = true;
    gdb_trace_forget_steps(machines);
    return MH_OK;
}

enum mh_status gdb_machines_restore(struct gdb_machines *machines, struct gdb_machine *machine, const char *name,
                                    struct mh_error *err)
{
    const struct mh_debug_target *target = machines->target;
    enum mh_status status = target->ops->restore(target->ctx, machine->vm, name, err);

    gdb_trace_forget_steps(machines);
    if (status == MH_OK)
        machine->relocated = true;
    else if (!target->ops->vm_alive(target->ctx, machine->vm))
        gdb_machines_kill(machines, machine, GDB_SIGNAL_KILL);
    else
        return status;
    machine->stop = (struct mh_stop){.kind = MH_STOP_STEP};
    machine->stop_pending = machine->held = false;
    return status;
}

/* HLT: the end, unless machines are to be held there. */
static void machine_on_halt(struct gdb_machines *machines, struct gdb_machine *machine)
{
    if (machines->hold)
        machine->held = true;
    else
        gdb_machines_finish(machine);
}

/*
 * Nobody is there to be told: a halt or a crash is the end, as without a debugger, unless machines are to be held
 * for one. Anything else was meant for a debugger that has left.
 */
static void machine_stopped_detached(struct gdb_machines *machines, struct gdb_machine *machine)
{
    if (machine->stop.kind == MH_STOP_HALTED)
        machine_on_halt(machines, machine);
    else if (!mh_stop_is_crash(&machine->stop))
        gdb_machines_resume(machines, machine, &go_on);
    else if (!machines->hold)
        gdb_machines_kill(machines, machine, gdb_stop_signal(&machine->stop));
}

void gdb_machines_on_stop(struct gdb_machines *machines, unsigned vm, const struct mh_stop *stop)
{
    struct gdb_machine *machine = gdb_machines_find(machines, vm);
    bool tracing, detour;

    if (!machine)
        return;
    machine->state = GDB_MACHINE_STOPPED;
    machine->stop = *stop;
    tracing = machines->trace.running;
    detour = machine->stepping_for_trace;
    if (gdb_hit_is_unwanted(machines, machine)) {
        machine->how.again = !detour && tracing == machines->trace.running;
        gdb_machines_resume(machines, machine, &machine->how);
        return;
    }
    machine->stop_pending = true;
    if (!machine->attached)
        machine_stopped_detached(machines, machine);
    else if (stop->kind == MH_STOP_HALTED)
        machine_on_halt(machines, machine);
}

void gdb_machines_interrupt(struct gdb_machines *machines)
{
    for (unsigned i = 0; i < machines->count; i++) {
        struct gdb_machine *machine = &machines->list[i];

        if (!machine->attached || machine->state != GDB_MACHINE_RUNNING)
            continue;
        machine->interrupted = true;
        machines->target->ops->interrupt(machines->target->ctx, machine->vm);
    }
}

void gdb_machines_on_idle(struct gdb_machines *machines)
{
    for (unsigned i = 0; i < machines->count; i++) {
        struct gdb_machine *machine = &machines->list[i];

        if (machine->state != GDB_MACHINE_RUNNING)
            continue;
        machine->state = GDB_MACHINE_STOPPED;
        machine->stop = (struct mh_stop){.kind = MH_STOP_INTERRUPTED};
        machine->stop_pending = true;
    }
}

/* What only came of stopping everything is not worth telling. */
static void machine_forget_halt(struct gdb_machine *machine)
{
    if (!machine || machine->state != GDB_MACHINE_STOPPED)
        return;
    if (machine->stop.kind != MH_STOP_INTERRUPTED && machine->stop.kind != MH_STOP_STEP)
        return;
    machine->stop.kind = MH_STOP_STEP;
    machine->stop_pending = false;
}

void gdb_machines_halt(struct gdb_machines *machines)
{
    const struct mh_debug_target *target = machines->target;

    gdb_machines_interrupt(machines);
    while (gdb_machines_running(machines, true)) {
        struct mh_stop stop = {.kind = MH_STOP_INTERRUPTED};
        unsigned vm = 0;

        switch (target->ops->wait(target->ctx, NULL, 0, &vm, &stop)) {
        case MH_WAIT_STOPPED:
            gdb_machines_on_stop(machines, vm, &stop);
            machine_forget_halt(gdb_machines_find(machines, vm));
            break;
        case MH_WAIT_IDLE:
            gdb_machines_on_idle(machines);
            break;
        case MH_WAIT_INPUT:
            break;
        }
    }
}

void gdb_machines_attach(struct gdb_machine *machine)
{
    machine->attached = true;
    machine->tdesc_sent = false;
    machine->found_running = machine->started;
}

void gdb_machines_detach(struct gdb_machines *machines, struct gdb_machine *machine)
{
    const struct mh_debug_target *target = machines->target;

    machine->attached = false;
    if (machine->state == GDB_MACHINE_ENDED)
        return; /* it may be that there is no machine; should one be started again, all goes then */
    target->ops->clear_all_breakpoints(target->ctx, machine->vm);
    gdb_trace_on_detach(machines);
    gdb_breakpoint_table_keep_persistent(&machine->breakpoints);
    for (size_t i = 0; i < machine->breakpoints.count; i++) {
        const struct gdb_breakpoint *point = &machine->breakpoints.list[i];

        /* it was there a moment ago; if it cannot be set now, it is as gone as the others */
        target->ops->set_breakpoint(target->ctx, machine->vm, point->kind, point->address, 1, NULL);
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
    if (machine->state != GDB_MACHINE_STOPPED)
        return;
    if (machine->held)
        gdb_machines_finish(machine);
    else if (mh_stop_is_crash(&machine->stop))
        gdb_machines_kill(machines, machine, gdb_stop_signal(&machine->stop));
    else
        gdb_machines_resume(machines, machine, &go_on);
}
