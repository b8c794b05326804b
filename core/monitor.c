#include "monitor.h"

#include "core_file.h"
#include "enter.h"
#include "ioport.h"
#include "mappings.h"
#include "mh/x86_regs.h"
#include "report.h"
#include "text.h"
#include "virtual.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum mh_status show_registers(struct mh_vm *vm, const char *argument, const struct text_output *output,
                                     struct mh_error *err)
{
    (void)argument, (void)err;
    report_registers(vm, output->sink, output->ctx);
    return MH_OK;
}

static enum mh_status show_walk(struct mh_vm *vm, const char *argument, const struct text_output *output,
                                struct mh_error *err)
{
    char *end;
    errno = 0;
    uint64_t address = strtoull(argument, &end, 0);
    if (!isdigit((unsigned char)*argument) || *end != '\0' || errno != 0)
        return mh_fail(err, MH_ERR_RANGE, "pt: say an address, such as pt 0x1000");
    report_page_walk(vm, address, output->sink, output->ctx);
    return MH_OK;
}

static void say_mapping(void *ctx, const struct mapping *mapping)
{
    const struct text_output *output = ctx;
    text_say(output, "0x%016" PRIx64 "-0x%016" PRIx64 " -> 0x%" PRIx64 "  r%c%c %s\n", mapping->start, mapping->end,
             mapping->physical, mapping->writable ? 'w' : '-', mapping->executable ? 'x' : '-',
             mapping->user ? "rings 0-3" : "ring 0");
}

static enum mh_status show_map(struct mh_vm *vm, const char *argument, const struct text_output *output,
                               struct mh_error *err)
{
    (void)argument, (void)err;
    const struct paging_mode mode = virtual_mode(vm);
    struct text_output to = *output;
    if ((mode.cr0 & MH_CR0_PG) == 0 || (mode.efer & MH_EFER_LMA) == 0)
        text_say(output, "the machine is not in 64-bit mode: there are no tables to follow\n");
    else if (!mappings_each(vm, say_mapping, &to))
        text_say(output, "(and more)\n");
    return MH_OK;
}

static void say_file(void *ctx, const char *name, int64_t size)
{
    const struct text_output *output = ctx;
    text_say(output, "%10" PRId64 "  %s\n", size, name);
}

static enum mh_status show_files(struct mh_vm *vm, const char *argument, const struct text_output *output,
                                 struct mh_error *err)
{
    (void)argument, (void)err;
    struct text_output to = *output;
    text_say(output, "own files, in %s/%s:\n", vm->config.files_parent, vm->config.files_name);
    file_store_list(&vm->file.store, say_file, &to);
    text_say(output, "%" PRIu64 " of %" PRIu64 " bytes written\n", vm->file.store.written,
             vm->file.store.limits.bytes_written);
    return MH_OK;
}

static enum mh_status show_stats(struct mh_vm *vm, const char *argument, const struct text_output *output,
                                 struct mh_error *err)
{
    (void)argument, (void)err;
    text_say(output, "exits to the hypervisor:\n");
    for (unsigned i = 0; i < VM_EXIT_REASONS; i++) {
        if (vm->exits[i] != 0)
            text_say(output, "%10" PRIu64 "  %s\n", vm->exits[i], exit_name(i));
    }
    text_say(output, "%10" PRIu64 "  bytes into the guest\n", vm->inbound.bytes);
    return MH_OK;
}

static enum mh_status write_core(struct mh_vm *vm, const char *argument, const struct text_output *output,
                                 struct mh_error *err)
{
    const char *name = *argument != '\0' ? argument : "core";
    enum mh_status status = core_file_write(vm, &vm->debug.last_stop, name, err);
    if (status == MH_OK)
        text_say(output, "saved %s/%s\n", vm->config.core_dir, name);
    return status;
}

static enum mh_status take_snapshot(struct mh_vm *vm, const char *argument, const struct text_output *output,
                                    struct mh_error *err)
{
    (void)output;
    return snapshot_list_take(vm, argument, err);
}

static enum mh_status forget_snapshot(struct mh_vm *vm, const char *argument, const struct text_output *output,
                                      struct mh_error *err)
{
    (void)output;
    return snapshot_list_forget(&vm->snapshots, argument, err);
}

static enum mh_status show_snapshots(struct mh_vm *vm, const char *argument, const struct text_output *output,
                                     struct mh_error *err)
{
    (void)argument, (void)err;
    snapshot_list_show(&vm->snapshots, output);
    return MH_OK;
}

static enum mh_status catch_event(struct mh_vm *vm, const char *argument, const struct text_output *output,
                                  struct mh_error *err)
{
    struct catches *catches = &vm->debug.catches;
    if (*argument == '\0') {
        catches_list(catches, output);
        return MH_OK;
    }
    enum mh_status status = catches_add(catches, argument, err);
    if (status == MH_OK) {
        text_say(output, "catchpoint %u%s\n", catches->last_number,
                 catches_last_takes_steps(catches) ? "; the guest is stepped, and slow, while it is there" : "");
        if (catches_port(catches, MH_PORT_SERIAL))
            ioport_see_each_access(vm, MH_PORT_SERIAL);
    }
    return status;
}

static enum mh_status forget_catch(struct mh_vm *vm, const char *argument, const struct text_output *output,
                                   struct mh_error *err)
{
    char *end;
    unsigned long number = strtoul(argument, &end, 10);
    bool is_number = *argument == '\0' || (*end == '\0' && number > 0 && number <= UINT_MAX);
    if (!is_number || (!catches_remove(&vm->debug.catches, (unsigned)number) && number != 0))
        return mh_fail(err, MH_ERR_RANGE, "uncatch: there is no catchpoint '%s'; \"catch\" lists them", argument);
    catches_list(&vm->debug.catches, output);
    return MH_OK;
}

struct command {
    const char *name;
    enum mh_status (*run)(struct mh_vm *, const char *, const struct text_output *, struct mh_error *);
};

static const struct command commands[] = {
    {"regs", show_registers},      {"pt", show_walk},           {"map", show_map},
    {"files", show_files},         {"stats", show_stats},       {"snapshot", take_snapshot},
    {"snapshots", show_snapshots}, {"catch", catch_event},      {"uncatch", forget_catch},
    {"core", write_core},          {"forget", forget_snapshot},
};

enum mh_status monitor_run(struct mh_vm *vm, const char *command, mh_text_sink *sink, void *sink_ctx,
                           struct mh_error *err)
{
    const struct text_output output = {.sink = sink, .ctx = sink_ctx};
    size_t length = strcspn(command, " ");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strlen(commands[i].name) == length && strncmp(command, commands[i].name, length) == 0)
            return commands[i].run(vm, command + length + strspn(command + length, " "), &output, err);
    }
    return mh_fail(err, MH_ERR_USAGE, "there is no command '%.*s'", (int)length, command);
}
