#include "devices/file_snapshot.h"

#include "guest_files.h"
#include "mh/guest_abi.h"
#include "unit.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define ROOM 100000u

struct fixture {
    struct guest_files *files;
    struct file_store store;
    struct file_snapshot *snapshot;
    struct input_log inbound;
    uint64_t room;
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    f->files = guest_files_make();
    file_store_init(&f->store, &f->files->config[0], &f->files->stop);
    f->room = ROOM;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    file_snapshot_free(f->snapshot);
    file_store_destroy(&f->store);
    guest_files_remove(f->files);
    test_free(f);
    return 0;
}

static int32_t opened(struct fixture *f, const char *name, uint32_t flags)
{
    int64_t fd = file_store_open(&f->store, name, strlen(name), flags);
    assert_in_range(fd, 0, GUEST_OPEN_FILES - 1);
    return (int32_t)fd;
}

static void put(struct fixture *f, int32_t fd, const char *text)
{
    assert_int_equal(file_store_write(&f->store, fd, text, strlen(text)), strlen(text));
}

static void reads(struct fixture *f, int32_t fd, const char *text)
{
    char got[64] = "";
    assert_int_equal(file_store_read(&f->store, fd, got, sizeof got - 1, &f->inbound), strlen(text));
    assert_string_equal(got, text);
}

static void take(struct fixture *f)
{
    assert_int_equal(file_snapshot_take(&f->store, &f->room, &f->snapshot), 0);
}

static void put_back(struct fixture *f)
{
    assert_int_equal(file_snapshot_restore(&f->store, f->snapshot), 0);
}

static void contents_and_positions_come_back(void **state)
{
    struct fixture *f = *state;
    int32_t own = opened(f, "own", MH_O_READ | MH_O_WRITE);
    int32_t shared = opened(f, "notes.txt", MH_O_READ);
    put(f, own, "hello");
    file_store_seek(&f->store, own, MH_SEEK_SET, 1);
    file_store_seek(&f->store, shared, MH_SEEK_SET, 6);
    take(f);
    put(f, own, "ELLO, and more");
    file_store_close(&f->store, shared);
    opened(f, "other", MH_O_WRITE);
    put_back(f);
    reads(f, own, "ello");
    reads(f, shared, NOTES + 6);
    assert_int_equal(f->store.written, 5);
    assert_int_equal(f->store.own_count, 1);
    assert_int_equal(file_store_open(&f->store, "other", 5, MH_O_READ), -MH_ENOENT);
}

static void before_the_first_write_the_shared_file_comes_back(void **state)
{
    struct fixture *f = *state;
    int32_t fd = opened(f, "notes.txt", MH_O_READ | MH_O_WRITE);
    take(f);
    for (unsigned i = 0; i < 2; i++) {
        put(f, fd, "THESE");
        reads(f, fd, NOTES + 5);
        assert_int_equal(f->store.own_count, 1);
        put_back(f);
        assert_int_equal(f->store.own_count, 0);
        reads(f, fd, NOTES);
        file_store_seek(&f->store, fd, MH_SEEK_SET, 0);
    }
}

static void files_that_were_emptied_come_back(void **state)
{
    struct fixture *f = *state;
    int32_t fd = opened(f, "own", MH_O_WRITE);
    put(f, fd, "hello");
    file_store_close(&f->store, fd);
    take(f);
    file_store_close(&f->store, opened(f, "own", MH_O_WRITE | MH_O_TRUNCATE));
    for (unsigned i = 0; i < 2; i++) {
        put_back(f);
        fd = opened(f, "own", MH_O_READ);
        reads(f, fd, "hello");
        file_store_close(&f->store, fd);
    }
}

static void a_store_that_starts_anew_gets_them_too(void **state)
{
    struct fixture *f = *state;
    int32_t fd = opened(f, "own", MH_O_READ | MH_O_WRITE);
    put(f, fd, "hello");
    take(f);
    file_store_destroy(&f->store);
    file_store_init(&f->store, &f->files->config[0], &f->files->stop);
    put_back(f);
    file_store_seek(&f->store, fd, MH_SEEK_SET, 0);
    reads(f, fd, "hello");
}

static void copies_are_shared_until_a_file_changes(void **state)
{
    struct fixture *f = *state;
    int32_t fd = opened(f, "own", MH_O_WRITE);
    put(f, fd, "hello");
    take(f);
    const struct file_copy *copy = f->store.own[0].copy;
    assert_non_null(copy);
    struct file_snapshot *second;
    assert_int_equal(file_snapshot_take(&f->store, &f->room, &second), 0);
    assert_int_equal(f->room, ROOM - 5);
    assert_ptr_equal(f->store.own[0].copy, copy);
    file_snapshot_free(second);
    put(f, fd, "!");
    assert_null(f->store.own[0].copy);
    put_back(f);
    assert_ptr_equal(f->store.own[0].copy, copy);
}

static void room_is_given_back_with_the_last_who_has_a_copy(void **state)
{
    struct fixture *f = *state;
    int32_t fd = opened(f, "own", MH_O_WRITE);
    put(f, fd, "hello");
    take(f);
    put(f, fd, "!");
    struct file_snapshot *second;
    assert_int_equal(file_snapshot_take(&f->store, &f->room, &second), 0);
    assert_int_equal(f->room, ROOM - 5 - 6);
    file_snapshot_free(second); /* the store has the copy, too */
    assert_int_equal(f->room, ROOM - 5 - 6);
    put(f, fd, "!");
    assert_int_equal(f->room, ROOM - 5);
    put_back(f);
    assert_int_equal(f->room, ROOM - 5);
    file_snapshot_free(f->snapshot);
    f->snapshot = NULL;
    file_store_clear(&f->store);
    assert_int_equal(f->room, ROOM);
}

static void what_has_no_room_is_refused_and_takes_none(void **state)
{
    struct fixture *f = *state;
    int32_t fd = opened(f, "own", MH_O_WRITE);
    put(f, fd, "hello");
    f->room = 4;
    assert_int_equal(file_snapshot_take(&f->store, &f->room, &f->snapshot), -EFBIG);
    assert_null(f->snapshot);
    assert_int_equal(f->room, 4);
    f->room = 5;
    take(f);
    assert_int_equal(f->room, 0);
}

/* A guest that writes a byte here and there must not make us hold far more than it may write. */
static void files_of_many_holes_are_refused(void **state)
{
    struct fixture *f = *state;
    f->room = GUEST_BYTES;
    for (unsigned i = 0; i < GUEST_OPEN_FILES; i++) {
        char name[2] = {(char)('a' + i), '\0'};
        int32_t fd = opened(f, name, MH_O_WRITE);
        for (int64_t at = 0; at < GUEST_BYTES; at += 4096) {
            file_store_seek(&f->store, fd, MH_SEEK_SET, at);
            put(f, fd, "x");
        }
    }
    assert_int_equal(file_snapshot_take(&f->store, &f->room, &f->snapshot), -EFBIG);
    assert_null(f->snapshot);
}

static void a_file_removed_on_the_host_is_an_error(void **state)
{
    struct fixture *f = *state;
    opened(f, "own", MH_O_WRITE);
    take(f);
    unlinkat(f->store.directory, "own", 0);
    assert_int_equal(file_snapshot_restore(&f->store, f->snapshot), -ENOENT);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(contents_and_positions_come_back),           TEST(before_the_first_write_the_shared_file_comes_back),
        TEST(files_that_were_emptied_come_back),          TEST(a_store_that_starts_anew_gets_them_too),
        TEST(copies_are_shared_until_a_file_changes),     TEST(room_is_given_back_with_the_last_who_has_a_copy),
        TEST(what_has_no_room_is_refused_and_takes_none), TEST(files_of_many_holes_are_refused),
        TEST(a_file_removed_on_the_host_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
