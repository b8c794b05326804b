#include "devices/serial.h"

#include "unit.h"

#include <errno.h>
#include <string.h>

/* The other end, as a test wants it. */
struct wire {
    uint8_t taken[4 * SERIAL_BUFFER];
    size_t length;
    unsigned writes;
    int write_result;
    int next_read;
    size_t taken_before_read;
    const int *wake_fds;
    unsigned wake_count;
};

static int take(void *ctx, const uint8_t *bytes, size_t length)
{
    struct wire *wire = ctx;
    wire->writes++;
    if (wire->write_result < 0)
        return wire->write_result;
    assert_true(wire->length + length <= sizeof wire->taken);
    memcpy(wire->taken + wire->length, bytes, length);
    wire->length += length;
    return 0;
}

static int give(void *ctx, const int *wake_fds, unsigned wake_count)
{
    struct wire *wire = ctx;
    wire->wake_fds = wake_fds;
    wire->wake_count = wake_count;
    wire->taken_before_read = wire->length;
    return wire->next_read;
}

struct fixture {
    struct wire wire;
    struct serial serial;
    struct input_log log;
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    serial_init(&f->serial, (struct mh_serial_end){.ctx = &f->wire, .write = take, .read = give});
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    input_log_free(&f->log);
    test_free(f);
    return 0;
}

static void put_text(struct fixture *f, const char *text)
{
    serial_put(&f->serial, (const uint8_t *)text, strlen(text));
}

static void printed_bytes_wait_for_a_flush(void **state)
{
    struct fixture *f = *state;
    put_text(f, "ab");
    put_text(f, "c");
    assert_int_equal(f->wire.writes, 0);
    assert_int_equal(atomic_load(&f->serial.pending), 3);
    serial_flush(&f->serial);
    assert_int_equal(f->wire.writes, 1);
    assert_int_equal(f->wire.length, 3);
    assert_memory_equal(f->wire.taken, "abc", 3);
    assert_int_equal(atomic_load(&f->serial.pending), 0);
}

static void flushing_nothing_does_not_bother_the_other_end(void **state)
{
    struct fixture *f = *state;
    serial_flush(&f->serial);
    put_text(f, "");
    serial_flush(&f->serial);
    assert_int_equal(f->wire.writes, 0);
}

static void a_full_buffer_flushes_itself(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < SERIAL_BUFFER - 1; i++)
        put_text(f, "x");
    assert_int_equal(f->wire.writes, 0);
    put_text(f, "y");
    assert_int_equal(f->wire.writes, 1);
    assert_int_equal(f->wire.length, SERIAL_BUFFER);
    assert_int_equal(f->wire.taken[SERIAL_BUFFER - 1], 'y');
    assert_int_equal(atomic_load(&f->serial.pending), 0);
}

static void more_than_a_buffer_at_once_keeps_its_order(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[3 * SERIAL_BUFFER + 5];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    put_text(f, "!");
    serial_put(&f->serial, bytes, sizeof bytes);
    assert_int_equal(f->wire.writes, 3);
    serial_flush(&f->serial);
    assert_int_equal(f->wire.length, sizeof bytes + 1);
    assert_int_equal(f->wire.taken[0], '!');
    assert_memory_equal(f->wire.taken + 1, bytes, sizeof bytes);
}

static void the_first_failed_write_stays_known(void **state)
{
    struct fixture *f = *state;
    f->wire.write_result = -EPIPE;
    put_text(f, "lost");
    serial_flush(&f->serial);
    assert_int_equal(f->serial.error, EPIPE);
    f->wire.write_result = -ENOSPC;
    put_text(f, "lost too");
    serial_flush(&f->serial);
    assert_int_equal(f->serial.error, EPIPE);
}

static void what_is_printed_after_a_failure_is_dropped(void **state)
{
    struct fixture *f = *state;
    f->wire.write_result = -EPIPE;
    put_text(f, "lost");
    serial_flush(&f->serial);
    f->wire.write_result = 0;
    for (unsigned i = 0; i < 3 * SERIAL_BUFFER; i++)
        put_text(f, "x");
    serial_flush(&f->serial);
    assert_int_equal(f->wire.writes, 1);
    assert_int_equal(f->wire.length, 0);
    assert_int_equal(atomic_load(&f->serial.pending), 0);
}

static void each_byte_value_is_read_as_it_is(void **state)
{
    struct fixture *f = *state;
    for (int byte = 0; byte < 256; byte++) {
        uint8_t got = (uint8_t)~byte;
        f->wire.next_read = byte;
        assert_int_equal(serial_get(&f->serial, &f->log, &got, NULL, 0), 0);
        assert_int_equal(got, byte);
    }
    assert_int_equal(f->log.bytes, 256);
}

static void the_end_of_the_input_reads_as_ff_every_time(void **state)
{
    struct fixture *f = *state;
    f->wire.next_read = MH_SERIAL_INPUT_ENDED;
    for (int i = 0; i < 3; i++) {
        uint8_t got = 0;
        assert_int_equal(serial_get(&f->serial, &f->log, &got, NULL, 0), 0);
        assert_int_equal(got, 0xff);
    }
}

static void an_interrupted_read_takes_nothing(void **state)
{
    struct fixture *f = *state;
    uint8_t got = 0x55;
    f->wire.next_read = MH_SERIAL_INTERRUPTED;
    assert_int_equal(serial_get(&f->serial, &f->log, &got, NULL, 0), -EINTR);
    assert_int_equal(got, 0x55);
    assert_int_equal(f->log.bytes, 0);
}

static void a_failed_read_is_passed_on(void **state)
{
    struct fixture *f = *state;
    uint8_t got = 0x55;
    f->wire.next_read = -EIO;
    assert_int_equal(serial_get(&f->serial, &f->log, &got, NULL, 0), -EIO);
    assert_int_equal(got, 0x55);
}

static void what_was_printed_is_handed_on_before_input_is_awaited(void **state)
{
    struct fixture *f = *state;
    uint8_t got;
    f->wire.next_read = 'k';
    put_text(f, "name? ");
    assert_int_equal(serial_get(&f->serial, &f->log, &got, NULL, 0), 0);
    assert_int_equal(f->wire.taken_before_read, 6);
}

static void the_other_end_is_told_what_else_ends_the_wait(void **state)
{
    struct fixture *f = *state;
    static const int fds[] = {7, 8};
    uint8_t got;
    assert_int_equal(serial_get(&f->serial, &f->log, &got, fds, 2), 0);
    assert_ptr_equal(f->wire.wake_fds, fds);
    assert_int_equal(f->wire.wake_count, 2);
}

static void a_port_without_another_end_takes_everything_and_has_no_input(void **state)
{
    struct fixture *f = *state;
    uint8_t got = 0;
    serial_init(&f->serial, (struct mh_serial_end){.ctx = NULL});
    put_text(f, "lost");
    serial_flush(&f->serial);
    assert_int_equal(atomic_load(&f->serial.pending), 0);
    assert_int_equal(f->serial.error, 0);
    assert_int_equal(serial_get(&f->serial, &f->log, &got, NULL, 0), 0);
    assert_int_equal(got, 0xff);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(printed_bytes_wait_for_a_flush),
        TEST(flushing_nothing_does_not_bother_the_other_end),
        TEST(a_full_buffer_flushes_itself),
        TEST(more_than_a_buffer_at_once_keeps_its_order),
        TEST(the_first_failed_write_stays_known),
        TEST(what_is_printed_after_a_failure_is_dropped),
        TEST(each_byte_value_is_read_as_it_is),
        TEST(the_end_of_the_input_reads_as_ff_every_time),
        TEST(an_interrupted_read_takes_nothing),
        TEST(a_failed_read_is_passed_on),
        TEST(what_was_printed_is_handed_on_before_input_is_awaited),
        TEST(the_other_end_is_told_what_else_ends_the_wait),
        TEST(a_port_without_another_end_takes_everything_and_has_no_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
