/* Guest-virtual memory as the guest's own instructions see it, copied page by page. */
#ifndef MH_CORE_MACHINE_GUEST_MEM_H
#define MH_CORE_MACHINE_GUEST_MEM_H

#include "machine/vm.h"
#include "x86/paging.h"

/* The registers a walk depends on. All zero when the processor does not give them. */
struct paging_mode guest_paging_mode(struct mh_vm *vm);

/* The host address of one guest-virtual byte, NULL when it is not mapped to memory the machine has. */
uint8_t *gva_to_host(struct mh_vm *vm, const struct paging_mode *mode, mh_gva address);

/* Copy from or to the guest; returns how many bytes, counted from the start and ending at the first unmapped one. */
size_t gva_read(struct mh_vm *vm, const struct paging_mode *mode, mh_gva address, void *to, size_t length);
size_t gva_write(struct mh_vm *vm, const struct paging_mode *mode, mh_gva address, const void *from, size_t length);

#endif
