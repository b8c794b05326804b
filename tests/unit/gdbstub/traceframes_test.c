/* The trace buffer: frames going in, being found, and making room for newer ones. */
#include "tracepoints/traceframes.h"
#include "unit.h"

#include <string.h>

#define REGISTERS 24u
#define HEAD 16u /* bytes of a frame in the buffer, beside its blocks */

static int set_up(void **state)
{
    static struct gdb_traceframes frames;

    frames = (struct gdb_traceframes){.size = 0};
    *state = &frames;
    return gdb_traceframes_reset(&frames, 256, REGISTERS) ? 0 : -1;
}

static int tear_down(void **state)
{
    gdb_traceframes_free(*state);
    return 0;
}

/* A frame with `length` bytes of memory, all of them `number`. */
static bool make(struct gdb_traceframes *frames, unsigned number, size_t length)
{
    uint8_t bytes[300];

    memset(bytes, (int)number, sizeof bytes);
    if (gdb_traceframes_begin(frames, number, 0x1000 + number) &&
        gdb_traceframes_add_memory(frames, 0x5000, bytes, length)) {
        gdb_traceframes_commit(frames);
        return true;
    }
    gdb_traceframes_drop(frames);
    return false;
}

static void expect_frame(const struct gdb_traceframes *frames, size_t index, unsigned number, size_t length)
{
    struct gdb_traceframe frame;
    uint8_t bytes[300], expected[300];

    memset(expected, (int)number, sizeof expected);
    assert_true(gdb_traceframes_get(frames, index, &frame));
    assert_int_equal(frame.index, index);
    assert_int_equal(frame.tracepoint, number);
    assert_int_equal(frame.rip, 0x1000 + number);
    assert_int_equal(gdb_traceframes_read_memory(frames, &frame, 0x5000, bytes, sizeof bytes), length);
    assert_memory_equal(bytes, expected, length);
}

static void empty(void **state)
{
    struct gdb_traceframes *frames = *state;
    struct gdb_traceframe frame;
    uint8_t byte;

    assert_false(gdb_traceframes_get(frames, 0, &frame));
    assert_int_equal(gdb_traceframes_file(frames, 0, &byte, 1), 0);
    gdb_traceframes_free(frames);
    assert_false(gdb_traceframes_get(frames, 0, &frame));
    assert_int_equal(gdb_traceframes_file(frames, 0, &byte, 1), 0);
}

static void all_kinds_of_blocks(void **state)
{
    struct gdb_traceframes *frames = *state;
    struct gdb_traceframe frame;
    uint8_t registers[REGISTERS], bytes[64];
    uint64_t value;
    size_t at;

    memset(registers, 7, sizeof registers);
    assert_true(gdb_traceframes_begin(frames, 3, 0xffffffff80000000));
    assert_true(gdb_traceframes_add_memory(frames, 0x100, "abcd", 4));
    assert_true(gdb_traceframes_add_registers(frames));
    assert_true(gdb_traceframes_add(frames, registers, sizeof registers));
    assert_true(gdb_traceframes_add_variable(frames, 9, 5));
    assert_true(gdb_traceframes_add_variable(frames, 9, 0x8000000000000001));
    assert_true(gdb_traceframes_add_memory(frames, 0x104, "efgh", 4));
    assert_true(gdb_traceframes_add_memory(frames, UINT64_MAX, "z", 1));
    assert_int_equal(gdb_traceframes_commit(frames), HEAD + 15 + 1 + REGISTERS + 2 * 13 + 15 + 12);
    assert_true(gdb_traceframes_get(frames, 0, &frame));
    assert_int_equal(frame.rip, 0xffffffff80000000);
    assert_true(gdb_traceframes_registers(frames, &frame, &at));
    gdb_traceframes_copy(frames, at, bytes, REGISTERS);
    assert_memory_equal(bytes, registers, REGISTERS);
    assert_true(gdb_traceframes_variable(frames, &frame, 9, &value));
    assert_int_equal(value, 0x8000000000000001);
    assert_false(gdb_traceframes_variable(frames, &frame, 8, &value));
    assert_int_equal(gdb_traceframes_read_memory(frames, &frame, 0x102, bytes, 64), 6);
    assert_memory_equal(bytes, "cdefgh", 6);
    assert_int_equal(gdb_traceframes_read_memory(frames, &frame, 0x107, bytes, 1), 1);
    assert_int_equal(gdb_traceframes_read_memory(frames, &frame, 0x108, bytes, 1), 0);
    assert_int_equal(gdb_traceframes_read_memory(frames, &frame, 0xff, bytes, 8), 0);
    assert_int_equal(gdb_traceframes_read_memory(frames, &frame, UINT64_MAX, bytes, 8), 1);
}

#define PIECES 100u

static void make_pieces(struct gdb_traceframes *frames, bool upwards)
{
    assert_true(gdb_traceframes_reset(frames, 4096, REGISTERS));
    assert_true(gdb_traceframes_begin(frames, 1, 0x1000));
    for (unsigned i = 0; i < PIECES; i++)
        assert_true(gdb_traceframes_add_memory(frames, 0x5000 + (upwards ? i : PIECES - 1 - i), "a", 1));
    gdb_traceframes_commit(frames);
}

/* Millions of pieces of one byte each would keep the server busy for hours. */
static void pieces_in_no_order_are_given_a_few_at_once(void **state)
{
    struct gdb_traceframes *frames = *state;
    struct gdb_traceframe frame;
    uint8_t bytes[PIECES];

    make_pieces(frames, true);
    assert_true(gdb_traceframes_get(frames, 0, &frame));
    assert_int_equal(gdb_traceframes_read_memory(frames, &frame, 0x5000, bytes, PIECES), PIECES);
    make_pieces(frames, false);
    assert_true(gdb_traceframes_get(frames, 0, &frame));
    assert_in_range(gdb_traceframes_read_memory(frames, &frame, 0x5000, bytes, PIECES), 2, PIECES / 2);
}

static void nothing_fits_a_full_buffer(void **state)
{
    struct gdb_traceframes *frames = *state;

    assert_true(make(frames, 1, 200 - HEAD));
    assert_false(make(frames, 2, 100));
    assert_int_equal(frames->count, 1);
    assert_true(make(frames, 3, 10));
    assert_false(make(frames, 4, 10));
    assert_int_equal(frames->created, 2);
    expect_frame(frames, 0, 1, 200 - HEAD);
    expect_frame(frames, 1, 3, 10);
}

static void the_oldest_make_room(void **state)
{
    struct gdb_traceframes *frames = *state;

    frames->circular = true;
    for (unsigned i = 1; i < 1000; i++) {
        size_t length = 1 + i * 7 % 90;

        assert_true(make(frames, i & 0xff, length));
        assert_in_range(frames->used, 1, frames->size);
        expect_frame(frames, frames->count - 1, i & 0xff, length);
        if (frames->count > 1)
            expect_frame(frames, frames->count - 2, (i - 1) & 0xff, 1 + (i - 1) * 7 % 90);
    }
    assert_int_equal(frames->created, 999);
}

static void one_larger_than_the_buffer_fits_never(void **state)
{
    struct gdb_traceframes *frames = *state;

    frames->circular = true;
    assert_true(make(frames, 1, 50));
    assert_false(make(frames, 2, 256 - HEAD - 10));
    assert_int_equal(frames->count, 0);
    assert_int_equal(frames->used, 0);
    assert_true(make(frames, 3, 256 - HEAD - 11));
    expect_frame(frames, 0, 3, 256 - HEAD - 11);
}

static void the_file_can_be_read_from_anywhere(void **state)
{
    struct gdb_traceframes *frames = *state;
    uint8_t whole[512], part[512];

    frames->circular = true;
    for (unsigned i = 1; i < 20; i++)
        make(frames, i, 20 + i);
    size_t length = gdb_traceframes_file(frames, 0, whole, sizeof whole);
    assert_int_equal(length, frames->used - frames->count * (HEAD - 6));
    assert_int_equal(whole[6], 'M');
    for (size_t from = 0; from <= length; from++) {
        size_t got = gdb_traceframes_file(frames, from, part, 33);

        assert_int_equal(got, length - from < 33 ? length - from : 33);
        assert_memory_equal(part, whole + from, got);
    }
    assert_int_equal(gdb_traceframes_file(frames, UINT64_MAX, part, 33), 0);
}

static void a_reset_drops_everything_but_the_setting(void **state)
{
    struct gdb_traceframes *frames = *state;

    frames->circular = true;
    make(frames, 1, 10);
    assert_true(gdb_traceframes_reset(frames, 512, 8));
    assert_int_equal(frames->count, 0);
    assert_int_equal(frames->size, 512);
    assert_true(frames->circular);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(empty),
        TEST(all_kinds_of_blocks),
        TEST(pieces_in_no_order_are_given_a_few_at_once),
        TEST(nothing_fits_a_full_buffer),
        TEST(the_oldest_make_room),
        TEST(one_larger_than_the_buffer_fits_never),
        TEST(the_file_can_be_read_from_anywhere),
        TEST(a_reset_drops_everything_but_the_setting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
