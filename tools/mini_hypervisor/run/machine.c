#include "run/machine.h"

#include "console/message.h"
#include "console/output.h"
#include "console/text_stream.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STACK_SIZE ((size_t)256 * 1024)

void machine_notice(void *ctx, const char *text)
{
    const struct machine *machine = ctx;
    console_end_line(&machine->shared->console);
    message("%s: %s", machine->title, text);
}

/* The file of --record. */
static enum mh_status machine_open_recording(struct machine *machine, struct mh_error *err)
{
    const char *why = NULL;
    char *path = serial_end_path(machine->shared->options->record_path, machine->number);
    if (path == NULL)
        return mh_fail(err, MH_ERR_HOST, "not enough memory for the path of --record");
    machine->record_fd = output_open(path, &why);
    enum mh_status status =
        machine->record_fd < 0 ? mh_fail(err, MH_ERR_IO, "--record %s: cannot open it: %s", path, why) : MH_OK;
    free(path);
    return status;
}

/* The files of --coverage and --profile. */
static enum mh_status machine_open_coverage(struct machine *machine, struct mh_error *err)
{
    const struct options *options = machine->shared->options;
    enum mh_status status = MH_OK;
    if (options->coverage_path != NULL)
        status = coverage_open(&machine->coverage, options->coverage_path, machine->number, err);
    if (status == MH_OK && options->profile_path != NULL)
        status = coverage_open(&machine->profile, options->profile_path, machine->number, err);
    return status;
}

/* The file of --report. */
static enum mh_status machine_open_report(struct machine *machine, struct mh_error *err)
{
    const struct shared *shared = machine->shared;
    char *path = serial_end_path(shared->options->report_path, machine->number);
    if (path == NULL)
        return mh_fail(err, MH_ERR_HOST, "not enough memory for the path of --report");
    enum mh_status status = run_report_open(&machine->report, path, &shared->ending, err);
    free(path);
    return status;
}

static int machine_write_recording(void *ctx, const void *bytes, size_t length)
{
    const struct machine *machine = ctx;
    return output_write(machine->record_fd, bytes, length, NULL);
}

enum mh_status machine_init(struct machine *machine, struct shared *shared, size_t number, const char *name,
                            const struct mh_image *image, struct mh_error *err)
{
    *machine = (struct machine){.shared = shared, .number = number, .image = image, .record_fd = -1, .gdb.fd = -1};
    const char *path = mh_image_path(image);
    pthread_mutex_init(&machine->mutex, NULL);
    snprintf(machine->name, sizeof machine->name, "%s", name);
    coverage_init(&machine->coverage, COVERAGE_LINES, path != NULL ? path : machine->name);
    coverage_init(&machine->profile, COVERAGE_CALLS, path != NULL ? path : machine->name);
    snprintf(machine->title, sizeof machine->title, "VM %zu (%s)", number, machine->name);
    snprintf(machine->files_name, sizeof machine->files_name, "%zu-%s", number, machine->name);
    enum mh_status status = serial_end_open(&machine->serial, shared->options, number, &shared->console, machine->name,
                                            &shared->terminal, err);
    if (status == MH_OK && shared->options->record_path != NULL)
        status = machine_open_recording(machine, err);
    if (status == MH_OK && shared->options->report_path != NULL)
        status = machine_open_report(machine, err);
    if (status == MH_OK)
        status = machine_open_coverage(machine, err);
    if (status == MH_OK)
        status = debugging_open_machine(machine, err);
    trace_name_track(&shared->trace, number, machine->title);
    if (status == MH_OK && machine->serial.kind == SERIAL_PTY)
        message("%s: serial port on %s", machine->title, machine->serial.pty_path);
    return status;
}

void machine_destroy(struct machine *machine)
{
    free(machine->processor_stats);
    run_report_close(machine->report);
    serial_end_close(&machine->serial);
    mh_gdb_close(&machine->gdb);
    coverage_close(&machine->coverage);
    coverage_close(&machine->profile);
    if (machine->record_fd >= 0)
        close(machine->record_fd);
    pthread_mutex_destroy(&machine->mutex);
}

static void machine_on_event(void *ctx, const struct mh_event *event)
{
    struct machine *machine = ctx;
    const uint64_t now = trace_now();
    trace_event(&machine->shared->trace, machine->number, now, event);
    if (machine->shared->options->stats)
        stats_event(&machine->stats, now, event);
    if (machine->report != NULL)
        run_report_event(machine->report, now, event);
}

static int machine_open_image(void *ctx)
{
    struct machine *machine = ctx;
    return file_opener_open(&machine->shared->image_opener, machine->number - 1);
}

static struct mh_vm_config machine_vm_config(struct machine *machine)
{
    const struct options *options = machine->shared->options;
    const struct mh_recording *recording = machine->shared->recording;
    return (struct mh_vm_config){
        .number = (unsigned)machine->number,
        .name = machine->name,
        .ram_size = recording != NULL ? mh_recording_ram_size(recording) : options->ram_size,
        .page_size = recording != NULL ? mh_recording_page_size(recording) : options->page_size,
        .image = machine->image,
        .open_image = machine->shared->image_opener.fd >= 0 ? machine_open_image : NULL,
        .open_image_ctx = machine,
        .serial = serial_end_for_vm(&machine->serial),
        .shared = machine->shared->files,
        .exchange = machine->shared->exchange,
        .files_parent = options->files_dir,
        .files_name = machine->files_name,
        .limits = options->limits,
        .history = options->no_history ? 0 : options->history,
        .core_dir = options->core_dir,
        .max_instructions = options->max_instructions,
        .counts =
            options->coverage_path != NULL || (machine->report != NULL && !mh_host_has_kvm(machine->shared->host)),
        .notes_writes = machine->report != NULL && mh_host_has_kvm(machine->shared->host) && !options->gdb,
        .counts_calls = options->profile_path != NULL,
        .notice = machine_notice,
        .notice_ctx = machine,
        .event = options->trace_path != NULL || options->stats || machine->report != NULL ? machine_on_event : NULL,
        .event_ctx = machine,
    };
}

static void machine_publish_vm(struct machine *machine, struct mh_vm *vm)
{
    pthread_mutex_lock(&machine->mutex);
    machine->vm = vm;
    pthread_mutex_unlock(&machine->mutex);
}

static void write_to_stream(void *stream, const char *text, size_t length)
{
    fwrite(text, 1, length, stream);
}

/* In seconds. */
static double machine_timeout_seconds(const struct machine *machine)
{
    return (double)machine->shared->options->timeout_ms / 1000;
}

/* Print that a machine reached --timeout or --max-instructions; `report` is one line about where it stopped. */
static void machine_report_limit(const struct machine *machine, const struct mh_stop *stop, const char *report)
{
    if (stop->at_limit)
        message("%s: still running after %" PRIu64 " instructions, ended; it %s", machine->title,
                machine->shared->options->max_instructions, report);
    else
        message("%s: still running after %g s, ended; it %s", machine->title, machine_timeout_seconds(machine), report);
}

/* Print a report about a machine that did not halt: one line at a limit, everything for other ends. */
static void machine_report_stop(struct machine *machine, const struct mh_stop *stop)
{
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    if (stream != NULL)
        mh_vm_describe_stop(machine->vm, stop, write_to_stream, stream);
    if (!text_stream_close(stream, &text)) {
        machine_notice(machine, "stopped; not enough memory to report why");
        return;
    }
    bool is_limit = stop->kind == MH_STOP_INTERRUPTED;
    text[is_limit ? strcspn(text, "\n") : length - 1] = '\0';
    console_end_line(&machine->shared->console);
    if (is_limit)
        machine_report_limit(machine, stop, text);
    else
        message("%s: %s", machine->title, text);
    free(text);
}

static void machine_save_processor_stats(struct machine *machine, struct mh_vm *vm)
{
    size_t length = 0;
    FILE *stream = open_memstream(&machine->processor_stats, &length);
    if (stream != NULL)
        mh_vm_stats(vm, write_to_stream, stream);
    text_stream_close(stream, &machine->processor_stats);
}

void machine_print_stats(const struct machine *machine)
{
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    if (stream != NULL && machine->processor_stats != NULL)
        fputs(machine->processor_stats, stream);
    if (stream != NULL)
        stats_print(&machine->stats, stream);
    if (!text_stream_close(stream, &text)) {
        message("%s: not enough memory for its statistics", machine->title);
        return;
    }
    text[length - 1] = '\0';
    message("%s:\n%s", machine->title, text);
    free(text);
}

/* The end of a machine one of whose files could not be written. */
static enum ending ending_after_io_error(enum ending ending)
{
    return ending < ENDING_IO ? ENDING_IO : ending;
}

/* Write the machine's state to the directory of --core, for a debugger. */
static enum ending machine_write_core(struct machine *machine, const struct mh_stop *stop, enum ending ending)
{
    struct mh_error err;
    char name[sizeof machine->files_name + 8];
    snprintf(name, sizeof name, "%s.core", machine->files_name);
    if (mh_vm_write_core(machine->vm, stop, name, &err) == MH_OK) {
        message("%s: core file %s/%s", machine->title, machine->shared->options->core_dir, name);
        return ending;
    }
    message("%s: %s", machine->title, err.text);
    return ending_after_io_error(ending);
}

static enum ending ending_of(const struct mh_stop *stop)
{
    switch (stop->kind) {
    case MH_STOP_HALTED:
    case MH_STOP_HISTORY_END:
        return ENDING_HALTED;
    case MH_STOP_INTERRUPTED:
        return ENDING_STOPPED;
    case MH_STOP_IO_ERROR:
        return ENDING_IO;
    case MH_STOP_HOST_ERROR:
        return ENDING_HOST;
    default:
        return ENDING_CRASHED;
    }
}

static enum mh_status machine_run_or_debug(struct machine *machine, struct mh_vm *vm, struct mh_stop *stop,
                                           struct mh_error *err)
{
    if (machine->shared->options->gdb)
        return debugging_run(machine, vm, stop, err);
    mh_vm_run(vm, stop);
    return MH_OK;
}

/* --record and --replay. */
static enum mh_status machine_attach_recording(struct machine *machine, struct mh_vm *vm, struct mh_error *err)
{
    enum mh_status status = MH_OK;
    if (machine->shared->recording != NULL)
        status = mh_vm_replay(vm, machine->shared->recording, err);
    if (status == MH_OK && machine->record_fd >= 0)
        status = mh_vm_record(vm, machine_write_recording, machine, err);
    return status;
}

/* The page of --report. */
static enum ending machine_write_report(struct machine *machine, const struct mh_stop *stop, enum ending ending)
{
    const struct mh_vm_config config = machine_vm_config(machine);
    const int error = machine->report != NULL ? run_report_write(machine->report, &config, machine->vm, stop) : 0;
    if (error == 0)
        return ending;
    console_end_line(&machine->shared->console);
    message("%s: the report cannot be written: %s", machine->title,
            error == -EINTR ? "it is not being read" : strerror(-error));
    return ending_after_io_error(ending);
}

/* The end of a run that was recorded. */
static enum ending machine_finish_recording(struct machine *machine, const struct mh_stop *stop, enum ending ending)
{
    struct mh_error err;
    if (machine->record_fd < 0 || mh_vm_record_end(machine->vm, stop, &err) == MH_OK)
        return ending;
    machine_notice(machine, err.text);
    return ending_after_io_error(ending);
}

/* The end of a replay: as it was recorded, that is good, whatever it is. */
static enum ending machine_finish_replay(struct machine *machine, const struct mh_stop *stop, enum ending ending)
{
    struct mh_error err;
    char text[700];
    if (ending == ENDING_STOPPED || ending == ENDING_IO)
        return ending;
    enum mh_status status = mh_vm_replay_end(machine->vm, stop, text, sizeof text, &err);
    machine_notice(machine, status == MH_OK ? text : err.text);
    return status == MH_OK ? ENDING_HALTED : ENDING_DIFFERS;
}

/* `error`, negative: the last output could not be written. That of a guest that halted is why it stopped; a crash is
 * reported as well. */
static enum ending machine_finish_output(struct machine *machine, int error, struct mh_stop *stop)
{
    if (error < 0 && error != -EINTR)
        stop->host_errno = -error;
    if (stop->host_errno != 0 && stop->kind == MH_STOP_HALTED)
        stop->kind = MH_STOP_IO_ERROR;
    const enum ending ending = ending_of(stop);
    if (stop->host_errno == 0 || ending != ENDING_CRASHED)
        return ending;
    console_end_line(&machine->shared->console);
    message("%s: its output cannot be written: %s", machine->title, strerror(stop->host_errno));
    return ENDING_IO;
}

static enum ending machine_run(struct machine *machine, struct mh_vm *vm)
{
    struct mh_stop stop;
    struct mh_error err;
    machine_publish_vm(machine, vm);
    if (atomic_load(&machine->shared->ending)) /* it was set before there was a machine to stop */
        mh_vm_request_stop(vm);
    enum mh_status status = machine_attach_recording(machine, vm, &err);
    if (status == MH_OK)
        status = machine_run_or_debug(machine, vm, &stop, &err);
    int error = serial_end_finish(&machine->serial);
    if (status != MH_OK) {
        console_end_line(&machine->shared->console);
        message("%s: %s", machine->title, err.text);
        return status == MH_ERR_IO ? ENDING_IO : ENDING_HOST;
    }
    enum ending ending = machine_finish_output(machine, error, &stop);
    ending = machine_finish_recording(machine, &stop, ending);
    ending = machine_write_report(machine, &stop, ending);
    if (machine->shared->recording != NULL && !machine->shared->options->gdb)
        return machine_finish_replay(machine, &stop, ending);
    bool is_limit = stop.at_limit || atomic_load(&machine->shared->timed_out);
    bool is_silent = stop.kind == MH_STOP_HALTED || (stop.kind == MH_STOP_INTERRUPTED && !is_limit);
    if (!is_silent)
        machine_report_stop(machine, &stop);
    if (!is_silent && machine->shared->options->core_dir != NULL)
        ending = machine_write_core(machine, &stop, ending);
    return ending;
}

/* --coverage and --profile. */
static enum ending machine_finish_coverage(struct machine *machine, struct mh_vm *vm, enum ending ending)
{
    struct coverage *const files[] = {&machine->coverage, &machine->profile};
    struct mh_error err;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (coverage_write(files[i], vm, &err) == MH_OK)
            continue;
        machine_notice(machine, err.text);
        ending = ending_after_io_error(ending);
    }
    return ending;
}

/* Until the guest is first entered, the trace shows it as outside, as it does after an exit. */
static void machine_trace_start(struct machine *machine)
{
    const struct mh_event start = {.kind = MH_EVENT_EXIT, .reason = "start"};
    trace_event(&machine->shared->trace, machine->number, trace_now(), &start);
}

static enum ending machine_create_and_run(struct machine *machine)
{
    struct mh_vm *vm;
    struct mh_error err;
    const struct mh_vm_config config = machine_vm_config(machine);
    if (atomic_load(&machine->shared->ending)) {
        if (atomic_load(&machine->shared->timed_out))
            message("%s: not even started after %g s, ended", machine->title, machine_timeout_seconds(machine));
        debugging_miss(machine);
        return ENDING_STOPPED;
    }
    machine_trace_start(machine);
    if (mh_vm_create(machine->shared->host, &config, &vm, &err) != MH_OK) {
        message("%s: %s", machine->title, err.text);
        debugging_miss(machine);
        return ENDING_HOST;
    }
    enum ending ending = machine_finish_coverage(machine, vm, machine_run(machine, vm));
    if (machine->shared->options->stats)
        machine_save_processor_stats(machine, vm);
    machine_publish_vm(machine, NULL);
    mh_vm_destroy(vm);
    return ending;
}

/* The last machine to end wakes the supervisor. */
static void machine_note_end(struct machine *machine, enum ending ending)
{
    const uint64_t one = 1;
    machine->ending = ending;
    if (machine->shared->exchange != NULL)
        mh_exchange_leave(machine->shared->exchange, (unsigned)machine->number);
    if (atomic_fetch_sub(&machine->shared->running, 1) == 1 && write(machine->shared->done_fd, &one, sizeof one) < 0)
        message("%s: cannot report its end: %s", machine->title, strerror(errno));
}

static void *machine_thread(void *ctx)
{
    struct machine *machine = ctx;
    pthread_rwlock_rdlock(&machine->shared->start);
    pthread_rwlock_unlock(&machine->shared->start);
    machine_note_end(machine, machine_create_and_run(machine));
    return NULL;
}

static int machine_start_thread(struct machine *machine)
{
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error != 0)
        return error;
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    error = pthread_create(&machine->thread, &attributes, machine_thread, machine);
    pthread_attr_destroy(&attributes);
    return error;
}

void machine_start(struct machine *machine)
{
    int error = machine_start_thread(machine);
    machine->has_thread = error == 0;
    if (machine->has_thread)
        return;
    message("%s: no thread to run it: %s", machine->title, strerror(error));
    debugging_miss(machine);
    machine_note_end(machine, ENDING_HOST);
}

void machine_join(struct machine *machine)
{
    if (machine->has_thread)
        pthread_join(machine->thread, NULL);
}

void machine_stop(struct machine *machine)
{
    pthread_mutex_lock(&machine->mutex);
    if (machine->vm != NULL)
        mh_vm_request_stop(machine->vm);
    pthread_mutex_unlock(&machine->mutex);
}

void machine_tick(struct machine *machine)
{
    pthread_mutex_lock(&machine->mutex);
    if (machine->vm != NULL && mh_vm_wants_kick(machine->vm))
        mh_vm_kick(machine->vm);
    pthread_mutex_unlock(&machine->mutex);
    if (machine->serial.kind == SERIAL_STDIO)
        console_port_tick(&machine->serial.port);
}
