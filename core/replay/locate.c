/*
 * Where in its past is a machine that ran on KVM? KVM does not count, but it runs the same program: the last checkpoint
 * is restored, the software processor runs from there with the answers of the log, and where it has made all accesses
 * and printed all output of the state that is looked for, a point at that state's rip stops it to compare.
 *
 * The program may have seen what is in no log. Reading the time stamp counter ends the search, and so does an access
 * that was not recorded, or was made with other registers.
 */
#include "machine/snapshot.h"
#include "mh/guest_abi.h"
#include "replay/timeline_state.h"
#include "x86/cpu_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is kept of a machine that is not located ---- */

void locate_forget(struct timeline *timeline)
{
    struct locate *locate = &timeline->locate;
    while (locate->count > 0)
        snapshot_free(locate->waiting[--locate->count].snapshot);
    free(locate->waiting);
    free(locate->marks);
    *locate = (struct locate){.waiting = NULL};
}

enum mh_status locate_keep(struct timeline *timeline, struct mh_error *err)
{
    struct locate *locate = &timeline->locate;
    if (!timeline_grow(&locate->waiting, locate->count, &locate->capacity))
        return mh_fail(err, MH_ERR_HOST, "no memory for a checkpoint");
    enum mh_status status = timeline_make(timeline, &locate->waiting[locate->count], err);
    locate->count += status == MH_OK;
    return status;
}

enum mh_status timeline_keep_place(struct timeline *timeline, unsigned *ticket, struct mh_error *err)
{
    *ticket = timeline->locate.count;
    return locate_keep(timeline, err);
}

uint64_t timeline_kept_position(const struct timeline *timeline, uint64_t ticket)
{
    return timeline->locate.waiting[ticket].position;
}

/* Processors differ in how far rip, rflags and the registers of a string instruction are while its access is served. */
static uint64_t locate_checksum(const struct mh_x86_general *general)
{
    const unsigned moving = 1u << MH_RCX | 1u << MH_RSI | 1u << MH_RDI;
    uint64_t sum = 0;
    for (unsigned i = 0; i < MH_GPR_COUNT; i++)
        sum = (sum ^ ((moving >> i & 1) != 0 ? 0 : general->gpr[i])) * 0x9e3779b97f4a7c15ull;
    return sum;
}

/* Marks take an eighth of the history at most: further accesses are not compared. */
static bool locate_make_room(struct locate *locate, uint64_t limit)
{
    if (locate->mark_count < locate->mark_capacity)
        return true;
    if (locate->mark_capacity * sizeof locate->marks[0] > limit / 16)
        return false;
    const size_t capacity = locate->mark_capacity == 0 ? 256 : 2 * locate->mark_capacity;
    struct access_mark *grown = realloc(locate->marks, capacity * sizeof *grown);
    if (grown == NULL)
        return false;
    locate->marks = grown;
    locate->mark_capacity = capacity;
    return true;
}

/* Registers that would cost a system call are not asked for: what is compared at the end suffices. */
void locate_mark_access(struct timeline *timeline, const struct cpu_exit *exit)
{
    struct locate *locate = &timeline->locate;
    struct mh_vm *vm = timeline->vm;
    struct mh_x86_regs regs;
    uint64_t rip;
    if ((exit->port == MH_PORT_SERIAL && !exit->is_in) || timeline_is_located(timeline))
        return;
    if (timeline->log.length > timeline->limit / 2) {
        mh_fail(&timeline->why, MH_ERR_RANGE,
                "what came in from outside while the guest ran on KVM takes too much room; --history MB makes more");
        timeline_end(timeline, &timeline->why);
    } else if (vm->cpu->ops->rip_at_hand(vm->cpu, &rip) && locate_make_room(locate, timeline->limit) &&
               vm_read_regs(vm, MH_REGS_GENERAL, &regs)) {
        locate->marks[locate->mark_count++] =
            (struct access_mark){.access = timeline->cursor.access, .registers = locate_checksum(&regs.general)};
    }
}

/* ---- while it is searched: ports ---- */

/* A mark has the number of the last access of its exit, which may have made several. */
static bool locate_registers_agree(struct timeline *timeline, uint64_t last)
{
    struct locate *locate = &timeline->locate;
    struct mh_x86_regs regs;
    while (locate->next_mark < locate->mark_count && locate->marks[locate->next_mark].access < last)
        locate->next_mark++;
    if (locate->next_mark == locate->mark_count || locate->marks[locate->next_mark].access != last ||
        !vm_read_regs(timeline->vm, MH_REGS_GENERAL, &regs))
        return true;
    locate->registers_differ = locate->marks[locate->next_mark].registers != locate_checksum(&regs.general);
    return !locate->registers_differ;
}

bool locate_before_access(struct timeline *timeline, const struct cpu_exit *exit)
{
    const struct checkpoint *wanted = timeline->locate.wanted;
    if (wanted == NULL)
        return true;
    if (exit->port == MH_PORT_SERIAL && !exit->is_in)
        return exit->width != 1 || timeline->printed + exit->count <= wanted->printed;
    return timeline->cursor.access + exit->count <= wanted->cursor.access &&
           locate_registers_agree(timeline, timeline->cursor.access + exit->count);
}

static bool locate_is_due(const struct timeline *timeline)
{
    const struct checkpoint *wanted = timeline->locate.wanted;
    return timeline->cursor.access == wanted->cursor.access && timeline->printed == wanted->printed;
}

static void locate_disarm(struct timeline *timeline)
{
    struct cpu *cpu = timeline->vm->cpu;
    cpu->ops->arm(cpu, NULL, 0, NULL);
    timeline->took_points = true;
    timeline->locate.is_armed = false;
}

/* A page with a point is slow, so there is none before the last access. The kick is for a stop in the middle of a
 * repeated access, where no point stops. */
void locate_after_access(struct timeline *timeline)
{
    struct locate *locate = &timeline->locate;
    struct cpu *cpu = timeline->vm->cpu;
    if (locate->wanted == NULL || locate->is_armed || !locate_is_due(timeline))
        return;
    locate->point =
        (struct cpu_point){.kind = CPU_POINT_EXECUTE, .address = snapshot_rip(locate->wanted->snapshot), .length = 1};
    locate->is_armed = cpu->ops->arm(cpu, &locate->point, 1, NULL) == MH_OK;
    cpu->ops->kick(cpu);
}

/* ---- the search ---- */

static bool locate_is_here(struct timeline *timeline)
{
    struct locate *locate = &timeline->locate;
    return locate_is_due(timeline) && snapshot_differs(timeline->vm, locate->wanted->snapshot, &locate->page) == NULL;
}

/* A run of the guest in software, with nothing visible outside. */
static void locate_run(struct timeline *timeline, const struct timeline_watch *watch, struct cpu_request request,
                       struct run_result *result)
{
    static const int none[] = {-1};
    request.report = CPU_REFUSE_CLOCK;
    request.wake_fds = watch->wake_count > 0 ? watch->wake_fds : none; /* a run without any ignores kicks */
    request.wake_count = watch->wake_count > 0 ? watch->wake_count : 1;
    timeline_run(timeline, &request, result);
}

/* Could the instruction at rip have led to the wanted state by repetitions of itself? */
static bool locate_may_repeat(const struct mh_x86_general *now, const struct mh_x86_general *wanted)
{
    const unsigned moving = 1u << MH_RCX | 1u << MH_RSI | 1u << MH_RDI | 1u << MH_RAX;
    for (unsigned i = 0; i < MH_GPR_COUNT; i++) {
        if ((moving >> i & 1) == 0 && now->gpr[i] != wanted->gpr[i])
            return false;
    }
    return now->rip == wanted->rip && now->gpr[MH_RCX] > wanted->gpr[MH_RCX];
}

/*
 * Some KVMs are left behind the last repetition of a string instruction with rip still at it: before an instruction
 * that has nothing to do any more. Is that the wanted state? The machine is put there then.
 */
static bool locate_is_before_nothing(struct timeline *timeline)
{
    const struct mh_x86_general *wanted = snapshot_registers(timeline->locate.wanted->snapshot);
    struct cpu *cpu = timeline->vm->cpu;
    const uint64_t now = timeline_now(timeline);
    struct mh_x86_regs regs;
    if (wanted->gpr[MH_RCX] != 0 || now <= timeline->locate.start || !locate_is_due(timeline) ||
        !vm_read_regs(timeline->vm, MH_REGS_GENERAL, &regs) ||
        regs.general.rip - wanted->rip - 1 >= CPU_INSTRUCTION_MAX)
        return false;
    const uint64_t behind = regs.general.rip;
    regs.general.rip = wanted->rip;
    if (cpu->ops->write_regs(cpu, MH_REGS_GENERAL, &regs, NULL) != MH_OK)
        return false;
    cpu->ops->set_instructions(cpu, now - 1);
    if (locate_is_here(timeline))
        return true;
    regs.general.rip = behind;
    cpu->ops->write_regs(cpu, MH_REGS_GENERAL, &regs, NULL);
    cpu->ops->set_instructions(cpu, now);
    return false;
}

/*
 * KVM may have been left between two repetitions of a string instruction, where no point stops: if the machine is at
 * this instruction, RCX says how many are missing. True with *result when something was executed.
 */
static bool locate_repeat(struct timeline *timeline, const struct timeline_watch *watch, struct run_result *result)
{
    const struct mh_x86_general *wanted = snapshot_registers(timeline->locate.wanted->snapshot);
    const uint64_t start = timeline_now(timeline);
    struct mh_x86_regs regs;
    if (!locate_is_due(timeline) || !vm_read_regs(timeline->vm, MH_REGS_GENERAL, &regs) ||
        !locate_may_repeat(&regs.general, wanted))
        return false;
    const uint64_t missing = regs.general.gpr[MH_RCX] - wanted->gpr[MH_RCX];
    locate_run(timeline, watch, (struct cpu_request){.mode = CPU_STEP, .step_off = true}, result);
    if (result->stop.kind == MH_STOP_STEP && vm_rip(timeline->vm) == wanted->rip && missing > 1)
        locate_run(timeline, watch, (struct cpu_request){.mode = CPU_UNTIL, .until = start + missing, .step_off = true},
                   result);
    return true;
}

static enum timeline_located locate_part(const struct timeline *timeline, const struct mh_stop *stop,
                                         struct mh_error *err)
{
    const uint64_t now = timeline_now(timeline);
    if (timeline->locate.registers_differ)
        mh_fail(err, MH_ERR_RANGE, "at instruction %" PRIu64 ", an access to a port is made with other registers", now);
    else if (stop->kind == MH_STOP_HOST_ERROR)
        mh_fail(err, MH_ERR_RANGE, "%s", stop->text);
    else
        mh_fail(err, MH_ERR_RANGE, "at instruction %" PRIu64 ", %s%s", now,
                stop->text[0] != '\0' ? "" : "the guest stopped: ",
                stop->text[0] != '\0' ? stop->text : mh_stop_name(stop->kind));
    return timeline->vm->is_lost ? TIMELINE_FAILED : TIMELINE_PARTED;
}

/* A machine that halted may have been resumed; one that then does nothing but halt again has come to its end. */
static bool locate_may_halt(struct timeline *timeline)
{
    struct mh_x86_general *last = &timeline->locate.halted;
    struct mh_x86_regs regs;
    if (!vm_read_regs(timeline->vm, MH_REGS_GENERAL, &regs) || x86_same_general(&regs.general, last))
        return false;
    *last = regs.general;
    return true;
}

/* What a run ended for. TIMELINE_LOCATED: run on. */
static enum timeline_located locate_go_on(struct timeline *timeline, const struct timeline_watch *watch,
                                          const struct run_result *result, struct mh_error *err)
{
    const uint64_t now = timeline_now(timeline);
    bool dropped = false;
    if (result->end == RUN_KICKED || result->count_reached) {
        if (now >= timeline->next_due && timeline_take(timeline, err) != MH_OK)
            return TIMELINE_FAILED;
        timeline_thin(timeline, &dropped);
        return watch->go_on(watch->ctx, now) ? TIMELINE_LOCATED : TIMELINE_BROKEN_OFF;
    }
    if (result->stop.kind == MH_STOP_BREAKPOINT || result->stop.kind == MH_STOP_STEP ||
        (result->stop.kind == MH_STOP_HALTED && locate_may_halt(timeline)))
        return TIMELINE_LOCATED;
    return locate_part(timeline, &result->stop, err);
}

/* At a triple fault, processors have left different values in CR2 and on stacks, of handlers that they could not
 * enter. */
static bool locate_is_triple_fault(struct timeline *timeline, const struct run_result *result)
{
    struct mh_x86_regs regs;
    return result->end == RUN_STOPPED && result->stop.kind == MH_STOP_TRIPLE_FAULT && locate_is_due(timeline) &&
           vm_read_regs(timeline->vm, MH_REGS_GENERAL, &regs) &&
           x86_same_general(&regs.general, snapshot_registers(timeline->locate.wanted->snapshot));
}

static enum timeline_located locate_search(struct timeline *timeline, const struct timeline_watch *watch,
                                           struct mh_error *err)
{
    struct cpu_request request = {.mode = CPU_UNTIL};
    enum timeline_located end = TIMELINE_LOCATED;
    timeline->locate.start = timeline_now(timeline);
    bool is_here = locate_is_here(timeline);
    while (end == TIMELINE_LOCATED && !is_here) {
        struct run_result result;
        if (!locate_repeat(timeline, watch, &result)) {
            request.until = timeline->next_due;
            locate_run(timeline, watch, request, &result);
        }
        /* there it has been looked at */
        request.step_off = result.end == RUN_STOPPED && result.stop.kind == MH_STOP_BREAKPOINT;
        is_here =
            locate_is_here(timeline) || locate_is_before_nothing(timeline) || locate_is_triple_fault(timeline, &result);
        if (!is_here)
            end = locate_go_on(timeline, watch, &result, err);
    }
    return end;
}

/* Give the state a position. From there on the real state counts, which may have what was set ahead of time. */
static enum timeline_located locate_place(struct timeline *timeline, struct checkpoint *checkpoint,
                                          struct mh_error *err)
{
    checkpoint->position = timeline_now(timeline);
    checkpoint->is_change = true;
    if (timeline_restore(timeline, checkpoint, err) != MH_OK)
        return TIMELINE_FAILED;
    if (!timeline_insert(timeline, checkpoint)) {
        mh_fail(err, MH_ERR_HOST, "no memory for a checkpoint");
        return TIMELINE_FAILED;
    }
    checkpoint->snapshot = NULL;
    return TIMELINE_LOCATED;
}

static enum timeline_located locate_each(struct timeline *timeline, const struct timeline_watch *watch,
                                         struct mh_error *err)
{
    struct locate *locate = &timeline->locate;
    enum timeline_located end = TIMELINE_LOCATED;
    locate->next_mark = 0;
    locate->registers_differ = false;
    locate->halted = (struct mh_x86_general){.rip = 0};
    /* software read no other clock there than it reads now */
    if (timeline_now(timeline) < timeline->counted && timeline_run_to(timeline, timeline->counted, err) != MH_OK)
        return TIMELINE_FAILED;
    for (unsigned i = 0; i < locate->count && end == TIMELINE_LOCATED; i++) {
        if (locate->waiting[i].snapshot == NULL) /* placed before a search was broken off */
            continue;
        if (!locate->waiting[i].is_change) {
            locate->wanted = &locate->waiting[i];
            locate->page = 0;
            locate_disarm(timeline);
            locate_after_access(timeline);
            end = locate_search(timeline, watch, err);
            locate->wanted = NULL;
        }
        if (end == TIMELINE_LOCATED)
            end = locate_place(timeline, &locate->waiting[i], err);
    }
    locate_disarm(timeline);
    return end;
}

/* Back to the present, which has no position. What the search left behind the last place it found is no known past. */
static enum timeline_located locate_return(struct timeline *timeline, uint64_t start, enum timeline_located end,
                                           struct mh_error *err)
{
    struct locate *locate = &timeline->locate;
    struct checkpoint *present = &locate->waiting[locate->count - 1];
    for (unsigned i = 0; i < locate->count && locate->waiting[i].snapshot == NULL; i++)
        start = locate->waiting[i].position;
    while (timeline->count > 0 && timeline->checkpoints[timeline->count - 1].position > start)
        timeline_remove(timeline, timeline->count - 1);
    timeline->is_in_past = timeline->vm->is_replaying = false;
    if (timeline->vm->is_lost || snapshot_restore_cpu_and_ram(timeline->vm, present->snapshot, err) != MH_OK)
        return TIMELINE_FAILED;
    timeline->cursor = present->cursor;
    if (!present->is_change) {
        snapshot_free(present->snapshot);
        locate->count--;
    }
    return end;
}

enum timeline_located timeline_locate(struct timeline *timeline, const struct timeline_watch *watch,
                                      struct mh_error *err)
{
    struct locate *locate = &timeline->locate;
    if (timeline_is_located(timeline))
        return TIMELINE_LOCATED;
    if (timeline->count == 0) {
        mh_fail(err, MH_ERR_RANGE, "the checkpoint from which the run on KVM can be repeated was dropped");
        return TIMELINE_PARTED;
    }
    if (locate_keep(timeline, err) != MH_OK)
        return TIMELINE_FAILED;
    const struct checkpoint *last = &timeline->checkpoints[timeline->count - 1];
    const uint64_t start = last->position;
    enum timeline_located end = TIMELINE_FAILED;
    timeline->is_in_past = timeline->vm->is_replaying = true;
    if (timeline_restore(timeline, last, err) == MH_OK) {
        timeline->next_due = start + CHECKPOINT_DISTANCE;
        end = locate_each(timeline, watch, err);
    }
    if (end != TIMELINE_LOCATED)
        return locate_return(timeline, start, end, err);
    timeline_arrived(timeline, timeline_now(timeline));
    locate->count = 0;
    locate->mark_count = 0;
    return TIMELINE_LOCATED;
}
