/* Faults without a handler: read from the stubs of boot_state.h, with the registers restored to the fault. */
#ifndef MH_CORE_MACHINE_FAULTS_H
#define MH_CORE_MACHINE_FAULTS_H

#include "machine/vm.h"

/*
 * The machine left the guest with HLT. When it stands in one of the stubs, fill in *stop (EXCEPTION or RETURNED),
 * restore the registers to what they were at the faulting instruction, and return true; also true when the processor
 * does not give its registers (HOST_ERROR). Else return false.
 */
bool faults_take_from_stub(struct mh_vm *vm, struct mh_stop *stop);

#endif
