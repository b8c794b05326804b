/* Four-level paging (Intel SDM volume 3, 4.5): the tables a guest starts with, and the walk of whatever it made of
 * them. */
#ifndef MH_CORE_PAGING_H
#define MH_CORE_PAGING_H

#include "mh/x86_regs.h"
#include "ram/ram.h"

#include <stdbool.h>

#define PAGING_PRESENT 0x001u
#define PAGING_WRITE 0x002u
#define PAGING_USER 0x004u
#define PAGING_ACCESSED 0x020u
#define PAGING_DIRTY 0x040u
#define PAGING_LARGE 0x080u
#define PAGING_NX (1ull << 63)

#define PAGE_2M 0x200000u

/* How far a walk came, and why it ended. */
enum paging_end {
    PAGING_MAPPED,
    PAGING_NOT_PRESENT,   /* the last entry read has no P bit */
    PAGING_NOT_CANONICAL, /* bits 48 to 63 of the address do not repeat bit 47 (57 with five levels) */
    PAGING_NO_TABLE,      /* a table lies where the machine has no memory */
};

#define PAGING_LEVELS_MAX 5

struct paging_step {
    const char *level; /* "PML5", "PML4", "PDPT", "PD" or "PT" */
    mh_gpa table;
    unsigned index;
    uint64_t entry; /* unset in the last step of PAGING_NO_TABLE */
};

struct paging_walk {
    enum paging_end end;
    unsigned steps;
    struct paging_step step[PAGING_LEVELS_MAX];
    /* of PAGING_MAPPED: */
    mh_gpa physical;    /* what the address itself leads to */
    uint64_t page_size; /* bytes */
    bool writable, user, executable;
};

/* The registers a walk depends on. */
struct paging_mode {
    uint64_t cr0, cr3, cr4, efer;
};

static inline struct paging_mode paging_mode_of(const struct mh_x86_system *system)
{
    return (struct paging_mode){.cr0 = system->cr0, .cr3 = system->cr3, .cr4 = system->cr4, .efer = system->efer};
}

/*
 * Follow `address` through the guest's tables without touching accessed or dirty bits. With paging off the address is
 * its own translation. Tables of 32-bit modes are not followed: PAGING_NO_TABLE with no steps.
 * Returns true when *walk ends in PAGING_MAPPED.
 */
bool paging_walk(const struct guest_ram *memory, const struct paging_mode *mode, mh_gva address,
                 struct paging_walk *walk);

/* Is the page at `address` a table of the guest's, as far as a bounded search finds it? */
bool paging_is_table(const struct guest_ram *memory, const struct paging_mode *mode, mh_gpa address);

#endif
