#include "protocol/hex.h"
#include "unit.h"

#include <string.h>

static void numbers_are_read_up_to_the_first_other_byte(void **state)
{
    struct gdb_text text = gdb_text_of("1aF,rest");
    uint64_t value;

    (void)state;
    assert_true(gdb_text_u64(&text, &value));
    assert_int_equal(value, 0x1af);
    assert_true(gdb_text_eat(&text, ','));
    assert_true(gdb_text_is(&text, "rest"));
}

static void numbers_beyond_64_bits_are_refused(void **state)
{
    struct gdb_text largest = gdb_text_of("00000000ffffffffffffffff"), larger = gdb_text_of("10000000000000000");
    uint64_t value;

    (void)state;
    assert_true(gdb_text_u64(&largest, &value));
    assert_true(value == UINT64_MAX);
    assert_false(gdb_text_u64(&larger, &value));
}

static void no_digit_is_no_number(void **state)
{
    static const char *const bad[] = {"", "g", "-1", "+1", " 1", "x1", "\xff"};

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct gdb_text text = gdb_text_of(bad[i]);
        uint64_t value;

        assert_false(gdb_text_u64(&text, &value));
    }
}

static void limits_of_numbers_are_kept(void **state)
{
    struct gdb_text fits = gdb_text_of("ff"), beyond = gdb_text_of("100");
    uint32_t value;

    (void)state;
    assert_true(gdb_text_u32(&fits, 0xff, &value));
    assert_int_equal(value, 0xff);
    assert_false(gdb_text_u32(&beyond, 0xff, &value));
}

static void every_byte_survives_encoding(void **state)
{
    uint8_t bytes[256], back[256];
    char digits[512];

    (void)state;
    for (unsigned i = 0; i < 256; i++)
        bytes[i] = (uint8_t)i;
    gdb_hex_encode(digits, bytes, sizeof bytes);
    assert_memory_equal(digits, "000102", 6);
    assert_memory_equal(digits + 506, "fdfeff", 6);
    assert_true(gdb_hex_decode(back, digits, sizeof digits));
    assert_memory_equal(bytes, back, sizeof bytes);
}

static void encoding_may_work_from_its_own_tail(void **state)
{
    char buffer[9] = "....\x01\x02\xab\xcd";

    (void)state;
    gdb_hex_encode(buffer, (const uint8_t *)buffer + 4, 4);
    assert_memory_equal(buffer, "0102abcd", 8);
}

static void every_length_is_encoded_from_its_own_tail(void **state)
{
    (void)state;
    for (size_t length = 0; length <= 40; length++) {
        uint8_t bytes[40], back[40];
        char buffer[80];

        for (size_t i = 0; i < length; i++)
            bytes[i] = (uint8_t)(17 * i + length);
        memcpy(buffer + length, bytes, length);
        gdb_hex_encode(buffer, (const uint8_t *)buffer + length, length);
        assert_true(gdb_hex_decode(back, buffer, 2 * length));
        assert_memory_equal(bytes, back, length);
    }
}

static void bad_digits_are_refused_wherever_they_are(void **state)
{
    uint8_t bytes[4];

    (void)state;
    assert_false(gdb_hex_decode(bytes, "0g", 2));
    assert_false(gdb_hex_decode(bytes, "g0", 2));
    assert_false(gdb_hex_decode(bytes, "00 0", 4));
    assert_false(gdb_hex_decode(bytes, "000", 3));
    assert_true(gdb_hex_decode(bytes, "", 0));
}

static void exactly_the_digits_are_digits(void **state)
{
    (void)state;
    for (int c = -128; c < 128; c++) {
        const char *found = c > 0 ? strchr("0123456789abcdefABCDEF", c) : NULL;

        assert_int_equal(gdb_hex_digit((char)c) >= 0, found != NULL);
    }
}

static void text_is_cut_at_separators(void **state)
{
    struct gdb_text text = gdb_text_of("a;;b"), part;

    (void)state;
    part = gdb_text_cut(&text, ';');
    assert_true(gdb_text_is(&part, "a"));
    part = gdb_text_cut(&text, ';');
    assert_true(gdb_text_empty(&part));
    part = gdb_text_cut(&text, ';');
    assert_true(gdb_text_is(&part, "b"));
    assert_true(gdb_text_empty(&text));
}

static void words_are_eaten_whole_or_not_at_all(void **state)
{
    struct gdb_text text = gdb_text_of("wor");

    (void)state;
    assert_false(gdb_text_eat_word(&text, "word"));
    assert_int_equal(gdb_text_length(&text), 3);
    assert_true(gdb_text_eat_word(&text, "wor"));
    assert_false(gdb_text_eat(&text, 'x'));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_read_up_to_the_first_other_byte),
        cmocka_unit_test(numbers_beyond_64_bits_are_refused),
        cmocka_unit_test(no_digit_is_no_number),
        cmocka_unit_test(limits_of_numbers_are_kept),
        cmocka_unit_test(every_byte_survives_encoding),
        cmocka_unit_test(encoding_may_work_from_its_own_tail),
        cmocka_unit_test(every_length_is_encoded_from_its_own_tail),
        cmocka_unit_test(bad_digits_are_refused_wherever_they_are),
        cmocka_unit_test(exactly_the_digits_are_digits),
        cmocka_unit_test(text_is_cut_at_separators),
        cmocka_unit_test(words_are_eaten_whole_or_not_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
