#include "debug/monitor.h"

#include "debug/core_file.h"
#include "debug/debug.h"
#include "debug/history.h"
#include "debug/monitor_info.h"
#include "debug/monitor_memory.h"
#include "machine/ports.h"
#include "machine/report.h"

#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
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

static void monitor_say_file(void *ctx, const char *name, int64_t size)
{
    const struct text_output *output = ctx;
    text_say(output, "%10" PRId64 "  %s\n", size, name);
}

static void monitor_say_open_file(void *ctx, const struct file_store_descriptor *file)
{
    const struct text_output *output = ctx;
    text_say(output, "%4" PRId32 "  %c%c%c  %10" PRIu64 "  %10" PRId64 "  %s%s\n", file->fd,
             (file->flags & MH_O_READ) != 0 ? 'r' : '-', (file->flags & MH_O_WRITE) != 0 ? 'w' : '-',
             (file->flags & MH_O_APPEND) != 0 ? 'a' : '-', file->position, file->size, file->name,
             file->is_shared ? " (shared)" : "");
}

static enum mh_status monitor_show_files(struct debug *debug, const char *argument, const struct text_output *output,
                                         struct mh_error *err)
{
    (void)argument, (void)err;
    struct text_output to = *output;
    if (history_replays(debug)) {
        text_say(output, "a recording is replayed: it has what the guest read from files, and opens none\n");
        return MH_OK;
    }
    if (history_is_past(debug))
        text_say(output, "the machine is in its past; this is how its files are in the present\n");
    text_say(output, "own files, in %s/%s:\n", debug->vm->config.files_parent, debug->vm->config.files_name);
    file_store_list(&debug->vm->file.store, monitor_say_file, &to);
    text_say(output, "%" PRIu64 " of %" PRIu64 " bytes written\n", debug->vm->file.store.written,
             debug->vm->file.store.limits.bytes_written);
    text_say(output, "open files:\n  fd  mode   position        size  name\n");
    file_store_list_open(&debug->vm->file.store, monitor_say_open_file, &to);
    return MH_OK;
}

static enum mh_status monitor_say_why(struct debug *debug, const char *argument, const struct text_output *output,
                                      struct mh_error *err)
{
    (void)argument, (void)err;
    report_stop_briefly(debug->vm, &debug->last_stop, output->sink, output->ctx);
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
    bool takes_argument;
    enum mh_status (*run)(struct debug *, const char *, const struct text_output *, struct mh_error *);
};

static const struct command commands[] = {
    {"regs", false, monitor_show_registers},
    {"pt", true, monitor_show_tables},
    {"map", false, monitor_show_map},
    {"files", false, monitor_show_files},
    {"stats", false, monitor_show_stats},
    {"snapshot", true, monitor_take_snapshot},
    {"snapshots", false, monitor_show_snapshots},
    {"catch", true, monitor_catch_event},
    {"uncatch", true, monitor_forget_catch},
    {"core", true, monitor_write_core},
    {"forget", true, monitor_forget_snapshot},
    {"when", false, monitor_show_position},
    {"history", false, monitor_show_history},
    {"info", true, monitor_show_info},
    {"why", false, monitor_say_why},
    {"interrupts", true, monitor_set_interrupts},
};

enum mh_status monitor_run(struct debug *debug, const char *command, const struct text_output *output,
                           struct mh_error *err)
{
    size_t length = strcspn(command, " ");
    const char *argument = command + length + strspn(command + length, " ");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strlen(commands[i].name) != length || strncmp(command, commands[i].name, length) != 0)
            continue;
        if (*argument != '\0' && !commands[i].takes_argument)
            return mh_fail(err, MH_ERR_USAGE, "%s takes no argument", commands[i].name);
        return commands[i].run(debug, argument, output, err);
    }
    return mh_fail(err, MH_ERR_USAGE, "there is no command '%.*s'", (int)length, command);
}
