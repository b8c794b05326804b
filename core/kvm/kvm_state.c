/* All of a processor's state, out of KVM and back. The order of restoring matters: writing general registers drops
 * pending exceptions, and system registers decide what MSRs mean. */
#include "kvm/kvm_cpu.h"
#include "kvm/kvm_regs.h"
#include "x86/msrs.h"
#include "x86/xsave.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define MTRR_FIXED(index, i)                                                                                           \
    {                                                                                                                  \
        index, offsetof(struct mh_x86_msrs, mtrr_fixed) + (i) * sizeof(uint64_t)                                       \
    }
#define MTRR_VARIABLE(i)                                                                                               \
    {                                                                                                                  \
        0x200 + (i), offsetof(struct mh_x86_msrs, mtrr_variable) + (i) * sizeof(uint64_t)                              \
    }
#define MTRR_PAIR(i) MTRR_VARIABLE(2 * (i)), MTRR_VARIABLE(2 * (i) + 1)

/* The MSRs of struct mh_x86_msrs (Intel SDM volume 4, table 2-2). */
static const struct kvm_state_msr {
    uint32_t index;
    size_t offset;
} kvm_state_msrs[] = {
    {0xc0000081, offsetof(struct mh_x86_msrs, star)},
    {0xc0000082, offsetof(struct mh_x86_msrs, lstar)},
    {0xc0000083, offsetof(struct mh_x86_msrs, cstar)},
    {0xc0000084, offsetof(struct mh_x86_msrs, sfmask)},
    {0xc0000102, offsetof(struct mh_x86_msrs, kernel_gs_base)},
    {0x174, offsetof(struct mh_x86_msrs, sysenter_cs)},
    {0x175, offsetof(struct mh_x86_msrs, sysenter_esp)},
    {0x176, offsetof(struct mh_x86_msrs, sysenter_eip)},
    {0x10, offsetof(struct mh_x86_msrs, tsc)},
    {0xc0000103, offsetof(struct mh_x86_msrs, tsc_aux)},
    {0x277, offsetof(struct mh_x86_msrs, pat)},
    {0x1a0, offsetof(struct mh_x86_msrs, misc_enable)},
    {0x2ff, offsetof(struct mh_x86_msrs, mtrr_default_type)},
    MTRR_FIXED(0x250, 0),
    MTRR_FIXED(0x258, 1),
    MTRR_FIXED(0x259, 2),
    MTRR_FIXED(0x268, 3),
    MTRR_FIXED(0x269, 4),
    MTRR_FIXED(0x26a, 5),
    MTRR_FIXED(0x26b, 6),
    MTRR_FIXED(0x26c, 7),
    MTRR_FIXED(0x26d, 8),
    MTRR_FIXED(0x26e, 9),
    MTRR_FIXED(0x26f, 10),
    MTRR_PAIR(0),
    MTRR_PAIR(1),
    MTRR_PAIR(2),
    MTRR_PAIR(3),
    MTRR_PAIR(4),
    MTRR_PAIR(5),
    MTRR_PAIR(6),
    MTRR_PAIR(7),
};

#define MSR_COUNT (sizeof kvm_state_msrs / sizeof kvm_state_msrs[0])

static enum mh_status kvm_state_fail(struct mh_error *err, const char *what, int result)
{
    return mh_fail(err, MH_ERR_HOST, "KVM refuses %s: %s", what, strerror(-result));
}

/* KVMs differ in which of these they have, and stop at the first they do not: that one is 0 then. */
static void kvm_state_get_msrs(const struct kvm_cpu *self, struct mh_x86_msrs *msrs)
{
    union kvm_sys_msrs some;
    for (size_t first = 0; first < MSR_COUNT;) {
        some.head = (struct kvm_msrs){.nmsrs = (uint32_t)(MSR_COUNT - first)};
        for (size_t i = first; i < MSR_COUNT; i++)
            some.head.entries[i - first] = (struct kvm_msr_entry){.index = kvm_state_msrs[i].index};
        int done = kvm_sys_get_msrs(self->fd, &some);
        for (size_t i = 0; done > 0 && i < (size_t)done; i++)
            memcpy((char *)msrs + kvm_state_msrs[first + i].offset, &some.head.entries[i].data, sizeof(uint64_t));
        first += done > 0 ? (size_t)done : 0;
        if (first < MSR_COUNT)
            memset((char *)msrs + kvm_state_msrs[first++].offset, 0, sizeof(uint64_t));
    }
}

/* Those that differ from *now are written. The time stamp counter runs on between two stops anyway, and not every KVM
 * takes it.
 */
static enum mh_status kvm_state_change_msrs(const struct kvm_cpu *self, const struct mh_x86_msrs *msrs,
                                            const struct mh_x86_msrs *now, struct mh_error *err)
{
    union kvm_sys_msrs one;
    for (size_t i = 0; i < MSR_COUNT; i++) {
        const char *wanted = (const char *)msrs + kvm_state_msrs[i].offset;
        if (memcmp(wanted, (const char *)now + kvm_state_msrs[i].offset, sizeof(uint64_t)) == 0)
            continue;
        one.head = (struct kvm_msrs){.nmsrs = 1};
        one.head.entries[0] = (struct kvm_msr_entry){.index = kvm_state_msrs[i].index};
        memcpy(&one.head.entries[0].data, wanted, sizeof(uint64_t));
        int done = kvm_sys_set_msrs(self->fd, &one);
        if (done != 1 && kvm_state_msrs[i].offset != offsetof(struct mh_x86_msrs, tsc))
            return mh_fail(err, MH_ERR_HOST, "KVM refuses the value of MSR 0x%x", kvm_state_msrs[i].index);
    }
    return MH_OK;
}

static enum mh_status kvm_state_set_msrs(const struct kvm_cpu *self, const struct mh_x86_msrs *msrs,
                                         struct mh_error *err)
{
    struct mh_x86_msrs now;
    kvm_state_get_msrs(self, &now);
    return kvm_state_change_msrs(self, msrs, &now, err);
}

static int kvm_state_save_rest(struct kvm_cpu *self, struct mh_cpu_state *state)
{
    struct kvm_xsave xsave;
    struct kvm_debugregs debugregs = {0};
    struct kvm_vcpu_events events = {0};
    struct kvm_xcrs xcrs = {.nr_xcrs = 0};
    int result = kvm_sys_get_xsave(self->fd, &xsave);
    if (result == 0)
        result = kvm_sys_get_debugregs(self->fd, &debugregs);
    if (result == 0)
        result = kvm_sys_get_events(self->fd, &events);
    if (result == 0 && self->xcr0 != 0)
        result = kvm_sys_get_xcrs(self->fd, &xcrs);
    if (result < 0)
        return result;
    memcpy(state->xsave, &xsave, sizeof state->xsave);
    x86_xsave_fill_initial(state->xsave);
    memcpy(state->dr, debugregs.db, sizeof state->dr);
    state->dr6 = debugregs.dr6;
    state->dr7 = debugregs.dr7;
    state->xcr0 = xcrs.nr_xcrs > 0 ? xcrs.xcrs[0].value : MH_XCR0_X87;
    state->shadow = (uint8_t)((events.interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS ? MH_SHADOW_MOV_SS : 0) |
                              (events.interrupt.shadow & KVM_X86_SHADOW_INT_STI ? MH_SHADOW_STI : 0));
    state->pending = (struct mh_x86_pending){.valid = events.exception.injected || events.exception.pending,
                                             .vector = events.exception.nr,
                                             .has_error_code = events.exception.has_error_code,
                                             .error_code = events.exception.error_code};
    return 0;
}

enum mh_status kvm_cpu_save(struct cpu *cpu, struct mh_cpu_state *state, struct mh_error *err)
{
    struct kvm_cpu *self = (struct kvm_cpu *)cpu;
    memset(state, 0, sizeof *state);
    if (kvm_cpu_regs(self) == NULL)
        return mh_fail(err, MH_ERR_HOST, "KVM does not give the registers");
    kvm_regs_to_general(kvm_cpu_regs(self), &state->general);
    kvm_regs_to_system(kvm_cpu_sregs(self), &state->system);
    int result = kvm_state_save_rest(self, state);
    if (result < 0)
        return kvm_state_fail(err, "to give all of the processor's state", result);
    kvm_state_get_msrs(self, &state->msrs);
    state->msrs.apic_base = kvm_cpu_sregs(self)->apic_base;
    return MH_OK;
}

static int kvm_state_restore_events(const struct kvm_cpu *self, const struct mh_cpu_state *state)
{
    struct kvm_vcpu_events events;
    int result = kvm_sys_get_events(self->fd, &events);
    if (result < 0)
        return result;
    events.exception.injected = state->pending.valid;
    events.exception.pending = 0;
    events.interrupt.injected = 0;
    events.exception.nr = state->pending.vector;
    events.exception.has_error_code = state->pending.has_error_code;
    events.exception.error_code = state->pending.error_code;
    events.interrupt.shadow = (uint8_t)((state->shadow & MH_SHADOW_MOV_SS ? KVM_X86_SHADOW_INT_MOV_SS : 0) |
                                        (state->shadow & MH_SHADOW_STI ? KVM_X86_SHADOW_INT_STI : 0));
    events.flags = KVM_VCPUEVENT_VALID_SHADOW;
    return kvm_sys_set_events(self->fd, &events);
}

static int kvm_state_restore_rest(const struct kvm_cpu *self, const struct mh_cpu_state *state)
{
    struct kvm_debugregs debugregs = {.dr6 = state->dr6, .dr7 = state->dr7};
    struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs[0] = {.xcr = 0, .value = state->xcr0}};
    struct kvm_mp_state runnable = {.mp_state = KVM_MP_STATE_RUNNABLE};
    struct kvm_xsave xsave;
    memset(&xsave, 0, sizeof xsave);
    memcpy(&xsave, state->xsave, sizeof state->xsave);
    memcpy(debugregs.db, state->dr, sizeof state->dr);
    int result = kvm_sys_set_xsave(self->fd, &xsave);
    if (result == 0 && self->xcr0 != 0)
        result = kvm_sys_set_xcrs(self->fd, &xcrs);
    if (result == 0)
        result = kvm_state_restore_events(self, state);
    if (result == 0)
        result = kvm_sys_set_mp_state(self->fd, &runnable);
    return result < 0 ? result : kvm_sys_set_debugregs(self->fd, &debugregs);
}

enum mh_status kvm_cpu_restore(struct cpu *cpu, const struct mh_cpu_state *state, struct mh_error *err)
{
    struct kvm_cpu *self = (struct kvm_cpu *)cpu;
    int result = kvm_memslots_reinstall(&self->slots);
    if (result < 0)
        return kvm_state_fail(err, "the machine's memory", result);
    if (kvm_cpu_sregs(self) == NULL)
        return mh_fail(err, MH_ERR_HOST, "KVM does not give the registers");
    kvm_regs_from_system(&state->system, kvm_cpu_sregs(self));
    kvm_cpu_sregs(self)->apic_base = state->msrs.apic_base;
    kvm_regs_from_general(&state->general, kvm_cpu_regs(self));
    result = kvm_cpu_write_sregs(self);
    if (result == 0)
        result = kvm_cpu_write_regs(self);
    if (result < 0)
        return kvm_state_fail(err, "the registers", result);
    enum mh_status status = kvm_state_set_msrs(self, &state->msrs, err);
    if (status != MH_OK)
        return status;
    result = kvm_state_restore_rest(self, state);
    self->debug.control_is_current = false; /* KVM's own use of the debug registers went with them */
    return result < 0 ? kvm_state_fail(err, "the processor's state", result) : MH_OK;
}

/* ---- registers, as a debugger reads and writes them ---- */

enum mh_status kvm_cpu_read_regs(struct cpu *cpu, unsigned groups, struct mh_x86_regs *regs, struct mh_error *err)
{
    struct kvm_cpu *self = (struct kvm_cpu *)cpu;
    const struct kvm_regs *general = kvm_cpu_regs(self);
    if (general == NULL)
        return mh_fail(err, MH_ERR_HOST, "KVM does not give the registers");
    if ((groups & MH_REGS_GENERAL) != 0)
        kvm_regs_to_general(general, &regs->general);
    if ((groups & MH_REGS_SYSTEM) != 0)
        kvm_regs_to_system(kvm_cpu_sregs(self), &regs->system);
    if ((groups & MH_REGS_FPU) != 0) {
        struct kvm_xsave xsave;
        int result = kvm_sys_get_xsave(self->fd, &xsave);
        if (result < 0)
            return kvm_state_fail(err, "to give the floating-point registers", result);
        x86_xsave_fill_initial((uint8_t *)&xsave);
        x86_xsave_to_fpu((const uint8_t *)&xsave, self->xcr0, &regs->fpu);
    }
    if ((groups & MH_REGS_MSRS) != 0) {
        kvm_state_get_msrs(self, &regs->msrs);
        regs->msrs.apic_base = kvm_cpu_sregs(self)->apic_base;
        self->tsc_read = regs->msrs.tsc;
    }
    return MH_OK;
}

static enum mh_status kvm_state_write_fpu(struct kvm_cpu *self, const struct mh_x86_fpu *fpu, struct mh_error *err)
{
    struct kvm_xsave xsave;
    int result = kvm_sys_get_xsave(self->fd, &xsave);
    if (result == 0) {
        x86_xsave_from_fpu((uint8_t *)&xsave, self->xcr0, fpu);
        result = kvm_sys_set_xsave(self->fd, &xsave);
    }
    return result < 0 ? kvm_state_fail(err, "these floating-point registers", result) : MH_OK;
}

/* The time stamp counter runs on between reading and writing: the value that was read means that it is to run on. */
static enum mh_status kvm_state_write_msrs(const struct kvm_cpu *self, const struct mh_x86_msrs *msrs,
                                           struct mh_error *err)
{
    struct mh_x86_msrs now, wanted = *msrs;
    uint64_t address = 0;
    const char *name = x86_msr_not_canonical(msrs, &address); /* not every KVM looks */
    if (name != NULL)
        return mh_fail(err, MH_ERR_HOST, "cannot set %s to 0x%llx: the address is not canonical", name,
                       (unsigned long long)address);
    kvm_state_get_msrs(self, &now);
    if (msrs->tsc == self->tsc_read)
        wanted.tsc = now.tsc;
    return kvm_state_change_msrs(self, &wanted, &now, err);
}

enum mh_status kvm_cpu_write_regs_op(struct cpu *cpu, unsigned groups, const struct mh_x86_regs *regs,
                                     struct mh_error *err)
{
    struct kvm_cpu *self = (struct kvm_cpu *)cpu;
    if (kvm_cpu_regs(self) == NULL)
        return mh_fail(err, MH_ERR_HOST, "KVM does not give the registers");
    if ((groups & MH_REGS_SYSTEM) != 0) {
        kvm_regs_from_system(&regs->system, kvm_cpu_sregs(self));
        int result = kvm_cpu_write_sregs(self);
        if (result < 0)
            return kvm_state_fail(err, "this value of a segment, table or control register", result);
    }
    if ((groups & MH_REGS_GENERAL) != 0) {
        kvm_regs_from_general(&regs->general, kvm_cpu_regs(self));
        int result = kvm_cpu_write_regs(self);
        if (result < 0)
            return kvm_state_fail(err, "these general registers", result);
    }
    enum mh_status status = (groups & MH_REGS_FPU) != 0 ? kvm_state_write_fpu(self, &regs->fpu, err) : MH_OK;
    if (status == MH_OK && (groups & MH_REGS_MSRS) != 0)
        status = kvm_state_write_msrs(self, &regs->msrs, err);
    return status;
}
