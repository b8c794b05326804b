#include "anywhere_relay.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STREAM 1

/* Two relays at the ends of one channel, and what the second was told about no stream. */
struct pair {
    struct relay here, there;
    enum wire_type told;
    uint64_t number;
    bool refuses;
};

static bool take_frame(void *ctx, const struct wire_frame *frame)
{
    struct pair *pair = ctx;
    pair->told = frame->type;
    pair->number = wire_get_number(frame->payload, frame->length < 8 ? frame->length : 8);
    return !pair->refuses;
}

static int set_up(void **state)
{
    int ends[2];
    struct pair *pair = calloc(1, sizeof *pair);
    if (pair == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) != 0)
        return -1;
    relay_init(&pair->here, ends[0], take_frame, pair);
    relay_init(&pair->there, ends[1], take_frame, pair);
    signal(SIGPIPE, SIG_IGN);
    *state = pair;
    return 0;
}

static int tear_down(void **state)
{
    struct pair *pair = *state;
    relay_close(&pair->here);
    relay_close(&pair->there);
    close(pair->here.channel);
    close(pair->there.channel);
    free(pair);
    return 0;
}

static enum relay_state turn(struct relay *relay)
{
    struct pollfd fds[RELAY_POLL_FDS];
    relay_prepare_poll(relay, fds);
    assert_true(poll(fds, RELAY_POLL_FDS, 0) >= 0);
    return relay_serve(relay, fds);
}

/* Let both do what can be done. */
static void settle(struct pair *pair)
{
    for (int i = 0; i < 200; i++) {
        assert_int_equal(turn(&pair->here), RELAY_GOES_ON);
        assert_int_equal(turn(&pair->there), RELAY_GOES_ON);
    }
}

/* A pipe into the one relay that comes out of a pipe at the other. */
static void open_one_way(struct pair *pair, int *in, int *out)
{
    int from[2], to[2];
    assert_int_equal(pipe2(from, O_NONBLOCK), 0);
    assert_int_equal(pipe2(to, O_NONBLOCK), 0);
    relay_open(&pair->here, STREAM, from[0], -1);
    relay_open(&pair->there, STREAM, -1, to[1]);
    *in = from[1];
    *out = to[0];
}

static void open_sockets(struct pair *pair, unsigned stream, int *one, int *other)
{
    int a[2], b[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, a), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, b), 0);
    relay_open(&pair->here, stream, a[0], dup(a[0]));
    relay_open(&pair->there, stream, b[0], dup(b[0]));
    *one = a[1];
    *other = b[1];
}

static void test_bytes_and_end(void **state)
{
    struct pair *pair = *state;
    char got[16];
    int in, out;
    open_one_way(pair, &in, &out);
    assert_int_equal(write(in, "a\0b", 3), 3);
    settle(pair);
    assert_int_equal(read(out, got, sizeof got), 3);
    assert_memory_equal(got, "a\0b", 3);
    close(in);
    settle(pair);
    assert_int_equal(read(out, got, sizeof got), 0);
    assert_false(pair->here.streams[STREAM].is_open);
    assert_false(pair->there.streams[STREAM].is_open);
    close(out);
}

/* Megabytes arrive whole, and more than the window and the pipes hold is not taken while nobody reads. */
static void test_much(void **state)
{
    struct pair *pair = *state;
    static uint8_t bytes[65536], sample[4096];
    const size_t total = 3 << 20;
    size_t sent = 0, got = 0;
    bool differing = false;
    int in, out;
    memset(sample, 'x', sizeof sample);
    open_one_way(pair, &in, &out);
    for (size_t stalled = 0; stalled < 3; stalled++) {
        for (ssize_t part; (part = write(in, sample, sizeof sample)) > 0; stalled = 0)
            sent += (size_t)part;
        settle(pair);
    }
    assert_in_range(sent, RELAY_WINDOW, 4 * RELAY_WINDOW + (1 << 20));
    while (got < total) {
        ssize_t part = read(out, bytes, sizeof bytes);
        if (part > 0)
            got += (size_t)part;
        for (size_t i = 0; part > 0 && i < (size_t)part; i++)
            differing |= bytes[i] != 'x';
        part = write(in, sample, sizeof sample);
        sent += part > 0 ? (size_t)part : 0;
        turn(&pair->here);
        turn(&pair->there);
    }
    assert_true(got <= sent);
    assert_false(differing);
    close(in);
    close(out);
}

/* A stream that nobody takes stops itself and no other. */
static void test_streams_do_not_wait_for_each_other(void **state)
{
    struct pair *pair = *state;
    int stuck, unread, one, other;
    char got[8];
    open_one_way(pair, &stuck, &unread);
    open_sockets(pair, 3, &one, &other);
    for (int i = 0; i < 50; i++) {
        while (write(stuck, "stuck", 5) > 0)
            continue;
        turn(&pair->here);
        turn(&pair->there);
    }
    assert_int_equal(write(one, "$?#3f", 5), 5);
    settle(pair);
    assert_int_equal(read(other, got, sizeof got), 5);
    assert_int_equal(write(other, "+", 1), 1);
    settle(pair);
    assert_int_equal(read(one, got, sizeof got), 1);
    close(stuck), close(unread), close(one), close(other);
}

static void test_half_closed_sockets(void **state)
{
    struct pair *pair = *state;
    int one, other;
    char got[8];
    open_sockets(pair, 3, &one, &other);
    shutdown(one, SHUT_WR);
    settle(pair);
    assert_int_equal(read(other, got, sizeof got), 0);
    assert_int_equal(write(other, "late", 4), 4);
    settle(pair);
    assert_int_equal(read(one, got, sizeof got), 4);
    close(other);
    settle(pair);
    assert_int_equal(read(one, got, sizeof got), 0);
    assert_false(pair->here.streams[3].is_open);
    assert_int_equal(relay_free_stream(&pair->here), 4);
    close(one);
}

/* What can be written no more is taken no more: a program that prints learns it as it would have outside. */
static void test_broken_pipe(void **state)
{
    struct pair *pair = *state;
    int in, out;
    open_one_way(pair, &in, &out);
    close(out);
    assert_int_equal(write(in, "x", 1), 1);
    settle(pair);
    assert_int_equal(pair->there.streams[STREAM].write_error, EPIPE);
    assert_int_equal(write(in, "x", 1), -1);
    assert_int_equal(errno, EPIPE);
    close(in);
}

static void test_end_byte(void **state)
{
    struct pair *pair = *state;
    char got[8];
    int in, out;
    open_one_way(pair, &in, &out);
    pair->there.streams[STREAM].end_byte = 4;
    assert_int_equal(write(in, "x", 1), 1);
    close(in);
    settle(pair);
    assert_int_equal(read(out, got, sizeof got), 2);
    assert_memory_equal(got, "x\4", 2);
    close(out);
}

static void test_pause(void **state)
{
    struct pair *pair = *state;
    char got[8];
    int in, out;
    open_one_way(pair, &in, &out);
    pair->here.streams[STREAM].pauses = true;
    assert_int_equal(write(in, "x", 1), 1);
    settle(pair);
    assert_int_equal(read(out, got, sizeof got), -1);
    pair->here.streams[STREAM].pauses = false;
    settle(pair);
    assert_int_equal(read(out, got, sizeof got), 1);
    close(in), close(out);
}

static void test_other_frames(void **state)
{
    struct pair *pair = *state;
    relay_send_number(&pair->here, WIRE_SIGNAL, 0, 15);
    assert_false(relay_has_sent(&pair->here));
    settle(pair);
    assert_true(relay_has_sent(&pair->here));
    assert_int_equal(pair->told, WIRE_SIGNAL);
    assert_int_equal(pair->number, 15);
    pair->refuses = true;
    relay_send_number(&pair->here, WIRE_SIGNAL, 0, 15);
    turn(&pair->here);
    assert_int_equal(turn(&pair->there), RELAY_NONSENSE);
}

static void send_raw(struct pair *pair, const void *bytes, size_t length)
{
    assert_int_equal(write(pair->here.channel, bytes, length), length);
}

/* Whatever the other side says, nothing is written beyond a buffer. */
static void test_nonsense(void **state)
{
    struct pair *pair = *state;
    static const uint8_t cases[][16] = {
        {WIRE_DATA, 7, 0, 0, 1, 0, 0, 0, 'x'},      /* of a stream that is not open */
        {WIRE_CLOSE, 7, 0, 0},                      /* likewise */
        {WIRE_DATA, STREAM, 0, 0, 1, 0, 0, 0, 'x'}, /* the wrong way */
        {WIRE_CREDIT, STREAM, 0, 0, 4, 0, 0, 0, 1}, /* more credit than there is window */
        {WIRE_CREDIT, STREAM, 0, 0, 4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff},
        {0xff},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        relay_init(&pair->there, pair->there.channel, take_frame, pair);
        relay_open(&pair->there, STREAM, ends[0], -1);
        send_raw(pair, cases[i], sizeof cases[i]);
        assert_int_equal(turn(&pair->there), RELAY_NONSENSE);
        relay_close(&pair->there);
        close(ends[1]);
    }
}

static void test_more_than_the_window(void **state)
{
    struct pair *pair = *state;
    static uint8_t frame[WIRE_HEADER + WIRE_PAYLOAD_MAX] = {WIRE_DATA, STREAM, 0, 0, 0, WIRE_PAYLOAD_MAX >> 8};
    enum relay_state now = RELAY_GOES_ON;
    int ends[2];
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    while (write(ends[1], frame, sizeof frame) > 0) /* it takes no more */
        continue;
    relay_open(&pair->there, STREAM, -1, ends[1]);
    for (unsigned i = 0; i <= RELAY_WINDOW / WIRE_PAYLOAD_MAX && now == RELAY_GOES_ON; i++) {
        assert_int_equal(pair->there.streams[STREAM].held, i * WIRE_PAYLOAD_MAX);
        send_raw(pair, frame, sizeof frame);
        now = turn(&pair->there);
    }
    assert_int_equal(now, RELAY_NONSENSE);
    close(ends[0]);
}

static void test_channel_ends(void **state)
{
    struct pair *pair = *state;
    shutdown(pair->here.channel, SHUT_RDWR);
    assert_int_equal(turn(&pair->there), RELAY_ENDED);
}

static void test_streams_are_taken_in_turn(void **state)
{
    struct pair *pair = *state;
    unsigned last = 2;
    for (unsigned i = 3; i < WIRE_STREAMS; i++) {
        unsigned number = relay_free_stream(&pair->here);
        assert_int_equal(number, last + 1);
        relay_open(&pair->here, number, dup(0), -1);
        last = number;
    }
    assert_int_equal(relay_free_stream(&pair->here), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bytes_and_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_much, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_streams_do_not_wait_for_each_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_half_closed_sockets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_broken_pipe, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_end_byte, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pause, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_frames, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nonsense, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_more_than_the_window, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_channel_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_streams_are_taken_in_turn, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
