/* Random numbers, and the values that are worth more than random ones. */
#ifndef MH_TEST_CHANCE_H
#define MH_TEST_CHANCE_H

#include "outcome.h"

struct chance {
    uint64_t state;
};

/* The generator of case `number` of a run with `seed`: so each case can be repeated alone. */
struct chance chance_of(uint64_t seed, uint64_t number);

uint64_t chance_next(struct chance *chance);
uint64_t chance_below(struct chance *chance, uint64_t limit);
/* True in `percent` of 100 calls. */
bool chance_percent(struct chance *chance, unsigned percent);

/* An integer: often one at which something changes. */
uint64_t chance_integer(struct chance *chance);
/* 32 bytes for a vector register, all of one kind: integers, floats, doubles, bits. */
void chance_vector(struct chance *chance, uint8_t to[32]);
/* The 10 bytes of an x87 register. */
void chance_extended(struct chance *chance, uint8_t to[10]);
/* A whole XSAVE area that XRSTOR accepts. */
void chance_xsave(struct chance *chance, uint8_t to[MH_XSAVE_SIZE]);
/* RFLAGS that POPF loads in ring 3 without stepping. */
uint64_t chance_rflags(struct chance *chance);

#endif
