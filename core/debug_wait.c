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

/* Have input on `fd` kick this thread out of the guest. Whoever makes an eventfd readable, which cannot, kicks too. */
static void kick_on_input(int fd, pid_t thread)
{
    const struct f_owner_ex owner = {.type = F_OWNER_TID, .pid = thread};
    struct f_owner_ex now;
    if (fcntl(fd, F_GETOWN_EX, &now) == 0 && now.type == owner.type && now.pid == owner.pid) /* done before */
        return;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return;
    fcntl(fd, F_SETSIG, MH_INPUT_SIGNAL);
    fcntl(fd, F_SETOWN_EX, &owner);
    fcntl(fd, F_SETFL, flags | O_ASYNC);
}

static void arrange_kicks(struct debug *debug)
{
    debug->has_timer = false;
    for (unsigned i = 0; i < debug->fd_count; i++) {
        kick_on_input(debug->fds[i], gettid());
        debug->has_timer |= is_timer(debug->fds[i]);
    }
    debug->input_kicks = debug->fd_count > 0;
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
