/* Breakpoints and queries, and what holds for every command, against the fake machines. */
#include "fake_debugger.h"
#include "packets/dispatch.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

#define TEXTS "error-message+"
#define MULTI "multiprocess+;error-message+"

/* --- break- and watchpoints --- */

static void breakpoints_are_set_and_cleared(void **state)
{
    struct fake_debugger *debugger = *state;

    for (char kind = '0'; kind <= '4'; kind++) {
        char packet[] = "Z0,1234,1";

        packet[1] = kind;
        fake_debugger_packet(debugger, packet);
        fake_debugger_packet(debugger, packet);
    }
    fake_debugger_run(debugger);
    for (unsigned i = 0; i < 10; i++)
        assert_string_equal(debugger->replies[i].text, "OK");
    assert_int_equal(fake_target_breaks(&debugger->fake, 1), 5);
    assert_int_equal(fake_target_breaks(&debugger->fake, 2), 0);
    for (char kind = '0'; kind <= '4'; kind++) {
        char packet[] = "z0,1234,1";

        packet[1] = kind;
        assert_string_equal(fake_debugger_ask(debugger, TEXTS, packet), "OK");
        assert_string_equal(fake_debugger_ask(debugger, TEXTS, packet), "OK");
    }
    assert_int_equal(fake_target_breaks(&debugger->fake, 1), 0);
}

static void refused_breakpoints_say_why(void **state)
{
    struct fake_debugger *debugger = *state;
    static const struct fake_exchange list[] = {
        {"Z1,1,1", "OK"},
        {"Z1,2,1", "OK"},
        {"Z1,3,1", "OK"},
        {"Z1,4,1", "OK"},
        {"Z1,5,1", "E.cannot insert: all four hardware slots are in use"},
        {"Z5,0,1", ""},
        {"z5,0,1", ""},
        {"Z2,0,0", "E.malformed packet"},
        {"Z0,0", "E.malformed packet"},
        {"Z2,0,1;X1,00", "E.malformed packet"},
        {"z0,0,1;X1,00", "E.malformed packet"},
        {"Z", "E.malformed packet"},
        {"Z0", "E.malformed packet"},
        {"Z,0,1", "E.malformed packet"},
    };

    fake_debugger_expect_each(debugger, TEXTS, list, COUNT(list));
    assert_string_equal(fake_debugger_ask(debugger, "", "Z1,5,1"), "E01");
}

/* --- queries --- */

static void features_are_negotiated(void **state)
{
    struct fake_debugger *debugger = *state;
    const char *plain = fake_debugger_ask(debugger, "", "qSupported");

    assert_non_null(strstr(plain, "PacketSize=20000"));
    assert_null(strstr(plain, "multiprocess"));
    assert_null(strstr(plain, "error-message"));
    assert_non_null(
        strstr(fake_debugger_ask(debugger, "", "qSupported:multiprocess+;xmlRegisters=i386"), "multiprocess+"));
    assert_non_null(strstr(fake_debugger_ask(debugger, "", "qSupported:error-message+"), "error-message+"));
    assert_null(strstr(fake_debugger_ask(debugger, "", "qSupported:multiprocess-;multiprocess"), "multiprocess"));
}

static void unknown_packets_get_the_empty_reply(void **state)
{
    static const char *const unknown[] = {"vMustReplyEmpty",
                                          "vUnknown",
                                          "qTStatus",
                                          "QNonStop",
                                          "b",
                                          "r",
                                          "qSymbol::",
                                          "qHostInfo",
                                          "jLLDB",
                                          "vFile:size:00",
                                          "qXfer:auxv:read::0,10",
                                          "QAgent:1",
                                          "qOffsets",
                                          "A1,0,00",
                                          "Hx0",
                                          "\x7f",
                                          "R00"};

    for (size_t i = 0; i < COUNT(unknown); i++) {
        assert_string_equal(fake_debugger_ask(*state, MULTI, unknown[i]), "");
        assert_int_equal(((struct fake_debugger *)*state)->reply_count, 2);
    }
}

static void switches_are_checked(void **state)
{
    static const struct fake_exchange list[] = {
        {"QThreadEvents:1", "OK"},
        {"QThreadEvents:0", "OK"},
        {"QThreadEvents:2", "E.malformed packet"},
        {"QPassSignals:e;10", "OK"},
        {"QPassSignals:", "OK"},
        {"QPassSignals:100", "E.malformed packet"},
        {"QPassSignals:e,10", "E.malformed packet"},
        {"QProgramSignals:0;1;ff", "OK"},
        {"QProgramSignals:x", "E.malformed packet"},
        {"vCtrlC", "OK"},
        {"!", "OK"},
    };

    fake_debugger_expect_each(*state, TEXTS, list, COUNT(list));
}

static void threads_are_machines(void **state)
{
    static const struct fake_exchange multi[] = {
        {"qC", "QCp1.1"},
        {"qfThreadInfo", "mp1.1,p2.2"},
        {"qsThreadInfo", "l"},
        {"qThreadExtraInfo,p2.2", "613c62"},
        {"qThreadExtraInfo,p3.3", "E.no such thread"},
        {"Tp1.1", "OK"},
        {"Tp1.2", "E.no such thread"},
        {"Tp9.9", "E.no such thread"},
        {"T", "E.malformed packet"},
        {"Tx", "E.malformed packet"},
        {"Tp1", "OK"}, /* all threads of the process: the one */
        {"Hgp2.2", "OK"},
        {"Hgp2.-1", "OK"},
        {"Hgp0.0", "OK"},
        {"Hc-1", "OK"},
        {"Hcp-1.-1", "OK"},
        {"Hg3", "E.no such thread"},
        {"Hgp2.1", "E.no such thread"},
        {"Hg", "E.malformed packet"},
        {"H", ""},
        {"Hgp1.1x", "E.malformed packet"},
        {"Hg100000000", "E.malformed packet"},
        {"qAttached", "0"},
        {"qAttached:2", "0"},
        {"qAttached:3", "E.there is no VM 3"},
        {"qAttached:x", "E.malformed packet"},
        {"qXfer:threads:read::0,fff",
         "l<threads><thread id=\"p1.1\" name=\"hello\"/><thread id=\"p2.2\" name=\"a&#60;b\"/></threads>"},
    };
    static const struct fake_exchange single[] = {
        {"qC", "QC1"}, {"qfThreadInfo", "m1,2"}, {"T2", "OK"}, {"T3", "E03"}, {"qXfer:threads:read::0,9", "m<threads>"},
    };

    fake_debugger_expect_each(*state, MULTI, multi, COUNT(multi));
    fake_debugger_expect_each(*state, "", single, COUNT(single));
}

static void the_selected_machine_answers(void **state)
{
    struct fake_debugger *debugger = *state;

    static const struct fake_exchange list[] = {
        {"m4000,1", "90"}, {"Hg2", "OK"}, {"m4000,1", "42"}, {"Z0,1,1", "OK"}, {"P0=0100000000000000", "OK"},
    };

    fake_machine(&debugger->fake, 2)->memory[0x4000] = 0x42;
    fake_debugger_expect_session(debugger, list, COUNT(list));
    assert_int_equal(fake_target_breaks(&debugger->fake, 2), 1);
    assert_int_equal(fake_machine(&debugger->fake, 2)->regs.general.gpr[MH_RAX], 1);
    assert_int_equal(fake_machine(&debugger->fake, 1)->regs.general.gpr[MH_RAX], 0);
}

static void documents_come_in_parts(void **state)
{
    struct fake_debugger *debugger = *state;
    char whole[0x10000] = "", packet[64];
    const char *part;

    do {
        snprintf(packet, sizeof packet, "qXfer:features:read:target.xml:%zx,ff", strlen(whole));
        part = fake_debugger_ask(debugger, "", packet);
        assert_true(part[0] == 'm' || part[0] == 'l');
        strcat(whole, part + 1);
    } while (part[0] == 'm');
    assert_string_equal(whole, fake_debugger_ask(debugger, "", "qXfer:features:read:target.xml:0,fffff") + 1);
    assert_non_null(strstr(whole, "</target>"));
}

static void documents_are_asked_for_correctly(void **state)
{
    static const struct fake_exchange list[] = {
        {"qXfer:features:read:other.xml:0,10", "E.no such document"},
        {"qXfer:features:read:target.xml:0", "E.malformed packet"},
        {"qXfer:features:read:target.xml", "E.malformed packet"},
        {"qXfer:features:read:target.xml:0,10,", "E.malformed packet"},
        {"qXfer:features:read:target.xml:fffffffffffffff,10", "E.no such part of the document"},
        {"qXfer:threads:read::ffffff,1", "E.no such part of the document"},
        {"qXfer:exec-file:read::0,fff", "l/guests/hello.elf"},
        {"qXfer:exec-file:read:2:0,fff", "l/guests/hello.elf"},
        {"qXfer:exec-file:read:9:0,fff", "E.no such document"},
        {"qXfer:exec-file:read:x:0,fff", "E.no such document"},
        {"qXfer:exec-file:read:1:f,1", "ml"},
        {"qXfer:exec-file:read:1:10,1", "lf"},
        {"qXfer:exec-file:read:1:11,1", "l"},
        {"qXfer:exec-file:read:1:10,0", "m"},
    };

    fake_debugger_expect_each(*state, TEXTS, list, COUNT(list));
    ((struct fake_debugger *)*state)->fake.flat = true;
    assert_string_equal(fake_debugger_ask(*state, TEXTS, "qXfer:exec-file:read:1:0,fff"), "E.no such document");
}

static void the_memory_map_never_hides_what_a_guest_maps(void **state)
{
    const char *map = fake_debugger_ask(*state, "", "qXfer:memory-map:read::0,fff");

    assert_non_null(strstr(map, "start=\"0x0\" length=\"0x800000000000\""));
    assert_non_null(strstr(map, "start=\"0xffff800000000000\" length=\"0x800000000000\""));
}

/* --- all of them --- */

/* Whatever is cut off a packet, there is exactly one reply, well formed. */
static void every_prefix_of_every_packet_is_answered(void **state)
{
    static const char *const packets[] = {
        "qSupported:multiprocess+;swbreak+;hwbreak+;error-message+",
        "Hgp1.1",
        "Hcp-1.-1",
        "m1000,4",
        "x1000,4",
        "M1000,2:0102",
        "X1000,2:ab",
        "P10=0010000000000000",
        "p10",
        "Z2,1234,4",
        "z2,1234,4",
        "qCRC:0,10",
        "qSearch:memory:0;10;ab",
        "qXfer:features:read:target.xml:0,10",
        "qXfer:threads:read::0,10",
        "qXfer:memory-map:read::0,10",
        "qXfer:exec-file:read:1:0,10",
        "vFile:setfs:0",
        "vFile:open:6e,0,0",
        "vFile:pread:0,10,0",
        "vFile:fstat:0",
        "vFile:close:0",
        "qRcmd,68656c70",
        "QPassSignals:e;10",
        "QProgramSignals:0;1",
        "QThreadEvents:1",
        "qThreadExtraInfo,p1.1",
        "Qqemu.PhyMemMode:1",
        "qAttached:1",
        "Tp1.1",
        "vAttach;1",
        "vRun;",
        "vCont?",
        "vMustReplyEmpty",
        "qfThreadInfo",
        "qsThreadInfo",
        "QTinit",
        "QTDP:1:1010:E:2:3:X3,220127-",
        "QTDP:-1:1010:R3M-1,5000,8-",
        "QTDPsrc:1:1010:at:0:1:61",
        "QTDV:1:5:0:61",
        "QTro:5000,5010:6000,6010",
        "QTEnable:1:1010",
        "QTDisable:1:1010",
        "QTNotes:user:61;notes:62;tstop:63;",
        "QTBuffer:size:1000",
        "QTBuffer:circular:1",
        "QTDisconnected:1",
        "QTStart",
        "QTStop",
        "QTFrame:outside:1000:1011",
        "QTFrame:ffffffff",
        "qTStatus",
        "qTP:1:1010",
        "qTV:1",
        "qTfP",
        "qTsP",
        "qTfV",
        "qTsV",
        "qTBuffer:0,10",
        "qXfer:traceframe-info:read::0,10",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(packets); i++) {
        for (size_t length = 0; length <= strlen(packets[i]); length++) {
            struct fake_debugger *debugger = fake_debugger_new(1);
            char prefix[128];

            snprintf(prefix, sizeof prefix, "%.*s", (int)length, packets[i]);
            fake_debugger_packet(debugger, prefix);
            fake_debugger_packet(debugger, "qC");
            fake_debugger_run(debugger);
            assert_true(debugger->reply_count >= 2);
            assert_memory_equal(fake_debugger_last(debugger, 0)->text, "QC", 2);
            for (unsigned reply = 0; reply < debugger->reply_count; reply++)
                assert_true(debugger->replies[reply].checksum_ok);
            fake_debugger_free(debugger);
        }
    }
}

/* Replies to packets: without what refusals say on the console. */
static unsigned answers(const struct fake_debugger *debugger)
{
    unsigned count = 0;

    for (unsigned i = 0; i < debugger->reply_count; i++)
        count += debugger->replies[i].text[0] != 'O' || strcmp(debugger->replies[i].text, "OK") == 0;
    return count;
}

static void packets_with_all_bytes_do_no_harm(void **state)
{
    struct fake_debugger *debugger = *state;
    size_t count;
    const struct gdb_command *table = gdb_command_table(&count);

    for (size_t i = 0; i < count; i++) {
        char packet[512];
        size_t length = (size_t)snprintf(packet, sizeof packet, "%s", table[i].name);

        if (table[i].run == gdb_command_find(gdb_text_of("k"), &(struct gdb_text){0})->run)
            continue;
        if (table[i].separator)
            packet[length++] = table[i].separator;
        for (unsigned byte = 0; byte < 256; byte++)
            packet[length++] = (char)byte;
        fake_debugger_binary_packet(debugger, packet, length);
    }
    fake_debugger_packet(debugger, "qC");
    fake_debugger_run(debugger);
    assert_int_equal(answers(debugger), count);
    assert_string_equal(fake_debugger_last(debugger, 0)->text, "QC1");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fake_debugger_of_two, fake_debugger_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(breakpoints_are_set_and_cleared),
        TEST(refused_breakpoints_say_why),
        TEST(features_are_negotiated),
        TEST(unknown_packets_get_the_empty_reply),
        TEST(switches_are_checked),
        TEST(threads_are_machines),
        TEST(the_selected_machine_answers),
        TEST(documents_come_in_parts),
        TEST(documents_are_asked_for_correctly),
        TEST(the_memory_map_never_hides_what_a_guest_maps),
        cmocka_unit_test(every_prefix_of_every_packet_is_answered),
        TEST(packets_with_all_bytes_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
