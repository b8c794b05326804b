#include "machine/run_loop.h"

#include "machine/events.h"
#include "machine/faults.h"
#include "machine/interrupts.h"
#include "machine/ports.h"
#include "mh/guest_abi.h"
#include "x86/exceptions.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

const char *run_loop_exit_name(enum cpu_exit_kind kind)
{
    static const char *const names[CPU_EXIT_KINDS] = {
        [CPU_EXIT_IO] = "port access",
        [CPU_EXIT_HALT] = "hlt",
        [CPU_EXIT_STEP] = "step",
        [CPU_EXIT_BREAKPOINT] = "breakpoint",
        [CPU_EXIT_WATCHPOINT] = "watchpoint",
        [CPU_EXIT_FAULT_DELIVERED] = "exception delivered",
        [CPU_EXIT_CR3_WRITTEN] = "cr3 written",
        [CPU_EXIT_NO_MEMORY] = "memory without RAM",
        [CPU_EXIT_TRIPLE_FAULT] = "triple fault",
        [CPU_EXIT_COUNT_REACHED] = "instruction count reached",
        [CPU_EXIT_KICKED] = "interrupted by the hypervisor",
        [CPU_EXIT_ERROR] = "processor error",
    };
    return names[kind];
}

#define BATCH_MAX 256u

/* Serial bytes that came without an exit of their own. */
static void run_loop_take_batch(struct mh_vm *vm)
{
    uint8_t bytes[BATCH_MAX];
    size_t count;
    while ((count = vm->cpu->ops->take_batch(vm->cpu, bytes, sizeof bytes)) > 0) {
        serial_put(&vm->serial, bytes, count);
        events_batch(vm, bytes, count);
    }
}

static void run_loop_enter(struct mh_vm *vm, const struct cpu_request *request, struct cpu_exit *exit)
{
    events_enter(vm);
    vm->cpu->ops->run(vm->cpu, request, exit);
    if (vm->gathers_serial)
        run_loop_take_batch(vm);
    vm->exits[exit->kind]++;
    events_exit(vm, run_loop_exit_name(exit->kind));
}

static bool run_loop_stop(struct run_result *result, enum mh_stop_kind kind)
{
    result->stop.kind = kind;
    return true;
}

static bool run_loop_stop_for_io(struct run_result *result, int error)
{
    result->stop.host_errno = -error;
    return run_loop_stop(result, MH_STOP_IO_ERROR);
}

/* Output could not be written. A write interrupted by a request to stop does not count. */
static bool run_loop_serial_failed(const struct mh_vm *vm)
{
    return vm->serial.error != 0 && vm->serial.error != EINTR;
}

/* Was a catchpoint hit, or did the instruction end a step? Both stop after it. */
static bool run_loop_instruction_done(struct mh_vm *vm, const struct cpu_request *request, struct run_result *result)
{
    if (result->stop.kind == MH_STOP_CAUGHT)
        return true;
    if (request->mode != CPU_STEP)
        return false;
    uint64_t rip = vm_rip(vm);
    if (rip >= request->range_start && rip < request->range_end)
        return false;
    return run_loop_stop(result, MH_STOP_STEP);
}

static bool run_loop_differs(struct mh_vm *vm, const struct cpu_exit *exit, struct run_result *result)
{
    uint64_t count = 0;
    vm->cpu->ops->instructions(vm->cpu, &count);
    snprintf(result->stop.text, sizeof result->stop.text,
             "the guest does not repeat what it did: the access it makes at instruction %" PRIu64
             ", %s of %u bytes %s port 0x%x, is not the one that was recorded",
             count, exit->is_in ? "an IN" : "an OUT", exit->width, exit->is_in ? "from" : "to", exit->port);
    return run_loop_stop(result, MH_STOP_HOST_ERROR);
}

static bool run_loop_recording_ends(struct mh_vm *vm, const struct cpu_exit *exit, struct run_result *result)
{
    if (exit->is_in)
        vm->cpu->ops->cancel_in(vm->cpu);
    else
        vm->cpu->ops->finish_io(vm->cpu);
    return run_loop_stop(result, MH_STOP_HISTORY_END);
}

static bool run_loop_stop_for_exchange(struct mh_vm *vm, struct run_result *result)
{
    snprintf(result->stop.text, sizeof result->stop.text, "%s", vm->exchange_error);
    vm->exchange_error[0] = '\0';
    return run_loop_stop(result, MH_STOP_EXCHANGE);
}

/* A wait was broken off, and what waited has been undone. */
static bool run_loop_leave_wait(struct mh_vm *vm, struct run_result *result)
{
    result->in_was_cancelled = true;
    if ((atomic_load(&vm->requests) & VM_REQUEST_STOP) != 0)
        return run_loop_stop(result, MH_STOP_INTERRUPTED);
    result->end = RUN_KICKED;
    return true;
}

static bool run_loop_io(struct mh_vm *vm, const struct cpu_request *request, const struct cpu_exit *exit,
                        struct run_result *result)
{
    int error = ports_serve(vm, request, exit, &result->stop);
    if (error == -EINTR) {
        vm->cpu->ops->cancel_in(vm->cpu);
        return run_loop_leave_wait(vm, result);
    }
    if (error == -EILSEQ)
        return run_loop_differs(vm, exit, result);
    if (error == -ENODATA)
        return run_loop_recording_ends(vm, exit, result);
    if (error < 0) { /* the guest got nothing, so its IN has not begun */
        vm->cpu->ops->cancel_in(vm->cpu);
        return run_loop_stop_for_io(result, error);
    }
    bool is_broken = vm->exchange_error[0] != '\0';
    if (result->stop.kind != MH_STOP_CAUGHT && !is_broken)
        return false; /* the next run() completes it, and ends a step with the traps that follow */
    vm->cpu->ops->finish_io(vm->cpu);
    return is_broken ? run_loop_stop_for_exchange(vm, result) : true;
}

static bool run_loop_event(struct mh_vm *vm, const struct cpu_request *request, struct mh_event *event,
                           struct run_result *result)
{
    events_tell(vm, event, &result->stop);
    return run_loop_instruction_done(vm, request, result);
}

static bool run_loop_fault(struct mh_vm *vm, const struct cpu_request *request, const struct cpu_exit *exit,
                           struct run_result *result)
{
    struct mh_event event = {.kind = MH_EVENT_FAULT, .vector = exit->vector, .handler = exit->handler};
    return run_loop_event(vm, request, &event, result);
}

static bool run_loop_cr3(struct mh_vm *vm, const struct cpu_request *request, const struct cpu_exit *exit,
                         struct run_result *result)
{
    struct mh_event event = {.kind = MH_EVENT_CR3, .old = exit->old_cr3, .now = exit->new_cr3};
    return run_loop_event(vm, request, &event, result);
}

static bool run_loop_no_memory(const struct cpu_exit *exit, struct run_result *result)
{
    result->stop.physical = exit->physical;
    result->stop.is_write = exit->is_write;
    return run_loop_stop(result, MH_STOP_NO_MEMORY);
}

static bool run_loop_error(const struct cpu_exit *exit, struct run_result *result)
{
    snprintf(result->stop.text, sizeof result->stop.text, "%s", exit->text);
    memcpy(result->stop.instruction, exit->instruction, exit->instruction_length);
    result->stop.instruction_length = exit->instruction_length;
    return run_loop_stop(result, exit->is_host_error ? MH_STOP_HOST_ERROR : MH_STOP_CPU_ERROR);
}

static bool run_loop_point(const struct cpu_exit *exit, enum mh_stop_kind kind, struct run_result *result)
{
    result->point = exit->point;
    return run_loop_stop(result, kind);
}

static bool run_loop_kicked(struct mh_vm *vm, const struct cpu_request *request, struct run_result *result)
{
    serial_flush(&vm->serial);
    if (vm->record_hooks.flush != NULL)
        vm->record_hooks.flush(vm->record_hooks.ctx);
    if (request->wake_count == 0)
        return false;
    result->end = RUN_KICKED;
    return true;
}

/* Was the machine in a stub? It then stands where the fault happened, and neither the delivery of a fault nor the HLT
 * of the stub is counted: `executed` is the number of the stub's instructions. Traps are not counted at all, and INT3
 * as the instruction it is. */
static bool run_loop_take_fault(struct mh_vm *vm, uint64_t executed, struct run_result *result)
{
    struct cpu *cpu = vm->cpu;
    uint64_t count;
    if (!faults_take_from_stub(vm, &result->stop))
        return false;
    if (result->stop.kind == MH_STOP_EXCEPTION && cpu->ops->instructions(cpu, &count)) {
        bool is_fault = result->stop.vector != EXCEPTION_DEBUG && result->stop.vector != EXCEPTION_BREAKPOINT;
        cpu->ops->set_instructions(cpu, count - executed - is_fault);
    }
    return true;
}

static bool run_loop_halt(struct mh_vm *vm, const struct cpu_request *request, struct run_result *result)
{
    if (run_loop_take_fault(vm, 1, result))
        return true;
    switch (interrupts_halt(vm, request, &result->interrupt, vm->exchange_error)) {
    case INTERRUPTS_END:
        break;
    case INTERRUPTS_WAKE: /* with an interrupt, the next run() ends a step */
        return result->interrupt == 0 && run_loop_instruction_done(vm, request, result);
    case INTERRUPTS_STOPPED:
        return run_loop_stop_for_exchange(vm, result);
    case INTERRUPTS_CANCELLED:
        interrupts_cancel_halt(vm);
        return run_loop_leave_wait(vm, result);
    case INTERRUPTS_LOG_ENDS:
        interrupts_cancel_halt(vm);
        return run_loop_stop(result, MH_STOP_HISTORY_END);
    }
    return run_loop_stop(result, MH_STOP_HALTED);
}

/* Serve one exit. True when the run ends, with *result filled in. */
static bool run_loop_serve(struct mh_vm *vm, const struct cpu_request *request, const struct cpu_exit *exit,
                           struct run_result *result)
{
    switch (exit->kind) {
    case CPU_EXIT_IO:
        return run_loop_io(vm, request, exit, result);
    case CPU_EXIT_HALT:
        return run_loop_halt(vm, request, result);
    case CPU_EXIT_STEP: /* a fault without a handler leads to a stub, which need not be executed */
        return run_loop_take_fault(vm, 0, result) || run_loop_stop(result, MH_STOP_STEP);
    case CPU_EXIT_COUNT_REACHED:
        if (run_loop_take_fault(vm, 0, result))
            return true;
        result->count_reached = true;
        return run_loop_stop(result, MH_STOP_STEP);
    case CPU_EXIT_BREAKPOINT:
        return run_loop_point(exit, MH_STOP_BREAKPOINT, result);
    case CPU_EXIT_WATCHPOINT:
        return run_loop_point(exit, MH_STOP_WATCHPOINT, result);
    case CPU_EXIT_FAULT_DELIVERED:
        return run_loop_fault(vm, request, exit, result);
    case CPU_EXIT_CR3_WRITTEN:
        return run_loop_cr3(vm, request, exit, result);
    case CPU_EXIT_NO_MEMORY:
        return run_loop_no_memory(exit, result);
    case CPU_EXIT_TRIPLE_FAULT:
        return run_loop_stop(result, MH_STOP_TRIPLE_FAULT);
    case CPU_EXIT_KICKED:
        return run_loop_kicked(vm, request, result);
    case CPU_EXIT_ERROR:
        return run_loop_error(exit, result);
    }
    return run_loop_stop(result, MH_STOP_CPU_ERROR);
}

/* Must the run end before the guest is entered again? Not between an interrupt that was taken and its delivery. */
static bool run_loop_is_stopped(struct mh_vm *vm, struct run_result *result)
{
    if (result->interrupt != 0 || (atomic_load(&vm->requests) & VM_REQUEST_STOP) == 0)
        return false;
    vm->cpu->ops->finish_io(vm->cpu);
    return run_loop_stop(result, MH_STOP_INTERRUPTED);
}

/* Was it left for an access to a port that logs number? Not for what the serial port ignores. */
static bool run_loop_is_numbered(const struct cpu_exit *exit)
{
    return exit->kind == CPU_EXIT_IO && (exit->port != MH_PORT_SERIAL || exit->is_in || exit->width == 1);
}

/* Tell the other machines whether this one takes part in the exchange. What it does in its past does not concern them.
 */
static void run_loop_join_exchange(const struct mh_vm *vm)
{
    if (vm->config.exchange != NULL && !vm->is_replaying)
        exchange_return(vm->config.exchange, vm->config.number);
}

static void run_loop_leave_exchange(const struct mh_vm *vm, const struct run_result *result)
{
    const bool has_ended = result->stop.kind == MH_STOP_HALTED || mh_stop_is_crash(&result->stop);
    if (vm->config.exchange != NULL && !vm->is_replaying && result->end == RUN_STOPPED && has_ended)
        mh_exchange_leave(vm->config.exchange, vm->config.number);
}

/* Everything is empty but for the bytes behind the end of a text, which would take longer than an exit. */
static void run_loop_clear_exit(struct cpu_exit *exit)
{
    memset(exit, 0, offsetof(struct cpu_exit, text) + 1);
    memset(exit->instruction, 0, sizeof *exit - offsetof(struct cpu_exit, instruction));
    exit->kind = CPU_EXIT_KICKED;
}

static void run_loop_clear_result(struct run_result *result)
{
    const size_t text = offsetof(struct run_result, stop.text), behind = offsetof(struct run_result, stop.instruction);
    memset(result, 0, text + 1);
    memset((char *)result + behind, 0, sizeof *result - behind);
    result->end = RUN_STOPPED;
    result->stop.kind = MH_STOP_HALTED;
}

void run_loop(struct mh_vm *vm, const struct cpu_request *request, struct run_result *result)
{
    struct cpu_request again = *request;
    struct cpu_exit exit;
    bool is_over = false;
    run_loop_clear_exit(&exit);
    run_loop_clear_result(result);
    run_loop_join_exchange(vm);
    while (!is_over) {
        if (run_loop_is_stopped(vm, result))
            break;
        again.interrupt = result->interrupt;
        if (again.interrupt == 0 && interrupts_may_come(vm))
            again.interrupt = interrupts_take(vm, request, run_loop_is_numbered(&exit));
        result->interrupt = 0;
        run_loop_enter(vm, &again, &exit);
        again.step_off = false;
        is_over = run_loop_serve(vm, request, &exit, result);
        if ((!is_over || result->end == RUN_KICKED) && run_loop_serial_failed(vm)) {
            vm->cpu->ops->finish_io(vm->cpu);
            result->end = RUN_STOPPED;
            is_over = run_loop_stop_for_io(result, -vm->serial.error);
        }
    }
    serial_flush(&vm->serial);
    if (result->end == RUN_STOPPED && run_loop_serial_failed(vm)) {
        if (result->stop.kind == MH_STOP_HALTED)
            run_loop_stop_for_io(result, -vm->serial.error);
        else
            result->stop.host_errno = vm->serial.error;
    }
    run_loop_leave_exchange(vm, result);
}
