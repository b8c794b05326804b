/* The debug target of one machine; its context is debug_of(). For the machine's thread; it ignores machine numbers. */
#ifndef MH_CORE_DEBUG_DEBUG_TARGET_H
#define MH_CORE_DEBUG_DEBUG_TARGET_H

#include "mh/debug_target.h"

extern const struct mh_debug_target_ops debug_target_ops;

#endif
