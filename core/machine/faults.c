#include "machine/faults.h"

#include "mh/x86_regs.h"
#include "x86/boot_state.h"
#include "x86/descriptors.h"
#include "x86/exceptions.h"
#include "x86/paging.h"

#include <stdio.h>
#include <string.h>

/* The contents of the fault stack: the frame, or an error code and the frame, depending on rsp. */
static bool faults_read_frame(const struct mh_vm *vm, uint64_t rsp, struct exception_frame *frame, struct mh_stop *stop)
{
    const uint64_t top = MH_SYSTEM_AREA + BOOT_FAULT_STACK_TOP;
    const uint64_t frame_start = top - sizeof *frame;
    if (rsp != frame_start && rsp != frame_start - sizeof(uint64_t))
        return false;
    const uint8_t *stack_top = ram_system_area(&vm->ram) + BOOT_FAULT_STACK_TOP;
    memcpy(frame, stack_top - sizeof *frame, sizeof *frame);
    stop->has_error_code = rsp != frame_start;
    if (stop->has_error_code)
        memcpy(&stop->error_code, stack_top - sizeof *frame - sizeof(uint64_t), sizeof stop->error_code);
    return true;
}

/* Load a segment register's hidden part from the GDT, as far as faults need it: they come from flat 64-bit code. */
static void faults_load_segment(const struct mh_vm *vm, const struct mh_x86_system *system, uint16_t selector,
                                struct mh_x86_segment *segment)
{
    const struct paging_mode mode = paging_mode_of(system);
    struct paging_walk walk;
    uint16_t offset = selector & 0xfff8;
    segment->selector = selector;
    if (offset + 7u > system->gdt.limit || offset == 0 ||
        !paging_walk(&vm->ram, &mode, mh_gva_of(system->gdt.base + offset), &walk))
        return;
    const void *at = ram_at(&vm->ram, walk.physical, sizeof(uint64_t));
    if (at == NULL)
        return;
    uint64_t descriptor;
    memcpy(&descriptor, at, sizeof descriptor);
    *segment = (struct mh_x86_segment){
        .base = (descriptor >> 16 & 0xffffff) | (descriptor >> 56 & 0xff) << 24,
        .limit = 0xffffffff,
        .selector = selector,
        .attributes = (uint16_t)((descriptor >> 40 & 0xf0ff) | 1), /* loading it sets the accessed bit */
    };
}

/* Restore the registers to what an exception's frame says they were before it. */
static enum mh_status faults_return(struct mh_vm *vm, const struct exception_frame *frame, struct mh_x86_regs *regs,
                                    struct mh_error *err)
{
    regs->general.rip = frame->rip;
    regs->general.gpr[MH_RSP] = frame->rsp;
    regs->general.rflags = frame->rflags & ~(uint64_t)MH_RFLAGS_RF; /* set by the fault, not by the guest */
    faults_load_segment(vm, &regs->system, (uint16_t)frame->cs, &regs->system.seg[MH_CS]);
    if ((frame->ss & 0xfff8) != 0)
        faults_load_segment(vm, &regs->system, (uint16_t)frame->ss, &regs->system.seg[MH_SS]);
    else
        regs->system.seg[MH_SS].selector = (uint16_t)frame->ss;
    return vm->cpu->ops->write_regs(vm->cpu, MH_REGS_SYSTEM | MH_REGS_GENERAL, regs, err);
}

static bool faults_fail(struct mh_stop *stop, const struct mh_error *err)
{
    stop->kind = MH_STOP_HOST_ERROR;
    snprintf(stop->text, sizeof stop->text, "%s", err->text);
    return true;
}

/* The exception is a consequence: the guest runs code that the machine does not support. */
static void faults_blame_mode(struct mh_stop *stop)
{
    stop->kind = MH_STOP_CPU_ERROR;
    snprintf(stop->text, sizeof stop->text,
             "%s, vector %u, after the guest left 64-bit mode, which the machine does not support, for compatibility "
             "mode (32-bit code)",
             exception_name(stop->vector), stop->vector);
}

bool faults_take_from_stub(struct mh_vm *vm, struct mh_stop *stop)
{
    struct exception_frame frame;
    struct mh_x86_regs regs;
    struct mh_error err;
    if (vm->cpu->ops->read_regs(vm->cpu, MH_REGS_GENERAL, &regs, &err) != MH_OK)
        return faults_fail(stop, &err);
    int stub = boot_stub_at(regs.general.rip);
    if (stub < 0)
        return false;
    if (stub == (int)BOOT_STUB_RETURNED) {
        stop->kind = MH_STOP_RETURNED;
        return true;
    }
    if (!faults_read_frame(vm, regs.general.gpr[MH_RSP], &frame, stop))
        return false;
    if (vm->cpu->ops->read_regs(vm->cpu, MH_REGS_GENERAL | MH_REGS_SYSTEM, &regs, &err) != MH_OK)
        return faults_fail(stop, &err);
    stop->kind = MH_STOP_EXCEPTION;
    stop->vector = (uint8_t)stub;
    stop->cr2 = regs.system.cr2;
    if (faults_return(vm, &frame, &regs, &err) != MH_OK)
        return faults_fail(stop, &err);
    if ((regs.system.seg[MH_CS].attributes & X86_SEGMENT_LONG) == 0)
        faults_blame_mode(stop);
    return true;
}
