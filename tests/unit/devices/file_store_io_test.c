/* Descriptors and positions, and the limits on bytes and names. */
#include "mh/guest_abi.h"
#include "stores.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

/* ---- descriptors ---- */

static void descriptors_are_the_lowest_free_ones(void **state)
{
    struct stores *f = *state;
    for (int32_t i = 0; i < GUEST_OPEN_FILES; i++)
        assert_int_equal(opened(f, "notes.txt", MH_O_READ), i);
    close_file(f, 2);
    close_file(f, 1);
    assert_int_equal(opened(f, "notes.txt", MH_O_READ), 1);
    assert_int_equal(opened(f, "notes.txt", MH_O_READ), 2);
}

static void one_too_many_open_files_is_an_error(void **state)
{
    struct stores *f = *state;
    for (int32_t i = 0; i < GUEST_OPEN_FILES; i++)
        opened(f, "notes.txt", MH_O_READ);
    assert_int_equal(open_named(f, "notes.txt", MH_O_READ), -MH_EMFILE);
    assert_int_equal(open_named(f, "new", MH_O_WRITE), -MH_EMFILE);
    assert_false(temp_exists(&f->files->dir, "vm-files"));
    close_file(f, 0);
    assert_int_equal(opened(f, "notes.txt", MH_O_READ), 0);
}

static void bad_descriptors_are_refused_by_every_call(void **state)
{
    struct stores *f = *state;
    static const int32_t bad[] = {-1, 1, GUEST_OPEN_FILES, GUEST_OPEN_FILES + 1, INT32_MAX, INT32_MIN};
    char byte = 0;
    assert_int_equal(file_store_size(&f->store[0], 0), -MH_EBADF);
    opened(f, "notes.txt", MH_O_READ);
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(file_store_close(&f->store[0], bad[i]), -MH_EBADF);
        assert_int_equal(get(f, bad[i], &byte, 1), -MH_EBADF);
        assert_int_equal(file_store_write(&f->store[0], bad[i], &byte, 1), -MH_EBADF);
        assert_int_equal(seek(f, bad[i], MH_SEEK_SET, 0), -MH_EBADF);
        assert_int_equal(file_store_size(&f->store[0], bad[i]), -MH_EBADF);
    }
    close_file(f, 0);
    assert_int_equal(file_store_close(&f->store[0], 0), -MH_EBADF);
}

static void closing_a_shared_file_leaves_it_open_for_others(void **state)
{
    struct stores *f = *state;
    int32_t one = opened(f, "notes.txt", MH_O_READ);
    int32_t two = opened(f, "notes.txt", MH_O_READ);
    close_file(f, one);
    reads(f, two, NOTES);
}

static void positions_belong_to_descriptors(void **state)
{
    struct stores *f = *state;
    char bytes[6];
    int32_t one = opened(f, "notes.txt", MH_O_READ);
    int32_t two = opened(f, "notes.txt", MH_O_READ);
    assert_int_equal(get(f, one, bytes, 6), 6);
    assert_int_equal(seek(f, two, MH_SEEK_CUR, 0), 0);
    assert_int_equal(seek(f, one, MH_SEEK_CUR, 0), 6);
}

static void destroying_gives_all_descriptors_back(void **state)
{
    struct stores *f = *state;
    unsigned fds = count_open_fds();
    opened(f, "notes.txt", MH_O_READ);
    opened(f, "notes.txt", MH_O_WRITE);
    opened(f, "new", MH_O_WRITE);
    assert_true(open_named(f, "..", MH_O_WRITE) < 0);
    assert_true(count_open_fds() > fds);
    stores_restart(f, GUEST_OPEN_FILES, GUEST_BYTES);
    assert_int_equal(count_open_fds(), fds);
}

/* ---- positions ---- */

static void seeking_goes_where_it_says(void **state)
{
    struct stores *f = *state;
    char byte;
    int32_t fd = opened(f, "notes.txt", MH_O_READ);
    int64_t size = (int64_t)strlen(NOTES);
    assert_int_equal(file_store_size(&f->store[0], fd), size);
    assert_int_equal(seek(f, fd, MH_SEEK_SET, 6), 6);
    assert_int_equal(get(f, fd, &byte, 1), 1);
    assert_int_equal(byte, 'n');
    assert_int_equal(seek(f, fd, MH_SEEK_CUR, -2), 5);
    assert_int_equal(seek(f, fd, MH_SEEK_END, -1), size - 1);
    reads(f, fd, "y");
    assert_int_equal(seek(f, fd, MH_SEEK_END, 5), size + 5);
    assert_int_equal(get(f, fd, &byte, 1), 0);
}

static void seeking_to_nowhere_is_refused_and_changes_nothing(void **state)
{
    struct stores *f = *state;
    int32_t fd = opened(f, "notes.txt", MH_O_READ);
    assert_int_equal(seek(f, fd, MH_SEEK_SET, 7), 7);
    assert_int_equal(seek(f, fd, MH_SEEK_SET, -1), -MH_EINVAL);
    assert_int_equal(seek(f, fd, MH_SEEK_SET, INT64_MIN), -MH_EINVAL);
    assert_int_equal(seek(f, fd, MH_SEEK_CUR, -8), -MH_EINVAL);
    assert_int_equal(seek(f, fd, MH_SEEK_CUR, INT64_MAX), -MH_EINVAL);
    assert_int_equal(seek(f, fd, MH_SEEK_END, INT64_MAX), -MH_EINVAL);
    assert_int_equal(seek(f, fd, MH_SEEK_END, INT64_MIN), -MH_EINVAL);
    assert_int_equal(seek(f, fd, 3, 0), -MH_EINVAL);
    assert_int_equal(seek(f, fd, UINT32_MAX, 0), -MH_EINVAL);
    assert_int_equal(seek(f, fd, MH_SEEK_CUR, 0), 7);
}

static void reading_behind_the_end_gives_nothing_however_far(void **state)
{
    struct stores *f = *state;
    static const int64_t positions[] = {1000, 1ll << 40, INT64_MAX - 64, INT64_MAX - 1, INT64_MAX};
    char content[64];
    int32_t shared = opened(f, "notes.txt", MH_O_READ);
    int32_t own = opened(f, "own", MH_O_READ | MH_O_WRITE);
    for (size_t i = 0; i < COUNT(positions); i++) {
        assert_int_equal(seek(f, shared, MH_SEEK_SET, positions[i]), positions[i]);
        assert_int_equal(get(f, shared, content, sizeof content), 0);
        assert_int_equal(seek(f, own, MH_SEEK_SET, positions[i]), positions[i]);
        assert_int_equal(get(f, own, content, sizeof content), 0);
    }
}

static void writing_behind_the_end_fills_the_gap_with_zeros(void **state)
{
    struct stores *f = *state;
    char content[16];
    int32_t fd = opened(f, "own", MH_O_READ | MH_O_WRITE);
    assert_int_equal(seek(f, fd, MH_SEEK_SET, 4), 4);
    assert_int_equal(put(f, fd, "x"), 1);
    assert_int_equal(seek(f, fd, MH_SEEK_SET, 0), 0);
    assert_int_equal(get(f, fd, content, sizeof content), 5);
    assert_memory_equal(content, "\0\0\0\0x", 5);
}

static void moving_nothing_is_no_failure(void **state)
{
    struct stores *f = *state;
    int32_t fd = opened(f, "own", MH_O_READ | MH_O_WRITE);
    assert_int_equal(file_store_write(&f->store[0], fd, "x", 0), 0);
    assert_int_equal(put(f, fd, "text"), 4);
    assert_int_equal(seek(f, fd, MH_SEEK_SET, 0), 0);
    char none;
    assert_int_equal(get(f, fd, &none, 0), 0);
}

/* ---- limits on bytes and names ---- */

static void writing_stops_at_the_limit(void **state)
{
    struct stores *f = *state;
    stores_restart(f, GUEST_OPEN_FILES, 10);
    int32_t fd = opened(f, "own", MH_O_WRITE);
    assert_int_equal(put(f, fd, "12345678"), 8);
    assert_int_equal(put(f, fd, "9abc"), 2);
    assert_int_equal(put(f, fd, "b"), -MH_EDQUOT);
    assert_int_equal(file_store_write(&f->store[0], fd, "", 0), 0);
    holds(f, "own", "123456789a");
}

static void the_limit_is_that_of_all_files_together(void **state)
{
    struct stores *f = *state;
    stores_restart(f, GUEST_OPEN_FILES, 10);
    make(f, "one", "12345");
    make(f, "one", "123");
    make(f, "two", "12");
    int32_t fd = opened(f, "two", MH_O_WRITE);
    assert_int_equal(put(f, fd, "x"), -MH_EDQUOT);
}

static void no_file_grows_past_the_limit(void **state)
{
    struct stores *f = *state;
    stores_restart(f, GUEST_OPEN_FILES, 10);
    int32_t fd = opened(f, "own", MH_O_WRITE);
    assert_int_equal(seek(f, fd, MH_SEEK_SET, 8), 8);
    assert_int_equal(put(f, fd, "abc"), 2);
    assert_int_equal(put(f, fd, "c"), -MH_EFBIG);
    assert_int_equal(seek(f, fd, MH_SEEK_SET, INT64_MAX), INT64_MAX);
    assert_int_equal(put(f, fd, "c"), -MH_EFBIG);
    assert_int_equal(file_store_size(&f->store[0], fd), 10);
}

static void a_copy_counts_as_written(void **state)
{
    struct stores *f = *state;
    stores_restart(f, GUEST_OPEN_FILES, strlen(NOTES) + 2);
    int32_t fd = opened(f, "notes.txt", MH_O_WRITE);
    assert_int_equal(put(f, fd, "abc"), 2);
    assert_int_equal(put(f, fd, "c"), -MH_EDQUOT);
}

static void a_copy_that_exceeds_the_limit_is_not_left_behind(void **state)
{
    struct stores *f = *state;
    stores_restart(f, GUEST_OPEN_FILES, strlen(NOTES)); /* a copy, and not a byte more */
    unsigned fds = count_open_fds();
    int32_t fd = opened(f, "notes.txt", MH_O_WRITE);
    assert_int_equal(put(f, fd, "x"), -MH_EDQUOT);
    assert_false(temp_exists(&f->files->dir, "vm-files/1-one/notes.txt"));
    assert_int_equal(count_open_fds(), fds + 1); /* the directory */
    holds(f, "notes.txt", NOTES);
    assert_int_equal(open_named(f, "notes.txt", MH_O_WRITE | MH_O_TRUNCATE), 1);
}

static void one_too_many_files_is_an_error(void **state)
{
    struct stores *f = *state;
    char name[16];
    for (unsigned i = 0; i < FILE_STORE_NAMES_MAX; i++) {
        snprintf(name, sizeof name, "%u", i);
        close_file(f, opened(f, name, MH_O_WRITE));
    }
    assert_int_equal(open_named(f, "one more", MH_O_WRITE), -MH_EDQUOT);
    int32_t fd = opened(f, "notes.txt", MH_O_WRITE);
    assert_int_equal(put(f, fd, "x"), -MH_EDQUOT);
    close_file(f, fd);
    assert_false(temp_exists(&f->files->dir, "vm-files/1-one/one more"));
    assert_int_equal(opened(f, "1023", MH_O_WRITE), 0);
    holds(f, "notes.txt", NOTES);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, stores_set_up, stores_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(descriptors_are_the_lowest_free_ones),
        TEST(one_too_many_open_files_is_an_error),
        TEST(bad_descriptors_are_refused_by_every_call),
        TEST(closing_a_shared_file_leaves_it_open_for_others),
        TEST(positions_belong_to_descriptors),
        TEST(destroying_gives_all_descriptors_back),
        TEST(seeking_goes_where_it_says),
        TEST(seeking_to_nowhere_is_refused_and_changes_nothing),
        TEST(reading_behind_the_end_gives_nothing_however_far),
        TEST(writing_behind_the_end_fills_the_gap_with_zeros),
        TEST(moving_nothing_is_no_failure),
        TEST(writing_stops_at_the_limit),
        TEST(the_limit_is_that_of_all_files_together),
        TEST(no_file_grows_past_the_limit),
        TEST(a_copy_counts_as_written),
        TEST(a_copy_that_exceeds_the_limit_is_not_left_behind),
        TEST(one_too_many_files_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
