#include "devices/own_directory.h"

#include "temp_dir.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* One test's directory, with a secret in it that no guest may reach, and the directory of a VM. */
struct fixture {
    struct temp_dir dir;
    char parent[PATH_MAX];
    int vm;
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    f->dir = temp_dir_make();
    temp_text(&f->dir, "secret", "secret");
    temp_path(&f->dir, "vm-files", f->parent);
    f->vm = own_directory_open(f->parent, "1-guest");
    *state = f;
    return f->vm >= 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    regain_root(NULL);
    if (f->vm >= 0)
        close(f->vm);
    temp_dir_remove(&f->dir);
    test_free(f);
    return 0;
}

static void both_directories_are_made(void **state)
{
    struct fixture *f = *state;
    assert_true(temp_exists(&f->dir, "vm-files/1-guest"));
}

static void directories_that_are_there_are_used(void **state)
{
    struct fixture *f = *state;
    char path[PATH_MAX];
    assert_int_equal(mkdir(temp_path(&f->dir, "vm-files/2-other", path), 0777), 0);
    int other = own_directory_open(f->parent, "2-other");
    assert_true(other >= 0);
    close(other);
}

static void a_directory_in_use_is_locked(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(own_directory_open(f->parent, "1-guest"), -EWOULDBLOCK);
    close(f->vm);
    f->vm = own_directory_open(f->parent, "1-guest");
    assert_true(f->vm >= 0);
}

/* Lock the directory from another process; it says so through a pipe, and lets go when the other pipe is closed. */
static pid_t start_locker(const char *path, int say[2], int hold[2])
{
    assert_int_equal(pipe(say), 0);
    assert_int_equal(pipe(hold), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char byte;
        close(hold[1]);
        int fd = open(path, O_RDONLY | O_DIRECTORY);
        bool told = flock(fd, LOCK_EX | LOCK_NB) == 0 && write(say[1], "l", 1) == 1;
        _exit(told && read(hold[0], &byte, 1) == 0 ? 0 : 1);
    }
    close(say[1]);
    close(hold[0]);
    return pid;
}

static void a_directory_locked_by_another_process_is_refused(void **state)
{
    struct fixture *f = *state;
    char path[PATH_MAX], byte;
    int say[2], hold[2], status;
    assert_int_equal(mkdir(temp_path(&f->dir, "vm-files/2-other", path), 0777), 0);
    pid_t pid = start_locker(path, say, hold);
    assert_int_equal(read(say[0], &byte, 1), 1);
    unsigned fds = count_open_fds();
    assert_int_equal(own_directory_open(f->parent, "2-other"), -EWOULDBLOCK);
    assert_int_equal(count_open_fds(), fds);
    close(hold[1]);
    close(say[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    int other = own_directory_open(f->parent, "2-other");
    assert_true(other >= 0);
    close(other);
}

static void a_vm_directory_that_is_a_link_is_refused(void **state)
{
    struct fixture *f = *state;
    char path[PATH_MAX];
    assert_int_equal(symlink("..", temp_path(&f->dir, "vm-files/2-link", path)), 0);
    assert_int_equal(own_directory_open(f->parent, "2-link"), -ELOOP);
    assert_int_equal(symlink("1-guest", temp_path(&f->dir, "vm-files/3-link", path)), 0);
    assert_int_equal(own_directory_open(f->parent, "3-link"), -ELOOP);
}

static void a_vm_directory_that_is_a_file_is_refused(void **state)
{
    struct fixture *f = *state;
    temp_text(&f->dir, "vm-files/2-file", "");
    assert_int_equal(own_directory_open(f->parent, "2-file"), -ENOTDIR);
}

static void a_parent_that_is_a_file_is_refused(void **state)
{
    struct fixture *f = *state;
    char path[PATH_MAX];
    assert_int_equal(own_directory_open(temp_path(&f->dir, "secret", path), "1-guest"), -ENOTDIR);
}

static void a_parent_in_no_directory_is_refused(void **state)
{
    struct fixture *f = *state;
    char path[PATH_MAX];
    assert_int_equal(own_directory_open(temp_path(&f->dir, "missing/vm-files", path), "1-guest"), -ENOENT);
    assert_false(temp_exists(&f->dir, "missing"));
}

static void a_parent_we_may_not_write_is_refused(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(chmod(f->parent, 0555), 0);
    drop_root();
    assert_int_equal(own_directory_open(f->parent, "2-other"), -EACCES);
}

static void names_that_lead_out_are_refused(void **state)
{
    struct fixture *f = *state;
    char absolute[PATH_MAX];
    const char *const names[] = {"../../secret", "..", temp_path(&f->dir, "secret", absolute), "/", "."};
    unsigned fds = count_open_fds();
    for (size_t i = 0; i < COUNT(names); i++) {
        assert_true(own_directory_reopen(f->vm, names[i], false) < 0);
        assert_true(own_directory_reopen(f->vm, names[i], true) < 0);
    }
    assert_int_equal(own_directory_reopen(f->vm, "../../secret", false), -EXDEV);
    assert_int_equal(own_directory_reopen(f->vm, absolute, false), -EXDEV);
    assert_int_equal(count_open_fds(), fds);
}

static void links_are_not_followed(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(symlinkat("../../secret", f->vm, "link"), 0);
    assert_int_equal(symlinkat("target", f->vm, "inner-link"), 0);
    temp_text(&f->dir, "vm-files/1-guest/target", "x");
    assert_int_equal(own_directory_reopen(f->vm, "link", false), -ELOOP);
    assert_int_equal(own_directory_reopen(f->vm, "link", true), -ELOOP);
    assert_int_equal(own_directory_reopen(f->vm, "inner-link", false), -ELOOP);
}

static void nothing_but_files_is_opened(void **state)
{
    struct fixture *f = *state;
    unsigned fds = count_open_fds();
    assert_int_equal(mkdirat(f->vm, "directory", 0777), 0);
    assert_int_equal(mkfifoat(f->vm, "pipe", 0666), 0);
    assert_int_equal(own_directory_reopen(f->vm, "directory", false), -EACCES);
    assert_int_equal(own_directory_reopen(f->vm, "directory", true), -EISDIR);
    assert_int_equal(own_directory_reopen(f->vm, "pipe", false), -EACCES);
    assert_int_equal(own_directory_reopen(f->vm, "pipe", true), -EACCES);
    assert_int_equal(count_open_fds(), fds);
}

static void a_missing_file_is_not_made_by_reopening(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(own_directory_reopen(f->vm, "missing", true), -ENOENT);
    assert_false(temp_exists(&f->dir, "vm-files/1-guest/missing"));
}

static void reopening_for_reading_does_not_allow_writing(void **state)
{
    struct fixture *f = *state;
    temp_text(&f->dir, "vm-files/1-guest/mine", "text");
    int fd = own_directory_reopen(f->vm, "mine", false);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x", 1), -1);
    close(fd);
}

static void creating_replaces_what_had_the_name_and_leaves_its_other_ends_alone(void **state)
{
    struct fixture *f = *state;
    char path[PATH_MAX];
    assert_int_equal(symlinkat("../../secret", f->vm, "symlink"), 0);
    assert_int_equal(linkat(AT_FDCWD, temp_path(&f->dir, "secret", path), f->vm, "hardlink", 0), 0);
    assert_int_equal(mkfifoat(f->vm, "pipe", 0666), 0);
    static const char *const names[] = {"symlink", "hardlink", "pipe"};
    for (size_t i = 0; i < COUNT(names); i++) {
        struct stat info;
        int fd = own_directory_create(f->vm, names[i]);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, "mine", 4), 4);
        assert_int_equal(fstat(fd, &info), 0);
        assert_true(S_ISREG(info.st_mode));
        assert_int_equal(info.st_nlink, 1);
        close(fd);
    }
    assert_true(temp_file_is(&f->dir, "secret", "secret"));
}

static void creating_does_not_replace_a_directory(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mkdirat(f->vm, "directory", 0777), 0);
    assert_true(own_directory_create(f->vm, "directory") < 0);
    assert_true(temp_exists(&f->dir, "vm-files/1-guest/directory"));
}

static void a_file_has_its_name_when_it_is_whole(void **state)
{
    struct fixture *f = *state;
    temp_text(&f->dir, "vm-files/1-guest/mine", "old");
    int fd = own_directory_begin(f->vm);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "whole", 5), 5);
    assert_true(temp_file_is(&f->dir, "vm-files/1-guest/mine", "old"));
    assert_int_equal(own_directory_name(f->vm, fd, "mine"), 0);
    assert_true(temp_file_is(&f->dir, "vm-files/1-guest/mine", "whole"));
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    close(fd);
}

/* The way of file systems without nameless files: a file with a name that no guest can say. */
static void a_file_begun_under_another_name_gets_its_own(void **state)
{
    struct fixture *f = *state;
    int fd = openat(f->vm, "unfinished\n", O_CREAT | O_RDWR, 0666);
    assert_int_equal(write(fd, "whole", 5), 5);
    assert_int_equal(own_directory_name(f->vm, fd, "mine"), 0);
    assert_true(temp_file_is(&f->dir, "vm-files/1-guest/mine", "whole"));
    assert_false(temp_exists(&f->dir, "vm-files/1-guest/unfinished\n"));
    close(fd);
}

static void what_was_never_finished_is_removed_at_the_next_start(void **state)
{
    struct fixture *f = *state;
    temp_text(&f->dir, "vm-files/1-guest/unfinished\n", "half");
    temp_text(&f->dir, "vm-files/1-guest/mine", "whole");
    close(f->vm);
    f->vm = own_directory_open(f->parent, "1-guest");
    assert_false(temp_exists(&f->dir, "vm-files/1-guest/unfinished\n"));
    assert_true(temp_exists(&f->dir, "vm-files/1-guest/mine"));
}

static void a_directory_is_not_replaced_by_a_file(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mkdirat(f->vm, "directory", 0777), 0);
    int fd = own_directory_begin(f->vm);
    assert_int_equal(own_directory_name(f->vm, fd, "directory"), -EISDIR);
    close(fd);
}

static void descriptors_are_not_inherited(void **state)
{
    struct fixture *f = *state;
    int fd = own_directory_create(f->vm, "mine");
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(f->vm, F_GETFD), FD_CLOEXEC);
    close(fd);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(both_directories_are_made),
        TEST(directories_that_are_there_are_used),
        TEST(a_directory_in_use_is_locked),
        TEST(a_directory_locked_by_another_process_is_refused),
        TEST(a_vm_directory_that_is_a_link_is_refused),
        TEST(a_vm_directory_that_is_a_file_is_refused),
        TEST(a_parent_that_is_a_file_is_refused),
        TEST(a_parent_in_no_directory_is_refused),
        TEST(a_parent_we_may_not_write_is_refused),
        TEST(names_that_lead_out_are_refused),
        TEST(links_are_not_followed),
        TEST(nothing_but_files_is_opened),
        TEST(a_missing_file_is_not_made_by_reopening),
        TEST(reopening_for_reading_does_not_allow_writing),
        TEST(creating_replaces_what_had_the_name_and_leaves_its_other_ends_alone),
        TEST(creating_does_not_replace_a_directory),
        TEST(a_file_has_its_name_when_it_is_whole),
        TEST(a_file_begun_under_another_name_gets_its_own),
        TEST(what_was_never_finished_is_removed_at_the_next_start),
        TEST(a_directory_is_not_replaced_by_a_file),
        TEST(descriptors_are_not_inherited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
