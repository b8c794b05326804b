#include "run/debugging.h"

#include "console/message.h"
#include "console/text_stream.h"
#include "run/machine.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The ELF file that gdb should read: the image, or "x.elf" beside a flat "x.img". A string to free(), NULL: none. */
static char *debugging_elf_file(const struct mh_image *image)
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

/* `path` quoted for a shell, after a space; "" for NULL. A string to free(), NULL without memory. */
static char *shell_word(const char *path)
{
    char *word = NULL;
    size_t size = 0;
    FILE *text = open_memstream(&word, &size);
    if (text == NULL)
        return NULL;
    if (path != NULL)
        fputs(" '", text);
    for (const char *c = path; c != NULL && *c != '\0'; c++)
        fputs(*c == '\'' ? "'\\''" : (const char[]){*c, '\0'}, text);
    if (path != NULL)
        fputc('\'', text);
    return text_stream_close(text, &word) ? word : NULL;
}

/* Warn of an ELF file that was not built with the flat image it is beside: its symbols would be wrong. */
static void debugging_check_symbols(const struct machine *machine)
{
    const struct options *options = machine->shared->options;
    struct mh_image *symbols;
    char *elf = mh_image_is_elf(machine->image) ? NULL : debugging_elf_file(machine->image);
    if (elf != NULL && mh_image_load(elf, options->ram_size, options->load_address, &symbols, NULL) == MH_OK) {
        if (!mh_image_has_memory_of(machine->image, symbols))
            message("%s: warning: %s does not have the contents of %s, so its symbols do not fit; build both again",
                    machine->title, elf, mh_image_path(machine->image));
        mh_image_free(symbols);
    }
    free(elf);
}

/* Print the command that starts gdb. */
static void debugging_print_command(const char *title, const struct options *options,
                                    const struct mh_gdb_listener *listener, const struct mh_image *image)
{
    char where[MH_GDB_CONNECT_MAX];
    char *elf = debugging_elf_file(image);
    char *word = shell_word(elf);
    mh_gdb_connect_text(listener, where);
    if (listener->endpoint.transport != MH_GDB_STDIO)
        message("%s: %s; type: gdb -ex 'target remote %s'%s", title,
                options->gdb_waits ? "waits for gdb" : "gdb may connect", where, word != NULL ? word : "");
    if (listener->beyond_host)
        message("%s: warning: other computers can connect to port %u, and anyone who connects controls the VM", title,
                listener->endpoint.port);
    free(word);
    free(elf);
}

enum mh_status debugging_open_machine(struct machine *machine, struct mh_error *err)
{
    const struct options *options = machine->shared->options;
    if (!options->gdb || options->gdb_all)
        return MH_OK;
    const struct mh_gdb_endpoint endpoint = options_gdb_endpoint(options, machine->number);
    enum mh_status status = mh_gdb_listen(&endpoint, &machine->gdb, err);
    if (status == MH_OK)
        debugging_print_command(machine->title, options, &machine->gdb, machine->image);
    if (status == MH_OK)
        debugging_check_symbols(machine);
    return status;
}

enum mh_status debugging_open_group(struct shared *shared, const struct machine *machines, size_t count,
                                    struct mh_error *err)
{
    struct debugging *debugging = &shared->debugging;
    debugging->listener.fd = -1;
    if (!shared->options->gdb_all)
        return MH_OK;
    enum mh_status status = mh_debug_group_create((unsigned)count, &debugging->group, err);
    if (status == MH_OK)
        status = mh_gdb_listen(&shared->options->gdb_endpoint, &debugging->listener, err);
    if (status == MH_OK)
        debugging_print_command("all VMs", shared->options, &debugging->listener, machines[0].image);
    for (size_t i = 0; status == MH_OK && i < count; i++)
        debugging_check_symbols(&machines[i]);
    trace_name_track(&shared->trace, count + 1, "gdb of all VMs");
    return status;
}

void debugging_close_group(struct debugging *debugging)
{
    if (debugging->has_thread)
        pthread_join(debugging->thread, NULL);
    if (debugging->group != NULL)
        mh_gdb_close(&debugging->listener);
    mh_debug_group_destroy(debugging->group);
}

static void debugging_print_note(void *ctx, const char *line)
{
    (void)ctx;
    message("%s", line);
}

/* The debugger of all machines has a track of its own, after theirs. */
static void debugging_trace_group(void *ctx, const char *packet)
{
    struct shared *shared = ctx;
    trace_command(&shared->trace, shared->options->guests.count + 1, packet);
}

static void debugging_trace_machine(void *ctx, const char *packet)
{
    const struct machine *machine = ctx;
    trace_command(&machine->shared->trace, machine->number, packet);
}

static struct mh_gdb_options debugging_gdb_options(const struct shared *shared)
{
    const struct options *options = shared->options;
    return (struct mh_gdb_options){.start_running = !options->gdb_waits,
                                   .hold_at_exit = options->gdb_holds,
                                   .lost = options->gdb_lost,
                                   .stop_fd = shared->ending_fd,
                                   .note = debugging_print_note};
}

static void *debugging_serve_group(void *ctx)
{
    struct shared *shared = ctx;
    struct debugging *debugging = &shared->debugging;
    struct mh_gdb_options options = debugging_gdb_options(shared);
    struct mh_debug_target target;
    options.command = shared->trace.fd >= 0 ? debugging_trace_group : NULL;
    options.command_ctx = shared;
    debugging->status = MH_OK;
    if (mh_debug_group_assemble(debugging->group, &target) > 0)
        debugging->status = mh_gdb_serve(&debugging->listener, &target, &options, &debugging->err);
    mh_debug_group_finish(debugging->group);
    return NULL;
}

enum mh_status debugging_start_group(struct shared *shared, struct mh_error *err)
{
    if (!shared->options->gdb_all)
        return MH_OK;
    int error = pthread_create(&shared->debugging.thread, NULL, debugging_serve_group, shared);
    shared->debugging.has_thread = error == 0;
    if (error != 0)
        return mh_fail(err, MH_ERR_HOST, "no thread to serve gdb: %s", strerror(error));
    return MH_OK;
}

static enum mh_status debugging_run_in_group(struct machine *machine, struct mh_vm *vm, struct mh_error *err)
{
    const struct debugging *debugging = &machine->shared->debugging;
    enum mh_status status = mh_debug_group_join(debugging->group, (unsigned)machine->number - 1, vm, err);
    if (status == MH_OK && debugging->status != MH_OK) {
        *err = debugging->err;
        status = debugging->status;
    }
    return status;
}

static enum mh_status debugging_run_alone(struct machine *machine, struct mh_vm *vm, struct mh_error *err)
{
    struct mh_gdb_options options = debugging_gdb_options(machine->shared);
    struct mh_debug_target target;
    options.note = machine_notice;
    options.note_ctx = machine;
    options.command = machine->shared->trace.fd >= 0 ? debugging_trace_machine : NULL;
    options.command_ctx = machine;
    enum mh_status status = mh_vm_debug(vm, &target, err);
    return status == MH_OK ? mh_gdb_serve(&machine->gdb, &target, &options, err) : status;
}

enum mh_status debugging_run(struct machine *machine, struct mh_vm *vm, struct mh_stop *stop, struct mh_error *err)
{
    bool in_group = machine->shared->options->gdb_all;
    enum mh_status status = in_group ? debugging_run_in_group(machine, vm, err) : debugging_run_alone(machine, vm, err);
    bool has_ended = mh_vm_last_stop(vm, stop);
    if (status != MH_ERR_INTERRUPTED)
        return status;
    bool is_held = machine->shared->options->gdb_holds && stop->kind == MH_STOP_HALTED;
    if (!has_ended || is_held) /* other machines of the group may have ended before */
        stop->kind = MH_STOP_INTERRUPTED;
    return MH_OK;
}

void debugging_miss(struct machine *machine)
{
    if (machine->shared->options->gdb_all)
        mh_debug_group_join(machine->shared->debugging.group, (unsigned)machine->number - 1, NULL, NULL);
}
