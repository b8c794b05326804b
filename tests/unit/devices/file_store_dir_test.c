/* The directory of a guest's own files, and what others put into it. */
#include "mh/guest_abi.h"
#include "stores.h"
#include "unit.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what others put into the directory ---- */

static void plant(const struct stores *f)
{
    char path[PATH_MAX], target[PATH_MAX];
    const struct temp_dir *dir = &f->files->dir;
    temp_text(dir, "secret", "secret");
    assert_int_equal(mkdir(f->files->parent, 0777), 0);
    assert_int_equal(mkdir(temp_path(dir, "vm-files/1-one", path), 0777), 0);
    temp_text(dir, "vm-files/1-one/old", "of an earlier run");
    temp_text(dir, "vm-files/1-one/notes.txt", "of an earlier run");
    assert_int_equal(symlink("../../secret", temp_path(dir, "vm-files/1-one/symlink", path)), 0);
    assert_int_equal(link(temp_path(dir, "secret", target), temp_path(dir, "vm-files/1-one/hardlink", path)), 0);
    assert_int_equal(mkfifo(temp_path(dir, "vm-files/1-one/pipe", path), 0666), 0);
    assert_int_equal(mkdir(temp_path(dir, "vm-files/1-one/directory", path), 0777), 0);
}

static const char *const planted[] = {"old", "symlink", "hardlink", "pipe", "directory"};

static void what_lies_in_the_directory_is_not_visible(void **state)
{
    struct stores *f = *state;
    plant(f);
    for (size_t i = 0; i < COUNT(planted); i++)
        assert_int_equal(open_named(f, planted[i], MH_O_READ), -MH_ENOENT);
    holds(f, "notes.txt", NOTES);
}

static void what_lies_in_the_directory_is_replaced_and_not_written(void **state)
{
    struct stores *f = *state;
    plant(f);
    for (size_t i = 0; i < COUNT(planted) - 1; i++) {
        int32_t fd = opened(f, planted[i], MH_O_READ | MH_O_WRITE);
        reads(f, fd, "");
        assert_int_equal(put(f, fd, "new"), 3);
        close_file(f, fd);
        holds(f, planted[i], "new");
    }
    assert_true(on_host(f, "secret", "secret"));
    int32_t fd = opened(f, "notes.txt", MH_O_READ | MH_O_WRITE);
    reads(f, fd, NOTES);
}

static void a_directory_of_the_name_is_refused(void **state)
{
    struct stores *f = *state;
    plant(f);
    assert_int_equal(open_named(f, "directory", MH_O_WRITE), -MH_EACCES);
    assert_true(temp_exists(&f->files->dir, "vm-files/1-one/directory"));
}

static void leftovers_nobody_asks_for_stay(void **state)
{
    struct stores *f = *state;
    plant(f);
    make(f, "new", "x");
    assert_true(on_host(f, "vm-files/1-one/old", "of an earlier run"));
}

static void an_own_file_somebody_removed_is_made_again_when_written(void **state)
{
    struct stores *f = *state;
    char path[PATH_MAX];
    make(f, "notes.txt", "mine");
    int32_t before = opened(f, "notes.txt", MH_O_READ);
    assert_int_equal(unlink(temp_path(&f->files->dir, "vm-files/1-one/notes.txt", path)), 0);
    assert_int_equal(open_named(f, "notes.txt", MH_O_READ), -MH_ENOENT);
    int32_t fd = opened(f, "notes.txt", MH_O_READ | MH_O_WRITE);
    assert_int_equal(put(f, fd, "new"), 3);
    assert_true(on_host(f, "vm-files/1-one/notes.txt", "new"));
    reads(f, before, "mine");
}

static void an_own_file_replaced_by_something_else_is_refused(void **state)
{
    struct stores *f = *state;
    char path[PATH_MAX];
    temp_text(&f->files->dir, "secret", "secret");
    static const uint32_t ways[] = {MH_O_READ, MH_O_WRITE, MH_O_READ | MH_O_WRITE, MH_O_WRITE | MH_O_TRUNCATE};
    make(f, "own", "mine");
    temp_path(&f->files->dir, "vm-files/1-one/own", path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("../../secret", path), 0);
    for (size_t i = 0; i < COUNT(ways); i++)
        assert_int_equal(open_named(f, "own", ways[i]), -MH_EACCES);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0666), 0);
    for (size_t i = 0; i < COUNT(ways); i++)
        assert_int_equal(open_named(f, "own", ways[i]), -MH_EACCES);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0777), 0);
    for (size_t i = 0; i < COUNT(ways); i++)
        assert_int_equal(open_named(f, "own", ways[i]), -MH_EACCES);
    assert_true(on_host(f, "secret", "secret"));
}

/* ---- the directory itself ---- */

static void a_directory_in_use_by_another_run_is_refused_with_advice(void **state)
{
    struct stores *f = *state;
    struct file_store rival;
    file_store_init(&rival, &f->files->config[0], &f->files->stop);
    make(f, "mine", "x");
    assert_int_equal(file_store_open(&rival, "theirs", 6, MH_O_WRITE), -MH_EIO);
    assert_text_has(f->files->notice, "another run is using it; give this one its own --files-dir");
    assert_text_has(f->files->notice, "vm-files/1-one");
    assert_int_equal(file_store_open(&rival, "theirs", 6, MH_O_WRITE), -MH_EIO);
    assert_int_equal(f->files->notices, 1);
    assert_int_equal(file_store_open(&rival, "notes.txt", 9, MH_O_READ), 0);
    file_store_destroy(&f->store[0]);
    file_store_init(&f->store[0], &f->files->config[0], &f->files->stop);
    assert_int_equal(file_store_open(&rival, "theirs", 6, MH_O_WRITE), 1);
    file_store_destroy(&rival);
}

static void a_parent_in_no_directory_is_an_error_and_told(void **state)
{
    struct stores *f = *state;
    file_store_destroy(&f->store[0]);
    f->files->config[0].files_parent = "/nonexistent/vm-files";
    file_store_init(&f->store[0], &f->files->config[0], &f->files->stop);
    assert_true(open_named(f, "new", MH_O_WRITE) < 0);
    assert_text_has(f->files->notice, "cannot use the guest's directory '/nonexistent/vm-files/1-one'");
    holds(f, "notes.txt", NOTES);
}

static void a_parent_we_may_not_write_is_an_error_and_told(void **state)
{
    struct stores *f = *state;
    assert_int_equal(mkdir(f->files->parent, 0555), 0);
    drop_root();
    assert_int_equal(open_named(f, "new", MH_O_WRITE), -MH_EACCES);
    assert_text_has(f->files->notice, "Permission denied");
    holds(f, "notes.txt", NOTES);
}

static void a_directory_that_is_a_link_is_refused(void **state)
{
    struct stores *f = *state;
    char path[PATH_MAX];
    assert_int_equal(mkdir(f->files->parent, 0777), 0);
    assert_int_equal(symlink("..", temp_path(&f->files->dir, "vm-files/1-one", path)), 0);
    assert_int_equal(open_named(f, "new", MH_O_WRITE), -MH_EACCES);
    assert_false(temp_exists(&f->files->dir, "new"));
    assert_int_equal(f->files->notices, 1);
}

static void failures_without_anybody_to_tell_are_errors_all_the_same(void **state)
{
    struct stores *f = *state;
    f->store[0].notice = NULL;
    f->store[0].parent = "/nonexistent/vm-files";
    assert_true(open_named(f, "new", MH_O_WRITE) < 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, stores_set_up, stores_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_lies_in_the_directory_is_not_visible),
        TEST(what_lies_in_the_directory_is_replaced_and_not_written),
        TEST(a_directory_of_the_name_is_refused),
        TEST(leftovers_nobody_asks_for_stay),
        TEST(an_own_file_somebody_removed_is_made_again_when_written),
        TEST(an_own_file_replaced_by_something_else_is_refused),
        TEST(a_directory_in_use_by_another_run_is_refused_with_advice),
        TEST(a_parent_in_no_directory_is_an_error_and_told),
        TEST(a_parent_we_may_not_write_is_an_error_and_told),
        TEST(a_directory_that_is_a_link_is_refused),
        TEST(failures_without_anybody_to_tell_are_errors_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
