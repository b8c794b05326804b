#include "atomic_file.h"

#include "temp_dir.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
    struct temp_dir dir;
    int fd;
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    f->dir = temp_dir_make();
    f->fd = open(f->dir.path, O_RDONLY | O_DIRECTORY);
    *state = f;
    return f->fd >= 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    close(f->fd);
    temp_dir_remove(&f->dir);
    test_free(f);
    return 0;
}

static struct atomic_file begin(const struct fixture *f, const char *text)
{
    struct atomic_file file;
    assert_int_equal(atomic_file_begin(&file, f->fd, "name"), 0);
    assert_int_equal(write(file.fd, text, strlen(text)), (ssize_t)strlen(text));
    return file;
}

static void it_appears_when_it_is_finished(void **state)
{
    const struct fixture *f = *state;
    struct atomic_file file = begin(f, "whole");
    assert_false(temp_exists(&f->dir, "name"));
    assert_int_equal(atomic_file_finish(&file), 0);
    assert_true(temp_file_is(&f->dir, "name", "whole"));
    assert_false(temp_exists(&f->dir, ".name.part"));
}

static void it_takes_the_place_of_another(void **state)
{
    const struct fixture *f = *state;
    temp_text(&f->dir, "name", "older and longer");
    struct atomic_file file = begin(f, "whole");
    assert_true(temp_file_is(&f->dir, "name", "older and longer"));
    assert_int_equal(atomic_file_finish(&file), 0);
    assert_true(temp_file_is(&f->dir, "name", "whole"));
}

static void abandoned_it_leaves_nothing(void **state)
{
    const struct fixture *f = *state;
    temp_text(&f->dir, "name", "older");
    struct atomic_file file = begin(f, "half");
    atomic_file_abandon(&file);
    assert_true(temp_file_is(&f->dir, "name", "older"));
    assert_false(temp_exists(&f->dir, ".name.part"));
}

static void what_a_killed_try_left_is_replaced(void **state)
{
    const struct fixture *f = *state;
    temp_text(&f->dir, ".name.part", "left by somebody who was killed");
    struct atomic_file file = begin(f, "whole");
    assert_int_equal(atomic_file_finish(&file), 0);
    assert_true(temp_file_is(&f->dir, "name", "whole"));
}

static void a_link_planted_for_it_is_not_followed(void **state)
{
    const struct fixture *f = *state;
    temp_text(&f->dir, "secret", "secret");
    assert_int_equal(symlinkat("secret", f->fd, ".name.part"), 0);
    struct atomic_file file = begin(f, "whole");
    assert_int_equal(atomic_file_finish(&file), 0);
    assert_true(temp_file_is(&f->dir, "secret", "secret"));
    assert_true(temp_file_is(&f->dir, "name", "whole"));
}

static void a_name_that_a_directory_has_is_an_error(void **state)
{
    const struct fixture *f = *state;
    assert_int_equal(mkdirat(f->fd, "name", 0777), 0);
    struct atomic_file file = begin(f, "whole");
    assert_int_equal(atomic_file_finish(&file), -EISDIR);
    assert_false(temp_exists(&f->dir, ".name.part"));
}

static void names_are_single_components(void **state)
{
    const struct fixture *f = *state;
    struct atomic_file file;
    char longest[NAME_MAX + 1];
    memset(longest, 'x', NAME_MAX);
    longest[NAME_MAX] = '\0';
    assert_int_equal(atomic_file_begin(&file, f->fd, ""), -EINVAL);
    assert_int_equal(atomic_file_begin(&file, f->fd, "."), -EINVAL);
    assert_int_equal(atomic_file_begin(&file, f->fd, ".."), -EINVAL);
    assert_int_equal(atomic_file_begin(&file, f->fd, "a/b"), -EINVAL);
    assert_int_equal(atomic_file_begin(&file, f->fd, "../name"), -EINVAL);
    assert_int_equal(atomic_file_begin(&file, f->fd, longest), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_appears_when_it_is_finished, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_takes_the_place_of_another, set_up, tear_down),
        cmocka_unit_test_setup_teardown(abandoned_it_leaves_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_a_killed_try_left_is_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_link_planted_for_it_is_not_followed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_name_that_a_directory_has_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_are_single_components, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
