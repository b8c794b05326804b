/*
 * Several machines behind one debug target. Each runs on its own thread, which does nothing but what the thread that
 * serves the debugger tells it; while a machine is stopped, the serving thread looks at it directly.
 */
#include "mh/debug_target.h"
#include "mh/vm.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum member_state {
    MEMBER_AWAITED, /* its machine is still being made */
    MEMBER_STOPPED,
    MEMBER_RUNNING,
    MEMBER_STOP_UNTOLD, /* stopped, and wait() has not said so yet */
    MEMBER_RESTARTING,
    MEMBER_MISSING, /* never made, or not to be debugged */
};

struct member {
    struct mh_debug_group *group;
    struct mh_vm *vm;              /* NULL: there is none; like `target`, settled when its thread has joined */
    struct mh_debug_target target; /* of the machine alone */
    atomic_bool interrupt_wanted;
    int wake_fd; /* readable while interrupt_wanted */

    /* guarded by the group's mutex: */
    enum member_state state;
    struct mh_stop stop;           /* STOP_UNTOLD */
    enum mh_status restart_status; /* after RESTARTING */
    struct mh_error restart_error;
};

struct mh_debug_group {
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* some member's state, or `finished` */
    bool finished;          /* nobody serves the group any more; guarded by the mutex */
    int event_fd;           /* readable after a machine stopped */
    unsigned count;
    struct member members[];
};

enum mh_status mh_debug_group_create(unsigned count, struct mh_debug_group **group, struct mh_error *err)
{
    struct mh_debug_group *made = calloc(1, sizeof *made + count * sizeof made->members[0]);
    if (made == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory for debugging %u machines", count);
    made->count = count;
    made->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int error = made->event_fd < 0 ? errno : 0;
    for (unsigned i = 0; i < count; i++) {
        made->members[i].group = made;
        made->members[i].wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        error = made->members[i].wake_fd < 0 ? errno : error;
    }
    pthread_mutex_init(&made->mutex, NULL);
    pthread_cond_init(&made->changed, NULL);
    if (error != 0) {
        mh_debug_group_destroy(made);
        return mh_fail(err, MH_ERR_HOST, "no descriptors for debugging %u machines: %s", count, strerror(error));
    }
    *group = made;
    return MH_OK;
}

void mh_debug_group_destroy(struct mh_debug_group *group)
{
    if (group == NULL)
        return;
    for (unsigned i = 0; i < group->count; i++) {
        if (group->members[i].wake_fd >= 0)
            close(group->members[i].wake_fd);
    }
    if (group->event_fd >= 0)
        close(group->event_fd);
    pthread_cond_destroy(&group->changed);
    pthread_mutex_destroy(&group->mutex);
    free(group);
}

static void add_event(int fd)
{
    const uint64_t one = 1;
    ssize_t written = write(fd, &one, sizeof one);
    (void)written; /* it fails only when the counter is full, and then it is readable all the same */
}

static void clear_events(int fd)
{
    uint64_t count;
    ssize_t got = read(fd, &count, sizeof count);
    (void)got; /* nothing there is as good */
}

/* ---- on a machine's thread ---- */

static void set_state(struct member *member, enum member_state state)
{
    pthread_mutex_lock(&member->group->mutex);
    member->state = state;
    pthread_cond_broadcast(&member->group->changed);
    pthread_mutex_unlock(&member->group->mutex);
}

/* Wait for something to do. False when there will be nothing any more. */
static bool await_command(struct member *member, enum member_state *command)
{
    struct mh_debug_group *group = member->group;
    pthread_mutex_lock(&group->mutex);
    while (!group->finished && member->state != MEMBER_RUNNING && member->state != MEMBER_RESTARTING)
        pthread_cond_wait(&group->changed, &group->mutex);
    *command = member->state;
    bool finished = group->finished;
    pthread_mutex_unlock(&group->mutex);
    return !finished;
}

static void run_until_stop(struct member *member)
{
    const struct mh_debug_target *target = &member->target;
    struct mh_stop stop;
    unsigned number;
    /* input is somebody's wish that it stops: the debugger's, or that of whoever ends everything */
    while (target->ops->wait(target->ctx, &member->wake_fd, 1, &number, &stop) == MH_WAIT_INPUT)
        target->ops->interrupt(target->ctx, 0);
    pthread_mutex_lock(&member->group->mutex);
    atomic_store(&member->interrupt_wanted, false);
    clear_events(member->wake_fd);
    member->stop = stop;
    member->state = MEMBER_STOP_UNTOLD;
    pthread_mutex_unlock(&member->group->mutex);
    add_event(member->group->event_fd);
}

static void restart(struct member *member)
{
    struct mh_error err = {.text = ""};
    enum mh_status status = member->target.ops->restart(member->target.ctx, 0, &err);
    pthread_mutex_lock(&member->group->mutex);
    member->restart_status = status;
    member->restart_error = err;
    pthread_mutex_unlock(&member->group->mutex);
    set_state(member, MEMBER_STOPPED);
}

enum mh_status mh_debug_group_join(struct mh_debug_group *group, unsigned index, struct mh_vm *vm, struct mh_error *err)
{
    struct member *member = &group->members[index];
    enum mh_status status = MH_OK;
    enum member_state command;
    if (vm != NULL)
        status = mh_vm_debug(vm, &member->target, err);
    bool there = vm != NULL && status == MH_OK;
    member->vm = there ? vm : NULL;
    set_state(member, there ? MEMBER_STOPPED : MEMBER_MISSING);
    while (there && await_command(member, &command)) {
        if (command == MEMBER_RUNNING)
            run_until_stop(member);
        else
            restart(member);
    }
    return status;
}

/* ---- on the thread that serves the debugger ---- */

static struct member *find(void *ctx, unsigned number)
{
    struct mh_debug_group *group = ctx;
    return &group->members[number - 1];
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
    const struct mh_debug_target *one = &find(ctx, vm)->target;
    return one->ops->vm_name(one->ctx, vm);
}

static const char *group_exec_file(void *ctx, unsigned vm)
{
    const struct mh_debug_target *one = &find(ctx, vm)->target;
    return one->ops->vm_exec_file(one->ctx, vm);
}

static bool group_alive(void *ctx, unsigned vm)
{
    const struct mh_debug_target *one = &find(ctx, vm)->target;
    return one->ops->vm_alive(one->ctx, vm);
}

static enum mh_status group_read_regs(void *ctx, unsigned vm, unsigned groups, struct mh_x86_regs *regs,
                                      struct mh_error *err)
{
    const struct mh_debug_target *one = &find(ctx, vm)->target;
    return one->ops->read_regs(one->ctx, vm, groups, regs, err);
}

static enum mh_status group_write_regs(void *ctx, unsigned vm, unsigned groups, const struct mh_x86_regs *regs,
                                       struct mh_error *err)
{
    const struct mh_debug_target *one = &find(ctx, vm)->target;
    return one->ops->write_regs(one->ctx, vm, groups, regs, err);
}

static uint64_t group_xcr0(void *ctx, unsigned vm)
{
    const struct mh_debug_target *one = &find(ctx, vm)->target;
    return one->ops->xcr0_supported(one->ctx, vm);
}

static enum mh_status group_read_memory(void *ctx, unsigned vm, enum mh_space space, uint64_t address, void *to,
                                        size_t length, size_t *done)
{
    const struct mh_debug_target *one = &find(ctx, vm)->target;
    return one->ops->read_memory(one->ctx, vm, space, address, to, length, done);
}

static enum mh_status group_write_memory(void *ctx, unsigned vm, enum mh_space space, uint64_t address,
                                         const void *from, size_t length, size_t *done)
{
    const struct mh_debug_target *one = &find(ctx, vm)->target;
    return one->ops->write_memory(one->ctx, vm, space, address, from, length, done);
}

static unsigned group_memory_map(void *ctx, unsigned vm, struct mh_memory_region *regions, unsigned capacity)
{
    const struct mh_debug_target *one = &find(ctx, vm)->target;
    return one->ops->memory_map(one->ctx, vm, regions, capacity);
}

static enum mh_status group_set_breakpoint(void *ctx, unsigned vm, enum mh_break_kind kind, uint64_t address,
                                           uint64_t length, struct mh_error *err)
{
    const struct mh_debug_target *one = &find(ctx, vm)->target;
    return one->ops->set_breakpoint(one->ctx, vm, kind, address, length, err);
}

static enum mh_status group_clear_breakpoint(void *ctx, unsigned vm, enum mh_break_kind kind, uint64_t address,
                                             uint64_t length, struct mh_error *err)
{
    const struct mh_debug_target *one = &find(ctx, vm)->target;
    return one->ops->clear_breakpoint(one->ctx, vm, kind, address, length, err);
}

static void group_clear_all(void *ctx, unsigned vm)
{
    const struct mh_debug_target *one = &find(ctx, vm)->target;
    one->ops->clear_all_breakpoints(one->ctx, vm);
}

static void group_resume(void *ctx, unsigned vm, const struct mh_resume *how)
{
    struct member *member = find(ctx, vm);
    member->target.ops->resume(member->target.ctx, vm, how);
    set_state(member, MEMBER_RUNNING);
}

static void group_interrupt(void *ctx, unsigned vm)
{
    struct member *member = find(ctx, vm);
    pthread_mutex_lock(&member->group->mutex);
    bool runs = member->state == MEMBER_RUNNING; /* else it has stopped already: the wish must not meet its next run */
    if (runs) {
        atomic_store(&member->interrupt_wanted, true);
        add_event(member->wake_fd);
    }
    pthread_mutex_unlock(&member->group->mutex);
    if (runs)
        mh_vm_kick(member->vm);
}

/* Take a stop nobody was told of. Returns its machine's number; 0 when there is none, with *running set. */
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

/* Machines that are to stop are asked again this often: one may have been about to wait when it was asked first. */
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
    /* there may be no end of stops that nobody wants to hear of, and the debugger must get through all the same */
    if (count > 0 && poll(poll_fds + 1, count, 0) > 0)
        return MH_WAIT_INPUT;
    for (;;) {
        bool running;
        clear_events(group->event_fd);
        *vm = take_stop(group, stop, &running);
        if (*vm != 0)
            return MH_WAIT_STOPPED;
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
    set_state(member, MEMBER_RESTARTING);
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
    const struct mh_debug_target *one = &find(ctx, vm)->target;
    return one->ops->restore(one->ctx, vm, name, err);
}

static void group_kill(void *ctx, unsigned vm)
{
    const struct mh_debug_target *one = &find(ctx, vm)->target;
    one->ops->kill(one->ctx, vm);
}

static void group_describe_stop(void *ctx, unsigned vm, const struct mh_stop *stop, mh_text_sink *sink, void *sink_ctx)
{
    const struct mh_debug_target *one = &find(ctx, vm)->target;
    one->ops->describe_stop(one->ctx, vm, stop, sink, sink_ctx);
}

static enum mh_status group_monitor(void *ctx, unsigned vm, const char *command, mh_text_sink *sink, void *sink_ctx,
                                    struct mh_error *err)
{
    const struct mh_debug_target *one = &find(ctx, vm)->target;
    return one->ops->monitor(one->ctx, vm, command, sink, sink_ctx, err);
}

static int group_open_file(void *ctx, unsigned vm, const char *name)
{
    const struct mh_debug_target *one = &find(ctx, vm)->target;
    return one->ops->open_file(one->ctx, vm, name);
}

static const struct mh_debug_target_ops ops = {
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
    .set_breakpoint = group_set_breakpoint,
    .clear_breakpoint = group_clear_breakpoint,
    .clear_all_breakpoints = group_clear_all,
    .resume = group_resume,
    .interrupt = group_interrupt,
    .wait = group_wait,
    .restart = group_restart,
    .restore = group_restore,
    .kill = group_kill,
    .describe_stop = group_describe_stop,
    .monitor = group_monitor,
    .open_file = group_open_file,
};

static bool someone_is_awaited(const struct mh_debug_group *group)
{
    for (unsigned i = 0; i < group->count; i++) {
        if (group->members[i].state == MEMBER_AWAITED)
            return true;
    }
    return false;
}

unsigned mh_debug_group_assemble(struct mh_debug_group *group, struct mh_debug_target *target)
{
    pthread_mutex_lock(&group->mutex);
    while (someone_is_awaited(group))
        pthread_cond_wait(&group->changed, &group->mutex);
    pthread_mutex_unlock(&group->mutex);
    *target = (struct mh_debug_target){.ops = &ops, .ctx = group};
    return group_count(group);
}

void mh_debug_group_finish(struct mh_debug_group *group)
{
    pthread_mutex_lock(&group->mutex);
    group->finished = true;
    pthread_cond_broadcast(&group->changed);
    pthread_mutex_unlock(&group->mutex);
}
