/* Entering the guest again and again until an exit is a reason to stop: a table from exit reason to handler. */
#include "run_loop.h"

#include "enter.h"
#include "faults.h"
#include "ioport.h"
#include "soft_interrupt.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* Handles one exit. Returns true when the machine stops, with *stop filled in. */
typedef bool exit_handler(struct mh_vm *vm, struct mh_stop *stop);

static bool stop_with(struct mh_stop *stop, enum mh_stop_kind kind)
{
    stop->kind = kind;
    return true;
}

static bool handle_io(struct mh_vm *vm, struct mh_stop *stop)
{
    const struct kvm_run *run = vm->vcpu.run;
    if (run->io.port != MH_PORT_SERIAL || run->io.direction == KVM_EXIT_IO_IN)
        serial_flush(&vm->serial);
    int result = ioport_serve(vm);
    if (result == 0)
        return false;
    if (result == -EINTR)
        return stop_with(stop, MH_STOP_INTERRUPTED);
    stop->host_errno = -result;
    return stop_with(stop, MH_STOP_IO_ERROR);
}

static bool handle_hlt(struct mh_vm *vm, struct mh_stop *stop)
{
    if (!faults_take_from_stub(vm, stop))
        stop->kind = MH_STOP_HALTED;
    return true;
}

static bool handle_mmio(struct mh_vm *vm, struct mh_stop *stop)
{
    const struct kvm_run *run = vm->vcpu.run;
    stop->physical = run->mmio.phys_addr;
    stop->is_write = run->mmio.is_write != 0;
    return stop_with(stop, MH_STOP_NO_MEMORY);
}

static bool handle_shutdown(struct mh_vm *vm, struct mh_stop *stop)
{
    (void)vm;
    return stop_with(stop, MH_STOP_TRIPLE_FAULT);
}

/* The instruction is only told by KVMs that know it, and only in this layout. */
static void copy_instruction(const struct kvm_run *run, struct mh_stop *stop)
{
    const __u64 flag = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
    if (run->internal.suberror != KVM_INTERNAL_ERROR_EMULATION || run->emulation_failure.ndata < 3 ||
        (run->emulation_failure.flags & flag) == 0)
        return;
    uint8_t size = run->emulation_failure.insn_size;
    stop->instruction_length = size < MH_INSTRUCTION_MAX ? size : MH_INSTRUCTION_MAX;
    memcpy(stop->instruction, run->emulation_failure.insn_bytes, stop->instruction_length);
}

static bool handle_internal_error(struct mh_vm *vm, struct mh_stop *stop)
{
    const struct kvm_run *run = vm->vcpu.run;
    if (run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION && soft_interrupt_deliver(vm))
        return false;
    stop->exit_reason = run->exit_reason;
    stop->suberror = run->internal.suberror;
    copy_instruction(run, stop);
    return stop_with(stop, MH_STOP_KVM_ERROR);
}

static bool handle_fail_entry(struct mh_vm *vm, struct mh_stop *stop)
{
    stop->exit_reason = vm->vcpu.run->exit_reason;
    stop->hardware_reason = vm->vcpu.run->fail_entry.hardware_entry_failure_reason;
    return stop_with(stop, MH_STOP_KVM_ERROR);
}

static bool handle_other(struct mh_vm *vm, struct mh_stop *stop)
{
    stop->exit_reason = vm->vcpu.run->exit_reason;
    stop->hardware_reason = vm->vcpu.run->hw.hardware_exit_reason;
    return stop_with(stop, MH_STOP_KVM_ERROR);
}

static exit_handler *const exit_handlers[] = {
    [KVM_EXIT_IO] = handle_io,
    [KVM_EXIT_HLT] = handle_hlt,
    [KVM_EXIT_MMIO] = handle_mmio,
    [KVM_EXIT_SHUTDOWN] = handle_shutdown,
    [KVM_EXIT_FAIL_ENTRY] = handle_fail_entry,
    [KVM_EXIT_INTERNAL_ERROR] = handle_internal_error,
};

bool run_loop_handle_exit(struct mh_vm *vm, struct mh_stop *stop)
{
    uint32_t reason = vm->vcpu.run->exit_reason;
    exit_handler *handler = NULL;
    if (reason < sizeof exit_handlers / sizeof exit_handlers[0])
        handler = exit_handlers[reason];
    return handler != NULL ? handler(vm, stop) : handle_other(vm, stop);
}

#define REFUSED_ENTRIES_MAX 1000u
#define REFUSED_ENTRY_PAUSE_NS 1000000

/* KVM wants to be asked again. Give it time, which a kick ends, and a second of patience in all. */
static bool wait_to_try_again(struct mh_vm *vm)
{
    const struct timespec pause = {.tv_nsec = REFUSED_ENTRY_PAUSE_NS};
    vm->refused_entries++;
    if (vm->refused_entries > REFUSED_ENTRIES_MAX)
        return false;
    nanosleep(&pause, NULL);
    return true;
}

/* KVM_RUN came back without an exit: for a kick, or because it cannot go on. */
bool run_loop_handle_no_exit(struct mh_vm *vm, int error, struct mh_stop *stop)
{
    serial_flush(&vm->serial);
    if (error == EINTR || (error == EAGAIN && wait_to_try_again(vm)))
        return false;
    return vm_cannot_go_on(stop, error);
}

/* One entry into the guest. Returns true when the machine stops. */
static bool run_once(struct mh_vm *vm, struct mh_stop *stop)
{
    vcpu_accept_kicks(&vm->vcpu);
    if (atomic_load(&vm->stop_wanted)) {
        vcpu_complete_io(&vm->vcpu);
        return stop_with(stop, MH_STOP_INTERRUPTED);
    }
    int result = enter_guest(vm);
    return result < 0 ? run_loop_handle_no_exit(vm, -result, stop) : run_loop_handle_exit(vm, stop);
}

static bool output_failed(struct mh_vm *vm, struct mh_stop *stop)
{
    if (vm->serial.error == 0 || vm->serial.error == EINTR)
        return false;
    stop->host_errno = vm->serial.error;
    return stop_with(stop, MH_STOP_IO_ERROR);
}

void run_loop(struct mh_vm *vm, struct mh_stop *stop)
{
    *stop = (struct mh_stop){.kind = MH_STOP_HALTED};
    while (!run_once(vm, stop) && !output_failed(vm, stop)) {
    }
    serial_flush(&vm->serial);
    if (stop->kind == MH_STOP_HALTED)
        output_failed(vm, stop); /* a crash is worth more than the news that its output is lost */
}
