#include "observe/json_line.h"

#include "unit.h"

#include <string.h>

/* A line to write to, and room behind it that must stay as it is. */
struct room {
    char bytes[64];
    struct json_line line;
};

static struct room *empty(struct room *room)
{
    memset(room->bytes, '#', sizeof room->bytes);
    room->line = (struct json_line){.at = room->bytes, .end = room->bytes + sizeof room->bytes - 1};
    return room;
}

static const char *text(struct room *room)
{
    assert_true(room->line.at <= room->line.end);
    *room->line.at = '\0';
    return room->bytes;
}

static const char *string(struct room *room, const void *bytes, size_t length)
{
    json_put_string(&empty(room)->line, bytes, length);
    return text(room);
}

static void numbers(void **state)
{
    struct room room;
    (void)state;
    json_put_number(&empty(&room)->line, 0);
    assert_string_equal(text(&room), "0");
    json_put_number(&empty(&room)->line, UINT64_MAX);
    assert_string_equal(text(&room), "18446744073709551615");
    json_put_signed(&empty(&room)->line, -2);
    assert_string_equal(text(&room), "-2");
    json_put_signed(&empty(&room)->line, INT64_MIN);
    assert_string_equal(text(&room), "-9223372036854775808");
    json_put_signed(&empty(&room)->line, INT64_MAX);
    assert_string_equal(text(&room), "9223372036854775807");
    json_put_hex(&empty(&room)->line, 0);
    assert_string_equal(text(&room), "\"0x0\"");
    json_put_hex(&empty(&room)->line, UINT64_MAX);
    assert_string_equal(text(&room), "\"0xffffffffffffffff\"");
}

static void times(void **state)
{
    struct room room;
    (void)state;
    json_put_microseconds(&empty(&room)->line, 0);
    assert_string_equal(text(&room), "0.000");
    json_put_microseconds(&empty(&room)->line, 1234056);
    assert_string_equal(text(&room), "1234.056");
    json_put_microseconds(&empty(&room)->line, 999);
    assert_string_equal(text(&room), "0.999");
}

static void strings_hold_any_bytes(void **state)
{
    struct room room;
    (void)state;
    assert_string_equal(string(&room, "", 0), "\"\"");
    assert_string_equal(string(&room, "a b~", 4), "\"a b~\"");
    assert_string_equal(string(&room, "a\"b\\", 4), "\"a\\u0022b\\u005c\"");
    assert_string_equal(string(&room, "\n\0x\x7f", 4), "\"\\u000a\\u0000x\\u007f\"");
    assert_string_equal(string(&room, "\x80\xff</", 4), "\"\\u0080\\u00ff\\u003c/\"");
}

static void no_string_becomes_longer_than_is_said(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        struct room room;
        const char bytes[3] = {(char)byte, (char)byte, (char)byte};
        assert_true(strlen(string(&room, bytes, sizeof bytes)) <= JSON_ESCAPED_MAX(sizeof bytes) + 2);
    }
}

static void commas_stand_between_members(void **state)
{
    struct room room;
    (void)state;
    json_put(&empty(&room)->line, "{");
    json_put_key(&room.line, "a");
    json_put(&room.line, "{");
    json_put_key(&room.line, "b");
    json_put_number(&room.line, 1);
    json_put(&room.line, "}");
    json_put_key(&room.line, "c");
    json_put_number(&room.line, 2);
    json_put(&room.line, "}");
    assert_string_equal(text(&room), "{\"a\":{\"b\":1},\"c\":2}");
}

static void what_has_no_room_is_left_out(void **state)
{
    struct room room;
    (void)state;
    empty(&room)->line.end = room.bytes + 10;
    for (unsigned i = 0; i < 20; i++) {
        json_put(&room.line, "abc");
        json_put_number(&room.line, 123456789);
        json_put_string(&room.line, "\n\n\n", 3);
    }
    assert_true(room.line.at <= room.line.end);
    assert_memory_equal(room.bytes, "abc", 3);
    assert_int_equal(room.bytes[10], '#');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),
        cmocka_unit_test(times),
        cmocka_unit_test(strings_hold_any_bytes),
        cmocka_unit_test(no_string_becomes_longer_than_is_said),
        cmocka_unit_test(commas_stand_between_members),
        cmocka_unit_test(what_has_no_room_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
