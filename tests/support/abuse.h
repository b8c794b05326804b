/*
 * What the abuse tests share: where chance comes from, and how much of it there is.
 *
 * MH_SEED, a decimal number, makes a run repeat another; without it the system draws one. MH_ABUSE_FACTOR says how many
 * times the share of continuous integration is to be done. Both are printed at the start, as the line that repeats the
 * run: so they are known even of a run that never ended.
 */
#ifndef MH_TEST_ABUSE_H
#define MH_TEST_ABUSE_H

#include <stdint.h>

struct abuse {
    uint64_t seed;
    uint64_t state;  /* of the generator */
    unsigned factor; /* 1 or more */
};

/* Begin a test: take seed and factor from the environment and print them. */
void abuse_begin(struct abuse *abuse);

/* The next random number: any, or one below `limit`, which is not 0. */
uint64_t abuse_next(struct abuse *abuse);
uint64_t abuse_below(struct abuse *abuse, uint64_t limit);

/* Say what the test did, for tools/dev/soak to add up: abuse_done(300, "file calls"). */
void abuse_done(unsigned long count, const char *what);

#endif
