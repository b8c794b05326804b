#include "run/supervisor.h"

#include "console/message.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

/* Output is held back for at most twice this time. Machines that are to end are asked again as often. */
#define TICK_MS 8

int supervisor_open_signals(void)
{
    static const int handled[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof handled / sizeof handled[0]; i++)
        sigaddset(&set, handled[i]);
    int error = pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (error != 0)
        return -error;
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct supervisor {
    struct shared *shared;
    struct machine *machines;
    size_t count;
    int signal_fd;
    int64_t deadline; /* 0: none */
    int reason;       /* why everything ends: 0 (it does not), ETIMEDOUT or a negated signal */
};

static void supervisor_end_all(struct supervisor *supervisor, int reason)
{
    if (supervisor->reason == 0) {
        supervisor->reason = reason;
        atomic_store(&supervisor->shared->timed_out, reason == ETIMEDOUT);
        atomic_store(&supervisor->shared->ending, true);
        const uint64_t one = 1;
        if (write(supervisor->shared->ending_fd, &one, sizeof one) < 0)
            message("cannot wake the threads that wait for gdb: %s", strerror(errno));
    } else if (reason < 0) {
        /* a second signal: do not wait any longer until our output is read */
        terminal_restore(&supervisor->shared->terminal);
        trace_tick(&supervisor->shared->trace);
        _exit(128 - reason);
    }
}

static void supervisor_on_timeout(struct supervisor *supervisor)
{
    if (supervisor->reason == 0)
        supervisor_end_all(supervisor, ETIMEDOUT);
}

/* Ctrl-Z: the terminal is the shell's while we are stopped. */
static void supervisor_on_sigtstp(struct supervisor *supervisor)
{
    terminal_restore(&supervisor->shared->terminal);
    raise(SIGSTOP);
    terminal_resume(&supervisor->shared->terminal);
}

static void supervisor_read_signals(struct supervisor *supervisor)
{
    struct signalfd_siginfo info;
    while (read(supervisor->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGTSTP)
            supervisor_on_sigtstp(supervisor);
        else if (info.ssi_signo == SIGCONT)
            terminal_resume(&supervisor->shared->terminal);
        else
            supervisor_end_all(supervisor, -(int)info.ssi_signo);
    }
}

static void supervisor_tick(struct supervisor *supervisor)
{
    supervisor_read_signals(supervisor);
    if (supervisor->deadline != 0 && now_ms() >= supervisor->deadline)
        supervisor_on_timeout(supervisor);
    for (size_t i = 0; i < supervisor->count; i++) {
        if (supervisor->reason != 0)
            machine_stop(&supervisor->machines[i]);
        else
            machine_tick(&supervisor->machines[i]);
    }
    trace_tick(&supervisor->shared->trace);
}

static void supervisor_wait(struct supervisor *supervisor)
{
    struct pollfd poll_fds[] = {{.fd = supervisor->shared->done_fd, .events = POLLIN},
                                {.fd = supervisor->signal_fd, .events = POLLIN}};
    while ((poll_fds[0].revents & POLLIN) == 0) {
        poll(poll_fds, 2, TICK_MS);
        supervisor_tick(supervisor);
    }
}

int supervisor_run(struct shared *shared, struct machine *machines, size_t count, int signal_fd)
{
    int64_t timeout = shared->options->timeout_ms;
    struct supervisor supervisor = {.shared = shared, .machines = machines, .count = count, .signal_fd = signal_fd};
    supervisor.deadline = timeout != 0 ? now_ms() + timeout : 0;
    atomic_init(&shared->running, count);
    pthread_rwlock_init(&shared->start, NULL);
    pthread_rwlock_wrlock(&shared->start);
    for (size_t i = 0; i < count; i++)
        machine_start(&machines[i]);
    pthread_rwlock_unlock(&shared->start);
    mh_host_prepare(shared->host);
    supervisor_wait(&supervisor);
    for (size_t i = 0; i < count; i++)
        machine_join(&machines[i]);
    pthread_rwlock_destroy(&shared->start);
    return supervisor.reason;
}
