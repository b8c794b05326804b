/*
 * Everything that happens between two instructions.
 *
 * A run is a loop of turns. A turn first looks whether something has to be done before the next instruction: an
 * exception to deliver, a trap, a reason to leave the guest. Then it executes: as many instructions as possible by
 * soft_exec_many() when nothing needs care, else one, with what RF, TF and the shadow of MOV SS mean for it.
 *
 * What an instruction leaves behind is noted in the processor, not in the run, because a run may end there: the
 * watchpoint that was hit, the guest's traps (debug_hits, with DR6.BS for a single step), CR3 written. The next turn
 * acts on it, in this or the next run. The order is that of the manual where it has one (Intel SDM volume 3, 6.9):
 * traps on the previous instruction come before breakpoints on the next.
 */
#include "soft_run.h"

#include "soft_count.h"
#include "soft_io.h"
#include "soft_mem.h"
#include "soft_points.h"
#include "x86/exceptions.h"

#include <poll.h>

#define DR6_BS (1u << 14)
#define EXCEPTIONS 32u

/* Instructions between two looks at the descriptors that end a run. */
#define WAKE_INTERVAL 16384u
/* ... and turns, for a guest whose handlers fault before they retire an instruction. */
#define WAKE_TURNS 4096u

struct run {
    struct soft_cpu *cpu;
    const struct cpu_request *request;
    struct cpu_exit *exit;
    bool step_off; /* execute the next instruction without looking for points and kicks */
    bool stepped;  /* an instruction was executed, or an exception delivered */
    unsigned turns;
};

/* What was true before an instruction and decides about what follows it. */
struct before {
    unsigned attention; /* 0: nothing below is */
    uint64_t rflags;
    uint8_t shadow;
    uint64_t debug_hits;
};

void soft_update_attention(struct soft_cpu *cpu)
{
    unsigned now = 0;
    soft_mem_set_user(cpu, soft_cpl(cpu) == 3);
    soft_mem_update_mode(cpu);
    soft_debug_update(cpu);
    if ((cpu->rflags & (MH_RFLAGS_TF | MH_RFLAGS_RF)) != 0 || cpu->traps_by_new_tf)
        now |= SOFT_ATTENTION_TRAP;
    if (cpu->shadow != 0)
        now |= SOFT_ATTENTION_SHADOW;
    if (cpu->watch_hit || cpu->debug_hits != 0)
        now |= SOFT_ATTENTION_WATCH;
    if (cpu->cr3_written)
        now |= SOFT_ATTENTION_CR3;
    unsigned old = atomic_load_explicit(&cpu->attention, memory_order_relaxed) & ~SOFT_ATTENTION_KICK;
    if (old != now)
        atomic_fetch_xor(&cpu->attention, old ^ now);
}

void soft_note_cr3(struct soft_cpu *cpu, uint64_t old_cr3)
{
    if ((cpu->request->report & CPU_REPORT_CR3) == 0)
        return;
    cpu->cr3_written = true;
    cpu->old_cr3 = old_cr3;
    soft_update_attention(cpu);
}

/* ---- around one instruction ---- */

static unsigned attention_of(const struct soft_cpu *cpu)
{
    return atomic_load_explicit(&cpu->attention, memory_order_relaxed);
}

static struct before begin(struct soft_cpu *cpu)
{
    const struct before before = {
        .attention = attention_of(cpu), .rflags = cpu->rflags, .shadow = cpu->shadow, .debug_hits = cpu->debug_hits};
    cpu->rflags &= ~(uint64_t)MH_RFLAGS_RF;
    cpu->shadow = 0;
    return before;
}

/* The instruction changed nothing: neither may what begin() did, nor what it touched before it failed. */
static void undo(struct soft_cpu *cpu, const struct before *before)
{
    if ((before->attention | attention_of(cpu)) == 0)
        return;
    cpu->rflags |= before->rflags & MH_RFLAGS_RF;
    cpu->shadow = before->shadow;
    cpu->traps_by_new_tf = false;
    if (!cpu->io_pending) {
        cpu->watch_hit = false;
        cpu->debug_hits = before->debug_hits;
    }
    soft_update_attention(cpu);
}

/* The instruction is done. A second MOV SS in a row casts no shadow; what casts one is not followed by a trap, and data
 * breakpoints wait for the instruction behind it (Intel SDM volume 3, 6.8.3). */
static void complete(struct soft_cpu *cpu, const struct before *before, enum soft_result result)
{
    cpu->repeating = result == SOFT_REPEAT;
    if ((before->attention | attention_of(cpu)) == 0 && result != SOFT_REPEAT)
        return;
    uint64_t trap = cpu->traps_by_new_tf ? cpu->rflags : before->rflags;
    cpu->traps_by_new_tf = false;
    if (result == SOFT_REPEAT)
        cpu->rflags |= MH_RFLAGS_RF;
    if ((before->shadow & MH_SHADOW_MOV_SS) != 0)
        cpu->shadow &= (uint8_t)~MH_SHADOW_MOV_SS;
    if ((trap & MH_RFLAGS_TF) != 0 && (cpu->shadow & MH_SHADOW_MOV_SS) == 0)
        cpu->debug_hits |= DR6_BS;
    soft_update_attention(cpu);
}

/* ---- delivering exceptions ---- */

static bool leave(struct run *run, enum cpu_exit_kind kind)
{
    run->exit->kind = kind;
    return true;
}

/* Deliver cpu->fault. True when that ends the run. */
static bool deliver(struct run *run)
{
    struct soft_cpu *cpu = run->cpu;
    switch (soft_deliver(cpu)) {
    case SOFT_TRIPLE_FAULT:
        return leave(run, CPU_EXIT_TRIPLE_FAULT);
    case SOFT_NO_MEMORY:
        return true;
    case SOFT_DELIVERED:
        break;
    }
    cpu->pending.valid = false;
    cpu->repeating = false;
    cpu->shadow = 0;
    run->step_off = false;
    run->stepped = true;
    soft_update_attention(cpu);
    if ((run->request->report & CPU_REPORT_FAULTS) == 0 || cpu->fault.vector >= EXCEPTIONS)
        return false;
    run->exit->vector = cpu->fault.vector;
    run->exit->handler = cpu->rip;
    return leave(run, CPU_EXIT_FAULT_DELIVERED);
}

/* An exception that was raised in an earlier run. Its registers, CR2 and DR6, are set already. */
static bool deliver_pending(struct run *run)
{
    struct soft_cpu *cpu = run->cpu;
    const struct mh_x86_pending *pending = &cpu->pending;
    cpu->fault = (struct soft_fault){.vector = pending->vector,
                                     .has_error_code = pending->has_error_code,
                                     .error_code = pending->error_code,
                                     .address = cpu->cr2,
                                     .is_trap = pending->vector == EXCEPTION_DEBUG};
    return deliver(run);
}

/* RF is pushed as it is, and no instruction is counted: as for a trap. */
static bool deliver_interrupt(struct run *run)
{
    run->cpu->fault = (struct soft_fault){.vector = run->request->interrupt, .is_trap = true};
    return deliver(run);
}

static bool deliver_debug(struct run *run, uint64_t dr6)
{
    struct soft_cpu *cpu = run->cpu;
    soft_raise(cpu, EXCEPTION_DEBUG);
    cpu->fault.is_trap = true;
    cpu->fault.dr6 = dr6;
    return deliver(run);
}

/* The guest's traps on the instruction before. */
static bool deliver_traps(struct run *run)
{
    uint64_t dr6 = run->cpu->debug_hits;
    run->cpu->debug_hits = 0;
    return deliver_debug(run, dr6);
}

/* ---- executing ---- */

/* HLT leaves the guest behind itself, unless a trap follows that would wake the processor up at once. */
static bool halt(struct run *run, const struct before *before)
{
    struct soft_cpu *cpu = run->cpu;
    soft_count_one(cpu, cpu->rip, cpu->exit->instruction_length);
    cpu->rip += cpu->exit->instruction_length;
    cpu->exit->instruction_length = 0;
    cpu->instructions++;
    complete(cpu, before, SOFT_NEXT);
    run->stepped = true;
    return cpu->debug_hits == 0;
}

/* Act on what an instruction came to. True when that ends the run. */
static bool conclude(struct run *run, const struct before *before, enum soft_result result)
{
    struct soft_cpu *cpu = run->cpu;
    switch (result) {
    case SOFT_FAULT:
        undo(cpu, before);
        return deliver(run);
    case SOFT_EXIT:
        if (run->exit->kind == CPU_EXIT_HALT)
            return halt(run, before);
        undo(cpu, before);
        return true;
    default:
        complete(cpu, before, result);
        run->stepped = true;
        return false;
    }
}

/* One instruction, with everything that can concern it. */
static bool execute_one(struct run *run)
{
    struct soft_cpu *cpu = run->cpu;
    bool is_held = (cpu->rflags & MH_RFLAGS_RF) != 0 || (cpu->shadow & MH_SHADOW_MOV_SS) != 0;
    uint64_t hits = cpu->debug_execute && !is_held ? soft_debug_execute(cpu, cpu->rip) : 0;
    if (hits != 0) {
        soft_count_one(cpu, cpu->rip, 0);
        cpu->instructions++; /* as for every fault */
        return deliver_debug(run, hits);
    }
    const struct before before = begin(cpu);
    return conclude(run, &before, soft_exec_one(cpu));
}

/*
 * As many as possible. RF has no meaning where the guest has no breakpoint, so it is cleared before instead of after
 * the first instruction, and restored if that was not completed. A kick may come before it: then step_off holds still.
 */
static bool execute_many(struct run *run, bool step_off)
{
    struct soft_cpu *cpu = run->cpu;
    const uint64_t started = cpu->instructions;
    uint64_t until = run->request->mode == CPU_UNTIL ? run->request->until : UINT64_MAX;
    struct before before = {.attention = attention_of(cpu), .rflags = cpu->rflags & MH_RFLAGS_RF};
    if (run->request->wake_count != 0 && until - started > WAKE_INTERVAL)
        until = started + WAKE_INTERVAL;
    if (cpu->counts != NULL && until > soft_counts_bound(cpu))
        until = soft_counts_bound(cpu);
    if (before.rflags != 0) {
        cpu->rflags &= ~(uint64_t)MH_RFLAGS_RF;
        soft_update_attention(cpu);
    }
    enum soft_result result = soft_exec_many(cpu, until);
    if (cpu->instructions != started)
        before.rflags = 0;
    else
        run->step_off = step_off && result == SOFT_NEXT;
    return conclude(run, &before, result);
}

/* Can the next instruction not be one of many? */
static bool needs_care(const struct run *run)
{
    const struct soft_cpu *cpu = run->cpu;
    unsigned attention = attention_of(cpu);
    bool traps = (cpu->rflags & MH_RFLAGS_TF) != 0 || cpu->traps_by_new_tf;
    if (run->request->mode == CPU_STEP || (cpu->debug_execute && soft_page_has_points(cpu, cpu->rip)))
        return true;
    return attention != 0 && (attention != SOFT_ATTENTION_TRAP || traps);
}

static bool execute(struct run *run)
{
    bool one = needs_care(run), step_off = run->step_off;
    run->step_off = false;
    return one ? execute_one(run) : execute_many(run, step_off);
}

/* ---- between two instructions ---- */

static bool step_ends(const struct run *run)
{
    const struct cpu_request *request = run->request;
    uint64_t rip = run->cpu->rip;
    return request->mode == CPU_STEP && run->stepped && !(rip >= request->range_start && rip < request->range_end);
}

static bool leave_for_watchpoint(struct run *run)
{
    struct soft_cpu *cpu = run->cpu;
    run->exit->point = cpu->watch_point;
    cpu->watch_hit = false;
    soft_update_attention(cpu);
    return leave(run, CPU_EXIT_WATCHPOINT);
}

static bool leave_for_cr3(struct run *run)
{
    struct soft_cpu *cpu = run->cpu;
    run->exit->old_cr3 = cpu->old_cr3;
    run->exit->new_cr3 = cpu->cr3;
    cpu->cr3_written = false;
    soft_update_attention(cpu);
    return leave(run, CPU_EXIT_CR3_WRITTEN);
}

/* Has one of the descriptors become readable that end a run? Asked now and then only. */
static bool is_woken(struct run *run)
{
    struct soft_cpu *cpu = run->cpu;
    const struct cpu_request *request = run->request;
    if (request->wake_count == 0 || (cpu->instructions < cpu->wake_at && ++run->turns % WAKE_TURNS != 0))
        return false;
    cpu->wake_at = cpu->instructions + WAKE_INTERVAL;
    for (unsigned i = 0; i < request->wake_count; i++) {
        struct pollfd fd = {.fd = request->wake_fds[i], .events = POLLIN};
        if (poll(&fd, 1, 0) > 0)
            return true;
    }
    return false;
}

static bool is_kicked(struct run *run)
{
    if ((attention_of(run->cpu) & SOFT_ATTENTION_KICK) == 0)
        return is_woken(run);
    atomic_fetch_and(&run->cpu->attention, ~SOFT_ATTENTION_KICK);
    return true;
}

static bool count_is_reached(const struct run *run)
{
    const struct cpu_request *request = run->request;
    bool is_bound = request->mode == CPU_UNTIL || (request->mode == CPU_STEP && request->until != 0);
    return is_bound && run->cpu->instructions >= request->until;
}

/* Leave the guest before the next instruction? */
static bool leave_before(struct run *run)
{
    struct soft_cpu *cpu = run->cpu;
    if (step_ends(run))
        return leave(run, CPU_EXIT_STEP);
    if (count_is_reached(run))
        return leave(run, CPU_EXIT_COUNT_REACHED);
    if (run->step_off)
        return false;
    if (cpu->point_index != NULL && !cpu->repeating && soft_points_execute(cpu, cpu->rip, &run->exit->point))
        return leave(run, CPU_EXIT_BREAKPOINT);
    return is_kicked(run) && leave(run, CPU_EXIT_KICKED);
}

/* True when the run is over, and exit says why. */
static bool turn(struct run *run)
{
    struct soft_cpu *cpu = run->cpu;
    if (cpu->watch_hit)
        return leave_for_watchpoint(run);
    if (cpu->cr3_written)
        return leave_for_cr3(run);
    if (cpu->pending.valid)
        return deliver_pending(run);
    if (cpu->debug_hits != 0 && (cpu->shadow & MH_SHADOW_MOV_SS) == 0)
        return deliver_traps(run);
    return leave_before(run) || execute(run);
}

/* Complete the access of the last CPU_EXIT_IO. A fault is left for the next turn. */
static void finish_io(struct soft_cpu *cpu)
{
    const struct before before = begin(cpu);
    enum soft_result result = soft_io_finish(cpu);
    if (result != SOFT_FAULT && result != SOFT_EXIT) {
        complete(cpu, &before, result);
        return;
    }
    undo(cpu, &before);
    if (result == SOFT_FAULT) {
        cpu->cr2 = cpu->fault.vector == EXCEPTION_PAGE_FAULT ? cpu->fault.address : cpu->cr2;
        cpu->pending = (struct mh_x86_pending){.valid = true,
                                               .vector = cpu->fault.vector,
                                               .has_error_code = cpu->fault.has_error_code,
                                               .error_code = cpu->fault.error_code};
    }
}

static void clear_exit(struct cpu_exit *exit)
{
    exit->data = NULL;
    exit->count = 0;
    exit->text[0] = '\0';
    exit->instruction_length = 0;
    exit->is_unsupported = false;
    exit->is_host_error = false;
    exit->interrupt_is_due = false;
}

void soft_run(struct cpu *cpu, const struct cpu_request *request, struct cpu_exit *exit)
{
    struct soft_cpu *soft = (struct soft_cpu *)cpu;
    struct run run = {.cpu = soft, .request = request, .exit = exit, .step_off = request->step_off};
    clear_exit(exit);
    soft->exit = exit;
    soft->request = request;
    if (soft->io_pending) {
        finish_io(soft);
        run.step_off = false;
        run.stepped = true;
    }
    bool is_over = request->interrupt != 0 && deliver_interrupt(&run);
    while (!is_over)
        is_over = turn(&run);
    soft_simd_leave(soft);
}

bool soft_accepts_interrupt(struct cpu *cpu)
{
    const struct soft_cpu *soft = (struct soft_cpu *)cpu;
    return (soft->rflags & MH_RFLAGS_IF) != 0 && soft->shadow == 0 && !soft->pending.valid && soft->debug_hits == 0;
}

void soft_finish_io(struct cpu *cpu)
{
    struct soft_cpu *soft = (struct soft_cpu *)cpu;
    struct cpu_exit nowhere; /* of a write without memory: there is no run to end */
    if (!soft->io_pending)
        return;
    soft->exit = &nowhere;
    finish_io(soft);
}
