/* How often each instruction of a guest was executed. */
#ifndef MH_COUNTS_H
#define MH_COUNTS_H

#include <stddef.h>
#include <stdint.h>

/* The instruction at an address. */
struct mh_count {
    uint64_t address; /* guest-virtual */
    uint64_t count;
    uint8_t length; /* bytes; of several instructions that were there, the longest; 0: not known */
};

struct mh_counts {
    const struct mh_count *counts; /* in the order of addresses */
    size_t length;
    uint64_t elsewhere; /* instructions that were counted without their addresses, of which there were too many */
};

/* A function, by the address that was called, in one context: called by the last one before it with less depth. */
struct mh_call {
    uint64_t address; /* guest-virtual; of the first, where the machine began */
    uint64_t spent;   /* instructions of its own */
    uint64_t calls;
    uint32_t depth; /* 0: the first */
};

struct mh_calls {
    const struct mh_call *calls; /* callees behind their callers, in the order of first calls */
    size_t length;
};

#endif
