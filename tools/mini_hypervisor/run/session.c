#include "run/session.h"

#include "console/message.h"
#include "observe/perf_map.h"
#include "run/exit_code.h"
#include "run/images.h"
#include "run/output_checks.h"
#include "run/supervisor.h"
#include "sandbox/confine.h"
#include "sandbox/files_dir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

/* Everything that session_clean_up() gives back. */
struct session {
    const struct options *options;
    struct shared shared;
    struct images images;
    struct machine *machines;
    size_t machine_count; /* how many are initialized */
    struct files_dir files_dir;
    int signal_fd, perf_map_fd;
};

/* ---- preparing ---- */

/* Each machine needs several descriptors. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void session_init_console(struct session *session)
{
    const struct options *options = session->options;
    bool several = options->guests.count > 1;
    bool labels =
        options->label == LABEL_ALWAYS || (options->label == LABEL_AUTO && several && isatty(STDOUT_FILENO) == 1);
    /* with --gdb stdio, stdin and stdout belong to the debugger: guests print to stderr and have no input */
    bool debugger_has_stdio = options->gdb && options->gdb_endpoint.transport == MH_GDB_STDIO;
    int output = debugger_has_stdio ? STDERR_FILENO : STDOUT_FILENO;
    console_init(&session->shared.console, output, several || labels, labels, &session->shared.ending);
    terminal_init(&session->shared.terminal, debugger_has_stdio ? -1 : STDIN_FILENO);
}

static enum mh_status session_open_events(struct session *session, struct mh_error *err)
{
    session->shared.done_fd = eventfd(0, EFD_CLOEXEC);
    if (session->shared.done_fd >= 0)
        session->shared.ending_fd = eventfd(0, EFD_CLOEXEC);
    if (session->shared.done_fd < 0 || session->shared.ending_fd < 0)
        return mh_fail(err, MH_ERR_HOST, "cannot create an eventfd: %s", strerror(errno));
    session->signal_fd = supervisor_open_signals();
    if (session->signal_fd < 0)
        return mh_fail(err, MH_ERR_HOST, "cannot create a signalfd: %s", strerror(-session->signal_fd));
    return MH_OK;
}

static enum mh_status session_open_host(struct session *session, struct mh_error *err)
{
    const enum mh_accel accel = session->options->accel;
    enum mh_status status = mh_host_open(accel, &session->shared.host, err);
    if (status != MH_ERR_HOST || accel != MH_ACCEL_KVM)
        return status;
    const size_t length = strlen(err->text);
    snprintf(err->text + length, sizeof err->text - length, "; or use --accel soft, which needs no KVM");
    return status;
}

static enum mh_status session_open_perf_map(struct session *session, struct mh_error *err)
{
    if (!session->options->perf_map)
        return MH_OK;
    enum mh_status status = perf_map_create(&session->perf_map_fd, err);
    if (status == MH_OK)
        mh_host_name_code(session->shared.host, session->perf_map_fd);
    return status;
}

/* The machine's name is its image's label, with "#N" added when an earlier machine has the same. */
static void session_name_machine(const struct session *session, size_t index, char *name, size_t size)
{
    char label[56];
    if (session->shared.recording != NULL) {
        snprintf(name, size, "%s", mh_recording_name(session->shared.recording));
        return;
    }
    image_label(session->options->guests.words[index], label, sizeof label);
    snprintf(name, size, "%s", label);
    for (size_t i = 0; i < index; i++) {
        if (strcmp(session->machines[i].name, name) == 0) {
            snprintf(name, size, "%s#%zu", label, index + 1);
            return;
        }
    }
}

/* What machine `index` runs. */
static const struct mh_image *session_image(const struct session *session, size_t index)
{
    if (session->shared.recording != NULL)
        return mh_recording_image(session->shared.recording);
    return session->images.of_machine[index];
}

static enum mh_status session_init_machines(struct session *session, struct mh_error *err)
{
    const size_t count = session->options->guests.count;
    session->machines = calloc(count, sizeof *session->machines);
    if (session->machines == NULL)
        return mh_fail(err, MH_ERR_HOST, "not enough memory for %zu VMs", count);
    for (size_t i = 0; i < count; i++) {
        char name[80];
        session_name_machine(session, i, name, sizeof name);
        session->machine_count++;
        enum mh_status status =
            machine_init(&session->machines[i], &session->shared, i + 1, name, session_image(session, i), err);
        if (status != MH_OK)
            return mh_fail_in(err, "%s: ", session->machines[i].title);
    }
    return debugging_open_group(&session->shared, session->machines, session->machine_count, err);
}

static enum mh_status session_open_recording(struct session *session, struct mh_error *err)
{
    enum mh_status status = mh_recording_open(session->options->replay_path, &session->shared.recording, err);
    return status == MH_OK ? mh_recording_prepare_host(session->shared.recording, session->shared.host, err) : status;
}

/*
 * Debuggers restart machines, with images that may have been built again. The process is started before anything else
 * is opened, so that it holds no port that another run wants when this one is killed.
 */
static enum mh_status session_start_image_opener(struct session *session, bool confined, struct mh_error *err)
{
    const struct options *options = session->options;
    if (!options->gdb || options->replay_path != NULL)
        return MH_OK;
    const int result =
        file_opener_start(&session->shared.image_opener, options->guests.words, options->guests.count, confined);
    if (result < 0)
        return mh_fail(err, MH_ERR_HOST, "cannot start the process that opens images again: %s", strerror(-result));
    return MH_OK;
}

static enum mh_status session_prepare(struct session *session, bool confined, struct mh_error *err)
{
    const struct options *options = session->options;
    struct shared *shared = &session->shared;
    raise_descriptor_limit();
    enum mh_status status = output_checks(options, err);
    if (status == MH_OK)
        status = session_start_image_opener(session, confined, err);
    if (status == MH_OK)
        status = session_open_events(session, err);
    if (status == MH_OK && options->trace_path != NULL)
        status = trace_open(&shared->trace, options->trace_path, &shared->ending, err);
    if (status == MH_OK)
        status = session_open_host(session, err);
    if (status == MH_OK)
        status = session_open_perf_map(session, err);
    if (status == MH_OK)
        status = output_make_core_directory(options->core_dir, err);
    if (status == MH_OK && options->replay_path != NULL)
        status = session_open_recording(session, err);
    else if (status == MH_OK)
        status = images_load(&session->images, &options->guests, options->ram_size, options->load_address, err);
    if (!options->gdb)
        images_close_files(&session->images);
    if (status == MH_OK)
        status = mh_shared_files_open(options->files.words, options->files.count, &shared->files, err);
    if (status == MH_OK && options->exchange)
        status = mh_exchange_create((unsigned)options->guests.count, options->exchange_size, &shared->exchange, err);
    return status == MH_OK ? session_init_machines(session, err) : status;
}

/* ---- confining ---- */

/* mh_gdb_close() removes the socket's name. */
static void allow_listener(struct landlock *landlock, const struct mh_gdb_listener *listener)
{
    if (listener->fd >= 0 && listener->endpoint.transport == MH_GDB_UNIX)
        landlock_allow_parent(landlock, listener->endpoint.path, LANDLOCK_ACCESS_FS_REMOVE_FILE);
}

/* Every path that is used again after the process is confined. */
static void session_allow_paths(struct landlock *landlock, void *ctx)
{
    struct session *session = ctx;
    const struct options *options = session->options;
    files_dir_hold(&session->files_dir, options->files_dir);
    landlock_allow(landlock, options->files_dir, CONFINE_KEEP_FILES);
    if (options->core_dir != NULL)
        landlock_allow(landlock, options->core_dir, CONFINE_KEEP_FILES);
    if (session->files_dir.made)
        landlock_allow_parent(landlock, options->files_dir, LANDLOCK_ACCESS_FS_REMOVE_DIR);
    allow_listener(landlock, &session->shared.debugging.listener);
    for (size_t i = 0; i < session->machine_count; i++) {
        const struct machine *machine = &session->machines[i];
        allow_listener(landlock, &machine->gdb);
    }
}

/* ---- running ---- */

static int session_exit_code(const struct session *session, int reason)
{
    static const int codes[] = {
        [ENDING_HALTED] = EXIT_CODE_OK, [ENDING_HOST] = EXIT_CODE_HOST,       [ENDING_CRASHED] = EXIT_CODE_CRASHED,
        [ENDING_IO] = EXIT_CODE_IO,     [ENDING_DIFFERS] = EXIT_CODE_DIFFERS, [ENDING_STOPPED] = EXIT_CODE_TIMEOUT};
    if (reason < 0)
        return EXIT_CODE_SIGNAL - reason;
    enum ending worst = ENDING_HALTED;
    for (size_t i = 0; i < session->machine_count; i++) {
        if (session->machines[i].ending > worst)
            worst = session->machines[i].ending;
    }
    return codes[worst];
}

static int session_run_machines(struct session *session)
{
    struct shared *shared = &session->shared;
    int reason = supervisor_run(shared, session->machines, session->machine_count, session->signal_fd);
    terminal_restore(&shared->terminal);
    if (reason < 0) {
        console_end_line(&shared->console);
        message("ended by signal %d (%s)", -reason, strsignal(-reason));
    }
    for (size_t i = 0; session->options->stats && i < session->machine_count; i++)
        machine_print_stats(&session->machines[i]);
    return session_exit_code(session, reason);
}

static void session_clean_up(struct session *session)
{
    for (size_t i = 0; i < session->machine_count; i++)
        machine_destroy(&session->machines[i]);
    debugging_close_group(&session->shared.debugging);
    file_opener_stop(&session->shared.image_opener);
    files_dir_release(&session->files_dir);
    free(session->machines);
    mh_shared_files_close(session->shared.files);
    mh_exchange_destroy(session->shared.exchange);
    images_free(&session->images);
    mh_recording_close(session->shared.recording);
    mh_host_close(session->shared.host);
    if (session->perf_map_fd >= 0)
        close(session->perf_map_fd);
    trace_close(&session->shared.trace);
    console_destroy(&session->shared.console);
}

int session_run(const struct options *options, bool confined)
{
    struct session session = {.options = options,
                              .shared = {.options = options, .trace.fd = -1, .image_opener.fd = -1},
                              .files_dir.fd = -1,
                              .signal_fd = -1,
                              .perf_map_fd = -1};
    struct mh_error err;
    session_init_console(&session);
    enum mh_status status = session_prepare(&session, confined, &err);
    if (status == MH_OK && confined)
        confine(mh_host_has_kvm(session.shared.host), session_allow_paths, &session);
    if (status == MH_OK) /* the thread that serves gdb for all machines must exist before the first of them */
        status = debugging_start_group(&session.shared, &err);
    int code = exit_code_for_status(status);
    if (status == MH_OK)
        code = session_run_machines(&session);
    else
        message("%s", err.text);
    session_clean_up(&session);
    return session.shared.trace.is_over && code < EXIT_CODE_IO ? EXIT_CODE_IO : code;
}
