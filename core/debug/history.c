#include "debug/history.h"

#include "machine/run_loop.h"
#include "replay/timeline.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PROGRESS_NS 1000000000u

void history_begin(struct debug *debug, uint64_t limit)
{
    struct mh_error err;
    if (limit > 0 && timeline_create(debug->vm, limit, &debug->timeline, &err) != MH_OK)
        debug_say(debug, "no history is kept: %s\n", err.text);
}

void history_end(struct debug *debug)
{
    timeline_destroy(debug->timeline);
    debug->timeline = NULL;
}

void history_restart(struct debug *debug)
{
    struct mh_error err;
    if (debug->timeline == NULL || debug->vm->is_lost || timeline_begin(debug->timeline, &err) == MH_OK)
        return;
    debug_say(debug, "no history is kept any more: %s\n", err.text);
    history_end(debug);
}

uint64_t history_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- forwards ---- */

bool history_replays(const struct debug *debug)
{
    return debug->vm->replay_hooks.answer != NULL;
}

bool history_is_past(const struct debug *debug)
{
    return debug->timeline != NULL && timeline_is_in_past(debug->timeline);
}

enum mh_status history_before_run(struct debug *debug, struct cpu_request *request, struct mh_error *err)
{
    if (debug->timeline == NULL)
        return MH_OK;
    if (request->mode == CPU_RUN)
        request->mode = CPU_UNTIL;
    request->may_lose_count = !timeline_is_in_past(debug->timeline) && !history_replays(debug);
    enum mh_status status = timeline_before_run(debug->timeline, &request->until, err);
    if (history_replays(debug) && request->until > debug->vm->replay_hooks.until)
        request->until = debug->vm->replay_hooks.until;
    return status;
}

static void history_fail(struct mh_stop *stop, const struct mh_error *err)
{
    *stop = (struct mh_stop){.kind = MH_STOP_HOST_ERROR};
    snprintf(stop->text, sizeof stop->text, "%s", err->text);
}

/* What cannot be kept is no reason to stop, as long as there is a machine. */
static bool history_give_up(struct debug *debug, struct run_result *result, const struct mh_error *err)
{
    debug_say(debug, "no history is kept any more: %s\n", err->text);
    if (debug->vm->is_lost || timeline_is_in_past(debug->timeline)) {
        history_fail(&result->stop, err);
        return true;
    }
    history_end(debug);
    return !result->count_reached;
}

bool history_after_run(struct debug *debug, struct run_result *result)
{
    struct mh_error err;
    bool dropped;
    if (debug->timeline == NULL)
        return true;
    bool was_in_past = timeline_is_in_past(debug->timeline);
    if (timeline_after_run(debug->timeline, &dropped, &err) != MH_OK)
        return history_give_up(debug, result, &err);
    if (dropped && !debug->has_told_of_limit) {
        debug->has_told_of_limit = true;
        debug_say(debug, "the oldest part of the history was dropped; --history MB keeps more\n");
    }
    if (!result->count_reached)
        return true;
    if (history_replays(debug) && timeline_now(debug->timeline) >= debug->vm->replay_hooks.until) {
        result->stop = (struct mh_stop){.kind = MH_STOP_HISTORY_END};
        return true;
    }
    if (!was_in_past || timeline_is_in_past(debug->timeline))
        return false;
    /* back in the present: a guest that had halted or crashed there has not run since */
    if (debug->present_stop.kind != MH_STOP_HALTED && !mh_stop_is_crash(&debug->present_stop))
        return false;
    result->stop = debug->present_stop;
    return true;
}

/* ---- where is a machine that ran on KVM? ---- */

/* Software is slower than KVM, some instructions much more than others. */
#define LOCATE_NS_MIN 30000000000u
#define LOCATE_SLOWER 200u

struct history_search {
    struct debug *debug;
    uint64_t started, said;
    bool takes_too_long;
};

static bool history_search_goes_on(void *ctx, uint64_t position)
{
    struct history_search *search = ctx;
    struct debug *debug = search->debug;
    const uint64_t now = history_clock();
    if (now - search->said >= PROGRESS_NS) {
        search->said = now;
        debug_say(debug, "repeating in software what ran on KVM: at instruction %" PRIu64 "\n", position);
    }
    search->takes_too_long = now - search->started > LOCATE_NS_MIN + LOCATE_SLOWER * debug->ran_ns;
    return !search->takes_too_long && !debug_has_input(debug);
}

/* What was named while the position was not known has one now. */
static void history_place_snapshots(struct debug *debug)
{
    struct snapshot_list *list = &debug->vm->snapshots;
    for (unsigned i = 0; i < list->count; i++) {
        if (!list->entry[i].is_waiting || list->entry[i].generation != timeline_generation(debug->timeline))
            continue;
        list->entry[i].position = timeline_kept_position(debug->timeline, list->entry[i].position);
        list->entry[i].is_waiting = false;
    }
}

/* Make sure that the position is known. Otherwise *err says why it is not; what is not to be repeated is not tried
 * again. */
static enum timeline_located history_locate(struct debug *debug, struct mh_error *err)
{
    struct history_search search = {.debug = debug, .started = history_clock()};
    const struct timeline_watch watch = {
        .go_on = history_search_goes_on, .ctx = &search, .wake_fds = debug->fds, .wake_count = debug->fd_count};
    struct mh_error why;
    if (timeline_has_ended(debug->timeline, err))
        return TIMELINE_PARTED;
    if (timeline_is_located(debug->timeline))
        return TIMELINE_LOCATED;
    search.said = search.started;
    enum timeline_located end = timeline_locate(debug->timeline, &watch, &why);
    if (end == TIMELINE_LOCATED) {
        debug->ran_ns = 0;
        history_place_snapshots(debug);
    } else if (end == TIMELINE_PARTED) {
        mh_fail(err, MH_ERR_RANGE,
                "cannot run backwards: the run on KVM cannot be repeated in software: %s; the machine can still run "
                "forwards "
                "(use --accel soft to run it backwards)",
                why.text);
        timeline_end(debug->timeline, err);
    } else if (end == TIMELINE_BROKEN_OFF) {
        mh_fail(err, MH_ERR_RANGE, "cannot run backwards: repeating the run on KVM in software %s",
                search.takes_too_long ? "takes too long" : "was interrupted");
    } else {
        *err = why;
    }
    return end;
}

/* ---- backwards ---- */

/* A stop that was met on the way through a part of the past. */
struct history_hit {
    bool found;
    uint64_t position;
    struct mh_stop stop;
};

enum history_scan {
    HISTORY_SCANNED,
    HISTORY_INTERRUPTED, /* a descriptor may be readable */
    HISTORY_FAILED,
};

/* A watchpoint met backwards stops before the access. */
static uint64_t history_position_of(const struct debug *debug, const struct mh_stop *stop)
{
    uint64_t now = timeline_now(debug->timeline);
    return stop->kind == MH_STOP_WATCHPOINT && now > 0 ? now - 1 : now;
}

/* Go through the past from `from` to `to` and keep the last wanted stop before `to`. */
static enum history_scan history_scan(struct debug *debug, uint64_t from, uint64_t to, struct history_hit *hit,
                                      struct mh_error *err)
{
    struct cpu_request request = {.mode = CPU_UNTIL,
                                  .until = to,
                                  .report = debug->catchpoints.report,
                                  .wake_fds = debug->fds,
                                  .wake_count = debug->fd_count};
    if (timeline_seek(debug->timeline, from, err) != MH_OK || debug_arm(debug, err) != MH_OK)
        return HISTORY_FAILED;
    while (timeline_now(debug->timeline) < to) {
        struct run_result result;
        run_loop(debug->vm, &request, &result);
        if (result.end == RUN_KICKED && debug_has_input(debug))
            return HISTORY_INTERRUPTED;
        request.step_off = false;
        if (result.end == RUN_KICKED)
            continue;
        if (result.count_reached || !debug_is_point(result.stop.kind))
            break;
        debug_name_stop(debug, &result);
        struct mh_stop stop = result.stop;
        uint64_t position = history_position_of(debug, &stop);
        request.step_off = stop.kind == MH_STOP_BREAKPOINT || stop.kind == MH_STOP_HW_BREAKPOINT;
        if (position < to && debug_is_wanted(debug, &stop))
            *hit = (struct history_hit){.found = true, .position = position, .stop = stop};
    }
    return HISTORY_SCANNED;
}

static void history_progress(struct debug *debug, uint64_t position, uint64_t *said)
{
    uint64_t now = history_clock();
    if (now - *said < PROGRESS_NS)
        return;
    *said = now;
    const struct timeline_info info = timeline_info(debug->timeline);
    debug_say(debug, "searching backwards: at instruction %" PRIu64 ", the history begins at %" PRIu64 "\n", position,
              info.first);
}

static enum debug_end history_continue_backwards(struct debug *debug, struct mh_stop *stop)
{
    struct history_hit hit = {.found = false};
    struct mh_error err;
    uint64_t to = timeline_now(debug->timeline), from, said = history_clock();
    while (!hit.found && timeline_checkpoint_before(debug->timeline, to, &from)) {
        enum history_scan scan = history_scan(debug, from, to, &hit, &err);
        if (scan != HISTORY_SCANNED && timeline_seek(debug->timeline, to, &err) == MH_OK && scan == HISTORY_INTERRUPTED)
            return DEBUG_INPUT; /* the next wait continues from here, unless it was Ctrl-C */
        if (scan != HISTORY_SCANNED) {
            history_fail(stop, &err);
            return DEBUG_STOPPED;
        }
        to = from;
        history_progress(debug, to, &said);
    }
    *stop = hit.found ? hit.stop : (struct mh_stop){.kind = MH_STOP_HISTORY_BEGIN};
    if (timeline_seek(debug->timeline, hit.found ? hit.position : to, &err) != MH_OK)
        history_fail(stop, &err);
    return DEBUG_STOPPED;
}

static void history_step_backwards(struct debug *debug, struct mh_stop *stop)
{
    const struct timeline_info info = timeline_info(debug->timeline);
    struct mh_error err;
    *stop = (struct mh_stop){.kind = info.now > info.first ? MH_STOP_STEP : MH_STOP_HISTORY_BEGIN};
    if (info.now > info.first && timeline_seek(debug->timeline, info.now - 1, &err) != MH_OK)
        history_fail(stop, &err);
}

/* The stop of the present is reported again when the machine returns to it. */
static void history_leave_present(struct debug *debug)
{
    if (!timeline_is_in_past(debug->timeline))
        debug->present_stop = debug->last_stop;
}

/* False when the machine does not run, with *stop and *end set. */
static bool history_starts_backwards(struct debug *debug, enum debug_end *end, struct mh_stop *stop)
{
    struct mh_error err;
    *end = DEBUG_STOPPED;
    *stop = (struct mh_stop){.kind = MH_STOP_INTERRUPTED};
    if (debug->interrupt_wanted)
        return false;
    enum timeline_located located = history_locate(debug, &err);
    if (located == TIMELINE_LOCATED)
        return true;
    if (located == TIMELINE_BROKEN_OFF && debug_has_input(debug)) { /* it starts again, unless it was Ctrl-C */
        *end = DEBUG_INPUT;
        return false;
    }
    debug_say(debug, "%s\n", err.text);
    *stop = (struct mh_stop){.kind = MH_STOP_HISTORY_BEGIN};
    if (debug->vm->is_lost)
        history_fail(stop, &err);
    return false;
}

enum debug_end history_run_backwards(struct debug *debug, struct mh_stop *stop)
{
    enum debug_end end = DEBUG_STOPPED;
    if (debug->timeline == NULL) {
        *stop = (struct mh_stop){.kind = MH_STOP_HISTORY_BEGIN};
        return DEBUG_STOPPED;
    }
    if (!history_starts_backwards(debug, &end, stop))
        return end;
    history_leave_present(debug);
    do {
        if (debug->interrupt_wanted) {
            *stop = (struct mh_stop){.kind = MH_STOP_INTERRUPTED};
            return DEBUG_STOPPED;
        }
        if (debug->how.kind == MH_RESUME_CONTINUE)
            end = history_continue_backwards(debug, stop);
        else
            history_step_backwards(debug, stop);
    } while (end == DEBUG_STOPPED && stop->kind == MH_STOP_STEP && !debug_is_wanted(debug, stop));
    return end;
}

/* ---- going there, and changing it ---- */

/* A recording has answers for its own run only. */
static enum mh_status history_may_change(struct debug *debug, struct mh_error *err)
{
    const struct vm_record_hooks *record = &debug->vm->record_hooks;
    if (history_replays(debug)) {
        mh_fail(err, MH_ERR_RANGE, "a recording is replayed: registers and memory cannot be changed");
        debug_say(debug, "%s\n", err->text); /* gdb shows a number only */
        return MH_ERR_RANGE;
    }
    if (record->changed != NULL)
        record->changed(record->ctx, "a debugger changed the machine");
    return MH_OK;
}

enum mh_status history_change(struct debug *debug, struct mh_error *err)
{
    if (history_may_change(debug, err) != MH_OK)
        return MH_ERR_RANGE;
    if (debug->timeline == NULL)
        return MH_OK;
    if (timeline_is_in_past(debug->timeline)) {
        const struct timeline_info info = timeline_info(debug->timeline);
        enum mh_status status = timeline_cut(debug->timeline, err);
        if (status != MH_OK) {
            debug_say(debug, "%s\n", err->text); /* gdb shows a number only */
            return status;
        }
        debug_say(debug, "this changes the past: the %" PRIu64 " instructions after this point are discarded\n",
                  info.last - info.now);
    }
    if (timeline_note_change(debug->timeline, err) != MH_OK) {
        debug_say(debug, "no history is kept any more: %s\n", err->text);
        history_end(debug);
    }
    return MH_OK;
}

static enum mh_status history_parse(const char *where, const struct timeline_info *info, uint64_t *position,
                                    struct mh_error *err)
{
    bool is_relative = *where == '+' || *where == '-';
    char *end;
    if (strcmp(where, "start") == 0 || strcmp(where, "end") == 0) {
        *position = *where == 's' ? info->first : info->last;
        return MH_OK;
    }
    errno = 0;
    uint64_t number = strtoull(where + is_relative, &end, 0);
    if (where[is_relative] < '0' || where[is_relative] > '9' || *end != '\0' || errno != 0)
        return mh_fail(err, MH_ERR_USAGE, "goto: say an instruction count, start, end, +N or -N");
    if ((*where == '-' && number > info->now) || (*where == '+' && number > UINT64_MAX - info->now))
        return mh_fail(err, MH_ERR_RANGE, "the history goes from %" PRIu64 " to %" PRIu64, info->first, info->last);
    *position = *where == '-' ? info->now - number : *where == '+' ? info->now + number : number;
    return MH_OK;
}

enum mh_status history_go_to(struct debug *debug, const char *where, struct mh_error *err)
{
    uint64_t position = 0;
    if (debug->timeline == NULL)
        return mh_fail(err, MH_ERR_RANGE, "no history is kept: start without --no-history");
    if (history_locate(debug, err) != TIMELINE_LOCATED)
        return debug->vm->is_lost ? MH_ERR_HOST : MH_ERR_RANGE;
    const struct timeline_info info = timeline_info(debug->timeline);
    enum mh_status status = history_parse(where, &info, &position, err);
    if (status != MH_OK)
        return status;
    history_leave_present(debug);
    status = timeline_seek(debug->timeline, position, err);
    if (status == MH_OK && position == info.last)
        debug->last_stop = debug->present_stop;
    else if (status == MH_OK)
        debug->last_stop = (struct mh_stop){.kind = MH_STOP_STEP};
    return status;
}

/* ---- snapshots ---- */

void history_note_snapshot(struct debug *debug, const char *name)
{
    struct snapshot_list *list = &debug->vm->snapshots;
    unsigned at = snapshot_list_find(list, name);
    unsigned ticket;
    if (debug->timeline == NULL || at == list->count || timeline_has_ended(debug->timeline, NULL))
        return;
    list->entry[at].has_place = true;
    list->entry[at].is_past = timeline_is_in_past(debug->timeline);
    list->entry[at].position = timeline_now(debug->timeline);
    list->entry[at].generation = timeline_generation(debug->timeline);
    if (timeline_is_located(debug->timeline))
        return;
    list->entry[at].is_waiting = list->entry[at].has_place =
        timeline_keep_place(debug->timeline, &ticket, NULL) == MH_OK;
    list->entry[at].position = ticket;
}

/* The devices are always those of the present: what was taken in the past is a place there, and nothing without it. */
enum mh_status history_restore_snapshot(struct debug *debug, const char *name, bool *done, struct mh_error *err)
{
    const struct snapshot_list *list = &debug->vm->snapshots;
    unsigned at = snapshot_list_find(list, name);
    *done = false;
    if (at == list->count || !list->entry[at].has_place)
        return MH_OK;
    /* without a position it is restored as a whole */
    if (debug->timeline != NULL && list->entry[at].generation == timeline_generation(debug->timeline) &&
        history_locate(debug, err) != TIMELINE_LOCATED)
        return debug->vm->is_lost ? MH_ERR_HOST : MH_OK;
    const struct timeline_info info =
        debug->timeline == NULL ? (struct timeline_info){.first = UINT64_MAX} : timeline_info(debug->timeline);
    const uint64_t position = list->entry[at].position;
    bool is_kept = debug->timeline != NULL && list->entry[at].generation == timeline_generation(debug->timeline) &&
                   position >= info.first && position <= info.last;
    if (!is_kept && (list->entry[at].is_past || history_replays(debug)))
        return mh_fail(err, MH_ERR_RANGE,
                       "snapshot '%s' is a place in a history that is no longer kept; it cannot be restored", name);
    if (!is_kept)
        return MH_OK;
    char where[24];
    snprintf(where, sizeof where, "%" PRIu64, position);
    *done = true;
    return history_go_to(debug, where, err);
}

/* False when there is no position to speak of. */
static bool history_say_position(struct debug *debug, const struct text_output *output)
{
    struct mh_error err;
    if (debug->timeline == NULL || history_locate(debug, &err) != TIMELINE_LOCATED) {
        text_say(output, "%s\n", debug->timeline == NULL ? "no history is kept" : err.text);
        return false;
    }
    const struct timeline_info info = timeline_info(debug->timeline);
    uint64_t length = info.last - info.first;
    double share = length == 0 ? 100 : 100 * (double)(info.now - info.first) / (double)length;
    text_say(output, "instruction %" PRIu64 " of %" PRIu64 " to %" PRIu64 " (%.4g %%)%s\n", info.now, info.first,
             info.last, share, timeline_is_in_past(debug->timeline) ? ", in the past" : "");
    return true;
}

void history_show_position(struct debug *debug, const struct text_output *output)
{
    history_say_position(debug, output);
}

void history_show(struct debug *debug, const struct text_output *output)
{
    if (!history_say_position(debug, output))
        return;
    const struct timeline_info info = timeline_info(debug->timeline);
    text_say(output, "checkpoints: %u, in %.1f of %.0f MB\n", info.checkpoints, (double)info.bytes / (1 << 20),
             (double)info.limit / (1 << 20));
}
