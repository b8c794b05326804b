#include "protocol/reply.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

static void expect_frame(struct gdb_reply *reply, const char *frame)
{
    size_t length;
    const char *packet = gdb_reply_finish(reply, &length);

    assert_int_equal(length, strlen(frame));
    assert_memory_equal(packet, frame, length);
}

static void verbs_add_to_the_payload(void **state)
{
    char buffer[64];
    struct gdb_reply reply;

    (void)state;
    gdb_reply_init(&reply, buffer, sizeof buffer);
    gdb_reply_char(&reply, 'T');
    gdb_reply_text(&reply, "05");
    gdb_reply_printf(&reply, "%x:", 16);
    gdb_reply_hex(&reply, "\x12\xab", 2);
    gdb_reply_binary(&reply, "#$}*a", 5);
    assert_int_equal(gdb_reply_length(&reply), 19);
    expect_frame(&reply, "$T0510:12ab}\x03}\x04}]}\na#3d");
}

static void an_empty_payload_is_the_empty_reply(void **state)
{
    char buffer[16];
    struct gdb_reply reply;

    (void)state;
    gdb_reply_init(&reply, buffer, sizeof buffer);
    expect_frame(&reply, "$#00");
}

static void numbers_have_no_leading_zeros(void **state)
{
    static const uint64_t numbers[] = {0, 9, 0xf, 0x10, 0x7fffffff, 0x123456789abcdef0, UINT64_MAX};
    char buffer[64], expected[32];
    struct gdb_reply reply;

    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        gdb_reply_init(&reply, buffer, sizeof buffer);
        gdb_reply_number(&reply, numbers[i]);
        int length = snprintf(expected, sizeof expected, "%llx", (unsigned long long)numbers[i]);
        assert_int_equal(gdb_reply_length(&reply), length);
        assert_memory_equal(buffer + 2, expected, (size_t)length);
    }
    gdb_reply_init(&reply, buffer, GDB_REPLY_FRAME + 3);
    gdb_reply_number(&reply, 0x1234);
    assert_true(reply.overflow);
}

static void what_fits_exactly_is_no_overflow(void **state)
{
    char buffer[GDB_REPLY_FRAME + 4];
    struct gdb_reply reply;

    (void)state;
    gdb_reply_init(&reply, buffer, sizeof buffer);
    gdb_reply_text(&reply, "abcd");
    assert_false(reply.overflow);
    assert_int_equal(gdb_reply_left(&reply), 0);
    gdb_reply_clear(&reply);
    gdb_reply_printf(&reply, "%s", "abcd");
    assert_false(reply.overflow);
    gdb_reply_clear(&reply);
    gdb_reply_hex(&reply, "ab", 2);
    gdb_reply_text(&reply, "");
    assert_false(reply.overflow);
}

static void every_verb_overflows_for_good(void **state)
{
    char buffer[GDB_REPLY_FRAME + 4];

    (void)state;
    for (unsigned verb = 0; verb < 5; verb++) {
        struct gdb_reply reply;

        gdb_reply_init(&reply, buffer, sizeof buffer);
        gdb_reply_text(&reply, "123");
        if (verb == 0)
            gdb_reply_text(&reply, "45");
        else if (verb == 1)
            gdb_reply_hex(&reply, "a", 1);
        else if (verb == 2)
            gdb_reply_binary(&reply, "##", 2);
        else if (verb == 3)
            gdb_reply_printf(&reply, "%d", 45);
        else
            gdb_reply_hex(&reply, "", SIZE_MAX / 2 + 1);
        assert_true(reply.overflow);
        gdb_reply_char(&reply, '4');
        assert_true(reply.overflow);
        expect_frame(&reply, "$E01#a6");
        assert_false(reply.overflow);
    }
}

static void staged_bytes_survive_being_written_over(void **state)
{
    char buffer[GDB_REPLY_FRAME + 520], expected[520];
    struct gdb_reply reply;

    (void)state;
    for (unsigned binary = 0; binary < 2; binary++) {
        size_t length = SIZE_MAX;
        uint8_t *stage;

        gdb_reply_init(&reply, buffer, sizeof buffer);
        gdb_reply_char(&reply, 'b');
        stage = gdb_reply_stage(&reply, &length);
        assert_int_equal(length, 259);
        memset(stage, '#', length);
        stage[0] = 'x';
        stage[length - 1] = 'y';
        if (binary)
            gdb_reply_binary(&reply, stage, length);
        else
            gdb_reply_hex(&reply, stage, length);
        assert_false(reply.overflow);
        for (size_t i = 0; i < length; i++)
            memcpy(expected + 2 * i, binary ? "}\x03" : "23", 2);
        if (binary) {
            assert_memory_equal(buffer + 2, "bx", 2);
            assert_memory_equal(buffer + 4, expected, 2 * (length - 2));
        } else {
            assert_memory_equal(buffer + 2, "b78", 3);
            assert_memory_equal(buffer + 5, expected, 2 * (length - 2));
        }
    }
}

/* Undo the runs of an encoded payload. */
static size_t decode(const char *from, size_t length, char *to)
{
    size_t at = 0;

    for (size_t i = 0; i < length; i++) {
        if (from[i] != '*') {
            to[at++] = from[i];
            continue;
        }
        i++;
        assert_true(i < length);
        assert_in_range(from[i], ' ', '~');
        assert_int_not_equal(from[i], '#');
        assert_int_not_equal(from[i], '$');
        for (int repeats = from[i] - 29; repeats > 0; repeats--, at++)
            to[at] = to[at - 1];
    }
    return at;
}

static void runs_of_every_length_come_back(void **state)
{
    (void)state;
    for (size_t run = 0; run < 400; run++) {
        char payload[420], original[420], back[420];
        size_t encoded;

        memset(payload, 'z', sizeof payload);
        payload[0] = 'a';
        memset(payload + 1, '0', run);
        memcpy(original, payload, sizeof payload);
        encoded = gdb_reply_encode_runs(payload, run + 3);
        assert_true(encoded <= run + 3);
        assert_int_equal(decode(payload, encoded, back), run + 3);
        assert_memory_equal(back, original, run + 3);
        if (run >= 4)
            assert_true(encoded < run + 3);
    }
}

static void short_runs_are_left_alone(void **state)
{
    char payload[] = "aaabbbcccdddeee";

    (void)state;
    assert_int_equal(gdb_reply_encode_runs(payload, 15), 15);
    assert_string_equal(payload, "aaabbbcccdddeee");
}

static void no_count_is_a_frame_character(void **state)
{
    char seven[] = "00000000", six[] = "0000000";

    (void)state;
    /* 7 and 6 repeats would be '$' and '#' */
    assert_int_equal(gdb_reply_encode_runs(seven, 8), 5);
    assert_memory_equal(seven, "0*\"00", 5);
    assert_int_equal(gdb_reply_encode_runs(six, 7), 4);
    assert_memory_equal(six, "0*\"0", 4);
}

static void any_mixture_of_runs_comes_back(void **state)
{
    uint32_t seed = 1;

    (void)state;
    for (unsigned round = 0; round < 2000; round++) {
        char payload[300], original[300], back[300];
        size_t length = 0, encoded;

        while (length < 200) {
            seed = seed * 1664525u + 1013904223u;
            size_t run = (seed >> 8) % 12 + (seed % 31 == 0 ? 80 : 0);

            memset(payload + length, 'a' + (char)((seed >> 24) % 3), run);
            length += run;
        }
        memcpy(original, payload, length);
        encoded = gdb_reply_encode_runs(payload, length);
        assert_int_equal(decode(payload, encoded, back), length);
        assert_memory_equal(back, original, length);
    }
}

static void the_byte_before_the_packet_is_free_for_an_acknowledgement(void **state)
{
    char buffer[16];
    struct gdb_reply reply;
    size_t length;

    (void)state;
    gdb_reply_init(&reply, buffer, sizeof buffer);
    assert_ptr_equal(gdb_reply_finish(&reply, &length), buffer + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verbs_add_to_the_payload),
        cmocka_unit_test(an_empty_payload_is_the_empty_reply),
        cmocka_unit_test(numbers_have_no_leading_zeros),
        cmocka_unit_test(what_fits_exactly_is_no_overflow),
        cmocka_unit_test(every_verb_overflows_for_good),
        cmocka_unit_test(staged_bytes_survive_being_written_over),
        cmocka_unit_test(runs_of_every_length_come_back),
        cmocka_unit_test(short_runs_are_left_alone),
        cmocka_unit_test(no_count_is_a_frame_character),
        cmocka_unit_test(any_mixture_of_runs_comes_back),
        cmocka_unit_test(the_byte_before_the_packet_is_free_for_an_acknowledgement),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
