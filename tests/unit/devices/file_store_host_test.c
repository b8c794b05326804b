/* Failures of the host while a guest's files are read, written and copied. */
#include "mh/guest_abi.h"
#include "stores.h"
#include "unit.h"
#include "wrapped_io.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

static void failures_of_the_host_have_the_guests_numbers(void **state)
{
    struct stores *f = *state;
    static const struct {
        int host;
        int64_t guest;
    } cases[] = {{ENOSPC, -MH_ENOSPC}, {EDQUOT, -MH_ENOSPC}, {EFBIG, -MH_EFBIG}, {EIO, -MH_EIO},
                 {EROFS, -MH_EACCES},  {ENOMEM, -MH_EIO},    {EBADF, -MH_EIO},   {EINVAL, -MH_EIO}};
    int32_t fd = opened(f, "own", MH_O_READ | MH_O_WRITE);
    char byte;
    for (size_t i = 0; i < COUNT(cases); i++) {
        wrapped_io.pread_errors = wrapped_io.pwrite_errors = 1;
        wrapped_io.pread_errno = wrapped_io.pwrite_errno = cases[i].host;
        assert_int_equal(get(f, fd, &byte, 1), cases[i].guest);
        assert_int_equal(put(f, fd, "x"), cases[i].guest);
    }
    assert_int_equal(seek(f, fd, MH_SEEK_CUR, 0), 0);
    assert_int_equal(f->inbound.bytes, 0);
}

static void interrupted_calls_are_made_again(void **state)
{
    struct stores *f = *state;
    wrapped_io = (struct wrapped_io){.pread_errors = 3,
                                     .pread_errno = EINTR,
                                     .pwrite_errors = 3,
                                     .pwrite_errno = EINTR,
                                     .copy_errors = 3,
                                     .copy_errno = EINTR};
    int32_t fd = opened(f, "notes.txt", MH_O_READ | MH_O_WRITE);
    assert_int_equal(put(f, fd, "THESE"), 5);
    reads(f, fd, " notes belong to everybody");
}

static void short_writes_are_told_and_can_be_continued(void **state)
{
    struct stores *f = *state;
    int32_t fd = opened(f, "own", MH_O_WRITE);
    wrapped_io.most = 3;
    assert_int_equal(put(f, fd, "12345"), 3);
    assert_int_equal(put(f, fd, "45"), 2);
    wrapped_io_reset();
    holds(f, "own", "12345");
}

static void short_reads_are_told_and_can_be_continued(void **state)
{
    struct stores *f = *state;
    char content[8];
    int32_t fd = opened(f, "notes.txt", MH_O_READ);
    wrapped_io.most = 3;
    assert_int_equal(get(f, fd, content, 5), 3);
    assert_int_equal(get(f, fd, content + 3, 2), 2);
    assert_memory_equal(content, NOTES, 5);
}

static void a_copy_made_in_small_steps_is_whole(void **state)
{
    struct stores *f = *state;
    wrapped_io.most = 4;
    assert_int_equal(put(f, opened(f, "notes.txt", MH_O_WRITE), "t"), 1);
    assert_true(wrapped_io.copies > strlen(NOTES) / 4);
    assert_true(on_host(f, "vm-files/1-one/notes.txt", NOTES));
}

static void where_the_kernel_cannot_copy_we_do(void **state)
{
    struct stores *f = *state;
    static const int reasons[] = {EXDEV, EINVAL, ENOSYS, EOPNOTSUPP};
    for (size_t i = 0; i < COUNT(reasons); i++) {
        stores_restart(f, GUEST_OPEN_FILES, GUEST_BYTES);
        wrapped_io = (struct wrapped_io){.copy_errors = INT_MAX, .copy_errno = reasons[i], .most = 5};
        assert_int_equal(put(f, opened(f, "notes.txt", MH_O_WRITE), "these"), 5);
        assert_true(on_host(f, "vm-files/1-one/notes.txt", NOTES));
    }
}

static void a_failed_copy_leaves_nothing_behind(void **state)
{
    struct stores *f = *state;
    wrapped_io = (struct wrapped_io){.copy_errors = 1, .copy_errno = ENOSPC};
    unsigned fds = count_open_fds();
    int32_t fd = opened(f, "notes.txt", MH_O_WRITE);
    assert_int_equal(put(f, fd, "x"), -MH_ENOSPC);
    assert_false(temp_exists(&f->files->dir, "vm-files/1-one/notes.txt"));
    assert_int_equal(count_open_fds(), fds + 1); /* the directory */
    holds(f, "notes.txt", NOTES);
    assert_int_equal(put(f, fd, "T"), 1);
}

static void ask_to_stop(void *ctx)
{
    atomic_uint *stop = ctx;
    atomic_store(stop, 1);
}

static void a_long_copy_ends_when_the_machine_is_to_stop(void **state)
{
    struct stores *f = *state;
    wrapped_io = (struct wrapped_io){.most = 4, .on_copy = ask_to_stop, .on_copy_ctx = &f->files->stop};
    assert_int_equal(put(f, opened(f, "notes.txt", MH_O_WRITE), "x"), -MH_EIO);
    assert_int_equal(wrapped_io.copies, 1);
    assert_false(temp_exists(&f->files->dir, "vm-files/1-one/notes.txt"));
}

static void a_failed_truncation_leaks_no_descriptor(void **state)
{
    struct stores *f = *state;
    make(f, "own", "mine");
    unsigned fds = count_open_fds();
    wrapped_io.truncate_errno = EIO;
    assert_int_equal(open_named(f, "own", MH_O_WRITE | MH_O_TRUNCATE), -MH_EIO);
    assert_int_equal(count_open_fds(), fds);
    holds(f, "own", "mine");
}

static void a_limit_of_the_host_on_file_sizes_is_an_error_to_the_guest(void **state)
{
    struct stores *f = *state;
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    int32_t fd = opened(f, "own", MH_O_WRITE);
    small = (struct rlimit){.rlim_cur = 3, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int64_t first = put(f, fd, "12345"), second = put(f, fd, "45");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);
    assert_int_equal(first, 3);
    assert_int_equal(second, -MH_EFBIG);
}

static void a_shared_file_that_shrinks_on_the_host_comes_out_short(void **state)
{
    struct stores *f = *state;
    int32_t fd = opened(f, "notes.txt", MH_O_READ);
    temp_text(&f->files->dir, "notes.txt", "short");
    reads(f, fd, "short");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, stores_set_up, stores_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(failures_of_the_host_have_the_guests_numbers),
        TEST(interrupted_calls_are_made_again),
        TEST(short_writes_are_told_and_can_be_continued),
        TEST(short_reads_are_told_and_can_be_continued),
        TEST(a_copy_made_in_small_steps_is_whole),
        TEST(where_the_kernel_cannot_copy_we_do),
        TEST(a_failed_copy_leaves_nothing_behind),
        TEST(a_long_copy_ends_when_the_machine_is_to_stop),
        TEST(a_failed_truncation_leaks_no_descriptor),
        TEST(a_limit_of_the_host_on_file_sizes_is_an_error_to_the_guest),
        TEST(a_shared_file_that_shrinks_on_the_host_comes_out_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
