#include "net/transport.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIPE_CHUNK 4096u /* a pipe that poll() reports as writable takes this much without blocking */

#define SOON_US 2000 /* how long stop_fd and other debuggers may have to wait for a debugger that sends nothing */

static bool fd_is_socket(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

void gdb_transport_init(struct gdb_transport *transport, int in_fd, int out_fd, int stop_fd)
{
    const struct timeval soon = {.tv_usec = SOON_US};

    transport->in_fd = in_fd;
    transport->out_fd = out_fd;
    transport->stop_fd = stop_fd;
    transport->in_is_socket = fd_is_socket(in_fd);
    transport->out_is_socket = fd_is_socket(out_fd);
    transport->can_wait =
        transport->in_is_socket && setsockopt(in_fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon) == 0;
}

static enum gdb_receive_result transport_received(ssize_t got, size_t *length)
{
    if (got > 0) {
        *length = (size_t)got;
        return GDB_RECEIVED;
    }
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return GDB_RECEIVE_NOTHING;
    return GDB_RECEIVE_CLOSED;
}

enum gdb_receive_result gdb_transport_receive(const struct gdb_transport *transport, void *to, size_t room,
                                              size_t *length)
{
    ssize_t got =
        transport->in_is_socket ? recv(transport->in_fd, to, room, MSG_DONTWAIT) : read(transport->in_fd, to, room);

    return transport_received(got, length);
}

enum gdb_receive_result gdb_transport_receive_soon(const struct gdb_transport *transport, void *to, size_t room,
                                                   size_t *length)
{
    return transport_received(recv(transport->in_fd, to, room, 0), length);
}

/* Wait until the connection is writable. Returns false if it is gone or stop_fd is readable. */
static bool transport_wait_writable(const struct gdb_transport *transport)
{
    struct pollfd fds[] = {{transport->out_fd, POLLOUT, 0}, {transport->stop_fd, POLLIN, 0}};

    while (poll(fds, 2, -1) < 0)
        if (errno != EINTR)
            return false;
    return !fds[1].revents && (fds[0].revents & POLLOUT);
}

static ssize_t transport_send_some(const struct gdb_transport *transport, const char *from, size_t length)
{
    if (transport->out_is_socket)
        return send(transport->out_fd, from, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (!transport_wait_writable(transport)) {
        errno = EPIPE;
        return -1;
    }
    return write(transport->out_fd, from, length < PIPE_CHUNK ? length : PIPE_CHUNK);
}

bool gdb_transport_send(const struct gdb_transport *transport, const char *from, size_t length)
{
    while (length > 0) {
        ssize_t sent = transport_send_some(transport, from, length);

        if (sent >= 0) {
            from += sent;
            length -= (size_t)sent;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            if (!transport_wait_writable(transport))
                return false;
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}
