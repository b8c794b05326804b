#ifndef MH_CORE_DEBUG_STEP_H
#define MH_CORE_DEBUG_STEP_H

#include "debug_exits.h"

/* Execute one instruction, and exactly one. Never OUTCOME_SERVED or OUTCOME_PATCH. */
enum outcome debug_step_once(struct mh_vm *vm, struct mh_stop *stop);

#endif
