/* When a machine that runs is to come back to its debugger: input of the debugger's, as a kick. */
#include "debug.h"

#include "vm_internal.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/timerfd.h>
#include <unistd.h>

bool debug_has_input(const struct debug *debug)
{
    struct pollfd poll_fds[8];
    unsigned count = debug->fd_count < 8 ? debug->fd_count : 8;
    for (unsigned i = 0; i < count; i++)
        poll_fds[i] = (struct pollfd){.fd = debug->fds[i], .events = POLLIN};
    return poll(poll_fds, count, 0) > 0;
}

bool debug_wants_out(const struct mh_vm *vm)
{
    return vm->debug.active && (vm->debug.interrupt_wanted || debug_has_input(&vm->debug));
}

/* A debugger that finds no descriptor left waits for one, and a timer sends no signal. */
static bool is_timer(int fd)
{
    struct itimerspec left;
    return timerfd_gettime(fd, &left) == 0;
}

/* Have the signals of `fd` come to this thread. */
static void take_signals(int fd, pid_t thread)
{
    const struct f_owner_ex owner = {.type = F_OWNER_TID, .pid = thread};
    struct f_owner_ex now;
    if (fcntl(fd, F_GETOWN_EX, &now) == 0 && now.type == owner.type && now.pid == owner.pid)
        return;
    fcntl(fd, F_SETSIG, MH_INPUT_SIGNAL);
    fcntl(fd, F_SETOWN_EX, &owner);
}

/* An eventfd sends none; whoever makes it readable kicks, too. */
static void send_signals(int fd, bool sends)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0)
        fcntl(fd, F_SETFL, sends ? flags | O_ASYNC : flags & ~O_ASYNC);
}

static void arrange_kicks(struct debug *debug)
{
    debug->has_timer = false;
    for (unsigned i = 0; i < debug->fd_count; i++) {
        take_signals(debug->fds[i], gettid());
        send_signals(debug->fds[i], true); /* it may be one that was not among those of the last time */
        debug->has_timer |= is_timer(debug->fds[i]);
    }
    debug->input_kicks = debug->has_signals = debug->fd_count > 0;
}

bool debug_heed_kicks(struct mh_vm *vm)
{
    if (!vm->debug.active || vm->debug.heeds_kicks)
        return false;
    if (!vm->debug.input_kicks)
        arrange_kicks(&vm->debug);
    atomic_store_explicit(&vm->debug.waits_for_timer, vm->debug.has_timer, memory_order_relaxed);
    vm->debug.heeds_kicks = true;
    return true;
}

void debug_heed_no_kicks(struct mh_vm *vm)
{
    atomic_store_explicit(&vm->debug.waits_for_timer, false, memory_order_relaxed);
    vm->debug.heeds_kicks = false;
}

void debug_ignore_input(struct mh_vm *vm)
{
    struct debug *debug = &vm->debug;
    if (!debug->has_signals)
        return;
    for (unsigned i = 0; i < debug->fd_count; i++)
        send_signals(debug->fds[i], false);
    debug->has_signals = debug->input_kicks = false;
}
