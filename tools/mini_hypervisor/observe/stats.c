#include "observe/stats.h"

#include <inttypes.h>

/* The last entry counts all reasons that do not fit. */
static struct stats_exits *stats_exits_for(struct stats *stats, const char *reason)
{
    unsigned i = 0;
    while (i < stats->reasons && i < STATS_REASONS_MAX - 1 && stats->exits[i].reason != reason)
        i++;
    if (i == stats->reasons)
        stats->exits[stats->reasons++].reason = reason;
    return &stats->exits[i];
}

static void stats_count_exit(struct stats *stats, uint64_t now, const char *reason)
{
    stats->guest_ns += now - stats->since;
    stats->since = now;
    stats->last = stats_exits_for(stats, reason);
    stats->last->count++;
}

static void stats_count_entry(struct stats *stats, uint64_t now)
{
    if (stats->last != NULL)
        stats->last->ns += now - stats->since;
    stats->since = now;
}

static void stats_count_port(struct stats *stats, const struct mh_event *event)
{
    if (event->port == MH_PORT_SERIAL && event->width == 1)
        *(event->is_in ? &stats->bytes_in : &stats->bytes_out) += event->count;
}

void stats_event(struct stats *stats, uint64_t now, const struct mh_event *event)
{
    switch (event->kind) {
    case MH_EVENT_ENTER:
        stats_count_entry(stats, now);
        break;
    case MH_EVENT_EXIT:
        stats_count_exit(stats, now, event->reason);
        break;
    case MH_EVENT_PORT:
        stats_count_port(stats, event);
        break;
    case MH_EVENT_FILE:
        stats->file_calls[event->op <= MH_FILE_SIZE ? event->op : 0]++;
        break;
    case MH_EVENT_FAULT:
    case MH_EVENT_INTERRUPT:
    case MH_EVENT_CR3:
    case MH_EVENT_STOP:
        break;
    }
}

static double milliseconds(uint64_t ns)
{
    return (double)ns / 1e6;
}

void stats_print(const struct stats *stats, FILE *to)
{
    uint64_t count = 0, ns = 0;
    fprintf(to, "     exits    ms outside  reason\n");
    for (unsigned i = 0; i < stats->reasons; i++) {
        const struct stats_exits *exits = &stats->exits[i];
        fprintf(to, "%10" PRIu64 "  %12.3f  %s\n", exits->count, milliseconds(exits->ns), exits->reason);
        count += exits->count;
        ns += exits->ns;
    }
    fprintf(to, "%10" PRIu64 "  %12.3f  all, and %.3f ms in the guest\n", count, milliseconds(ns),
            milliseconds(stats->guest_ns));
    fprintf(to, "%10" PRIu64 "                bytes out of the serial port\n", stats->bytes_out);
    fprintf(to, "%10" PRIu64 "                bytes into it\n", stats->bytes_in);
    for (unsigned op = 0; op <= MH_FILE_SIZE; op++) {
        if (stats->file_calls[op] > 0)
            fprintf(to, "%10" PRIu64 "                file calls: %s\n", stats->file_calls[op],
                    mh_file_op_name((uint8_t)op));
    }
}
