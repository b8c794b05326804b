/* What a machine did, in the order in which it did it: events of one kind that follow each other are one entry. */
#ifndef MH_TOOL_REPORT_TIMELINE_H
#define MH_TOOL_REPORT_TIMELINE_H

#include "mh/event.h"
#include "mh/guest_abi.h"

/* Of a longer run, the first and the last entries are kept. */
#define TIMELINE_FIRST 3000u
#define TIMELINE_LAST 1000u
#define TIMELINE_ENTRIES (TIMELINE_FIRST + TIMELINE_LAST)

#define TIMELINE_FILES_MAX 64u
#define TIMELINE_NO_FILE TIMELINE_FILES_MAX /* none, or one that did not fit */

struct timeline_file {
    char name[MH_FILE_NAME_MAX + 1];
    uint64_t calls[MH_FILE_SIZE + 1u]; /* by enum mh_file_op */
    uint64_t failed;
    uint64_t bytes_read, bytes_written;
};

struct timeline_entry {
    enum mh_event_kind kind; /* PORT, FILE, FAULT, CR3 or STOP */
    bool is_in;              /* PORT */
    uint16_t port;           /* PORT */
    uint8_t op;              /* FILE: enum mh_file_op; STOP: enum mh_stop_kind */
    uint8_t vector;          /* FAULT */
    uint8_t file;            /* FILE: index into `files`, or TIMELINE_NO_FILE */
    bool has_rip, has_instructions;
    uint64_t count;       /* events */
    uint64_t bytes;       /* through the port, or to and from the file */
    uint64_t begin, end;  /* of the first and the last event, in nanoseconds since the start */
    uint64_t first, last; /* the same as counts of instructions */
    uint64_t rip;         /* of the first */
    uint64_t value;       /* of the last: PORT the value, FILE the result, FAULT the handler, CR3 what it became */
};

/* All zero at the start. It is large, and most of it is often not used: see pages.h. */
struct report_timeline {
    uint64_t start; /* the time of the first event */
    bool has_started;
    uint64_t end;   /* of the last event, since the start */
    uint64_t count; /* of all entries, also of those that are not kept */
    struct timeline_file files[TIMELINE_FILES_MAX];
    unsigned file_count;
    uint64_t unlisted_calls;                         /* of files that did not fit */
    struct timeline_entry entries[TIMELINE_ENTRIES]; /* the first; behind them a ring of the last */
};

/* Add an event, which happened at `now`, in nanoseconds since any fixed moment. */
void report_timeline_event(struct report_timeline *timeline, uint64_t now, const struct mh_event *event);

/* How many entries are kept, and the i-th of them, oldest first. */
unsigned report_timeline_kept(const struct report_timeline *timeline);
const struct timeline_entry *report_timeline_at(const struct report_timeline *timeline, unsigned i);

#endif
