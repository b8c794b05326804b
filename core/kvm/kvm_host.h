/* What all machines of a process that use KVM share: the descriptor of /dev/kvm and what was learned from it. */
#ifndef MH_CORE_KVM_KVM_HOST_H
#define MH_CORE_KVM_KVM_HOST_H

#include "kvm/kvm_sys.h"
#include "x86/cpuid.h"

#include <stdbool.h>

struct kvm_host {
    int fd;
    size_t run_size;        /* bytes of a processor's run page and what follows it */
    unsigned coalesce_page; /* where the coalesced-I/O ring lies in it, in pages; 0: none */
    bool needs_tss_address;
    bool syncs_registers; /* KVM can put the registers into the run page at every exit */
};

/* Open KVM. MH_OK with *host set, or MH_ERR_HOST with what is missing and how to get it. */
enum mh_status kvm_host_open(struct kvm_host **host, struct mh_error *err);
void kvm_host_close(struct kvm_host *host); /* NULL is allowed */

/* The CPUID that KVM supports, as a table. 0, or minus an errno. Takes nearly a millisecond. */
int kvm_host_cpuid(const struct kvm_host *host, struct x86_cpuid *cpuid);

/* A table in the form that KVM_SET_CPUID2 takes. */
void kvm_host_cpuid_to_kvm(const struct x86_cpuid *from, union kvm_sys_cpuid *to);

#endif
