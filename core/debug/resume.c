/*
 * A debugger's resume. The points are armed once for it, and the run loop is entered until a stop is wanted. The filter
 * that came with the resume decides that: it evaluates conditions and runs commands.
 */
#include "debug/debug.h"
#include "debug/history.h"
#include "machine/run_loop.h"
#include "replay/timeline.h"

#include <poll.h>
#include <stdio.h>

void debug_resume(struct debug *debug, const struct mh_resume *how)
{
    debug->how = *how;
    debug->running = true;
    debug->points_are_armed = false;
    debug->step_off = how->kind != MH_RESUME_CONTINUE || debug->was_restored;
    debug->was_restored = false;
}

static bool debug_is_in_range(const struct debug *debug)
{
    uint64_t rip = vm_rip(debug->vm);
    return debug->how.kind == MH_RESUME_RANGE && rip >= debug->how.start && rip < debug->how.end;
}

bool debug_go_on(struct debug *debug, struct mh_stop *stop)
{
    bool is_watch = stop->kind == MH_STOP_WATCHPOINT;
    if (is_watch && debug->how.kind != MH_RESUME_CONTINUE && !debug_is_in_range(debug)) {
        *stop = (struct mh_stop){.kind = MH_STOP_STEP};
        return false;
    }
    debug->running = true;
    /* after a watched access or a step, the next instruction has not been met yet */
    debug->step_off = stop->kind == MH_STOP_BREAKPOINT || stop->kind == MH_STOP_HW_BREAKPOINT;
    return true;
}

bool debug_has_input(const struct debug *debug)
{
    struct pollfd fds[8];
    unsigned count = debug->fd_count < 8 ? debug->fd_count : 8;
    for (unsigned i = 0; i < count; i++)
        fds[i] = (struct pollfd){.fd = debug->fds[i], .events = POLLIN};
    return count > 0 && poll(fds, count, 0) > 0;
}

/* A processor made of others translates addresses when points are armed, so arm them for each resume. */
enum mh_status debug_arm(struct debug *debug, struct mh_error *err)
{
    struct cpu *cpu = debug->vm->cpu;
    bool translates = cpu->ops->current != NULL && debug->breakpoints.count > 0;
    if (debug->timeline != NULL && timeline_took_points(debug->timeline))
        debug->breakpoints.have_changed = true;
    if (debug->points_are_armed && !debug->breakpoints.have_changed)
        return MH_OK;
    debug->points_are_armed = true;
    if (!translates && !debug->breakpoints.have_changed)
        return MH_OK;
    const struct cpu_point *points = breakpoints_points(&debug->breakpoints);
    enum mh_status status = cpu->ops->arm(cpu, points, debug->breakpoints.count, err);
    debug->breakpoints.have_changed = status != MH_OK; /* none is armed then */
    return status;
}

static struct cpu_request debug_request(const struct debug *debug)
{
    struct cpu_request request = {.mode = debug->how.kind == MH_RESUME_CONTINUE ? CPU_RUN : CPU_STEP,
                                  .step_off = debug->step_off,
                                  .report = debug->catchpoints.report,
                                  .wake_fds = debug->fds,
                                  .wake_count = debug->fd_count};
    if (debug->how.kind == MH_RESUME_RANGE) {
        request.range_start = debug->how.start;
        request.range_end = debug->how.end;
    }
    return request;
}

static void debug_name_breakpoint(const struct debug *debug, struct mh_stop *stop)
{
    const struct breakpoint *breakpoint = breakpoints_at(&debug->breakpoints, vm_rip(debug->vm));
    if (breakpoint != NULL && breakpoint->kind == MH_BREAK_HARDWARE)
        stop->kind = MH_STOP_HW_BREAKPOINT;
}

static void debug_name_watchpoint(const struct debug *debug, unsigned point, struct mh_stop *stop)
{
    const struct breakpoint *breakpoint = &debug->breakpoints.list[point];
    stop->watch = breakpoint->kind == MH_BREAK_WATCH_WRITE  ? MH_WATCH_WRITE
                  : breakpoint->kind == MH_BREAK_WATCH_READ ? MH_WATCH_READ
                                                            : MH_WATCH_ACCESS;
    stop->watch_address = breakpoint->address;
}

bool debug_is_wanted(const struct debug *debug, struct mh_stop *stop)
{
    switch (stop->kind) {
    case MH_STOP_BREAKPOINT:
    case MH_STOP_HW_BREAKPOINT:
    case MH_STOP_WATCHPOINT:
    case MH_STOP_STEP:
        return debug->how.filter == NULL || debug->how.filter(debug->how.filter_ctx, debug->vm->config.number, stop);
    default:
        return true;
    }
}

/* True when the stop is to be reported; otherwise the machine continues. */
static bool debug_take_stop(struct debug *debug, struct mh_stop *stop)
{
    while (!debug_is_wanted(debug, stop)) {
        if (debug_go_on(debug, stop))
            return false;
    }
    return true;
}

void debug_name_stop(const struct debug *debug, struct run_result *result)
{
    if (result->stop.kind == MH_STOP_BREAKPOINT)
        debug_name_breakpoint(debug, &result->stop);
    if (result->stop.kind == MH_STOP_WATCHPOINT)
        debug_name_watchpoint(debug, result->point, &result->stop);
}

bool debug_is_point(enum mh_stop_kind kind)
{
    return kind == MH_STOP_BREAKPOINT || kind == MH_STOP_HW_BREAKPOINT || kind == MH_STOP_WATCHPOINT ||
           kind == MH_STOP_CAUGHT;
}

static enum run_end debug_fail(struct mh_stop *stop, const struct mh_error *err)
{
    *stop = (struct mh_stop){.kind = MH_STOP_HOST_ERROR};
    snprintf(stop->text, sizeof stop->text, "%s", err->text);
    return RUN_STOPPED;
}

/* One run of the guest, until a stop, a kick, or a place at which the history needs something. */
static enum run_end debug_run_once(struct debug *debug, struct run_result *result)
{
    struct cpu_request request = debug_request(debug);
    const bool may_lose_position = debug->vm->cpu->ops->current != NULL;
    struct mh_error err;
    if (debug_arm(debug, &err) != MH_OK || history_before_run(debug, &request, &err) != MH_OK) {
        *result = (struct run_result){.end = RUN_STOPPED};
        return debug_fail(&result->stop, &err);
    }
    const uint64_t started = may_lose_position ? history_clock() : 0;
    run_loop(debug->vm, &request, result);
    if (may_lose_position)
        debug->ran_ns += history_clock() - started;
    debug->step_off = result->in_was_cancelled; /* a point at an IN was met when the IN began */
    if (result->end == RUN_STOPPED)
        debug_name_stop(debug, result);
    return result->end;
}

/* Run until a stop that is for the debugger to see, or a kick. */
static enum run_end debug_run_to_stop(struct debug *debug, struct run_result *result)
{
    do {
        if (debug_run_once(debug, result) == RUN_KICKED)
            return RUN_KICKED;
    } while (!history_after_run(debug, result));
    return RUN_STOPPED;
}

static bool debug_must_return(const struct debug *debug)
{
    return (atomic_load(&debug->vm->requests) & VM_REQUEST_STOP) != 0 || debug_has_input(debug);
}

#define UNWANTED_STOPS_BETWEEN_LOOKS 64u

enum debug_end debug_run(struct debug *debug, struct mh_stop *stop)
{
    struct mh_vm *vm = debug->vm;
    enum debug_end end = DEBUG_STOPPED;
    struct run_result result; /* a stop is large, and is copied only when it is reported */
    /* a single step is over before it could be interrupted */
    bool look = debug->how.kind != MH_RESUME_STEP;
    unsigned unwanted = 0;
    if (debug->how.backwards)
        return history_run_backwards(debug, stop);
    atomic_store_explicit(&vm->wants_kicks, true, memory_order_relaxed);
    for (;;) {
        if (debug->interrupt_wanted) {
            *stop = (struct mh_stop){.kind = MH_STOP_INTERRUPTED};
            break;
        }
        if (look && debug_must_return(debug)) {
            end = DEBUG_INPUT;
            break;
        }
        look = debug_run_to_stop(debug, &result) == RUN_KICKED;
        if (!look && result.stop.kind == MH_STOP_INTERRUPTED) { /* everything is to end */
            end = DEBUG_INPUT;
            break;
        }
        if (!look && debug_take_stop(debug, &result.stop)) {
            *stop = result.stop;
            break;
        }
        /* stops that nobody wants can come too fast for a kick to end a run between them */
        look |= ++unwanted % UNWANTED_STOPS_BETWEEN_LOOKS == 0;
    }
    atomic_store_explicit(&vm->wants_kicks, false, memory_order_relaxed);
    return end;
}
