/* A machine as a whole: created, run, restarted (mh/vm.h). */
#ifndef MH_CORE_MACHINE_MACHINE_H
#define MH_CORE_MACHINE_MACHINE_H

#include "machine/vm.h"

/*
 * Read the image's file again with config.open_image, if there is one: vm_restart() will start with it. *is_other: it
 * is another one than before. MH_OK, or an error as of mh_image_load(); then nothing has changed.
 */
enum mh_status vm_reload_image(struct mh_vm *vm, bool *is_other, struct mh_error *err);

/* Write what a machine starts with, the image and the system area, into memory that is zero. */
void vm_fill_ram(const struct mh_vm *vm, struct guest_ram *ram);

/* Restart the machine; breakpoints and snapshots remain. MH_OK, or MH_ERR_HOST and the machine is lost. */
enum mh_status vm_restart(struct mh_vm *vm, struct mh_error *err);

#endif
