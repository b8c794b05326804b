/*
 * Running under a debugger. Two ways to enter the guest: freely, with everything armed, and one instruction at a time.
 * "One instruction" is made exact here on hosts where KVM is not: see step_once().
 */
#include "debug.h"

#include "boot_state.h"
#include "exceptions.h"
#include "faults.h"
#include "instruction.h"
#include "ioport.h"
#include "mh/x86_regs.h"
#include "run_loop.h"
#include "virtual.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OPCODE_PUSHF 0x9c
#define OPCODE_POPF 0x9d
#define OPCODE_IRET 0xcf
#define OPCODE_HLT 0xf4
#define OPCODE_ESCAPE 0x0f

/* What one entry into the guest came to. */
enum outcome {
    OUTCOME_SERVED,  /* an exit was served; the guest may go on */
    OUTCOME_KICKED,  /* taken out before anything was executed */
    OUTCOME_STEPPED, /* KVM says that the single step is done */
    OUTCOME_PATCH,   /* the guest stands on an INT3 of ours */
    OUTCOME_STOPPED, /* *stop says why */
};

static bool inputs_ready(const struct debug *debug)
{
    struct pollfd poll_fds[8];
    unsigned count = debug->fd_count < 8 ? debug->fd_count : 8;
    for (unsigned i = 0; i < count; i++)
        poll_fds[i] = (struct pollfd){.fd = debug->fds[i], .events = POLLIN};
    return poll(poll_fds, count, 0) > 0;
}

bool debug_wants_out(const struct mh_vm *vm)
{
    return vm->debug.active && (vm->debug.interrupt_wanted || inputs_ready(&vm->debug));
}

/* Have input on `fd` kick this thread out of the guest. Descriptors that cannot do that are looked at by ticks only. */
static void kick_on_input(int fd, pid_t thread)
{
    const struct f_owner_ex owner = {.type = F_OWNER_TID, .pid = thread};
    struct f_owner_ex now;
    if (fcntl(fd, F_GETOWN_EX, &now) == 0 && now.type == owner.type && now.pid == owner.pid) /* done before */
        return;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return;
    fcntl(fd, F_SETSIG, MH_KICK_SIGNAL);
    fcntl(fd, F_SETOWN_EX, &owner);
    fcntl(fd, F_SETFL, flags | O_ASYNC);
}

bool debug_heed_kicks(struct mh_vm *vm)
{
    if (!vm->debug.active || vm->debug.heeds_kicks)
        return false;
    pid_t thread = gettid();
    for (unsigned i = 0; i < vm->debug.fd_count; i++)
        kick_on_input(vm->debug.fds[i], thread);
    vcpu_release_kicks(&vm->vcpu);
    vm->debug.heeds_kicks = true;
    return true;
}

static enum outcome stopped(struct mh_stop *stop, enum mh_stop_kind kind)
{
    stop->kind = kind;
    return OUTCOME_STOPPED;
}

/* Tell KVM what to stop for, unless it knows. `once` are flags that act one time. */
static void set_control(struct mh_vm *vm, uint32_t control, uint32_t once)
{
    struct debug *debug = &vm->debug;
    struct kvm_guest_debug wanted = {.control = control};
    breakpoints_fill_registers(&debug->breakpoints, &wanted);
    if (wanted.control != 0)
        wanted.control |= KVM_GUESTDBG_ENABLE;
    if (once == 0 && debug->control_is_current && memcmp(&wanted, &debug->control, sizeof wanted) == 0)
        return;
    debug->control = wanted;
    wanted.control |= once != 0 ? once | KVM_GUESTDBG_ENABLE : 0;
    debug->control_is_current = kvm_sys_set_guest_debug(vm->vcpu.fd, &wanted) == 0;
}

/* Hand on what was printed. Its reader may take its time, and kicks must be able to end the wait for it. */
static void flush_output(struct mh_vm *vm)
{
    if (atomic_load_explicit(&vm->serial.pending, memory_order_relaxed) != 0)
        vcpu_release_kicks(&vm->vcpu);
    serial_flush(&vm->serial);
}

/* ---- exits ---- */

static void note_watch(struct mh_vm *vm, const struct breakpoint *breakpoint)
{
    if (breakpoint == NULL || vm->debug.watch_hit)
        return;
    vm->debug.watch_hit = true;
    vm->debug.hit = *breakpoint;
}

static enum outcome stop_at_watch(struct mh_vm *vm, struct mh_stop *stop)
{
    static const enum mh_watch_kind kinds[] = {[MH_BREAK_WATCH_WRITE] = MH_WATCH_WRITE,
                                               [MH_BREAK_WATCH_READ] = MH_WATCH_READ,
                                               [MH_BREAK_WATCH_ACCESS] = MH_WATCH_ACCESS};
    vm->debug.watch_hit = false;
    stop->watch = kinds[vm->debug.hit.kind];
    stop->watch_address = vm->debug.hit.address;
    return stopped(stop, MH_STOP_WATCHPOINT);
}

/* A store to a page we keep read-only: KVM has not made it, so make it here. */
static bool apply_store(struct mh_vm *vm)
{
    const struct kvm_run *run = vm->vcpu.run;
    mh_gpa address = mh_gpa_of(run->mmio.phys_addr);
    if (run->exit_reason != KVM_EXIT_MMIO || run->mmio.is_write == 0 || run->mmio.len > sizeof run->mmio.data)
        return false;
    uint8_t *to = memory_at(&vm->memory, address, run->mmio.len);
    if (to == NULL || !page_list_has(&vm->slots.read_only, address))
        return false;
    memcpy(to, run->mmio.data, run->mmio.len);
    note_watch(vm, breakpoints_watching_write(vm, address, run->mmio.len));
    return true;
}

#define FRAGMENTS_MAX 64u

/* Let the instruction whose exit was served come to its end, and no further. */
static void finish_instruction(struct mh_vm *vm)
{
    for (unsigned i = 0; i < FRAGMENTS_MAX; i++) {
        __atomic_store_n(&vm->vcpu.run->immediate_exit, 1, __ATOMIC_SEQ_CST);
        if (vcpu_run(&vm->vcpu) < 0 || !apply_store(vm))
            return;
    }
}

/* A debug register of ours fired. */
static enum outcome stop_at_register(struct mh_vm *vm, uint64_t dr6, struct mh_stop *stop)
{
    const struct breakpoints *breakpoints = &vm->debug.breakpoints;
    for (unsigned i = 0; i < breakpoints->register_count; i++) {
        if ((dr6 >> i & 1) == 0)
            continue;
        const struct breakpoint *breakpoint = &breakpoints->in_register[i];
        if (breakpoint->kind == MH_BREAK_SOFTWARE)
            return stopped(stop, MH_STOP_BREAKPOINT);
        if (breakpoint->kind == MH_BREAK_HARDWARE)
            return stopped(stop, MH_STOP_HW_BREAKPOINT);
        note_watch(vm, breakpoint);
    }
    return vm->debug.watch_hit ? stop_at_watch(vm, stop) : OUTCOME_SERVED;
}

static enum outcome handle_debug_exit(struct mh_vm *vm, struct mh_stop *stop)
{
    const struct kvm_debug_exit_arch *exit = &vm->vcpu.run->debug.arch;
    if (exit->exception == EXCEPTION_BREAKPOINT) {
        if (breakpoints_patched_at(vm, vcpu_regs(&vm->vcpu)->rip))
            return OUTCOME_PATCH;
        set_control(vm, vm->debug.control.control & ~(uint32_t)KVM_GUESTDBG_ENABLE, KVM_GUESTDBG_INJECT_BP);
        return OUTCOME_SERVED;
    }
    enum outcome outcome = stop_at_register(vm, exit->dr6, stop);
    if (outcome != OUTCOME_SERVED)
        return outcome;
    if ((vm->debug.control.control & KVM_GUESTDBG_SINGLESTEP) != 0)
        return OUTCOME_STEPPED;
    set_control(vm, vm->debug.control.control & ~(uint32_t)KVM_GUESTDBG_ENABLE, KVM_GUESTDBG_INJECT_DB);
    return OUTCOME_SERVED;
}

/* How many bytes the IN before `rip` has; the serial port is named by DX or by one byte. */
static unsigned length_of_in_before(struct mh_vm *vm, uint64_t rip)
{
    const struct paging_mode mode = virtual_mode(vm);
    uint8_t code[2] = {0};
    virtual_read(vm, &mode, mh_gva_of(rip - 2), code, sizeof code);
    return code[0] == 0xe4 && code[1] == MH_PORT_SERIAL ? 2 : 1;
}

/*
 * A wait for serial input was broken off: bring the processor back to before the IN. KVM insists on completing it, so
 * that is done with made-up data, and its effects on registers and, for INS, on memory are taken back.
 */
static void undo_input(struct mh_vm *vm)
{
    const struct paging_mode mode = virtual_mode(vm);
    struct kvm_regs before = *vcpu_regs(&vm->vcpu);
    uint8_t memory[PAGE_4K];
    size_t length = (size_t)vm->vcpu.run->io.count * vm->vcpu.run->io.size;
    length = virtual_read(vm, &mode, mh_gva_of(before.rdi), memory, length < sizeof memory ? length : sizeof memory);
    bool is_string = vm->vcpu.run->io.count > 1;
    finish_instruction(vm);
    struct kvm_regs *regs = vcpu_regs(&vm->vcpu);
    if (!is_string && regs->rdi == before.rdi && regs->rip == before.rip)
        before.rip -= length_of_in_before(vm, before.rip);
    *regs = before;
    vcpu_write_regs(&vm->vcpu);
    virtual_write(vm, &mode, mh_gva_of(before.rdi), memory, length);
}

static enum outcome handle_port(struct mh_vm *vm, struct mh_stop *stop)
{
    if (!run_loop_handle_exit(vm, stop))
        return OUTCOME_SERVED;
    if (stop->kind == MH_STOP_INTERRUPTED)
        undo_input(vm);
    return OUTCOME_STOPPED;
}

/* What the watched ranges hold, one after the other. NULL without memory; free() it. */
static uint8_t *copy_watched(struct mh_vm *vm)
{
    const struct breakpoints *breakpoints = &vm->debug.breakpoints;
    const struct paging_mode mode = virtual_mode(vm);
    size_t total = 1, at = 0;
    for (size_t i = 0; i < breakpoints->count; i++)
        total += breakpoints->list[i].length;
    uint8_t *copy = calloc(1, total);
    for (size_t i = 0; copy != NULL && i < breakpoints->count; at += breakpoints->list[i++].length)
        virtual_read(vm, &mode, mh_gva_of(breakpoints->list[i].address), copy + at, breakpoints->list[i].length);
    return copy;
}

static void note_changes(struct mh_vm *vm, const uint8_t *before)
{
    const struct breakpoints *breakpoints = &vm->debug.breakpoints;
    uint8_t *after = copy_watched(vm);
    size_t at = 0;
    for (size_t i = 0; after != NULL && before != NULL && i < breakpoints->count; at += breakpoints->list[i++].length) {
        bool changed = memcmp(before + at, after + at, breakpoints->list[i].length) != 0;
        if (changed && breakpoints->list[i].kind >= MH_BREAK_WATCH_WRITE)
            note_watch(vm, &breakpoints->list[i]);
    }
    free(after);
}

/*
 * KVM emulates stores to read-only pages, and its emulator lacks some instructions. Lift the protection, step over the
 * instruction, and see by comparing whether it wrote what is watched.
 */
static enum outcome step_unprotected(struct mh_vm *vm, struct mh_stop *stop)
{
    const struct page_list pages = vm->slots.read_only;
    const struct page_list none = {0};
    uint8_t *before = copy_watched(vm);
    slots_protect(&vm->slots, &none);
    set_control(vm, KVM_GUESTDBG_SINGLESTEP, 0);
    int result = vcpu_run(&vm->vcpu);
    slots_protect(&vm->slots, &pages);
    note_changes(vm, before);
    free(before);
    if (result < 0)
        return run_loop_handle_no_exit(vm, -result, stop) ? OUTCOME_STOPPED : OUTCOME_KICKED;
    if (vm->vcpu.run->exit_reason == KVM_EXIT_DEBUG)
        return OUTCOME_STEPPED;
    return run_loop_handle_exit(vm, stop) ? OUTCOME_STOPPED : OUTCOME_SERVED;
}

static enum outcome handle_internal_error(struct mh_vm *vm, struct mh_stop *stop)
{
    const struct kvm_regs *regs = vcpu_regs(&vm->vcpu);
    if (regs != NULL && breakpoints_patched_at(vm, regs->rip))
        return OUTCOME_PATCH;
    if (!run_loop_handle_exit(vm, stop))
        return OUTCOME_SERVED; /* a software interrupt, which is on its way now */
    return vm->slots.read_only.count > 0 ? step_unprotected(vm, stop) : OUTCOME_STOPPED;
}

static enum outcome enter(struct mh_vm *vm, struct mh_stop *stop)
{
    int result = vcpu_run(&vm->vcpu);
    vm_drain_coalesced(vm);
    vm_count_exit(vm, result);
    if (result < 0)
        return run_loop_handle_no_exit(vm, -result, stop) ? OUTCOME_STOPPED : OUTCOME_KICKED;
    if (vm->vcpu.run->exit_reason == KVM_EXIT_DEBUG) {
        flush_output(vm);
        return handle_debug_exit(vm, stop);
    }
    vm->debug.control_is_current = false; /* some KVMs forget a pending single step at other exits */
    switch (vm->vcpu.run->exit_reason) {
    case KVM_EXIT_IO:
        return handle_port(vm, stop);
    case KVM_EXIT_MMIO:
        if (apply_store(vm))
            return OUTCOME_SERVED;
        break;
    case KVM_EXIT_INTERNAL_ERROR:
        return handle_internal_error(vm, stop);
    }
    return run_loop_handle_exit(vm, stop) ? OUTCOME_STOPPED : OUTCOME_SERVED;
}

/* ---- one instruction ---- */

#define GATE_SIZE 16u

/*
 * An exception taken during a single step goes on inside the guest's handler on some hosts (the gate clears TF), or one
 * instruction too far on others. INT3s at the entries of the guest's own handlers end the step where it should end.
 */
static void patch_handlers(struct mh_vm *vm, const struct paging_mode *mode, uint64_t rip)
{
    const struct kvm_dtable idt = vcpu_sregs(&vm->vcpu)->idt;
    uint8_t gates[256 * GATE_SIZE];
    if (idt.base == MH_SYSTEM_AREA + BOOT_IDT || vm->debug.host.int3 == HOST_INT3_LOST)
        return;
    size_t length = idt.limit + 1u < sizeof gates ? idt.limit + 1u : sizeof gates;
    length = virtual_read(vm, mode, mh_gva_of(idt.base), gates, length);
    for (size_t at = 0; at + GATE_SIZE <= length; at += GATE_SIZE) {
        uint64_t low, high;
        memcpy(&low, gates + at, sizeof low);
        memcpy(&high, gates + at + 8, sizeof high);
        uint64_t target = (low & 0xffff) | (low >> 32 & 0xffff0000) | high << 32;
        if ((low >> 47 & 1) != 0 && target != rip)
            breakpoints_patch(vm, mode, target);
    }
}

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
        note_watch(vm, breakpoints_watching_read(&vm->debug.breakpoints, address, (uint32_t)total));
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
 * be injected goes without the flag: it leads to a handler, where an INT3 of ours or the stub's HLT ends the step.
 */
static enum outcome step_over(struct mh_vm *vm, const struct paging_mode *mode, uint64_t returns_to,
                              struct mh_stop *stop)
{
    uint16_t cs = vcpu_sregs(&vm->vcpu)->cs.selector;
    uint32_t trap_flag = KVM_GUESTDBG_SINGLESTEP;
    for (unsigned i = 0; i < DELIVERIES_MAX; i++) {
        set_control(vm, trap_flag | KVM_GUESTDBG_USE_SW_BP, 0);
        enum outcome outcome = enter(vm, stop);
        if (outcome == OUTCOME_PATCH) {
            if (vcpu_regs(&vm->vcpu)->rip != returns_to)
                hide_trap_flag_in_frame(vm, mode, cs);
            return OUTCOME_STEPPED;
        }
        if (outcome != OUTCOME_SERVED)
            return outcome;
        uint32_t reason = vm->vcpu.run->exit_reason;
        if (reason == KVM_EXIT_IO || reason == KVM_EXIT_MMIO) {
            finish_instruction(vm);
            return OUTCOME_STEPPED;
        }
        trap_flag = 0;
    }
    return OUTCOME_STEPPED;
}

/*
 * IRET loads flags without our trap flag, and some hosts then execute one instruction more. An INT3 where it leads ends
 * the step there. Returns the address, or NOWHERE when the instruction is not one.
 */
#define NOWHERE UINT64_MAX

static uint64_t patch_return(struct mh_vm *vm, const struct paging_mode *mode, const struct instruction *instruction)
{
    size_t width = 4;
    uint64_t target = 0;
    if (instruction->opcode != OPCODE_IRET || vm->debug.host.int3 == HOST_INT3_LOST)
        return NOWHERE;
    for (size_t i = 0; i < instruction->length && instruction->code[i] != OPCODE_IRET; i++)
        width = (instruction->code[i] & 0xf8) == 0x48 ? 8 : instruction->code[i] == 0x66 ? 2 : width;
    if (virtual_read(vm, mode, mh_gva_of(vcpu_regs(&vm->vcpu)->rsp), &target, width) != width ||
        target == instruction->rip)
        return NOWHERE;
    breakpoints_patch(vm, mode, target);
    return target;
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
        set_control(vm, 0, 0);
        vcpu_run(&vm->vcpu);
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
        set_control(vm, 0, 0); /* with a trap flag some hosts do not report HLT */
        return enter(vm, stop);
    }
    if (may_run_on(vm, instruction) && debug_heed_kicks(vm) && (atomic_load(&vm->stop_wanted) || debug_wants_out(vm)))
        return OUTCOME_KICKED;
    uint16_t cs = vcpu_sregs(&vm->vcpu)->cs.selector;
    patch_handlers(vm, mode, instruction->rip);
    uint64_t returns_to = patch_return(vm, mode, instruction);
    enum outcome outcome = step_over(vm, mode, returns_to, stop);
    breakpoints_unpatch(&vm->debug.breakpoints);
    if (outcome != OUTCOME_STEPPED)
        return outcome;
    if (instruction->opcode == OPCODE_PUSHF)
        hide_trap_flag(vm, mode, vcpu_regs(&vm->vcpu)->rsp);
    if (loads_flags(instruction))
        vm->debug.control_is_current = false; /* the trap flag may be gone */
    return stub_was_reached(vm, mode, cs, stop) ? OUTCOME_STOPPED : OUTCOME_STEPPED;
}

/* Execute one instruction, and exactly one. Never OUTCOME_SERVED or OUTCOME_PATCH. */
static enum outcome step_once(struct mh_vm *vm, struct mh_stop *stop)
{
    const struct paging_mode mode = virtual_mode(vm);
    struct instruction instruction;
    vm->debug.watch_hit = false;
    if (vcpu_regs(&vm->vcpu) == NULL) {
        stop->exit_reason = UINT32_MAX;
        return stopped(stop, MH_STOP_KVM_ERROR);
    }
    look_at_instruction(vm, &mode, &instruction);
    enum outcome outcome = step_instruction(vm, &mode, &instruction, stop);
    if (outcome != OUTCOME_STEPPED)
        return outcome;
    if (vm->debug.breakpoints.reads_by_step && !vm->debug.watch_hit)
        note_watched_reads(vm, &instruction);
    return vm->debug.watch_hit ? stop_at_watch(vm, stop) : OUTCOME_STEPPED;
}

/* ---- resuming ---- */

/* Why a machine should not go on before anything else happens: *end is set when this returns true. */
static bool must_come_back(struct mh_vm *vm, struct mh_stop *stop, enum debug_end *end)
{
    if (vm->debug.interrupt_wanted) {
        stop->kind = MH_STOP_INTERRUPTED;
        *end = DEBUG_STOPPED;
        return true;
    }
    *end = DEBUG_INPUT;
    return atomic_load(&vm->stop_wanted) || inputs_ready(&vm->debug);
}

static bool stop_at_breakpoint(struct mh_vm *vm, struct mh_stop *stop)
{
    const struct breakpoint *breakpoint = breakpoints_at(&vm->debug.breakpoints, vcpu_regs(&vm->vcpu)->rip);
    if (breakpoint == NULL)
        return false;
    stop->kind = breakpoint->kind == MH_BREAK_SOFTWARE ? MH_STOP_BREAKPOINT : MH_STOP_HW_BREAKPOINT;
    return true;
}

static bool range_is_left(struct mh_vm *vm)
{
    uint64_t rip = vcpu_regs(&vm->vcpu)->rip;
    return rip < vm->debug.how.start || rip >= vm->debug.how.end;
}

/* After an instruction was stepped: does that end what the debugger asked for? */
static bool step_is_enough(struct mh_vm *vm, struct mh_stop *stop)
{
    vm->debug.has_entered = true;
    stop->kind = MH_STOP_STEP;
    if (vm->debug.how.kind == MH_RESUME_STEP)
        return true;
    if (vm->debug.breakpoints.count > 0 && stop_at_breakpoint(vm, stop))
        return true;
    return vm->debug.how.kind == MH_RESUME_RANGE && range_is_left(vm);
}

/* Run freely until something stops it. */
static enum outcome run_free(struct mh_vm *vm, struct mh_stop *stop)
{
    struct breakpoints *breakpoints = &vm->debug.breakpoints;
    enum outcome outcome;
    vm->debug.watch_hit = false;
    do {
        breakpoints_refresh(breakpoints);
        set_control(vm, breakpoints->patch_count > 0 ? KVM_GUESTDBG_USE_SW_BP : 0, 0);
        outcome = enter(vm, stop);
        if ((outcome == OUTCOME_SERVED || outcome == OUTCOME_STEPPED) && vm->debug.watch_hit) {
            finish_instruction(vm);
            outcome = stop_at_watch(vm, stop);
        }
    } while (outcome == OUTCOME_SERVED || outcome == OUTCOME_STEPPED);
    if (outcome == OUTCOME_PATCH)
        outcome = stopped(stop, MH_STOP_BREAKPOINT);
    breakpoints_unpatch(breakpoints);
    return outcome;
}

/* One turn of whatever the debugger asked for: a step, or a free run. */
static enum outcome take_turn(struct mh_vm *vm, struct mh_stop *stop)
{
    const struct breakpoints *breakpoints = &vm->debug.breakpoints;
    bool at_breakpoint = !vm->debug.has_entered && breakpoints->count > 0 &&
                         breakpoints_at(breakpoints, vcpu_regs(&vm->vcpu)->rip) != NULL;
    bool one_step = vm->debug.how.kind != MH_RESUME_CONTINUE || at_breakpoint;
    int result = 0;
    if (breakpoints->count > 0 || vm->slots.read_only.count > 0 || breakpoints->register_count > 0)
        result = breakpoints_arm(vm, one_step);
    if (result < 0) {
        stop->exit_reason = UINT32_MAX;
        stop->host_errno = -result;
        return stopped(stop, MH_STOP_KVM_ERROR);
    }
    if (one_step)
        return step_once(vm, stop);
    if (breakpoints->breaks_by_step || breakpoints->reads_by_step) {
        breakpoints_unpatch(&vm->debug.breakpoints);
        return step_once(vm, stop);
    }
    vm->debug.has_entered = true;
    return run_free(vm, stop);
}

enum debug_end debug_run(struct mh_vm *vm, struct mh_stop *stop)
{
    enum debug_end end;
    /* most single steps are over before anybody could want to end them; see may_run_on() */
    bool look = vm->debug.interrupt_wanted || (vm->debug.how.kind != MH_RESUME_STEP && debug_heed_kicks(vm));
    for (;;) {
        *stop = (struct mh_stop){.kind = MH_STOP_HALTED};
        look |= vcpu_accept_kicks(&vm->vcpu);
        if (look && must_come_back(vm, stop, &end))
            return end;
        enum outcome outcome = take_turn(vm, stop);
        look = outcome == OUTCOME_KICKED;
        if (outcome == OUTCOME_STOPPED && stop->kind == MH_STOP_INTERRUPTED && !vm->debug.interrupt_wanted)
            return DEBUG_INPUT; /* a wait for serial input gave way to the debugger */
        if (outcome == OUTCOME_STOPPED || (outcome == OUTCOME_STEPPED && step_is_enough(vm, stop))) {
            flush_output(vm);
            return DEBUG_STOPPED;
        }
    }
}
