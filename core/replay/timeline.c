#include "replay/timeline.h"

#include "machine/ports.h"
#include "machine/snapshot.h"
#include "mh/guest_abi.h"
#include "replay/timeline_state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Distances, in instructions: seeks leave checkpoints close to where they end, because the next one mostly goes to a
 * place right before. */
#define NEAR_DISTANCE 60000u
#define CLOSE_DISTANCE 2000u

/* When memory is used up, about a third of the checkpoints are spread evenly. */
#define EVEN_SHARE 5.0

uint64_t timeline_now(const struct timeline *timeline)
{
    uint64_t count = 0;
    timeline->vm->cpu->ops->instructions(timeline->vm->cpu, &count);
    return count;
}

bool timeline_is_located(const struct timeline *timeline)
{
    uint64_t count;
    return timeline->vm->cpu->ops->instructions(timeline->vm->cpu, &count);
}

uint64_t timeline_generation(const struct timeline *timeline)
{
    return timeline->generation;
}

bool timeline_is_in_past(const struct timeline *timeline)
{
    return timeline->is_in_past;
}

/* ---- ports ---- */

static bool timeline_replay_port(void *ctx, const struct cpu_exit *exit, struct mh_event *file, bool *differs)
{
    struct timeline *timeline = ctx;
    if (!timeline->is_in_past)
        return false;
    const bool is_exchange = ports_is_exchange(timeline->vm, exit->port);
    timeline->exchanged += is_exchange ? exit->count : 0;
    *differs = !locate_before_access(timeline, exit) ||
               port_log_replay(&timeline->log, &timeline->cursor, exit, &timeline->vm->ram, file) != PORT_REPLAYED;
    if (exit->port == MH_PORT_SERIAL && exit->width == 1 && !exit->is_in)
        timeline->printed += exit->count;
    locate_after_access(timeline);
    return !timeline->is_redoing || is_exchange; /* the exchange does nothing twice */
}

static enum vm_replayed timeline_replay_interrupt(void *ctx, bool at_halt, uint8_t *vector)
{
    struct timeline *timeline = ctx;
    if (!timeline->is_in_past)
        return VM_LIVE;
    if (!port_log_replay_interrupt(&timeline->log, &timeline->cursor, timeline->printed, at_halt, vector))
        return VM_REPLAYED_NOTHING;
    timeline->exchanged += *vector != 0;
    return VM_REPLAYED;
}

static bool timeline_is_recording(const struct timeline *timeline)
{
    return !timeline->is_redoing && !timeline->has_ended;
}

static void timeline_begin_port(void *ctx)
{
    struct timeline *timeline = ctx;
    if (timeline_is_recording(timeline))
        port_log_begin(&timeline->log);
}

/* Called for every write that is not the guest's; only those of devices, while they answer, belong to the log. */
static void timeline_port_wrote(void *ctx, mh_gpa start, uint64_t length)
{
    struct timeline *timeline = ctx;
    if (timeline->vm->serves_port && timeline_is_recording(timeline) && !timeline->is_in_past)
        port_log_wrote(&timeline->log, start, ram_at(&timeline->vm->ram, start, length), length);
}

static void timeline_finish_port(void *ctx, const struct cpu_exit *exit, const struct mh_event *file)
{
    struct timeline *timeline = ctx;
    if (!timeline_is_recording(timeline))
        return;
    port_log_finish(&timeline->log, exit, file);
    timeline->cursor = port_log_end(&timeline->log);
    locate_mark_access(timeline, exit);
}

static void timeline_interrupted(void *ctx, bool at_halt, uint8_t vector)
{
    struct timeline *timeline = ctx;
    if (!timeline_is_recording(timeline))
        return;
    port_log_interrupt(&timeline->log, timeline->vm->serial.printed, at_halt, vector);
    timeline->cursor = port_log_end(&timeline->log);
}

static void timeline_cancel_port(void *ctx)
{
    struct timeline *timeline = ctx;
    if (timeline_is_recording(timeline))
        port_log_cancel(&timeline->log);
}

/* ---- checkpoints ---- */

void timeline_remove(struct timeline *timeline, unsigned index)
{
    snapshot_free(timeline->checkpoints[index].snapshot);
    timeline->count--;
    memmove(&timeline->checkpoints[index], &timeline->checkpoints[index + 1],
            (timeline->count - index) * sizeof timeline->checkpoints[0]);
}

static void timeline_clear(struct timeline *timeline)
{
    while (timeline->count > 0)
        timeline_remove(timeline, timeline->count - 1);
}

/* Index of the last checkpoint at or before a position; -1: none. */
static int timeline_find(const struct timeline *timeline, uint64_t position)
{
    int found = -1;
    for (unsigned low = 0, high = timeline->count; low < high;) {
        unsigned middle = (low + high) / 2;
        if (timeline->checkpoints[middle].position <= position) {
            found = (int)middle;
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return found;
}

bool timeline_checkpoint_before(const struct timeline *timeline, uint64_t position, uint64_t *found)
{
    int index = position == 0 ? -1 : timeline_find(timeline, position - 1);
    if (index >= 0)
        *found = timeline->checkpoints[index].position;
    return index >= 0;
}

bool timeline_grow(struct checkpoint **list, unsigned count, unsigned *capacity)
{
    if (count < *capacity)
        return true;
    const unsigned more = *capacity == 0 ? 64 : 2 * *capacity;
    struct checkpoint *grown = realloc(*list, more * sizeof *grown);
    if (grown == NULL)
        return false;
    *list = grown;
    *capacity = more;
    return true;
}

static uint64_t timeline_bytes(const struct timeline *timeline)
{
    const unsigned snapshots = timeline->count + timeline->locate.count;
    return timeline->vm->ram.copies * PAGE_4K + snapshots * snapshot_own_size(timeline->vm) + timeline->log.capacity +
           timeline->locate.mark_capacity * sizeof timeline->locate.marks[0] +
           (snapshot_room(&timeline->vm->config.limits) - timeline->vm->snapshot_room);
}

/*
 * How many checkpoints there should be for each instruction at a place, as a share. One part is spread evenly, so that
 * the way to any place is short; the other makes distances grow from the end, and from where the machine is, so that
 * steps backwards from there stay short.
 */
static double timeline_density(const struct timeline *timeline, uint64_t at)
{
    const struct checkpoint *list = timeline->checkpoints;
    const uint64_t last = list[timeline->count - 1].position, now = timeline_now(timeline);
    const uint64_t from_now = at < now ? now - at : at - now, from_last = last - at;
    const uint64_t distance = from_last < from_now ? from_last : from_now;
    return 1 / (double)(distance + NEAR_DISTANCE) + EVEN_SHARE / (double)(last - list[0].position);
}

/*
 * The checkpoint that is missed least: the one whose neighbours are closest to each other for where it is. The first
 * and the last stay, and so does what a debugger changed. 0: there is none.
 */
static unsigned timeline_least_needed(const struct timeline *timeline)
{
    unsigned least = 0;
    double least_cost = 0;
    const struct checkpoint *list = timeline->checkpoints;
    for (unsigned i = 1; i + 1 < timeline->count; i++) {
        double gap = (double)(list[i + 1].position - list[i - 1].position);
        double cost = gap * timeline_density(timeline, list[i].position);
        if (!list[i].is_change && (least == 0 || cost < least_cost)) {
            least = i;
            least_cost = cost;
        }
    }
    return least;
}

/* The files of all snapshots have a limit of their own: make room in it with those that are missed least. */
static enum mh_status timeline_take_snapshot(struct timeline *timeline, struct snapshot **snapshot,
                                             struct mh_error *err)
{
    enum mh_status status = snapshot_take(timeline->vm, snapshot, err);
    while (status == MH_ERR_RANGE && timeline->count > 1) {
        timeline_remove(timeline, timeline_least_needed(timeline));
        status = snapshot_take(timeline->vm, snapshot, err);
    }
    return status;
}

enum mh_status timeline_make(struct timeline *timeline, struct checkpoint *made, struct mh_error *err)
{
    *made = (struct checkpoint){.printed = timeline->is_in_past ? timeline->printed : timeline->vm->serial.printed,
                                .exchanged = timeline->is_in_past ? timeline->exchanged : timeline->vm->exchanged,
                                .cursor = timeline->cursor,
                                .is_change = timeline->is_changed,
                                .has_devices = !timeline->is_in_past};
    enum mh_status status = timeline_take_snapshot(timeline, &made->snapshot, err);
    if (status == MH_OK)
        timeline->is_changed = false;
    return status;
}

bool timeline_insert(struct timeline *timeline, const struct checkpoint *checkpoint)
{
    if (!timeline_grow(&timeline->checkpoints, timeline->count, &timeline->capacity))
        return false;
    unsigned at = (unsigned)(timeline_find(timeline, checkpoint->position) + 1);
    memmove(&timeline->checkpoints[at + 1], &timeline->checkpoints[at],
            (timeline->count - at) * sizeof timeline->checkpoints[0]);
    timeline->checkpoints[at] = *checkpoint;
    timeline->count++;
    return true;
}

enum mh_status timeline_take(struct timeline *timeline, struct mh_error *err)
{
    struct checkpoint taken;
    enum mh_status status = timeline_make(timeline, &taken, err);
    if (status != MH_OK)
        return status;
    taken.position = timeline_now(timeline);
    if (!timeline_insert(timeline, &taken)) {
        snapshot_free(taken.snapshot);
        return mh_fail(err, MH_ERR_HOST, "no memory for a checkpoint");
    }
    timeline->next_due = taken.position + CHECKPOINT_DISTANCE;
    return MH_OK;
}

/* A log that takes most of the room leaves none for checkpoints: give up the past it begins with. */
static bool timeline_shorten_log(struct timeline *timeline)
{
    const struct port_log *log = &timeline->log;
    bool shortened = false;
    while (log->length > timeline->limit / 2 && timeline->count > 1) {
        timeline_remove(timeline, 0);
        port_log_drop_before(&timeline->log, &timeline->checkpoints[0].cursor);
        shortened = true;
    }
    return shortened;
}

void timeline_thin(struct timeline *timeline, bool *dropped)
{
    *dropped |= timeline_shorten_log(timeline);
    while (timeline_bytes(timeline) > timeline->limit && timeline->count > 2) {
        unsigned least = timeline_least_needed(timeline);
        *dropped |= least == 0;
        timeline_remove(timeline, least);
    }
}

/* ---- life ---- */

static void timeline_hook(struct timeline *timeline)
{
    timeline->vm->port_hooks = (struct vm_port_hooks){.ctx = timeline,
                                                      .replay = timeline_replay_port,
                                                      .begin = timeline_begin_port,
                                                      .wrote = timeline_port_wrote,
                                                      .finish = timeline_finish_port,
                                                      .cancel = timeline_cancel_port,
                                                      .replay_interrupt = timeline_replay_interrupt,
                                                      .interrupted = timeline_interrupted};
}

static void timeline_forget(struct timeline *timeline)
{
    timeline_clear(timeline);
    locate_forget(timeline);
    port_log_free(&timeline->log);
    timeline->cursor = (struct port_cursor){0};
}

void timeline_end(struct timeline *timeline, const struct mh_error *why)
{
    timeline_forget(timeline);
    timeline->has_ended = true;
    timeline->is_changed = false;
    timeline->generation++;
    timeline->why = *why;
}

bool timeline_has_ended(const struct timeline *timeline, struct mh_error *why)
{
    if (timeline->has_ended && why != NULL)
        *why = timeline->why;
    return timeline->has_ended;
}

enum mh_status timeline_begin(struct timeline *timeline, struct mh_error *err)
{
    struct cpu *cpu = timeline->vm->cpu;
    timeline_forget(timeline);
    timeline->is_in_past = timeline->is_changed = timeline->has_ended = timeline->vm->is_replaying = false;
    timeline->generation++;
    cpu->ops->set_instructions(cpu, 0);
    return timeline_take(timeline, err);
}

enum mh_status timeline_create(struct mh_vm *vm, uint64_t limit, struct timeline **timeline, struct mh_error *err)
{
    struct timeline *made = calloc(1, sizeof *made);
    if (made == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory for the machine's history");
    made->vm = vm;
    made->limit = limit;
    enum mh_status status = timeline_begin(made, err);
    if (status != MH_OK) {
        timeline_destroy(made);
        return status;
    }
    timeline_hook(made);
    *timeline = made;
    return MH_OK;
}

void timeline_destroy(struct timeline *timeline)
{
    if (timeline == NULL)
        return;
    timeline->vm->port_hooks = (struct vm_port_hooks){.ctx = NULL};
    timeline_forget(timeline);
    free(timeline->checkpoints);
    free(timeline);
}

struct timeline_info timeline_info(const struct timeline *timeline)
{
    uint64_t now = timeline_now(timeline);
    return (struct timeline_info){.first = timeline->count > 0 ? timeline->checkpoints[0].position : now,
                                  .last = timeline->is_in_past ? timeline->present : now,
                                  .now = now,
                                  .checkpoints = timeline->count,
                                  .bytes = timeline_bytes(timeline),
                                  .limit = timeline->limit};
}

enum mh_status timeline_note_change(struct timeline *timeline, struct mh_error *err)
{
    enum mh_status status = MH_OK;
    if (!timeline->is_changed && !timeline->has_ended && !timeline_is_located(timeline))
        status = locate_keep(timeline, err);
    timeline->is_changed = true;
    return status;
}

/* What has come in from outside where the checkpoint is. */
static void timeline_rewind(struct timeline *timeline, const struct checkpoint *checkpoint)
{
    timeline->cursor = checkpoint->cursor;
    timeline->printed = checkpoint->printed;
    timeline->exchanged = checkpoint->exchanged;
}

enum mh_status timeline_restore(struct timeline *timeline, const struct checkpoint *checkpoint, struct mh_error *err)
{
    struct cpu *cpu = timeline->vm->cpu;
    enum mh_status status = snapshot_restore_cpu_and_ram(timeline->vm, checkpoint->snapshot, err);
    if (status != MH_OK)
        return status;
    cpu->ops->set_instructions(cpu, checkpoint->position);
    timeline_rewind(timeline, checkpoint);
    return MH_OK;
}

/* ---- running forwards ---- */

/* In the past: where the machine has to be put into another state than it is in when it gets there. */
static uint64_t timeline_next_change(const struct timeline *timeline)
{
    const uint64_t now = timeline_now(timeline);
    for (unsigned i = (unsigned)(timeline_find(timeline, now) + 1); i < timeline->count; i++) {
        if (timeline->checkpoints[i].is_change)
            return timeline->checkpoints[i].position;
    }
    return timeline->present;
}

/* A debugger changed the machine here: do it again. */
static enum mh_status timeline_change_again(struct timeline *timeline, struct mh_error *err)
{
    int index = timeline_find(timeline, timeline_now(timeline));
    const struct checkpoint *checkpoint = &timeline->checkpoints[index];
    if (index < 0 || !checkpoint->is_change || checkpoint->position != timeline_now(timeline))
        return MH_OK;
    return timeline_restore(timeline, checkpoint, err);
}

enum mh_status timeline_before_run(struct timeline *timeline, uint64_t *until, struct mh_error *err)
{
    enum mh_status status = MH_OK;
    if (timeline->is_in_past) {
        *until = timeline_next_change(timeline);
        return MH_OK;
    }
    *until = UINT64_MAX;
    if (timeline->has_ended)
        return MH_OK;
    const bool is_located = timeline_is_located(timeline);
    if (timeline->is_changed)
        status = is_located ? timeline_take(timeline, err) : locate_keep(timeline, err);
    if (is_located) {
        timeline->counted = timeline_now(timeline);
        *until = timeline->next_due;
    }
    return status;
}

static enum mh_status timeline_arrive(struct timeline *timeline, struct mh_error *err)
{
    return timeline_seek(timeline, timeline->present, err);
}

enum mh_status timeline_after_run(struct timeline *timeline, bool *dropped, struct mh_error *err)
{
    uint64_t now = timeline_now(timeline);
    enum mh_status status = MH_OK;
    *dropped = false;
    if (timeline->has_ended)
        return MH_OK;
    if (timeline->is_in_past)
        return now >= timeline->present ? timeline_arrive(timeline, err) : timeline_change_again(timeline, err);
    if (timeline->log.failed)
        return mh_fail(err, MH_ERR_HOST, "no memory for what came in from outside");
    if (timeline_is_located(timeline) && now >= timeline->next_due)
        status = timeline_take(timeline, err);
    timeline_thin(timeline, dropped);
    if (timeline->locate.count > 0 && timeline_bytes(timeline) > timeline->limit)
        return mh_fail(err, MH_ERR_RANGE, "what is to be kept of the run on KVM takes too much room");
    return status;
}

/* ---- seeking ---- */

void timeline_run(struct timeline *timeline, const struct cpu_request *request, struct run_result *result)
{
    struct vm_hooks *hooks = &timeline->vm->hooks;
    bool (*event)(void *, const struct mh_event *, char *, size_t) = hooks->event;
    hooks->event = NULL;
    run_loop(timeline->vm, request, result);
    hooks->event = event;
}

enum mh_status timeline_run_to(struct timeline *timeline, uint64_t position, struct mh_error *err)
{
    struct mh_vm *vm = timeline->vm;
    const struct cpu_request request = {.mode = CPU_UNTIL, .until = position, .step_off = true};
    struct run_result result;
    if (timeline_now(timeline) == position)
        return MH_OK;
    vm->cpu->ops->arm(vm->cpu, NULL, 0, NULL);
    timeline->took_points = true;
    timeline_run(timeline, &request, &result);
    if (timeline_now(timeline) == position && result.stop.kind != MH_STOP_HOST_ERROR)
        return MH_OK;
    return mh_fail(err, MH_ERR_HOST,
                   "the machine does not repeat itself: at instruction %" PRIu64 " on the way to %" PRIu64 " it %s",
                   timeline_now(timeline), position,
                   result.stop.kind == MH_STOP_HOST_ERROR ? result.stop.text : mh_stop_name(result.stop.kind));
}

/* Leave checkpoints close to where a seek ends. */
static enum mh_status timeline_approach(struct timeline *timeline, uint64_t position, struct mh_error *err)
{
    static const uint64_t distances[] = {NEAR_DISTANCE, CLOSE_DISTANCE};
    enum mh_status status = MH_OK;
    for (unsigned i = 0; i < sizeof distances / sizeof distances[0] && status == MH_OK; i++) {
        uint64_t now = timeline_now(timeline);
        if (position - now <= 2 * distances[i])
            continue;
        status = timeline_run_to(timeline, position - distances[i], err);
        if (status == MH_OK)
            status = timeline_take(timeline, err);
    }
    return status == MH_OK ? timeline_run_to(timeline, position, err) : status;
}

void timeline_arrived(struct timeline *timeline, uint64_t position)
{
    timeline->is_in_past = timeline->vm->is_replaying = false;
    timeline->next_due = position + CHECKPOINT_DISTANCE;
}

/* The present gets a checkpoint when it is left: it is to be found again as it is. */
static enum mh_status timeline_leave_present(struct timeline *timeline, struct mh_error *err)
{
    const uint64_t now = timeline_now(timeline);
    const struct checkpoint *last = timeline->count > 0 ? &timeline->checkpoints[timeline->count - 1] : NULL;
    bool is_there =
        last != NULL && last->position == now && !timeline->is_changed && last->cursor.access == timeline->log.accesses;
    enum mh_status status = is_there ? MH_OK : timeline_take(timeline, err);
    if (status != MH_OK)
        return status;
    timeline->present = now;
    timeline->is_in_past = timeline->vm->is_replaying = true;
    return MH_OK;
}

/* The way through the past failed, for the reason in *err: put the machine back to its present, which has the last
 * checkpoint. `with_devices`: they have been put elsewhere too. */
static enum mh_status timeline_recover(struct timeline *timeline, bool with_devices, struct mh_error *err)
{
    struct mh_vm *vm = timeline->vm;
    const struct checkpoint *last = &timeline->checkpoints[timeline->count - 1];
    struct mh_error second;
    enum mh_status status = MH_OK;
    if (vm->is_lost)
        return MH_ERR_HOST;
    if (with_devices)
        status = snapshot_restore(vm, last->snapshot, &second);
    if (status == MH_OK)
        status = timeline_restore(timeline, last, &second);
    vm->is_lost = status != MH_OK;
    if (status != MH_OK)
        return MH_ERR_HOST;
    timeline_arrived(timeline, last->position);
    mh_fail(&second, MH_ERR_RANGE, "%s; it is back in its present, at instruction %" PRIu64, err->text, last->position);
    *err = second;
    return MH_ERR_RANGE;
}

static enum mh_status timeline_seek_from(struct timeline *timeline, uint64_t position, struct mh_error *err)
{
    int index = timeline_find(timeline, position);
    enum mh_status status = timeline_restore(timeline, &timeline->checkpoints[index], err);
    if (status == MH_OK)
        status = timeline_approach(timeline, position, err);
    return status == MH_OK ? MH_OK : timeline_recover(timeline, false, err);
}

enum mh_status timeline_seek(struct timeline *timeline, uint64_t position, struct mh_error *err)
{
    const struct timeline_info info = timeline_info(timeline);
    bool dropped = false;
    if (position < info.first || position > info.last)
        return mh_fail(err, MH_ERR_RANGE, "the history goes from %" PRIu64 " to %" PRIu64, info.first, info.last);
    if (!timeline->is_in_past && position == info.now)
        return MH_OK;
    enum mh_status status = timeline->is_in_past ? MH_OK : timeline_leave_present(timeline, err);
    if (status == MH_OK)
        status = timeline_seek_from(timeline, position, err);
    if (status != MH_OK)
        return status;
    if (position == timeline->present)
        timeline_arrived(timeline, position);
    timeline_thin(timeline, &dropped);
    return MH_OK;
}

/* ---- another future ---- */

/* Run from the checkpoint to `position` with the devices themselves, which do again what they did. */
static enum mh_status timeline_redo(struct timeline *timeline, const struct checkpoint *from, uint64_t position,
                                    struct mh_error *err)
{
    struct mh_vm *vm = timeline->vm;
    enum mh_status status = snapshot_restore(vm, from->snapshot, err);
    if (status != MH_OK)
        return status;
    vm->cpu->ops->set_instructions(vm->cpu, from->position);
    timeline_rewind(timeline, from);
    serial_flush(&vm->serial);
    vm->serial.is_muted = timeline->is_redoing = true;
    status = timeline_run_to(timeline, position, err);
    vm->serial.is_muted = timeline->is_redoing = false;
    return status;
}

bool timeline_took_points(struct timeline *timeline)
{
    bool took = timeline->took_points;
    timeline->took_points = false;
    return took;
}

static bool timeline_same_registers(struct mh_vm *vm, const struct mh_x86_regs *before)
{
    struct mh_x86_regs now;
    return vm_read_regs(vm, MH_REGS_GENERAL, &now) && memcmp(&now.general, &before->general, sizeof now.general) == 0;
}

enum mh_status timeline_cut(struct timeline *timeline, struct mh_error *err)
{
    struct mh_vm *vm = timeline->vm;
    const uint64_t position = timeline_now(timeline);
    const struct port_cursor cursor = timeline->cursor;
    struct mh_x86_regs before;
    int index = timeline_find(timeline, position);
    if (!timeline->is_in_past || index < 0 || !vm_read_regs(vm, MH_REGS_GENERAL, &before))
        return MH_OK;
    if (timeline->exchanged != vm->exchanged && vm->config.exchange != NULL)
        return mh_fail(err, MH_ERR_RANGE,
                       "the machine has exchanged data with others since instruction %" PRIu64
                       ", which cannot be undone",
                       position);
    const unsigned kept = (unsigned)index + 1;
    while (index >= 0 && !timeline->checkpoints[index].has_devices)
        index--;
    if (index < 0)
        return mh_fail(err, MH_ERR_RANGE, "the files and the input of instruction %" PRIu64 " are no longer kept",
                       position);
    enum mh_status status = timeline_redo(timeline, &timeline->checkpoints[index], position, err);
    if (status == MH_ERR_RANGE)
        return status;
    if (status == MH_OK && !timeline_same_registers(vm, &before))
        status = mh_fail(err, MH_ERR_HOST, "the files or the input of instruction %" PRIu64 " have changed meanwhile",
                         position);
    if (status != MH_OK)
        return timeline_recover(timeline, true, err);
    while (timeline->count > kept)
        timeline_remove(timeline, timeline->count - 1);
    port_log_cut(&timeline->log, &cursor);
    timeline->cursor = cursor;
    timeline_arrived(timeline, position);
    timeline->generation++;
    return MH_OK;
}
