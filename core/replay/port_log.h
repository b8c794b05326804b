/*
 * What came from outside into a guest: the answers to its port accesses, in order. A guest has one processor and no
 * asynchronous input, so with these and the start everything else repeats by itself.
 *
 * Most accesses have no answer (an OUT to the serial port), and take no room: an answer is stored with the number of
 * its access. A cursor is a place in the log: between two accesses.
 */
#ifndef MH_CORE_REPLAY_PORT_LOG_H
#define MH_CORE_REPLAY_PORT_LOG_H

#include "cpu/cpu.h"
#include "mh/event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct port_log {
    uint8_t *bytes; /* the answers, one after the other */
    size_t length, capacity;
    uint64_t accesses; /* recorded in all */
    uint64_t answered; /* number of the last access that has an answer, counted from 1; 0: none has */
    /* the access that is being recorded: */
    size_t start;  /* of its answer in `bytes` */
    size_t writes; /* to guest memory so far */
    bool failed;   /* no memory: the log ends with the last whole answer */
};

struct port_cursor {
    size_t offset;     /* of the next answer in port_log.bytes */
    uint64_t access;   /* accesses before this place */
    uint64_t answered; /* number of the last one before this place that has an answer */
};

void port_log_free(struct port_log *log);

/* The place behind the last access. */
struct port_cursor port_log_end(const struct port_log *log);
bool port_log_is_at_end(const struct port_log *log, const struct port_cursor *cursor);

/*
 * Record one access: begin, each range of guest memory that its device wrote, and end, when exit->data holds the answer
 * of an IN. `file` is the file call that the access completed, op 0 for none.
 */
void port_log_begin(struct port_log *log);
void port_log_wrote(struct port_log *log, mh_gpa start, const void *bytes, size_t length);
void port_log_finish(struct port_log *log, const struct cpu_exit *exit, const struct mh_event *file);
/* The access was not made after all. */
void port_log_cancel(struct port_log *log);

enum port_replay {
    PORT_REPLAYED,
    PORT_REPLAY_ENDED,   /* the log has no more accesses */
    PORT_REPLAY_DIFFERS, /* the guest makes another access than the one recorded */
};

/*
 * Answer the access of *exit from the log: fill in its data, and guest memory, and *file (its name lives in the log).
 * Moves the cursor behind it.
 */
enum port_replay port_log_replay(const struct port_log *log, struct port_cursor *cursor, const struct cpu_exit *exit,
                                 struct guest_ram *ram, struct mh_event *file);

/* Drop what is behind the cursor. */
void port_log_cut(struct port_log *log, const struct port_cursor *cursor);

#endif
