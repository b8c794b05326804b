/* The two things that make a report's size and escaping right: the writer, and what is kept of serial text. */
#include "report/serial_text.h"
#include "report/writer.h"

#include "temp_dir.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONTENTS_MAX (1u << 20)

struct fixture {
    struct temp_dir dir;
    int fd;
    struct writer writer;
    struct serial_text text;
    char contents[CONTENTS_MAX + 1];
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    char path[PATH_MAX];
    f->dir = temp_dir_make();
    temp_path(&f->dir, "report", path);
    f->fd = open(path, O_RDWR | O_CREAT, 0600);
    writer_begin(&f->writer, f->fd, NULL);
    *state = f;
    return f->fd < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    close(f->fd);
    temp_dir_remove(&f->dir);
    test_free(f);
    return 0;
}

static const char *written(struct fixture *f)
{
    assert_int_equal(writer_end(&f->writer), 0);
    const ssize_t length = pread(f->fd, f->contents, CONTENTS_MAX, 0);
    assert_true(length >= 0);
    f->contents[length] = '\0';
    return f->contents;
}

static void objects_and_arrays_have_commas_between(void **state)
{
    struct fixture *f = *state;
    writer_bracket(&f->writer, "{");
    writer_number(&f->writer, "a", 1);
    writer_key(&f->writer, "b");
    writer_bracket(&f->writer, "[");
    for (unsigned i = 0; i < 2; i++) {
        writer_comma(&f->writer);
        writer_bracket(&f->writer, "{");
        writer_bool(&f->writer, "c", i == 1);
        writer_bracket(&f->writer, "}");
    }
    writer_bracket(&f->writer, "]");
    writer_hex(&f->writer, "d", 0x1f);
    writer_bracket(&f->writer, "}");
    assert_string_equal(written(f), "{\"a\":1,\"b\":[{\"c\":false},{\"c\":true}],\"d\":\"0x1f\"}");
}

static void a_string_never_ends_a_script(void **state)
{
    struct fixture *f = *state;
    writer_bracket(&f->writer, "{");
    writer_text(&f->writer, "a", "</script><!--\xff\"\\");
    writer_bracket(&f->writer, "}");
    assert_string_equal(written(f), "{\"a\":\"\\u003c/script>\\u003c!--\\u00ff\\u0022\\u005c\"}");
}

static void keys_are_right_across_a_flush(void **state)
{
    struct fixture *f = *state;
    size_t commas = 0;
    writer_bracket(&f->writer, "{");
    for (unsigned i = 0; i < 20000; i++)
        writer_number(&f->writer, "key", i);
    writer_bracket(&f->writer, "}");
    const char *text = written(f);
    for (const char *at = text; (at = strchr(at, ',')) != NULL; at++)
        commas++;
    assert_int_equal(commas, 19999);
    assert_text_has(text, "{\"key\":0,\"key\":1,");
    assert_text_has(text, "\"key\":19999}");
}

static void long_strings_go_through_in_pieces(void **state)
{
    struct fixture *f = *state;
    static uint8_t bytes[100000];
    writer_put_escaped(&f->writer, bytes, sizeof bytes);
    const char *text = written(f);
    assert_int_equal(strlen(text), 6 * sizeof bytes);
    assert_int_equal(strspn(text, "\\u0"), 6 * sizeof bytes);
}

static void the_first_error_is_returned(void **state)
{
    struct fixture *f = *state;
    static uint8_t bytes[100000];
    const int full = open("/dev/full", O_WRONLY);
    writer_begin(&f->writer, full, NULL);
    writer_put(&f->writer, bytes, sizeof bytes);
    assert_int_equal(writer_end(&f->writer), -ENOSPC);
    close(full);
}

/* ---- serial text ---- */

static uint8_t byte_at(uint64_t i)
{
    return (uint8_t)(i * 7 + i / 251);
}

static void the_pieces_are_what_was_added(void **state)
{
    struct fixture *f = *state;
    static const uint64_t totals[] = {0,
                                      1,
                                      SERIAL_TEXT_FIRST,
                                      SERIAL_TEXT_FIRST + 1,
                                      SERIAL_TEXT_FIRST + SERIAL_TEXT_LAST,
                                      SERIAL_TEXT_FIRST + SERIAL_TEXT_LAST + 1,
                                      3 * SERIAL_TEXT_FIRST + 12345};
    for (size_t t = 0; t < COUNT(totals); t++) {
        uint8_t bytes[777];
        struct serial_piece pieces[3];
        f->text.total = 0;
        for (uint64_t at = 0; at < totals[t];) {
            const size_t length = totals[t] - at < sizeof bytes ? (size_t)(totals[t] - at) : sizeof bytes;
            for (size_t i = 0; i < length; i++)
                bytes[i] = byte_at(at + i);
            serial_text_add(&f->text, bytes, length);
            at += length;
        }
        const uint64_t missing = serial_text_pieces(&f->text, pieces);
        uint64_t at = 0;
        for (unsigned p = 0; p < 3; p++) {
            at += p == 1 ? missing : 0;
            for (size_t i = 0; i < pieces[p].length; i++, at++)
                assert_int_equal(pieces[p].bytes[i], byte_at(at));
        }
        assert_int_equal(at, totals[t]);
        assert_int_equal(f->text.total, totals[t]);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(objects_and_arrays_have_commas_between),
        TEST(a_string_never_ends_a_script),
        TEST(keys_are_right_across_a_flush),
        TEST(long_strings_go_through_in_pieces),
        TEST(the_first_error_is_returned),
        TEST(the_pieces_are_what_was_added),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
