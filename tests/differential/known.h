/* Differences from the host that are known and accepted. */
#ifndef MH_TEST_KNOWN_H
#define MH_TEST_KNOWN_H

#include "encoding.h"

/* TOLERATE_* for this instruction. Nothing is tolerated of one that comes to its end. */
unsigned known_of(const struct encoding *encoding);

#endif
