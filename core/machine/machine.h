/* A machine as a whole: created, run, restarted (mh/vm.h). */
#ifndef MH_CORE_MACHINE_MACHINE_H
#define MH_CORE_MACHINE_MACHINE_H

#include "machine/vm.h"

/* Restart the machine; breakpoints and snapshots remain. MH_OK, or MH_ERR_HOST and the machine is lost. */
enum mh_status vm_restart(struct mh_vm *vm, struct mh_error *err);

#endif
