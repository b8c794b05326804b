#include "anywhere_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

/* --- the start file --- */

/* The next string, and *at behind it. */
static char *next_string(char **at, const char *end)
{
    char *string = *at;
    if (string >= end)
        inside_fail("the start file is cut off", 0);
    *at += strlen(string) + 1;
    return string;
}

static unsigned next_number(char **at, const char *end, int base)
{
    return (unsigned)strtoul(next_string(at, end), NULL, base);
}

static char **next_list(char **at, const char *end)
{
    unsigned count = next_number(at, end, 10);
    char **list = calloc((size_t)count + 1, sizeof *list);
    if (list == NULL)
        inside_fail("no memory for the arguments", 0);
    for (unsigned i = 0; i < count; i++)
        list[i] = next_string(at, end);
    return list;
}

void inside_read_start(char *text, size_t size, struct start *start)
{
    const char *end = text + size;
    start->umask = next_number(&text, end, 8);
    snprintf(start->ends, sizeof start->ends, "%s", next_string(&text, end));
    start->end_key = (uint8_t)next_number(&text, end, 10);
    start->listener_count = next_number(&text, end, 10);
    if (start->listener_count > START_LISTENERS_MAX)
        inside_fail("the start file has too many listeners", 0);
    start->directory = next_string(&text, end);
    start->program = next_string(&text, end);
    start->arguments = next_list(&text, end);
    start->environment = next_list(&text, end);
}

/* --- terminals and pipes --- */

/* The same descriptor, out of the way of those the program is to have. */
static int move_above(int fd)
{
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, INSIDE_CHANNEL_FD + 1);
    if (moved < 0)
        inside_fail("no descriptors", errno);
    close(fd);
    return moved;
}

/*
 * A terminal that changes no byte in either direction: the real one, at the other side of the channel, has done or
 * will do all of that. EXTPROC says so for input, whatever settings the program asks for. In packet mode the master
 * side hears of these.
 */
static int open_terminal(const struct start *start, int *program_fd)
{
    char name[32];
    struct termios mode;
    const int on = 1;
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || unlockpt(master) != 0 || ptsname_r(master, name, sizeof name) != 0)
        inside_fail("no terminal", errno);
    *program_fd = move_above(open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
    if (tcgetattr(master, &mode) != 0)
        inside_fail("cannot open its terminal", errno);
    mode.c_oflag &= ~(tcflag_t)OPOST;
    mode.c_lflag |= EXTPROC;
    mode.c_cc[VEOF] = start->end_key;
    if (tcsetattr(master, TCSANOW, &mode) != 0)
        inside_fail("cannot set its terminal", errno);
    if (ioctl(master, TIOCPKT, &on) != 0)
        inside_fail("cannot watch its terminal", errno);
    return master;
}

static void open_pipe(int *read_end, int *write_end)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        inside_fail("no pipe", errno);
    *read_end = move_above(ends[0]);
    *write_end = move_above(ends[1]);
}

static void open_input(struct inside *inside)
{
    int write_fd = -1;
    int *program_fd = &inside->program_fds[STDIN_FILENO];
    if (inside->start.ends[STDIN_FILENO] == START_TERMINAL) {
        inside->terminal = open_terminal(&inside->start, program_fd);
        write_fd = fcntl(inside->terminal, F_DUPFD_CLOEXEC, 0);
    } else {
        open_pipe(program_fd, &write_fd);
        inside->input_pipe = *program_fd; /* stays open here: it tells how much was not read */
    }
    relay_open(inside->relay, STDIN_FILENO, -1, write_fd);
    if (inside->terminal >= 0)
        inside->relay->streams[STDIN_FILENO].end_byte = inside->start.end_key;
}

static void open_output(struct inside *inside, int fd)
{
    int read_fd;
    if (inside->start.ends[fd] == START_TERMINAL) {
        const int off = 0;
        read_fd = open_terminal(&inside->start, &inside->program_fds[fd]);
        ioctl(read_fd, TIOCPKT, &off);
    } else
        open_pipe(&read_fd, &inside->program_fds[fd]);
    relay_open(inside->relay, (unsigned)fd, read_fd, -1);
}

void inside_open_ends(struct inside *inside)
{
    const char *ends = inside->start.ends;
    inside->terminal = inside->input_pipe = -1;
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        inside->program_fds[fd] = -1;
    if (ends[STDIN_FILENO] != START_CLOSED)
        open_input(inside);
    if (ends[STDOUT_FILENO] != START_CLOSED)
        open_output(inside, STDOUT_FILENO);
    if (ends[STDERR_FILENO] == START_SAME)
        inside->program_fds[STDERR_FILENO] = inside->program_fds[STDOUT_FILENO];
    else if (ends[STDERR_FILENO] != START_CLOSED)
        open_output(inside, STDERR_FILENO);
}

void inside_look_at_terminal(struct inside *inside)
{
    char ignored[256]; /* an echo of keys, and what kind of news it is */
    struct termios mode;
    if (read(inside->terminal, ignored, sizeof ignored) < 0 || tcgetattr(inside->terminal, &mode) != 0)
        return;
    bool is_taken = (mode.c_lflag & ICANON) == 0;
    if (is_taken != inside->is_taken)
        relay_send_number(inside->relay, WIRE_TERMINAL, 0, is_taken);
    inside->is_taken = is_taken;
}

uint64_t inside_input_read(const struct inside *inside)
{
    const struct relay_stream *stream = &inside->relay->streams[STDIN_FILENO];
    int unread = 0;
    if (inside->input_pipe < 0 || ioctl(inside->input_pipe, FIONREAD, &unread) != 0)
        return 0;
    return stream->received - stream->held - (uint64_t)unread;
}

/* --- debuggers --- */

void inside_open_listeners(struct inside *inside)
{
    const struct sockaddr any_name = {.sa_family = AF_UNIX};
    for (unsigned i = 0; i < inside->start.listener_count; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || bind(fd, &any_name, sizeof any_name.sa_family) != 0 || listen(fd, SOMAXCONN) != 0)
            inside_fail("no socket for debuggers", errno);
        inside->listeners[i] = move_above(fd);
    }
}

bool inside_connect(struct inside *inside, unsigned stream, uint64_t listener)
{
    struct sockaddr_un address;
    socklen_t length = sizeof address;
    if (listener >= inside->start.listener_count || !relay_may_open(inside->relay, stream))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || getsockname(inside->listeners[listener], (struct sockaddr *)&address, &length) != 0)
        inside_fail("no socket for a debugger", errno);
    /* refused when the machine has ended meanwhile: then the first read finds the stream's end */
    if (connect(fd, (const struct sockaddr *)&address, length) != 0)
        shutdown(fd, SHUT_RDWR);
    relay_open(inside->relay, stream, fd, fcntl(fd, F_DUPFD_CLOEXEC, 0));
    return true;
}
