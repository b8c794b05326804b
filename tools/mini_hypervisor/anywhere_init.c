/*
 * /init of the tiny machine that --anywhere starts: loads KVM, mounts the host's files, starts the program among them
 * as the launcher was started, and carries bytes between it and the launcher. The machine is over when this ends.
 */
#include "anywhere_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Where the host's files are mounted, until that becomes /. */
#define ROOT "/root"

_Noreturn void inside_fail(const char *what, int error)
{
    char text[256];
    uint8_t bytes[WIRE_HEADER + sizeof text];
    snprintf(text, sizeof text, error != 0 ? "%s: %s" : "%s", what, strerror(error));
    const struct wire_frame frame = {.type = WIRE_FAILED, .payload = (const uint8_t *)text, .length = strlen(text)};
    size_t size = wire_encode(bytes, sizeof bytes, &frame);
    if (write(INSIDE_CHANNEL_FD, bytes, size) < 0) {
        int console = open("/dev/console", O_WRONLY | O_CLOEXEC); /* the launcher shows its last line */
        dprintf(console, "%s\n", text);
    }
    reboot(RB_AUTOBOOT);
    _exit(1);
}

/* --- the machine --- */

static void load_modules(void)
{
    for (unsigned i = 0;; i++) {
        char path[32];
        snprintf(path, sizeof path, "/" START_MODULES "/%u", i);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return;
        if (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST)
            inside_fail(path, errno);
        close(fd);
    }
}

static void mount_at(const char *what, const char *where, const char *type, unsigned long flags, const char *options)
{
    if (mount(what, where, type, flags, options) != 0)
        inside_fail(where, errno);
}

static void mount_devices(void)
{
    mkdir("/dev", 0755);
    mount_at("dev", "/dev", "devtmpfs", MS_NOSUID, NULL);
    mkdir("/dev/pts", 0755);
    mkdir("/dev/shm", 0755);
    mount_at("pts", "/dev/pts", "devpts", 0, "ptmxmode=0666");
}

/* The host's files at their places; but devices and processes are this machine's. */
static void mount_files(void)
{
    mkdir(ROOT, 0755);
    mount_at(START_ROOT_TAG, ROOT, "9p", 0, "trans=virtio,version=9p2000.L,cache=none,access=any,msize=512000");
    if (mount(ROOT "/dev/shm", "/dev/shm", NULL, MS_BIND, NULL) != 0 && errno != ENOENT)
        inside_fail("/dev/shm", errno);
    mount_at("/dev", ROOT "/dev", NULL, MS_MOVE, NULL);
    mount_at("proc", ROOT "/proc", "proc", 0, NULL);
    if (chdir(ROOT) != 0 || chroot(".") != 0)
        inside_fail("cannot enter the host's files", errno);
}

/* The channel's device appears a moment after its driver is loaded, and its other side a moment later. */
static void open_channel(void)
{
    struct pollfd channel = {.events = POLLOUT, .revents = POLLHUP};
    char events[512];
    int fd, watch = inotify_init1(IN_CLOEXEC);
    if (watch < 0 || inotify_add_watch(watch, "/dev", IN_CREATE) < 0)
        inside_fail("cannot watch /dev", errno);
    while ((fd = open(START_CHANNEL, O_RDWR | O_CLOEXEC | O_NONBLOCK)) < 0) {
        if (errno != ENOENT || read(watch, events, sizeof events) < 0)
            inside_fail(START_CHANNEL, errno);
    }
    close(watch);
    channel.fd = dup3(fd, INSIDE_CHANNEL_FD, O_CLOEXEC);
    close(fd);
    while ((channel.revents & POLLHUP) != 0) {
        poll(NULL, 0, 1);
        poll(&channel, 1, 0);
    }
}

static void read_start(struct start *start)
{
    struct stat info;
    int fd = open("/" START_FILE, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) != 0)
        inside_fail("/" START_FILE, errno);
    char *text = calloc(1, (size_t)info.st_size + 1);
    if (text == NULL || read(fd, text, (size_t)info.st_size) != info.st_size)
        inside_fail("/" START_FILE, errno);
    close(fd);
    inside_read_start(text, (size_t)info.st_size, start);
}

/* --- the program --- */

/* In the child: what a shell would have done, and the program. */
static _Noreturn void become_program(struct inside *inside)
{
    const struct start *start = &inside->start;
    setsid();
    if (inside->terminal >= 0 && ioctl(inside->program_fds[STDIN_FILENO], TIOCSCTTY, 0) != 0)
        inside_fail("cannot hand over its terminal", errno);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (inside->program_fds[fd] >= 0)
            dup2(inside->program_fds[fd], fd);
        else
            close(fd);
    }
    for (unsigned i = 0; i < start->listener_count; i++)
        dup2(inside->listeners[i], START_GDB_FD + (int)i);
    umask(start->umask);
    signal(SIGPIPE, SIG_DFL);
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGCHLD);
    sigprocmask(SIG_UNBLOCK, &ours, NULL);
    execve(start->program, start->arguments, start->environment);
    inside_fail(start->program, errno);
}

static void start_program(struct inside *inside)
{
    inside->pid = fork();
    if (inside->pid < 0)
        inside_fail("cannot start the program", errno);
    if (inside->pid == 0)
        become_program(inside);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) /* so that its end is the end of what it prints */
        close(fd == STDIN_FILENO && inside->input_pipe >= 0 ? -1 : inside->program_fds[fd]);
    relay_send(inside->relay, WIRE_STARTED, 0, NULL, 0);
}

static bool take_frame(void *ctx, const struct wire_frame *frame)
{
    struct inside *inside = ctx;
    switch (frame->type) {
    case WIRE_SIGNAL:
        return inside->has_ended || kill(inside->pid, (int)wire_get_number(frame->payload, frame->length)) == 0;
    case WIRE_OPEN:
        return inside_connect(inside, frame->stream, wire_get_number(frame->payload, frame->length));
    default:
        return false;
    }
}

static void wait_for_program(struct inside *inside, int signal_fd)
{
    struct signalfd_siginfo info;
    int status;
    pid_t pid;
    if (read(signal_fd, &info, sizeof info) < 0)
        return;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid != inside->pid)
            continue;
        inside->has_ended = true;
        inside->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
}

/* It has ended, and all that it printed is on its way. */
static bool is_over(const struct inside *inside)
{
    const struct relay_stream *streams = inside->relay->streams;
    return inside->has_ended && !streams[STDOUT_FILENO].is_open && !streams[STDERR_FILENO].is_open;
}

/* One turn of waiting and doing. */
static void take_turn(struct inside *inside, int signal_fd)
{
    struct pollfd fds[RELAY_POLL_FDS + 2];
    relay_prepare_poll(inside->relay, fds);
    fds[RELAY_POLL_FDS] = (struct pollfd){.fd = signal_fd, .events = POLLIN};
    fds[RELAY_POLL_FDS + 1] =
        (struct pollfd){.fd = inside->has_ended ? -1 : inside->terminal, .events = POLLIN | POLLPRI};
    if (poll(fds, RELAY_POLL_FDS + 2, -1) < 0)
        return;
    if (fds[RELAY_POLL_FDS + 1].revents & (POLLIN | POLLPRI))
        inside_look_at_terminal(inside);
    if (fds[RELAY_POLL_FDS].revents != 0)
        wait_for_program(inside, signal_fd);
    if (relay_serve(inside->relay, fds) != RELAY_GOES_ON)
        inside_fail("the launcher makes no sense", 0);
}

static void say_end(struct inside *inside)
{
    uint8_t payload[12];
    wire_put_number(payload, 4, (uint64_t)inside->status);
    wire_put_number(payload + 4, 8, inside_input_read(inside));
    relay_send(inside->relay, WIRE_EXIT, 0, payload, sizeof payload);
}

/*
 * The signals a person sends are blocked too: the program starts like this, and none is lost until it has made up its
 * mind about them.
 */
static int open_signals(void)
{
    static const int numbers[] = {SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        sigaddset(&set, numbers[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int main(void)
{
    struct inside inside = {0};
    inside.relay = calloc(1, sizeof *inside.relay);
    mount_devices();
    load_modules();
    open_channel();
    if (inside.relay == NULL)
        inside_fail("no memory", 0);
    relay_init(inside.relay, INSIDE_CHANNEL_FD, take_frame, &inside);
    read_start(&inside.start);
    mount_files();
    if (chdir(inside.start.directory) != 0)
        inside_fail(inside.start.directory, errno);
    signal(SIGPIPE, SIG_IGN);
    int signal_fd = open_signals();
    inside_open_ends(&inside);
    inside_open_listeners(&inside);
    start_program(&inside);
    while (!is_over(&inside))
        take_turn(&inside, signal_fd);
    say_end(&inside);
    for (;;) /* the launcher ends the machine */
        take_turn(&inside, signal_fd);
}
