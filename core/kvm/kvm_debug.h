/*
 * Break- and watchpoints on KVM: an INT3 in guest memory for a breakpoint, a debug register for a watchpoint. A
 * breakpoint in a debug register would be missed when the guest returns to it with RF set, as exception handlers do.
 * They are in place only while the guest runs, so only the guest can see them. If an INT3 is overwritten, the new byte
 * is what the next patch preserves.
 */
#ifndef MH_CORE_KVM_KVM_DEBUG_H
#define MH_CORE_KVM_KVM_DEBUG_H

#include "cpu/cpu.h"

#include <linux/kvm.h>

#define KVM_DEBUG_REGISTERS 4u
#define KVM_PATCHES_MAX 4096u

struct kvm_cpu;

/* An INT3 of ours. */
struct kvm_patch {
    uint8_t *at; /* NULL: the page is not mapped */
    uint8_t original;
    unsigned point;
};

struct kvm_debug {
    struct kvm_patch *patches;
    size_t patch_count;
    unsigned register_count;
    struct cpu_point in_register[KVM_DEBUG_REGISTERS];
    unsigned register_point[KVM_DEBUG_REGISTERS];
    struct kvm_guest_debug control; /* what KVM was given last */
    bool control_is_current;        /* it was, and nothing has happened since that could make it forget */
};

/*
 * Decide how each point is held. MH_OK, or MH_ERR_RANGE with why one cannot be: a read (x86 has no such debug
 * register), a range that no debug register has, more than four, a breakpoint on a page that is not mapped or that the
 * guest has mapped itself, or that is to persist. None is armed then.
 */
enum mh_status kvm_debug_arm(struct cpu *cpu, const struct cpu_point *points, size_t count, struct mh_error *err);
void kvm_debug_destroy(struct kvm_debug *debug);

/* Insert the patches, and tell KVM what to report. `inject` is 0, KVM_GUESTDBG_INJECT_BP or _DB. 0, or minus an errno.
 */
int kvm_debug_enter(struct kvm_cpu *self, uint32_t inject);
/* Remove the patches. */
void kvm_debug_leave(struct kvm_cpu *self);

/* The execute point whose patch is at `rip`; false when there is none. */
bool kvm_debug_patch_at(struct kvm_cpu *self, uint64_t rip, unsigned *point);
/* The register point whose bit is set in `dr6`; false when there is none. */
bool kvm_debug_register_hit(const struct kvm_cpu *self, uint64_t dr6, unsigned *point);

#endif
