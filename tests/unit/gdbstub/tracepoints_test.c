/* Defining tracepoints: QTDP and QTDPsrc, what is refused, and what a later debugger receives. */
#include "fake_debugger.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

#define RICH "error-message+"
#define MALFORMED "E.malformed tracepoint, or expression longer than 4096 bytes"
#define TRUE "X3,220127"

static void ok(struct fake_debugger *debugger, const char *packet)
{
    fake_debugger_expect(debugger, RICH, packet, "OK");
}

static struct gdb_tracepoints *points_of(struct fake_debugger *debugger)
{
    return &debugger->machines.trace.tracepoints;
}

static void all_that_belongs_to_one(void **state)
{
    static const char *const told[] = {
        "T3:1010:E:2:5:X3,220127",
        "A3:1010:R03FF",
        "A3:1010:M-1,5000,8MFFFFFFFF,6000,4M7,fffffffffffffff8,8",
        "S3:1010:M6,0,10X00000003,220127",
        "S3:1010:R1",
        "Z3:1010:at:0:5:706c616365",
        "T3:2000:D:0:0",
        "l",
        "l",
    };
    struct fake_debugger *debugger = *state;

    ok(debugger, "QTDP:3:1010:E:2:5:" TRUE "-");
    ok(debugger, "QTDP:-3:1010:R03FF-");
    fake_debugger_expect(debugger, RICH, "QTDP:-3:1010:M7,-8,8-", MALFORMED);
    ok(debugger, "QTDP:-3:1010:M-1,5000,8MFFFFFFFF,6000,4M7,fffffffffffffff8,8-");
    ok(debugger, "QTDP:-3:1010:SM6,0,10X00000003,220127-");
    ok(debugger, "QTDP:-3:1010:R1");
    ok(debugger, "QTDPsrc:3:1010:at:0:5:706c616365");
    ok(debugger, "QTDP:3:2000:D:0:0");
    assert_int_equal(points_of(debugger)->count, 2);
    assert_int_equal(points_of(debugger)->list[0].action_count, 7);
    assert_true(points_of(debugger)->list[0].actions[4].stepping);
    assert_false(points_of(debugger)->list[0].actions[3].stepping);
    fake_debugger_packet(debugger, "qTfP");
    for (size_t i = 1; i < COUNT(told); i++)
        fake_debugger_packet(debugger, "qTsP");
    fake_debugger_run(debugger);
    for (unsigned i = 0; i < COUNT(told); i++)
        assert_string_equal(debugger->replies[i].text, told[i]);
    fake_debugger_expect(debugger, RICH, "qTfP", told[0]);
}

/* What comes next lay where the line of the new one ends. */
static void others_may_be_defined_while_they_are_told(void **state)
{
    struct fake_debugger *debugger = *state;

    fake_debugger_packet(debugger, "QTDP:1:1010:E:0:0-");
    fake_debugger_packet(debugger, "QTDP:-1:1010:R1");
    fake_debugger_packet(debugger, "qTfP");
    fake_debugger_packet(debugger, "qTsP");
    fake_debugger_packet(debugger, "QTinit");
    fake_debugger_packet(debugger, "QTDP:1:1010:E:0:0-");
    fake_debugger_packet(debugger, "QTDP:-1:1010:R11");
    fake_debugger_expect(debugger, RICH, "qTsP", "l");
}

static void what_is_malformed_changes_nothing(void **state)
{
    static const char *const packets[] = {
        "QTDP:",
        "QTDP:1",
        "QTDP:1:",
        "QTDP:1:1000",
        "QTDP:1:1000:",
        "QTDP:1:1000:X:0:0",
        "QTDP:1:1000:E",
        "QTDP:1:1000:E:",
        "QTDP:1:1000:E:0",
        "QTDP:1:1000:E:0:",
        "QTDP:1:1000:E:0:0:",
        "QTDP:1:1000:E:0:0:Z",
        "QTDP:1:1000:E:0:0:X3,2201",
        "QTDP:1:1000:E:0:0:X0,",
        "QTDP:1:1000:E:0:0:X1001,00",
        "QTDP:1:1000:E:0:0:X3,220127:X3,220127",
        "QTDP:1:1000:E:0:0x",
        "QTDP:1:1000:E:0:0-x",
        "QTDP:10000:1000:E:0:0",
        "QTDP:1:10000000000000000:E:0:0",
        "QTDPsrc:1:1000:at:0:1:61",
    };
    struct fake_debugger *debugger = *state;

    for (size_t i = 0; i < COUNT(packets); i++)
        fake_debugger_expect(debugger, RICH, packets[i], MALFORMED);
    assert_int_equal(points_of(debugger)->count, 0);
}

static void malformed_actions_are_forgotten(void **state)
{
    static const char *const actions[] = {
        "",   "S",       "R",   "Rg", "M",    "M-1", "M-1,",      "M-1,0", "M-1,0,",    "M-2,0,1",    "X",
        "X3", "X3,2201", "X0,", "Q",  "RffZ", "R1M", "M0,0,1X3,", "R1-R1", "X3,2201gg", "X1001,2727", "R1 R1",
    };
    struct fake_debugger *debugger = *state;
    char packet[128];

    ok(debugger, "QTDP:1:1000:E:0:0-");
    for (size_t i = 0; i < COUNT(actions); i++) {
        snprintf(packet, sizeof packet, "QTDP:-1:1000:%s", actions[i]);
        fake_debugger_expect(debugger, RICH, packet, MALFORMED);
    }
    fake_debugger_expect(debugger, RICH, "QTDP:-1:1000", MALFORMED);
    assert_int_equal(points_of(debugger)->list[0].action_count, 0);
    assert_true(points_of(debugger)->list[0].unfinished);
    ok(debugger, "QTDP:-1:1000:R1");
    assert_false(points_of(debugger)->list[0].actions[0].stepping);
    ok(debugger, "QTDP:2:1000:E:0:0");
    for (int length = 0; length <= 7; length++) {
        snprintf(packet, sizeof packet, "QTDPsrc:2:1000:%.*s", length, "at:0:1:");
        fake_debugger_expect(debugger, RICH, packet, length == 7 ? "OK" : MALFORMED);
    }
    fake_debugger_expect(debugger, RICH, "QTDPsrc:2:1000:cmd:0:1:6g", MALFORMED);
    fake_debugger_expect(debugger, RICH, "QTDPsrc:2:1000:what:0:1:61", MALFORMED);
}

static void what_there_is_not_is_refused(void **state)
{
    static const char kinds[] = "E.fast and static tracepoints are not supported; use trace";
    struct fake_debugger *debugger = *state;

    fake_debugger_expect(debugger, RICH, "QTDP:1:1000:E:0:0:F5", kinds);
    fake_debugger_expect(debugger, RICH, "QTDP:1:1000:E:0:0:S", kinds);
    ok(debugger, "QTDP:1:1000:E:0:0-");
    fake_debugger_expect(debugger, RICH, "QTDP:1:1000:E:0:0", "E.this tracepoint already exists at this address");
    fake_debugger_expect(debugger, RICH, "QTDP:-1:1000:L",
                         "E.?_sdata cannot be collected: static tracepoints are not supported");
}

static void actions_come_when_they_are_waited_for(void **state)
{
    static const char unasked[] = "E.actions for a tracepoint whose definition is complete";
    struct fake_debugger *debugger = *state;

    fake_debugger_expect(debugger, RICH, "QTDP:-1:1000:R1", unasked);
    ok(debugger, "QTDP:1:1000:E:0:0");
    fake_debugger_expect(debugger, RICH, "QTDP:-1:1000:R1", unasked);
    ok(debugger, "QTDP:2:1000:E:0:0-");
    fake_debugger_expect(debugger, RICH, "QTDP:-2:1001:R1", unasked);
    ok(debugger, "QTDP:3:1000:E:0:0");
    fake_debugger_expect(debugger, RICH, "QTDP:-2:1000:R1", unasked);
}

static void no_more_than_a_thousand(void **state)
{
    struct fake_debugger *debugger = *state;
    char packet[64];

    for (unsigned i = 0; i < GDB_TRACEPOINT_COUNT_MAX; i++) {
        snprintf(packet, sizeof packet, "QTDP:1:%x:E:0:0", i);
        ok(debugger, packet);
    }
    fake_debugger_expect(debugger, RICH, "QTDP:1:5000:E:0:0", "E.there can be at most 1000 tracepoints");
    ok(debugger, "QTinit");
    ok(debugger, "QTDP:1:5000:E:0:0");
}

static void no_more_than_a_megabyte(void **state)
{
    struct fake_debugger *debugger = *state;
    static char packet[0x10000];
    const char *reply = "OK";
    unsigned sent = 0;

    ok(debugger, "QTDP:1:1000:E:0:0-");
    strcpy(packet, "QTDP:-1:1000:");
    memset(packet + 13, 'f', sizeof packet - 15);
    packet[13] = 'R';
    packet[sizeof packet - 2] = '-';
    for (; strcmp(reply, "OK") == 0 && sent < 100; sent++)
        reply = fake_debugger_ask(debugger, RICH, packet);
    assert_string_equal(reply, "E.the definitions of all tracepoints can have at most 1048576 bytes");
    assert_in_range(sent, 15, 17);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_debugger_of_one, fake_debugger_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_that_belongs_to_one),           TEST(others_may_be_defined_while_they_are_told),
        TEST(what_is_malformed_changes_nothing), TEST(malformed_actions_are_forgotten),
        TEST(what_there_is_not_is_refused),      TEST(actions_come_when_they_are_waited_for),
        TEST(no_more_than_a_thousand),           TEST(no_more_than_a_megabyte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
