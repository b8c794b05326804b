/*
 * Raising and delivering exceptions (Intel SDM volume 3, chapter 6; AMD APM volume 2, chapter 8).
 *
 * A handler raises an exception by describing it in cpu->fault. soft_deliver() sends it through the IDT: it reads the
 * gate, reads the handler's code segment, chooses a stack, and pushes the frame. Each of these can raise an exception
 * itself. deliver_once() therefore prepares everything before it changes a register, and soft_deliver() looks at what
 * a failed attempt raised: it is delivered in place of the first exception, or turns into a double fault, or shuts
 * the processor down.
 */
#include "soft_count.h"
#include "soft_descriptor.h"
#include "soft_flags.h"
#include "soft_handlers.h"
#include "soft_mem.h"
#include "soft_profile.h"

#include <stdio.h>

/* Bits of an error code that names a selector (Intel SDM volume 3, 6.13). */
#define ERROR_EXT 1u
#define ERROR_IDT 2u

#define GATE_SIZE 16u
#define FRAME_WORDS 5u
#define STACK_ALIGNMENT 16u

#define DR6_BREAKPOINTS 0xfu /* B0 to B3 */
#define DR7_GD (1u << 13)

/* Exceptions that push an error code: #DF, #TS, #NP, #SS, #GP, #PF, #AC. */
#define WITH_ERROR_CODE                                                                                                \
    (1u << VECTOR_DF | 1u << VECTOR_TS | 1u << VECTOR_NP | 1u << VECTOR_SS | 1u << VECTOR_GP | 1u << VECTOR_PF |       \
     1u << VECTOR_AC)

enum soft_result soft_raise(struct soft_cpu *cpu, uint8_t vector)
{
    cpu->fault =
        (struct soft_fault){.vector = vector, .has_error_code = vector < 32 && (WITH_ERROR_CODE >> vector & 1)};
    return SOFT_FAULT;
}

enum soft_result soft_raise_error(struct soft_cpu *cpu, uint8_t vector, uint32_t error_code)
{
    cpu->fault = (struct soft_fault){.vector = vector, .has_error_code = true, .error_code = error_code};
    return SOFT_FAULT;
}

/* ---- instructions that raise ---- */

enum soft_result soft_op_ud(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    (void)insn;
    return soft_raise(cpu, VECTOR_UD);
}

enum soft_result soft_op_int(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    cpu->fault = (struct soft_fault){.vector = (uint8_t)insn->immediate, .is_software = true, .length = insn->length};
    return SOFT_FAULT;
}

enum soft_result soft_op_int3(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    cpu->fault = (struct soft_fault){.vector = VECTOR_BP, .is_software = true, .length = insn->length};
    return SOFT_FAULT;
}

/* Its #DB counts as a hardware exception: DPL is not checked, and error codes have EXT set. */
enum soft_result soft_op_int1(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    cpu->fault = (struct soft_fault){.vector = VECTOR_DB, .is_trap = true, .length = insn->length};
    return SOFT_FAULT;
}

/* ---- what this processor does not do ---- */

/* The bytes of the instruction at rip, as many as can be fetched. */
static uint8_t fetch_bytes(struct soft_cpu *cpu, unsigned length, uint8_t *bytes)
{
    unsigned count = 0;
    while (count < length) {
        const uint64_t address = cpu->rip + count;
        const uint8_t *host;
        size_t page;
        if (!soft_fetch_page(cpu, address, &host, &page))
            break;
        bytes[count++] = host[address & 0xfff];
    }
    return (uint8_t)count;
}

enum soft_result soft_unsupported(struct soft_cpu *cpu, const struct soft_insn *insn, const char *text)
{
    struct cpu_exit *exit = cpu->exit;
    exit->instruction_length = fetch_bytes(cpu, insn->length, exit->instruction);
    exit->kind = CPU_EXIT_ERROR;
    exit->is_unsupported = true;
    exit->is_host_error = false;
    (void)snprintf(exit->text, sizeof exit->text, "%s", text);
    return SOFT_EXIT;
}

/* ---- delivery of one event ---- */

/* One attempt: what is to be delivered, and what its gate led to. */
struct delivery {
    struct soft_fault event;
    struct x86_gate gate;
    struct soft_descriptor code;
    unsigned cpl; /* of the handler */
    uint64_t rsp; /* below which the frame is pushed */
};

static enum soft_result read_gate(struct soft_cpu *cpu, struct delivery *delivery)
{
    const struct soft_fault *event = &delivery->event;
    const uint32_t error = event->vector * 8u | ERROR_IDT;
    uint64_t raw[2];
    if (event->vector * GATE_SIZE + GATE_SIZE - 1 > cpu->idt.limit)
        return soft_raise_error(cpu, VECTOR_GP, error);
    if (!soft_read_system(cpu, cpu->idt.base + event->vector * GATE_SIZE, raw, sizeof raw))
        return soft_mem_result(cpu);
    delivery->gate = x86_gate(raw);
    const uint16_t attributes = delivery->gate.attributes;
    const unsigned type = attributes & (X86_SEGMENT_TYPE | X86_SEGMENT_CODE_OR_DATA);
    if (type != X86_INTERRUPT_GATE && type != X86_TRAP_GATE)
        return soft_raise_error(cpu, VECTOR_GP, error);
    if (event->is_software && x86_dpl(attributes) < soft_cpl(cpu))
        return soft_raise_error(cpu, VECTOR_GP, error);
    if (!(attributes & X86_SEGMENT_PRESENT))
        return soft_raise_error(cpu, VECTOR_NP, error);
    return SOFT_NEXT;
}

static enum soft_result read_handler_segment(struct soft_cpu *cpu, struct delivery *delivery)
{
    const uint16_t selector = delivery->gate.selector;
    if (x86_is_null(selector))
        return soft_raise_error(cpu, VECTOR_GP, 0);
    const enum soft_result result = soft_read_descriptor(cpu, selector, &delivery->code);
    if (result != SOFT_NEXT)
        return result;
    const uint16_t attributes = delivery->code.segment.attributes;
    const unsigned code = X86_SEGMENT_CODE | X86_SEGMENT_CODE_OR_DATA;
    if ((attributes & code) != code || x86_dpl(attributes) > soft_cpl(cpu))
        return soft_raise_error(cpu, VECTOR_GP, x86_selector_error(selector));
    if (!(attributes & X86_SEGMENT_PRESENT))
        return soft_raise_error(cpu, VECTOR_NP, x86_selector_error(selector));
    if ((attributes & (X86_SEGMENT_LONG | X86_SEGMENT_DEFAULT_32)) != X86_SEGMENT_LONG)
        return soft_raise_error(cpu, VECTOR_GP, x86_selector_error(selector));
    delivery->cpl = attributes & X86_SEGMENT_CONFORMING ? soft_cpl(cpu) : x86_dpl(attributes);
    return SOFT_NEXT;
}

/* An IST entry, or RSPn when the ring changes, or else the current stack (Intel SDM volume 3, 6.14.4 and 6.14.5). */
static enum soft_result choose_stack(struct soft_cpu *cpu, struct delivery *delivery)
{
    enum soft_result result = SOFT_NEXT;
    delivery->rsp = cpu->gpr[MH_RSP];
    if (delivery->gate.ist != 0)
        result = soft_read_tss_stack(cpu, X86_TSS_IST1 + (delivery->gate.ist - 1u) * 8, &delivery->rsp);
    else if (delivery->cpl != soft_cpl(cpu))
        result = soft_read_tss_stack(cpu, X86_TSS_RSP0 + delivery->cpl * 8, &delivery->rsp);
    delivery->rsp &= ~(uint64_t)(STACK_ALIGNMENT - 1);
    return result;
}

/*
 * RFLAGS as it is pushed. A fault's frame has RF set, so that a breakpoint on the instruction does not fire again after
 * the return; the fault of such a breakpoint itself leaves RF alone (Intel SDM volume 3, 17.3.1.1). An instruction that
 * raises its own exception has cleared RF by beginning.
 */
static uint64_t pushed_flags(const struct soft_cpu *cpu, const struct soft_fault *event)
{
    const uint64_t flags = soft_rflags(cpu);
    if (event->length != 0)
        return flags & ~(uint64_t)MH_RFLAGS_RF;
    if (event->is_trap || (event->vector == VECTOR_DB && (event->dr6 & DR6_BREAKPOINTS) != 0))
        return flags;
    return flags | MH_RFLAGS_RF;
}

/* The frame from its lowest address; returns how many words it has. */
static unsigned build_frame(const struct soft_cpu *cpu, const struct soft_fault *event, uint64_t *frame)
{
    unsigned words = 0;
    if (event->has_error_code)
        frame[words++] = event->error_code;
    frame[words++] = cpu->rip + event->length;
    frame[words++] = cpu->seg[MH_CS].selector;
    frame[words++] = pushed_flags(cpu, event);
    frame[words++] = cpu->gpr[MH_RSP];
    frame[words++] = cpu->seg[MH_SS].selector;
    return words;
}

/* Nothing can fail any more. */
static void enter_handler(struct soft_cpu *cpu, const struct delivery *delivery, unsigned frame_words)
{
    const bool changes_ring = delivery->cpl != soft_cpl(cpu);
    const uint64_t address = cpu->rip, rsp = cpu->gpr[MH_RSP];
    cpu->seg[MH_CS] = delivery->code.segment;
    cpu->seg[MH_CS].selector = (uint16_t)((delivery->gate.selector & ~X86_SELECTOR_RPL) | delivery->cpl);
    if (changes_ring)
        cpu->seg[MH_SS] = soft_null_stack(delivery->cpl);
    cpu->gpr[MH_RSP] = delivery->rsp - frame_words * sizeof(uint64_t);
    cpu->rip = delivery->gate.offset;
    uint64_t cleared = MH_RFLAGS_TF | SOFT_RFLAGS_NT | MH_RFLAGS_RF | SOFT_RFLAGS_VM;
    if ((delivery->gate.attributes & X86_SEGMENT_TYPE) == X86_INTERRUPT_GATE)
        cleared |= MH_RFLAGS_IF;
    cpu->rflags &= ~cleared;
    cpu->shadow = 0;
    /* An instruction that raises is retired; a fault counts too, so that the places before and after it are two. */
    if (delivery->event.length != 0 || !delivery->event.is_trap) {
        soft_count_one(cpu, address, delivery->event.length);
        cpu->instructions++;
    }
    if (cpu->profile != NULL)
        soft_profile_interrupt(cpu, rsp);
    soft_update_attention(cpu);
}

/* SOFT_JUMP: delivered. Else nothing was changed, and cpu->fault or cpu->exit says why. */
static enum soft_result deliver_once(struct soft_cpu *cpu, struct delivery *delivery)
{
    uint64_t frame[FRAME_WORDS + 1];
    const unsigned words = build_frame(cpu, &delivery->event, frame);
    enum soft_result result = read_gate(cpu, delivery);
    if (result == SOFT_NEXT)
        result = read_handler_segment(cpu, delivery);
    if (result == SOFT_NEXT)
        result = choose_stack(cpu, delivery);
    if (result == SOFT_NEXT)
        result = soft_probe_frame(cpu, delivery->cpl, delivery->rsp, words, sizeof frame[0]);
    if (result == SOFT_NEXT && !x86_is_canonical(delivery->gate.offset))
        result = soft_raise_error(cpu, VECTOR_GP, 0);
    if (result == SOFT_NEXT)
        result = soft_mark_accessed(cpu, &delivery->code);
    if (result == SOFT_NEXT)
        result = soft_write_frame(cpu, delivery->cpl, delivery->rsp, frame, words, sizeof frame[0]);
    if (result != SOFT_NEXT)
        return result;
    enter_handler(cpu, delivery, words);
    return SOFT_JUMP;
}

/* ---- an exception during the delivery of another ---- */

enum fault_class {
    CLASS_BENIGN,
    CLASS_CONTRIBUTORY,
    CLASS_PAGE_FAULT,
    CLASS_DOUBLE_FAULT,
};

enum fault_outcome {
    HANDLE_SERIALLY, /* the second is delivered, the first is forgotten */
    DOUBLE_FAULT,
    SHUTDOWN,
};

static enum fault_class class_of(const struct soft_fault *fault)
{
    static const uint8_t classes[32] = {
        [VECTOR_DE] = CLASS_CONTRIBUTORY, [VECTOR_DF] = CLASS_DOUBLE_FAULT, [VECTOR_TS] = CLASS_CONTRIBUTORY,
        [VECTOR_NP] = CLASS_CONTRIBUTORY, [VECTOR_SS] = CLASS_CONTRIBUTORY, [VECTOR_GP] = CLASS_CONTRIBUTORY,
        [VECTOR_PF] = CLASS_PAGE_FAULT,
    };
    if (fault->is_software || fault->vector >= sizeof classes)
        return CLASS_BENIGN;
    return (enum fault_class)classes[fault->vector];
}

/* Intel SDM volume 3, table 6-5. A double fault is never the second. */
static enum fault_outcome outcome_of(const struct soft_fault *first, const struct soft_fault *second)
{
    static const uint8_t outcomes[][CLASS_DOUBLE_FAULT] = {
        [CLASS_BENIGN] = {HANDLE_SERIALLY, HANDLE_SERIALLY, HANDLE_SERIALLY},
        [CLASS_CONTRIBUTORY] = {HANDLE_SERIALLY, DOUBLE_FAULT, HANDLE_SERIALLY},
        [CLASS_PAGE_FAULT] = {HANDLE_SERIALLY, DOUBLE_FAULT, DOUBLE_FAULT},
        [CLASS_DOUBLE_FAULT] = {HANDLE_SERIALLY, SHUTDOWN, SHUTDOWN},
    };
    return (enum fault_outcome)outcomes[class_of(first)][class_of(second)];
}

/* Registers that exceptions change as soon as they are raised. They are written when the delivery is over. */
struct side_effects {
    uint64_t cr2, dr6, dr7;
};

static void note_side_effects(struct side_effects *effects, const struct soft_fault *fault)
{
    if (fault->is_software)
        return;
    if (fault->vector == VECTOR_PF)
        effects->cr2 = fault->address;
    if (fault->vector != VECTOR_DB)
        return;
    effects->dr7 &= ~(uint64_t)DR7_GD;
    if (fault->dr6 != 0)
        effects->dr6 = (effects->dr6 & ~(uint64_t)DR6_BREAKPOINTS) | fault->dr6;
}

static void write_side_effects(struct soft_cpu *cpu, const struct side_effects *effects)
{
    cpu->cr2 = effects->cr2;
    cpu->dr6 = effects->dr6;
    cpu->dr7 = effects->dr7;
}

/* What was raised while `first` was being delivered. EXT says that no INT n or INT3 was the cause. */
static struct soft_fault nested_fault(const struct soft_cpu *cpu, const struct soft_fault *first)
{
    struct soft_fault second = cpu->fault;
    if (second.has_error_code && second.vector != VECTOR_PF && !first->is_software)
        second.error_code |= ERROR_EXT;
    return second;
}

enum soft_delivery soft_deliver(struct soft_cpu *cpu)
{
    const struct soft_fault raised = cpu->fault;
    struct side_effects effects = {.cr2 = cpu->cr2, .dr6 = cpu->dr6, .dr7 = cpu->dr7};
    struct side_effects first = effects;
    struct delivery delivery = {.event = raised};
    note_side_effects(&first, &raised);
    for (;;) {
        note_side_effects(&effects, &delivery.event);
        const enum soft_result result = deliver_once(cpu, &delivery);
        const struct soft_fault second = nested_fault(cpu, &delivery.event);
        if (result == SOFT_JUMP) {
            cpu->fault = delivery.event;
            write_side_effects(cpu, &effects);
            return SOFT_DELIVERED;
        }
        cpu->fault = raised;
        if (result == SOFT_EXIT)
            return SOFT_NO_MEMORY;
        switch (outcome_of(&delivery.event, &second)) {
        case HANDLE_SERIALLY:
            delivery.event = second;
            break;
        case DOUBLE_FAULT:
            note_side_effects(&effects, &second);
            delivery.event = (struct soft_fault){.vector = VECTOR_DF, .has_error_code = true};
            break;
        case SHUTDOWN: /* no guest sees CR2 now: it is left as the exception that was raised first has set it */
            write_side_effects(cpu, &first);
            return SOFT_TRIPLE_FAULT;
        }
    }
}
