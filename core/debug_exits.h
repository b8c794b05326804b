/* Entering the guest once under a debugger, and serving the exit. */
#ifndef MH_CORE_DEBUG_EXITS_H
#define MH_CORE_DEBUG_EXITS_H

#include "vm_internal.h"

/* What one entry into the guest came to. */
enum outcome {
    OUTCOME_SERVED,  /* an exit was served; the guest may go on */
    OUTCOME_KICKED,  /* taken out before anything was executed */
    OUTCOME_STEPPED, /* KVM says that the single step is done */
    OUTCOME_PATCH,   /* the guest stands on a patch of ours */
    OUTCOME_STOPPED, /* *stop says why */
};

/* Fill in why the machine stopped. Returns OUTCOME_STOPPED. */
enum outcome debug_stopped(struct mh_stop *stop, enum mh_stop_kind kind);

/* The same for a failure of KVM itself. */
enum outcome debug_cannot_go_on(struct mh_stop *stop, int host_errno);

/* Tell KVM what to stop for (KVM_GUESTDBG_*), unless it knows. `once` are flags that act one time. */
void debug_set_control(struct mh_vm *vm, uint32_t control, uint32_t once);

/* A watched access was made, by whatever is watched by `breakpoint`; NULL: none was. The first one counts. */
void debug_note_watch(struct mh_vm *vm, const struct breakpoint *breakpoint);
/* Stop for the access noted. Returns OUTCOME_STOPPED. */
enum outcome debug_stop_at_watch(struct mh_vm *vm, struct mh_stop *stop);

/* Let the instruction whose exit was served come to its end, and no further. */
void debug_finish_instruction(struct mh_vm *vm);

/* KVM_RUN once, and serve the exit. */
enum outcome debug_enter(struct mh_vm *vm, struct mh_stop *stop);

/* A catchpoint has been hit. */
enum outcome debug_stop_at_catch(struct mh_vm *vm, struct mh_stop *stop);

#endif
