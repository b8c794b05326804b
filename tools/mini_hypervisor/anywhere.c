#include "anywhere.h"

#include "anywhere_emulator.h"
#include "anywhere_gdb.h"
#include "anywhere_start.h"
#include "files_dir.h"
#include "message.h"
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define EXIT_SIGNAL 128 /* plus its number */

/* How long it may take until the program has started in the machine, and until it has ended after a signal. Both are
 * many times what a busy computer needs. */
#define START_MS 60000
#define ENDING_MS 10000
#define FOR_EVER INT64_MAX

/* A run: the machine, and what leads there. */
struct launcher {
    const struct options *options;
    struct emulator emulator;
    struct relay *relay;
    struct anywhere_gdb gdb;
    struct terminal terminal;
    struct files_dir files_dir;
    int64_t deadline;  /* the machine has to do something until then; in ms, as now_ms() tells it */
    char ends[4];      /* enum start_end of each standard descriptor */
    off_t input_start; /* where a file on stdin was; -1: it cannot be put back there */
    int signal_fd;
    bool has_started, has_ended;
    int signalled; /* the signal that was sent on; 0: none */
    int code;      /* the exit status, once it has ended */
    bool failed;
    char failure[513]; /* what the machine said then */
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- what the machine is told --- */

static bool is_same_file(int a, int b)
{
    struct stat one, other;
    return fstat(a, &one) == 0 && fstat(b, &other) == 0 && one.st_dev == other.st_dev && one.st_ino == other.st_ino &&
           one.st_rdev == other.st_rdev;
}

static enum start_end kind_of(int fd)
{
    int mode = fcntl(fd, F_GETFL);
    int useless = fd == STDIN_FILENO ? O_WRONLY : O_RDONLY;
    if (mode < 0 || (mode & O_ACCMODE) == useless)
        return START_CLOSED;
    return isatty(fd) == 1 ? START_TERMINAL : START_PIPE;
}

static void look_at_ends(struct launcher *launcher)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        launcher->ends[fd] = (char)kind_of(fd);
    if (launcher->ends[STDERR_FILENO] != START_CLOSED && launcher->ends[STDOUT_FILENO] != START_CLOSED &&
        is_same_file(STDOUT_FILENO, STDERR_FILENO)) /* so that both come in the order they were printed */
        launcher->ends[STDERR_FILENO] = START_SAME;
    launcher->input_start = lseek(STDIN_FILENO, 0, SEEK_CUR);
    terminal_init(&launcher->terminal, STDIN_FILENO);
}

static unsigned end_key(void)
{
    struct termios mode;
    return tcgetattr(STDIN_FILENO, &mode) == 0 ? mode.c_cc[VEOF] : 4;
}

static void put_string(FILE *to, const char *string)
{
    fwrite(string, 1, strlen(string) + 1, to);
}

static bool is_for_us(const char *word)
{
    return strcmp(word, "--anywhere") == 0;
}

static void put_arguments(FILE *to, char *const *argv)
{
    size_t count = 0;
    for (char *const *word = argv; *word != NULL; word++)
        count += !is_for_us(*word);
    fprintf(to, "%zu%c", count, '\0');
    for (char *const *word = argv; *word != NULL; word++) {
        if (!is_for_us(*word))
            put_string(to, *word);
    }
}

static void put_environment(FILE *to, const struct anywhere_gdb *gdb)
{
    size_t count = 0;
    while (environ[count] != NULL)
        count++;
    fprintf(to, "%zu%c", count + gdb->count, '\0');
    for (size_t i = 0; i < count; i++)
        put_string(to, environ[i]);
    anywhere_gdb_tell(gdb, to);
}

static enum mh_status put_paths(FILE *to, struct mh_error *err)
{
    char directory[PATH_MAX], program[PATH_MAX] = "";
    if (getcwd(directory, sizeof directory) == NULL || readlink("/proc/self/exe", program, sizeof program - 1) < 0)
        return mh_fail(err, MH_ERR_HOST, "--anywhere: no path leads to the current directory, or to this program: %s",
                       strerror(errno));
    put_string(to, directory);
    put_string(to, program);
    return MH_OK;
}

/* Write the start file. *text is to be freed, in any case. */
static enum mh_status write_start(const struct launcher *launcher, char *const *argv, char **text, size_t *length,
                                  struct mh_error *err)
{
    FILE *to = open_memstream(text, length);
    if (to == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory");
    mode_t mask = umask(0);
    umask(mask);
    fprintf(to, "%o%c%s%c%u%c%zu%c", mask, '\0', launcher->ends, '\0', end_key(), '\0', launcher->gdb.count, '\0');
    enum mh_status status = put_paths(to, err);
    put_arguments(to, argv);
    put_environment(to, &launcher->gdb);
    if (fclose(to) != 0 && status == MH_OK)
        status = mh_fail(err, MH_ERR_HOST, "no memory");
    return status;
}

/* --- while it runs --- */

static void take_terminal(struct launcher *launcher, bool takes)
{
    if (takes)
        terminal_prepare(&launcher->terminal);
    else
        terminal_restore(&launcher->terminal);
    launcher->relay->streams[STDIN_FILENO].pauses = !takes;
}

/* The program is over: what it has not read of a file on stdin is for who reads it next. */
static void take_exit(struct launcher *launcher, const struct wire_frame *frame)
{
    launcher->has_ended = true;
    launcher->code = (int)wire_get_number(frame->payload, 4) & 0xff;
    uint64_t taken = wire_get_number(frame->payload + 4, 8);
    off_t here = lseek(STDIN_FILENO, 0, SEEK_CUR);
    if (launcher->input_start >= 0 && here > launcher->input_start && taken < (uint64_t)(here - launcher->input_start))
        lseek(STDIN_FILENO, launcher->input_start + (off_t)taken, SEEK_SET);
}

static bool take_frame(void *ctx, const struct wire_frame *frame)
{
    struct launcher *launcher = ctx;
    switch (frame->type) {
    case WIRE_STARTED:
        if (launcher->has_started)
            return false;
        launcher->has_started = true;
        launcher->deadline = FOR_EVER;
        return true;
    case WIRE_TERMINAL:
        take_terminal(launcher, wire_get_number(frame->payload, frame->length) != 0);
        return true;
    case WIRE_EXIT:
        take_exit(launcher, frame);
        return true;
    case WIRE_FAILED:
        launcher->failed = true;
        snprintf(launcher->failure, sizeof launcher->failure, "%.*s", (int)frame->length, (const char *)frame->payload);
        return true;
    default:
        return false;
    }
}

/* Ctrl-Z stops the machine too, and the time it has. */
static void be_stopped(struct launcher *launcher)
{
    int64_t stopped = now_ms();
    terminal_restore(&launcher->terminal);
    kill(launcher->emulator.pid, SIGSTOP);
    raise(SIGSTOP);
    kill(launcher->emulator.pid, SIGCONT);
    terminal_resume(&launcher->terminal);
    if (launcher->deadline != FOR_EVER)
        launcher->deadline += now_ms() - stopped;
}

static void end_at_once(struct launcher *launcher, int number)
{
    terminal_restore(&launcher->terminal);
    emulator_end(&launcher->emulator);
    launcher->has_ended = true;
    launcher->code = EXIT_SIGNAL + number;
}

/* What ends the program is sent on, and it has some time then. When it is not there yet, or any more, or is told twice,
 * nothing is waited for. */
static void be_signalled(struct launcher *launcher, int number)
{
    if (launcher->has_started && !launcher->has_ended && launcher->signalled == 0) {
        launcher->signalled = number;
        launcher->deadline = now_ms() + ENDING_MS;
        relay_send_number(launcher->relay, WIRE_SIGNAL, 0, (uint32_t)number);
        return;
    }
    if (launcher->signalled == 0)
        message("ended by %s", strsignal(number));
    end_at_once(launcher, number);
}

static void answer_signals(struct launcher *launcher)
{
    struct signalfd_siginfo info;
    while (read(launcher->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGTSTP)
            be_stopped(launcher);
        else if (info.ssi_signo == SIGCONT)
            terminal_resume(&launcher->terminal);
        else
            be_signalled(launcher, (int)info.ssi_signo);
    }
}

/* Nothing is left to be done for it; when a signal ended all at once there is no machine any more. */
static bool is_over(const struct launcher *launcher)
{
    bool is_written =
        relay_has_written(launcher->relay, STDOUT_FILENO) && relay_has_written(launcher->relay, STDERR_FILENO);
    return launcher->failed || (launcher->has_ended && (is_written || launcher->emulator.pid == 0));
}

/* How long to wait in poll() at most. */
static int time_left(const struct launcher *launcher)
{
    int64_t left = launcher->deadline - now_ms();
    return launcher->deadline == FOR_EVER ? -1 : left > 0 ? (int)left : 0;
}

/* The machine does not do what it has to. */
static enum mh_status be_late(struct launcher *launcher, struct mh_error *err)
{
    if (launcher->signalled == 0)
        return emulator_explain(&launcher->emulator, "does not start", err);
    end_at_once(launcher, launcher->signalled);
    return MH_OK;
}

static enum mh_status take_turn(struct launcher *launcher, struct pollfd *fds, struct mh_error *err)
{
    struct pollfd *signals = &fds[RELAY_POLL_FDS], *listeners = &fds[RELAY_POLL_FDS + 1];
    relay_prepare_poll(launcher->relay, fds);
    *signals = (struct pollfd){.fd = launcher->signal_fd, .events = POLLIN};
    for (size_t i = 0; i < launcher->gdb.count; i++)
        listeners[i] = (struct pollfd){.fd = anywhere_gdb_fd(&launcher->gdb, i), .events = POLLIN};
    if (poll(fds, RELAY_POLL_FDS + 1 + launcher->gdb.count, time_left(launcher)) < 0)
        return MH_OK;
    for (size_t i = 0; i < launcher->gdb.count; i++) {
        if (listeners[i].revents != 0)
            anywhere_gdb_accept(&launcher->gdb, i, launcher->relay);
    }
    enum relay_state state = relay_serve(launcher->relay, fds);
    if (state != RELAY_GOES_ON && !launcher->has_ended && !launcher->failed)
        return emulator_explain(&launcher->emulator, state == RELAY_ENDED ? "ended before its time" : "makes no sense",
                                err);
    if (signals->revents != 0)
        answer_signals(launcher);
    return time_left(launcher) == 0 ? be_late(launcher, err) : MH_OK;
}

static enum mh_status carry(struct launcher *launcher, struct mh_error *err)
{
    enum mh_status status = MH_OK;
    struct pollfd *fds = calloc(RELAY_POLL_FDS + 1 + launcher->gdb.count, sizeof *fds);
    if (fds == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory");
    while (status == MH_OK && !is_over(launcher))
        status = take_turn(launcher, fds, err);
    free(fds);
    if (launcher->failed)
        return mh_fail(err, MH_ERR_HOST, "--anywhere: in the emulated machine: %s", launcher->failure);
    return status;
}

/* The program ended well, but what it printed did not arrive: it would have said so itself, had it known. */
static enum mh_status check_output(const struct launcher *launcher, struct mh_error *err)
{
    int error = launcher->relay->streams[STDOUT_FILENO].write_error;
    if (error == 0 || launcher->code >= 6)
        return MH_OK;
    return mh_fail(err, MH_ERR_IO, "cannot write what the guests print: %s", strerror(error));
}

static void open_streams(struct launcher *launcher)
{
    relay_init(launcher->relay, launcher->emulator.channel, take_frame, launcher);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        bool is_input = fd == STDIN_FILENO;
        if (launcher->ends[fd] == START_CLOSED || launcher->ends[fd] == START_SAME)
            continue;
        int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        relay_open(launcher->relay, (unsigned)fd, is_input ? copy : -1, is_input ? -1 : copy);
    }
    /* keys are the shell's until a guest reads */
    launcher->relay->streams[STDIN_FILENO].pauses = launcher->terminal.is_terminal;
}

static enum mh_status begin(struct launcher *launcher, char *const *argv, struct mh_error *err)
{
    char *text = NULL;
    size_t length = 0;
    look_at_ends(launcher);
    files_dir_hold(&launcher->files_dir, launcher->options->files_dir); /* the machine may make nothing beside */
    launcher->deadline = now_ms() + START_MS;
    enum mh_status status = anywhere_gdb_open(&launcher->gdb, launcher->options, err);
    if (status == MH_OK)
        status = write_start(launcher, argv, &text, &length, err);
    if (status == MH_OK)
        status = emulator_begin(&launcher->emulator, launcher->options, text, length, err);
    free(text);
    return status;
}

enum mh_status anywhere_run(char *const *argv, const struct options *options, int signal_fd, int *code,
                            struct mh_error *err)
{
    struct launcher launcher = {
        .options = options, .signal_fd = signal_fd, .emulator = {.channel = -1, .log_fd = -1}, .files_dir = {.fd = -1}};
    launcher.relay = calloc(1, sizeof *launcher.relay);
    if (launcher.relay == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory");
    enum mh_status status = begin(&launcher, argv, err);
    if (status == MH_OK) {
        message("runs in an emulated machine, many times slower than with KVM");
        open_streams(&launcher);
        status = carry(&launcher, err);
    }
    if (status == MH_OK)
        status = check_output(&launcher, err);
    terminal_restore(&launcher.terminal);
    emulator_end(&launcher.emulator);
    files_dir_release(&launcher.files_dir);
    anywhere_gdb_close(&launcher.gdb);
    relay_close(launcher.relay);
    *code = launcher.code;
    free(launcher.relay);
    return status;
}
