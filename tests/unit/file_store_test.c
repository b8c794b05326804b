#include "devices/file_store.h"

#include "guest_files.h"
#include "mh/guest_abi.h"
#include "unit.h"
#include "wrapped_io.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* Two guests and what they may reach. */
struct fixture {
    struct guest_files *files;
    struct file_store store[2];
    struct inbound inbound;
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    f->files = guest_files_make();
    for (unsigned i = 0; i < 2; i++)
        file_store_init(&f->store[i], &f->files->config[i], &f->files->stop);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    wrapped_io_reset();
    regain_root(NULL);
    for (unsigned i = 0; i < 2; i++)
        file_store_destroy(&f->store[i]);
    guest_files_remove(f->files);
    test_free(f);
    return 0;
}

/* Start the first guest anew with other limits, as a run of its own. */
static void restart(struct fixture *f, unsigned open_files, uint64_t bytes)
{
    file_store_destroy(&f->store[0]);
    f->files->config[0].limits = (struct mh_file_limits){.open_files = open_files, .bytes_written = bytes};
    file_store_init(&f->store[0], &f->files->config[0], &f->files->stop);
}

/* ---- the first guest's calls ---- */

static int64_t open_named(struct fixture *f, const char *name, uint32_t flags)
{
    return file_store_open(&f->store[0], name, strlen(name), flags);
}

static int32_t opened(struct fixture *f, const char *name, uint32_t flags)
{
    int64_t fd = open_named(f, name, flags);
    assert_in_range(fd, 0, 1023);
    return (int32_t)fd;
}

static int64_t put(struct fixture *f, int32_t fd, const char *text)
{
    return file_store_write(&f->store[0], fd, text, strlen(text));
}

static int64_t get(struct fixture *f, int32_t fd, void *to, size_t length)
{
    return file_store_read(&f->store[0], fd, to, length, &f->inbound);
}

static int64_t seek(struct fixture *f, int32_t fd, uint32_t whence, int64_t offset)
{
    return file_store_seek(&f->store[0], fd, whence, offset);
}

static void close_file(struct fixture *f, int32_t fd)
{
    assert_int_equal(file_store_close(&f->store[0], fd), 0);
}

/* From its position on, the file holds exactly this. */
static void reads(struct fixture *f, int32_t fd, const char *text)
{
    char content[256];
    int64_t got = get(f, fd, content, sizeof content);
    assert_int_equal(got, strlen(text));
    assert_memory_equal(content, text, strlen(text));
    assert_int_equal(get(f, fd, content, sizeof content), 0);
}

static void holds(struct fixture *f, const char *name, const char *text)
{
    int32_t fd = opened(f, name, MH_O_READ);
    reads(f, fd, text);
    close_file(f, fd);
}

static void make(struct fixture *f, const char *name, const char *text)
{
    int32_t fd = opened(f, name, MH_O_WRITE | MH_O_TRUNCATE);
    assert_int_equal(put(f, fd, text), strlen(text));
    close_file(f, fd);
}

static bool on_host(const struct fixture *f, const char *path, const char *text)
{
    return temp_file_is(&f->files->dir, path, text);
}

/* ---- shared and own files ---- */

static void shared_files_can_be_read_by_all(void **state)
{
    struct fixture *f = *state;
    char content[64];
    holds(f, "notes.txt", NOTES);
    int64_t fd = file_store_open(&f->store[1], "notes.txt", 9, MH_O_READ);
    assert_int_equal(fd, 0);
    assert_int_equal(file_store_read(&f->store[1], 0, content, 64, &f->inbound), strlen(NOTES));
}

static void reading_makes_no_directory(void **state)
{
    struct fixture *f = *state;
    holds(f, "notes.txt", NOTES);
    assert_int_equal(open_named(f, "missing", MH_O_READ), -MH_ENOENT);
    assert_false(temp_exists(&f->files->dir, "vm-files"));
}

static void a_new_file_lies_in_the_directory_of_its_guest(void **state)
{
    struct fixture *f = *state;
    make(f, "new.txt", "text");
    assert_true(on_host(f, "vm-files/1-one/new.txt", "text"));
    assert_false(temp_exists(&f->files->dir, "vm-files/2-two"));
    assert_int_equal(file_store_open(&f->store[1], "new.txt", 7, MH_O_READ), -MH_ENOENT);
}

static void opening_for_writing_makes_a_copy_and_leaves_the_original_alone(void **state)
{
    struct fixture *f = *state;
    int32_t fd = opened(f, "notes.txt", MH_O_READ | MH_O_WRITE);
    assert_true(on_host(f, "vm-files/1-one/notes.txt", NOTES));
    assert_int_equal(put(f, fd, "THESE"), 5);
    assert_true(on_host(f, "notes.txt", NOTES));
    assert_true(on_host(f, "vm-files/1-one/notes.txt", "THESE notes belong to everybody"));
}

static void a_descriptor_open_for_reading_keeps_what_it_had(void **state)
{
    struct fixture *f = *state;
    int32_t reader = opened(f, "notes.txt", MH_O_READ);
    make(f, "notes.txt", "changed");
    reads(f, reader, NOTES);
    holds(f, "notes.txt", "changed");
}

static void the_other_guest_never_sees_the_change(void **state)
{
    struct fixture *f = *state;
    make(f, "notes.txt", "changed");
    char content[64];
    assert_int_equal(file_store_open(&f->store[1], "notes.txt", 9, MH_O_READ), 0);
    assert_int_equal(file_store_read(&f->store[1], 0, content, 64, &f->inbound), strlen(NOTES));
    assert_memory_equal(content, NOTES, strlen(NOTES));
}

static void a_second_opening_finds_the_copy(void **state)
{
    struct fixture *f = *state;
    int32_t writer = opened(f, "notes.txt", MH_O_WRITE);
    int32_t reader = opened(f, "notes.txt", MH_O_READ);
    assert_int_equal(put(f, writer, "THESE"), 5);
    reads(f, reader, "THESE notes belong to everybody");
    int32_t again = opened(f, "notes.txt", MH_O_READ | MH_O_WRITE);
    reads(f, again, "THESE notes belong to everybody");
}

static void guests_copies_are_their_own(void **state)
{
    struct fixture *f = *state;
    make(f, "notes.txt", "one");
    assert_int_equal(file_store_open(&f->store[1], "notes.txt", 9, MH_O_WRITE | MH_O_TRUNCATE), 0);
    assert_int_equal(file_store_write(&f->store[1], 0, "second", 6), 6);
    assert_true(on_host(f, "vm-files/1-one/notes.txt", "one"));
    assert_true(on_host(f, "vm-files/2-two/notes.txt", "second"));
}

static void what_was_written_is_in_the_file_at_once(void **state)
{
    struct fixture *f = *state;
    int32_t fd = opened(f, "log", MH_O_WRITE);
    assert_int_equal(put(f, fd, "first"), 5);
    assert_true(on_host(f, "vm-files/1-one/log", "first"));
    assert_int_equal(put(f, fd, ", second"), 8);
    assert_true(on_host(f, "vm-files/1-one/log", "first, second"));
}

static void reads_are_counted_as_coming_in(void **state)
{
    struct fixture *f = *state;
    holds(f, "notes.txt", NOTES);
    assert_int_equal(f->inbound.bytes, strlen(NOTES));
}

/* ---- flags: every combination, for a name that is new, shared or the guest's own ---- */

enum situation { NEW, SHARED, OWN, SITUATIONS };

static const char *const names[] = {[NEW] = "new", [SHARED] = "notes.txt", [OWN] = "own"};
static const char *const contents[] = {[NEW] = "", [SHARED] = NOTES, [OWN] = "mine"};

static bool make_sense(uint32_t flags)
{
    bool reads_or_writes = (flags & (MH_O_READ | MH_O_WRITE)) != 0;
    bool needs_write = (flags & (MH_O_TRUNCATE | MH_O_APPEND)) != 0;
    return flags <= MH_O_ALL && reads_or_writes && ((flags & MH_O_WRITE) != 0 || !needs_write);
}

/* One byte is written: over the first, or behind the last. */
static void check_written(struct fixture *f, int32_t fd, enum situation situation, uint32_t flags, const char *before)
{
    char expected[128];
    bool at_end = (flags & MH_O_APPEND) != 0;
    snprintf(expected, sizeof expected, at_end ? "%s+" : "+%s", *before == '\0' || at_end ? before : before + 1);
    assert_int_equal(put(f, fd, "+"), 1);
    holds(f, names[situation], expected);
}

static void check_opened(struct fixture *f, int32_t fd, enum situation situation, uint32_t flags)
{
    const char *content = (flags & MH_O_TRUNCATE) != 0 ? "" : contents[situation];
    char byte;
    assert_int_equal(file_store_size(&f->store[0], fd), strlen(content));
    if ((flags & MH_O_READ) != 0)
        reads(f, fd, content);
    else
        assert_int_equal(get(f, fd, &byte, 1), -MH_EBADF);
    assert_int_equal(seek(f, fd, MH_SEEK_SET, 0), 0);
    if ((flags & MH_O_WRITE) != 0)
        check_written(f, fd, situation, flags, content);
    else
        assert_int_equal(put(f, fd, "x"), -MH_EBADF);
}

static void check_flags(struct fixture *f, enum situation situation, uint32_t flags)
{
    restart(f, GUEST_OPEN_FILES, GUEST_BYTES);
    make(f, "own", "mine");
    int64_t fd = open_named(f, names[situation], flags);
    if (!make_sense(flags)) {
        assert_int_equal(fd, -MH_EINVAL);
        return;
    }
    if (situation == NEW && (flags & (MH_O_WRITE | MH_O_CREATE)) == 0) {
        assert_int_equal(fd, -MH_ENOENT);
        return;
    }
    assert_int_equal(fd, 0);
    check_opened(f, (int32_t)fd, situation, flags);
    assert_true(on_host(f, "notes.txt", NOTES));
}

static void every_combination_of_flags_does_what_it_says(void **state)
{
    struct fixture *f = *state;
    for (uint32_t flags = 0; flags < 64; flags++) {
        for (enum situation situation = NEW; situation < SITUATIONS; situation++)
            check_flags(f, situation, flags);
    }
}

static void unknown_flags_are_refused(void **state)
{
    struct fixture *f = *state;
    for (unsigned bit = 5; bit < 32; bit++)
        assert_int_equal(open_named(f, "notes.txt", MH_O_READ | 1u << bit), -MH_EINVAL);
}

static void appending_goes_to_the_end_wherever_the_position_is(void **state)
{
    struct fixture *f = *state;
    int32_t one = opened(f, "log", MH_O_WRITE | MH_O_APPEND);
    int32_t two = opened(f, "log", MH_O_WRITE | MH_O_APPEND);
    assert_int_equal(put(f, one, "a"), 1);
    assert_int_equal(put(f, two, "b"), 1);
    assert_int_equal(seek(f, one, MH_SEEK_SET, 0), 0);
    assert_int_equal(put(f, one, "c"), 1);
    assert_int_equal(seek(f, one, MH_SEEK_CUR, 0), 3);
    holds(f, "log", "abc");
}

/* ---- names ---- */

static void names_that_lead_elsewhere_are_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = {
        "/etc/passwd",    "/",    "..",   ".",    "./",          "./.", "./..", "../notes.txt", "a/b", "a/", ".//a",
        "a/../notes.txt", "\x01", "a\nb", "\x7f", "../../secret"};
    temp_text(&f->files->dir, "secret", "secret");
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(open_named(f, bad[i], MH_O_READ), -MH_EACCES);
        assert_int_equal(open_named(f, bad[i], MH_O_WRITE), -MH_EACCES);
        assert_int_equal(open_named(f, bad[i], MH_O_READ | MH_O_WRITE | MH_O_CREATE | MH_O_TRUNCATE), -MH_EACCES);
    }
    assert_false(temp_exists(&f->files->dir, "vm-files"));
    assert_true(on_host(f, "secret", "secret"));
}

static void a_nul_in_a_name_does_not_end_it(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(file_store_open(&f->store[0], "notes.txt\0x", 11, MH_O_READ), -MH_EACCES);
    assert_int_equal(file_store_open(&f->store[0], "notes.txt\0", 10, MH_O_READ), -MH_EACCES);
    assert_int_equal(file_store_open(&f->store[0], "\0", 1, MH_O_READ), -MH_EACCES);
}

static void an_empty_name_is_no_file(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(open_named(f, "", MH_O_READ), -MH_ENOENT);
    assert_int_equal(open_named(f, "", MH_O_WRITE | MH_O_CREATE), -MH_ENOENT);
}

static void names_end_where_their_length_says(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(file_store_open(&f->store[0], "notes.txt and more", 9, MH_O_READ), 0);
}

static void names_may_have_255_bytes_and_no_more(void **state)
{
    struct fixture *f = *state;
    char name[MH_FILE_NAME_MAX + 3] = "./";
    memset(name + 2, 'n', MH_FILE_NAME_MAX + 1);
    assert_int_equal(file_store_open(&f->store[0], name + 2, MH_FILE_NAME_MAX + 1, MH_O_WRITE), -MH_ENAMETOOLONG);
    assert_int_equal(file_store_open(&f->store[0], name + 2, MH_FILE_NAME_MAX, MH_O_WRITE), 0);
    assert_int_equal(file_store_open(&f->store[0], name, MH_FILE_NAME_MAX + 2, MH_O_READ), 1);
    assert_int_equal(file_store_open(&f->store[0], name, MH_FILE_NAME_MAX + 3, MH_O_READ), -MH_ENAMETOOLONG);
}

static void dots_and_slashes_in_front_are_dropped(void **state)
{
    struct fixture *f = *state;
    holds(f, "./notes.txt", NOTES);
    holds(f, "././notes.txt", NOTES);
    make(f, "./own", "mine");
    holds(f, "own", "mine");
}

static void every_other_byte_may_stand_in_a_name(void **state)
{
    struct fixture *f = *state;
    for (unsigned byte = 0x20; byte < 256; byte++) {
        const char name[] = {'a', (char)byte, 'z', '\0'};
        if (byte == '/' || byte == 0x7f)
            continue;
        make(f, name, "x");
        holds(f, name, "x");
    }
}

/* ---- what others put into the directory ---- */

static void plant(const struct fixture *f)
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
    struct fixture *f = *state;
    plant(f);
    for (size_t i = 0; i < COUNT(planted); i++)
        assert_int_equal(open_named(f, planted[i], MH_O_READ), -MH_ENOENT);
    holds(f, "notes.txt", NOTES);
}

static void what_lies_in_the_directory_is_replaced_and_not_written(void **state)
{
    struct fixture *f = *state;
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
    struct fixture *f = *state;
    plant(f);
    assert_int_equal(open_named(f, "directory", MH_O_WRITE), -MH_EACCES);
    assert_true(temp_exists(&f->files->dir, "vm-files/1-one/directory"));
}

static void leftovers_nobody_asks_for_stay(void **state)
{
    struct fixture *f = *state;
    plant(f);
    make(f, "new", "x");
    assert_true(on_host(f, "vm-files/1-one/old", "of an earlier run"));
}

static void an_own_file_somebody_removed_is_made_again_when_written(void **state)
{
    struct fixture *f = *state;
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
    struct fixture *f = *state;
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
    struct fixture *f = *state;
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
    struct fixture *f = *state;
    file_store_destroy(&f->store[0]);
    f->files->config[0].files_parent = "/nonexistent/vm-files";
    file_store_init(&f->store[0], &f->files->config[0], &f->files->stop);
    assert_true(open_named(f, "new", MH_O_WRITE) < 0);
    assert_text_has(f->files->notice, "cannot use the guest's directory '/nonexistent/vm-files/1-one'");
    holds(f, "notes.txt", NOTES);
}

static void a_parent_we_may_not_write_is_an_error_and_told(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mkdir(f->files->parent, 0555), 0);
    drop_root();
    assert_int_equal(open_named(f, "new", MH_O_WRITE), -MH_EACCES);
    assert_text_has(f->files->notice, "Permission denied");
    holds(f, "notes.txt", NOTES);
}

static void a_directory_that_is_a_link_is_refused(void **state)
{
    struct fixture *f = *state;
    char path[PATH_MAX];
    assert_int_equal(mkdir(f->files->parent, 0777), 0);
    assert_int_equal(symlink("..", temp_path(&f->files->dir, "vm-files/1-one", path)), 0);
    assert_int_equal(open_named(f, "new", MH_O_WRITE), -MH_EACCES);
    assert_false(temp_exists(&f->files->dir, "new"));
    assert_int_equal(f->files->notices, 1);
}

static void failures_without_anybody_to_tell_are_errors_all_the_same(void **state)
{
    struct fixture *f = *state;
    f->store[0].notice = NULL;
    f->store[0].parent = "/nonexistent/vm-files";
    assert_true(open_named(f, "new", MH_O_WRITE) < 0);
}

/* ---- descriptors ---- */

static void descriptors_are_the_lowest_free_ones(void **state)
{
    struct fixture *f = *state;
    for (int32_t i = 0; i < GUEST_OPEN_FILES; i++)
        assert_int_equal(opened(f, "notes.txt", MH_O_READ), i);
    close_file(f, 2);
    close_file(f, 1);
    assert_int_equal(opened(f, "notes.txt", MH_O_READ), 1);
    assert_int_equal(opened(f, "notes.txt", MH_O_READ), 2);
}

static void one_too_many_open_files_is_an_error(void **state)
{
    struct fixture *f = *state;
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
    struct fixture *f = *state;
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
    struct fixture *f = *state;
    int32_t one = opened(f, "notes.txt", MH_O_READ);
    int32_t two = opened(f, "notes.txt", MH_O_READ);
    close_file(f, one);
    reads(f, two, NOTES);
}

static void positions_belong_to_descriptors(void **state)
{
    struct fixture *f = *state;
    char bytes[6];
    int32_t one = opened(f, "notes.txt", MH_O_READ);
    int32_t two = opened(f, "notes.txt", MH_O_READ);
    assert_int_equal(get(f, one, bytes, 6), 6);
    assert_int_equal(seek(f, two, MH_SEEK_CUR, 0), 0);
    assert_int_equal(seek(f, one, MH_SEEK_CUR, 0), 6);
}

static void destroying_gives_all_descriptors_back(void **state)
{
    struct fixture *f = *state;
    unsigned fds = count_open_fds();
    opened(f, "notes.txt", MH_O_READ);
    opened(f, "notes.txt", MH_O_WRITE);
    opened(f, "new", MH_O_WRITE);
    assert_true(open_named(f, "..", MH_O_WRITE) < 0);
    assert_true(count_open_fds() > fds);
    restart(f, GUEST_OPEN_FILES, GUEST_BYTES);
    assert_int_equal(count_open_fds(), fds);
}

/* ---- positions ---- */

static void seeking_goes_where_it_says(void **state)
{
    struct fixture *f = *state;
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
    struct fixture *f = *state;
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
    struct fixture *f = *state;
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
    struct fixture *f = *state;
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
    struct fixture *f = *state;
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
    struct fixture *f = *state;
    restart(f, GUEST_OPEN_FILES, 10);
    int32_t fd = opened(f, "own", MH_O_WRITE);
    assert_int_equal(put(f, fd, "12345678"), 8);
    assert_int_equal(put(f, fd, "9abc"), 2);
    assert_int_equal(put(f, fd, "b"), -MH_EDQUOT);
    assert_int_equal(file_store_write(&f->store[0], fd, "", 0), 0);
    holds(f, "own", "123456789a");
}

static void the_limit_is_that_of_all_files_together(void **state)
{
    struct fixture *f = *state;
    restart(f, GUEST_OPEN_FILES, 10);
    make(f, "one", "12345");
    make(f, "one", "123");
    make(f, "two", "12");
    int32_t fd = opened(f, "two", MH_O_WRITE);
    assert_int_equal(put(f, fd, "x"), -MH_EDQUOT);
}

static void no_file_grows_past_the_limit(void **state)
{
    struct fixture *f = *state;
    restart(f, GUEST_OPEN_FILES, 10);
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
    struct fixture *f = *state;
    restart(f, GUEST_OPEN_FILES, strlen(NOTES) + 2);
    int32_t fd = opened(f, "notes.txt", MH_O_WRITE);
    assert_int_equal(put(f, fd, "abc"), 2);
    assert_int_equal(put(f, fd, "c"), -MH_EDQUOT);
}

static void a_copy_that_exceeds_the_limit_is_not_left_behind(void **state)
{
    struct fixture *f = *state;
    restart(f, GUEST_OPEN_FILES, strlen(NOTES) - 1);
    unsigned fds = count_open_fds();
    assert_int_equal(open_named(f, "notes.txt", MH_O_WRITE), -MH_EDQUOT);
    assert_false(temp_exists(&f->files->dir, "vm-files/1-one/notes.txt"));
    assert_int_equal(count_open_fds(), fds + 1); /* the directory */
    holds(f, "notes.txt", NOTES);
    assert_int_equal(open_named(f, "notes.txt", MH_O_WRITE | MH_O_TRUNCATE), 0);
}

static void one_too_many_files_is_an_error(void **state)
{
    struct fixture *f = *state;
    char name[16];
    for (unsigned i = 0; i < FILE_STORE_NAMES_MAX; i++) {
        snprintf(name, sizeof name, "%u", i);
        close_file(f, opened(f, name, MH_O_WRITE));
    }
    assert_int_equal(open_named(f, "one more", MH_O_WRITE), -MH_EDQUOT);
    assert_int_equal(open_named(f, "notes.txt", MH_O_WRITE), -MH_EDQUOT);
    assert_false(temp_exists(&f->files->dir, "vm-files/1-one/one more"));
    assert_int_equal(opened(f, "1023", MH_O_WRITE), 0);
    holds(f, "notes.txt", NOTES);
}

/* ---- failures of the host ---- */

static void failures_of_the_host_have_the_guests_numbers(void **state)
{
    struct fixture *f = *state;
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
    struct fixture *f = *state;
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
    struct fixture *f = *state;
    int32_t fd = opened(f, "own", MH_O_WRITE);
    wrapped_io.most = 3;
    assert_int_equal(put(f, fd, "12345"), 3);
    assert_int_equal(put(f, fd, "45"), 2);
    wrapped_io_reset();
    holds(f, "own", "12345");
}

static void short_reads_are_told_and_can_be_continued(void **state)
{
    struct fixture *f = *state;
    char content[8];
    int32_t fd = opened(f, "notes.txt", MH_O_READ);
    wrapped_io.most = 3;
    assert_int_equal(get(f, fd, content, 5), 3);
    assert_int_equal(get(f, fd, content + 3, 2), 2);
    assert_memory_equal(content, NOTES, 5);
}

static void a_copy_made_in_small_steps_is_whole(void **state)
{
    struct fixture *f = *state;
    wrapped_io.most = 4;
    close_file(f, opened(f, "notes.txt", MH_O_WRITE));
    assert_true(wrapped_io.copies > strlen(NOTES) / 4);
    assert_true(on_host(f, "vm-files/1-one/notes.txt", NOTES));
}

static void where_the_kernel_cannot_copy_we_do(void **state)
{
    struct fixture *f = *state;
    static const int reasons[] = {EXDEV, EINVAL, ENOSYS, EOPNOTSUPP};
    for (size_t i = 0; i < COUNT(reasons); i++) {
        restart(f, GUEST_OPEN_FILES, GUEST_BYTES);
        wrapped_io = (struct wrapped_io){.copy_errors = INT_MAX, .copy_errno = reasons[i], .most = 5};
        close_file(f, opened(f, "notes.txt", MH_O_WRITE));
        assert_true(on_host(f, "vm-files/1-one/notes.txt", NOTES));
    }
}

static void a_failed_copy_leaves_nothing_behind(void **state)
{
    struct fixture *f = *state;
    wrapped_io = (struct wrapped_io){.copy_errors = 1, .copy_errno = ENOSPC};
    unsigned fds = count_open_fds();
    assert_int_equal(open_named(f, "notes.txt", MH_O_WRITE), -MH_ENOSPC);
    assert_false(temp_exists(&f->files->dir, "vm-files/1-one/notes.txt"));
    assert_int_equal(count_open_fds(), fds + 1); /* the directory */
    holds(f, "notes.txt", NOTES);
    assert_int_equal(opened(f, "notes.txt", MH_O_WRITE), 0);
}

static void ask_to_stop(void *ctx)
{
    atomic_bool *stop = ctx;
    atomic_store(stop, true);
}

static void a_long_copy_ends_when_the_machine_is_to_stop(void **state)
{
    struct fixture *f = *state;
    wrapped_io = (struct wrapped_io){.most = 4, .on_copy = ask_to_stop, .on_copy_ctx = &f->files->stop};
    assert_int_equal(open_named(f, "notes.txt", MH_O_WRITE), -MH_EIO);
    assert_int_equal(wrapped_io.copies, 1);
    assert_false(temp_exists(&f->files->dir, "vm-files/1-one/notes.txt"));
}

static void a_failed_truncation_leaks_no_descriptor(void **state)
{
    struct fixture *f = *state;
    make(f, "own", "mine");
    unsigned fds = count_open_fds();
    wrapped_io.truncate_errno = EIO;
    assert_int_equal(open_named(f, "own", MH_O_WRITE | MH_O_TRUNCATE), -MH_EIO);
    assert_int_equal(count_open_fds(), fds);
    holds(f, "own", "mine");
}

static void a_limit_of_the_host_on_file_sizes_is_an_error_to_the_guest(void **state)
{
    struct fixture *f = *state;
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
    struct fixture *f = *state;
    int32_t fd = opened(f, "notes.txt", MH_O_READ);
    temp_text(&f->files->dir, "notes.txt", "short");
    reads(f, fd, "short");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(shared_files_can_be_read_by_all),
        TEST(reading_makes_no_directory),
        TEST(a_new_file_lies_in_the_directory_of_its_guest),
        TEST(opening_for_writing_makes_a_copy_and_leaves_the_original_alone),
        TEST(a_descriptor_open_for_reading_keeps_what_it_had),
        TEST(the_other_guest_never_sees_the_change),
        TEST(a_second_opening_finds_the_copy),
        TEST(guests_copies_are_their_own),
        TEST(what_was_written_is_in_the_file_at_once),
        TEST(reads_are_counted_as_coming_in),
        TEST(every_combination_of_flags_does_what_it_says),
        TEST(unknown_flags_are_refused),
        TEST(appending_goes_to_the_end_wherever_the_position_is),
        TEST(names_that_lead_elsewhere_are_refused),
        TEST(a_nul_in_a_name_does_not_end_it),
        TEST(an_empty_name_is_no_file),
        TEST(names_end_where_their_length_says),
        TEST(names_may_have_255_bytes_and_no_more),
        TEST(dots_and_slashes_in_front_are_dropped),
        TEST(every_other_byte_may_stand_in_a_name),
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
