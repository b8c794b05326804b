/*
 * What came from outside into a guest: the answers to its port accesses, in order. A guest has one processor and no
 * asynchronous input, so with these and the start everything else repeats by itself.
 *
 * Accesses are numbered from 1, each repetition of a string instruction on its own, but for those that print to the
 * serial port: they have no answer, and processors may gather them. Most others have none either, and take no room: an
 * answer is stored with the number of its access. A cursor is a place in the log: between two accesses.
 */
#ifndef MH_CORE_REPLAY_PORT_LOG_H
#define MH_CORE_REPLAY_PORT_LOG_H

#include "cpu/cpu.h"
#include "mh/event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Most answers are a byte of the serial port. One that belongs to the access right behind that of the answer before
 * takes two bytes in the log: PORT_ANSWER_BYTE, and the byte. All others are PORT_ANSWER_WHOLE and what follows here.
 */
#define PORT_ANSWER_WHOLE 0u
#define PORT_ANSWER_BYTE 1u
/* Between answers may be interrupts: PORT_INTERRUPT and a struct port_interrupt. */
#define PORT_INTERRUPT 2u

/*
 * A whole answer in the log, which is also its form in a recording's file: little-endian, without padding. Behind the
 * head are `data_length` bytes for the IN, the file's name with its NUL, and the writes to guest memory, each a struct
 * port_write and its bytes.
 */
struct __attribute__((packed)) port_answer {
    uint64_t access; /* its number */
    int64_t file_result;
    uint32_t data_length;
    uint32_t writes;
    uint16_t port;
    uint16_t name_length;
    uint8_t width;
    uint8_t file_op;
    uint8_t is_in;
    uint8_t zero;
};

struct __attribute__((packed)) port_write {
    uint64_t start, length;
};

/* An interrupt was delivered right after an access, or it is what a HLT waited for. */
struct __attribute__((packed)) port_interrupt {
    uint64_t access;  /* how many accesses there were before, ... */
    uint64_t printed; /* ... and bytes on the serial port, which are not among them */
    uint8_t vector;   /* 0: HLT was passed without an interrupt, as a debugger wanted */
    uint8_t at_halt;
    uint8_t zero[6];
};

struct port_log {
    uint8_t *bytes; /* the answers, one after the other */
    size_t length, capacity;
    size_t dropped;    /* bytes of answers that came before bytes[0] */
    uint64_t accesses; /* recorded in all */
    uint64_t answered; /* number of the last access that has an answer; 0: none has */
    bool failed;       /* no memory for an answer: the log is good for nothing behind the last one */
    /* the access that is being recorded: */
    size_t start;  /* of its answer in `bytes`; what is before it is complete */
    size_t writes; /* to guest memory so far */
};

struct port_cursor {
    size_t offset;     /* of the next answer, counted from the beginning of the log */
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

/* Record an interrupt. `printed`: bytes on the serial port so far. */
void port_log_interrupt(struct port_log *log, uint64_t printed, bool at_halt, uint8_t vector);

/* Was an interrupt delivered at this place, after the last access or `at_halt`? True with *vector set, and the cursor
 * behind it. */
bool port_log_replay_interrupt(const struct port_log *log, struct port_cursor *cursor, uint64_t printed, bool at_halt,
                               uint8_t *vector);

enum port_replay {
    PORT_REPLAYED,
    PORT_REPLAY_ENDED,   /* the log has no more accesses */
    PORT_REPLAY_DIFFERS, /* the guest makes another access than the one recorded */
};

/*
 * Answer the access of *exit from the log: fill in its data, and guest memory, and *file (its name lives in the log).
 * Moves the cursor behind it, but where the result is not PORT_REPLAYED.
 */
enum port_replay port_log_replay(const struct port_log *log, struct port_cursor *cursor, const struct cpu_exit *exit,
                                 struct guest_ram *ram, struct mh_event *file);

/* Drop all complete answers, perhaps while an access is being recorded. */
void port_log_drop_answers(struct port_log *log);

/* Drop what is behind the cursor, or what is before it. */
void port_log_cut(struct port_log *log, const struct port_cursor *cursor);
void port_log_drop_before(struct port_log *log, const struct port_cursor *cursor);

/*
 * Add a piece of a log that comes from elsewhere and may hold anything, and say that `accesses` have been recorded
 * now. It is checked as a whole first, against a guest that has `ram`. False: it is no piece that can follow, or there
 * is no memory for it, and the log is as it was.
 */
bool port_log_append_foreign(struct port_log *log, const uint8_t *bytes, size_t length, uint64_t accesses,
                             const struct guest_ram *ram);

#endif
