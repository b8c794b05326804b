#include "debug/debug_group.h"

#include "debug/debug.h"
#include "debug/debug_target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

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

void event_fd_set(int fd)
{
    const uint64_t one = 1;
    ssize_t written = write(fd, &one, sizeof one);
    (void)written; /* it fails only when the counter is full, and then it is readable anyway */
}

void event_fd_clear(int fd)
{
    uint64_t count;
    ssize_t got = read(fd, &count, sizeof count);
    (void)got; /* nothing there is as good */
}

/* ---- on a machine's thread ---- */

void member_set_state(struct member *member, enum member_state state)
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
    struct mh_stop stop;
    unsigned number;
    /* input is a request to stop: of the debugger, or because everything ends */
    while (debug_target_ops.wait(debug_of(member->vm), &member->wake_fd, 1, &number, &stop) == MH_WAIT_INPUT)
        debug_target_ops.interrupt(debug_of(member->vm), 0);
    pthread_mutex_lock(&member->group->mutex);
    atomic_store(&member->interrupt_wanted, false);
    event_fd_clear(member->wake_fd);
    member->stop = stop;
    member->state = MEMBER_STOP_UNTOLD;
    pthread_mutex_unlock(&member->group->mutex);
    event_fd_set(member->group->event_fd);
}

static void restart(struct member *member)
{
    struct mh_error err = {.text = ""};
    enum mh_status status = debug_target_ops.restart(debug_of(member->vm), 0, &err);
    pthread_mutex_lock(&member->group->mutex);
    member->restart_status = status;
    member->restart_error = err;
    pthread_mutex_unlock(&member->group->mutex);
    member_set_state(member, MEMBER_STOPPED);
}

enum mh_status mh_debug_group_join(struct mh_debug_group *group, unsigned index, struct mh_vm *vm, struct mh_error *err)
{
    struct member *member = &group->members[index];
    struct mh_debug_target alone;
    enum mh_status status = MH_OK;
    enum member_state command;
    if (vm != NULL)
        status = mh_vm_debug(vm, &alone, err);
    bool there = vm != NULL && status == MH_OK;
    member->vm = there ? vm : NULL;
    member_set_state(member, there ? MEMBER_STOPPED : MEMBER_MISSING);
    while (there && await_command(member, &command)) {
        if (command == MEMBER_RUNNING)
            run_until_stop(member);
        else
            restart(member);
    }
    return status;
}

/* ---- on the thread that serves the debugger ---- */

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
    *target = (struct mh_debug_target){.ops = &debug_group_ops, .ctx = group};
    return debug_group_ops.vm_count(group);
}

void mh_debug_group_finish(struct mh_debug_group *group)
{
    pthread_mutex_lock(&group->mutex);
    group->finished = true;
    pthread_cond_broadcast(&group->changed);
    pthread_mutex_unlock(&group->mutex);
}
