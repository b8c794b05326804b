/*
 * KVM's memory slots, and pages in them that the guest may not write: writing to one leaves KVM_RUN with
 * KVM_EXIT_MMIO and the store undone. The read-only flag of a slot cannot be changed in place, so a change lays all
 * slots anew; that takes some ten microseconds a slot.
 */
#ifndef MH_CORE_SLOTS_H
#define MH_CORE_SLOTS_H

#include "kvm_sys.h"
#include "memory.h"

#include <stdbool.h>

#define SLOTS_PROTECTED_MAX 64u

/* Guest-physical pages, ascending, each once. */
struct page_list {
    size_t count;
    uint64_t page[SLOTS_PROTECTED_MAX];
};

struct slots {
    int vm_fd;
    const struct guest_memory *memory;
    unsigned count; /* slots 0 to count - 1 are laid */
    struct page_list read_only;
    bool is_whole; /* all of it is laid; false after a refusal */
};

/* Lay RAM and system area, all writable. 0, or minus an errno. */
int slots_create(struct slots *slots, int vm_fd, const struct guest_memory *memory);

/* Make exactly these pages read-only. 0, or minus an errno: the machine has no usable memory
 * until a later call succeeds. */
int slots_protect(struct slots *slots, const struct page_list *pages);

/* Add the page of `address` to the list. False when it is full. */
bool page_list_add(struct page_list *list, mh_gpa address);
bool page_list_has(const struct page_list *list, mh_gpa address);

#endif
