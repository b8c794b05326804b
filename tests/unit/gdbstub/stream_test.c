/* Properties of the bytes on the wire that hold for any packets: seeded, see tests/support/abuse.h. */
#include "abuse.h"
#include "fake_debugger.h"
#include "protocol/reply.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#define STREAMS 20u
#define PACKETS 8u
#define STREAM_MAX 220u
#define REPLIES 20000u
#define REPLY_MAX 600u

/*
 * What a stream is made of. A packet that arrives while the machine runs interrupts it; these leave it no place to be
 * interrupted at before the stop they bring about.
 */
static const char *const packets[] = {
    "?",
    "g",
    "m1000,20",
    "x1000,20",
    "M5000,3:616263",
    "p10",
    "P0=0500000000000000",
    "qC",
    "qSupported:swbreak+;error-message+",
    "Z0,1010,1",
    "Z2,5000,4",
    "z0,1010,1",
    "vCont?",
    "s",
    "vCont;s:1",
    "vCont;r1000,1004",
    "c1000",
    "qXfer:features:read:target.xml:0,40",
    "qRcmd,6d6170",
    "QTDP:1:1004:D:0:0",
    "nonsense",
};

static void queue_random_stream(struct fake_debugger *debugger, struct abuse *abuse)
{
    static const char escaped[] = "X5000,4:#$}*", *const noise[] = {"-", "+", "$m10", "$qC#00", "\n"};

    fake_debugger_packet(debugger, "Z0,1010,1");
    for (unsigned i = 0; i < PACKETS && debugger->input_length < STREAM_MAX - 64; i++) {
        uint64_t choice = abuse_below(abuse, COUNT(packets) + 4);

        if (choice < COUNT(packets))
            fake_debugger_packet(debugger, packets[choice]);
        else if (choice < COUNT(packets) + 2)
            fake_debugger_binary_packet(debugger, escaped, sizeof escaped - 1);
        else {
            fake_debugger_packet(debugger, "qC"); /* noise is answered at once, not when the machine has stopped */
            fake_debugger_raw(debugger, noise[choice % COUNT(noise)], strlen(noise[choice % COUNT(noise)]));
        }
    }
}

/* The output for a stream that arrives in such pieces at a fresh machine. The caller frees it. */
static char *output_of(const char *stream, size_t length, size_t first, size_t rest, size_t *output_length)
{
    struct fake_debugger *debugger = fake_debugger_new(1);

    fake_debugger_raw(debugger, stream, length);
    fake_debugger_run_in_pieces(debugger, first, rest);
    *output_length = debugger->output_length;
    char *output = malloc(debugger->output_length + 1);
    memcpy(output, debugger->output, debugger->output_length);
    output[debugger->output_length] = '\0';
    fake_debugger_free(debugger);
    return output;
}

static void cutting_the_stream_anywhere_changes_no_reply(void **state)
{
    struct abuse abuse;

    (void)state;
    abuse_begin(&abuse);
    for (unsigned i = 0; i < STREAMS * abuse.factor; i++) {
        struct fake_debugger *source = fake_debugger_new(1);
        size_t whole_length, length;

        queue_random_stream(source, &abuse);
        char *whole = output_of(source->input, source->input_length, 0, 0, &whole_length);
        for (size_t cut = 1; cut <= source->input_length; cut++) {
            /* the last round sends each byte alone */
            bool bytewise = cut == source->input_length;
            char *output =
                output_of(source->input, source->input_length, bytewise ? 1 : cut, bytewise ? 1 : 0, &length);

            if (length != whole_length || memcmp(output, whole, length) != 0)
                fail_msg("%.*s\ncut at %zu:\n%s\nwhole:\n%s", (int)source->input_length, source->input, cut, output,
                         whole);
            free(output);
        }
        free(whole);
        fake_debugger_free(source);
    }
}

/* Undo runs, then escapes, by the words of GDB's manual. Returns the number of bytes. */
static size_t decode_reply(const char *payload, size_t length, uint8_t *to)
{
    size_t runs = 0, bytes = 0;
    static char plain[4 * REPLY_MAX];

    for (size_t i = 0; i < length; i++) {
        assert_true(payload[i] != '#' && payload[i] != '$');
        if (payload[i] != '*') {
            plain[runs++] = payload[i];
            continue;
        }
        int repeats = (uint8_t)payload[++i] - 29;
        assert_in_range(payload[i], 32, 126);
        for (; repeats > 0; repeats--, runs++)
            plain[runs] = plain[runs - 1];
    }
    for (size_t i = 0; i < runs; i++)
        to[bytes++] = (uint8_t)(plain[i] == '}' ? plain[++i] ^ 0x20 : plain[i]);
    return bytes;
}

static void any_bytes_come_back_from_a_reply(void **state)
{
    static char buffer[2 * REPLY_MAX + 64];
    uint8_t bytes[REPLY_MAX], decoded[4 * REPLY_MAX];
    struct abuse abuse;

    (void)state;
    abuse_begin(&abuse);
    for (unsigned i = 0; i < REPLIES * abuse.factor; i++) {
        size_t length = 0, packet_length, wanted = abuse_below(&abuse, REPLY_MAX);
        struct gdb_reply reply;

        while (length < wanted) {
            static const char common[] = "0#$}*}*\0 x";
            size_t run = 1 + abuse_below(&abuse, abuse_below(&abuse, 4) == 0 ? 220 : 6);
            uint64_t choice = abuse_below(&abuse, 2 * sizeof common);

            run = run < wanted - length ? run : wanted - length;
            memset(bytes + length, choice < sizeof common ? common[choice] : (int)abuse_below(&abuse, 256), run);
            length += run;
        }
        gdb_reply_init(&reply, buffer, sizeof buffer);
        gdb_reply_binary(&reply, bytes, length);
        const char *packet = gdb_reply_finish(&reply, &packet_length);
        assert_int_equal(decode_reply(packet + 1, packet_length - 4, decoded), length);
        assert_memory_equal(decoded, bytes, length);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cutting_the_stream_anywhere_changes_no_reply),
        cmocka_unit_test(any_bytes_come_back_from_a_reply),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
