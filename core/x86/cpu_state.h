/* Comparing states of two processors, of which one may be the host's. */
#ifndef MH_CORE_X86_CPU_STATE_H
#define MH_CORE_X86_CPU_STATE_H

#include "mh/cpu_state.h"

#include <stdbool.h>

/* RF says how the instruction was come to, and not what the program did. */
bool x86_same_general(const struct mh_x86_general *a, const struct mh_x86_general *b);

/*
 * What differs between two states of the same program at the same instruction; NULL: nothing that the program could
 * have made. Processors need not agree in the time stamp counter, in memory types, in the pointers to the last x87
 * instruction, in the hidden parts of segments that are not used, and in what lasts for one instruction only.
 */
const char *x86_state_differs(const struct mh_cpu_state *a, const struct mh_cpu_state *b);

#endif
