/* Encodings that are not executed on both sides, by name and for a reason. */
#ifndef MH_TEST_SKIPPED_H
#define MH_TEST_SKIPPED_H

#include "encoding.h"
#include "soft_side.h"

/* The index of the row of skipped_name() that this encoding falls under, or -1. */
int skipped_row(const struct soft_side *side, const struct encoding *encoding);

unsigned skipped_rows(void);
/* "name: reason" */
const char *skipped_name(unsigned row);

#endif
