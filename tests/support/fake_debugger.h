/*
 * A debugger that has written all its packets before the stub reads the first: they are queued, the session runs over
 * them on the calling thread until they are used up, and the replies can be looked at. Needs no thread, no port, no
 * time. Replies are decoded by code of its own.
 */
#ifndef FAKE_DEBUGGER_H
#define FAKE_DEBUGGER_H

#include "fake_target.h"
#include "session/machines.h"
#include "session/session.h"

#include <stdbool.h>
#include <stddef.h>

#define FAKE_INPUT_MAX 0x100000u
#define FAKE_OUTPUT_MAX 0x400000u
#define FAKE_REPLIES_MAX 512u

struct fake_reply {
    const char *text; /* payload, runs and escapes undone, with a NUL behind it; of a notification, with its '%' */
    size_t length;
    bool checksum_ok;
};

struct fake_debugger {
    struct fake_target fake;
    struct gdb_machines machines;
    struct gdb_machine list[FAKE_MACHINES];
    struct gdb_session session;
    enum gdb_session_end end;

    size_t input_length;
    size_t output_length;
    size_t text_length;
    unsigned reply_count;
    struct fake_reply replies[FAKE_REPLIES_MAX];
    char input[FAKE_INPUT_MAX];
    char output[FAKE_OUTPUT_MAX]; /* as it was sent */
    char texts[FAKE_OUTPUT_MAX];
};

/* A debugger for `count` fresh machines; NULL without memory. Free with fake_debugger_free(). */
struct fake_debugger *fake_debugger_new(unsigned count);
void fake_debugger_free(struct fake_debugger *debugger);

/* Set-up and tear-down of tests whose state is such a debugger, for one machine or two. */
int fake_debugger_of_one(void **state);
int fake_debugger_of_two(void **state);
int fake_debugger_tear_down(void **state);

/* Queue bytes as they are. */
void fake_debugger_raw(struct fake_debugger *debugger, const void *bytes, size_t length);

/* Queue a packet with frame and checksum, and the acknowledgement of its reply. No byte of it may need an escape. */
void fake_debugger_packet(struct fake_debugger *debugger, const char *payload);

/* The same for any bytes, escaped as needed. */
void fake_debugger_binary_packet(struct fake_debugger *debugger, const void *payload, size_t length);

/* Run a session over what is queued, until it is used up; then the queue is empty and the replies are there. */
void fake_debugger_run(struct fake_debugger *debugger);

/*
 * The same, but the stub receives what is queued in pieces: `first` bytes, then `rest` bytes at a time (0: all the rest
 * at once). Each read gets one piece. For queues of some hundred bytes: the kernel keeps them all.
 */
void fake_debugger_run_in_pieces(struct fake_debugger *debugger, size_t first, size_t rest);

/* The same, with a piece for each packet and each other byte: machines run, and stops are reported, between them. */
void fake_debugger_run_by_packets(struct fake_debugger *debugger);

/* In a session of its own: qSupported with `features`, then `payload`. Returns the last reply ("" for none). */
const char *fake_debugger_ask(struct fake_debugger *debugger, const char *features, const char *payload);

/* The same; a last reply other than `reply` fails the test. */
void fake_debugger_expect(struct fake_debugger *debugger, const char *features, const char *payload, const char *reply);

struct fake_exchange {
    const char *packet, *reply;
};

/* fake_debugger_expect() for each of a list. */
void fake_debugger_expect_each(struct fake_debugger *debugger, const char *features, const struct fake_exchange *list,
                               size_t count);

/* All of a list in one session, each with one reply; NULL is any. */
void fake_debugger_expect_session(struct fake_debugger *debugger, const struct fake_exchange *list, size_t count);

/* The last reply but `back`. */
const struct fake_reply *fake_debugger_last(const struct fake_debugger *debugger, unsigned back);

#endif
