/* Faults the guest has no handler for, taken from the stubs of boot_state.h and put back to where they happened. */
#ifndef MH_CORE_FAULTS_H
#define MH_CORE_FAULTS_H

#include "x86/exceptions.h"
#include "vm_internal.h"

/*
 * The machine left with HLT. When it stands in one of the stubs, fill in *stop (EXCEPTION or RETURNED), put the
 * registers back to what they were at the faulting instruction, and return true; also true when KVM does not tell where
 * it stands (KVM_ERROR). Else return false.
 */
bool faults_take_from_stub(struct mh_vm *vm, struct mh_stop *stop);

/* Put the registers back to what an exception's frame says they were before it, without a trap flag of ours. */
void faults_return_to(struct mh_vm *vm, const struct exception_frame *frame);

#endif
