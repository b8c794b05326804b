/*
 * Several machines behind one debug target. Each runs on its own thread, on request of the thread that serves the
 * debugger; while a machine is stopped, the serving thread accesses it directly.
 */
#ifndef MH_CORE_DEBUG_GROUP_H
#define MH_CORE_DEBUG_GROUP_H

#include "mh/debug_target.h"
#include "mh/vm.h"

#include <pthread.h>
#include <stdatomic.h>

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
    struct mh_vm *vm; /* NULL: there is none; settled when its thread has joined */
    atomic_bool interrupt_wanted;
    int wake_fd;            /* readable while interrupt_wanted */
    mh_stop_filter *filter; /* of the resume under way; see mh_resume */
    void *filter_ctx;

    /* guarded by the group's mutex: */
    enum member_state state;
    struct mh_stop stop;           /* STOP_UNTOLD */
    enum mh_status restart_status; /* after RESTARTING */
    struct mh_error restart_error;
};

struct mh_debug_group {
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* some member's state, or `finished` */
    bool finished;          /* the group is no longer served; guarded by the mutex */
    int event_fd;           /* readable after a machine stopped */
    unsigned count;
    struct member members[];
};

void member_set_state(struct member *member, enum member_state state);

/* Make an eventfd readable, and unreadable again. */
void event_fd_set(int fd);
void event_fd_clear(int fd);

/* The debug target of a whole group, which is its context. For the thread that serves the debugger. */
extern const struct mh_debug_target_ops debug_group_ops;

#endif
