#include "devices/shared_files.h"

#include "mh/guest_abi.h"
#include "temp_dir.h"
#include "unit.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct temp_dir dir;

static int set_up(void **state)
{
    (void)state;
    dir = temp_dir_make();
    temp_text(&dir, "notes.txt", "some notes");
    temp_text(&dir, "flowers.png", "a picture");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    temp_dir_remove(&dir);
    return 0;
}

static void refused(const char *const *paths, size_t count, enum mh_status status, const char *words)
{
    struct mh_shared_files *files = NULL;
    struct mh_error err = {0};
    unsigned fds = count_open_fds();
    assert_int_equal(mh_shared_files_open(paths, count, &files, &err), status);
    assert_text_has(err.text, words);
    assert_null(files);
    assert_int_equal(count_open_fds(), fds);
}

static void one_is_refused(const char *name, enum mh_status status, const char *words)
{
    char good[PATH_MAX], bad[PATH_MAX];
    const char *const paths[] = {temp_path(&dir, "notes.txt", good), temp_path(&dir, name, bad)};
    refused(paths, 2, status, words);
}

static bool holds(int fd, const char *text)
{
    char content[64];
    ssize_t got = pread(fd, content, sizeof content, 0);
    return got == (ssize_t)strlen(text) && memcmp(content, text, (size_t)got) == 0;
}

static void files_are_found_by_the_last_name_of_their_paths(void **state)
{
    (void)state;
    char one[PATH_MAX], two[PATH_MAX];
    const char *const paths[] = {temp_path(&dir, "notes.txt", one), temp_path(&dir, "flowers.png", two)};
    struct mh_shared_files *files;
    assert_int_equal(mh_shared_files_open(paths, 2, &files, NULL), MH_OK);
    assert_true(holds(shared_files_find(files, "notes.txt"), "some notes"));
    assert_true(holds(shared_files_find(files, "flowers.png"), "a picture"));
    assert_int_equal(shared_files_find(files, "notes"), -1);
    assert_int_equal(shared_files_find(files, one), -1);
    assert_int_equal(shared_files_find(files, ""), -1);
    mh_shared_files_close(files);
}

static void shared_files_are_open_for_reading_only(void **state)
{
    (void)state;
    char path[PATH_MAX];
    const char *const paths[] = {temp_path(&dir, "notes.txt", path)};
    struct mh_shared_files *files;
    assert_int_equal(mh_shared_files_open(paths, 1, &files, NULL), MH_OK);
    assert_int_equal(write(shared_files_find(files, "notes.txt"), "x", 1), -1);
    mh_shared_files_close(files);
}

static void none_is_a_set_too(void **state)
{
    (void)state;
    struct mh_shared_files *files;
    assert_int_equal(mh_shared_files_open(NULL, 0, &files, NULL), MH_OK);
    assert_int_equal(shared_files_find(files, "notes.txt"), -1);
    mh_shared_files_close(files);
    assert_int_equal(shared_files_find(NULL, "notes.txt"), -1);
    mh_shared_files_close(NULL);
}

static void closing_gives_all_descriptors_back(void **state)
{
    (void)state;
    char one[PATH_MAX], two[PATH_MAX];
    const char *const paths[] = {temp_path(&dir, "notes.txt", one), temp_path(&dir, "flowers.png", two)};
    struct mh_shared_files *files;
    unsigned fds = count_open_fds();
    assert_int_equal(mh_shared_files_open(paths, 2, &files, NULL), MH_OK);
    assert_int_equal(count_open_fds(), fds + 2);
    mh_shared_files_close(files);
    assert_int_equal(count_open_fds(), fds);
}

static void two_files_of_one_name_are_refused(void **state)
{
    (void)state;
    char one[PATH_MAX], two[PATH_MAX];
    assert_int_equal(mkdir(temp_path(&dir, "sub", one), 0777), 0);
    temp_text(&dir, "sub/notes.txt", "other notes");
    const char *const paths[] = {temp_path(&dir, "notes.txt", one), temp_path(&dir, "sub/notes.txt", two)};
    refused(paths, 2, MH_ERR_USAGE, "two shared files are called 'notes.txt'");
    const char *const twice[] = {one, one};
    refused(twice, 2, MH_ERR_USAGE, "two shared files are called 'notes.txt'");
}

static void missing_files_are_refused(void **state)
{
    (void)state;
    one_is_refused("missing.txt", MH_ERR_IMAGE, "missing.txt' cannot be opened: No such file or directory");
}

static void files_we_may_not_read_are_refused(void **state)
{
    (void)state;
    char path[PATH_MAX];
    temp_text(&dir, "secret.txt", "x");
    assert_int_equal(chmod(temp_path(&dir, "secret.txt", path), 0), 0);
    drop_root();
    one_is_refused("secret.txt", MH_ERR_IMAGE, "secret.txt' cannot be opened: Permission denied");
}

static void directories_pipes_and_devices_are_refused(void **state)
{
    (void)state;
    char path[PATH_MAX];
    assert_int_equal(mkdir(temp_path(&dir, "a-directory", path), 0777), 0);
    one_is_refused("a-directory", MH_ERR_IMAGE, "is a directory, not a file");
    assert_int_equal(mkfifo(temp_path(&dir, "a-pipe", path), 0666), 0);
    one_is_refused("a-pipe", MH_ERR_IMAGE, "is a device or a pipe, not a file");
    const char *const device[] = {"/dev/zero"};
    refused(device, 1, MH_ERR_IMAGE, "is a device or a pipe, not a file");
}

static void names_no_guest_can_say_are_refused(void **state)
{
    (void)state;
    static const char *const paths[] = {"", "/", "/tmp/", "..", "/tmp/..", ".", "/tmp/new\nline", "/tmp/\x7f"};
    for (size_t i = 0; i < COUNT(paths); i++)
        refused(&paths[i], 1, MH_ERR_USAGE, "has no name that guests could open");
}

static void every_byte_of_a_name_is_allowed_but_control_bytes_and_slashes(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        const char name[3] = {'a', (char)byte, 'b'};
        bool allowed = byte >= 0x20 && byte != 0x7f && byte != '/';
        assert_int_equal(file_name_is_allowed(name, 3), allowed);
        assert_int_equal(file_name_is_allowed(name + 1, 1), allowed && byte != '.');
    }
}

static void dots_alone_are_no_name_but_may_be_part_of_one(void **state)
{
    (void)state;
    assert_false(file_name_is_allowed(".", 1));
    assert_false(file_name_is_allowed("..", 2));
    assert_true(file_name_is_allowed("...", 3));
    assert_true(file_name_is_allowed(".a", 2));
    assert_true(file_name_is_allowed("a.", 2));
    assert_true(file_name_is_allowed("..a", 3));
}

static void names_have_1_to_255_bytes(void **state)
{
    (void)state;
    char name[MH_FILE_NAME_MAX + 1];
    memset(name, 'n', sizeof name);
    assert_false(file_name_is_allowed(name, 0));
    assert_true(file_name_is_allowed(name, 1));
    assert_true(file_name_is_allowed(name, MH_FILE_NAME_MAX));
    assert_false(file_name_is_allowed(name, MH_FILE_NAME_MAX + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_found_by_the_last_name_of_their_paths),
        cmocka_unit_test(shared_files_are_open_for_reading_only),
        cmocka_unit_test(none_is_a_set_too),
        cmocka_unit_test(closing_gives_all_descriptors_back),
        cmocka_unit_test(two_files_of_one_name_are_refused),
        cmocka_unit_test(missing_files_are_refused),
        cmocka_unit_test_teardown(files_we_may_not_read_are_refused, regain_root),
        cmocka_unit_test(directories_pipes_and_devices_are_refused),
        cmocka_unit_test(names_no_guest_can_say_are_refused),
        cmocka_unit_test(every_byte_of_a_name_is_allowed_but_control_bytes_and_slashes),
        cmocka_unit_test(dots_alone_are_no_name_but_may_be_part_of_one),
        cmocka_unit_test(names_have_1_to_255_bytes),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
