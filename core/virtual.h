/* Guest-virtual memory as the guest's own instructions see it, copied page by page. */
#ifndef MH_CORE_VIRTUAL_H
#define MH_CORE_VIRTUAL_H

#include "x86/paging.h"
#include "vm_internal.h"

/* The registers a walk depends on, out of the system registers. */
struct paging_mode virtual_mode_of(const struct kvm_sregs *sregs);

/* The same as the processor holds them. All zero when KVM does not tell them. */
struct paging_mode virtual_mode(struct mh_vm *vm);

/* The host address of one guest-virtual byte, NULL when it is not mapped to memory the machine has. */
uint8_t *virtual_at(struct mh_vm *vm, const struct paging_mode *mode, mh_gva address);

/* Copy from or to the guest; returns how many bytes, counted from the start and ending at the first unmapped one. */
size_t virtual_read(struct mh_vm *vm, const struct paging_mode *mode, mh_gva address, void *to, size_t length);
size_t virtual_write(struct mh_vm *vm, const struct paging_mode *mode, mh_gva address, const void *from, size_t length);

#endif
