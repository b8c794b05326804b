#include "sandbox/files_dir.h"

#include "temp_dir.h"
#include "unit.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
    struct temp_dir dir;
    char path[PATH_MAX];
    struct files_dir one, other;
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    f->dir = temp_dir_make();
    temp_path(&f->dir, "files", f->path);
    *state = f;
    return 0;
}

static void it_is_made_and_goes_when_it_is_empty(void **state)
{
    struct fixture *f = *state;
    files_dir_hold(&f->one, f->path);
    assert_true(f->one.made);
    assert_true(temp_exists(&f->dir, "files"));
    files_dir_release(&f->one);
    assert_false(temp_exists(&f->dir, "files"));
    files_dir_release(&f->one);
}

static void it_stays_when_something_is_in_it(void **state)
{
    struct fixture *f = *state;
    files_dir_hold(&f->one, f->path);
    temp_text(&f->dir, "files/file", "x");
    files_dir_release(&f->one);
    assert_true(temp_exists(&f->dir, "files/file"));
}

static void one_that_was_there_stays(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mkdir(f->path, 0777), 0);
    files_dir_hold(&f->one, f->path);
    assert_false(f->one.made);
    files_dir_release(&f->one);
    assert_true(temp_exists(&f->dir, "files"));
}

static void it_stays_while_another_run_holds_it(void **state)
{
    struct fixture *f = *state;
    files_dir_hold(&f->one, f->path);
    files_dir_hold(&f->other, f->path);
    assert_false(f->other.made);
    files_dir_release(&f->one);
    assert_true(temp_exists(&f->dir, "files"));
    files_dir_release(&f->other);
}

static void one_that_cannot_be_had_is_not_held(void **state)
{
    struct fixture *f = *state;
    char path[PATH_MAX];
    files_dir_hold(&f->one, temp_path(&f->dir, "missing/files", path));
    assert_int_equal(f->one.fd, -1);
    files_dir_release(&f->one);
    assert_int_equal(symlink("nowhere", f->path), 0);
    files_dir_hold(&f->one, f->path);
    assert_int_equal(f->one.fd, -1);
}

static void somebody_who_locks_it_keeps_nobody_waiting(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mkdir(f->path, 0777), 0);
    int fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    files_dir_hold(&f->one, f->path);
    assert_int_equal(f->one.fd, -1);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_is_made_and_goes_when_it_is_empty, set_up, temp_dir_tear_down_fixture),
        cmocka_unit_test_setup_teardown(it_stays_when_something_is_in_it, set_up, temp_dir_tear_down_fixture),
        cmocka_unit_test_setup_teardown(one_that_was_there_stays, set_up, temp_dir_tear_down_fixture),
        cmocka_unit_test_setup_teardown(it_stays_while_another_run_holds_it, set_up, temp_dir_tear_down_fixture),
        cmocka_unit_test_setup_teardown(one_that_cannot_be_had_is_not_held, set_up, temp_dir_tear_down_fixture),
        cmocka_unit_test_setup_teardown(somebody_who_locks_it_keeps_nobody_waiting, set_up, temp_dir_tear_down_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
