/* What KVMs are known to do otherwise than the manuals say, or than any other: kvm_test.c leaves it out of its guests.
 */
#ifndef MH_TEST_KVM_KNOWN_H
#define MH_TEST_KVM_KNOWN_H

#include "kvm_guest.h"

#include "soft/soft_cpu.h"

/* Why an instruction must not be in a guest that is to be compared, before it is executed; NULL: it may. `is_emulator`:
 * of a KVM that executes ring 0 in its emulator. */
const char *kvm_known_instruction(const struct soft_insn *insn, const uint8_t *bytes,
                                  const struct mh_x86_general *before, bool is_emulator);

/* The same, when it has left the processor like this in software. */
const char *kvm_known_result(const struct soft_insn *insn, const struct mh_x86_general *before,
                             const struct cpu_exit *exit, bool is_emulator);

/* Is this an INVLPG of a page (by number)? Until there is one, a processor may use its old entry of the page table. */
bool kvm_known_invalidates(const struct soft_insn *insn, const struct mh_x86_general *general, uint64_t page);

/* Are these the same, but for what is known of exceptions? The first is that of software. */
bool kvm_known_same_exception(const struct guest_exception *soft, const struct guest_exception *kvm);

#endif
