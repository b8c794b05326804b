#include "packets/dispatch.h"

#include "packets/commands.h"

#include <string.h>

/* One row per packet, in the order of their first characters. The longest name that matches wins. */
static const struct gdb_command table[] = {
    {"!", GDB_ARGS_NONE, 0, 0, gdb_cmd_extended},
    {"?", GDB_ARGS_NONE, 0, 0, gdb_cmd_why},
    {"C", GDB_ARGS_ADJACENT, 0, GDB_LATER, gdb_cmd_continue_signal},
    {"D", GDB_ARGS_OPTIONAL, ';', 0, gdb_cmd_detach},
    {"G", GDB_ARGS_ADJACENT, 0, 0, gdb_cmd_write_all_regs},
    {"H", GDB_ARGS_ADJACENT, 0, 0, gdb_cmd_set_thread},
    {"M", GDB_ARGS_ADJACENT, 0, GDB_PAUSES, gdb_cmd_write_memory},
    {"P", GDB_ARGS_ADJACENT, 0, 0, gdb_cmd_write_reg},
    {"QNonStop", GDB_ARGS_AFTER, ':', GDB_LATER, gdb_cmd_non_stop},
    {"QStartNoAckMode", GDB_ARGS_NONE, 0, 0, gdb_cmd_no_ack},
    {"QPassSignals", GDB_ARGS_AFTER, ':', 0, gdb_cmd_pass_signals},
    {"QProgramSignals", GDB_ARGS_AFTER, ':', 0, gdb_cmd_program_signals},
    {"QThreadEvents", GDB_ARGS_AFTER, ':', GDB_PAUSES, gdb_cmd_thread_events},
    {"QTinit", GDB_ARGS_NONE, 0, GDB_PAUSES, gdb_cmd_trace_init},
    {"QTDP", GDB_ARGS_AFTER, ':', GDB_PAUSES, gdb_cmd_trace_define},
    {"QTDPsrc", GDB_ARGS_AFTER, ':', GDB_PAUSES, gdb_cmd_trace_source},
    {"QTDV", GDB_ARGS_AFTER, ':', GDB_PAUSES, gdb_cmd_trace_variable},
    {"QTro", GDB_ARGS_OPTIONAL, ':', GDB_PAUSES, gdb_cmd_trace_readonly},
    {"QTStart", GDB_ARGS_NONE, 0, GDB_PAUSES, gdb_cmd_trace_start},
    {"QTStop", GDB_ARGS_NONE, 0, GDB_PAUSES, gdb_cmd_trace_stop},
    {"QTEnable", GDB_ARGS_AFTER, ':', GDB_PAUSES, gdb_cmd_trace_enable},
    {"QTDisable", GDB_ARGS_AFTER, ':', GDB_PAUSES, gdb_cmd_trace_disable},
    {"QTFrame", GDB_ARGS_AFTER, ':', GDB_PAUSES, gdb_cmd_select_frame},
    {"QTDisconnected", GDB_ARGS_AFTER, ':', GDB_PAUSES, gdb_cmd_trace_disconnected},
    {"QTBuffer:circular", GDB_ARGS_AFTER, ':', GDB_PAUSES, gdb_cmd_trace_circular},
    {"QTBuffer:size", GDB_ARGS_AFTER, ':', GDB_PAUSES, gdb_cmd_trace_size},
    {"QTNotes", GDB_ARGS_AFTER, ':', GDB_PAUSES, gdb_cmd_trace_notes},
    {"Qqemu.PhyMemMode", GDB_ARGS_AFTER, ':', 0, gdb_cmd_set_physical},
    {"R", GDB_ARGS_ADJACENT, 0, GDB_LATER, gdb_cmd_restart},
    {"S", GDB_ARGS_ADJACENT, 0, GDB_LATER, gdb_cmd_step_signal},
    {"T", GDB_ARGS_ADJACENT, 0, 0, gdb_cmd_thread_alive},
    {"X", GDB_ARGS_ADJACENT, 0, GDB_PAUSES, gdb_cmd_write_memory_binary},
    {"Z", GDB_ARGS_ADJACENT, 0, GDB_PAUSES, gdb_cmd_insert},
    {"bc", GDB_ARGS_NONE, 0, GDB_LATER, gdb_cmd_continue_backwards},
    {"bs", GDB_ARGS_NONE, 0, GDB_LATER, gdb_cmd_step_backwards},
    {"c", GDB_ARGS_ADJACENT, 0, GDB_LATER, gdb_cmd_continue},
    {"g", GDB_ARGS_NONE, 0, 0, gdb_cmd_read_all_regs},
    {"k", GDB_ARGS_NONE, 0, 0, gdb_cmd_kill_all},
    {"m", GDB_ARGS_ADJACENT, 0, GDB_PAUSES, gdb_cmd_read_memory},
    {"p", GDB_ARGS_ADJACENT, 0, 0, gdb_cmd_read_reg},
    {"qSupported", GDB_ARGS_OPTIONAL, ':', 0, gdb_cmd_supported},
    {"qAttached", GDB_ARGS_OPTIONAL, ':', 0, gdb_cmd_attached},
    {"qC", GDB_ARGS_NONE, 0, 0, gdb_cmd_current_thread},
    {"qfThreadInfo", GDB_ARGS_NONE, 0, 0, gdb_cmd_first_threads},
    {"qsThreadInfo", GDB_ARGS_NONE, 0, 0, gdb_cmd_more_threads},
    {"qThreadExtraInfo", GDB_ARGS_AFTER, ',', 0, gdb_cmd_thread_extra},
    {"qRcmd", GDB_ARGS_AFTER, ',', GDB_LATER | GDB_PAUSES, gdb_cmd_monitor},
    {"qCRC", GDB_ARGS_AFTER, ':', GDB_LATER | GDB_PAUSES, gdb_cmd_crc},
    {"qSearch:memory", GDB_ARGS_AFTER, ':', GDB_LATER | GDB_PAUSES, gdb_cmd_search},
    {"qMemoryRegionInfo", GDB_ARGS_AFTER, ':', GDB_PAUSES, gdb_cmd_memory_region},
    {"qXfer:features:read", GDB_ARGS_AFTER, ':', GDB_PAUSES, gdb_cmd_xfer_features},
    {"qXfer:threads:read", GDB_ARGS_AFTER, ':', 0, gdb_cmd_xfer_threads},
    {"qXfer:memory-map:read", GDB_ARGS_AFTER, ':', GDB_PAUSES, gdb_cmd_xfer_memory_map},
    {"qXfer:exec-file:read", GDB_ARGS_AFTER, ':', 0, gdb_cmd_xfer_exec_file},
    {"qXfer:traceframe-info:read", GDB_ARGS_AFTER, ':', 0, gdb_cmd_xfer_traceframe},
    {"qTStatus", GDB_ARGS_NONE, 0, 0, gdb_cmd_trace_status},
    {"qTP", GDB_ARGS_AFTER, ':', 0, gdb_cmd_trace_point_status},
    {"qTV", GDB_ARGS_AFTER, ':', 0, gdb_cmd_trace_value},
    {"qTfP", GDB_ARGS_NONE, 0, 0, gdb_cmd_trace_first_points},
    {"qTsP", GDB_ARGS_NONE, 0, 0, gdb_cmd_trace_more_points},
    {"qTfV", GDB_ARGS_NONE, 0, 0, gdb_cmd_trace_first_variables},
    {"qTsV", GDB_ARGS_NONE, 0, 0, gdb_cmd_trace_more_variables},
    {"qTBuffer", GDB_ARGS_AFTER, ':', 0, gdb_cmd_trace_buffer},
    {"qqemu.PhyMemMode", GDB_ARGS_NONE, 0, 0, gdb_cmd_get_physical},
    {"s", GDB_ARGS_ADJACENT, 0, GDB_LATER, gdb_cmd_step},
    {"vCont", GDB_ARGS_AFTER, ';', GDB_LATER, gdb_cmd_vcont},
    {"vStopped", GDB_ARGS_NONE, 0, 0, gdb_cmd_stopped},
    {"vCont?", GDB_ARGS_NONE, 0, 0, gdb_cmd_vcont_query},
    {"vCtrlC", GDB_ARGS_NONE, 0, 0, gdb_cmd_ctrl_c},
    {"vAttach", GDB_ARGS_AFTER, ';', GDB_LATER, gdb_cmd_attach},
    {"vRun", GDB_ARGS_AFTER, ';', GDB_LATER, gdb_cmd_run},
    {"vKill", GDB_ARGS_AFTER, ';', 0, gdb_cmd_kill},
    {"vMustReplyEmpty", GDB_ARGS_NONE, 0, 0, gdb_cmd_unknown},
    {"vFile:setfs", GDB_ARGS_AFTER, ':', 0, gdb_cmd_file_setfs},
    {"vFile:open", GDB_ARGS_AFTER, ':', GDB_PAUSES, gdb_cmd_file_open},
    {"vFile:close", GDB_ARGS_AFTER, ':', 0, gdb_cmd_file_close},
    {"vFile:pread", GDB_ARGS_AFTER, ':', 0, gdb_cmd_file_pread},
    {"vFile:pwrite", GDB_ARGS_AFTER, ':', 0, gdb_cmd_file_refuse},
    {"vFile:fstat", GDB_ARGS_AFTER, ':', 0, gdb_cmd_file_fstat},
    {"vFile:unlink", GDB_ARGS_AFTER, ':', 0, gdb_cmd_file_refuse},
    {"vFile:readlink", GDB_ARGS_AFTER, ':', 0, gdb_cmd_file_readlink},
    {"x", GDB_ARGS_ADJACENT, 0, GDB_PAUSES, gdb_cmd_read_memory_binary},
    {"z", GDB_ARGS_ADJACENT, 0, GDB_PAUSES, gdb_cmd_remove},
};

const struct gdb_command *gdb_command_table(size_t *count)
{
    *count = sizeof table / sizeof table[0];
    return table;
}

/* True if the rest of the packet fits the command; steps over the separator. */
static bool command_args_fit(const struct gdb_command *command, struct gdb_text *rest)
{
    switch (command->args) {
    case GDB_ARGS_NONE:
        return gdb_text_empty(rest);
    case GDB_ARGS_ADJACENT:
        return true;
    case GDB_ARGS_AFTER:
        return gdb_text_eat(rest, command->separator);
    case GDB_ARGS_OPTIONAL:
        return gdb_text_empty(rest) || gdb_text_eat(rest, command->separator);
    }
    return false;
}

/* The first row whose name does not begin with a lower character. */
static const struct gdb_command *command_first(char begin)
{
    size_t low = 0, high = sizeof table / sizeof table[0];

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (table[middle].name[0] < begin)
            low = middle + 1;
        else
            high = middle;
    }
    return &table[low];
}

/* Compares the second character, which is enough to rule out nearly every row that has the same first. */
static bool command_may_be(const char *name, const struct gdb_text *packet)
{
    return name[1] == '\0' || (packet->end - packet->at > 1 && name[1] == packet->at[1]);
}

const struct gdb_command *gdb_command_find(struct gdb_text packet, struct gdb_text *args)
{
    const struct gdb_command *end = table + sizeof table / sizeof table[0], *best = NULL;
    size_t best_length = 0;

    if (gdb_text_empty(&packet))
        return NULL;
    for (const struct gdb_command *row = command_first(packet.at[0]); row < end && row->name[0] == packet.at[0];
         row++) {
        struct gdb_text rest = packet;

        if (!command_may_be(row->name, &packet) || !gdb_text_eat_word(&rest, row->name))
            continue;
        if (!command_args_fit(row, &rest) || strlen(row->name) <= best_length)
            continue;
        best = row;
        best_length = strlen(best->name);
        *args = rest;
    }
    return best;
}

enum gdb_outcome gdb_dispatch(struct gdb_session *session, struct gdb_text packet)
{
    struct gdb_text args;
    const struct gdb_command *command = gdb_command_find(packet, &args);

    gdb_reply_clear(&session->out);
    if (command == NULL)
        return GDB_REPLY;
    if (command->flags & GDB_LATER)
        gdb_session_acknowledge(session);
    if (command->flags & GDB_PAUSES)
        gdb_session_pause(session);
    return command->run(session, args);
}
