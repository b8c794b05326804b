#include "sandbox/landlock.h"

#include "temp_dir.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define UP_TO(bit) (((bit) << 1) - 1)

static void each_abi_restricts_what_it_knows(void **state)
{
    (void)state;
    const struct {
        int abi;
        struct landlock_handled handled;
    } expected[] = {
        {0, {0, 0, 0}},
        {1, {UP_TO(LANDLOCK_ACCESS_FS_MAKE_SYM), 0, 0}},
        {2, {UP_TO(LANDLOCK_ACCESS_FS_REFER), 0, 0}},
        {3, {UP_TO(LANDLOCK_FS_TRUNCATE), 0, 0}},
        {4, {UP_TO(LANDLOCK_FS_TRUNCATE), 3, 0}},
        {5, {UP_TO(LANDLOCK_FS_IOCTL_DEV), 3, 0}},
        {6, {UP_TO(LANDLOCK_FS_IOCTL_DEV), 3, 3}},
        {7, {UP_TO(LANDLOCK_FS_IOCTL_DEV), 3, 3}},
        {1000, {UP_TO(LANDLOCK_FS_IOCTL_DEV), 3, 3}},
    };
    for (size_t i = 0; i < COUNT(expected); i++) {
        const struct landlock_handled handled = landlock_handled(expected[i].abi);
        assert_memory_equal(&handled, &expected[i].handled, sizeof handled);
    }
}

struct fixture {
    struct temp_dir dir;
    char path[PATH_MAX];
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    f->dir = temp_dir_make();
    temp_text(&f->dir, "outside", "x");
    mkdir(temp_path(&f->dir, "inside", f->path), 0777);
    temp_text(&f->dir, "inside/file", "x");
    *state = f;
    return 0;
}

/* 0, or the errno of opening a file in the test's directory. */
static int opening(struct fixture *f, const char *name, int flags)
{
    int fd = open(temp_path(&f->dir, name, f->path), flags, 0666);
    return fd < 0 ? errno : close(fd);
}

/* Runs in a process of its own; what it returns is which check failed, 0 for none. */
static int check_confined(struct fixture *f, int abi)
{
    struct landlock landlock;
    landlock_begin(&landlock, abi);
    landlock_allow(&landlock, temp_path(&f->dir, "inside", f->path),
                   LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_FS_TRUNCATE | LANDLOCK_FS_IOCTL_DEV);
    landlock_allow(&landlock, "/nonexistent", LANDLOCK_ACCESS_FS_READ_FILE);
    landlock_allow_parent(&landlock, temp_path(&f->dir, "inside/file", f->path), LANDLOCK_ACCESS_FS_REMOVE_FILE);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || landlock_enforce(&landlock) != 0)
        return 1;
    if (opening(f, "inside/file", O_RDONLY) != 0 || opening(f, "inside/file", O_WRONLY) != EACCES)
        return 2;
    if (opening(f, "outside", O_RDONLY) != EACCES || opening(f, "new", O_WRONLY | O_CREAT) != EACCES)
        return 3;
    if (unlink(temp_path(&f->dir, "outside", f->path)) == 0 || unlink(temp_path(&f->dir, "inside/file", f->path)) != 0)
        return 4;
    return 0;
}

static void only_what_is_allowed_can_be_reached(void **state)
{
    if (landlock_abi() == 0) {
        print_message("SKIP: this kernel has no Landlock\n");
        skip();
    }
    for (int abi = 1; abi <= landlock_abi(); abi++) {
        temp_text(&((struct fixture *)*state)->dir, "inside/file", "x");
        pid_t child = fork();
        int status;
        if (child == 0)
            _exit(check_confined(*state, abi));
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
}

static void failures_are_told_at_the_end(void **state)
{
    struct fixture *f = *state;
    struct landlock landlock = {.handled = landlock_handled(1), .fd = -1};
    landlock_allow(&landlock, f->dir.path, LANDLOCK_ACCESS_FS_READ_FILE); /* with no ruleset to go to */
    assert_int_not_equal(landlock.error, 0);
    const int first = landlock.error;
    landlock_allow(&landlock, "/nonexistent", 0);
    assert_int_equal(landlock_enforce(&landlock), first);
    assert_int_equal(opening(f, "outside", O_RDONLY), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_abi_restricts_what_it_knows),
        cmocka_unit_test_setup_teardown(only_what_is_allowed_can_be_reached, set_up, temp_dir_tear_down_fixture),
        cmocka_unit_test_setup_teardown(failures_are_told_at_the_end, set_up, temp_dir_tear_down_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
