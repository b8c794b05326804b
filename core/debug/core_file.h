/* A machine's state as an ELF core file, as debuggers read those of Linux programs. */
#ifndef MH_CORE_CORE_FILE_H
#define MH_CORE_CORE_FILE_H

#include "machine/vm.h"

/* The name and the type of our own note: the report of the stop, as text. tools/core_report shows it. */
#define CORE_FILE_NOTE_NAME "mini_hypervisor"
#define CORE_FILE_NOTE_REPORT 1u

/*
 * Write the core file `name`, a single component, into the directory of vm->config.core_dir, over what has that name.
 * `stop` is why the machine stopped. Returns MH_OK, or MH_ERR_IO with the reason: no directory was named, the name is
 * none, the disk is full; on error nothing is left of it, and what had the name before is untouched.
 *
 * The file holds RAM and the system area once; each run of guest-virtual pages is a segment that points into it and
 * names its physical address too. Pages of zeros are holes.
 */
enum mh_status core_file_write(struct mh_vm *vm, const struct mh_stop *stop, const char *name, struct mh_error *err);

#endif
