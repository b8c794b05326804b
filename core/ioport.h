/* The machine's I/O ports: which device a port and a width belong to. */
#ifndef MH_CORE_IOPORT_H
#define MH_CORE_IOPORT_H

#include "vm_internal.h"

/*
 * Serve a KVM_EXIT_IO. Returns 0; -EINTR when a stop was asked for while the guest waited for input, which leaves the
 * IN without an answer; or minus the errno of a failed read on the host.
 */
int ioport_serve(struct mh_vm *vm);

/* From here on no access to the port may go unseen: KVM gathers those to the serial port otherwise. */
void ioport_see_each_access(struct mh_vm *vm, uint16_t port);

#endif
