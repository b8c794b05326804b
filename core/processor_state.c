#include "processor_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* MSRs that KVM keeps but does not list: machine check banks and memory types (Intel SDM volume 4, table 2-2). */
struct msr_range {
    uint32_t first, count;
};

static const struct msr_range unlisted[] = {
    {0x200, 16}, {0x250, 1}, {0x258, 2}, {0x268, 8}, {0x2ff, 1}, {0x400, 128},
};

#define MSR_TSC 0x10u

/* To write these is to have KVM write the time of day into guest memory. */
#define MSR_WALL_CLOCK 0x11u
#define MSR_WALL_CLOCK_NEW 0x4b564d00u

static void add_msr(struct kvm_msrs *msrs, uint32_t index)
{
    if (index == MSR_WALL_CLOCK || index == MSR_WALL_CLOCK_NEW || msrs->nmsrs == KVM_SYS_MSRS_MAX)
        return;
    msrs->entries[msrs->nmsrs++] = (struct kvm_msr_entry){.index = index};
}

/* Leave those out that this processor has not. */
static int keep_readable(const struct vcpu *vcpu, union kvm_sys_msrs *msrs)
{
    for (;;) {
        struct kvm_msrs *head = &msrs->head;
        int got = kvm_sys_get_msrs(vcpu->fd, msrs);
        if (got < 0)
            return got;
        if ((uint32_t)got >= head->nmsrs)
            return 0;
        head->nmsrs--;
        memmove(&head->entries[got], &head->entries[got + 1], (head->nmsrs - (uint32_t)got) * sizeof head->entries[0]);
    }
}

static int list_msrs(const struct mh_vm *vm, union kvm_sys_msrs *msrs)
{
    union kvm_sys_msr_list list;
    int result = kvm_sys_msr_list(vm->host->fd, &list);
    if (result < 0)
        return result;
    for (uint32_t i = 0; i < list.head.nmsrs; i++)
        add_msr(&msrs->head, list.head.indices[i]);
    for (size_t i = 0; i < sizeof unlisted / sizeof unlisted[0]; i++) {
        for (uint32_t offset = 0; offset < unlisted[i].count; offset++)
            add_msr(&msrs->head, unlisted[i].first + offset);
    }
    return keep_readable(&vm->vcpu, msrs);
}

/* Which MSRs there are; asked once a machine. */
static int know_msrs(struct mh_vm *vm)
{
    if (vm->msrs != NULL)
        return 0;
    union kvm_sys_msrs *msrs = calloc(1, sizeof *msrs);
    int result = msrs == NULL ? -ENOMEM : list_msrs(vm, msrs);
    if (result < 0)
        free(msrs);
    else
        vm->msrs = msrs;
    return result;
}

static int get_msrs(struct mh_vm *vm, union kvm_sys_msrs *msrs)
{
    int result = know_msrs(vm);
    if (result < 0)
        return result;
    *msrs = *vm->msrs;
    int got = kvm_sys_get_msrs(vm->vcpu.fd, msrs);
    return got < 0 ? got : (uint32_t)got == msrs->head.nmsrs ? 0 : -EIO;
}

/*
 * Write those that differ, since not every KVM takes back what it gave. What differs and is refused cannot be put back;
 * of the time stamp counter that is known, and it runs on between two stops anyway.
 */
static int set_msrs(struct mh_vm *vm, const union kvm_sys_msrs *wanted)
{
    union kvm_sys_msrs now, different;
    int result = get_msrs(vm, &now);
    different.head.nmsrs = 0;
    for (uint32_t i = 0; i < wanted->head.nmsrs && result == 0; i++) {
        if (wanted->head.entries[i].data != now.head.entries[i].data)
            different.head.entries[different.head.nmsrs++] = wanted->head.entries[i];
    }
    while (result == 0 && different.head.nmsrs > 0) {
        int set = kvm_sys_set_msrs(vm->vcpu.fd, &different);
        uint32_t done = set < 0 ? 0 : (uint32_t)set;
        if (done >= different.head.nmsrs)
            break;
        if (different.head.entries[done].index != MSR_TSC)
            return set < 0 ? set : -EINVAL;
        different.head.nmsrs -= done + 1;
        memmove(different.head.entries, &different.head.entries[done + 1],
                different.head.nmsrs * sizeof different.head.entries[0]);
    }
    return result;
}

int processor_state_take(struct mh_vm *vm, struct processor_state *state)
{
    int fd = vm->vcpu.fd;
    int result;
    if (vcpu_regs(&vm->vcpu) == NULL)
        return -EIO;
    state->regs = *vcpu_regs(&vm->vcpu);
    state->sregs = *vcpu_sregs(&vm->vcpu);
    if ((result = kvm_sys_get_xsave(fd, &state->xsave)) < 0 ||
        (result = kvm_sys_get_debugregs(fd, &state->debugregs)) < 0 ||
        (result = kvm_sys_get_events(fd, &state->events)) < 0 ||
        (result = kvm_sys_get_mp_state(fd, &state->mp_state)) < 0)
        return result;
    result = vm->host->xcr0 != 0 ? kvm_sys_get_xcrs(fd, &state->xcrs) : 0;
    return result < 0 ? result : get_msrs(vm, &state->msrs);
}

static int put_registers_back(struct mh_vm *vm, const struct processor_state *state)
{
    if (vcpu_regs(&vm->vcpu) == NULL)
        return -EIO;
    *vcpu_sregs(&vm->vcpu) = state->sregs;
    *vcpu_regs(&vm->vcpu) = state->regs;
    int result = vcpu_write_sregs(&vm->vcpu);
    return result < 0 ? result : vcpu_write_regs(&vm->vcpu);
}

/* The order matters: writing general registers drops pending exceptions, and system registers decide what MSRs mean. */
int processor_state_put_back(struct mh_vm *vm, const struct processor_state *state)
{
    int fd = vm->vcpu.fd;
    int result = put_registers_back(vm, state);
    if (result == 0)
        result = kvm_sys_set_xsave(fd, &state->xsave);
    if (result == 0 && vm->host->xcr0 != 0)
        result = kvm_sys_set_xcrs(fd, &state->xcrs);
    if (result == 0)
        result = set_msrs(vm, &state->msrs);
    if (result == 0)
        result = kvm_sys_set_events(fd, &state->events);
    if (result == 0)
        result = kvm_sys_set_mp_state(fd, &state->mp_state);
    if (result == 0)
        result = kvm_sys_set_debugregs(fd, &state->debugregs);
    vm->debug.control_is_current = false; /* KVM's own use of the trap flag and the debug registers went with them */
    return result;
}
