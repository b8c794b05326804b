/* Input from a debugger ends KVM_RUN: O_ASYNC descriptors, whose signal is unblocked in KVM_RUN. */
#include "kvm/kvm_cpu.h"

#include <fcntl.h>
#include <unistd.h>

static void kvm_wake_own(int fd, pid_t thread)
{
    const struct f_owner_ex owner = {.type = F_OWNER_TID, .pid = thread};
    struct f_owner_ex now;
    if (fcntl(fd, F_GETOWN_EX, &now) == 0 && now.type == owner.type && now.pid == owner.pid)
        return;
    fcntl(fd, F_SETSIG, KVM_WAKE_SIGNAL);
    fcntl(fd, F_SETOWN_EX, &owner);
}

/* Eventfds and timers send no signal: the ticks of mh_vm_wants_kick() replace it. */
static void kvm_wake_enable(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0)
        fcntl(fd, F_SETFL, on ? flags | O_ASYNC : flags & ~O_ASYNC);
}

void kvm_cpu_watch(struct kvm_cpu *self, const int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        kvm_wake_own(fds[i], gettid());
        kvm_wake_enable(fds[i], true);
    }
    self->wake_fds = fds;
    self->wake_count = count;
}
