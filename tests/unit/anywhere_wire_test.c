#include "anywhere_wire.h"

#include "unit.h"

#include <string.h>

static struct wire_frame frame_of(enum wire_type type, unsigned stream, const void *payload, size_t length)
{
    return (struct wire_frame){.type = type, .stream = stream, .payload = payload, .length = length};
}

static void test_every_type_comes_back(void **state)
{
    (void)state;
    static const struct {
        enum wire_type type;
        unsigned stream;
        size_t length;
    } cases[] = {{WIRE_DATA, 2, 1},   {WIRE_DATA, WIRE_STREAMS - 1, WIRE_PAYLOAD_MAX},
                 {WIRE_CREDIT, 1, 4}, {WIRE_CLOSE, 5, 0},
                 {WIRE_BROKEN, 1, 0}, {WIRE_OPEN, 3, 4},
                 {WIRE_SIGNAL, 0, 4}, {WIRE_STARTED, 0, 0},
                 {WIRE_EXIT, 0, 12},  {WIRE_TERMINAL, 0, 4},
                 {WIRE_FAILED, 0, 9}};
    static uint8_t payload[WIRE_PAYLOAD_MAX], bytes[WIRE_HEADER + WIRE_PAYLOAD_MAX];
    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (uint8_t)(i * 7);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wire_frame sent = frame_of(cases[i].type, cases[i].stream, payload, cases[i].length), got;
        size_t length = wire_encode(bytes, sizeof bytes, &sent);
        assert_int_equal(length, WIRE_HEADER + cases[i].length);
        for (size_t part = 0; part < length; part++)
            assert_int_equal(wire_decode(bytes, part, &got), 0);
        assert_int_equal(wire_decode(bytes, length, &got), length);
        assert_int_equal(got.type, sent.type);
        assert_int_equal(got.stream, sent.stream);
        assert_int_equal(got.length, sent.length);
        assert_memory_equal(got.payload, payload, got.length);
    }
}

static void test_no_room(void **state)
{
    (void)state;
    uint8_t bytes[WIRE_HEADER + 3];
    struct wire_frame frame = frame_of(WIRE_DATA, 1, "abcd", 4);
    assert_int_equal(wire_encode(bytes, sizeof bytes, &frame), 0);
    frame.length = 3;
    assert_int_equal(wire_encode(bytes, sizeof bytes, &frame), sizeof bytes);
}

/* What cannot be a frame is known from its header. */
static void test_nonsense(void **state)
{
    (void)state;
    static const uint8_t cases[][WIRE_HEADER] = {
        {0},                           /* no type */
        {WIRE_FAILED + 1},             /* none either */
        {WIRE_CLOSE, WIRE_STREAMS},    /* no stream */
        {WIRE_SIGNAL, 1, 0, 0, 4},     /* this is of no stream */
        {WIRE_CLOSE, 1, 1},            /* these bytes are zero */
        {WIRE_CLOSE, 1, 0, 1},         /* and this one */
        {WIRE_CLOSE, 1, 0, 0, 1},      /* too long */
        {WIRE_DATA, 1, 0, 0, 0},       /* too short */
        {WIRE_DATA, 1, 0, 0, 1, 0x40}, /* one more than the most */
        {WIRE_DATA, 1, 0, 0, 0xff, 0xff, 0xff, 0xff},
        {WIRE_CREDIT, 1, 0, 0, 3},
        {WIRE_EXIT, 0, 0, 0, 4},
        {WIRE_FAILED, 0, 0, 0, 1, 2},
    };
    struct wire_frame frame;
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(wire_decode(cases[i], WIRE_HEADER, &frame), -1);
}

static void test_numbers(void **state)
{
    (void)state;
    uint8_t bytes[8];
    wire_put_number(bytes, 8, 0x1122334455667788);
    assert_int_equal(bytes[0], 0x88);
    assert_int_equal(wire_get_number(bytes, 8), 0x1122334455667788);
    assert_int_equal(wire_get_number(bytes, 4), 0x55667788);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type_comes_back),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
