#include "machine.h"

#include "message.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STACK_SIZE ((size_t)256 * 1024)

static void give_notice(void *ctx, const char *text)
{
    const struct machine *machine = ctx;
    console_end_line(&machine->shared->console);
    message("%s: %s", machine->title, text);
}

static enum mh_status open_gdb(struct machine *machine, struct mh_error *err)
{
    const struct options *options = machine->shared->options;
    if (!options->gdb)
        return MH_OK;
    const struct mh_gdb_endpoint endpoint = options_gdb_endpoint(options, machine->number);
    return mh_gdb_listen(&endpoint, &machine->gdb, err);
}

/* The ELF file gdb should read: the image, or the one that lies beside a flat "x.img" as "x.elf". NULL: none. */
static char *elf_for_gdb(const struct mh_image *image)
{
    const char *path = mh_image_path(image);
    size_t length = path == NULL ? 0 : strlen(path);
    if (length < 4)
        return NULL;
    char *elf = strdup(path);
    if (elf != NULL && !mh_image_is_elf(image) && strcmp(elf + length - 4, ".img") == 0)
        memcpy(elf + length - 4, ".elf", 4);
    if (elf != NULL && (strcmp(elf, path) != 0 || mh_image_is_elf(image)) && access(elf, R_OK) == 0)
        return elf;
    free(elf);
    return NULL;
}

/* The ready line: what to type. */
static void tell_gdb_command(const struct machine *machine)
{
    char where[MH_GDB_CONNECT_MAX];
    char *elf = elf_for_gdb(machine->image);
    mh_gdb_connect_text(&machine->gdb, where);
    if (machine->gdb.endpoint.transport != MH_GDB_STDIO)
        message("%s: %s; type: gdb -ex 'target remote %s'%s%s%s", machine->title,
                machine->shared->options->gdb_waits ? "waits for gdb" : "gdb may connect", where,
                elf != NULL ? " '" : "", elf != NULL ? elf : "", elf != NULL ? "'" : "");
    if (machine->gdb.beyond_host)
        message("%s: warning: whoever reaches %s from another machine controls this VM", machine->title, where);
    free(elf);
}

enum mh_status machine_init(struct machine *machine, struct shared *shared, size_t number, const char *name,
                            const struct mh_image *image, struct mh_error *err)
{
    *machine = (struct machine){.shared = shared, .number = number, .image = image, .gdb.fd = -1};
    pthread_mutex_init(&machine->mutex, NULL);
    snprintf(machine->name, sizeof machine->name, "%s", name);
    snprintf(machine->title, sizeof machine->title, "VM %zu (%s)", number, machine->name);
    snprintf(machine->files_name, sizeof machine->files_name, "%zu-%s", number, machine->name);
    enum mh_status status = serial_end_open(&machine->serial, shared->options, number, &shared->console, machine->name,
                                            &shared->terminal, err);
    if (status == MH_OK)
        status = open_gdb(machine, err);
    if (status == MH_OK && machine->serial.kind == SERIAL_PTY)
        message("%s: serial port on %s", machine->title, machine->serial.pty_path);
    if (status == MH_OK && shared->options->gdb)
        tell_gdb_command(machine);
    return status;
}

void machine_destroy(struct machine *machine)
{
    serial_end_close(&machine->serial);
    mh_gdb_close(&machine->gdb);
    pthread_mutex_destroy(&machine->mutex);
}

static struct mh_vm_config config_of(struct machine *machine)
{
    const struct options *options = machine->shared->options;
    return (struct mh_vm_config){
        .number = (unsigned)machine->number,
        .name = machine->name,
        .ram_size = options->ram_size,
        .page_size = options->page_size,
        .image = machine->image,
        .serial = serial_end_for_vm(&machine->serial),
        .shared = machine->shared->files,
        .files_parent = options->files_dir,
        .files_name = machine->files_name,
        .limits = options->limits,
        .notice = give_notice,
        .notice_ctx = machine,
    };
}

static void publish(struct machine *machine, struct mh_vm *vm)
{
    pthread_mutex_lock(&machine->mutex);
    machine->vm = vm;
    pthread_mutex_unlock(&machine->mutex);
}

static void write_to_stream(void *stream, const char *text, size_t length)
{
    fwrite(text, 1, length, stream);
}

/* Tell the person about a machine that did not halt. A timeout is told in one line, everything else in full. */
static void report(struct machine *machine, const struct mh_stop *stop)
{
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    if (stream == NULL)
        return;
    mh_vm_describe_stop(machine->vm, stop, write_to_stream, stream);
    if (fclose(stream) != 0)
        return;
    bool timed_out = stop->kind == MH_STOP_INTERRUPTED;
    text[timed_out ? strcspn(text, "\n") : length - 1] = '\0';
    console_end_line(&machine->shared->console);
    if (timed_out)
        message("%s: still running after %g s, ended; it %s", machine->title,
                (double)machine->shared->options->timeout_ms / 1000, text);
    else
        message("%s: %s", machine->title, text);
    free(text);
}

static enum ending ending_of(const struct mh_stop *stop)
{
    switch (stop->kind) {
    case MH_STOP_HALTED:
        return ENDING_HALTED;
    case MH_STOP_INTERRUPTED:
        return ENDING_STOPPED;
    case MH_STOP_IO_ERROR:
        return ENDING_IO;
    default:
        return ENDING_CRASHED;
    }
}

/* Let debuggers have the machine until it has ended; *stop says how. */
static enum mh_status serve_debugger(struct machine *machine, struct mh_vm *vm, struct mh_stop *stop,
                                     struct mh_error *err)
{
    const struct options *options = machine->shared->options;
    const struct mh_gdb_options gdb_options = {.start_running = !options->gdb_waits,
                                               .hold_at_exit = options->gdb_holds,
                                               .lost = options->gdb_lost,
                                               .stop_fd = machine->shared->ending_fd,
                                               .note = give_notice,
                                               .note_ctx = machine};
    struct mh_debug_target target;
    enum mh_status status = mh_vm_debug(vm, &target, err);
    if (status == MH_OK)
        status = mh_gdb_serve(&machine->gdb, &target, &gdb_options, err);
    mh_vm_last_stop(vm, stop);
    if (status == MH_ERR_INTERRUPTED) {
        stop->kind = MH_STOP_INTERRUPTED;
        status = MH_OK;
    }
    return status;
}

static enum mh_status run_or_debug(struct machine *machine, struct mh_vm *vm, struct mh_stop *stop,
                                   struct mh_error *err)
{
    if (machine->shared->options->gdb)
        return serve_debugger(machine, vm, stop, err);
    mh_vm_run(vm, stop);
    return MH_OK;
}

static enum ending run(struct machine *machine, struct mh_vm *vm)
{
    struct mh_stop stop;
    struct mh_error err;
    publish(machine, vm);
    if (atomic_load(&machine->shared->ending)) /* it was set before there was anything to stop */
        mh_vm_request_stop(vm);
    if (run_or_debug(machine, vm, &stop, &err) != MH_OK) {
        message("%s: %s", machine->title, err.text);
        return err.status == MH_ERR_IO ? ENDING_IO : ENDING_HOST;
    }
    int error = serial_end_finish(&machine->serial);
    if (error < 0 && error != -EINTR && stop.kind == MH_STOP_HALTED) {
        stop.kind = MH_STOP_IO_ERROR;
        stop.host_errno = -error;
    }
    bool is_silent = stop.kind == MH_STOP_HALTED || (stop.kind == MH_STOP_INTERRUPTED && !machine->shared->timed_out);
    if (!is_silent)
        report(machine, &stop);
    return ending_of(&stop);
}

static enum ending create_and_run(struct machine *machine)
{
    struct mh_vm *vm;
    struct mh_error err;
    const struct mh_vm_config config = config_of(machine);
    if (atomic_load(&machine->shared->ending))
        return ENDING_STOPPED;
    if (mh_vm_create(machine->shared->host, &config, &vm, &err) != MH_OK) {
        message("%s: %s", machine->title, err.text);
        return ENDING_HOST;
    }
    enum ending ending = run(machine, vm);
    publish(machine, NULL);
    mh_vm_destroy(vm);
    return ending;
}

static void *machine_thread(void *ctx)
{
    struct machine *machine = ctx;
    machine->ending = create_and_run(machine);
    const uint64_t one = 1;
    if (atomic_fetch_sub(&machine->shared->running, 1) == 1 && write(machine->shared->done_fd, &one, sizeof one) < 0)
        message("%s: cannot tell that it ended: %s", machine->title, strerror(errno));
    return NULL;
}

int machine_start(struct machine *machine)
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
