/* What one KVM_RUN under a debugger comes back with: our stops, and everything run_loop.c serves. */
#include "debug_exits.h"

#include "debug_user.h"
#include "enter.h"
#include "x86/exceptions.h"
#include "run_loop.h"
#include "virtual.h"

#include <stdlib.h>
#include <string.h>

enum outcome debug_stopped(struct mh_stop *stop, enum mh_stop_kind kind)
{
    stop->kind = kind;
    return OUTCOME_STOPPED;
}

enum outcome debug_cannot_go_on(struct mh_stop *stop, int host_errno)
{
    vm_cannot_go_on(stop, host_errno);
    return OUTCOME_STOPPED;
}

/* Does KVM still know? Where its emulator takes the trap flag away, a step can lose it without any exit to tell us. */
static bool is_known(const struct debug *debug, const struct kvm_guest_debug *wanted)
{
    bool lasts = debug->host.steps_last || (wanted->control & KVM_GUESTDBG_SINGLESTEP) == 0;
    return lasts && debug->control_is_current && memcmp(wanted, &debug->control, sizeof *wanted) == 0;
}

/* Tell KVM what to stop for, unless it knows. `once` are flags that act one time. */
void debug_set_control(struct mh_vm *vm, uint32_t control, uint32_t once)
{
    struct debug *debug = &vm->debug;
    struct kvm_guest_debug wanted = {.control = control};
    breakpoints_fill_registers(&debug->breakpoints, &wanted);
    if (wanted.control != 0)
        wanted.control |= KVM_GUESTDBG_ENABLE;
    if (once == 0 && is_known(debug, &wanted))
        return;
    debug->control = wanted;
    wanted.control |= once != 0 ? once | KVM_GUESTDBG_ENABLE : 0;
    debug->control_errno = -kvm_sys_set_guest_debug(vm->vcpu.fd, &wanted);
    debug->control_is_current = debug->control_errno == 0;
}

void debug_note_watch(struct mh_vm *vm, const struct breakpoint *breakpoint)
{
    if (breakpoint == NULL || vm->debug.watch_hit)
        return;
    vm->debug.watch_hit = true;
    vm->debug.hit = *breakpoint;
}

enum outcome debug_stop_at_watch(struct mh_vm *vm, struct mh_stop *stop)
{
    static const enum mh_watch_kind kinds[] = {[MH_BREAK_WATCH_WRITE] = MH_WATCH_WRITE,
                                               [MH_BREAK_WATCH_READ] = MH_WATCH_READ,
                                               [MH_BREAK_WATCH_ACCESS] = MH_WATCH_ACCESS};
    vm->debug.watch_hit = false;
    stop->watch = kinds[vm->debug.hit.kind];
    stop->watch_address = vm->debug.hit.address;
    return debug_stopped(stop, MH_STOP_WATCHPOINT);
}

/* A store to a page we keep read-only: KVM has not made it, so make it here. */
static bool apply_store(struct mh_vm *vm)
{
    const struct kvm_run *run = vm->vcpu.run;
    mh_gpa address = mh_gpa_of(run->mmio.phys_addr);
    if (run->exit_reason != KVM_EXIT_MMIO || run->mmio.is_write == 0 || run->mmio.len > sizeof run->mmio.data)
        return false;
    uint8_t *to = ram_at(&vm->memory, address, run->mmio.len);
    if (to == NULL || !page_list_has(&vm->slots.read_only, address))
        return false;
    ram_put(&vm->memory, to, run->mmio.data, run->mmio.len);
    debug_note_watch(vm, breakpoints_watching_write(vm, address, run->mmio.len));
    return true;
}

#define FRAGMENTS_MAX 64u

/* Let the instruction whose exit was served come to its end, and no further. */
void debug_finish_instruction(struct mh_vm *vm)
{
    for (unsigned i = 0; i < FRAGMENTS_MAX; i++) {
        if (vcpu_complete_io(&vm->vcpu) < 0 || !apply_store(vm))
            return;
    }
}

/* A debug register of ours fired. */
static enum outcome stop_at_register(struct mh_vm *vm, uint64_t dr6, struct mh_stop *stop)
{
    const struct breakpoints *breakpoints = &vm->debug.breakpoints;
    for (unsigned i = 0; i < breakpoints->register_count; i++) {
        if ((dr6 >> i & 1) == 0)
            continue;
        const struct breakpoint *breakpoint = &breakpoints->in_register[i];
        if (breakpoint->kind == MH_BREAK_SOFTWARE)
            return debug_stopped(stop, MH_STOP_BREAKPOINT);
        if (breakpoint->kind == MH_BREAK_HARDWARE)
            return debug_stopped(stop, MH_STOP_HW_BREAKPOINT);
        debug_note_watch(vm, breakpoint);
    }
    return vm->debug.watch_hit ? debug_stop_at_watch(vm, stop) : OUTCOME_SERVED;
}

static enum outcome handle_debug_exit(struct mh_vm *vm, struct mh_stop *stop)
{
    const struct kvm_debug_exit_arch *exit = &vm->vcpu.run->debug.arch;
    if (exit->exception == EXCEPTION_BREAKPOINT) {
        if (breakpoints_patched_at(vm, vcpu_regs(&vm->vcpu)->rip))
            return OUTCOME_PATCH;
        debug_set_control(vm, vm->debug.control.control & ~(uint32_t)KVM_GUESTDBG_ENABLE, KVM_GUESTDBG_INJECT_BP);
        return OUTCOME_SERVED;
    }
    enum outcome outcome = stop_at_register(vm, exit->dr6, stop);
    if (outcome != OUTCOME_SERVED)
        return outcome;
    if ((vm->debug.control.control & KVM_GUESTDBG_SINGLESTEP) != 0)
        return OUTCOME_STEPPED;
    debug_set_control(vm, vm->debug.control.control & ~(uint32_t)KVM_GUESTDBG_ENABLE, KVM_GUESTDBG_INJECT_DB);
    return OUTCOME_SERVED;
}

/* How many bytes the IN before `rip` has; the serial port is named by DX or by one byte. */
static unsigned length_of_in_before(struct mh_vm *vm, uint64_t rip)
{
    const struct paging_mode mode = virtual_mode(vm);
    uint8_t code[2] = {0};
    virtual_read(vm, &mode, mh_gva_of(rip - 2), code, sizeof code);
    return code[0] == 0xe4 && code[1] == MH_PORT_SERIAL ? 2 : 1;
}

/*
 * A wait for serial input was broken off: bring the processor back to before the IN. KVM insists on completing it, so
 * that is done with made-up data, and its effects on registers and, for INS, on memory are taken back.
 */
static void undo_input(struct mh_vm *vm)
{
    const struct paging_mode mode = virtual_mode(vm);
    struct kvm_regs before = *vcpu_regs(&vm->vcpu);
    uint8_t memory[PAGE_4K];
    size_t length = (size_t)vm->vcpu.run->io.count * vm->vcpu.run->io.size;
    length = virtual_read(vm, &mode, mh_gva_of(before.rdi), memory, length < sizeof memory ? length : sizeof memory);
    bool is_string = vm->vcpu.run->io.count > 1;
    debug_finish_instruction(vm);
    struct kvm_regs *regs = vcpu_regs(&vm->vcpu);
    if (regs == NULL)
        return;
    if (!is_string && regs->rdi == before.rdi && regs->rip == before.rip)
        before.rip -= length_of_in_before(vm, before.rip);
    *regs = before;
    vcpu_write_regs(&vm->vcpu);
    virtual_write(vm, &mode, mh_gva_of(before.rdi), memory, length);
}

enum outcome debug_stop_at_catch(struct mh_vm *vm, struct mh_stop *stop)
{
    vm->debug.catches.hit = false;
    return debug_stopped(stop, MH_STOP_CAUGHT);
}

static enum outcome handle_port(struct mh_vm *vm, struct mh_stop *stop)
{
    if (!run_loop_handle_exit(vm, stop)) {
        if (!vm->debug.catches.hit)
            return OUTCOME_SERVED;
        debug_finish_instruction(vm);
        return debug_stop_at_catch(vm, stop);
    }
    if (stop->kind == MH_STOP_INTERRUPTED)
        undo_input(vm);
    return OUTCOME_STOPPED;
}

/* What the watched ranges hold, one after the other. NULL without memory; free() it. */
static uint8_t *copy_watched(struct mh_vm *vm)
{
    const struct breakpoints *breakpoints = &vm->debug.breakpoints;
    const struct paging_mode mode = virtual_mode(vm);
    size_t total = 1, at = 0;
    for (size_t i = 0; i < breakpoints->count; i++)
        total += breakpoints->list[i].length;
    uint8_t *copy = calloc(1, total);
    for (size_t i = 0; copy != NULL && i < breakpoints->count; at += breakpoints->list[i++].length)
        virtual_read(vm, &mode, mh_gva_of(breakpoints->list[i].address), copy + at, breakpoints->list[i].length);
    return copy;
}

static void note_changes(struct mh_vm *vm, const uint8_t *before)
{
    const struct breakpoints *breakpoints = &vm->debug.breakpoints;
    uint8_t *after = copy_watched(vm);
    size_t at = 0;
    for (size_t i = 0; after != NULL && before != NULL && i < breakpoints->count; at += breakpoints->list[i++].length) {
        bool changed = memcmp(before + at, after + at, breakpoints->list[i].length) != 0;
        if (changed && breakpoints->list[i].kind >= MH_BREAK_WATCH_WRITE)
            debug_note_watch(vm, &breakpoints->list[i]);
    }
    free(after);
}

/*
 * KVM emulates stores to read-only pages, and its emulator lacks some instructions. Lift the protection, step over the
 * instruction, and see by comparing whether it wrote what is watched.
 */
static enum outcome step_unprotected(struct mh_vm *vm, struct mh_stop *stop)
{
    const struct page_list pages = vm->slots.read_only;
    const struct page_list none = {0};
    uint8_t *before = copy_watched(vm);
    int lifted = slots_protect(&vm->slots, &none);
    debug_set_control(vm, KVM_GUESTDBG_SINGLESTEP, 0);
    int result = lifted < 0 ? lifted : enter_guest(vm);
    int restored = slots_protect(&vm->slots, &pages);
    result = result < 0 ? result : restored;
    note_changes(vm, before);
    free(before);
    if (result < 0)
        return run_loop_handle_no_exit(vm, -result, stop) ? OUTCOME_STOPPED : OUTCOME_KICKED;
    if (vm->vcpu.run->exit_reason == KVM_EXIT_DEBUG)
        return OUTCOME_STEPPED;
    return run_loop_handle_exit(vm, stop) ? OUTCOME_STOPPED : OUTCOME_SERVED;
}

static enum outcome handle_internal_error(struct mh_vm *vm, struct mh_stop *stop)
{
    const struct kvm_regs *regs = vcpu_regs(&vm->vcpu);
    if (regs != NULL && breakpoints_patched_at(vm, regs->rip))
        return OUTCOME_PATCH;
    if (!run_loop_handle_exit(vm, stop))
        return OUTCOME_SERVED; /* a software interrupt, which is on its way now */
    return vm->slots.read_only.count > 0 ? step_unprotected(vm, stop) : OUTCOME_STOPPED;
}

/* A HLT of ours, in the place of an INT3, was executed: back to it. */
static bool return_to_patch(struct mh_vm *vm)
{
    struct kvm_regs *regs = vcpu_regs(&vm->vcpu);
    if (regs == NULL || !breakpoints_patched_at(vm, regs->rip - 1))
        return false;
    regs->rip--;
    return vcpu_write_regs(&vm->vcpu) == 0;
}

static enum outcome enter(struct mh_vm *vm, struct mh_stop *stop)
{
    if (vm->debug.control_errno != 0) /* it would run past what it is to stop for */
        return debug_cannot_go_on(stop, vm->debug.control_errno);
    int result = enter_guest(vm);
    if (result < 0)
        return run_loop_handle_no_exit(vm, -result, stop) ? OUTCOME_STOPPED : OUTCOME_KICKED;
    if (vcpu_regs(&vm->vcpu) == NULL)
        return debug_cannot_go_on(stop, vm->vcpu.registers_errno);
    if (vm->vcpu.run->exit_reason == KVM_EXIT_DEBUG) {
        serial_flush(&vm->serial);
        return handle_debug_exit(vm, stop);
    }
    vm->debug.control_is_current = false; /* some KVMs forget a pending single step at other exits */
    switch (vm->vcpu.run->exit_reason) {
    case KVM_EXIT_IO:
        return handle_port(vm, stop);
    case KVM_EXIT_MMIO:
        if (apply_store(vm))
            return OUTCOME_SERVED;
        break;
    case KVM_EXIT_INTERNAL_ERROR:
        return handle_internal_error(vm, stop);
    case KVM_EXIT_HLT:
        if (vm->debug.breakpoints.patch_count > 0 && return_to_patch(vm))
            return OUTCOME_PATCH;
        break;
    }
    return run_loop_handle_exit(vm, stop) ? OUTCOME_STOPPED : OUTCOME_SERVED;
}

enum outcome debug_enter(struct mh_vm *vm, struct mh_stop *stop)
{
    return debug_user_review(vm, enter(vm, stop), stop);
}
