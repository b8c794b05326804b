/* When a machine that runs is to come back to its debugger: input of the debugger's, as a kick. */
#include "debug.h"

#include "vm_internal.h"

#include <fcntl.h>
#include <poll.h>
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

/* Have input on `fd` kick this thread out of the guest. Descriptors that cannot do that are looked at by ticks only. */
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

bool debug_heed_kicks(struct mh_vm *vm)
{
    if (!vm->debug.active || vm->debug.heeds_kicks)
        return false;
    for (unsigned i = 0; i < vm->debug.fd_count && !vm->debug.input_kicks; i++)
        kick_on_input(vm->debug.fds[i], gettid());
    vm->debug.input_kicks = vm->debug.fd_count > 0;
    vm->debug.heeds_kicks = true;
    return true;
}
