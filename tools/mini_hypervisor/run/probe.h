/* --probe: what this host offers. */
#ifndef MH_TOOL_PROBE_H
#define MH_TOOL_PROBE_H

#include "mh/vm.h"

/* Print it to stdout. Returns the exit status. */
int probe_print(enum mh_accel accel);

#endif
