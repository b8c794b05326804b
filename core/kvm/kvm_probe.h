/*
 * What this host's KVM reports to a debugger: KVMs differ, so it is tried in a machine of its own and never assumed
 * (docs/architecture.md has what was met).
 */
#ifndef MH_CORE_KVM_KVM_PROBE_H
#define MH_CORE_KVM_KVM_PROBE_H

#include "kvm/kvm_host.h"
#include "text.h"

/* What happens to an INT3 in ring 0 while KVM is asked to report them. */
enum kvm_int3 {
    KVM_INT3_REPORTED, /* KVM_EXIT_DEBUG, exception 3 */
    KVM_INT3_ERROR,    /* KVM_EXIT_INTERNAL_ERROR at it: as good, the state is intact */
    KVM_INT3_LOST,     /* the guest gets it, or worse */
};

struct kvm_quirks {
    enum kvm_int3 int3_in_ring_0;
    bool int3_in_ring_3; /* reported */
    bool data_registers; /* data breakpoints do */
    bool sse;            /* SSE runs in ring 0 */
};

/* MH_OK with *quirks set, or MH_ERR_HOST when no machine can be made. Takes some milliseconds. */
enum mh_status kvm_probe(const struct kvm_host *host, const struct x86_cpuid *cpuid, struct kvm_quirks *quirks,
                         struct mh_error *err);

/* Write a line "name: value" for each. */
void kvm_probe_describe(const struct kvm_host *host, const struct kvm_quirks *quirks, const struct text_output *to);

#endif
