/* --stats: a table of what a machine did, counted from its events. */
#ifndef MH_TOOL_STATS_H
#define MH_TOOL_STATS_H

#include "mh/event.h"
#include "mh/guest_abi.h"

#include <stdio.h>

#define STATS_REASONS_MAX 16u

struct stats_exits {
    const char *reason;
    uint64_t count;
    uint64_t ns; /* from these exits to the next entries */
};

/* All zero at the start. */
struct stats {
    struct stats_exits exits[STATS_REASONS_MAX]; /* in the order of their first appearance */
    unsigned reasons;
    struct stats_exits *last;
    uint64_t since; /* when the guest was last entered or left */
    uint64_t guest_ns;
    uint64_t bytes_in, bytes_out;           /* through the serial port */
    uint64_t file_calls[MH_FILE_SIZE + 1u]; /* by enum mh_file_op; [0]: invalid ones */
};

/* Count the event, which happened at `now`, in nanoseconds since any fixed moment. */
void stats_event(struct stats *stats, uint64_t now, const struct mh_event *event);

/* Write the table. */
void stats_print(const struct stats *stats, FILE *to);

#endif
