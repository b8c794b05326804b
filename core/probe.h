/* What this host's KVM can do for a debugger, found out by trying it in a scratch machine. */
#ifndef MH_CORE_PROBE_H
#define MH_CORE_PROBE_H

#include "debug.h"
#include "mh/vm.h"

/* Run the probe, some milliseconds. MH_OK with *found filled in, or MH_ERR_HOST when no machine can be made. */
enum mh_status probe_host(struct mh_host *host, struct host_debug *found, struct mh_error *err);

/*
 * The machine probes try things in: 2 MB, `bytes` at 0, nobody at its ports. It belongs to the calling thread. MH_OK,
 * free with mh_vm_destroy(); or MH_ERR_HOST.
 */
enum mh_status probe_machine(struct mh_host *host, const void *bytes, size_t length, struct mh_vm **vm,
                             struct mh_error *err);

/* Enter it once at `rip`, KVM_GUESTDBG_ENABLE added to `debug`. The exit's reason; KVM_EXIT_UNKNOWN when KVM refuses.
 */
uint32_t probe_run(struct mh_vm *vm, uint64_t rip, struct kvm_guest_debug *debug);

#endif
