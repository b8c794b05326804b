/* mh/debug_target.h for a group: most goes to the one machine it is about; running and waiting are for them all. */
#include "debug/debug.h"
#include "debug/debug_group.h"
#include "debug/debug_target.h"

#include <poll.h>

static struct member *find(void *ctx, unsigned number)
{
    struct mh_debug_group *group = ctx;
    return &group->members[number - 1];
}

static struct debug *machine(void *ctx, unsigned number)
{
    return debug_of(find(ctx, number)->vm);
}

static unsigned group_count(void *ctx)
{
    const struct mh_debug_group *group = ctx;
    unsigned count = 0;
    for (unsigned i = 0; i < group->count; i++)
        count += group->members[i].vm != NULL ? 1 : 0;
    return count;
}

static unsigned group_number(void *ctx, unsigned wanted)
{
    const struct mh_debug_group *group = ctx;
    unsigned i = 0;
    for (; i + 1 < group->count; i++) {
        if (group->members[i].vm != NULL && wanted-- == 0)
            break;
    }
    return i + 1;
}

static const char *group_name(void *ctx, unsigned vm)
{
    return debug_target_ops.vm_name(machine(ctx, vm), vm);
}

static const char *group_exec_file(void *ctx, unsigned vm)
{
    return debug_target_ops.vm_exec_file(machine(ctx, vm), vm);
}

static bool group_alive(void *ctx, unsigned vm)
{
    return debug_target_ops.vm_alive(machine(ctx, vm), vm);
}

static enum mh_status group_read_regs(void *ctx, unsigned vm, unsigned groups, struct mh_x86_regs *regs,
                                      struct mh_error *err)
{
    return debug_target_ops.read_regs(machine(ctx, vm), vm, groups, regs, err);
}

static enum mh_status group_write_regs(void *ctx, unsigned vm, unsigned groups, const struct mh_x86_regs *regs,
                                       struct mh_error *err)
{
    return debug_target_ops.write_regs(machine(ctx, vm), vm, groups, regs, err);
}

static uint64_t group_xcr0(void *ctx, unsigned vm)
{
    return debug_target_ops.xcr0_supported(machine(ctx, vm), vm);
}

static enum mh_status group_read_memory(void *ctx, unsigned vm, enum mh_space space, uint64_t address, void *to,
                                        size_t length, size_t *done)
{
    return debug_target_ops.read_memory(machine(ctx, vm), vm, space, address, to, length, done);
}

static enum mh_status group_write_memory(void *ctx, unsigned vm, enum mh_space space, uint64_t address,
                                         const void *from, size_t length, size_t *done)
{
    return debug_target_ops.write_memory(machine(ctx, vm), vm, space, address, from, length, done);
}

static unsigned group_memory_map(void *ctx, unsigned vm, struct mh_memory_region *regions, unsigned capacity)
{
    return debug_target_ops.memory_map(machine(ctx, vm), vm, regions, capacity);
}

static void group_memory_region(void *ctx, unsigned vm, uint64_t address, struct mh_region *region)
{
    debug_target_ops.memory_region(machine(ctx, vm), vm, address, region);
}

static enum mh_status group_set_breakpoint(void *ctx, unsigned vm, enum mh_break_owner owner, enum mh_break_kind kind,
                                           uint64_t address, uint64_t length, struct mh_error *err)
{
    return debug_target_ops.set_breakpoint(machine(ctx, vm), vm, owner, kind, address, length, err);
}

static enum mh_status group_clear_breakpoint(void *ctx, unsigned vm, enum mh_break_owner owner, enum mh_break_kind kind,
                                             uint64_t address, uint64_t length, struct mh_error *err)
{
    return debug_target_ops.clear_breakpoint(machine(ctx, vm), vm, owner, kind, address, length, err);
}

static void group_clear_all(void *ctx, unsigned vm)
{
    debug_target_ops.clear_all_breakpoints(machine(ctx, vm), vm);
}

static void group_resume(void *ctx, unsigned vm, const struct mh_resume *how)
{
    struct member *member = find(ctx, vm);
    /* the filter is for the thread that serves the debugger */
    struct mh_resume unfiltered = *how;
    unfiltered.filter = NULL;
    member->filter = how->filter;
    member->filter_ctx = how->filter_ctx;
    debug_target_ops.resume(machine(ctx, vm), vm, &unfiltered);
    member_set_state(member, MEMBER_RUNNING);
}

/* Is a stop that wait() took wanted? If not, the machine continues. */
static bool group_is_wanted(struct member *member, unsigned number, struct mh_stop *stop)
{
    bool is_filtered = stop->kind == MH_STOP_BREAKPOINT || stop->kind == MH_STOP_HW_BREAKPOINT ||
                       stop->kind == MH_STOP_WATCHPOINT || stop->kind == MH_STOP_STEP;
    if (!is_filtered || member->filter == NULL)
        return true;
    while (!member->filter(member->filter_ctx, number, stop)) {
        if (!debug_go_on(debug_of(member->vm), stop))
            continue;
        member_set_state(member, MEMBER_RUNNING);
        return false;
    }
    return true;
}

static void group_interrupt(void *ctx, unsigned vm)
{
    struct member *member = find(ctx, vm);
    pthread_mutex_lock(&member->group->mutex);
    bool runs = member->state == MEMBER_RUNNING; /* else it has stopped already: the wish must not meet its next run */
    if (runs) {
        atomic_store(&member->interrupt_wanted, true);
        event_fd_set(member->wake_fd);
    }
    pthread_mutex_unlock(&member->group->mutex);
    if (runs)
        mh_vm_kick(member->vm);
}

/* Take a stop that has not been reported. Returns its machine's number; 0 when there is none, with *running set. */
static unsigned take_stop(struct mh_debug_group *group, struct mh_stop *stop, bool *running)
{
    unsigned number = 0;
    *running = false;
    pthread_mutex_lock(&group->mutex);
    for (unsigned i = 0; i < group->count && number == 0; i++) {
        struct member *member = &group->members[i];
        *running |= member->state == MEMBER_RUNNING;
        if (member->state != MEMBER_STOP_UNTOLD)
            continue;
        member->state = MEMBER_STOPPED;
        *stop = member->stop;
        number = i + 1;
    }
    pthread_mutex_unlock(&group->mutex);
    return number;
}

/* Requests to stop are repeated this often: a machine may have been about to wait when it got the first. */
#define ASK_AGAIN_MS 10

static void ask_again(struct mh_debug_group *group)
{
    for (unsigned i = 0; i < group->count; i++) {
        if (group->members[i].vm != NULL && atomic_load(&group->members[i].interrupt_wanted))
            mh_vm_kick(group->members[i].vm);
    }
}

#define FDS_MAX 8u

static enum mh_wait_result group_wait(void *ctx, const int *fds, unsigned fd_count, unsigned *vm, struct mh_stop *stop)
{
    struct mh_debug_group *group = ctx;
    struct pollfd poll_fds[FDS_MAX + 1] = {{.fd = group->event_fd, .events = POLLIN}};
    unsigned count = fd_count < FDS_MAX ? fd_count : FDS_MAX;
    for (unsigned i = 0; i < count; i++)
        poll_fds[i + 1] = (struct pollfd){.fd = fds[i], .events = POLLIN};
    /* unwanted stops may never end, and the debugger must be served all the same */
    if (count > 0 && poll(poll_fds + 1, count, 0) > 0)
        return MH_WAIT_INPUT;
    for (;;) {
        bool running;
        event_fd_clear(group->event_fd);
        *vm = take_stop(group, stop, &running);
        if (*vm != 0 && group_is_wanted(find(group, *vm), *vm, stop))
            return MH_WAIT_STOPPED;
        if (*vm != 0) /* and there may be more stops */
            continue;
        if (!running)
            return MH_WAIT_IDLE;
        if (poll(poll_fds, count + 1, ASK_AGAIN_MS) <= 0)
            ask_again(group);
        for (unsigned i = 0; i < count; i++) {
            if (poll_fds[i + 1].revents != 0)
                return MH_WAIT_INPUT;
        }
    }
}

static enum mh_status group_restart(void *ctx, unsigned vm, struct mh_error *err)
{
    struct mh_debug_group *group = ctx;
    struct member *member = find(ctx, vm);
    member_set_state(member, MEMBER_RESTARTING);
    pthread_mutex_lock(&group->mutex);
    while (member->state == MEMBER_RESTARTING)
        pthread_cond_wait(&group->changed, &group->mutex);
    enum mh_status status = member->restart_status;
    if (status != MH_OK && err != NULL)
        *err = member->restart_error;
    pthread_mutex_unlock(&group->mutex);
    return status;
}

static enum mh_status group_restore(void *ctx, unsigned vm, const char *name, struct mh_error *err)
{
    return debug_target_ops.restore(machine(ctx, vm), vm, name, err);
}

static bool group_can_reverse(void *ctx, unsigned vm)
{
    return debug_target_ops.can_reverse(machine(ctx, vm), vm);
}

static enum mh_status group_go_to(void *ctx, unsigned vm, const char *where, struct mh_error *err)
{
    return debug_target_ops.go_to(machine(ctx, vm), vm, where, err);
}

static void group_set_console(void *ctx, mh_console *console, void *console_ctx)
{
    const struct mh_debug_group *group = ctx;
    for (unsigned i = 0; i < group->count; i++) {
        if (group->members[i].vm != NULL)
            debug_target_ops.set_console(debug_of(group->members[i].vm), console, console_ctx);
    }
}

static void group_kill(void *ctx, unsigned vm)
{
    debug_target_ops.kill(machine(ctx, vm), vm);
}

static void group_describe_stop(void *ctx, unsigned vm, const struct mh_stop *stop, mh_text_sink *sink, void *sink_ctx)
{
    debug_target_ops.describe_stop(machine(ctx, vm), vm, stop, sink, sink_ctx);
}

static enum mh_status group_monitor(void *ctx, unsigned vm, const char *command, bool color, mh_text_sink *sink,
                                    void *sink_ctx, struct mh_error *err)
{
    return debug_target_ops.monitor(machine(ctx, vm), vm, command, color, sink, sink_ctx, err);
}

static int group_open_file(void *ctx, unsigned vm, const char *name)
{
    return debug_target_ops.open_file(machine(ctx, vm), vm, name);
}

const struct mh_debug_target_ops debug_group_ops = {
    .vm_count = group_count,
    .vm_number = group_number,
    .vm_name = group_name,
    .vm_exec_file = group_exec_file,
    .vm_alive = group_alive,
    .read_regs = group_read_regs,
    .write_regs = group_write_regs,
    .xcr0_supported = group_xcr0,
    .read_memory = group_read_memory,
    .write_memory = group_write_memory,
    .memory_map = group_memory_map,
    .memory_region = group_memory_region,
    .set_breakpoint = group_set_breakpoint,
    .clear_breakpoint = group_clear_breakpoint,
    .clear_all_breakpoints = group_clear_all,
    .resume = group_resume,
    .interrupt = group_interrupt,
    .wait = group_wait,
    .restart = group_restart,
    .restore = group_restore,
    .can_reverse = group_can_reverse,
    .go_to = group_go_to,
    .set_console = group_set_console,
    .kill = group_kill,
    .describe_stop = group_describe_stop,
    .monitor = group_monitor,
    .open_file = group_open_file,
};
