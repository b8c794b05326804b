/* What happens in a machine is told here: to its catchpoints, and to whoever listens from outside (mh_vm_config.event).
 * Without a listener each costs one branch. */
#ifndef MH_CORE_EVENTS_H
#define MH_CORE_EVENTS_H

#include "vm_internal.h"

/* Something a catchpoint may be for has just happened; rip is filled in here. */
void events_tell(struct mh_vm *vm, struct mh_event *event);

/* What only a listener hears: the guest is about to run; it was left, for `reason`. */
void events_enter(struct mh_vm *vm);
void events_exit(struct mh_vm *vm, const char *reason);
/* Serial bytes that came without an exit of their own. A guest that is far beyond them cannot be caught any more. */
void events_gathered(struct mh_vm *vm, const uint8_t *bytes, size_t count);
/* The machine stopped. */
void events_stop(struct mh_vm *vm, const struct mh_stop *stop);

#endif
