#include "guest_idt.h"

#include "x86/boot_state.h"
#include "virtual.h"

#include <string.h>

void guest_idt_read(struct mh_vm *vm, const struct paging_mode *mode, struct guest_idt *idt)
{
    const struct kvm_dtable table = vcpu_sregs(&vm->vcpu)->idt;
    idt->count = 0;
    if (table.base == MH_SYSTEM_AREA + BOOT_IDT)
        return;
    size_t length = table.limit + 1u < sizeof idt->gates ? table.limit + 1u : sizeof idt->gates;
    length = virtual_read(vm, mode, mh_gva_of(table.base), idt->gates, length);
    idt->count = (unsigned)(length / GUEST_IDT_GATE_SIZE);
}

bool guest_idt_handler(const struct guest_idt *idt, unsigned vector, uint64_t *handler)
{
    uint64_t low, high;
    if (vector >= idt->count)
        return false;
    memcpy(&low, idt->gates + (size_t)vector * GUEST_IDT_GATE_SIZE, sizeof low);
    memcpy(&high, idt->gates + (size_t)vector * GUEST_IDT_GATE_SIZE + 8, sizeof high);
    *handler = (low & 0xffff) | (low >> 32 & 0xffff0000) | high << 32;
    return (low >> 47 & 1) != 0;
}

void guest_idt_patch(struct mh_vm *vm, const struct paging_mode *mode, uint64_t except)
{
    struct guest_idt idt;
    uint64_t handler;
    guest_idt_read(vm, mode, &idt);
    for (unsigned i = 0; i < idt.count; i++) {
        if (guest_idt_handler(&idt, i, &handler) && handler != except)
            breakpoints_patch(vm, mode, handler);
    }
}
