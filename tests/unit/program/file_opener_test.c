#include "sandbox/file_opener.h"

#include "temp_dir.h"
#include "unit.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* An opener of two files, "one" and "two". */
struct fixture {
    struct temp_dir dir;
    char one[PATH_MAX], two[PATH_MAX];
    const char *paths[2];
    struct file_opener opener;
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    f->dir = temp_dir_make();
    f->paths[0] = temp_path(&f->dir, "one", f->one);
    f->paths[1] = temp_path(&f->dir, "two", f->two);
    temp_text(&f->dir, "one", "1");
    temp_text(&f->dir, "two", "2");
    f->opener.fd = -1;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    file_opener_stop(&f->opener);
    return temp_dir_tear_down_fixture(state);
}

static void start(struct fixture *f)
{
    assert_int_equal(file_opener_start(&f->opener, f->paths, 2, false), 0);
}

/* The first byte of a file, opened anew. */
static char first_byte(struct fixture *f, size_t index)
{
    char byte = 0;
    const int fd = file_opener_open(&f->opener, index);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, &byte, 1), 1);
    close(fd);
    return byte;
}

static void files_are_opened_as_they_are_now(void **state)
{
    struct fixture *f = *state;
    start(f);
    const unsigned fds = count_open_fds();
    assert_int_equal(first_byte(f, 0), '1');
    assert_int_equal(first_byte(f, 1), '2');
    assert_int_equal(rename(f->two, f->one), 0);
    assert_int_equal(first_byte(f, 0), '2');
    temp_text(&f->dir, "two", "3");
    assert_int_equal(first_byte(f, 1), '3');
    assert_int_equal(count_open_fds(), fds);
}

static void what_cannot_be_opened_is_an_error(void **state)
{
    struct fixture *f = *state;
    start(f);
    unlink(f->one);
    assert_int_equal(file_opener_open(&f->opener, 0), -ENOENT);
    assert_int_equal(mkdir(f->one, 0777), 0);
    assert_int_equal(file_opener_open(&f->opener, 0), -EISDIR);
    unlink(f->two);
    assert_int_equal(mkfifo(f->two, 0666), 0);
    assert_int_equal(file_opener_open(&f->opener, 1), -EINVAL);
}

static void there_are_no_others(void **state)
{
    struct fixture *f = *state;
    start(f);
    assert_int_equal(file_opener_open(&f->opener, 2), -EBADF);
    assert_int_equal(file_opener_open(&f->opener, UINT32_MAX), -EBADF);
    assert_int_equal(first_byte(f, 1), '2');
}

static void nothing_stays_open(void **state)
{
    struct fixture *f = *state;
    const unsigned fds = count_open_fds();
    start(f);
    assert_int_equal(count_open_fds(), fds + 1);
    file_opener_stop(&f->opener);
    assert_int_equal(count_open_fds(), fds);
    file_opener_stop(&f->opener);
}

static void without_descriptors_it_is_not_started(void **state)
{
    struct fixture *f = *state;
    struct rlimit limit, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 1;
    setrlimit(RLIMIT_NOFILE, &none);
    const int result = file_opener_start(&f->opener, f->paths, 2, false);
    setrlimit(RLIMIT_NOFILE, &limit);
    assert_int_equal(result, -EMFILE);
    assert_int_equal(f->opener.fd, -1);
}

/* Output of the process goes nowhere, and who waits for the end of a pipe need not wait for it. */
static void pipes_end_without_it(void **state)
{
    struct fixture *f = *state;
    int ends[2];
    char byte;
    assert_int_equal(pipe(ends), 0);
    start(f);
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 0);
    close(ends[0]);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(files_are_opened_as_they_are_now),
        TEST(what_cannot_be_opened_is_an_error),
        TEST(there_are_no_others),
        TEST(nothing_stays_open),
        TEST(pipes_end_without_it),
        TEST(without_descriptors_it_is_not_started),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
