#ifndef MH_CORE_RUN_LOOP_H
#define MH_CORE_RUN_LOOP_H

#include "vm_internal.h"

/* Run the guest until something stops it; *stop says what. Everything printed has been handed on by then. */
void run_loop(struct mh_vm *vm, struct mh_stop *stop);

#endif
