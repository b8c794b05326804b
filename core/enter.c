#include "enter.h"

#include "events.h"

#include <errno.h>

#define GATHERED_MAX ((PAGE_4K - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio))

/* The ring's protocol: KVM writes entries and moves `last`, we read them and move `first`; both are indices. */
static size_t take_gathered(struct kvm_coalesced_mmio_ring *ring, uint8_t bytes[GATHERED_MAX])
{
    uint32_t last = __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE);
    uint32_t first = ring->first;
    size_t count = 0;
    for (; first != last && count < GATHERED_MAX; first = (first + 1) % GATHERED_MAX)
        bytes[count++] = ring->coalesced_mmio[first].data[0];
    __atomic_store_n(&ring->first, first, __ATOMIC_RELEASE);
    return count;
}

void enter_drain_gathered(struct mh_vm *vm)
{
    uint8_t bytes[GATHERED_MAX];
    size_t count = vm->vcpu.ring == NULL ? 0 : take_gathered(vm->vcpu.ring, bytes);
    if (count == 0)
        return;
    serial_put(&vm->serial, bytes, count);
    events_gathered(vm, bytes, count);
}

static const char *const exit_names[VM_EXIT_REASONS] = {
    [KVM_EXIT_IO] = "port access",
    [KVM_EXIT_DEBUG] = "debug (step, breakpoint)",
    [KVM_EXIT_HLT] = "hlt",
    [KVM_EXIT_MMIO] = "memory without RAM, or watched",
    [KVM_EXIT_SHUTDOWN] = "triple fault",
    [KVM_EXIT_FAIL_ENTRY] = "entry refused",
    [KVM_EXIT_INTR] = "interrupted by the hypervisor",
    [KVM_EXIT_INTERNAL_ERROR] = "not emulated by KVM",
};

const char *exit_name(uint32_t reason)
{
    static const char other[] = "other";
    return reason < VM_EXIT_REASONS && exit_names[reason] != NULL ? exit_names[reason] : other;
}

/* Count the exit; returns its reason. */
static uint32_t count_exit(struct mh_vm *vm, int result)
{
    if (result != -EAGAIN)
        vm->refused_entries = 0;
    /* entries that are broken off at once leave the reason of the exit before them */
    uint32_t reason = result == -EINTR ? KVM_EXIT_INTR : vm->vcpu.run->exit_reason;
    vm->exits[reason < VM_EXIT_REASONS ? reason : VM_EXIT_REASONS - 1]++;
    return reason;
}

int enter_guest(struct mh_vm *vm)
{
    events_enter(vm);
    int result = vcpu_run(&vm->vcpu);
    enter_drain_gathered(vm);
    events_exit(vm, exit_name(count_exit(vm, result)));
    return result;
}
