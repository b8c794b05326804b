#include "faults.h"

#include "x86/boot_state.h"
#include "x86/exceptions.h"
#include "mh/x86_regs.h"
#include "virtual.h"

#include <string.h>

/* What lies on the fault stack: the frame alone, or an error code below it; rsp tells which. */
static bool read_frame(const struct mh_vm *vm, uint64_t rsp, struct exception_frame *frame, struct mh_stop *stop)
{
    const uint64_t top = MH_SYSTEM_AREA + BOOT_FAULT_STACK_TOP;
    const uint64_t frame_start = top - sizeof *frame;
    if (rsp != frame_start && rsp != frame_start - sizeof(uint64_t))
        return false;
    const uint8_t *stack_top = ram_system_area(&vm->memory) + BOOT_FAULT_STACK_TOP;
    memcpy(frame, stack_top - sizeof *frame, sizeof *frame);
    stop->has_error_code = rsp != frame_start;
    if (stop->has_error_code)
        memcpy(&stop->error_code, stack_top - sizeof *frame - sizeof(uint64_t), sizeof stop->error_code);
    return true;
}

/* Load a segment register's hidden part from the GDT, as far as faults need it: they come from flat 64-bit code. */
static void load_segment(const struct mh_vm *vm, const struct kvm_sregs *sregs, uint16_t selector,
                         struct kvm_segment *segment)
{
    const struct paging_mode mode = virtual_mode_of(sregs);
    struct paging_walk walk;
    uint16_t offset = selector & 0xfff8;
    segment->selector = selector;
    segment->dpl = selector & 3;
    if (offset + 7u > sregs->gdt.limit || offset == 0 ||
        !paging_walk(&vm->memory, &mode, mh_gva_of(sregs->gdt.base + offset), &walk))
        return;
    const void *at = ram_at(&vm->memory, walk.physical, sizeof(uint64_t));
    if (at == NULL)
        return;
    uint64_t descriptor;
    memcpy(&descriptor, at, sizeof descriptor);
    *segment = (struct kvm_segment){
        .base = (descriptor >> 16 & 0xffffff) | (descriptor >> 56 & 0xff) << 24,
        .limit = 0xffffffff,
        .selector = selector,
        .type = (descriptor >> 40 & 0xf) | 1, /* loading it sets the accessed bit */
        .s = descriptor >> 44 & 1,
        .dpl = descriptor >> 45 & 3,
        .present = descriptor >> 47 & 1,
        .avl = descriptor >> 52 & 1,
        .l = descriptor >> 53 & 1,
        .db = descriptor >> 54 & 1,
        .g = descriptor >> 55 & 1,
    };
}

void faults_return_to(struct mh_vm *vm, const struct exception_frame *frame)
{
    struct kvm_regs *regs = vcpu_regs(&vm->vcpu);
    struct kvm_sregs *sregs = vcpu_sregs(&vm->vcpu);
    regs->rip = frame->rip;
    regs->rsp = frame->rsp;
    regs->rflags = frame->rflags;
    if ((vm->debug.control.control & KVM_GUESTDBG_SINGLESTEP) != 0)
        regs->rflags &= ~(uint64_t)MH_RFLAGS_TF; /* ours, for stepping */
    load_segment(vm, sregs, (uint16_t)frame->cs, &sregs->cs);
    if ((frame->ss & 0xfff8) != 0)
        load_segment(vm, sregs, (uint16_t)frame->ss, &sregs->ss);
    vcpu_write_regs(&vm->vcpu);
    vcpu_write_sregs(&vm->vcpu);
}

bool faults_take_from_stub(struct mh_vm *vm, struct mh_stop *stop)
{
    struct exception_frame frame;
    uint64_t rip;
    if (!vcpu_rip(&vm->vcpu, &rip))
        return vm_cannot_go_on(stop, vm->vcpu.registers_errno);
    int stub = boot_stub_at(rip);
    if (stub < 0)
        return false;
    if (stub == (int)BOOT_STUB_RETURNED) {
        stop->kind = MH_STOP_RETURNED;
        return true;
    }
    const struct kvm_regs *regs = vcpu_regs(&vm->vcpu);
    if (regs == NULL)
        return vm_cannot_go_on(stop, vm->vcpu.registers_errno);
    if (!read_frame(vm, regs->rsp, &frame, stop))
        return false;
    stop->kind = MH_STOP_EXCEPTION;
    stop->vector = (uint8_t)stub;
    stop->cr2 = vcpu_sregs(&vm->vcpu)->cr2;
    faults_return_to(vm, &frame);
    return true;
}
