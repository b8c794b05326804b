#include "probe.h"

#include "x86/exceptions.h"
#include "loader.h"
#include "vm_internal.h"

#define AT_EXECUTE 0x00u
#define AT_DATA 0x10u
#define AT_INT3 0x20u
#define AT_INS 0x30u
#define WATCHED 0x40u

static const uint8_t code[] = {
    [AT_EXECUTE] = 0x90,
    0x90,
    0xf4, /* nop; nop; hlt */
    [AT_DATA] = 0xc6,
    0x04,
    0x25,
    WATCHED,
    0x00,
    0x00,
    0x00,
    0x01, /* movb $1, WATCHED */
    0x90,
    0xf4, /* nop; hlt */
    [AT_INT3] = 0xcc,
    0xf4, /* int3; hlt */
    [AT_INS] = 0x6c,
    0x90,
    0x90,
    0xf4, /* insb; nop; nop; hlt */
};

uint32_t probe_run(struct mh_vm *vm, uint64_t rip, struct kvm_guest_debug *debug)
{
    struct kvm_regs *regs = vcpu_regs(&vm->vcpu);
    if (regs == NULL)
        return KVM_EXIT_UNKNOWN;
    regs->rip = rip;
    debug->control |= KVM_GUESTDBG_ENABLE;
    if (vcpu_write_regs(&vm->vcpu) < 0 || kvm_sys_set_guest_debug(vm->vcpu.fd, debug) < 0 || vcpu_run(&vm->vcpu) < 0)
        return KVM_EXIT_UNKNOWN;
    return vm->vcpu.run->exit_reason;
}

/* The bits of DR7 that make register 0 an execute breakpoint, and a one-byte write watchpoint. */
#define DR7_EXECUTE_0 0x402u
#define DR7_WRITE_0 0x10402u

static bool register_fires(struct mh_vm *vm, uint64_t from, uint64_t address, uint64_t dr7)
{
    struct kvm_guest_debug debug = {.control = KVM_GUESTDBG_USE_HW_BP};
    debug.arch.debugreg[0] = address;
    debug.arch.debugreg[7] = dr7;
    return probe_run(vm, from, &debug) == KVM_EXIT_DEBUG && (vm->vcpu.run->debug.arch.dr6 & 1) != 0;
}

static enum host_int3 try_int3(struct mh_vm *vm)
{
    struct kvm_guest_debug debug = {.control = KVM_GUESTDBG_USE_SW_BP};
    switch (probe_run(vm, AT_INT3, &debug)) {
    case KVM_EXIT_DEBUG:
        return vm->vcpu.run->debug.arch.exception == EXCEPTION_BREAKPOINT ? HOST_INT3_REPORTED : HOST_INT3_LOST;
    case KVM_EXIT_INTERNAL_ERROR:
        return HOST_INT3_ERROR;
    default:
        return HOST_INT3_LOST;
    }
}

/* Enter again: does that end right before `rip`, as a step? Some processors report the same place twice. */
static bool is_stepped_to(struct mh_vm *vm, uint64_t rip)
{
    if (vcpu_run(&vm->vcpu) < 0 || vm->vcpu.run->exit_reason != KVM_EXIT_DEBUG)
        return false;
    const struct kvm_regs *regs = vcpu_regs(&vm->vcpu);
    return regs != NULL && regs->rip == rip;
}

/*
 * A string instruction from a port is KVM's emulator's on every processor. Its end ends a step, and so does that of the
 * next instruction, unless the emulator took the trap flag away.
 */
static bool try_steps(struct mh_vm *vm)
{
    struct kvm_guest_debug debug = {.control = KVM_GUESTDBG_SINGLESTEP};
    struct kvm_regs *regs = vcpu_regs(&vm->vcpu);
    if (regs == NULL)
        return false;
    regs->rdi = WATCHED;
    return probe_run(vm, AT_INS, &debug) == KVM_EXIT_IO && is_stepped_to(vm, AT_INS + 1) &&
           is_stepped_to(vm, AT_INS + 2);
}

/* Go to ring 3, in which the machine's own tables let nothing but a fault out again. */
static bool enter_ring_3(struct mh_vm *vm)
{
    struct kvm_sregs *sregs = vcpu_sregs(&vm->vcpu);
    if (sregs == NULL)
        return false;
    sregs->cs.selector = MH_SEL_USER_CODE;
    sregs->ss = sregs->ds; /* an exception may have left none */
    sregs->ss.selector = MH_SEL_USER_DATA;
    sregs->cs.dpl = sregs->ss.dpl = 3;
    return vcpu_write_sregs(&vm->vcpu) == 0;
}

static void try_ring_3(struct mh_vm *vm, struct host_debug *found)
{
    struct kvm_guest_debug debug = {.control = KVM_GUESTDBG_USE_SW_BP};
    found->user_registers = enter_ring_3(vm) && register_fires(vm, AT_EXECUTE, AT_EXECUTE + 1, DR7_EXECUTE_0);
    found->user_int3 = enter_ring_3(vm) && probe_run(vm, AT_INT3, &debug) == KVM_EXIT_DEBUG &&
                       vm->vcpu.run->debug.arch.exception == EXCEPTION_BREAKPOINT;
}

enum mh_status probe_machine(struct mh_host *host, const void *bytes, size_t length, struct mh_vm **vm,
                             struct mh_error *err)
{
    struct mh_image *image;
    enum mh_status status = loader_from_bytes(bytes, length, &image, err);
    if (status != MH_OK)
        return status;
    const struct mh_vm_config config = {.name = "probe",
                                        .ram_size = 2u << 20,
                                        .page_size = 2u << 20,
                                        .image = image,
                                        .limits = {.open_files = 1, .bytes_written = 1}};
    status = mh_vm_create(host, &config, vm, err);
    mh_image_free(image);
    return status;
}

enum mh_status probe_host(struct mh_host *host, struct host_debug *found, struct mh_error *err)
{
    struct mh_vm *vm;
    enum mh_status status = probe_machine(host, code, sizeof code, &vm, err);
    if (status != MH_OK)
        return status;
    found->execute_registers = register_fires(vm, AT_EXECUTE, AT_EXECUTE + 1, DR7_EXECUTE_0);
    found->data_registers = register_fires(vm, AT_DATA, WATCHED, DR7_WRITE_0);
    found->int3 = try_int3(vm);
    found->steps_last = try_steps(vm);
    try_ring_3(vm, found);
    mh_vm_destroy(vm);
    return MH_OK;
}
