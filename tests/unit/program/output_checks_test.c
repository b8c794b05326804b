#include "run/output_checks.h"

#include "temp_dir.h"
#include "unit.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
    struct temp_dir dir;
    char image[PATH_MAX], other[PATH_MAX];
    const char *guests[1];
    struct options options;
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    f->dir = temp_dir_make();
    temp_text(&f->dir, "guest-2", "an image");
    f->guests[0] = temp_path(&f->dir, "guest-2", f->image);
    f->options = (struct options){.guests = {.words = f->guests, .count = 1}, .files_dir = "missing"};
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    temp_dir_remove(&f->dir);
    test_free(f);
    return 0;
}

static void output_elsewhere_is_accepted(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(output_checks(&f->options, NULL), MH_OK);
    f->options.trace_path = temp_path(&f->dir, "trace", f->other);
    f->options.serial_path = "missing-%n";
    assert_int_equal(output_checks(&f->options, NULL), MH_OK);
    assert_int_equal(access(f->other, F_OK), -1);
}

static void output_over_an_image_is_refused(void **state)
{
    struct fixture *f = *state;
    struct mh_error err;
    assert_int_equal(symlink("guest-2", temp_path(&f->dir, "link", f->other)), 0);
    f->options.trace_path = f->other;
    assert_int_equal(output_checks(&f->options, &err), MH_ERR_USAGE);
    assert_text_has(err.text, "link is a guest's image or a shared file and would be overwritten; choose another");
}

static void percent_n_is_replaced_first(void **state)
{
    struct fixture *f = *state;
    struct mh_error err;
    const char *guests[] = {"missing", f->image};
    f->options.guests = (struct word_list){.words = guests, .count = 2};
    f->options.serial_path = temp_path(&f->dir, "guest-%n", f->other);
    assert_int_equal(output_checks(&f->options, &err), MH_ERR_USAGE);
    assert_text_has(err.text, "guest-2 is a guest's image");
}

static void two_outputs_to_one_file_are_refused(void **state)
{
    struct fixture *f = *state;
    struct mh_error err;
    char link[PATH_MAX];
    f->options.trace_path = "missing";
    f->options.report_path = "missing";
    assert_int_equal(output_checks(&f->options, &err), MH_ERR_USAGE);
    assert_text_has(err.text, "--trace and --report would both write to missing; choose another file");

    temp_text(&f->dir, "file", "");
    assert_int_equal(symlink("file", temp_path(&f->dir, "link", link)), 0);
    f->options.trace_path = temp_path(&f->dir, "file", f->other);
    f->options.report_path = link;
    assert_int_equal(output_checks(&f->options, &err), MH_ERR_USAGE);

    f->options.trace_path = "/dev/null";
    f->options.report_path = "/dev/null";
    assert_int_equal(output_checks(&f->options, &err), MH_OK);
}

static void a_files_dir_that_is_a_file_is_refused(void **state)
{
    struct fixture *f = *state;
    struct mh_error err;
    f->options.files_dir = f->image;
    assert_int_equal(output_checks(&f->options, &err), MH_ERR_USAGE);
    assert_text_has(err.text, "is not a directory; choose another");
}

static void the_directory_of_core_files_is_created_once(void **state)
{
    struct fixture *f = *state;
    struct stat at;
    assert_int_equal(output_make_core_directory(NULL, NULL), MH_OK);
    const char *path = temp_path(&f->dir, "cores", f->other);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(output_make_core_directory(path, NULL), MH_OK);
    assert_int_equal(stat(path, &at), 0);
    assert_true(S_ISDIR(at.st_mode));
}

static void a_directory_that_cannot_be_used_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct mh_error err;
    assert_int_equal(output_make_core_directory(f->image, &err), MH_ERR_IO);
    assert_text_has(err.text, "Not a directory; choose another with --core");
    assert_int_equal(output_make_core_directory(temp_path(&f->dir, "missing/cores", f->other), &err), MH_ERR_IO);
    assert_text_has(err.text, "No such file or directory");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(output_elsewhere_is_accepted),
        TEST(output_over_an_image_is_refused),
        TEST(percent_n_is_replaced_first),
        TEST(two_outputs_to_one_file_are_refused),
        TEST(a_files_dir_that_is_a_file_is_refused),
        TEST(the_directory_of_core_files_is_created_once),
        TEST(a_directory_that_cannot_be_used_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
