#include "machine/interrupts.h"

#include "machine/events.h"
#include "machine/ports.h"
#include "mh/guest_abi.h"

static void interrupts_tell(struct mh_vm *vm, uint8_t vector)
{
    if (vector == 0 || !events_wanted(vm))
        return;
    struct mh_event event = {.kind = MH_EVENT_INTERRUPT, .vector = vector};
    struct mh_stop none = {.kind = MH_STOP_CAUGHT}; /* there is no catchpoint for it */
    events_tell(vm, &event, &none);
}

/* What a log says, and let other logs have it too. */
static enum vm_replayed interrupts_replay(struct mh_vm *vm, bool at_halt, uint8_t *vector, bool *ends)
{
    const struct vm_port_hooks *hooks = &vm->port_hooks;
    const struct vm_replay_hooks *replay = &vm->replay_hooks;
    enum vm_replayed result = VM_LIVE;
    *ends = false;
    if (hooks->replay_interrupt != NULL)
        result = hooks->replay_interrupt(hooks->ctx, at_halt, vector);
    if (result != VM_LIVE || replay->interrupt == NULL)
        return result;
    result = replay->interrupt(replay->ctx, at_halt, vector, ends);
    if (result == VM_REPLAYED && hooks->interrupted != NULL)
        hooks->interrupted(hooks->ctx, at_halt, *vector);
    return result;
}

static void interrupts_log(struct mh_vm *vm, bool at_halt, uint8_t vector)
{
    if (vm->port_hooks.interrupted != NULL)
        vm->port_hooks.interrupted(vm->port_hooks.ctx, at_halt, vector);
    if (vm->record_hooks.interrupted != NULL)
        vm->record_hooks.interrupted(vm->record_hooks.ctx, at_halt, vector);
}

/* The exchange's interrupt is delivered now. */
static uint8_t interrupts_take_exchange(struct mh_vm *vm, bool at_halt)
{
    exchange_take_interrupt(vm->config.exchange, vm->config.number);
    vm->exchanged++;
    interrupts_log(vm, at_halt, MH_VECTOR_EXCHANGE);
    return MH_VECTOR_EXCHANGE;
}

/* A debugger that steps through a program does not want to find itself in a handler after any instruction. */
static bool interrupts_are_held(const struct mh_vm *vm, const struct cpu_request *request)
{
    return request->mode == CPU_STEP && !vm->steps_into_interrupts;
}

static uint8_t interrupts_take_live(struct mh_vm *vm, const struct cpu_request *request)
{
    struct cpu *cpu = vm->cpu;
    if (vm->config.exchange == NULL || interrupts_are_held(vm, request) ||
        !exchange_is_pending(vm->config.exchange, vm->config.number))
        return 0;
    cpu->ops->finish_io(cpu);
    return cpu->ops->accepts_interrupt(cpu) ? interrupts_take_exchange(vm, false) : 0;
}

uint8_t interrupts_take(struct mh_vm *vm, const struct cpu_request *request, bool at_access)
{
    uint8_t vector = 0;
    bool ends;
    switch (interrupts_replay(vm, false, &vector, &ends)) {
    case VM_LIVE:
        vector = at_access ? interrupts_take_live(vm, request) : 0;
        break;
    case VM_REPLAYED_NOTHING:
        return 0;
    case VM_REPLAYED:
        vm->cpu->ops->finish_io(vm->cpu);
        break;
    }
    interrupts_tell(vm, vector);
    return vector;
}

/* ---- HLT ---- */

static enum exchange_wait interrupts_wait(struct mh_vm *vm, const struct cpu_request *request, char *text)
{
    enum exchange_wait end;
    serial_flush(&vm->serial);
    do {
        end = exchange_wait(vm->config.exchange, vm->config.number, request->wake_fds, request->wake_count, text);
        if (end == EXCHANGE_WAIT_ENDS && vm->record_hooks.flush != NULL)
            vm->record_hooks.flush(vm->record_hooks.ctx);
    } while (end == EXCHANGE_WAIT_ENDS && !ports_must_leave(vm, request));
    return end;
}

static enum interrupts_halt interrupts_halt_live(struct mh_vm *vm, const struct cpu_request *request, uint8_t *vector,
                                                 char *text)
{
    if (vm->config.exchange == NULL || !vm->cpu->ops->accepts_interrupt(vm->cpu))
        return INTERRUPTS_END;
    switch (interrupts_wait(vm, request, text)) {
    case EXCHANGE_INTERRUPT:
        break;
    case EXCHANGE_NO_MORE:
        return INTERRUPTS_END;
    case EXCHANGE_STOPPED:
        return INTERRUPTS_STOPPED;
    case EXCHANGE_WAIT_ENDS:
        return INTERRUPTS_CANCELLED;
    }
    if (interrupts_are_held(vm, request))
        interrupts_log(vm, true, 0);
    else
        *vector = interrupts_take_exchange(vm, true);
    return INTERRUPTS_WAKE;
}

enum interrupts_halt interrupts_halt(struct mh_vm *vm, const struct cpu_request *request, uint8_t *vector, char *text)
{
    enum interrupts_halt end = INTERRUPTS_WAKE;
    bool ends;
    *vector = 0;
    switch (interrupts_replay(vm, true, vector, &ends)) {
    case VM_LIVE:
        end = interrupts_halt_live(vm, request, vector, text);
        break;
    case VM_REPLAYED_NOTHING:
        end = ends ? INTERRUPTS_LOG_ENDS : INTERRUPTS_END;
        break;
    case VM_REPLAYED:
        break;
    }
    interrupts_tell(vm, *vector);
    return end;
}

/* The opcode of HLT is its last byte, so one byte before is a HLT whatever prefixes it has. */
void interrupts_cancel_halt(struct mh_vm *vm)
{
    struct cpu *cpu = vm->cpu;
    struct mh_x86_regs regs;
    uint64_t count;
    if (!vm_read_regs(vm, MH_REGS_GENERAL, &regs))
        return;
    regs.general.rip--;
    cpu->ops->write_regs(cpu, MH_REGS_GENERAL, &regs, NULL);
    if (cpu->ops->instructions(cpu, &count))
        cpu->ops->set_instructions(cpu, count - 1);
}
