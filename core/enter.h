/* Into the guest and out of it again: the one place that KVM_RUN is called from while a guest is to run. */
#ifndef MH_CORE_ENTER_H
#define MH_CORE_ENTER_H

#include "vm_internal.h"

/*
 * Run the guest until its next exit. Serial bytes that KVM has gathered meanwhile are with the serial device then, and
 * the exit is counted and told. 0, or minus an errno as vcpu_run() returns it.
 */
int enter_guest(struct mh_vm *vm);

/* Hand the serial bytes KVM has gathered to the serial device. */
void enter_drain_gathered(struct mh_vm *vm);

/* What an exit reason is called; all that mean nothing here are "other". */
const char *exit_name(uint32_t reason);

#endif
