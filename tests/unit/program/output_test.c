#include "console/output.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define LARGE (1u << 20)

/* A pipe; what a reader took from it. */
struct fixture {
    int end[2];
    uint8_t *sent, *taken;
    size_t length;
    atomic_bool ending;
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    f->sent = test_malloc(LARGE);
    f->taken = test_malloc(LARGE);
    for (size_t i = 0; i < LARGE; i++)
        f->sent[i] = (uint8_t)(i * 31 + i / 4096);
    signal(SIGPIPE, SIG_IGN);
    *state = f;
    return pipe2(f->end, O_CLOEXEC);
}

static void close_end(struct fixture *f, int which)
{
    if (f->end[which] >= 0)
        close(f->end[which]);
    f->end[which] = -1;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    close_end(f, 0);
    close_end(f, 1);
    test_free(f->sent);
    test_free(f->taken);
    test_free(f);
    return 0;
}

static void *take_all(void *ctx)
{
    struct fixture *f = ctx;
    ssize_t got;
    while ((got = read(f->end[0], f->taken + f->length, LARGE - f->length)) > 0)
        f->length += (size_t)got;
    return NULL;
}

/* Write all through the pipe while another thread reads. */
static void goes_through(struct fixture *f)
{
    pthread_t reader;
    assert_int_equal(pthread_create(&reader, NULL, take_all, f), 0);
    int result = output_write(f->end[1], f->sent, LARGE, &f->ending);
    close_end(f, 1);
    assert_int_equal(pthread_join(reader, NULL), 0);
    assert_int_equal(result, 0);
    assert_int_equal(f->length, LARGE);
    assert_memory_equal(f->taken, f->sent, LARGE);
}

static void make_non_blocking(const struct fixture *f)
{
    assert_int_equal(fcntl(f->end[1], F_SETFL, O_NONBLOCK), 0);
}

static void fill_pipe(struct fixture *f)
{
    make_non_blocking(f);
    while (write(f->end[1], f->sent, 4096) > 0) {
    }
    assert_int_equal(errno, EAGAIN);
}

static void more_than_a_pipe_holds_goes_through_whole(void **state)
{
    goes_through(*state);
}

static void a_non_blocking_pipe_is_waited_for(void **state)
{
    make_non_blocking(*state);
    goes_through(*state);
}

static void an_ending_process_still_writes_to_a_reader_that_reads(void **state)
{
    struct fixture *f = *state;
    atomic_store(&f->ending, true);
    goes_through(f);
}

static void an_ending_process_with_a_non_blocking_pipe_too(void **state)
{
    struct fixture *f = *state;
    atomic_store(&f->ending, true);
    make_non_blocking(f);
    goes_through(f);
}

static void nobody_need_ever_end(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(output_write(f->end[1], "abc", 3, NULL), 0);
    assert_int_equal(read(f->end[0], f->taken, 10), 3);
    assert_memory_equal(f->taken, "abc", 3);
}

static void nothing_is_written_of_nothing(void **state)
{
    (void)state;
    assert_int_equal(output_write(-1, NULL, 0, NULL), 0);
}

static void a_reader_that_went_away_is_an_error(void **state)
{
    struct fixture *f = *state;
    close_end(f, 0);
    assert_int_equal(output_write(f->end[1], "abc", 3, &f->ending), -EPIPE);
    atomic_store(&f->ending, true);
    assert_int_equal(output_write(f->end[1], "abc", 3, &f->ending), -EPIPE);
}

static void a_closed_descriptor_is_an_error(void **state)
{
    (void)state;
    assert_int_equal(output_write(-1, "abc", 3, NULL), -EBADF);
}

static void a_full_disk_is_an_error(void **state)
{
    (void)state;
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (full < 0)
        skip();
    assert_int_equal(output_write(full, "abc", 3, NULL), -ENOSPC);
    close(full);
}

static void an_ending_process_gives_up_on_a_reader_that_does_not_read(void **state)
{
    struct fixture *f = *state;
    fill_pipe(f);
    atomic_store(&f->ending, true);
    assert_int_equal(output_write(f->end[1], "abc", 3, &f->ending), -EINTR);
}

static void an_ending_process_does_not_block_in_a_full_pipe(void **state)
{
    struct fixture *f = *state;
    fill_pipe(f);
    assert_int_equal(fcntl(f->end[1], F_SETFL, 0), 0);
    atomic_store(&f->ending, true);
    assert_int_equal(output_write(f->end[1], "abc", 3, &f->ending), -EINTR);
}

static void *set_ending(void *ctx)
{
    struct fixture *f = ctx;
    atomic_store(&f->ending, true);
    return NULL;
}

static void a_wait_ends_when_the_process_is_to_end(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    fill_pipe(f);
    assert_int_equal(pthread_create(&thread, NULL, set_ending, f), 0);
    assert_int_equal(output_write(f->end[1], "abc", 3, &f->ending), -EINTR);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(more_than_a_pipe_holds_goes_through_whole),
        TEST(a_non_blocking_pipe_is_waited_for),
        TEST(an_ending_process_still_writes_to_a_reader_that_reads),
        TEST(an_ending_process_with_a_non_blocking_pipe_too),
        TEST(nobody_need_ever_end),
        TEST(nothing_is_written_of_nothing),
        TEST(a_reader_that_went_away_is_an_error),
        TEST(a_closed_descriptor_is_an_error),
        TEST(a_full_disk_is_an_error),
        TEST(an_ending_process_gives_up_on_a_reader_that_does_not_read),
        TEST(an_ending_process_does_not_block_in_a_full_pipe),
        TEST(a_wait_ends_when_the_process_is_to_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
