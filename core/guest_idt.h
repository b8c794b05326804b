/* The guest's own interrupt descriptor table (Intel SDM volume 3, 6.10 and 6.14.1). */
#ifndef MH_CORE_GUEST_IDT_H
#define MH_CORE_GUEST_IDT_H

#include "x86/paging.h"
#include "vm_internal.h"

#define GUEST_IDT_GATE_SIZE 16u
#define GUEST_IDT_GATES_MAX 256u

struct guest_idt {
    unsigned count; /* gates below, 0 for the table a machine starts with, which is ours */
    uint8_t gates[GUEST_IDT_GATES_MAX * GUEST_IDT_GATE_SIZE];
};

/* Read it, as far as it is mapped. */
void guest_idt_read(struct mh_vm *vm, const struct paging_mode *mode, struct guest_idt *idt);

/* Where the gate of a vector leads. False when it is not present, or the table does not reach so far. */
bool guest_idt_handler(const struct guest_idt *idt, unsigned vector, uint64_t *handler);

/* Put patches at the entries of all handlers, but at `except`. */
void guest_idt_patch(struct mh_vm *vm, const struct paging_mode *mode, uint64_t except);

#endif
