#include "anywhere_archive.h"

#include "temp_dir.h"
#include "unit.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define HEADER 110u
#define MODE_AT 14u
#define SIZE_AT 54u
#define NAME_SIZE_AT 94u

struct archive {
    char *bytes;
    size_t length, at;
    FILE *file;
};

static void begin(struct archive *archive)
{
    *archive = (struct archive){.file = open_memstream(&archive->bytes, &archive->length)};
    assert_non_null(archive->file);
}

static size_t aligned(size_t length)
{
    return (length + 3) / 4 * 4;
}

static unsigned field(const struct archive *archive, size_t at)
{
    char digits[9];
    snprintf(digits, sizeof digits, "%.8s", archive->bytes + archive->at + at);
    return (unsigned)strtoul(digits, NULL, 16);
}

/* The next thing in the archive is this one; go on behind it. */
static void assert_next(struct archive *archive, const char *name, unsigned mode, const char *contents)
{
    size_t name_size = strlen(name) + 1, length = strlen(contents);
    size_t contents_at = archive->at + aligned(HEADER + name_size);
    assert_true(contents_at + length <= archive->length);
    assert_memory_equal(archive->bytes + archive->at, "070701", 6);
    assert_int_equal(field(archive, MODE_AT), mode);
    assert_int_equal(field(archive, SIZE_AT), length);
    assert_int_equal(field(archive, NAME_SIZE_AT), name_size);
    assert_memory_equal(archive->bytes + archive->at + HEADER, name, name_size);
    assert_memory_equal(archive->bytes + contents_at, contents, length);
    archive->at = contents_at + aligned(length);
}

static void what_is_added_is_found(void **state)
{
    (void)state;
    struct archive archive;
    begin(&archive);
    archive_add_directory(archive.file, "modules");
    for (size_t i = 0; i < 5; i++) /* each way to the next multiple of four */
        archive_add(archive.file, &"1234"[i], &"abcd"[i], 4 - i);
    archive_finish(archive.file);
    fclose(archive.file);
    assert_next(&archive, "modules", 040755, "");
    for (size_t i = 0; i < 5; i++)
        assert_next(&archive, &"1234"[i], 0100755, &"abcd"[i]);
    assert_next(&archive, "TRAILER!!!", 0, "");
    assert_int_equal(archive.at, archive.length);
    free(archive.bytes);
}

static void files_are_copied(void **state)
{
    (void)state;
    struct temp_dir dir = temp_dir_make();
    struct archive archive;
    struct mh_error err;
    char path[PATH_MAX];
    begin(&archive);
    temp_text(&dir, "file", "its contents");
    assert_int_equal(archive_add_file(archive.file, "copy", temp_path(&dir, "file", path), &err), MH_OK);
    assert_int_equal(archive_add_file(archive.file, "none", temp_path(&dir, "none", path), &err), MH_ERR_HOST);
    assert_non_null(strstr(err.text, "none: No such file"));
    fclose(archive.file);
    assert_next(&archive, "copy", 0100755, "its contents");
    assert_int_equal(archive.at, archive.length);
    free(archive.bytes);
    temp_dir_remove(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_added_is_found),
        cmocka_unit_test(files_are_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
