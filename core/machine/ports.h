/* The machine's I/O ports: which device a port and a width belong to. */
#ifndef MH_CORE_MACHINE_PORTS_H
#define MH_CORE_MACHINE_PORTS_H

#include "machine/vm.h"

/*
 * Serve the access of a CPU_EXIT_IO. A catchpoint that it hits goes to *stop. Returns 0; -EINTR when a stop was
 * requested, or one of the request's wake descriptors became readable, while the guest waited for input, which leaves
 * the IN without an answer; -EILSEQ when the machine goes through its past and makes another access than it did then;
 * or minus the errno of a failed read on the host.
 */
int ports_serve(struct mh_vm *vm, const struct cpu_request *request, const struct cpu_exit *exit, struct mh_stop *stop);

/* Does the port belong to an exchange that the machine takes part in? */
bool ports_is_exchange(const struct mh_vm *vm, uint16_t port);

/* Is there a reason to break off a wait for something outside: a request to stop, or input on a wake descriptor? */
bool ports_must_leave(struct mh_vm *vm, const struct cpu_request *request);

/* From now on leave the guest for each access to the serial port; otherwise bytes are batched. */
void ports_see_each_access(struct mh_vm *vm, uint16_t port);

#endif
