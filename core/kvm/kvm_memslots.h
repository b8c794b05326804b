/*
 * KVM's memory slots: RAM and the system area. KVM does not see what we write to page tables in guest memory, and where
 * it keeps tables of its own beside them, these get stale: installing the slots again drops them.
 */
#ifndef MH_CORE_KVM_KVM_MEMSLOTS_H
#define MH_CORE_KVM_KVM_MEMSLOTS_H

#include "kvm/kvm_sys.h"
#include "ram/ram.h"

#include <stdbool.h>

struct kvm_memslots {
    int vm_fd;
    struct guest_ram *ram;
    bool logs; /* KVM notes which pages the guest writes */
};

/* Install both slots. 0, or minus an errno. */
int kvm_memslots_install(struct kvm_memslots *slots);

/* Install them again. What KVM has noted of writes goes to ram->changed first. 0, or minus an errno: the machine has no
 * usable memory then. */
int kvm_memslots_reinstall(struct kvm_memslots *slots);

/* From now on have KVM log which pages the guest writes. 0, or minus an errno. */
int kvm_memslots_log_writes(struct kvm_memslots *slots);

/* Mark the pages the guest wrote since the last time in ram->changed. 0, or minus an errno. */
int kvm_memslots_collect_writes(struct kvm_memslots *slots);

#endif
