/*
 * Debug exceptions in ring 3. Some KVMs run ring 3 natively and report none of them: what an INT3 of ours or the trap
 * flag causes there reaches the guest's own exception table, or ends in a triple fault where that is not up to it. All
 * of that can be seen and taken back: our own table's stubs leave with HLT, the guest's handlers get patches at their
 * entries, and those KVMs keep the registers over a triple fault.
 */
#ifndef MH_CORE_DEBUG_USER_H
#define MH_CORE_DEBUG_USER_H

#include "debug_exits.h"

/*
 * An entry came to `outcome`: was it a debug exception of ours in ring 3? If so the machine is brought back to the
 * instruction, and what the entry really came to is returned: OUTCOME_PATCH at our INT3, OUTCOME_STEPPED behind the
 * instruction that was stepped. Otherwise returns `outcome`.
 */
enum outcome debug_user_review(struct mh_vm *vm, enum outcome outcome, struct mh_stop *stop);

/* A step ended in a stub, which has been left already: was it our step, or a patch of ours where it ends? */
bool debug_user_was_step(struct mh_vm *vm, const struct mh_stop *stop);

/*
 * The guest is about to run freely. If this host needs it and the guest is in ring 3, or has brought an exception table
 * without which it could not come back from there, put INT3s where only debug registers would stop it, and at the
 * handlers that such INT3s lead to.
 */
void debug_user_guard(struct mh_vm *vm);

#endif
