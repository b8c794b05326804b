/* A machine's registers in the form of mh/x86_regs.h, out of KVM's and back. */
#ifndef MH_CORE_REGISTER_STATE_H
#define MH_CORE_REGISTER_STATE_H

#include "mh/x86_regs.h"
#include "vm_internal.h"

/* Read the parts named by `groups` (MH_REGS_*). MH_OK, or MH_ERR_HOST with *regs undefined. */
enum mh_status register_state_read(struct mh_vm *vm, unsigned groups, struct mh_x86_regs *regs, struct mh_error *err);

/* Write them. MH_OK, or MH_ERR_HOST: KVM refused a part, which is unchanged, as are those behind it. */
enum mh_status register_state_write(struct mh_vm *vm, unsigned groups, const struct mh_x86_regs *regs,
                                    struct mh_error *err);

/* XCR0 bits of the registers this machine has: at least x87 and SSE. */
uint64_t register_state_xcr0(const struct mh_vm *vm);

/* Convert to KVM's form; what *to holds of the APIC base and of segments that are not usable stays. */
void register_state_general_to_kvm(const struct mh_x86_general *from, struct kvm_regs *to);
void register_state_system_to_kvm(const struct mh_x86_system *from, struct kvm_sregs *to);

#endif
