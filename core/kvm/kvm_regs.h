/* Registers in KVM's form and in that of mh/x86_regs.h: pure conversions. */
#ifndef MH_CORE_KVM_KVM_REGS_H
#define MH_CORE_KVM_KVM_REGS_H

#include "mh/x86_regs.h"

#include <linux/kvm.h>

void kvm_regs_to_general(const struct kvm_regs *from, struct mh_x86_general *to);
void kvm_regs_from_general(const struct mh_x86_general *from, struct kvm_regs *to);

void kvm_regs_to_system(const struct kvm_sregs *from, struct mh_x86_system *to);
/* What *to holds of the APIC base, of pending interrupts, and of segments that are not usable stays. */
void kvm_regs_from_system(const struct mh_x86_system *from, struct kvm_sregs *to);

#endif
