/* mini_hypervisor: puts the command line, the machines and the terminal together. */
#include "console/message.h"
#include "console/output.h"
#include "run/supervisor.h"
#include "sandbox/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum exit_code {
    EXIT_USAGE = 2,
    EXIT_HOST = 3,
    EXIT_IMAGE = 4,
    EXIT_CRASHED = 5,
    EXIT_IO = 6,
    EXIT_TIMEOUT = 124,
    EXIT_SIGNAL = 128, /* plus its number */
};

static int code_for_status(enum mh_status status)
{
    switch (status) {
    case MH_OK:
        return EXIT_SUCCESS;
    case MH_ERR_USAGE:
        return EXIT_USAGE;
    case MH_ERR_IMAGE:
        return EXIT_IMAGE;
    case MH_ERR_IO:
        return EXIT_IO;
    case MH_ERR_HOST:
    case MH_ERR_RANGE:
    case MH_ERR_INTERRUPTED:
        break;
    }
    return EXIT_HOST;
}

static int code_for_run(int reason, const struct machine *machines, size_t count)
{
    static const int codes[] = {[ENDING_HALTED] = EXIT_SUCCESS,
                                [ENDING_HOST] = EXIT_HOST,
                                [ENDING_CRASHED] = EXIT_CRASHED,
                                [ENDING_IO] = EXIT_IO,
                                [ENDING_STOPPED] = EXIT_TIMEOUT};
    if (reason < 0)
        return EXIT_SIGNAL - reason;
    enum ending worst = ENDING_HALTED;
    for (size_t i = 0; i < count; i++) {
        if (machines[i].ending > worst)
            worst = machines[i].ending;
    }
    return codes[worst];
}

/* Everything main() has to give back. */
struct session {
    struct options options;
    struct shared shared;
    struct mh_image **images; /* one for each different path */
    size_t image_count;
    struct machine *machines;
    size_t machine_count; /* how many are initialized */
    struct files_dir files_dir;
    int signal_fd;
};

/* Several machines need several descriptors each; ask for as many as we may have. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* The machine before `index` that runs the same image; `index` itself when it is the first. */
static size_t first_with_same_image(const struct options *options, size_t index)
{
    size_t i = 0;
    while (strcmp(options->guests.words[i], options->guests.words[index]) != 0)
        i++;
    return i;
}

/* The part of a path that says what it is: its last name without ".img" or ".elf", or, since every sample and most
 * homework builds a "guest.img", the name of the directory that one lies in. */
static void telling_name(const char *path, char *name, size_t size)
{
    char copy[512];
    message_printable(path, copy, sizeof copy);
    char *slash = strrchr(copy, '/');
    char *base = slash == NULL ? copy : slash + 1;
    char *dot = strrchr(base, '.');
    if (dot != NULL && dot != base && (strcmp(dot, ".img") == 0 || strcmp(dot, ".elf") == 0))
        *dot = '\0';
    if (strcmp(base, "guest") == 0 && slash != NULL) {
        *slash = '\0';
        char *parent = strrchr(copy, '/');
        parent = parent == NULL ? copy : parent + 1;
        if (*parent != '\0' && *parent != '.')
            base = parent;
    }
    snprintf(name, size, "%.*s", (int)size - 1, base);
}

/* The i-th machine's name, "#N" added when an earlier one has the same. */
static void name_machine(const struct session *session, size_t index, char *name, size_t size)
{
    char base[56];
    telling_name(session->options.guests.words[index], base, sizeof base);
    snprintf(name, size, "%s", base);
    for (size_t i = 0; i < index; i++) {
        if (strcmp(session->machines[i].name, name) == 0) {
            snprintf(name, size, "%s#%zu", base, index + 1);
            return;
        }
    }
}

static enum mh_status load_images(struct session *session, struct mh_error *err)
{
    const struct word_list *guests = &session->options.guests;
    for (; session->image_count < guests->count; session->image_count++) {
        size_t i = session->image_count;
        size_t first = first_with_same_image(&session->options, i);
        enum mh_status status = MH_OK;
        if (first < i)
            session->images[i] = session->images[first];
        else
            status = mh_image_load(guests->words[i], session->options.ram_size, &session->images[i], err);
        if (status != MH_OK)
            return status;
    }
    return MH_OK;
}

static void free_images(struct session *session)
{
    for (size_t i = 0; i < session->image_count; i++) {
        if (first_with_same_image(&session->options, i) == i)
            mh_image_free(session->images[i]);
    }
    free(session->images);
}

static enum mh_status prepare_machines(struct session *session, struct mh_error *err)
{
    for (size_t i = 0; i < session->options.guests.count; i++) {
        char name[80];
        name_machine(session, i, name, sizeof name);
        session->machine_count++;
        enum mh_status status =
            machine_init(&session->machines[i], &session->shared, i + 1, name, session->images[i], err);
        if (status != MH_OK)
            return mh_fail_in(err, "%s: ", session->machines[i].title);
    }
    return debugging_open_group(&session->shared, session->machines, session->machine_count, err);
}

static void prepare_console(struct session *session)
{
    const struct options *options = &session->options;
    bool several = options->guests.count > 1;
    bool labels =
        options->label == LABEL_ALWAYS || (options->label == LABEL_AUTO && several && isatty(STDOUT_FILENO) == 1);
    /* with --gdb stdio, stdin and stdout are the debugger's: guests print on stderr and have no input */
    bool debugger_has_stdio = options->gdb && options->gdb_endpoint.transport == MH_GDB_STDIO;
    int output = debugger_has_stdio ? STDERR_FILENO : STDOUT_FILENO;
    console_init(&session->shared.console, output, several || labels, labels, &session->shared.ending);
    terminal_init(&session->shared.terminal, debugger_has_stdio ? -1 : STDIN_FILENO);
}

static enum mh_status open_events(struct session *session, struct mh_error *err)
{
    session->shared.done_fd = eventfd(0, EFD_CLOEXEC);
    if (session->shared.done_fd >= 0)
        session->shared.ending_fd = eventfd(0, EFD_CLOEXEC);
    if (session->shared.done_fd < 0 || session->shared.ending_fd < 0)
        return mh_fail(err, MH_ERR_HOST, "no descriptor for an event: %s", strerror(errno));
    session->signal_fd = supervisor_open_signals();
    if (session->signal_fd < 0)
        return mh_fail(err, MH_ERR_HOST, "no descriptor for signals: %s", strerror(-session->signal_fd));
    return MH_OK;
}

/* Have the directory there and open to us: a crash is no time to find out. */
static enum mh_status make_core_directory(const char *path, struct mh_error *err)
{
    struct stat at = {.st_mode = S_IFDIR};
    if (path == NULL || mkdir(path, 0777) == 0)
        return MH_OK;
    int error = errno == EEXIST && stat(path, &at) == 0 && !S_ISDIR(at.st_mode) ? ENOTDIR : errno;
    if (error != EEXIST)
        return mh_fail(err, MH_ERR_IO, "no directory %s for core files: %s", path, strerror(error));
    if (faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) != 0)
        return mh_fail(err, MH_ERR_IO, "no core files in %s: %s; name a directory you may write to", path,
                       strerror(errno));
    return MH_OK;
}

/* What guests are made of must not be lost to a slip on the command line. */
static enum mh_status spare_inputs(const struct options *options, const char *output, struct mh_error *err)
{
    if (!output_is_one_of(output, options->guests.words, options->guests.count) &&
        !output_is_one_of(output, options->files.words, options->files.count))
        return MH_OK;
    return mh_fail(err, MH_ERR_USAGE, "%s is a guest's image or a shared file: it would be overwritten; name another",
                   output);
}

/* What cannot be made is for the guest that writes to hear of; what can never be a directory is a slip. */
static enum mh_status check_files_dir(const char *path, struct mh_error *err)
{
    struct stat at;
    if (stat(path, &at) == 0 && !S_ISDIR(at.st_mode))
        return mh_fail(err, MH_ERR_USAGE, "--files-dir '%s': it is there and is no directory; name another", path);
    return MH_OK;
}

static enum mh_status check_outputs(const struct options *options, struct mh_error *err)
{
    enum mh_status status = check_files_dir(options->files_dir, err);
    if (status == MH_OK && options->trace_path != NULL)
        status = spare_inputs(options, options->trace_path, err);
    for (size_t i = 1; i <= options->guests.count && options->serial_path != NULL && status == MH_OK; i++) {
        char *path = serial_end_path(options->serial_path, i);
        status = path != NULL ? spare_inputs(options, path, err) : mh_fail(err, MH_ERR_HOST, "no memory for a path");
        free(path);
    }
    return status;
}

static enum mh_status prepare(struct session *session, struct mh_error *err)
{
    const struct options *options = &session->options;
    session->shared.options = options;
    session->images = calloc(options->guests.count, sizeof *session->images);
    session->machines = calloc(options->guests.count, sizeof *session->machines);
    if (session->images == NULL || session->machines == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory for %zu machines", options->guests.count);
    raise_descriptor_limit();
    enum mh_status status = check_outputs(options, err);
    if (status == MH_OK)
        status = open_events(session, err);
    if (status == MH_OK && options->trace_path != NULL)
        status = trace_open(&session->shared.trace, options->trace_path, &session->shared.ending, err);
    if (status == MH_OK)
        status = mh_host_open(&session->shared.host, err);
    if (status == MH_OK)
        status = make_core_directory(options->core_dir, err);
    if (status == MH_OK)
        status = load_images(session, err);
    if (status == MH_OK)
        status = mh_shared_files_open(options->files.words, options->files.count, &session->shared.files, err);
    return status == MH_OK ? prepare_machines(session, err) : status;
}

/* The debugger of all machines must be there before the first of them; it is the first thread of all. */
static enum mh_status start_debugger(struct session *session, struct mh_error *err)
{
    int error = debugging_start_group(&session->shared);
    if (error != 0)
        return mh_fail(err, MH_ERR_HOST, "no thread to serve a debugger: %s", strerror(error));
    return MH_OK;
}

static int run(struct session *session)
{
    struct mh_error err;
    enum mh_status status = prepare(session, &err);
    if (status == MH_OK && MH_CONFINED)
        confine(&session->shared, session->machines, session->machine_count, &session->files_dir);
    if (status == MH_OK)
        status = start_debugger(session, &err);
    if (status != MH_OK) {
        message("%s", err.text);
        return code_for_status(status);
    }
    int reason = supervisor_run(&session->shared, session->machines, session->machine_count, session->signal_fd);
    terminal_restore(&session->shared.terminal);
    if (reason < 0) {
        console_end_line(&session->shared.console);
        message("ended by %s", strsignal(-reason));
    }
    for (size_t i = 0; session->options.stats && i < session->machine_count; i++)
        machine_print_stats(&session->machines[i]);
    return code_for_run(reason, session->machines, session->machine_count);
}

static void clean_up(struct session *session)
{
    for (size_t i = 0; i < session->machine_count; i++)
        machine_destroy(&session->machines[i]);
    debugging_close_group(&session->shared.debugging);
    files_dir_release(&session->files_dir);
    free(session->machines);
    mh_shared_files_close(session->shared.files);
    free_images(session);
    mh_host_close(session->shared.host);
    trace_close(&session->shared.trace);
    console_destroy(&session->shared.console);
}

static void ignore_signals(void)
{
    signal(SIGPIPE, SIG_IGN); /* write() says EPIPE, which can be told */
    signal(SIGXFSZ, SIG_IGN); /* EFBIG, likewise, and told to the guest */
    mh_kick_install();
}

/*
 * What we open must not become stdin, stdout or stderr when those are closed: a guest would print into it. In their
 * places come descriptors that fail like closed ones.
 */
static void occupy_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            return;
    }
}

static int print_and_check(void (*print)(FILE *))
{
    print(stdout);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_IO;
}

static void print_version(FILE *to)
{
    fprintf(to, "mini_hypervisor %s\n", MH_VERSION);
}

static void print_text(void *to, const char *text, size_t length)
{
    fwrite(text, 1, length, to);
}

static int probe(void)
{
    struct mh_host *host = NULL;
    struct mh_error err;
    enum mh_status status = mh_host_open(&host, &err);
    if (status == MH_OK)
        status = mh_host_describe(host, print_text, stdout, &err);
    mh_host_close(host);
    if (status != MH_OK)
        message("%s", err.text);
    if (fflush(stdout) != 0 && status == MH_OK)
        return EXIT_IO;
    return code_for_status(status);
}

int main(int argc, char **argv)
{
    struct session session = {.signal_fd = -1, .files_dir.fd = -1, .shared.trace.fd = -1};
    struct mh_error err;
    int code;
    occupy_standard_descriptors();
    ignore_signals();
    enum mh_status status = options_parse(argc, argv, &session.options, &err);
    if (status != MH_OK) {
        message("%s", err.text);
        code = code_for_status(status);
    } else if (session.options.help)
        code = print_and_check(options_print_help);
    else if (session.options.version)
        code = print_and_check(print_version);
    else if (session.options.probe)
        code = probe();
    else {
        prepare_console(&session);
        code = run(&session);
        clean_up(&session);
    }
    options_free(&session.options);
    return code;
}
