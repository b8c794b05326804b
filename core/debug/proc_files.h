/*
 * The files that debuggers' scripts look for in /proc of the machine they debug, made up as proc(5) describes them for
 * a process: /proc/N/maps, exe, cmdline, environ and auxv, with any number N, or "self".
 */
#ifndef MH_CORE_DEBUG_PROC_FILES_H
#define MH_CORE_DEBUG_PROC_FILES_H

#include "machine/vm.h"

/* True for a name that begins with "/proc/". */
bool proc_files_is(const char *name);

/*
 * Open one: a descriptor the caller closes, or minus an errno; -ENOENT for names that are not there. `maps` is what the
 * page tables map, without mappings that lead to no memory; `exe` is the image's file.
 */
int proc_files_open(struct mh_vm *vm, const char *name);

#endif
