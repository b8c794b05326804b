/*
 * Break- and watchpoints: the list the debugger keeps, and how each is armed while the guest runs.
 *
 * They are armed before the guest is entered and disarmed when the debugger takes over, so memory never shows them and
 * what the guest or the debugger writes over one is simply what is there the next time. Each kind has ways, tried in
 * this order, as far as the host can (host.h, struct host_debug):
 *
 *   software   a debug register that is free, unless the guest uses them itself; an INT3; comparing rip at each step
 *   hardware   a debug register; comparing rip at each step
 *   watch      a debug register; for writes a page the guest may not write; for reads decoding each instruction
 */
#ifndef MH_CORE_BREAKPOINTS_H
#define MH_CORE_BREAKPOINTS_H

#include "mh/debug_target.h"
#include "x86/paging.h"
#include "slots.h"

#define DEBUG_REGISTERS 4u
#define BREAKPOINTS_MAX 4096u /* of all kinds together; whatever looks through the list stays short */

struct breakpoint {
    enum mh_break_kind kind;
    uint64_t address;
    uint64_t length; /* bytes; 1 for breakpoints */
};

/* An instruction of ours in guest memory: an INT3, or a HLT where KVM does not report those. */
struct patch {
    uint8_t *at;
    uint8_t original, opcode;
};

struct breakpoints {
    struct breakpoint *list;
    size_t count, capacity;

    /* while armed: */
    struct patch *patches;
    size_t patch_count, patch_capacity;
    struct breakpoint in_register[DEBUG_REGISTERS];
    unsigned register_count;
    bool breaks_by_step;    /* some breakpoint is only found by comparing rip at each step */
    bool reads_by_step;     /* some watched read is only found by decoding each instruction */
    struct page_list pages; /* that the guest may not write */
};

struct mh_vm;

/* Put one on the list. MH_OK also when it is there already; MH_ERR_RANGE or MH_ERR_HOST with words for the debugger,
 * and nothing changed, when the list is full or this one cannot be. */
enum mh_status breakpoints_add(struct mh_vm *vm, const struct breakpoint *breakpoint, struct mh_error *err);
/* Take one off the list, if it is there. */
void breakpoints_remove(struct breakpoints *breakpoints, const struct breakpoint *breakpoint);
void breakpoints_clear(struct breakpoints *breakpoints);
void breakpoints_destroy(struct breakpoints *breakpoints);

/*
 * Put an INT3 at a guest-virtual address, remembering what was there; nothing when the address is not mapped. Where the
 * host does not report INT3 it is a HLT, which ends a run in ring 0 only.
 */
void breakpoints_patch(struct mh_vm *vm, const struct paging_mode *mode, uint64_t address);

/* Make all of them effective, or, for a single step, the watchpoints alone: fills in the members above and patches
 * memory. 0, or minus an errno. */
int breakpoints_arm(struct mh_vm *vm, bool watches_only);
/* Take the patches out again. A byte the guest has written over one stays. */
void breakpoints_unpatch(struct breakpoints *breakpoints);
/* The guest or a device may have written over a patch: take that as what is there, and put the patch back. */
void breakpoints_refresh(struct breakpoints *breakpoints);

/* The breakpoint (not watchpoint) at `rip`, NULL when there is none. */
const struct breakpoint *breakpoints_at(const struct breakpoints *breakpoints, uint64_t rip);
/* True when a patch of ours is at `rip`. */
bool breakpoints_patched_at(struct mh_vm *vm, uint64_t rip);

/* The debug registers that go with the armed state, in KVM's form. */
void breakpoints_fill_registers(const struct breakpoints *breakpoints, struct kvm_guest_debug *debug);

/* The watchpoint of a kind that sees writes (reads) touched by [address, address + length); NULL when there is none. */
const struct breakpoint *breakpoints_watching_write(struct mh_vm *vm, mh_gpa address, uint32_t length);
const struct breakpoint *breakpoints_watching_read(const struct breakpoints *breakpoints, uint64_t address,
                                                   uint32_t length);

#endif
