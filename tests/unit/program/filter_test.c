#include "sandbox/filter.h"

#include "temp_dir.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

struct fixture {
    struct temp_dir dir;
    char path[PATH_MAX];
    int output;
    struct filter filter;
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    f->dir = temp_dir_make();
    f->output = open(temp_path(&f->dir, "output", f->path), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    f->filter = (struct filter){.fd = -1, .status_fd = -1};
    *state = f;
    return f->output < 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    filter_stop(&f->filter);
    close(f->output);
    return temp_dir_tear_down_fixture(state);
}

static void start(struct fixture *f, const char *script)
{
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    assert_int_equal(filter_start(&f->filter, argv, f->output), 0);
}

static void assert_output(const struct fixture *f, const char *expected)
{
    char text[200] = "";
    assert_true(pread(f->output, text, sizeof text - 1, 0) >= 0);
    assert_string_equal(text, expected);
}

static void what_is_written_goes_through_the_program(void **state)
{
    struct fixture *f = *state;
    start(f, "tr a-z A-Z");
    assert_int_equal(write(f->filter.fd, "some text", 9), 9);
    assert_int_equal(filter_finish(&f->filter), 0);
    assert_output(f, "SOME TEXT");
    assert_int_equal(f->filter.fd, -1);
}

static void its_status_is_returned(void **state)
{
    struct fixture *f = *state;
    start(f, "cat >/dev/null; exit 3");
    assert_int_equal(write(f->filter.fd, "x", 1), 1);
    assert_int_equal(filter_finish(&f->filter), 3);
}

static void a_program_that_is_killed_is_noticed(void **state)
{
    struct fixture *f = *state;
    start(f, "kill -9 $$");
    assert_int_equal(write(f->filter.fd, "x", 1), 1);
    assert_int_equal(filter_finish(&f->filter), -EPIPE);
}

/* Killed together with all of its group, of which the program is not one. */
static void the_program_ends_with_the_process_that_started_it(void **state)
{
    static const char *const argv[] = {"/bin/sh", "-c", "echo; exec sleep 30", NULL};
    struct filter filter;
    int output[2];
    char byte;
    (void)state;
    assert_int_equal(pipe2(output, O_CLOEXEC), 0);
    const pid_t child = fork();
    if (child == 0) {
        if (filter_start(&filter, argv, output[1]) == 0 && write(filter.fd, "x", 1) == 1)
            pause();
        _exit(1);
    }
    close(output[1]);
    assert_int_equal(read(output[0], &byte, 1), 1);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    struct pollfd end = {.fd = output[0], .events = POLLIN};
    assert_int_equal(poll(&end, 1, 10000), 1);
    assert_int_equal(read(output[0], &byte, 1), 0);
    close(output[0]);
}

static void without_input_nothing_is_started(void **state)
{
    struct fixture *f = *state;
    start(f, "echo started");
    assert_int_equal(filter_finish(&f->filter), 0);
    assert_output(f, "");
}

static void a_program_that_cannot_be_started_is_127(void **state)
{
    struct fixture *f = *state;
    const char *const argv[] = {"/no/such/program", NULL};
    assert_int_equal(filter_start(&f->filter, argv, f->output), 0);
    assert_int_equal(write(f->filter.fd, "x", 1), 1);
    assert_int_equal(filter_finish(&f->filter), 127);
}

static void it_has_no_other_descriptors(void **state)
{
    struct fixture *f = *state;
    const int other = dup2(f->output, 50);
    start(f, "ls /proc/self/fd | wc -l"); /* 0, 1, 2, and the directory */
    assert_int_equal(write(f->filter.fd, "x", 1), 1);
    assert_int_equal(filter_finish(&f->filter), 0);
    close(other);
    assert_output(f, "4\n");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_goes_through_the_program),
        TEST(its_status_is_returned),
        TEST(a_program_that_is_killed_is_noticed),
        TEST(without_input_nothing_is_started),
        TEST(a_program_that_cannot_be_started_is_127),
        TEST(it_has_no_other_descriptors),
        TEST(the_program_ends_with_the_process_that_started_it),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
