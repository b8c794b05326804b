/*
 * A KVM that runs nothing, for tests linked with --wrap=open,--wrap=ioctl,--wrap=mmap,--wrap=munmap: its descriptors
 * are real ones of other kinds, its exits are what the test says, and any of its answers can be a failure.
 */
#ifndef MH_TEST_FAKE_KVM_H
#define MH_TEST_FAKE_KVM_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_KVM_RUN_PAGES 3u /* the run page, its data, the coalesced ring */
#define FAKE_KVM_PAGE 4096u
#define FAKE_KVM_DATA FAKE_KVM_PAGE /* offset of the bytes of an IN or OUT in the run page's mapping */
#define FAKE_KVM_LOG_MAX 256u
#define FAKE_KVM_CPUID_ENTRIES 4u
#define FAKE_KVM_MSRS 64u
#define FAKE_KVM_YMM_AT 576u /* where the upper halves of the ymm registers lie in the XSAVE area */

struct fake_kvm {
    /* what is to fail */
    int open_errno;                /* of open("/dev/kvm") */
    unsigned long failing_request; /* this ioctl fails ... */
    unsigned failing_call;         /* ... or the so-many-th of all, counted from 1; 0: none */
    int failing_errno;
    unsigned failing_mmap; /* the so-many-th mmap(), counted from 1; 0: none */
    int missing_capability;

    /* what the host has */
    int api_version;
    int run_size;
    uint32_t cpuid_1_ecx, cpuid_xsave_eax;

    /* one entry into the guest: returns 0 with the exit in *run, or minus an errno. NULL: the guest halts. */
    int (*on_run)(void *ctx, struct kvm_run *run);
    /* Whatever an IN or OUT does when it is completed, at the beginning of each KVM_RUN. May be NULL. */
    void (*on_complete)(void *ctx, struct kvm_run *run);
    void *on_run_ctx;

    /* what the machine did */
    unsigned calls; /* ioctls so far */
    unsigned long log[FAKE_KVM_LOG_MAX];
    unsigned mmaps; /* so far */
    int mapped;     /* mappings not yet undone */
    unsigned runs;
    struct kvm_run *run; /* of the last processor made */
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_xcrs xcrs;
    struct kvm_vcpu_events events;
    struct kvm_xsave xsave;
    struct kvm_debugregs debugregs;
    struct kvm_mp_state mp_state;
    struct kvm_msr_entry msrs[FAKE_KVM_MSRS]; /* those that were written */
    unsigned msr_count;
    uint32_t missing_msr, constant_msr; /* one that can neither be read nor written, and one that cannot be written */
    struct kvm_guest_debug guest_debug;
    uint64_t blocked; /* signals while the guest runs */
    struct kvm_userspace_memory_region region[8];
    uint64_t dirty[8];      /* what the log of a slot's first 64 pages says; asking clears it */
    uint32_t cpuid_entries; /* how many the processor was given */
};

/* Of this test program. fake_kvm_reset() makes it a KVM in good health. */
extern struct fake_kvm fake_kvm;
void fake_kvm_reset(void);

/* The value of an MSR, to be read or set. */
uint64_t *fake_kvm_msr(uint32_t index);

/* How often an ioctl was made. */
unsigned fake_kvm_count(unsigned long request);

#endif
