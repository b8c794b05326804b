/* The one list of a machine's break- and watchpoints. A point stays as long as one of its owners wants it. */
#ifndef MH_CORE_DEBUG_BREAKPOINTS_H
#define MH_CORE_DEBUG_BREAKPOINTS_H

#include "cpu/cpu.h"
#include "mh/debug_target.h"

#define BREAKPOINTS_MAX 65536u /* of all kinds together */

struct breakpoint {
    enum mh_break_kind kind;
    uint64_t address;
    uint64_t length; /* bytes; 1 for breakpoints */
    unsigned owners; /* mask of enum mh_break_owner, never 0 */
};

struct breakpoints {
    struct breakpoint *list;
    struct cpu_point *points; /* the same list in the processor's form, index by index; see breakpoints_points() */
    size_t count, capacity;
    bool have_changed; /* since the last breakpoints_points() */
};

/*
 * Add one, or an owner to one that is there; `owners` is that owner. MH_OK, or with nothing changed MH_ERR_RANGE when
 * it cannot be (the list is full, a watchpoint without length or beyond the address space) or MH_ERR_HOST without
 * memory. Whether memory is mapped there does not matter: a point takes effect when it is.
 */
enum mh_status breakpoints_add(struct breakpoints *breakpoints, const struct breakpoint *added, struct mh_error *err);
/* Remove an owner from a point, and the point with its last owner. No effect if there is no such point. */
void breakpoints_remove(struct breakpoints *breakpoints, const struct breakpoint *removed);
void breakpoints_clear(struct breakpoints *breakpoints);
void breakpoints_destroy(struct breakpoints *breakpoints);

/* The points for the processor; good until the list changes. */
const struct cpu_point *breakpoints_points(struct breakpoints *breakpoints);

/* The breakpoint (not watchpoint) at `rip`, a software one before a hardware one; NULL when there is none. */
const struct breakpoint *breakpoints_at(const struct breakpoints *breakpoints, uint64_t rip);

#endif
