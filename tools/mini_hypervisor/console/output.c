#include "console/output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 1000
#define POLL_MS 100

int output_open(const char *path, const char **why)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
    if (fd < 0)
        *why = errno == ENXIO ? "the FIFO has no reader" : strerror(errno);
    else
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    return fd;
}

bool output_is_one_of(const char *path, const char *const *others, size_t count)
{
    struct stat file, other;
    if (stat(path, &file) != 0)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && strcmp(others[i], others[i - 1]) == 0)
            continue; /* a thousand machines with one image */
        if (stat(others[i], &other) == 0 && other.st_dev == file.st_dev && other.st_ino == file.st_ino)
            return true;
    }
    return false;
}

static bool is_ending(const atomic_bool *ending)
{
    return ending != NULL && atomic_load(ending);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Wait until `fd` is writable. False when the process is ending and it has not been for a while. */
static bool wait_writable(int fd, const atomic_bool *ending)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
    int64_t deadline = 0;
    for (;;) {
        if (deadline == 0 && is_ending(ending))
            deadline = now_ms() + PATIENCE_MS;
        if (poll(&poll_fd, 1, POLL_MS) > 0)
            return true;
        if (deadline != 0 && now_ms() >= deadline)
            return false;
    }
}

int output_write(int fd, const void *bytes, size_t length, const atomic_bool *ending)
{
    const char *next = bytes;
    while (length > 0) {
        size_t part = length;
        if (is_ending(ending)) {
            /* as much as a pipe that polls as writable takes without blocking */
            part = part < PIPE_BUF ? part : PIPE_BUF;
            if (!wait_writable(fd, ending))
                return -EINTR;
        }
        ssize_t written = write(fd, next, part);
        if (written < 0 && errno == EAGAIN && !wait_writable(fd, ending))
            return -EINTR;
        if (written < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
        if (written > 0) {
            next += written;
            length -= (size_t)written;
        }
    }
    return 0;
}
