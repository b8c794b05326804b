#include "devices/input_log.h"

#include "unit.h"

#include <errno.h>
#include <string.h>

/* A source that gives what the test wants and remembers what it was asked for. */
struct source {
    int64_t result;
    size_t asked;
};

static int64_t give(void *ctx, void *to, size_t length)
{
    struct source *source = ctx;
    source->asked = length;
    if (source->result > 0)
        memset(to, 'x', (size_t)source->result);
    return source->result;
}

static void what_the_source_gives_comes_in_and_is_counted(void **state)
{
    (void)state;
    struct input_log log = {0};
    struct source source = {.result = 3};
    char to[8] = "";
    assert_int_equal(input_log_fill(&log, to, sizeof to, give, &source), 3);
    assert_int_equal(source.asked, sizeof to);
    assert_string_equal(to, "xxx");
    assert_int_equal(log.bytes, 3);
}

static void nothing_and_failures_are_passed_on_and_not_counted(void **state)
{
    (void)state;
    struct input_log log = {.bytes = 10};
    static const int64_t results[] = {0, -1, -5, INT64_MIN};
    for (size_t i = 0; i < COUNT(results); i++) {
        struct source source = {.result = results[i]};
        char to[8] = "as was";
        assert_true(input_log_fill(&log, to, sizeof to, give, &source) == results[i]);
        assert_string_equal(to, "as was");
    }
    assert_int_equal(log.bytes, 10);
}

static void copies_come_in_whole(void **state)
{
    (void)state;
    struct input_log log = {0};
    char to[4] = "";
    input_log_copy(&log, to, "abc", 3);
    input_log_copy(&log, to, "z", 1);
    assert_string_equal(to, "zbc");
    assert_int_equal(log.bytes, 4);
}

/* ---- the stream ---- */

/* Gives 0, 1, 2, ... */
static int64_t count_up(void *ctx, void *to, size_t length)
{
    uint8_t *next = ctx;
    assert_int_equal(length, 1);
    *(uint8_t *)to = (*next)++;
    return 1;
}

static void takes(struct input_log *log, uint8_t *next, unsigned from, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint8_t got = 0;
        assert_int_equal(input_log_next(log, &got, count_up, next), 1);
        assert_int_equal(got, (uint8_t)(from + i));
    }
}

static void bytes_taken_back_are_taken_again(void **state)
{
    (void)state;
    struct input_log log = {0};
    uint8_t next = 0;
    input_log_begin(&log);
    takes(&log, &next, 0, 5);
    input_log_unread(&log, 3);
    assert_int_equal(log.bytes, 2);
    input_log_begin(&log);
    takes(&log, &next, 2, 2);
    input_log_unread(&log, 2);
    input_log_begin(&log);
    takes(&log, &next, 2, 6);
    assert_int_equal(log.bytes, 8);
    input_log_free(&log);
}

static void what_no_snapshot_needs_is_not_kept(void **state)
{
    (void)state;
    struct input_log log = {0};
    uint8_t next = 0;
    for (unsigned i = 0; i < 100000; i++) {
        input_log_begin(&log);
        takes(&log, &next, i, 1);
    }
    assert_true(log.capacity <= 2 * INPUT_LOG_UNREAD_MAX);
    input_log_free(&log);
}

static void the_stream_is_the_same_from_each_place_kept(void **state)
{
    (void)state;
    struct input_log log = {0};
    uint8_t next = 0;
    takes(&log, &next, 0, 10);
    uint64_t ten = input_log_retain(&log);
    takes(&log, &next, 10, 20);
    uint64_t thirty = input_log_retain(&log);
    input_log_begin(&log);
    takes(&log, &next, 30, 5);
    assert_true(input_log_contains(&log, ten));
    input_log_seek(&log, ten);
    takes(&log, &next, 10, 3);
    assert_true(input_log_contains(&log, thirty));
    input_log_seek(&log, thirty);
    takes(&log, &next, 30, 40);
    input_log_seek(&log, ten);
    takes(&log, &next, 10, 100);
    assert_false(input_log_contains(&log, 1000));
    input_log_free(&log);
}

static void a_source_that_fails_takes_nothing(void **state)
{
    (void)state;
    struct input_log log = {0};
    struct source source = {.result = -EINTR};
    uint8_t got = 0x55, next = 7;
    uint64_t place = input_log_retain(&log);
    assert_int_equal(input_log_next(&log, &got, give, &source), -EINTR);
    assert_int_equal(input_log_retain(&log), place);
    takes(&log, &next, 7, 1);
    input_log_free(&log);
}

static void more_than_is_kept_forgets_the_oldest(void **state)
{
    (void)state;
    struct input_log log = {0};
    uint8_t next = 0;
    uint64_t start = input_log_retain(&log);
    takes(&log, &next, 0, INPUT_LOG_MAX);
    assert_true(input_log_contains(&log, start));
    uint64_t late = input_log_retain(&log);
    takes(&log, &next, INPUT_LOG_MAX, 1);
    assert_false(input_log_contains(&log, start));
    assert_true(input_log_contains(&log, late));
    assert_true(input_log_contains(&log, INPUT_LOG_MAX / 2));
    assert_int_equal(log.capacity, INPUT_LOG_MAX);
    input_log_seek(&log, INPUT_LOG_MAX - 1);
    takes(&log, &next, INPUT_LOG_MAX - 1, 1000);
    input_log_free(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_source_gives_comes_in_and_is_counted),
        cmocka_unit_test(nothing_and_failures_are_passed_on_and_not_counted),
        cmocka_unit_test(copies_come_in_whole),
        cmocka_unit_test(bytes_taken_back_are_taken_again),
        cmocka_unit_test(what_no_snapshot_needs_is_not_kept),
        cmocka_unit_test(the_stream_is_the_same_from_each_place_kept),
        cmocka_unit_test(a_source_that_fails_takes_nothing),
        cmocka_unit_test(more_than_is_kept_forgets_the_oldest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
