/*
 * Every ioctl on a KVM descriptor is made here and nowhere else. The functions are thin: they return 0 (or the
 * value the ioctl is made for) and minus an errno on failure. Source: Linux Documentation/virt/kvm/api.rst.
 */
#ifndef MH_CORE_KVM_SYS_H
#define MH_CORE_KVM_SYS_H

#include "mh/status.h"

#include <linux/kvm.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#define KVM_SYS_CPUID_MAX 256

/* kvm_cpuid2 with room for its entries. */
union kvm_sys_cpuid {
    struct kvm_cpuid2 head;
    uint8_t room[sizeof(struct kvm_cpuid2) + KVM_SYS_CPUID_MAX * sizeof(struct kvm_cpuid_entry2)];
};

#define KVM_SYS_MSRS_MAX 512u

/* kvm_msrs with room for its entries. */
union kvm_sys_msrs {
    struct kvm_msrs head;
    uint8_t room[sizeof(struct kvm_msrs) + KVM_SYS_MSRS_MAX * sizeof(struct kvm_msr_entry)];
};

/*
 * Open /dev/kvm and make sure it is a KVM this program can work with.
 * Returns MH_OK with *fd set, or MH_ERR_HOST with the missing thing and its remedy in *err.
 */
enum mh_status kvm_sys_open(int *fd, struct mh_error *err);

/* KVM_CHECK_EXTENSION: 0 when the capability is missing or the question failed, else its value. */
int kvm_sys_capability(int fd, int capability);
/* KVM_GET_VCPU_MMAP_SIZE, in bytes. */
int kvm_sys_run_size(int fd);
/* KVM_GET_SUPPORTED_CPUID. About 0.8 ms where CPUID itself traps. */
int kvm_sys_supported_cpuid(int fd, union kvm_sys_cpuid *cpuid);

/* KVM_CREATE_VM and KVM_CREATE_VCPU: a descriptor the caller closes. */
int kvm_sys_create_vm(int fd);
int kvm_sys_create_vcpu(int vm_fd);
/* KVM_SET_TSS_ADDR, where the host's KVM wants one. */
int kvm_sys_set_tss_address(int vm_fd, unsigned long address);
int kvm_sys_set_memory(int vm_fd, const struct kvm_userspace_memory_region *region);
/* KVM_GET_DIRTY_LOG: a bit for each page of the slot, set when the guest wrote it since the last call. `bitmap` has
 * room for the slot's pages, rounded up to 64. */
int kvm_sys_get_dirty_log(int vm_fd, unsigned slot, uint64_t *bitmap);
/* KVM_REGISTER_COALESCED_MMIO for one byte-wide port. */
int kvm_sys_coalesce_port(int vm_fd, unsigned port);
/* KVM_UNREGISTER_COALESCED_MMIO for the same. */
int kvm_sys_uncoalesce_port(int vm_fd, unsigned port);

/* Give guests none of the MSRs and hypercalls that KVM has for them when CPUID does not announce them. */
int kvm_sys_enforce_cpuid(int vcpu_fd);
int kvm_sys_set_cpuid(int vcpu_fd, const union kvm_sys_cpuid *cpuid);
int kvm_sys_get_regs(int vcpu_fd, struct kvm_regs *regs);
int kvm_sys_set_regs(int vcpu_fd, const struct kvm_regs *regs);
int kvm_sys_get_sregs(int vcpu_fd, struct kvm_sregs *sregs);
int kvm_sys_set_sregs(int vcpu_fd, const struct kvm_sregs *sregs);
int kvm_sys_get_xcrs(int vcpu_fd, struct kvm_xcrs *xcrs);
int kvm_sys_set_xcrs(int vcpu_fd, const struct kvm_xcrs *xcrs);
int kvm_sys_get_xsave(int vcpu_fd, struct kvm_xsave *xsave);
int kvm_sys_set_xsave(int vcpu_fd, const struct kvm_xsave *xsave);
int kvm_sys_get_debugregs(int vcpu_fd, struct kvm_debugregs *debugregs);
int kvm_sys_set_debugregs(int vcpu_fd, const struct kvm_debugregs *debugregs);
int kvm_sys_get_mp_state(int vcpu_fd, struct kvm_mp_state *state);
int kvm_sys_set_mp_state(int vcpu_fd, const struct kvm_mp_state *state);
/* KVM_GET_MSRS and KVM_SET_MSRS: how many of the entries were done, from the first; the one behind them was refused. */
int kvm_sys_get_msrs(int vcpu_fd, union kvm_sys_msrs *msrs);
int kvm_sys_set_msrs(int vcpu_fd, const union kvm_sys_msrs *msrs);
/* KVM_INTERRUPT: deliver the external interrupt `vector` at the next entry. */
int kvm_sys_interrupt(int vcpu_fd, unsigned vector);
int kvm_sys_get_events(int vcpu_fd, struct kvm_vcpu_events *events);
int kvm_sys_set_events(int vcpu_fd, const struct kvm_vcpu_events *events);
int kvm_sys_set_guest_debug(int vcpu_fd, const struct kvm_guest_debug *debug);
/* The signals that are blocked while KVM_RUN is under way, instead of those the thread has blocked. */
int kvm_sys_set_signal_mask(int vcpu_fd, const sigset_t *blocked);
/* KVM_RUN; -EINTR after a signal or with immediate_exit set. */
int kvm_sys_run(int vcpu_fd);

#endif
