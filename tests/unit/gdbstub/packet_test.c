#include "protocol/packet.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

#define CAPACITY 64u

struct reader {
    struct gdb_packet_reader in;
    uint8_t buffer[CAPACITY];
    struct gdb_text packet;
};

static void start(struct reader *reader)
{
    gdb_packet_reader_init(&reader->in, reader->buffer, sizeof reader->buffer);
}

static void feed(struct reader *reader, const char *bytes, size_t length)
{
    while (length > 0) {
        size_t room;
        uint8_t *to = gdb_packet_room(&reader->in, &room);

        if (room > length)
            room = length;
        memcpy(to, bytes, room);
        gdb_packet_received(&reader->in, room);
        bytes += room;
        length -= room;
        /* what a session does: look before more is received */
        if (length > 0)
            assert_int_equal(gdb_packet_next(&reader->in, &reader->packet), GDB_PACKET_NEED_MORE);
    }
}

static void expect(struct reader *reader, enum gdb_packet_event event)
{
    assert_int_equal(gdb_packet_next(&reader->in, &reader->packet), event);
}

static void expect_packet(struct reader *reader, const char *payload)
{
    expect(reader, GDB_PACKET_WHOLE);
    assert_true(gdb_text_is(&reader->packet, payload));
}

static void a_packet_comes_out(void **state)
{
    struct reader reader;

    (void)state;
    start(&reader);
    feed(&reader, "$g#67", 5);
    expect_packet(&reader, "g");
    expect(&reader, GDB_PACKET_NEED_MORE);
}

static void every_cut_of_a_stream_gives_the_same_events(void **state)
{
    static const char stream[] = "+$m0,4#fd-junk\x03$#00+";
    const size_t length = sizeof stream - 1;

    (void)state;
    for (size_t cut = 0; cut <= length; cut++) {
        static const enum gdb_packet_event events[] = {GDB_PACKET_ACK,       GDB_PACKET_WHOLE, GDB_PACKET_NACK,
                                                       GDB_PACKET_INTERRUPT, GDB_PACKET_WHOLE, GDB_PACKET_ACK};
        struct reader reader;
        unsigned seen = 0;

        start(&reader);
        for (unsigned part = 0; part < 2; part++) {
            size_t from = part ? cut : 0, until = part ? length : cut, room;
            enum gdb_packet_event event;

            memcpy(gdb_packet_room(&reader.in, &room), stream + from, until - from);
            gdb_packet_received(&reader.in, until - from);
            while ((event = gdb_packet_next(&reader.in, &reader.packet)) != GDB_PACKET_NEED_MORE)
                assert_int_equal(event, events[seen++]);
        }
        assert_int_equal(seen, 6);
    }
}

static void wrong_checksums_are_bad(void **state)
{
    static const char *const bad[] = {"$g#66", "$g#6g", "$g#  ", "$g#G7", "$#01", "$g##67"};

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct reader reader;

        start(&reader);
        feed(&reader, bad[i], strlen(bad[i]));
        expect(&reader, GDB_PACKET_BAD);
    }
}

static void sums_are_right_at_every_length(void **state)
{
    uint8_t bytes[3000];
    uint8_t sum = 0;

    (void)state;
    memset(bytes, 0xff, sizeof bytes);
    for (size_t length = 0; length < sizeof bytes; length++) {
        assert_int_equal(gdb_packet_checksum(bytes, length), sum);
        bytes[length] = length % 5 ? 0xff : (uint8_t)length;
        sum = (uint8_t)(sum + bytes[length]);
    }
}

static void checksums_may_be_in_capitals(void **state)
{
    struct reader reader;

    (void)state;
    start(&reader);
    feed(&reader, "$?m#AC", 6);
    expect_packet(&reader, "?m");
}

static void escapes_are_undone(void **state)
{
    struct reader reader;

    (void)state;
    start(&reader);
    /* } escapes for $ # } *, and for a byte that needed none */
    feed(&reader, "$X}\x04}\x03}]}\x0a}AY#d1", 16);
    expect(&reader, GDB_PACKET_WHOLE);
    assert_int_equal(gdb_text_length(&reader.packet), 7);
    assert_memory_equal(reader.packet.at, "X$#}*aY", 7);
}

static void a_dangling_escape_is_dropped(void **state)
{
    struct reader reader;

    (void)state;
    start(&reader);
    feed(&reader, "$a}#de", 6);
    expect_packet(&reader, "a");
}

static void an_interrupt_inside_a_packet_is_data(void **state)
{
    struct reader reader;

    (void)state;
    start(&reader);
    feed(&reader, "$X\x03#5b\x03", 7);
    expect_packet(&reader, "X\x03");
    expect(&reader, GDB_PACKET_INTERRUPT);
}

static void a_packet_begun_again_replaces_the_first(void **state)
{
    struct reader reader;

    (void)state;
    start(&reader);
    feed(&reader, "$m12$g#67", 9);
    expect_packet(&reader, "g");
    expect(&reader, GDB_PACKET_NEED_MORE);
}

static void the_longest_packet_fits(void **state)
{
    char stream[CAPACITY + 1];
    struct reader reader;

    (void)state;
    start(&reader);
    memset(stream, 'a', sizeof stream);
    stream[0] = '$';
    stream[CAPACITY - 3] = '#';
    snprintf(stream + CAPACITY - 2, 3, "%02x", (unsigned)('a' * (CAPACITY - 4)) & 0xff);
    feed(&reader, stream, CAPACITY);
    expect(&reader, GDB_PACKET_WHOLE);
    assert_int_equal(gdb_text_length(&reader.packet), CAPACITY - 4);
}

static void a_packet_too_long_is_dropped_whole(void **state)
{
    char stream[3 * CAPACITY + 8];
    struct reader reader;

    (void)state;
    start(&reader);
    memset(stream, 'a', sizeof stream);
    stream[0] = '$';
    memcpy(stream + 3 * CAPACITY, "#00$g#67", 8);
    feed(&reader, stream, 3 * CAPACITY + 3);
    expect(&reader, GDB_PACKET_TOO_LONG);
    feed(&reader, stream + 3 * CAPACITY + 3, 5);
    expect_packet(&reader, "g");
}

static void dropping_ends_where_the_next_packet_begins(void **state)
{
    char stream[2 * CAPACITY];
    struct reader reader;

    (void)state;
    start(&reader);
    memset(stream, 'a', sizeof stream);
    stream[0] = '$';
    feed(&reader, stream, sizeof stream);
    expect(&reader, GDB_PACKET_NEED_MORE);
    feed(&reader, "$g#67", 5);
    expect(&reader, GDB_PACKET_TOO_LONG);
    expect_packet(&reader, "g");
}

static void many_packets_pass_through_a_small_buffer(void **state)
{
    struct reader reader;

    (void)state;
    start(&reader);
    for (unsigned i = 0; i < 1000; i++) {
        feed(&reader, "$m1000,4#8e$g", 13);
        expect_packet(&reader, "m1000,4");
        expect(&reader, GDB_PACKET_NEED_MORE);
        feed(&reader, "#67", 3);
        expect_packet(&reader, "g");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_packet_comes_out),
        cmocka_unit_test(every_cut_of_a_stream_gives_the_same_events),
        cmocka_unit_test(wrong_checksums_are_bad),
        cmocka_unit_test(sums_are_right_at_every_length),
        cmocka_unit_test(checksums_may_be_in_capitals),
        cmocka_unit_test(escapes_are_undone),
        cmocka_unit_test(a_dangling_escape_is_dropped),
        cmocka_unit_test(an_interrupt_inside_a_packet_is_data),
        cmocka_unit_test(a_packet_begun_again_replaces_the_first),
        cmocka_unit_test(the_longest_packet_fits),
        cmocka_unit_test(a_packet_too_long_is_dropped_whole),
        cmocka_unit_test(dropping_ends_where_the_next_packet_begins),
        cmocka_unit_test(many_packets_pass_through_a_small_buffer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
