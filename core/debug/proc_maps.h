/* What a machine's page tables map, in the format of /proc/pid/maps (proc(5)). */
#ifndef MH_CORE_MAPS_FILE_H
#define MH_CORE_MAPS_FILE_H

#include "machine/vm.h"

/* True for "/proc/N/maps" with any number N. */
bool proc_maps_is(const char *name);

/* The text as a file: a descriptor the caller closes, or minus an errno. Mappings without any memory are left out. */
int proc_maps_open(struct mh_vm *vm);

#endif
