#include "console/serial_ends.h"

#include "console/output.h"
#include "console/text_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Wait until `fd` has input, or its end. False when a signal came. */
static bool wait_for_input(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    sigdelset(&mask, MH_INPUT_SIGNAL);
    return ppoll(&poll_fd, 1, NULL, &mask) > 0;
}

/* One byte from `fd`: no more is taken than the guest asks for, the rest stays for whoever reads next. */
static int read_byte(int fd, unsigned char *byte)
{
    ssize_t got = read(fd, byte, 1);
    if (got < 0 && errno == EAGAIN) { /* somebody made it non-blocking, or took the byte */
        wait_for_input(fd);
        return MH_SERIAL_INTERRUPTED;
    }
    if (got < 0 && errno == EINTR)
        return MH_SERIAL_INTERRUPTED;
    if (got < 0 && errno == EIO) /* a terminal that is gone */
        return MH_SERIAL_INPUT_ENDED;
    return got < 0 ? -errno : got == 0 ? MH_SERIAL_INPUT_ENDED : *byte;
}

static bool has_input(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    return poll(&poll_fd, 1, 0) != 0;
}

static int stdio_read(void *ctx)
{
    struct serial_end *end = ctx;
    unsigned char byte;
    if (end->terminal == NULL || end->input_ended)
        return MH_SERIAL_INPUT_ENDED;
    terminal_prepare(end->terminal);
    if (!has_input(end->terminal->fd)) {
        console_port_flush(&end->port);
        /* of a terminal read() does the waiting: in the background it has to stop us, and only it does that */
        if (!end->terminal->is_terminal && !wait_for_input(end->terminal->fd))
            return MH_SERIAL_INTERRUPTED;
    }
    int result = read_byte(end->terminal->fd, &byte);
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

static int pty_read(void *ctx)
{
    struct serial_end *end = ctx;
    unsigned char byte;
    return wait_for_input(end->fd) ? read_byte(end->fd, &byte) : MH_SERIAL_INTERRUPTED;
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

static enum mh_status open_file(struct serial_end *end, const char *pattern, size_t number, struct mh_error *err)
{
    char *path = serial_end_path(pattern, number);
    if (path == NULL)
        return mh_fail(err, MH_ERR_HOST, "--serial file:%s: no memory for its path", pattern);
    const char *why = NULL;
    enum mh_status status = MH_OK;
    end->fd = output_open(path, &why);
    if (end->fd < 0)
        status = mh_fail(err, MH_ERR_IO, "--serial file:%s: cannot open it: %s", path, why);
    free(path);
    return status;
}

/* Bytes pass through unchanged, whatever program is at the other side. */
static int make_raw(int fd)
{
    struct termios mode;
    if (tcgetattr(fd, &mode) != 0)
        return -1;
    cfmakeraw(&mode);
    return tcsetattr(fd, TCSANOW, &mode);
}

static enum mh_status open_pty(struct serial_end *end, struct mh_error *err)
{
    end->fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (end->fd < 0 || grantpt(end->fd) != 0 || unlockpt(end->fd) != 0 ||
        ptsname_r(end->fd, end->pty_path, sizeof end->pty_path) != 0)
        return mh_fail(err, MH_ERR_HOST, "--serial pty: no pseudo-terminal to be had: %s", strerror(errno));
    end->peer_fd = open(end->pty_path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    /* as made, the group tty may write to it, and so may everybody by way of write(1) */
    if (end->peer_fd < 0 || fchmod(end->peer_fd, 0600) != 0 || make_raw(end->peer_fd) != 0)
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
        return open_file(end, options->serial_path, number, err);
    case SERIAL_PTY:
        return open_pty(end, err);
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

/* How many bytes the reader has not taken yet. poll() first: it brings in those on their way through the kernel. */
static int count_unread(const struct serial_end *end)
{
    struct pollfd peer = {.fd = end->peer_fd, .events = POLLIN};
    int unread = 0;
    poll(&peer, 1, 0);
    return ioctl(end->peer_fd, FIONREAD, &unread) == 0 ? unread : 0;
}

/* Closing a pseudo-terminal throws away what its reader has not taken yet: give a reader that keeps reading the time.
 */
static void wait_until_read(const struct serial_end *end)
{
    int before = -1, waited = 0, unread;
    while (waited < PTY_PATIENCE_MS && (unread = count_unread(end)) > 0) {
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
        wait_until_read(end);
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
