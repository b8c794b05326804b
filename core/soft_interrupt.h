/* INT3, INT n and INT1 on hosts whose KVM runs ring 0 in an emulator that lacks them: delivered as injected events. */
#ifndef MH_CORE_SOFT_INTERRUPT_H
#define MH_CORE_SOFT_INTERRUPT_H

#include "vm_internal.h"

/*
 * KVM could not emulate the instruction at rip. When it is a software interrupt, put rip behind it and have KVM deliver
 * it through the guest's IDT at the next entry. Returns true when that is done, false when it is another instruction.
 */
bool soft_interrupt_deliver(struct mh_vm *vm);

#endif
