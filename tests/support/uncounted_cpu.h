/*
 * A processor of the kind that KVM is: it runs a guest, and neither counts nor steps. It is the software processor with
 * these abilities taken away, in the place of KVM in a processor made of two. It stops by itself where a debugger has
 * nothing to do with it, as if for a breakpoint.
 */
#ifndef MH_TEST_UNCOUNTED_CPU_H
#define MH_TEST_UNCOUNTED_CPU_H

#include "machine/vm.h"

struct uncounted_cpu {
    struct cpu_ops ops;
    const struct cpu_ops *soft; /* what it is made of */
    uint64_t runs_for;          /* the next run stops after so many instructions; 0: only where the guest stops it */
    uint64_t ran;               /* instructions in all */
    /* Called before each run. NULL: nothing is. */
    void (*before)(struct cpu *cpu);
};

/* Let a machine that has not run have such a processor, with the software processor beside it. */
void uncounted_cpu_use(struct uncounted_cpu *uncounted, struct mh_vm *vm);

#endif
