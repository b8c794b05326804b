/* Whose files a guest opens, with which flags and by which names. */
#include "mh/guest_abi.h"
#include "stores.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

/* ---- shared and own files ---- */

static void shared_files_can_be_read_by_all(void **state)
{
    struct stores *f = *state;
    char content[64];
    holds(f, "notes.txt", NOTES);
    int64_t fd = file_store_open(&f->store[1], "notes.txt", 9, MH_O_READ);
    assert_int_equal(fd, 0);
    assert_int_equal(file_store_read(&f->store[1], 0, content, 64, &f->inbound), strlen(NOTES));
}

static void reading_makes_no_directory(void **state)
{
    struct stores *f = *state;
    holds(f, "notes.txt", NOTES);
    assert_int_equal(open_named(f, "missing", MH_O_READ), -MH_ENOENT);
    assert_false(temp_exists(&f->files->dir, "vm-files"));
}

static void a_new_file_lies_in_the_directory_of_its_guest(void **state)
{
    struct stores *f = *state;
    make(f, "new.txt", "text");
    assert_true(on_host(f, "vm-files/1-one/new.txt", "text"));
    assert_false(temp_exists(&f->files->dir, "vm-files/2-two"));
    assert_int_equal(file_store_open(&f->store[1], "new.txt", 7, MH_O_READ), -MH_ENOENT);
}

static void opening_for_writing_copies_nothing(void **state)
{
    struct stores *f = *state;
    int32_t fd = opened(f, "notes.txt", MH_O_READ | MH_O_WRITE);
    reads(f, fd, NOTES);
    assert_int_equal(put(f, fd, ""), 0);
    assert_int_equal(file_store_size(&f->store[0], fd), strlen(NOTES));
    assert_string_equal(file_store_name(&f->store[0], fd), "notes.txt");
    close_file(f, fd);
    assert_false(temp_exists(&f->files->dir, "vm-files"));
    holds(f, "notes.txt", NOTES);
}

static void the_first_write_makes_a_copy_and_leaves_the_original_alone(void **state)
{
    struct stores *f = *state;
    int32_t fd = opened(f, "notes.txt", MH_O_READ | MH_O_WRITE);
    assert_int_equal(put(f, fd, "THESE"), 5);
    assert_true(on_host(f, "notes.txt", NOTES));
    assert_true(on_host(f, "vm-files/1-one/notes.txt", "THESE notes belong to everybody"));
}

static void a_descriptor_open_for_reading_keeps_what_it_had(void **state)
{
    struct stores *f = *state;
    int32_t reader = opened(f, "notes.txt", MH_O_READ);
    make(f, "notes.txt", "changed");
    reads(f, reader, NOTES);
    holds(f, "notes.txt", "changed");
}

static void the_other_guest_never_sees_the_change(void **state)
{
    struct stores *f = *state;
    make(f, "notes.txt", "changed");
    char content[64];
    assert_int_equal(file_store_open(&f->store[1], "notes.txt", 9, MH_O_READ), 0);
    assert_int_equal(file_store_read(&f->store[1], 0, content, 64, &f->inbound), strlen(NOTES));
    assert_memory_equal(content, NOTES, strlen(NOTES));
}

/* All descriptors that may write refer to the same file: two writers must not get two copies. */
static void all_who_may_write_have_one_copy(void **state)
{
    struct stores *f = *state;
    int32_t first = opened(f, "notes.txt", MH_O_READ | MH_O_WRITE);
    int32_t second = opened(f, "notes.txt", MH_O_READ | MH_O_WRITE);
    int32_t appends = opened(f, "notes.txt", MH_O_WRITE | MH_O_APPEND);
    int32_t reader = opened(f, "notes.txt", MH_O_READ);
    assert_int_equal(seek(f, second, MH_SEEK_SET, 6), 6);
    assert_int_equal(put(f, first, "THESE"), 5);
    assert_int_equal(put(f, second, "NOTES"), 5);
    assert_int_equal(put(f, appends, "!"), 1);
    assert_int_equal(file_store_size(&f->store[0], first), strlen(NOTES) + 1);
    assert_int_equal(seek(f, first, MH_SEEK_SET, 0), 0);
    reads(f, first, "THESE NOTES belong to everybody!");
    reads(f, reader, NOTES);
    assert_true(on_host(f, "vm-files/1-one/notes.txt", "THESE NOTES belong to everybody!"));
}

static void truncation_by_one_is_seen_by_all_who_may_write(void **state)
{
    struct stores *f = *state;
    int32_t first = opened(f, "notes.txt", MH_O_READ | MH_O_WRITE);
    int32_t reader = opened(f, "notes.txt", MH_O_READ);
    close_file(f, opened(f, "notes.txt", MH_O_WRITE | MH_O_TRUNCATE));
    assert_int_equal(seek(f, first, MH_SEEK_END, 0), 0);
    reads(f, first, "");
    reads(f, reader, NOTES);
}

static void a_second_opening_finds_the_copy(void **state)
{
    struct stores *f = *state;
    int32_t writer = opened(f, "notes.txt", MH_O_WRITE);
    assert_int_equal(put(f, writer, "THESE"), 5);
    int32_t reader = opened(f, "notes.txt", MH_O_READ);
    reads(f, reader, "THESE notes belong to everybody");
    int32_t again = opened(f, "notes.txt", MH_O_READ | MH_O_WRITE);
    reads(f, again, "THESE notes belong to everybody");
}

static void guests_copies_are_their_own(void **state)
{
    struct stores *f = *state;
    make(f, "notes.txt", "one");
    assert_int_equal(file_store_open(&f->store[1], "notes.txt", 9, MH_O_WRITE | MH_O_TRUNCATE), 0);
    assert_int_equal(file_store_write(&f->store[1], 0, "second", 6), 6);
    assert_true(on_host(f, "vm-files/1-one/notes.txt", "one"));
    assert_true(on_host(f, "vm-files/2-two/notes.txt", "second"));
}

static void what_was_written_is_in_the_file_at_once(void **state)
{
    struct stores *f = *state;
    int32_t fd = opened(f, "log", MH_O_WRITE);
    assert_int_equal(put(f, fd, "first"), 5);
    assert_true(on_host(f, "vm-files/1-one/log", "first"));
    assert_int_equal(put(f, fd, ", second"), 8);
    assert_true(on_host(f, "vm-files/1-one/log", "first, second"));
}

static void reads_are_counted_as_coming_in(void **state)
{
    struct stores *f = *state;
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
static void check_written(struct stores *f, int32_t fd, enum situation situation, uint32_t flags, const char *before)
{
    char expected[128];
    bool at_end = (flags & MH_O_APPEND) != 0;
    snprintf(expected, sizeof expected, at_end ? "%s+" : "+%s", *before == '\0' || at_end ? before : before + 1);
    assert_int_equal(put(f, fd, "+"), 1);
    holds(f, names[situation], expected);
}

static void check_opened(struct stores *f, int32_t fd, enum situation situation, uint32_t flags)
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

static void check_flags(struct stores *f, enum situation situation, uint32_t flags)
{
    stores_restart(f, GUEST_OPEN_FILES, GUEST_BYTES);
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
    struct stores *f = *state;
    for (uint32_t flags = 0; flags < 64; flags++) {
        for (enum situation situation = NEW; situation < SITUATIONS; situation++)
            check_flags(f, situation, flags);
    }
}

static void unknown_flags_are_refused(void **state)
{
    struct stores *f = *state;
    for (unsigned bit = 5; bit < 32; bit++)
        assert_int_equal(open_named(f, "notes.txt", MH_O_READ | 1u << bit), -MH_EINVAL);
}

static void appending_goes_to_the_end_wherever_the_position_is(void **state)
{
    struct stores *f = *state;
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
    struct stores *f = *state;
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
    struct stores *f = *state;
    assert_int_equal(file_store_open(&f->store[0], "notes.txt\0x", 11, MH_O_READ), -MH_EACCES);
    assert_int_equal(file_store_open(&f->store[0], "notes.txt\0", 10, MH_O_READ), -MH_EACCES);
    assert_int_equal(file_store_open(&f->store[0], "\0", 1, MH_O_READ), -MH_EACCES);
}

static void an_empty_name_is_no_file(void **state)
{
    struct stores *f = *state;
    assert_int_equal(open_named(f, "", MH_O_READ), -MH_ENOENT);
    assert_int_equal(open_named(f, "", MH_O_WRITE | MH_O_CREATE), -MH_ENOENT);
}

static void names_end_where_their_length_says(void **state)
{
    struct stores *f = *state;
    assert_int_equal(file_store_open(&f->store[0], "notes.txt and more", 9, MH_O_READ), 0);
}

static void names_may_have_255_bytes_and_no_more(void **state)
{
    struct stores *f = *state;
    char name[MH_FILE_NAME_MAX + 3] = "./";
    memset(name + 2, 'n', MH_FILE_NAME_MAX + 1);
    assert_int_equal(file_store_open(&f->store[0], name + 2, MH_FILE_NAME_MAX + 1, MH_O_WRITE), -MH_ENAMETOOLONG);
    assert_int_equal(file_store_open(&f->store[0], name + 2, MH_FILE_NAME_MAX, MH_O_WRITE), 0);
    assert_int_equal(file_store_open(&f->store[0], name, MH_FILE_NAME_MAX + 2, MH_O_READ), 1);
    assert_int_equal(file_store_open(&f->store[0], name, MH_FILE_NAME_MAX + 3, MH_O_READ), -MH_ENAMETOOLONG);
}

static void dots_and_slashes_in_front_are_dropped(void **state)
{
    struct stores *f = *state;
    holds(f, "./notes.txt", NOTES);
    holds(f, "././notes.txt", NOTES);
    make(f, "./own", "mine");
    holds(f, "own", "mine");
}

static void every_other_byte_may_stand_in_a_name(void **state)
{
    struct stores *f = *state;
    for (unsigned byte = 0x20; byte < 256; byte++) {
        const char name[] = {'a', (char)byte, 'z', '\0'};
        if (byte == '/' || byte == 0x7f)
            continue;
        make(f, name, "x");
        holds(f, name, "x");
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, stores_set_up, stores_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(shared_files_can_be_read_by_all),
        TEST(reading_makes_no_directory),
        TEST(a_new_file_lies_in_the_directory_of_its_guest),
        TEST(opening_for_writing_copies_nothing),
        TEST(the_first_write_makes_a_copy_and_leaves_the_original_alone),
        TEST(all_who_may_write_have_one_copy),
        TEST(truncation_by_one_is_seen_by_all_who_may_write),
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
