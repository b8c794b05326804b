/*
 * KVM's memory slots, and pages in them that the guest may not write: writing to one leaves KVM_RUN with
 * KVM_EXIT_MMIO and the store undone. The read-only flag of a slot cannot be changed in place, so a change lays all
 * slots anew; that takes some ten microseconds a slot.
 */
#ifndef MH_CORE_SLOTS_H
#define MH_CORE_SLOTS_H

#include "kvm_sys.h"
#include "ram/ram.h"

#include <stdbool.h>

#define SLOTS_PROTECTED_MAX 64u

/* Guest-physical pages, ascending, each once. */
struct page_list {
    size_t count;
    uint64_t page[SLOTS_PROTECTED_MAX];
};

/* Each read-only page makes two of one; and there are RAM and system area to begin with. */
#define SLOTS_MAX (2 * SLOTS_PROTECTED_MAX + 2)

struct slot {
    uint64_t start, size; /* guest-physical, bytes */
    bool read_only;
};

struct slots {
    int vm_fd;
    struct guest_ram *memory;
    unsigned count; /* slots 0 to count - 1 are laid */
    struct slot laid[SLOTS_MAX];
    struct page_list read_only;
    bool is_whole; /* all of it is laid; false after a refusal */
    bool logs;     /* KVM notes which pages the guest writes */
};

/* Lay RAM and system area, all writable. 0, or minus an errno. */
int slots_create(struct slots *slots, int vm_fd, struct guest_ram *memory);

/* Make exactly these pages read-only. 0, or minus an errno: the machine has no usable memory
 * until a later call succeeds. */
int slots_protect(struct slots *slots, const struct page_list *pages);

/* From here on have KVM note which pages the guest writes, which costs a little. 0, or minus an errno: it does not. */
int slots_log_writes(struct slots *slots);

/* Mark the pages the guest wrote since the last time in memory->changed. 0, or minus an errno. */
int slots_collect_writes(struct slots *slots);

/* Lay all slots anew, so that KVM forgets what it derived from the page tables in guest memory, which it does not see
 * us write. 0, or minus an errno: the machine has no usable memory then. */
int slots_lay_again(struct slots *slots);

/* Add the page of `address` to the list. False when it is full. */
bool page_list_add(struct page_list *list, mh_gpa address);
bool page_list_has(const struct page_list *list, mh_gpa address);

#endif
