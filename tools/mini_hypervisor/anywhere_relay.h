/*
 * Streams of bytes between descriptors on two sides of one channel. Both sides of --anywhere have a relay. A stream
 * may have a descriptor that is read, whose bytes the other side writes to its own, and one that is written.
 *
 * Flow control: each side sends RELAY_WINDOW bytes of a stream at most that the other side has not written out yet
 * (WIRE_CREDIT says it has), so a stream that nobody takes stops itself and no other. The relay never waits: its owner
 * does, with poll().
 */
#ifndef MH_TOOL_ANYWHERE_RELAY_H
#define MH_TOOL_ANYWHERE_RELAY_H

#include "anywhere_wire.h"

#include <poll.h>
#include <stdbool.h>

#define RELAY_WINDOW 65536u
#define RELAY_POLL_FDS (1 + 2 * WIRE_STREAMS)

struct relay_stream {
    bool is_open;
    bool is_socket;     /* both ways lead to one: it has two ends to be said */
    bool pauses;        /* read_fd is not to be read now */
    int read_fd;        /* -1 when nothing more comes from it */
    int write_fd;       /* -1 when nothing more goes there */
    int end_byte;       /* what is written for the end of the stream, when closing would not say it; -1: nothing */
    int write_error;    /* the errno that writing failed with; 0: none */
    uint64_t received;  /* bytes that came from the other side */
    uint32_t credit;    /* bytes the other side still takes */
    uint32_t unclaimed; /* bytes written out, credit not given for yet */
    bool peer_closed;   /* no more bytes come from the other side */
    size_t first, held; /* what came and is not written yet, in `buffer`, a ring */
    uint8_t buffer[RELAY_WINDOW];
};

/* Takes a frame that is about no stream, or opens one. False when it makes no sense. */
typedef bool relay_take_frame(void *ctx, const struct wire_frame *frame);

struct relay {
    int channel; /* does not block */
    relay_take_frame *take_frame;
    void *ctx;
    unsigned last_opened; /* of the debuggers' */
    size_t in_length, out_length;
    uint8_t in[WIRE_HEADER + WIRE_PAYLOAD_MAX];
    uint8_t out[4 * (WIRE_HEADER + WIRE_PAYLOAD_MAX)];
    struct relay_stream streams[WIRE_STREAMS];
};

enum relay_state {
    RELAY_GOES_ON,
    RELAY_ENDED,    /* the other side has closed the channel */
    RELAY_NONSENSE, /* the other side says what means nothing */
};

void relay_init(struct relay *relay, int channel, relay_take_frame *take_frame, void *ctx);

/* Close the descriptors of all streams. */
void relay_close(struct relay *relay);

/*
 * Open stream `number`, which is not open. The descriptors are the relay's from now on: it closes them. They may block:
 * nothing is read or written that poll() has not announced, in parts that pipes take at once.
 */
void relay_open(struct relay *relay, unsigned number, int read_fd, int write_fd);

/*
 * A stream that is not open, from 3 on; 0 when there is none. They are taken in turn, so that the last words about one
 * that ended do not meet its successor.
 */
unsigned relay_free_stream(const struct relay *relay);

/* Whether the other side may open the stream: it is not open, or both have said that no more bytes come. */
bool relay_may_open(const struct relay *relay, unsigned number);

/* Send a frame about no stream, or one that opens one. It goes out with the next relay_serve(). */
void relay_send(struct relay *relay, enum wire_type type, unsigned stream, const void *payload, size_t length);
void relay_send_number(struct relay *relay, enum wire_type type, unsigned stream, uint32_t number);

/* Fill in what to wait for; fds has RELAY_POLL_FDS entries. */
void relay_prepare_poll(const struct relay *relay, struct pollfd *fds);

/* After poll(): move what can be moved. */
enum relay_state relay_serve(struct relay *relay, const struct pollfd *fds);

/* Nothing waits any more to be sent to the other side, or to be written to the stream's descriptor. */
bool relay_has_sent(const struct relay *relay);
bool relay_has_written(const struct relay *relay, unsigned stream);

#endif
