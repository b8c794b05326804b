/* What all machines of a process share: the KVM descriptor and what was learned from it. Read-only after host_cpuid().
 */
#ifndef MH_CORE_HOST_H
#define MH_CORE_HOST_H

#include "kvm_sys.h"
#include "mh/vm.h"

#include <pthread.h>

/* What may come with an exit: general and system registers. */
#define VCPU_SYNCED (KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS)

struct mh_host {
    int fd;
    size_t run_size;        /* bytes of a processor's shared mapping */
    unsigned coalesce_page; /* where the coalesced-I/O ring lies in it, in pages; 0: none */
    bool needs_tss_address;
    bool can_sync;             /* registers can come with every exit */
    pthread_mutex_t mutex;     /* guards `has_cpuid` while it is false, and the filling of `cpuid` */
    bool has_cpuid;            /* KVM was asked, and has answered */
    uint64_t xcr0;             /* what the guest's XCR0 starts with; 0: no XSAVE */
    union kvm_sys_cpuid cpuid; /* last: its entries follow */
};

/* Where component `number` of the standard XSAVE area lies, in bytes; 0 when CPUID does not say. */
uint32_t host_xsave_offset(const struct mh_host *host, unsigned number);

/* Make sure `cpuid` and `xcr0` are filled in. 0, or minus an errno. Any thread. */
int host_cpuid(struct mh_host *host);

#endif
