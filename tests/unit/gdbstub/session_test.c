/* Acknowledgements, broken packets and the order of bytes on the wire. */
#include "fake_debugger.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

static void expect_output(const struct fake_debugger *debugger, const char *output)
{
    assert_int_equal(debugger->output_length, strlen(output));
    assert_memory_equal(debugger->output, output, strlen(output));
}

static void replies_follow_their_acknowledgement(void **state)
{
    struct fake_debugger *debugger = *state;

    fake_debugger_raw(debugger, "+$qC#b4+", 8);
    fake_debugger_run(debugger);
    expect_output(debugger, "+$QC1#c5");
}

static void no_acknowledgements_when_not_wanted(void **state)
{
    struct fake_debugger *debugger = *state;

    fake_debugger_packet(debugger, "QStartNoAckMode");
    fake_debugger_raw(debugger, "+", 1);
    fake_debugger_packet(debugger, "qC");
    fake_debugger_run(debugger);
    expect_output(debugger, "+$OK#9a$QC1#c5");
}

static void a_bad_packet_is_asked_for_again(void **state)
{
    struct fake_debugger *debugger = *state;

    fake_debugger_raw(debugger, "$qC#b5$qC#b4", 12);
    fake_debugger_run(debugger);
    expect_output(debugger, "-+$QC1#c5");
}

static void a_bad_packet_is_an_error_when_it_cannot_be_asked_for(void **state)
{
    struct fake_debugger *debugger = *state;

    fake_debugger_packet(debugger, "QStartNoAckMode");
    fake_debugger_raw(debugger, "$qC#b5", 6);
    fake_debugger_run(debugger);
    expect_output(debugger, "+$OK#9a$E16#ac");
}

static void the_last_reply_is_sent_again(void **state)
{
    struct fake_debugger *debugger = *state;

    fake_debugger_raw(debugger, "-$qC#b4--", 9);
    fake_debugger_run(debugger);
    expect_output(debugger, "+$QC1#c5$QC1#c5$QC1#c5");
}

static void raw(struct fake_debugger *debugger, const char *bytes)
{
    fake_debugger_raw(debugger, bytes, strlen(bytes));
}

/* gdb sends a packet again when the reply takes longer than its remotetimeout, and takes a second reply for that to its
 * next packet. */
static void a_retransmission_is_answered_once(void **state)
{
    struct fake_debugger *debugger = *state;

    raw(debugger, "+$qC#b4$qC#b4$qC#b4+$qC#b4+");
    fake_debugger_run(debugger);
    expect_output(debugger, "+$QC1#c5+$QC1#c5");
}

static void a_retransmission_can_still_be_refused(void **state)
{
    struct fake_debugger *debugger = *state;

    raw(debugger, "$qC#b4$qC#b4-+");
    fake_debugger_run(debugger);
    expect_output(debugger, "+$QC1#c5$QC1#c5");
}

static void another_packet_ends_the_wait_for_an_acknowledgement(void **state)
{
    struct fake_debugger *debugger = *state;

    raw(debugger, "$qC#b4$vCtrlC#4e$qC#b4");
    fake_debugger_run(debugger);
    expect_output(debugger, "+$QC1#c5+$OK#9a+$QC1#c5");
}

/* Acknowledgements end behind the one for this reply. */
static void switching_acknowledgements_off_is_answered_once(void **state)
{
    struct fake_debugger *debugger = *state;

    raw(debugger, "$QStartNoAckMode#b0$QStartNoAckMode#b0+$qC#b4$qC#b4");
    fake_debugger_run(debugger);
    expect_output(debugger, "+$OK#9a$QC1#c5$QC1#c5");
}

/* Each 'O' packet is acknowledged, too: the reply proper comes last. */
static void a_retransmission_between_console_output_and_reply(void **state)
{
    struct fake_debugger *debugger = *state;

    raw(debugger, "$qRcmd,6d6170#8b$qRcmd,6d6170#8b+$qRcmd,6d6170#8b+$qC#b4");
    fake_debugger_run(debugger);
    assert_int_equal(debugger->reply_count, 3);
    assert_int_equal(debugger->replies[0].text[0], 'O');
    assert_string_equal(debugger->replies[1].text, "OK");
    assert_string_equal(debugger->replies[2].text, "QC1");
}

static void running_is_acknowledged_before_it_ends(void **state)
{
    struct fake_debugger *debugger = *state;

    fake_debugger_packet(debugger, "vCont;c");
    fake_debugger_run(debugger);
    expect_output(debugger, "+$W00#b7");
}

static void a_packet_too_long_is_an_error(void **state)
{
    struct fake_debugger *debugger = *state;
    size_t length = GDB_INPUT_SIZE + 100;
    char *packet = malloc(length);

    memset(packet, 'm', length);
    fake_debugger_binary_packet(debugger, packet, length);
    fake_debugger_packet(debugger, "qC");
    fake_debugger_run(debugger);
    expect_output(debugger, "+$E16#ac+$QC1#c5");
    free(packet);
}

static void junk_is_passed_over(void **state)
{
    struct fake_debugger *debugger = *state;

    fake_debugger_raw(debugger, "GET / HTTP/1.0\r\n\r\n\x03#00", 22);
    fake_debugger_packet(debugger, "qC");
    fake_debugger_raw(debugger, "$qC", 3);
    fake_debugger_run(debugger);
    expect_output(debugger, "+$QC1#c5");
    assert_int_equal(debugger->end, GDB_SESSION_LOST);
}

static void a_session_keeps_nothing_for_the_next(void **state)
{
    struct fake_debugger *debugger = *state;

    fake_debugger_packet(debugger, "QStartNoAckMode");
    fake_debugger_packet(debugger, "Qqemu.PhyMemMode:1");
    fake_debugger_run(debugger);
    fake_debugger_packet(debugger, "qqemu.PhyMemMode");
    fake_debugger_run(debugger);
    expect_output(debugger, "+$0#30");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fake_debugger_of_one, fake_debugger_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(replies_follow_their_acknowledgement),
        TEST(no_acknowledgements_when_not_wanted),
        TEST(a_bad_packet_is_asked_for_again),
        TEST(a_bad_packet_is_an_error_when_it_cannot_be_asked_for),
        TEST(the_last_reply_is_sent_again),
        TEST(a_retransmission_is_answered_once),
        TEST(a_retransmission_can_still_be_refused),
        TEST(another_packet_ends_the_wait_for_an_acknowledgement),
        TEST(switching_acknowledgements_off_is_answered_once),
        TEST(a_retransmission_between_console_output_and_reply),
        TEST(running_is_acknowledged_before_it_ends),
        TEST(a_packet_too_long_is_an_error),
        TEST(junk_is_passed_over),
        TEST(a_session_keeps_nothing_for_the_next),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
