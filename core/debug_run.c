/*
 * What a debugger's resume comes to. Two ways to enter the guest: freely, with everything armed, and one instruction at
 * a time.
 */
#include "debug_step.h"
#include "debug_user.h"

void debug_forget_run(struct debug *debug)
{
    debug->running = debug->killed = debug->interrupt_wanted = debug->watch_hit = false;
    debug->control_is_current = false;
    debug->last_stop = (struct mh_stop){.kind = MH_STOP_INTERRUPTED};
}

static bool stop_at_breakpoint(struct mh_vm *vm, struct mh_stop *stop)
{
    const struct breakpoint *breakpoint = breakpoints_at(&vm->debug.breakpoints, vcpu_regs(&vm->vcpu)->rip);
    if (breakpoint == NULL)
        return false;
    stop->kind = breakpoint->kind == MH_BREAK_SOFTWARE ? MH_STOP_BREAKPOINT : MH_STOP_HW_BREAKPOINT;
    return true;
}

/*
 * Why a machine should not go on before anything else happens: *end is set when this returns true. An interrupt that
 * comes when the guest has got to a breakpoint, but not been stopped by it, is the later of the two: the next resume
 * would step over that breakpoint.
 */
static bool must_come_back(struct mh_vm *vm, struct mh_stop *stop, enum debug_end *end)
{
    if (vm->debug.interrupt_wanted) {
        bool can_have_arrived = vm->debug.has_entered && vcpu_regs(&vm->vcpu) != NULL;
        if (!can_have_arrived || !stop_at_breakpoint(vm, stop))
            stop->kind = MH_STOP_INTERRUPTED;
        *end = DEBUG_STOPPED;
        return true;
    }
    *end = DEBUG_INPUT;
    return atomic_load(&vm->stop_wanted) || debug_has_input(&vm->debug);
}

static bool range_is_left(struct mh_vm *vm)
{
    uint64_t rip = vcpu_regs(&vm->vcpu)->rip;
    return rip < vm->debug.how.start || rip >= vm->debug.how.end;
}

/* After an instruction was stepped: does that end what the debugger asked for? */
static bool step_is_enough(struct mh_vm *vm, struct mh_stop *stop)
{
    vm->debug.has_entered = true;
    stop->kind = MH_STOP_STEP;
    if (vm->debug.how.kind == MH_RESUME_STEP)
        return true;
    if (vm->debug.breakpoints.count > 0 && stop_at_breakpoint(vm, stop))
        return true;
    return vm->debug.how.kind == MH_RESUME_RANGE && range_is_left(vm);
}

/* Run freely until something stops it. */
static enum outcome run_free(struct mh_vm *vm, struct mh_stop *stop)
{
    struct breakpoints *breakpoints = &vm->debug.breakpoints;
    enum outcome outcome;
    vm->debug.watch_hit = false;
    do {
        breakpoints_refresh(breakpoints);
        debug_user_guard(vm);
        debug_set_control(vm, breakpoints->patch_count > 0 ? KVM_GUESTDBG_USE_SW_BP : 0, 0);
        outcome = debug_enter(vm, stop);
        if ((outcome == OUTCOME_SERVED || outcome == OUTCOME_STEPPED) && vm->debug.watch_hit) {
            debug_finish_instruction(vm);
            outcome = debug_stop_at_watch(vm, stop);
        }
    } while (outcome == OUTCOME_SERVED || outcome == OUTCOME_STEPPED);
    breakpoints_unpatch(breakpoints);
    if (outcome != OUTCOME_PATCH)
        return outcome;
    if (stop_at_breakpoint(vm, stop))
        return OUTCOME_STOPPED;
    return debug_step_once(vm, stop); /* a handler of the guest's that was guarded, and entered for its own sake */
}

/* One turn of whatever the debugger asked for: a step, or a free run. */
static enum outcome take_turn(struct mh_vm *vm, struct mh_stop *stop)
{
    const struct breakpoints *breakpoints = &vm->debug.breakpoints;
    if (vcpu_regs(&vm->vcpu) == NULL)
        return debug_cannot_go_on(stop, vm->vcpu.registers_errno);
    bool at_breakpoint = !vm->debug.has_entered && breakpoints->count > 0 &&
                         breakpoints_at(breakpoints, vcpu_regs(&vm->vcpu)->rip) != NULL;
    bool one_step = vm->debug.how.kind != MH_RESUME_CONTINUE || at_breakpoint;
    int result = 0;
    if (breakpoints->count > 0 || vm->slots.read_only.count > 0 || breakpoints->register_count > 0)
        result = breakpoints_arm(vm, one_step);
    if (result < 0)
        return debug_cannot_go_on(stop, -result);
    if (one_step)
        return debug_step_once(vm, stop);
    if (breakpoints->breaks_by_step || breakpoints->reads_by_step || vm->debug.catches.by_step) {
        breakpoints_unpatch(&vm->debug.breakpoints);
        return debug_step_once(vm, stop);
    }
    vm->debug.has_entered = true;
    return run_free(vm, stop);
}

enum debug_end debug_run(struct mh_vm *vm, struct mh_stop *stop)
{
    enum debug_end end;
    if (vm->debug.how.kind == MH_RESUME_STEP)
        debug_ignore_input(vm);
    vcpu_drop_input_signal(); /* of packets before this */
    /* most single steps are over before anybody could want to end them; see may_run_on() */
    bool look = vm->debug.interrupt_wanted || (vm->debug.how.kind != MH_RESUME_STEP && debug_heed_kicks(vm));
    for (;;) {
        *stop = (struct mh_stop){.kind = MH_STOP_HALTED};
        look |= vcpu_accept_kicks(&vm->vcpu);
        if (look && must_come_back(vm, stop, &end))
            return end;
        enum outcome outcome = take_turn(vm, stop);
        look = outcome == OUTCOME_KICKED;
        if (outcome == OUTCOME_STOPPED && stop->kind == MH_STOP_INTERRUPTED && !vm->debug.interrupt_wanted)
            return DEBUG_INPUT; /* a wait for serial input gave way to the debugger */
        if (outcome == OUTCOME_STOPPED || (outcome == OUTCOME_STEPPED && step_is_enough(vm, stop))) {
            serial_flush(&vm->serial);
            return DEBUG_STOPPED;
        }
    }
}
