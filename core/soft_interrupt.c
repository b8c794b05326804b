#include "soft_interrupt.h"

#include "x86/exceptions.h"
#include "virtual.h"

#define OPCODE_INT3 0xcc
#define OPCODE_INT 0xcd
#define OPCODE_INT1 0xf1

/* The vector of the software interrupt at `code`, and its length; 0 when it is none. */
static uint8_t decode(const uint8_t *code, size_t available, uint8_t *vector)
{
    if (available >= 1 && code[0] == OPCODE_INT3) {
        *vector = EXCEPTION_BREAKPOINT;
        return 1;
    }
    if (available >= 1 && code[0] == OPCODE_INT1) {
        *vector = EXCEPTION_DEBUG;
        return 1;
    }
    if (available >= 2 && code[0] == OPCODE_INT) {
        *vector = code[1];
        return 2;
    }
    return 0;
}

#define GATE_SIZE 16u
#define ERROR_CODE_IDT 2u

static void inject_exception(struct kvm_vcpu_events *events, uint8_t vector)
{
    events->exception.injected = 1;
    events->exception.nr = vector;
    events->exception.has_error_code = 0;
}

/* A vector behind the end of the IDT: a general protection fault, at the instruction. */
static void inject_beyond_idt(struct kvm_vcpu_events *events, uint8_t vector)
{
    inject_exception(events, EXCEPTION_GENERAL_PROTECTION);
    events->exception.has_error_code = 1;
    events->exception.error_code = vector * 8u + ERROR_CODE_IDT;
}

bool soft_interrupt_deliver(struct mh_vm *vm)
{
    const struct paging_mode mode = virtual_mode(vm);
    struct kvm_regs *regs = vcpu_regs(&vm->vcpu);
    struct kvm_vcpu_events events;
    uint8_t code[2], vector;
    if (regs == NULL)
        return false;
    size_t available = virtual_read(vm, &mode, mh_gva_of(regs->rip), code, sizeof code);
    uint8_t length = decode(code, available, &vector);
    if (length == 0 || kvm_sys_get_events(vm->vcpu.fd, &events) < 0)
        return false;
    events.flags = 0;
    if (vector * GATE_SIZE + GATE_SIZE - 1 > vcpu_sregs(&vm->vcpu)->idt.limit) {
        inject_beyond_idt(&events, vector);
        return kvm_sys_set_events(vm->vcpu.fd, &events) == 0;
    }
    if (code[0] == OPCODE_INT) {
        events.interrupt.injected = 1;
        events.interrupt.nr = vector;
        events.interrupt.soft = 0; /* a soft one makes KVM advance rip itself on some hosts */
    } else
        inject_exception(&events, vector);
    regs->rip += length;
    return vcpu_write_regs(&vm->vcpu) == 0 && kvm_sys_set_events(vm->vcpu.fd, &events) == 0;
}
