/* What this host's KVM can do for a debugger, found out by trying it in a scratch machine. */
#ifndef MH_CORE_PROBE_H
#define MH_CORE_PROBE_H

#include "debug.h"
#include "mh/vm.h"

/* Run the probe, some milliseconds. MH_OK with *found filled in, or MH_ERR_HOST when no machine can be made. */
enum mh_status probe_host(struct mh_host *host, struct host_debug *found, struct mh_error *err);

#endif
