/* A machine under a debugger: what the debugger asked for, and what this host's KVM can do for it. */
#ifndef MH_CORE_DEBUG_H
#define MH_CORE_DEBUG_H

#include "breakpoints.h"
#include "catches.h"

#include <stdatomic.h>

/* What happens to an INT3 in ring 0 while KVM is asked to report them. */
enum host_int3 {
    HOST_INT3_REPORTED, /* KVM_EXIT_DEBUG, exception 3 */
    HOST_INT3_ERROR,    /* KVM_EXIT_INTERNAL_ERROR at it: as good, the state is intact */
    HOST_INT3_LOST,     /* the guest gets it, or worse */
};

/* What a probe of the host found; see probe.h. */
struct host_debug {
    enum host_int3 int3;
    bool execute_registers; /* execute breakpoints in debug registers fire */
    bool data_registers;    /* data breakpoints do */
    bool user_registers;    /* execute breakpoints do in ring 3, too */
    bool user_int3;         /* an INT3 in ring 3 is reported, whatever becomes of one in ring 0 */
    bool steps_last;        /* asked for once, single steps go on, also past what KVM emulates */
};

struct debug {
    struct host_debug host;
    struct breakpoints breakpoints;
    struct catches catches;
    struct kvm_guest_debug control; /* what KVM was told last */
    struct mh_resume how;
    struct mh_stop last_stop;
    struct breakpoint hit; /* see watch_hit */
    const int *fds;        /* descriptors whose input ends a wait */
    unsigned fd_count;

    int control_errno;       /* why KVM did not take what it was told last; 0 when it did */
    bool control_is_current; /* it did, and nothing has happened since that could make it forget */

    bool active;
    bool running;                /* resumed, and no stop told yet */
    bool has_entered;            /* since the resume, at least one instruction was executed */
    bool killed;                 /* by the debugger, or half put back: it does not run again, but may be restarted */
    bool interrupt_wanted;       /* stop as soon as possible */
    bool heeds_kicks;            /* see debug_heed_kicks() */
    bool has_signals;            /* input on the descriptors sends signals */
    bool watch_hit;              /* a watched page was written; `hit` says by whom it is watched */
    atomic_bool waits_for_input; /* the guest waits for serial input; other threads read it */
    atomic_bool waits_for_timer; /* what could end the run sends no signal; other threads read it */

    /* since a resume after a stop that a debugger was told of: */
    bool input_kicks;         /* kicks on input are arranged for ... */
    bool has_timer;           /* ... but for that of a timer */
    bool knows_registers;     /* looked whether ... */
    bool guest_has_registers; /* ... the guest has breakpoints of its own in the debug registers */
};

/* Why debug_run() came back. */
enum debug_end {
    DEBUG_STOPPED, /* the machine stopped; *stop says why */
    DEBUG_INPUT,   /* a descriptor is readable, or everything is to end; the machine counts as running */
};

/* The machine is somewhere else than where it stopped: forget how it came there. Breakpoints stay. */
void debug_forget_run(struct debug *debug);

/* Let a resumed machine run. */
enum debug_end debug_run(struct mh_vm *vm, struct mh_stop *stop);

/*
 * The machine may run or wait for long from here on: have kicks end that, and input for the debugger be a kick. True
 * when there may have been some already: look at what they are for. Until the machine is back with its debugger,
 * calling it again does nothing.
 */
bool debug_heed_kicks(struct mh_vm *vm);

/* It is back. */
void debug_heed_no_kicks(struct mh_vm *vm);

/* Have input send no signals: a single step is over before anybody could want to end it. */
void debug_ignore_input(struct mh_vm *vm);

/* True when one of the descriptors that end a wait has input. */
bool debug_has_input(const struct debug *debug);

/* True when a machine that waits for serial input should come back to its debugger. */
bool debug_wants_out(const struct mh_vm *vm);

#endif
