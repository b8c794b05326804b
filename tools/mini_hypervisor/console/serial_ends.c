#include "console/serial_ends.h"

#include "console/output.h"
#include "console/text_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define WAKE_FDS_MAX 15u /* more are not watched, and the wait ends at the next kick */

/* What a read waits on. */
struct serial_wait {
    int fd; /* of the input */
    const int *wake_fds;
    unsigned wake_count;
};

enum serial_ready {
    SERIAL_READY_INPUT, /* the input has a byte, or has ended, or is in error: read() says which */
    SERIAL_READY_WAKE,  /* a wake descriptor is readable, or a signal came */
    SERIAL_READY_NONE,
};

/* Wait up to `timeout` ms, -1 for ever. Input comes first, so that a byte that is there is always delivered. */
static enum serial_ready serial_wait_for(const struct serial_wait *wait, int timeout)
{
    struct pollfd poll_fds[1 + WAKE_FDS_MAX] = {{.fd = wait->fd, .events = POLLIN}};
    const unsigned wakes = wait->wake_count < WAKE_FDS_MAX ? wait->wake_count : WAKE_FDS_MAX;
    for (unsigned i = 0; i < wakes; i++)
        poll_fds[1 + i] = (struct pollfd){.fd = wait->wake_fds[i], .events = POLLIN};
    const int ready = poll(poll_fds, 1 + wakes, timeout);
    if (ready == 0)
        return SERIAL_READY_NONE;
    return ready > 0 && poll_fds[0].revents != 0 ? SERIAL_READY_INPUT : SERIAL_READY_WAKE;
}

/* Read one byte and no more: the rest stays for the next reader of the descriptor. */
static int serial_read_byte(const struct serial_wait *wait, unsigned char *byte)
{
    ssize_t got = read(wait->fd, byte, 1);
    if (got < 0 && errno == EAGAIN) { /* another process made it non-blocking, or took the byte */
        serial_wait_for(wait, -1);
        return MH_SERIAL_INTERRUPTED;
    }
    if (got < 0 && errno == EINTR)
        return MH_SERIAL_INTERRUPTED;
    if (got < 0 && errno == EIO) /* a terminal that was closed */
        return MH_SERIAL_INPUT_ENDED;
    return got < 0 ? -errno : got == 0 ? MH_SERIAL_INPUT_ENDED : *byte;
}

/* Wait for input. False: return to the caller first. */
static bool stdio_wait(struct serial_end *end, const struct serial_wait *wait)
{
    enum serial_ready ready = serial_wait_for(wait, 0);
    if (ready == SERIAL_READY_INPUT)
        return true;
    console_port_flush(&end->port);
    if (ready == SERIAL_READY_WAKE)
        return false;
    /* On a terminal read() waits, not poll(): only read() stops a process in the background. The next kick ends it. */
    return end->terminal->is_terminal || serial_wait_for(wait, -1) == SERIAL_READY_INPUT;
}

static int stdio_read(void *ctx, const int *wake_fds, unsigned wake_count)
{
    struct serial_end *end = ctx;
    unsigned char byte;
    if (end->terminal == NULL || end->input_ended)
        return MH_SERIAL_INPUT_ENDED;
    const struct serial_wait wait = {end->terminal->fd, wake_fds, wake_count};
    terminal_prepare(end->terminal);
    if (!stdio_wait(end, &wait))
        return MH_SERIAL_INTERRUPTED;
    int result = serial_read_byte(&wait, &byte);
    if (result >= 0 && terminal_is_end(end->terminal, byte))
        result = MH_SERIAL_INPUT_ENDED;
    end->input_ended = result == MH_SERIAL_INPUT_ENDED;
    return result;
}

static int stdio_write(void *ctx, const uint8_t *bytes, size_t length)
{
    struct serial_end *end = ctx;
    return console_port_write(&end->port, bytes, length);
}

static int fd_write(void *ctx, const uint8_t *bytes, size_t length)
{
    struct serial_end *end = ctx;
    return output_write(end->fd, bytes, length, end->ending);
}

static int pty_read(void *ctx, const int *wake_fds, unsigned wake_count)
{
    struct serial_end *end = ctx;
    const struct serial_wait wait = {end->fd, wake_fds, wake_count};
    unsigned char byte;
    return serial_wait_for(&wait, -1) == SERIAL_READY_INPUT ? serial_read_byte(&wait, &byte) : MH_SERIAL_INTERRUPTED;
}

char *serial_end_path(const char *pattern, size_t number)
{
    char *path = NULL;
    size_t size = 0;
    FILE *text = open_memstream(&path, &size);
    if (text == NULL)
        return NULL;
    for (const char *c = pattern; *c != '\0'; c++) {
        if (c[0] == '%' && c[1] == 'n') {
            fprintf(text, "%zu", number);
            c++;
        } else
            fputc(*c, text);
    }
    return text_stream_close(text, &path) ? path : NULL;
}

static enum mh_status serial_end_open_file(struct serial_end *end, const char *pattern, size_t number,
                                           struct mh_error *err)
{
    char *path = serial_end_path(pattern, number);
    if (path == NULL)
        return mh_fail(err, MH_ERR_HOST, "--serial file:%s: not enough memory for its path", pattern);
    const char *why = NULL;
    enum mh_status status = MH_OK;
    end->fd = output_open(path, &why);
    if (end->fd < 0)
        status = mh_fail(err, MH_ERR_IO, "--serial file:%s: cannot open it: %s", path, why);
    free(path);
    return status;
}

/* Bytes pass through unchanged, whichever program opens the other side. */
static int pty_make_raw(int fd)
{
    struct termios mode;
    if (tcgetattr(fd, &mode) != 0)
        return -1;
    cfmakeraw(&mode);
    return tcsetattr(fd, TCSANOW, &mode);
}

static enum mh_status serial_end_open_pty(struct serial_end *end, struct mh_error *err)
{
    end->fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (end->fd < 0 || grantpt(end->fd) != 0 || unlockpt(end->fd) != 0 ||
        ptsname_r(end->fd, end->pty_path, sizeof end->pty_path) != 0)
        return mh_fail(err, MH_ERR_HOST, "--serial pty: cannot create a pseudo-terminal: %s", strerror(errno));
    end->peer_fd = open(end->pty_path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    /* at first the group tty may write to it, and so may everybody through write(1) */
    if (end->peer_fd < 0 || fchmod(end->peer_fd, 0600) != 0 || pty_make_raw(end->peer_fd) != 0)
        return mh_fail(err, MH_ERR_HOST, "--serial pty: cannot use %s: %s", end->pty_path, strerror(errno));
    return MH_OK;
}

enum mh_status serial_end_open(struct serial_end *end, const struct options *options, size_t number,
                               struct console *console, const char *label, struct terminal *terminal,
                               struct mh_error *err)
{
    *end = (struct serial_end){.kind = options->serial, .ending = console->ending, .fd = -1, .peer_fd = -1};
    switch (options->serial) {
    case SERIAL_STDIO:
        console_port_init(&end->port, console, label, (unsigned)number);
        end->terminal = number == options->console && terminal->fd >= 0 ? terminal : NULL;
        return MH_OK;
    case SERIAL_FILE:
        return serial_end_open_file(end, options->serial_path, number, err);
    case SERIAL_PTY:
        return serial_end_open_pty(end, err);
    case SERIAL_NULL:
        return MH_OK;
    }
    return MH_OK;
}

struct mh_serial_end serial_end_for_vm(struct serial_end *end)
{
    switch (end->kind) {
    case SERIAL_STDIO:
        return (struct mh_serial_end){.ctx = end, .write = stdio_write, .read = stdio_read};
    case SERIAL_FILE:
        return (struct mh_serial_end){.ctx = end, .write = fd_write};
    case SERIAL_PTY:
        return (struct mh_serial_end){.ctx = end, .write = fd_write, .read = pty_read};
    case SERIAL_NULL:
        break;
    }
    return (struct mh_serial_end){.ctx = end};
}

#define PTY_POLL_MS 5
#define PTY_PATIENCE_MS 1000

/* How many bytes have not been read at the other side. poll() first flushes those still on their way in the kernel. */
static int pty_count_unread(const struct serial_end *end)
{
    struct pollfd peer = {.fd = end->peer_fd, .events = POLLIN};
    int unread = 0;
    poll(&peer, 1, 0);
    return ioctl(end->peer_fd, FIONREAD, &unread) == 0 ? unread : 0;
}

/* Closing a pseudo-terminal discards what has not been read yet: wait as long as a reader keeps reading. */
static void pty_wait_until_read(const struct serial_end *end)
{
    int before = -1, waited = 0, unread;
    while (waited < PTY_PATIENCE_MS && (unread = pty_count_unread(end)) > 0) {
        waited = unread == before ? waited + PTY_POLL_MS : 0;
        before = unread;
        poll(NULL, 0, PTY_POLL_MS);
    }
}

int serial_end_finish(struct serial_end *end)
{
    if (end->kind == SERIAL_STDIO)
        return console_port_flush(&end->port);
    if (end->kind == SERIAL_PTY)
        pty_wait_until_read(end);
    return 0;
}

void serial_end_close(struct serial_end *end)
{
    if (end->kind == SERIAL_STDIO)
        console_port_destroy(&end->port);
    if (end->fd >= 0)
        close(end->fd);
    if (end->peer_fd >= 0)
        close(end->peer_fd);
}
