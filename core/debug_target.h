/* The debug target of one machine, which is its context. For the machine's thread; numbers are of no matter. */
#ifndef MH_CORE_DEBUG_TARGET_H
#define MH_CORE_DEBUG_TARGET_H

#include "mh/debug_target.h"

extern const struct mh_debug_target_ops debug_target_ops;

#endif
