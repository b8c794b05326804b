/*
 * One instruction, and exactly one, on every host: KVM's single step alone stops too late after exceptions, loses its
 * trap flag to instructions that load flags, shows it to those that push them, and does not tell of HLT.
 */
#include "debug_step.h"

#include "x86/boot_state.h"
#include "debug_user.h"
#include "enter.h"
#include "events.h"
#include "faults.h"
#include "guest_idt.h"
#include "instruction.h"
#include "mh/x86_regs.h"
#include "virtual.h"

#include <errno.h>
#include <string.h>

#define OPCODE_PUSHF 0x9c
#define OPCODE_POPF 0x9d
#define OPCODE_IRET 0xcf
#define OPCODE_HLT 0xf4
#define OPCODE_STI 0xfb
#define OPCODE_ESCAPE 0x0f

#define EXCEPTIONS 32u

/* The instruction a step is about to execute. */
struct instruction {
    uint64_t rip;
    uint8_t code[MH_INSTRUCTION_MAX];
    size_t length; /* bytes of code that are mapped */
    uint8_t opcode;
    struct instruction_read reads[INSTRUCTION_READS_MAX]; /* found before the instruction changes its registers */
    unsigned read_count;
    uint64_t rcx; /* the repetitions a string instruction had before it */
};

static void look_at_instruction(struct mh_vm *vm, const struct paging_mode *mode, struct instruction *instruction)
{
    instruction->rip = vcpu_regs(&vm->vcpu)->rip;
    instruction->length =
        virtual_read(vm, mode, mh_gva_of(instruction->rip), instruction->code, sizeof instruction->code);
    instruction->opcode = instruction_opcode(instruction->code, instruction->length);
    instruction->read_count = 0;
    instruction->rcx = vcpu_regs(&vm->vcpu)->rcx;
    if (vm->debug.breakpoints.reads_by_step)
        instruction->read_count = instruction_reads(instruction->code, instruction->length, vcpu_regs(&vm->vcpu),
                                                    vcpu_sregs(&vm->vcpu), instruction->reads);
}

static bool is_repeated(const struct instruction *instruction)
{
    uint8_t opcode = instruction->opcode;
    bool is_string =
        (opcode >= 0xa4 && opcode <= 0xa7) || (opcode >= 0xac && opcode <= 0xaf) || opcode == 0x6e || opcode == 0x6f;
    for (size_t i = 0; is_string && i < instruction->length && instruction->code[i] != opcode; i++) {
        if (instruction->code[i] == 0xf2 || instruction->code[i] == 0xf3)
            return true;
    }
    return false;
}

/* One step makes one repetition of a string instruction, or all of them: rcx tells how many it has made. */
static void note_watched_reads(struct mh_vm *vm, const struct instruction *instruction)
{
    const struct kvm_regs *now = vcpu_regs(&vm->vcpu);
    uint64_t times = is_repeated(instruction) ? instruction->rcx - now->rcx : 1;
    bool downwards = (now->rflags & MH_RFLAGS_DF) != 0;
    for (unsigned i = 0; i < instruction->read_count && times > 0; i++) {
        uint32_t length = instruction->reads[i].length;
        uint64_t total = times < UINT32_MAX / length ? times * length : UINT32_MAX;
        uint64_t address = instruction->reads[i].address - (downwards && times > 1 ? total - length : 0);
        debug_note_watch(vm, breakpoints_watching_read(&vm->debug.breakpoints, address, (uint32_t)total));
    }
}

/* Flags pushed during a step, by PUSHF or an exception, have our trap flag on some hosts; the guest must not see it. */
static void hide_trap_flag(struct mh_vm *vm, const struct paging_mode *mode, uint64_t address)
{
    uint16_t flags;
    if (virtual_read(vm, mode, mh_gva_of(address), &flags, sizeof flags) != sizeof flags || (flags & MH_RFLAGS_TF) == 0)
        return;
    flags &= (uint16_t)~MH_RFLAGS_TF;
    virtual_write(vm, mode, mh_gva_of(address), &flags, sizeof flags);
}

/* At the entry of a handler: rip, cs and flags lie on the stack, below an error code or not; `cs` tells which. */
static void hide_trap_flag_in_frame(struct mh_vm *vm, const struct paging_mode *mode, uint16_t cs)
{
    uint64_t rsp = vcpu_regs(&vm->vcpu)->rsp, words[4];
    if (virtual_read(vm, mode, mh_gva_of(rsp), words, sizeof words) != sizeof words)
        return;
    if (words[1] == cs)
        hide_trap_flag(vm, mode, rsp + 16);
    else if (words[2] == cs)
        hide_trap_flag(vm, mode, rsp + 24);
}

#define DELIVERIES_MAX 4u /* a handler that begins with the very interrupt it handles would never let us come back */

/*
 * Enter with the trap flag until the instruction is behind us, or is not going to be. A software interrupt that had to
 * be injected goes without the flag: it leads to a handler, where a patch of ours or the stub's HLT ends the step.
 */
static enum outcome step_over(struct mh_vm *vm, const struct paging_mode *mode, uint64_t end, struct mh_stop *stop)
{
    uint16_t cs = vcpu_sregs(&vm->vcpu)->cs.selector;
    uint32_t trap_flag = KVM_GUESTDBG_SINGLESTEP;
    for (unsigned i = 0; i < DELIVERIES_MAX; i++) {
        debug_set_control(vm, trap_flag | KVM_GUESTDBG_USE_SW_BP, 0);
        enum outcome outcome = debug_enter(vm, stop);
        if (outcome == OUTCOME_PATCH) {
            if (vcpu_regs(&vm->vcpu)->rip != end)
                hide_trap_flag_in_frame(vm, mode, cs);
            return OUTCOME_STEPPED;
        }
        if (outcome != OUTCOME_SERVED)
            return outcome;
        uint32_t reason = vm->vcpu.run->exit_reason;
        if (reason == KVM_EXIT_IO || reason == KVM_EXIT_MMIO) {
            debug_finish_instruction(vm);
            if (vcpu_regs(&vm->vcpu) == NULL)
                return debug_cannot_go_on(stop, vm->vcpu.registers_errno);
            return OUTCOME_STEPPED;
        }
        trap_flag = 0;
    }
    return OUTCOME_STEPPED;
}

#define NOWHERE UINT64_MAX

/* Where an IRET leads; NOWHERE when that is another ring, in which not every patch works. */
static uint64_t end_of_iret(struct mh_vm *vm, const struct paging_mode *mode, const struct instruction *instruction)
{
    uint64_t rsp = vcpu_regs(&vm->vcpu)->rsp, target = 0;
    uint16_t cs;
    size_t width = 4;
    for (size_t i = 0; i < instruction->length && instruction->code[i] != OPCODE_IRET; i++)
        width = (instruction->code[i] & 0xf8) == 0x48 ? 8 : instruction->code[i] == 0x66 ? 2 : width;
    if (virtual_read(vm, mode, mh_gva_of(rsp), &target, width) != width ||
        virtual_read(vm, mode, mh_gva_of(rsp + width), &cs, sizeof cs) != sizeof cs)
        return NOWHERE;
    bool same_ring = (cs & 3) == (vcpu_sregs(&vm->vcpu)->cs.selector & 3);
    return same_ring || vm->debug.host.int3 != HOST_INT3_LOST ? target : NOWHERE;
}

/*
 * IRET loads flags without our trap flag, and some hosts then execute one instruction more; STI holds the trap back on
 * some. A patch where they lead ends the step there. Returns the address, or NOWHERE when the instruction is neither.
 */
static uint64_t patch_end(struct mh_vm *vm, const struct paging_mode *mode, const struct instruction *instruction)
{
    uint64_t end = NOWHERE;
    if (instruction->opcode == OPCODE_IRET)
        end = end_of_iret(vm, mode, instruction);
    else if (instruction->opcode == OPCODE_STI)
        end = instruction->rip + 1; /* nobody writes prefixes before it */
    if (end == NOWHERE || end == instruction->rip)
        return NOWHERE;
    breakpoints_patch(vm, mode, end);
    return end;
}

/* Whoever kicks has to wait for this, and is heard afterwards. */
static void run_stub(struct mh_vm *vm)
{
    bool kicked = false;
    while (enter_guest(vm) == -EINTR)
        kicked |= vcpu_accept_kicks(&vm->vcpu);
    if (kicked)
        vcpu_kick(&vm->vcpu);
}

/*
 * Did the instruction lead to one of our stubs? A HLT that was stepped rather than run stays with some KVMs, which then
 * report it after a later instruction: let the stub's HLT be run for that, before the fault is taken from it.
 */
static bool stub_was_reached(struct mh_vm *vm, const struct paging_mode *mode, uint16_t cs, struct mh_stop *stop)
{
    struct kvm_regs *regs = vcpu_regs(&vm->vcpu);
    uint64_t rip = regs->rip;
    if (boot_stub_at(rip) < 0)
        return false;
    if (vm->vcpu.run->exit_reason == KVM_EXIT_DEBUG) {
        hide_trap_flag_in_frame(vm, mode, cs);
        regs->rip = boot_stub_start(rip);
        vcpu_write_regs(&vm->vcpu);
        debug_set_control(vm, 0, 0);
        run_stub(vm);
    }
    return faults_take_from_stub(vm, stop);
}

static bool loads_flags(const struct instruction *instruction)
{
    uint8_t opcode = instruction->opcode;
    return opcode == OPCODE_POPF || opcode == OPCODE_IRET || opcode == OPCODE_ESCAPE;
}

/*
 * Could a step go on for long? Our own exception table ends it at once, but the guest's may not on hosts where handlers
 * cannot be patched, nor may an instruction that takes the trap flag away. These are steps that kicks have to end.
 */
static bool may_run_on(struct mh_vm *vm, const struct instruction *instruction)
{
    return vcpu_sregs(&vm->vcpu)->idt.base != MH_SYSTEM_AREA + BOOT_IDT || loads_flags(instruction);
}

static enum outcome step_instruction(struct mh_vm *vm, const struct paging_mode *mode,
                                     const struct instruction *instruction, struct mh_stop *stop)
{
    if (instruction->opcode == OPCODE_HLT && (vcpu_sregs(&vm->vcpu)->cs.selector & 3) == 0) {
        debug_set_control(vm, 0, 0); /* with a trap flag some hosts do not report HLT */
        return debug_enter(vm, stop);
    }
    if (may_run_on(vm, instruction) && debug_heed_kicks(vm) && (atomic_load(&vm->stop_wanted) || debug_wants_out(vm)))
        return OUTCOME_KICKED;
    uint16_t cs = vcpu_sregs(&vm->vcpu)->cs.selector;
    /*
     * An exception taken during a single step goes on inside the guest's handler on some hosts (the gate clears TF), or
     * one instruction too far on others. Patches at the entries of the guest's own handlers end the step where it
     * should end.
     */
    guest_idt_patch(vm, mode, instruction->rip);
    uint64_t end = patch_end(vm, mode, instruction);
    enum outcome outcome = step_over(vm, mode, end, stop);
    if (outcome == OUTCOME_STEPPED && stub_was_reached(vm, mode, cs, stop))
        outcome = debug_user_was_step(vm, stop) ? OUTCOME_STEPPED : OUTCOME_STOPPED;
    breakpoints_unpatch(&vm->debug.breakpoints);
    if (outcome != OUTCOME_STEPPED)
        return outcome;
    if (instruction->opcode == OPCODE_PUSHF)
        hide_trap_flag(vm, mode, vcpu_regs(&vm->vcpu)->rsp);
    if (loads_flags(instruction))
        vm->debug.control_is_current = false; /* the trap flag may be gone */
    return OUTCOME_STEPPED;
}

/* The exception whose gate in the guest's IDT leads to `handler`, -1 for none; of several, the lowest. */
static int vector_of(struct mh_vm *vm, const struct paging_mode *mode, uint64_t handler)
{
    struct guest_idt idt;
    uint64_t target;
    guest_idt_read(vm, mode, &idt);
    for (unsigned i = 0; i < EXCEPTIONS; i++) {
        if (guest_idt_handler(&idt, i, &target) && target == handler)
            return (int)i;
    }
    return -1;
}

/* Is there a frame on the stack, below an error code or not, that leads back to before the instruction? Then rip did
 * not get where it is by a jump. */
static bool was_delivered(struct mh_vm *vm, const struct paging_mode *mode, uint64_t old_rsp)
{
    uint64_t words[5] = {0};
    virtual_read(vm, mode, mh_gva_of(vcpu_regs(&vm->vcpu)->rsp), words, sizeof words);
    return words[3] == old_rsp || words[4] == old_rsp;
}

/* MOV to CR3 (Intel SDM volume 2, "MOV—Move to/from Control Registers"), with any prefix but the one that makes it
 * CR11. */
static bool writes_cr3(const struct instruction *instruction)
{
    const uint8_t *code = instruction->code;
    size_t at = 0;
    while (at < instruction->length && (code[at] & 0xf0) == 0x40 && (code[at] & 0x04) == 0)
        at++;
    return at + 3 <= instruction->length && code[at] == OPCODE_ESCAPE && code[at + 1] == 0x22 &&
           (code[at + 2] >> 3 & 7) == 3;
}

/* What no exit tells of. */
static void note_events(struct mh_vm *vm, const struct instruction *instruction, const struct paging_mode *old,
                        uint64_t old_rsp)
{
    const struct paging_mode mode = virtual_mode(vm);
    const uint64_t rip = vcpu_regs(&vm->vcpu)->rip;
    const int vector = was_delivered(vm, &mode, old_rsp) ? vector_of(vm, &mode, rip) : -1;
    struct mh_event fault = {.kind = MH_EVENT_FAULT, .vector = (uint8_t)vector, .handler = rip};
    struct mh_event new_cr3 = {.kind = MH_EVENT_CR3, .old = old->cr3, .now = mode.cr3};
    if (vector >= 0)
        events_tell(vm, &fault);
    else if (writes_cr3(instruction))
        events_tell(vm, &new_cr3);
}

/* Execute one instruction, and exactly one. Never OUTCOME_SERVED or OUTCOME_PATCH. */
enum outcome debug_step_once(struct mh_vm *vm, struct mh_stop *stop)
{
    const struct paging_mode mode = virtual_mode(vm);
    const uint64_t old_rsp = vcpu_regs(&vm->vcpu)->rsp;
    struct instruction instruction;
    vm->debug.watch_hit = false;
    look_at_instruction(vm, &mode, &instruction);
    enum outcome outcome = step_instruction(vm, &mode, &instruction, stop);
    if (outcome != OUTCOME_STEPPED)
        return outcome;
    if (vm->debug.breakpoints.reads_by_step && !vm->debug.watch_hit)
        note_watched_reads(vm, &instruction);
    if (vm->debug.catches.by_step)
        note_events(vm, &instruction, &mode, old_rsp);
    if (vm->debug.catches.hit)
        return debug_stop_at_catch(vm, stop);
    return vm->debug.watch_hit ? debug_stop_at_watch(vm, stop) : OUTCOME_STEPPED;
}
