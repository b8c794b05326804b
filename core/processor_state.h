/* All of a processor that KVM tells and takes: from registers to MSRs. */
#ifndef MH_CORE_PROCESSOR_STATE_H
#define MH_CORE_PROCESSOR_STATE_H

#include "vm_internal.h"

struct processor_state {
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_xsave xsave;
    struct kvm_xcrs xcrs;
    struct kvm_debugregs debugregs;
    struct kvm_vcpu_events events;
    struct kvm_mp_state mp_state;
    union kvm_sys_msrs msrs;
};

/* Take it. No access to a port or to memory may be half done. 0, or minus an errno with *state undefined. */
int processor_state_take(struct mh_vm *vm, struct processor_state *state);

/* Put it back. 0, or minus an errno: part of it is back, and the processor not to be used. */
int processor_state_put_back(struct mh_vm *vm, const struct processor_state *state);

#endif
