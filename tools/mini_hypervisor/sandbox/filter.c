#include "sandbox/filter.h"

#include "sandbox/close_from.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_NOT_STARTED 127

/* ---- the process that waits ---- */

enum { FILTER_INPUT, FILTER_OUTPUT, FILTER_ERRORS, FILTER_STATUS, FILTER_FDS };

/* Put descriptors where the program expects them, and close all others: pipes that others wait for, ports, /dev/kvm. */
static void filter_arrange(int input, int output, int status)
{
    const int fds[FILTER_FDS] = {input, output, STDERR_FILENO, status};
    int moved[FILTER_FDS];
    for (int i = 0; i < FILTER_FDS; i++)
        moved[i] = fcntl(fds[i], F_DUPFD, FILTER_FDS);
    for (int i = 0; i < FILTER_FDS; i++)
        dup2(moved[i], i);
    close_from(FILTER_FDS);
    fcntl(FILTER_STATUS, F_SETFD, FD_CLOEXEC);
}

static int filter_run(const char *const *argv)
{
    int status = 0;
    const pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGPIPE, SIG_DFL);
        signal(SIGXFSZ, SIG_DFL);
        execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(EXIT_NOT_STARTED);
    }
    close(FILTER_INPUT);
    if (child < 0 || waitpid(child, &status, 0) < 0)
        return EXIT_NOT_STARTED;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void filter_main(const char *const *argv, int input, int output, int status_fd)
{
    sigset_t none;
    struct pollfd poll_input = {.fd = FILTER_INPUT, .events = POLLIN};
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL); /* the supervisor's are blocked */
    setsid();                              /* Ctrl-C and Ctrl-Z are for the other process */
    prctl(PR_SET_PDEATHSIG, SIGKILL);      /* and what kills its group does not reach this one: end with it */
    filter_arrange(input, output, status_fd);
    while (poll(&poll_input, 1, -1) < 0 && errno == EINTR)
        ;
    const int result = (poll_input.revents & POLLIN) != 0 ? filter_run(argv) : 0;
    const unsigned char byte = (unsigned char)result;
    if (result >= 0 && write(FILTER_STATUS, &byte, 1) < 0)
        _exit(1);
}

/* ---- the process that writes ---- */

int filter_start(struct filter *filter, const char *const *argv, int output)
{
    int input[2], status[2];
    if (pipe2(input, O_CLOEXEC) != 0)
        return -errno;
    if (pipe2(status, O_CLOEXEC) != 0) {
        const int error = errno;
        close(input[0]);
        close(input[1]);
        return -error;
    }
    const pid_t child = fork();
    const int error = errno;
    if (child == 0) {
        filter_main(argv, input[0], output, status[1]);
        _exit(0);
    }
    close(input[0]);
    close(status[1]);
    *filter = (struct filter){.fd = input[1], .status_fd = status[0]};
    if (child > 0)
        return 0;
    filter_stop(filter);
    return -error;
}

int filter_finish(struct filter *filter)
{
    unsigned char byte;
    ssize_t got;
    close(filter->fd);
    do
        got = read(filter->status_fd, &byte, 1);
    while (got < 0 && errno == EINTR);
    close(filter->status_fd);
    *filter = (struct filter){.fd = -1, .status_fd = -1};
    return got == 1 ? byte : -EPIPE;
}

void filter_stop(struct filter *filter)
{
    if (filter->fd < 0)
        return;
    close(filter->fd);
    close(filter->status_fd);
    *filter = (struct filter){.fd = -1, .status_fd = -1};
}
