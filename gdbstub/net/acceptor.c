#include "mh/gdb_acceptor.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define SHUT_NS 100000000 /* a person does not notice, and a processor does not either */

bool gdb_door_init(struct gdb_door *door, const struct mh_gdb_listener *listener)
{
    *door = (struct gdb_door){.listener = listener, .timer = -1};
    if (listener->fd >= 0)
        door->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    return listener->fd < 0 || door->timer >= 0;
}

void gdb_door_close(struct gdb_door *door)
{
    if (door->timer >= 0)
        close(door->timer);
}

int gdb_door_fd(const struct gdb_door *door)
{
    return door->shut ? door->timer : door->listener->fd;
}

static enum gdb_entry shut(struct gdb_door *door, int error)
{
    const struct itimerspec moment = {.it_value = {.tv_nsec = SHUT_NS}};

    door->error = error;
    door->shut = timerfd_settime(door->timer, 0, &moment, NULL) == 0;
    switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return GDB_NOBODY;
    default:
        return GDB_BROKEN;
    }
}

enum gdb_entry gdb_door_open(struct gdb_door *door, int *fd)
{
    int connection = accept4(door->listener->fd, NULL, NULL, SOCK_CLOEXEC), yes = 1;

    door->shut = false;
    if (connection < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR || errno == ECONNABORTED)
            return GDB_NOBODY;
        return shut(door, errno);
    }
    door->error = 0;
    if (door->listener->endpoint.transport == MH_GDB_TCP)
        setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    *fd = connection;
    return GDB_ENTERED;
}
