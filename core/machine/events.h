/* What happens in a machine is reported here: to the debugger's side (vm_hooks.event), whose catchpoints may stop the
 * machine, and to a listener outside (mh_vm_config.event). Without either each event costs one branch. */
#ifndef MH_CORE_MACHINE_EVENTS_H
#define MH_CORE_MACHINE_EVENTS_H

#include "machine/vm.h"

/* Is there a listener or a catchpoint? */
static inline bool events_wanted(const struct mh_vm *vm)
{
    return vm->config.event != NULL || vm->hooks.event != NULL;
}

/* Something a catchpoint may be for has just happened. rip is filled in here; when a catchpoint is hit, so is *stop. */
void events_tell(struct mh_vm *vm, struct mh_event *event, struct mh_stop *stop);

/* For the listener alone: the guest is about to run; it was left, for `reason`. */
void events_enter(struct mh_vm *vm);
void events_exit(struct mh_vm *vm, const char *reason);
/* Serial bytes that came without an exit of their own. */
void events_batch(struct mh_vm *vm, const uint8_t *bytes, size_t count);
/* The machine stopped. */
void events_stop(struct mh_vm *vm, const struct mh_stop *stop);

#endif
