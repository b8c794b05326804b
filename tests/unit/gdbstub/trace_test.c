/* Trace experiments against a fake machine (nops from 1000 on, a hlt at 1fff): recording, its ends, looking at it. */
#include "fake_debugger.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RICH "swbreak+;hwbreak+;error-message+"
#define FALSE "X3,220027"
#define RAX_IS_5 "X7,26000022051327"
#define NO_MEMORY "Xb,25ffffffff000000001727"
#define COUNT_1 "Xa,2c00012201022d000127" /* getv 1; const8 1; add; setv 1 */
#define RECORD_1 "X00000004,2e000127"     /* tracev 1 */

static struct gdb_trace *trace_of(struct fake_debugger *debugger)
{
    return &debugger->machines.trace;
}

static void expect(struct fake_debugger *debugger, const char *packet, const char *reply)
{
    fake_debugger_expect(debugger, RICH, packet, reply);
}

static void ok(struct fake_debugger *debugger, const char *packet)
{
    expect(debugger, packet, "OK");
}

/* Let the machine run to its next stop, whose reply begins so. Tracing continues between these sessions. */
static void stops(struct fake_debugger *debugger, const char *packet, const char *reason)
{
    const char *reply = fake_debugger_ask(debugger, RICH, packet);

    if (strncmp(reply, reason, strlen(reason)) != 0)
        fail_msg("%s: %s", packet, reply);
}

/* A tracepoint with that definition and, unless NULL, actions; and tracing that stays between sessions. */
static void start(struct fake_debugger *debugger, const char *definition, const char *actions)
{
    char packet[256];

    snprintf(packet, sizeof packet, "QTDP:1:%s%s", definition, actions != NULL ? "-" : "");
    ok(debugger, packet);
    snprintf(packet, sizeof packet, "QTDP:-1:%.4s:%s", definition, actions != NULL ? actions : "");
    if (actions != NULL)
        ok(debugger, packet);
    ok(debugger, "QTDisconnected:1");
    ok(debugger, "QTStart");
}

static void expect_status(struct fake_debugger *debugger, const char *status)
{
    const char *reply = fake_debugger_ask(debugger, RICH, "qTStatus");

    if (strncmp(reply, status, strlen(status)) != 0)
        fail_msg("%s", reply);
}

/* Ask in one session, after selecting a frame. */
static const char *in_frame(struct fake_debugger *debugger, const char *frame, const char *packet)
{
    char select[32];

    snprintf(select, sizeof select, "QTFrame:%s", frame);
    fake_debugger_packet(debugger, "qXfer:features:read:target.xml:0,10");
    fake_debugger_packet(debugger, select);
    return fake_debugger_ask(debugger, RICH, packet);
}

/* --- recording --- */

static void hits_do_not_stop(void **state)
{
    struct fake_debugger *debugger = *state;

    memcpy(fake_machine(&debugger->fake, 1)->memory + 0x5000, "abcdefgh", 8);
    fake_machine(&debugger->fake, 1)->regs.general.gpr[MH_RSP] = 0x5004;
    start(debugger, "1010:E:0:0", "M-1,5000,2M7,0,2R1");
    stops(debugger, "c", "W00");
    expect_status(debugger, "T1;tframes:1;tcreated:1;tfree:");
}

static void frames_answer_instead_of_the_machine(void **state)
{
    struct fake_debugger *debugger = *state;

    memcpy(fake_machine(&debugger->fake, 1)->memory + 0x5000, "abcdefgh", 8);
    fake_machine(&debugger->fake, 1)->regs.general.gpr[MH_RSP] = 0x5004;
    start(debugger, "1010:E:0:0", "M-1,5000,2M7,0,2R1");
    ok(debugger, "Z0,1020,1");
    stops(debugger, "c", "T05swbreak:;");
    memset(fake_machine(&debugger->fake, 1)->memory + 0x5000, 'z', 8);
    expect(debugger, "m5000,2", "7a7a");
    assert_string_equal(in_frame(debugger, "0", "m5000,8"), "6162");
    assert_string_equal(in_frame(debugger, "0", "m5004,1"), "65");
    assert_string_equal(in_frame(debugger, "0", "m5002,1"), "E.nothing was collected at address 0x5002");
    assert_string_equal(in_frame(debugger, "0", "x5000,8"), "bab");
    assert_string_equal(in_frame(debugger, "0", "p10"), "1010000000000000");
    assert_string_equal(in_frame(debugger, "0", "p7"), "0450000000000000");
    assert_memory_equal(in_frame(debugger, "0", "g") + 2 * 8 * 7, "04500000", 8);
    assert_string_equal(in_frame(debugger, "0", "qXfer:traceframe-info:read::0,1000"),
                        "l<traceframe-info><memory start=\"0x5000\" length=\"0x2\"/>"
                        "<memory start=\"0x5004\" length=\"0x2\"/></traceframe-info>");
    assert_string_equal(in_frame(debugger, "ffffffff", "p10"), "2010000000000000");
    assert_string_equal(in_frame(debugger, "1", "p10"), "2010000000000000");
    expect(debugger, "qXfer:traceframe-info:read::0,1000", "E.no such document");
}

static void frames_cannot_be_changed(void **state)
{
    static const char *const packets[] = {"M5000,1:00", "X5000,1:a", "P7=0000000000000000"};
    struct fake_debugger *debugger = *state;

    start(debugger, "1001:E:0:0", NULL);
    stops(debugger, "s", "T05");
    for (size_t i = 0; i < COUNT(packets); i++)
        assert_string_equal(in_frame(debugger, "0", packets[i]),
                            "E.a trace frame cannot be changed; use tfind none to return to the machine");
}

static void without_registers_there_is_rip(void **state)
{
    struct fake_debugger *debugger = *state;

    start(debugger, "1010:E:0:0", NULL);
    ok(debugger, "Z0,1020,1");
    stops(debugger, "c", "T05swbreak:;");
    assert_string_equal(in_frame(debugger, "0", "p10"), "1010000000000000");
    assert_string_equal(in_frame(debugger, "0", "p0"), "xxxxxxxxxxxxxxxx");
    assert_memory_equal(in_frame(debugger, "0", "g"), "xxxxxxxxxxxxxxxx", 16);
    assert_string_equal(in_frame(debugger, "0", "p1ff"), "E.no register has number 511");
}

static void memory_that_is_not_there_is_left_out(void **state)
{
    struct fake_debugger *debugger = *state;

    start(debugger, "1010:E:0:0", "M-1,1fffe,10M-1,ffffffffffffffff,9M-1,ffffffff00000000,100000000000M-1,0,0");
    ok(debugger, "Z0,1020,1");
    stops(debugger, "c", "T05swbreak:;");
    assert_string_equal(in_frame(debugger, "0", "m1fffe,10"), "9090");
    expect_status(debugger, "T1;tframes:1;");
}

static void readonly_memory_needs_no_collecting(void **state)
{
    struct fake_debugger *debugger = *state;

    start(debugger, "1010:E:0:0", NULL);
    ok(debugger, "QTro:6000,6010:5000,5004");
    ok(debugger, "Z0,1020,1");
    stops(debugger, "c", "T05swbreak:;");
    assert_string_equal(in_frame(debugger, "0", "m5002,8"), "9090");
    assert_string_equal(in_frame(debugger, "0", "m5004,8"), "E.nothing was collected at address 0x5004");
    expect(debugger, "QTro:1", "E.malformed packet");
    expect(debugger, "QTro:1,", "E.malformed packet");
    expect(debugger, "QTro:1,2x", "E.malformed packet");
    ok(debugger, "QTro");
}

static void conditions_choose(void **state)
{
    struct fake_debugger *debugger = *state;

    fake_machine(&debugger->fake, 1)->regs.general.gpr[MH_RAX] = 5;
    ok(debugger, "QTDP:2:1020:E:0:0:" RAX_IS_5);
    ok(debugger, "QTDP:3:1030:D:0:0");
    start(debugger, "1010:E:0:0:" FALSE, NULL);
    ok(debugger, "Z0,1040,1");
    stops(debugger, "c", "T05swbreak:;");
    expect(debugger, "qTP:1:1010", "V0:0");
    expect(debugger, "qTP:2:1020", "V1:10");
    expect(debugger, "qTP:3:1030", "V0:0");
    expect(debugger, "qTP:4:1030", "E.no such tracepoint");
}

static void variables_count(void **state)
{
    struct fake_debugger *debugger = *state;

    ok(debugger, "QTDV:1:40:0:616263");
    ok(debugger, "QTDV:1:41:0:616263");
    ok(debugger, "QTDP:7:1030:E:0:0-");
    ok(debugger, "QTDP:-7:1030:" COUNT_1);
    start(debugger, "1020:E:0:0", COUNT_1 RECORD_1);
    ok(debugger, "Z0,1040,1");
    stops(debugger, "c", "T05swbreak:;");
    expect(debugger, "qTV:1", "V43");
    expect(debugger, "qTV:2", "U");
    assert_string_equal(in_frame(debugger, "0", "qTV:1"), "V42");
    assert_string_equal(in_frame(debugger, "1", "qTV:1"), "U");
    assert_string_equal(in_frame(debugger, "0", "qXfer:traceframe-info:read::0,1000"),
                        "l<traceframe-info><tvar id=\"1\"/></traceframe-info>");
    expect(debugger, "qTfV", "1:41:0:616263");
    expect(debugger, "qTsV", "1:41:0:616263");
    expect(debugger, "qTV:", "E.malformed packet");
}

static void variables_are_bounded(void **state)
{
    static const char *const bad[] = {"QTDV:",     "QTDV:1",      "QTDV:1:",    "QTDV:1:0",
                                      "QTDV:1:0:", "QTDV:1:0:2:", "QTDV:1:0:0", "QTDV:1:0:0:zz"};
    struct fake_debugger *debugger = *state;
    char packet[64];

    for (size_t i = 0; i < COUNT(bad); i++)
        expect(debugger, bad[i], "E.malformed packet");
    for (unsigned i = 0; i < AGENT_VARIABLES_MAX; i++) {
        snprintf(packet, sizeof packet, "QTDV:%x:0:0:", i);
        ok(debugger, packet);
    }
    expect(debugger, "QTDV:fff:0:0:", "E.too many trace state variables");
}

/* --- ends --- */

static void stopping_takes_the_breakpoints_away(void **state)
{
    struct fake_debugger *debugger = *state;

    expect_status(debugger, "T0;tnotrun:0;tframes:0;tcreated:0;tfree:100000;tsize:100000;circular:0;disconn:0;");
    ok(debugger, "QTDP:2:1010:E:0:0");
    ok(debugger, "QTDP:3:1018:D:0:0");
    start(debugger, "1010:E:0:0", NULL);
    assert_int_equal(fake_target_breaks(&debugger->fake, 1), 1);
    expect(debugger, "QTStart", "E.tracing is already running");
    ok(debugger, "QTEnable:3:1018");
    assert_int_equal(fake_target_breaks(&debugger->fake, 1), 2);
    ok(debugger, "QTDisable:2:1010");
    assert_int_equal(fake_target_breaks(&debugger->fake, 1), 2);
    ok(debugger, "QTDisable:1:1010");
    assert_int_equal(fake_target_breaks(&debugger->fake, 1), 1);
    ok(debugger, "QTDP:4:1020:E:0:0");
    assert_int_equal(fake_target_breaks(&debugger->fake, 1), 2);
    expect(debugger, "QTEnable:9:1018", "E.no such tracepoint");
    ok(debugger, "QTNotes:user:6d65;notes:6e;tstop:656e6f756768;");
    ok(debugger, "QTStop");
    ok(debugger, "QTStop");
    assert_int_equal(fake_target_breaks(&debugger->fake, 1), 0);
    expect_status(debugger, "T0;tstop:656e6f756768:0;tframes:0;");
    assert_non_null(strstr(fake_debugger_last(debugger, 0)->text, ";username:6d65;notes:6e"));
    expect(debugger, "QTNotes:user:zz;", "E.malformed packet");
}

static void pass_counts_end_it(void **state)
{
    struct fake_debugger *debugger = *state;

    ok(debugger, "QTDP:2:1020:E:0:1");
    start(debugger, "1010:E:0:2", NULL);
    ok(debugger, "Z0,1030,1");
    stops(debugger, "c", "T05swbreak:;");
    expect_status(debugger, "T0;tpasscount:2;tframes:2;");
    assert_int_equal(fake_target_breaks(&debugger->fake, 1), 1);
}

static void what_cannot_be_evaluated_ends_it(void **state)
{
    struct fake_debugger *debugger = *state;

    start(debugger, "1010:E:0:0:" NO_MEMORY, NULL);
    stops(debugger, "c", "W00");
    expect_status(debugger, "T0;terror:636f6e646974696f6e206661696c65643a20");
}

static void actions_that_fail_end_it(void **state)
{
    struct fake_debugger *debugger = *state;

    start(debugger, "1010:E:0:0", NO_MEMORY);
    ok(debugger, "Z0,1020,1");
    stops(debugger, "c", "T05swbreak:;");
    expect_status(debugger, "T0;terror:616374696f6e206661696c65643a20");
    ok(debugger, "QTinit");
    expect_status(debugger, "T0;tnotrun:0;tframes:0;");
}

static void a_full_buffer_ends_it(void **state)
{
    struct fake_debugger *debugger = *state;

    expect(debugger, "QTBuffer:size:0", "E.the trace buffer must have 4096 to 67108864 bytes");
    expect(debugger, "QTBuffer:size:4000001", "E.the trace buffer must have 4096 to 67108864 bytes");
    expect(debugger, "QTBuffer:size:x", "E.malformed packet");
    ok(debugger, "QTBuffer:size:-1");
    ok(debugger, "QTBuffer:size:1000");
    ok(debugger, "QTDP:2:1020:E:0:0-");
    ok(debugger, "QTDP:-2:1020:M-1,3000,1000");
    start(debugger, "1010:E:0:0", "M-1,3000,800");
    stops(debugger, "c", "W00");
    expect_status(debugger, "T0;tfull:0;tframes:1;tcreated:1;tfree:7e5;tsize:1000;circular:0;disconn:1;");
}

static void a_circular_buffer_keeps_the_last(void **state)
{
    struct fake_debugger *debugger = *state;

    ok(debugger, "QTBuffer:size:1000");
    ok(debugger, "QTBuffer:circular:1");
    expect(debugger, "QTBuffer:circular:2", "E.malformed packet");
    ok(debugger, "QTDP:2:1020:E:0:0-");
    ok(debugger, "QTDP:-2:1020:M-1,4000,900");
    start(debugger, "1010:E:0:0", "M-1,3000,900");
    ok(debugger, "Z0,1040,1");
    stops(debugger, "c", "T05swbreak:;");
    expect_status(debugger, "T1;tframes:1;tcreated:2;");
    expect(debugger, "QTFrame:0", "F0T2");
}

static void it_ends_with_the_debugger_unless_asked(void **state)
{
    struct fake_debugger *debugger = *state;

    memcpy(fake_machine(&debugger->fake, 1)->memory + 0x1100, "\xeb\xfe", 2);
    start(debugger, "1010:E:0:0", NULL);
    expect(debugger, "D", "OK");
    assert_int_equal(fake_target_breaks(&debugger->fake, 1), 1);
    expect_status(debugger, "T1;tframes:");
    ok(debugger, "QTDisconnected:0");
    expect(debugger, "D", "OK");
    assert_int_equal(fake_target_breaks(&debugger->fake, 1), 0);
    expect_status(debugger, "T0;tdisconnected:0;");
}

/* --- with breakpoints and steps --- */

static void breakpoints_at_the_same_place(void **state)
{
    struct fake_debugger *debugger = *state;

    start(debugger, "1010:E:0:0", NULL);
    ok(debugger, "Z0,1010,1");
    stops(debugger, "c", "T05swbreak:;");
    assert_int_equal(fake_target_owners(&debugger->fake, 1, 0x1010), MH_OWNER_DEBUGGER | MH_OWNER_TRACEPOINT);
    stops(debugger, "c", "T05swbreak:;"); /* at once, and it is the same arrival */
    ok(debugger, "z0,1010,1");
    assert_int_equal(fake_target_owners(&debugger->fake, 1, 0x1010), MH_OWNER_TRACEPOINT);
    ok(debugger, "Z0,1010,1");
    ok(debugger, "QTStop");
    assert_int_equal(fake_target_owners(&debugger->fake, 1, 0x1010), MH_OWNER_DEBUGGER);
    ok(debugger, "z0,1010,1");
    assert_int_equal(fake_target_owners(&debugger->fake, 1, 0x1010), 0);
    expect_status(debugger, "T0;tstop::0;tframes:1;");
}

/* Where the machine stopped has been met; where the debugger put it has not. */
static void where_it_continues_is_a_hit_only_if_put_there(void **state)
{
    struct fake_debugger *debugger = *state;

    stops(debugger, "s", "T05thread");
    start(debugger, "1001:E:0:0", NULL);
    ok(debugger, "Z0,1010,1");
    stops(debugger, "c", "T05swbreak:;");
    expect(debugger, "qTP:1:1001", "V0:0");
    ok(debugger, "P10=0110000000000000");
    stops(debugger, "c", "T05swbreak:;");
    expect(debugger, "qTP:1:1001", "V1:10");
}

static void steps_onto_one_are_hits(void **state)
{
    struct fake_debugger *debugger = *state;

    start(debugger, "1001:E:0:0", NULL);
    stops(debugger, "s", "T05thread");
    stops(debugger, "s", "T05thread");
    stops(debugger, "vCont;r1002,1010", "T05thread");
    expect(debugger, "qTP:1:1001", "V1:10");
}

static void steps_are_recorded(void **state)
{
    struct fake_debugger *debugger = *state;

    start(debugger, "1010:E:3:0", "R1-");
    ok(debugger, "QTStop");
    ok(debugger, "QTDP:-1:1010:SM-1,5000,4");
    ok(debugger, "QTDP:2:1012:E:0:0");
    ok(debugger, "Z0,1013,1");
    ok(debugger, "Z0,1012,1;" FALSE);
    ok(debugger, "QTStart");
    stops(debugger, "c", "T05swbreak:;");
    expect(debugger, "p10", "1310000000000000");
    expect_status(debugger, "T1;tframes:5;");
    assert_string_equal(in_frame(debugger, "1", "p10"), "1110000000000000");
    assert_string_equal(in_frame(debugger, "1", "m5000,4"), "90909090");
    expect(debugger, "QTFrame:3", "F3T2");
    expect(debugger, "QTFrame:4", "F4T1");
    ok(debugger, "z0,1013,1");
    stops(debugger, "c", "W00");
}

static void a_range_that_is_left_while_steps_are_recorded(void **state)
{
    struct fake_debugger *debugger = *state;

    start(debugger, "1002:E:6:3", NULL);
    stops(debugger, "vCont;r1000,1005", "T05thread");
    expect(debugger, "p10", "0510000000000000");
    stops(debugger, "s", "T05thread");
    expect_status(debugger, "T1;tframes:5;");
    ok(debugger, "QTinit");
    stops(debugger, "c", "W00");
}

/* --- finding frames --- */

static void frames_are_found(void **state)
{
    static const char *const asked[][2] = {
        {"QTFrame:pc:1020", "F1T2"},
        {"QTFrame:tdp:1", "F2T1"},
        {"QTFrame:tdp:1", "F-1"},
        {"QTFrame:0", "F0T1"},
        {"QTFrame:range:1011:1020", "F1T2"},
        {"QTFrame:outside:1011:1020", "F2T1"},
        {"QTFrame:outside:1011:1020", "F-1"},
        {"QTFrame:3", "F-1"},
        {"QTFrame:ffffffff", "OK"},
        {"QTFrame:tdp:1", "F0T1"},
        {"QTFrame:", "E.malformed packet"},
        {"QTFrame:pc:", "E.malformed packet"},
        {"QTFrame:range:1", "E.malformed packet"},
        {"QTFrame:1x", "E.malformed packet"},
        {"QTFrame:tdp:1:2", "E.malformed packet"},
    };
    struct fake_debugger *debugger = *state;

    ok(debugger, "QTDP:2:1020:E:0:0");
    ok(debugger, "QTDP:1:1030:E:0:0");
    start(debugger, "1010:E:0:0", NULL);
    ok(debugger, "Z0,1040,1");
    stops(debugger, "c", "T05swbreak:;");
    fake_debugger_packet(debugger, "qSupported:" RICH);
    for (size_t i = 0; i < COUNT(asked); i++)
        fake_debugger_packet(debugger, asked[i][0]);
    fake_debugger_run(debugger);
    for (size_t i = 0; i < COUNT(asked); i++)
        assert_string_equal(debugger->replies[i + 1].text, asked[i][1]);
}

static void the_buffer_can_be_fetched(void **state)
{
    struct fake_debugger *debugger = *state;

    start(debugger, "1010:E:0:0", "M-1,5000,2");
    ok(debugger, "Z0,1020,1");
    stops(debugger, "c", "T05swbreak:;");
    expect(debugger, "qTBuffer:0,1000", "01000d0000004d005000000000000002009090");
    expect(debugger, "qTBuffer:4,5", "00004d0050");
    expect(debugger, "qTBuffer:13,1", "l");
    expect(debugger, "qTBuffer:0,0", "E.malformed packet");
    expect(debugger, "qTBuffer:0", "E.malformed packet");
    expect(debugger, "qTBuffer:,1", "E.malformed packet");
}

static void a_restart_forgets_steps(void **state)
{
    struct fake_debugger *debugger = *state;

    start(debugger, "1001:E:9:0", NULL);
    ok(debugger, "Z0,1003,1");
    stops(debugger, "c", "T05swbreak:;");
    fake_debugger_packet(debugger, "!");
    stops(debugger, "vRun;", "T05");
    assert_int_equal(trace_of(debugger)->tracepoints.list[0].steps_left, 0);
}

static void several_machines_have_none(void **state)
{
    struct fake_debugger *debugger = fake_debugger_new(2);

    (void)state;
    expect(debugger, "qTStatus", "");
    expect(debugger, "QTinit", "E.tracepoints need one port per machine: use --gdb without --gdb-all");
    expect(debugger, "QTDP:1:1000:E:0:0", "E.tracepoints need one port per machine: use --gdb without --gdb-all");
    assert_null(strstr(fake_debugger_ask(debugger, "", "qSupported"), "Tracepoints"));
    fake_debugger_packet(debugger, "QTinit");
    fake_debugger_run(debugger);
    assert_int_equal(debugger->reply_count, 2);
    assert_int_equal(debugger->replies[0].text[0], 'O');
    assert_string_equal(debugger->replies[1].text, "E01");
    fake_debugger_free(debugger);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_debugger_of_one, fake_debugger_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(hits_do_not_stop),
        TEST(frames_answer_instead_of_the_machine),
        TEST(frames_cannot_be_changed),
        TEST(without_registers_there_is_rip),
        TEST(memory_that_is_not_there_is_left_out),
        TEST(readonly_memory_needs_no_collecting),
        TEST(conditions_choose),
        TEST(variables_count),
        TEST(variables_are_bounded),
        TEST(stopping_takes_the_breakpoints_away),
        TEST(pass_counts_end_it),
        TEST(what_cannot_be_evaluated_ends_it),
        TEST(actions_that_fail_end_it),
        TEST(a_full_buffer_ends_it),
        TEST(a_circular_buffer_keeps_the_last),
        TEST(it_ends_with_the_debugger_unless_asked),
        TEST(breakpoints_at_the_same_place),
        TEST(where_it_continues_is_a_hit_only_if_put_there),
        TEST(steps_onto_one_are_hits),
        TEST(steps_are_recorded),
        TEST(a_range_that_is_left_while_steps_are_recorded),
        TEST(frames_are_found),
        TEST(the_buffer_can_be_fetched),
        TEST(a_restart_forgets_steps),
        cmocka_unit_test(several_machines_have_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
