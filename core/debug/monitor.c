#include "debug/monitor.h"

#include "debug/core_file.h"
#include "debug/debug.h"
#include "debug/history.h"
#include "debug/monitor_info.h"
#include "machine/guest_mem.h"
#include "machine/ports.h"
#include "machine/report.h"
#include "mh/x86_regs.h"
#include "text.h"
#include "x86/page_map.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum mh_status monitor_show_registers(struct debug *debug, const char *argument,
                                             const struct text_output *output, struct mh_error *err)
{
    (void)argument, (void)err;
    report_registers(debug->vm, output->sink, output->ctx);
    return MH_OK;
}

static enum mh_status monitor_show_walk(struct debug *debug, const char *argument, const struct text_output *output,
                                        struct mh_error *err)
{
    char *end;
    errno = 0;
    uint64_t address = strtoull(argument, &end, 0);
    if (!isdigit((unsigned char)*argument) || *end != '\0' || errno != 0)
        return mh_fail(err, MH_ERR_RANGE, "pt: say an address, such as pt 0x1000");
    report_page_walk(debug->vm, address, output->sink, output->ctx);
    return MH_OK;
}

static void monitor_say_mapping(void *ctx, const struct page_mapping *mapping)
{
    const struct text_output *output = ctx;
    text_say(output, "0x%016" PRIx64 "-0x%016" PRIx64 " -> 0x%" PRIx64 "  r%c%c %s\n", mapping->start, mapping->end,
             mapping->physical, mapping->writable ? 'w' : '-', mapping->executable ? 'x' : '-',
             mapping->user ? "rings 0-3" : "ring 0");
}

static enum mh_status monitor_show_map(struct debug *debug, const char *argument, const struct text_output *output,
                                       struct mh_error *err)
{
    (void)argument, (void)err;
    const struct paging_mode mode = guest_paging_mode(debug->vm);
    struct text_output to = *output;
    if ((mode.cr0 & MH_CR0_PG) == 0 || (mode.efer & MH_EFER_LMA) == 0)
        text_say(output, "the machine is not in 64-bit mode: there are no tables to follow\n");
    else if (!page_map_each(&debug->vm->ram, &mode, monitor_say_mapping, &to))
        text_say(output, "(and more)\n");
    return MH_OK;
}

static void monitor_say_file(void *ctx, const char *name, int64_t size)
{
    const struct text_output *output = ctx;
    text_say(output, "%10" PRId64 "  %s\n", size, name);
}

static enum mh_status monitor_show_files(struct debug *debug, const char *argument, const struct text_output *output,
                                         struct mh_error *err)
{
    (void)argument, (void)err;
    struct text_output to = *output;
    text_say(output, "own files, in %s/%s:\n", debug->vm->config.files_parent, debug->vm->config.files_name);
    file_store_list(&debug->vm->file.store, monitor_say_file, &to);
    text_say(output, "%" PRIu64 " of %" PRIu64 " bytes written\n", debug->vm->file.store.written,
             debug->vm->file.store.limits.bytes_written);
    return MH_OK;
}

static enum mh_status monitor_show_stats(struct debug *debug, const char *argument, const struct text_output *output,
                                         struct mh_error *err)
{
    (void)argument, (void)err;
    mh_vm_stats(debug->vm, output->sink, output->ctx);
    return MH_OK;
}

static enum mh_status monitor_write_core(struct debug *debug, const char *argument, const struct text_output *output,
                                         struct mh_error *err)
{
    const char *name = *argument != '\0' ? argument : "core";
    enum mh_status status = core_file_write(debug->vm, &debug->last_stop, name, err);
    if (status == MH_OK)
        text_say(output, "saved %s/%s\n", debug->vm->config.core_dir, name);
    return status;
}

static enum mh_status monitor_take_snapshot(struct debug *debug, const char *argument, const struct text_output *output,
                                            struct mh_error *err)
{
    (void)output;
    enum mh_status status = snapshot_list_take(debug->vm, argument, err);
    if (status == MH_OK)
        history_note_snapshot(debug, argument);
    return status;
}

static enum mh_status monitor_forget_snapshot(struct debug *debug, const char *argument,
                                              const struct text_output *output, struct mh_error *err)
{
    (void)output;
    return snapshot_list_forget(&debug->vm->snapshots, argument, err);
}

static enum mh_status monitor_show_snapshots(struct debug *debug, const char *argument,
                                             const struct text_output *output, struct mh_error *err)
{
    (void)argument, (void)err;
    snapshot_list_show(&debug->vm->snapshots, output);
    return MH_OK;
}

static enum mh_status monitor_catch_event(struct debug *debug, const char *argument, const struct text_output *output,
                                          struct mh_error *err)
{
    struct catchpoints *catchpoints = &debug->catchpoints;
    if (*argument == '\0') {
        catchpoints_list(catchpoints, output);
        return MH_OK;
    }
    enum mh_status status = catchpoints_add(catchpoints, argument, err);
    if (status != MH_OK)
        return status;
    text_say(output, "catchpoint %u\n", catchpoints->last_number);
    debug_update_catchpoints(debug);
    if (catchpoints_watch_port(catchpoints, MH_PORT_SERIAL))
        ports_see_each_access(debug->vm, MH_PORT_SERIAL);
    return MH_OK;
}

static enum mh_status monitor_forget_catch(struct debug *debug, const char *argument, const struct text_output *output,
                                           struct mh_error *err)
{
    char *end;
    unsigned long number = strtoul(argument, &end, 10);
    bool is_number = *argument == '\0' || (*end == '\0' && number > 0 && number <= UINT_MAX);
    if (!is_number || (!catchpoints_remove(&debug->catchpoints, (unsigned)number) && number != 0))
        return mh_fail(err, MH_ERR_RANGE, "uncatch: there is no catchpoint '%s'; \"catch\" lists them", argument);
    debug_update_catchpoints(debug);
    catchpoints_list(&debug->catchpoints, output);
    return MH_OK;
}

/* Without an argument, say which it is. */
static enum mh_status monitor_set_interrupts(struct debug *debug, const char *argument,
                                             const struct text_output *output, struct mh_error *err)
{
    const bool delivers = strcmp(argument, "deliver") == 0;
    if (!delivers && strcmp(argument, "hold") != 0 && *argument != '\0')
        return mh_fail(err, MH_ERR_RANGE, "interrupts: say hold or deliver");
    if (*argument != '\0')
        debug->vm->steps_into_interrupts = delivers;
    text_say(output, debug->vm->steps_into_interrupts ? "interrupts are delivered while the machine is stepped\n"
                                                      : "interrupts wait while the machine is stepped\n");
    return MH_OK;
}

static enum mh_status monitor_show_position(struct debug *debug, const char *argument, const struct text_output *output,
                                            struct mh_error *err)
{
    (void)argument, (void)err;
    history_show_position(debug, output);
    return MH_OK;
}

static enum mh_status monitor_show_history(struct debug *debug, const char *argument, const struct text_output *output,
                                           struct mh_error *err)
{
    (void)argument, (void)err;
    history_show(debug, output);
    return MH_OK;
}

static enum mh_status monitor_show_info(struct debug *debug, const char *argument, const struct text_output *output,
                                        struct mh_error *err)
{
    return monitor_info(debug, argument, output, err);
}

struct command {
    const char *name;
    enum mh_status (*run)(struct debug *, const char *, const struct text_output *, struct mh_error *);
};

static const struct command commands[] = {
    {"regs", monitor_show_registers},      {"pt", monitor_show_walk},           {"map", monitor_show_map},
    {"files", monitor_show_files},         {"stats", monitor_show_stats},       {"snapshot", monitor_take_snapshot},
    {"snapshots", monitor_show_snapshots}, {"catch", monitor_catch_event},      {"uncatch", monitor_forget_catch},
    {"core", monitor_write_core},          {"forget", monitor_forget_snapshot}, {"when", monitor_show_position},
    {"history", monitor_show_history},     {"info", monitor_show_info},         {"interrupts", monitor_set_interrupts},
};

enum mh_status monitor_run(struct debug *debug, const char *command, mh_text_sink *sink, void *sink_ctx,
                           struct mh_error *err)
{
    const struct text_output output = {.sink = sink, .ctx = sink_ctx};
    size_t length = strcspn(command, " ");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strlen(commands[i].name) == length && strncmp(command, commands[i].name, length) == 0)
            return commands[i].run(debug, command + length + strspn(command + length, " "), &output, err);
    }
    return mh_fail(err, MH_ERR_USAGE, "there is no command '%.*s'", (int)length, command);
}
