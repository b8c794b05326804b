/*
 * The run loop: enter the guest, serve what it was left for, and enter it again, until something is a reason to stop.
 * It is the same with and without a debugger. What a debugger wants is in the request; whether a stop is wanted is
 * decided above.
 */
#ifndef MH_CORE_MACHINE_RUN_LOOP_H
#define MH_CORE_MACHINE_RUN_LOOP_H

#include "machine/vm.h"

enum run_end {
    RUN_STOPPED, /* *stop says why */
    RUN_KICKED,  /* with wake descriptors only: one of them may be readable */
};

/* How a run ended, beyond what is in mh_stop. */
struct run_result {
    enum run_end end;
    struct mh_stop stop;
    unsigned point;        /* BREAKPOINT, WATCHPOINT: index into the armed points */
    bool count_reached;    /* STEP: only because of request.until */
    bool in_was_cancelled; /* rip is at an IN or a HLT that waited, and has not begun */
    uint8_t interrupt;     /* while it runs: that HLT waited for, and the next run() is to deliver */
};

/* Run the guest. Everything it printed has been flushed when this returns. */
void run_loop(struct mh_vm *vm, const struct cpu_request *request, struct run_result *result);

/* The name of a kind of exit in statistics; always the same pointer for each. */
const char *run_loop_exit_name(enum cpu_exit_kind kind);

#endif
