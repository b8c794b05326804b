#include "debug_user.h"

#include "x86/boot_state.h"
#include "x86/exceptions.h"
#include "faults.h"
#include "guest_idt.h"
#include "virtual.h"

#define ERROR_CODE_IDT 2u /* the fault is about a gate, whose vector follows */

static bool is_stepping(const struct mh_vm *vm)
{
    return (vm->debug.control.control & KVM_GUESTDBG_SINGLESTEP) != 0;
}

static bool is_in_ring_3(struct mh_vm *vm)
{
    return (vcpu_sregs(&vm->vcpu)->cs.selector & 3) == 3;
}

/* If an INT3 of ours is `back` bytes before rip, go there. */
static bool go_back_to_patch(struct mh_vm *vm, unsigned back)
{
    struct kvm_regs *regs = vcpu_regs(&vm->vcpu);
    if (!breakpoints_patched_at(vm, regs->rip - back))
        return false;
    regs->rip -= back;
    return back == 0 || vcpu_write_regs(&vm->vcpu) == 0;
}

/* A stub of ours took it, and has been left already; or nothing did. */
static enum outcome review_stop(struct mh_vm *vm, const struct mh_stop *stop, bool stepping)
{
    bool has_fallen = stop->kind == MH_STOP_TRIPLE_FAULT;
    bool is_at_register = stop->kind == MH_STOP_BREAKPOINT || stop->kind == MH_STOP_HW_BREAKPOINT;
    bool is_exception = stop->kind == MH_STOP_EXCEPTION;
    if (vm->debug.host.user_registers || vcpu_regs(&vm->vcpu) == NULL || !is_in_ring_3(vm))
        return OUTCOME_STOPPED;
    if (is_at_register && go_back_to_patch(vm, 1)) /* KVM looked at the registers after it had emulated the INT3 */
        return OUTCOME_PATCH;
    if ((has_fallen || (is_exception && stop->vector == EXCEPTION_BREAKPOINT)) && go_back_to_patch(vm, 1))
        return OUTCOME_PATCH;
    if ((has_fallen || stop->vector == EXCEPTION_DEBUG) && stepping)
        return OUTCOME_STEPPED;
    return OUTCOME_STOPPED;
}

bool debug_user_was_step(struct mh_vm *vm, const struct mh_stop *stop)
{
    return review_stop(vm, stop, true) != OUTCOME_STOPPED;
}

/* What a handler of the guest's finds on its stack when it was called from ring 3. */
struct user_frame {
    bool has_error_code;
    uint64_t error_code;
    struct exception_frame frame;
};

static bool is_from_ring_3(const struct exception_frame *frame)
{
    return frame->cs <= UINT16_MAX && frame->ss <= UINT16_MAX && (frame->cs & 3) == 3 && (frame->ss & 3) == 3;
}

static bool read_user_frame(struct mh_vm *vm, struct user_frame *to)
{
    const struct paging_mode mode = virtual_mode(vm);
    const uint64_t rsp = vcpu_regs(&vm->vcpu)->rsp;
    virtual_read(vm, &mode, mh_gva_of(rsp), &to->error_code, sizeof to->error_code);
    for (unsigned i = 0; i < 2; i++) {
        to->has_error_code = i == 1;
        if (virtual_read(vm, &mode, mh_gva_of(rsp + 8 * i), &to->frame, sizeof to->frame) == sizeof to->frame &&
            is_from_ring_3(&to->frame))
            return true;
    }
    return false;
}

#define NO_VECTOR 256u

/* The vector the exception had before the guest's table made another of it; NO_VECTOR for none of ours. */
static unsigned original_vector(struct mh_vm *vm, const struct user_frame *user)
{
    const struct paging_mode mode = virtual_mode(vm);
    const uint64_t rip = vcpu_regs(&vm->vcpu)->rip;
    struct guest_idt idt;
    uint64_t handler;
    if (user->has_error_code)
        return (user->error_code & ERROR_CODE_IDT) != 0 ? (unsigned)(user->error_code >> 3) : NO_VECTOR;
    guest_idt_read(vm, &mode, &idt);
    if (is_stepping(vm) && guest_idt_handler(&idt, EXCEPTION_DEBUG, &handler) && handler == rip)
        return EXCEPTION_DEBUG;
    return guest_idt_handler(&idt, EXCEPTION_BREAKPOINT, &handler) && handler == rip ? EXCEPTION_BREAKPOINT : NO_VECTOR;
}

/* A patch stopped the guest: at the entry of a handler that only we have made it enter? */
static enum outcome review_patch(struct mh_vm *vm)
{
    struct user_frame user;
    if (is_in_ring_3(vm) || !read_user_frame(vm, &user))
        return OUTCOME_PATCH;
    unsigned vector = original_vector(vm, &user);
    unsigned back = user.has_error_code ? 0 : 1; /* a table that refuses INT3 makes a fault of it */
    if (vector == EXCEPTION_BREAKPOINT && breakpoints_patched_at(vm, user.frame.rip - back)) {
        faults_return_to(vm, &user.frame);
        return go_back_to_patch(vm, back) ? OUTCOME_PATCH : OUTCOME_STOPPED;
    }
    if (vector == EXCEPTION_DEBUG && is_stepping(vm)) {
        faults_return_to(vm, &user.frame);
        return OUTCOME_STEPPED;
    }
    return OUTCOME_PATCH;
}

enum outcome debug_user_review(struct mh_vm *vm, enum outcome outcome, struct mh_stop *stop)
{
    if (outcome == OUTCOME_STOPPED)
        return review_stop(vm, stop, is_stepping(vm));
    return outcome == OUTCOME_PATCH ? review_patch(vm) : outcome;
}

static void patch_registers(struct mh_vm *vm, const struct paging_mode *mode)
{
    const struct breakpoints *breakpoints = &vm->debug.breakpoints;
    for (unsigned i = 0; i < breakpoints->register_count; i++) {
        if (breakpoints->in_register[i].kind <= MH_BREAK_HARDWARE)
            breakpoints_patch(vm, mode, breakpoints->in_register[i].address);
    }
}

static void patch_handlers(struct mh_vm *vm, const struct paging_mode *mode)
{
    static const uint8_t vectors[] = {EXCEPTION_BREAKPOINT, EXCEPTION_NOT_PRESENT, EXCEPTION_GENERAL_PROTECTION};
    struct guest_idt idt;
    uint64_t handler;
    guest_idt_read(vm, mode, &idt);
    for (size_t i = 0; i < sizeof vectors; i++) {
        if (guest_idt_handler(&idt, vectors[i], &handler))
            breakpoints_patch(vm, mode, handler);
    }
}

void debug_user_guard(struct mh_vm *vm)
{
    const struct host_debug *host = &vm->debug.host;
    const struct breakpoints *breakpoints = &vm->debug.breakpoints;
    bool has_breakpoints = breakpoints->register_count > 0 || breakpoints->patch_count > 0;
    if (!has_breakpoints || (host->user_registers && host->user_int3) ||
        (!is_in_ring_3(vm) && vcpu_sregs(&vm->vcpu)->idt.base == MH_SYSTEM_AREA + BOOT_IDT))
        return;
    const struct paging_mode mode = virtual_mode(vm);
    if (!host->user_registers)
        patch_registers(vm, &mode);
    if (!host->user_int3)
        patch_handlers(vm, &mode);
}
