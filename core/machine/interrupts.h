/*
 * External interrupts: where they are delivered, and what HLT waits for.
 *
 * A guest is interrupted at two kinds of places only, after an access to a port and at HLT. Both leave the guest
 * anyway, on every processor, and the logs number them. So a run that is replayed, or searched backwards, is
 * interrupted at the same instructions, and an interrupt is the end of the instruction before: no debugger finds the
 * machine between the two.
 */
#ifndef MH_CORE_MACHINE_INTERRUPTS_H
#define MH_CORE_MACHINE_INTERRUPTS_H

#include "machine/vm.h"

/* Can anything interrupt this machine? Asked at each exit. */
static inline bool interrupts_may_come(const struct mh_vm *vm)
{
    return vm->config.exchange != NULL || vm->replay_hooks.interrupt != NULL;
}

/*
 * The vector of the interrupt to deliver with the next run(), 0 for none. What the log says holds anywhere; a device
 * interrupts where `at_access` is set: an access to a port has just been served.
 */
uint8_t interrupts_take(struct mh_vm *vm, const struct cpu_request *request, bool at_access);

enum interrupts_halt {
    INTERRUPTS_END,       /* HLT ends the machine: interrupts are off, or there will be none */
    INTERRUPTS_WAKE,      /* it is passed, with *vector delivered; 0: without, because the machine is stepped */
    INTERRUPTS_STOPPED,   /* the guest must not wait here: *text says why */
    INTERRUPTS_CANCELLED, /* a stop was requested, or a wake descriptor became readable */
    INTERRUPTS_LOG_ENDS,  /* the recording ends here, where its machine waited */
};

/* The guest executed HLT: wait for an interrupt, if it waits for one. `text` has EXCHANGE_TEXT_MAX bytes. */
enum interrupts_halt interrupts_halt(struct mh_vm *vm, const struct cpu_request *request, uint8_t *vector, char *text);

/* Make as if the HLT that the guest executed last had not begun. */
void interrupts_cancel_halt(struct mh_vm *vm);

#endif
