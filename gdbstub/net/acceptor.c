#include "net/acceptor.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define PAUSE_NS 100000000 /* 100 ms: too short for a person to notice, and long enough to cost no processor time */

bool gdb_acceptor_init(struct gdb_acceptor *acceptor, const struct mh_gdb_listener *listener)
{
    *acceptor = (struct gdb_acceptor){.listener = listener, .retry_timer = -1};
    if (listener->fd >= 0)
        acceptor->retry_timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    return listener->fd < 0 || acceptor->retry_timer >= 0;
}

void gdb_acceptor_close(struct gdb_acceptor *acceptor)
{
    if (acceptor->retry_timer >= 0)
        close(acceptor->retry_timer);
}

int gdb_acceptor_fd(const struct gdb_acceptor *acceptor)
{
    return acceptor->paused ? acceptor->retry_timer : acceptor->listener->fd;
}

static enum gdb_accept_result acceptor_pause(struct gdb_acceptor *acceptor, int error)
{
    const struct itimerspec moment = {.it_value = {.tv_nsec = PAUSE_NS}};

    acceptor->error = error;
    acceptor->paused = timerfd_settime(acceptor->retry_timer, 0, &moment, NULL) == 0;
    switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return GDB_ACCEPT_NONE;
    default:
        return GDB_ACCEPT_BROKEN;
    }
}

enum gdb_accept_result gdb_acceptor_accept(struct gdb_acceptor *acceptor, int *fd)
{
    int connection = accept4(acceptor->listener->fd, NULL, NULL, SOCK_CLOEXEC), yes = 1;

    acceptor->paused = false;
    if (connection < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR || errno == ECONNABORTED)
            return GDB_ACCEPT_NONE;
        return acceptor_pause(acceptor, errno);
    }
    acceptor->error = 0;
    if (acceptor->listener->endpoint.transport == MH_GDB_TCP)
        setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    *fd = connection;
    return GDB_ACCEPTED;
}
