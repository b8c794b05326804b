#include "sandbox/file_opener.h"

#include "sandbox/close_from.h"
#include "sandbox/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* A message: the index of a file, or what came of it, 0 with a descriptor or an errno. */
struct opener_message {
    struct msghdr header;
    struct iovec iov;
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
};

static void opener_message_init(struct opener_message *message, uint32_t *number)
{
    memset(message, 0, sizeof *message);
    message->iov = (struct iovec){.iov_base = number, .iov_len = sizeof *number};
    message->header = (struct msghdr){.msg_iov = &message->iov,
                                      .msg_iovlen = 1,
                                      .msg_control = message->control.bytes,
                                      .msg_controllen = sizeof message->control.bytes};
}

/* ---- the process that opens files ---- */

static int opener_open(const char *path)
{
    struct stat info;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a FIFO must not block us */
    if (fd < 0)
        return -errno;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode))
        return fd;
    close(fd);
    return S_ISDIR(info.st_mode) ? -EISDIR : -EINVAL;
}

static ssize_t opener_answer(int to, int fd)
{
    uint32_t error = fd < 0 ? (uint32_t)-fd : 0;
    struct opener_message message;
    opener_message_init(&message, &error);
    if (fd < 0) {
        message.header.msg_control = NULL;
        message.header.msg_controllen = 0;
    } else {
        struct cmsghdr *control = CMSG_FIRSTHDR(&message.header);
        *control = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(control), &fd, sizeof fd);
    }
    return sendmsg(to, &message.header, MSG_NOSIGNAL);
}

/* Until the other end of the socket is closed, by the other process or by its end. */
static void opener_serve(int socket, const char *const *paths, size_t count)
{
    uint32_t index;
    while (recv(socket, &index, sizeof index, 0) == sizeof index) {
        const int fd = index < count ? opener_open(paths[index]) : -EBADF;
        const bool sent = opener_answer(socket, fd) >= 0;
        if (fd >= 0)
            close(fd);
        if (!sent)
            break;
    }
}

static void opener_main(int socket, const char *const *paths, size_t count, bool confined)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL); /* the supervisor's are blocked */
    setsid();                              /* Ctrl-C and Ctrl-Z are for the other process */
    dup2(socket, 0);                       /* nothing else stays open: pipes that others wait for, ports, /dev/kvm */
    close_from(1);
    if (confined)
        confine_opener();
    opener_serve(0, paths, count);
}

/* ---- the process that asks for them ---- */

int file_opener_start(struct file_opener *opener, const char *const *paths, size_t count, bool confined)
{
    int sockets[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0)
        return -errno;
    const pid_t child = fork();
    const int error = errno;
    if (child == 0) {
        opener_main(sockets[1], paths, count, confined);
        _exit(0);
    }
    close(sockets[1]);
    if (child < 0) {
        close(sockets[0]);
        return -error;
    }
    opener->fd = sockets[0];
    pthread_mutex_init(&opener->mutex, NULL);
    return 0;
}

static ssize_t opener_receive(int from, struct opener_message *message)
{
    ssize_t got;
    do
        got = recvmsg(from, &message->header, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    return got;
}

/* What the other process answers; -EPIPE when it is gone. */
static int opener_ask(int socket, uint32_t number)
{
    struct opener_message message;
    int fd = -1;
    if (send(socket, &number, sizeof number, MSG_NOSIGNAL) != sizeof number)
        return -EPIPE;
    opener_message_init(&message, &number);
    if (opener_receive(socket, &message) != sizeof number)
        return -EPIPE;
    if (number != 0)
        return -(int)number;
    const struct cmsghdr *control = CMSG_FIRSTHDR(&message.header);
    if (control == NULL || control->cmsg_type != SCM_RIGHTS)
        return -EMFILE; /* the kernel could not give the descriptor to this process */
    memcpy(&fd, CMSG_DATA(control), sizeof fd);
    return fd;
}

int file_opener_open(struct file_opener *opener, size_t index)
{
    pthread_mutex_lock(&opener->mutex);
    const int fd = opener_ask(opener->fd, (uint32_t)index);
    pthread_mutex_unlock(&opener->mutex);
    return fd;
}

void file_opener_stop(struct file_opener *opener)
{
    if (opener->fd < 0)
        return;
    close(opener->fd);
    opener->fd = -1;
    pthread_mutex_destroy(&opener->mutex);
}
