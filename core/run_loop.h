#ifndef MH_CORE_RUN_LOOP_H
#define MH_CORE_RUN_LOOP_H

#include "vm_internal.h"

/* Run the guest until something stops it; *stop says what. Everything printed has been handed on by then. */
void run_loop(struct mh_vm *vm, struct mh_stop *stop);

/* For debug_exits.c. The exit in the run page: true when the machine stops for it, with *stop filled in. */
bool run_loop_handle_exit(struct mh_vm *vm, struct mh_stop *stop);
/* KVM_RUN failed with `error`: true when the machine stops for it, false after a kick. */
bool run_loop_handle_no_exit(struct mh_vm *vm, int error, struct mh_stop *stop);

#endif
