/* Non-stop mode, against two fake machines: nops from 1000 on, a hlt at 1fff. */
#include "fake_debugger.h"
#include "protocol/hex.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FEATURES "qSupported:multiprocess+;swbreak+;hwbreak+;error-message+"
#define RUNNING(vm) "E.VM " vm " is running; interrupt it first"
#define PRINT_RAX "X11,260000220022003401000525645c6e0027" /* printf("%d\n", rax) */

/* A packet to be sent; or, with `packet` NULL, a notification that comes by itself. Replies start with `reply`. */
struct exchange {
    const char *packet, *reply;
};

/* What a debugger does first, and how it gets to know both machines: of the second when it has connected. */
#define CONNECT                                                                                                        \
    {FEATURES, "PacketSize"}, {"QNonStop:1", "OK"}, {"qfThreadInfo", "mp1.1"}, {"?", "T00thread:p1.1;"},               \
        {"vStopped", "OK"}, {"qfThreadInfo", "mp1.1"}, {"vCont;t:p1.1", "OK"}, {NULL, "%Stop:T00thread:p2.2;"},        \
    {                                                                                                                  \
        "vStopped", "OK"                                                                                               \
    }
#define CONNECTED 9u /* replies to that */

static void talk(struct fake_debugger *debugger, const struct exchange *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (list[i].packet != NULL)
            fake_debugger_packet(debugger, list[i].packet);
    fake_debugger_run_by_packets(debugger);
    for (size_t i = 0; i < count && i < debugger->reply_count; i++)
        if (strncmp(debugger->replies[i].text, list[i].reply, strlen(list[i].reply)) != 0)
            fail_msg("%u, %s: got \"%s\", not \"%s\"", (unsigned)i, list[i].packet, debugger->replies[i].text,
                     list[i].reply);
    for (unsigned i = 0; i < debugger->reply_count; i++)
        assert_true(debugger->replies[i].checksum_ok);
    assert_int_equal(debugger->reply_count, count);
}

#define TALK(debugger, ...)                                                                                            \
    do {                                                                                                               \
        const struct exchange talk_list[] = {__VA_ARGS__};                                                             \
        talk(debugger, talk_list, COUNT(talk_list));                                                                   \
    } while (0)

static void spin(struct fake_debugger *debugger, unsigned vm)
{
    memcpy(fake_machine(&debugger->fake, vm)->memory + FAKE_START, "\xeb\xfe", 2);
}

static unsigned interrupts(struct fake_debugger *debugger, unsigned vm)
{
    return fake_machine(&debugger->fake, vm)->interrupts;
}

static void it_is_a_choice(void **state)
{
    struct fake_debugger *debugger = *state;
    static const struct fake_exchange all_stop[] = {
        {"QNonStop", ""},     {"QNonStop:2", "E16"},    {"QNonStop:", "E16"}, {"vStopped", ""},
        {"QNonStop:0", "OK"}, {"qfThreadInfo", "m1,2"}, {"vStopped", ""},
    };

    assert_non_null(strstr(fake_debugger_ask(debugger, "", "qSupported:"), ";QNonStop+"));
    fake_debugger_expect_session(debugger, all_stop, COUNT(all_stop));
}

static void machines_are_announced_one_by_one(void **state)
{
    struct fake_debugger *debugger = *state;

    TALK(debugger, CONNECT, {"qfThreadInfo", "mp1.1"}, {"qXfer:threads:read::0,1000", "l<threads><thread id=\"p1.1\""},
         {"qAttached:2", "0"}, {"qfThreadInfo", "mp1.1,p2.2"}, {"vStopped", "OK"});
    assert_null(strstr(debugger->replies[CONNECTED + 1].text, "p2.2"));
    TALK(debugger, CONNECT, {"Hgp2.2", "OK"}, {"qfThreadInfo", "mp1.1,p2.2"});
}

static void each_runs_and_stops_alone(void **state)
{
    struct fake_debugger *debugger = *state;

    spin(debugger, 1);
    TALK(debugger, CONNECT, {"vCont;c:p1.1", "OK"}, {"Hgp2.2", "OK"}, {"p10", "0010000000000000"},
         {"vCont;s:p2.2", "OK"}, {NULL, "%Stop:T05thread:p2.2;"}, {"vStopped", "OK"}, {"p10", "0110000000000000"},
         {"vCont;r1001,1008:p2.2", "OK"}, {NULL, "%Stop:T05thread:p2.2;"}, {"vStopped", "OK"},
         {"p10", "0810000000000000"});
    assert_int_equal(fake_machine(&debugger->fake, 1)->resumes, 1);
    /* by the end of the session */
    assert_int_equal(interrupts(debugger, 1), 1);
}

static void a_breakpoint_stops_one(void **state)
{
    struct fake_debugger *debugger = *state;

    spin(debugger, 2);
    TALK(debugger, CONNECT, {"Hgp1.1", "OK"}, {"Z0,1010,1", "OK"}, {"vCont;c", "OK"},
         {NULL, "%Stop:T05swbreak:;thread:p1.1;"}, {"vStopped", "OK"}, {"Hgp2.2", "OK"}, {"g", RUNNING("2")});
    assert_int_equal(fake_machine(&debugger->fake, 2)->resumes, 1);
}

static void registers_of_a_running_one_are_refused(void **state)
{
    struct fake_debugger *debugger = *state;

    spin(debugger, 1);
    TALK(debugger, CONNECT, {"Hgp1.1", "OK"}, {"vCont;c:p1.1", "OK"}, {"g", RUNNING("1")}, {"p0", RUNNING("1")},
         {"P0=0", RUNNING("1")}, {"G00", RUNNING("1")});
    assert_int_equal(interrupts(debugger, 1), 1);
}

/* It is stopped for a moment each time. */
static void memory_of_a_running_one_is_accessible(void **state)
{
    struct fake_debugger *debugger = *state;

    spin(debugger, 1);
    TALK(debugger, CONNECT, {"Hgp1.1", "OK"}, {"vCont;c:p1.1", "OK"}, {"m1000,2", "ebfe"}, {"M5000,1:41", "OK"},
         {"m5000,1", "41"}, {"qMemoryRegionInfo:1000", "start:1000;"}, {"qSearch:memory:5000;10;A", "1,5000"},
         {"Z0,1800,1", "OK"}, {"z0,1800,1", "OK"}, {"qXfer:features:read:target.xml:0,10", "m"},
         {"vFile:open:6e6f7465732e747874,0,0", "F0"}, {"vFile:pread:0,4,0", "F4;what"}, {"vFile:close:0", "F0"},
         {"qRcmd,6d6170", "O6d61"}, {NULL, "OK"}, {"qTStatus", ""});
}

static void a_breakpoint_can_be_set_while_it_runs(void **state)
{
    struct fake_debugger *debugger = *state;

    spin(debugger, 1);
    TALK(debugger, CONNECT, {"Hgp1.1", "OK"}, {"vCont;c:p1.1", "OK"}, {"Z0,1000,1", "OK"},
         {NULL, "%Stop:T05swbreak:;thread:p1.1;"}, {"vStopped", "OK"}, {"z0,1000,1", "OK"}, {"p10", "00100000"});
}

/* A stop of its own that comes when it is to be stopped for a moment. */
static void a_stop_is_not_lost_in_a_pause(void **state)
{
    struct fake_debugger *debugger = *state;

    fake_target_limit(&debugger->fake, 1, 1);
    TALK(debugger, CONNECT, {"Hgp1.1", "OK"}, {"vCont;r1000,1004:p1.1", "OK"}, {"m1000,1", "90"}, {"m1000,1", "90"},
         {NULL, "%Stop:T05thread:p1.1;"}, {"vStopped", "OK"}, {"p10", "0410000000000000"});
}

static void asked_to_stop_they_stop_without_a_signal(void **state)
{
    struct fake_debugger *debugger = *state;

    spin(debugger, 1);
    spin(debugger, 2);
    TALK(debugger, CONNECT, {"vCont;c", "OK"}, {"vCont;t:p2.2", "OK"}, {NULL, "%Stop:T00thread:p2.2;"},
         {"vStopped", "OK"}, {"vCont;t:p2.2", "OK"}, {"Hgp1.1", "OK"}, {"p0", RUNNING("1")}, {"vCont;t", "OK"},
         {NULL, "%Stop:T00thread:p1.1;"}, {"vStopped", "OK"});
}

static void an_interrupt_is_for_all(void **state)
{
    struct fake_debugger *debugger = *state;

    spin(debugger, 1);
    spin(debugger, 2);
    TALK(debugger, CONNECT, {"vCont;c", "OK"}, {"vCtrlC", "OK"}, {NULL, "%Stop:T02thread:p1.1;"}, {"vStopped", "OK"},
         {NULL, "%Stop:T02thread:p2.2;"}, {"vStopped", "OK"}, {"vCtrlC", "OK"});
}

static void the_old_interrupt_works_too(void **state)
{
    struct fake_debugger *debugger = *state;

    spin(debugger, 1);
    fake_debugger_packet(debugger, FEATURES);
    fake_debugger_packet(debugger, "QNonStop:1");
    fake_debugger_packet(debugger, "vCont;c:p1.1");
    fake_debugger_raw(debugger, "\x03", 1);
    fake_debugger_packet(debugger, "vStopped");
    fake_debugger_run_by_packets(debugger);
    assert_memory_equal(debugger->replies[3].text, "%Stop:T02thread:p1.1;", 21);
}

/* The debugger cannot mean a machine of whose stop it does not know yet. */
static void what_is_not_acknowledged_stays_stopped(void **state)
{
    struct fake_debugger *debugger = *state;

    TALK(debugger, CONNECT, {"vCont;s:p1.1", "OK"}, {NULL, "%Stop:T05thread:p1.1;"}, {"vCont;s", "OK"},
         {"vStopped", "OK"}, {NULL, "%Stop:T05thread:p2.2;"}, {"vStopped", "OK"}, {"vCont;s", "OK"},
         {NULL, "%Stop:T05thread:p1.1;"}, {"vStopped", "OK"}, {NULL, "%Stop:T05thread:p2.2;"}, {"vStopped", "OK"});
    assert_int_equal(fake_machine(&debugger->fake, 1)->regs.general.rip, 0x1002);
    assert_int_equal(fake_machine(&debugger->fake, 2)->regs.general.rip, 0x1002);
}

static void what_runs_is_not_resumed(void **state)
{
    struct fake_debugger *debugger = *state;

    spin(debugger, 1);
    TALK(debugger, CONNECT, {"vCont;c:p1.1", "OK"}, {"vCont;C0f:p1.1", "OK"}, {"vCont;s", "OK"},
         {NULL, "%Stop:T05thread:p2.2;"}, {"vStopped", "OK"});
    assert_int_equal(fake_machine(&debugger->fake, 1)->resumes, 1);
    assert_int_equal(fake_machine(&debugger->fake, 1)->kills, 0);
}

static void ends_are_reported(void **state)
{
    struct fake_debugger *debugger = *state;

    TALK(debugger, CONNECT, {"Hgp2.2", "OK"}, {"vCont;c:p1.1", "OK"}, {NULL, "%Stop:W00;process:1"}, {"vStopped", "OK"},
         {"qfThreadInfo", "mp2.2"}, {"vCont;C0f:p2.2", "OK"}, {NULL, "%Stop:X0f;process:2"}, {"vStopped", "OK"});
    assert_int_equal(debugger->end, GDB_SESSION_DETACHED);
}

static void a_held_machine_ends_when_it_is_continued(void **state)
{
    struct fake_debugger *debugger = *state;

    debugger->machines.hold = true;
    TALK(debugger, CONNECT, {"vCont;c:p1.1", "OK"}, {NULL, "%Stop:T05thread:p1.1;"}, {"vStopped", "OK"},
         {"vCont;c:p1.1", "OK"}, {NULL, "%Stop:W00;process:1"}, {"vStopped", "OK"});
}

static void a_signal_to_be_passed_ends_one(void **state)
{
    struct fake_debugger *debugger = *state;

    memcpy(fake_machine(&debugger->fake, 1)->memory + FAKE_START, "\x0f\x0b", 2);
    TALK(debugger, CONNECT, {"QPassSignals:4", "OK"}, {"vCont;c:p1.1", "OK"}, {NULL, "%Stop:X04;process:1"},
         {"vStopped", "OK"}, {"QPassSignals:", "OK"});
}

static void processes_come_and_go_while_others_run(void **state)
{
    struct fake_debugger *debugger = *state;

    spin(debugger, 1);
    spin(debugger, 2);
    TALK(debugger, CONNECT, {"!", "OK"}, {"vCont;c", "OK"}, {"D;2", "OK"}, {"vAttach;2", "OK"},
         {NULL, "%Stop:T00thread:p2.2;"}, {"vStopped", "OK"}, {"vCont;c:p2.2", "OK"}, {"vKill;2", "OK"},
         {"qfThreadInfo", "mp1.1"}, {"Hgp1.1", "OK"}, {"p0", RUNNING("1")}, {"vCont;t", "OK"},
         {NULL, "%Stop:T00thread:p1.1;"}, {"vStopped", "OK"}, {"vRun;", "T05thread:p1.1;"}, {"vCont;s:p1.1", "OK"},
         {NULL, "%Stop:T05thread:p1.1;"}, {"vStopped", "OK"});
    assert_int_equal(fake_machine(&debugger->fake, 2)->kills, 1);
}

static void all_can_be_killed_while_they_run(void **state)
{
    struct fake_debugger *debugger = *state;

    spin(debugger, 1);
    spin(debugger, 2);
    TALK(debugger, CONNECT, {"vCont;c", "OK"}, {"k", "X09"});
    assert_int_equal(fake_machine(&debugger->fake, 1)->kills, 1);
    assert_int_equal(fake_machine(&debugger->fake, 2)->kills, 1);
}

static void all_stop_again(void **state)
{
    struct fake_debugger *debugger = *state;

    spin(debugger, 1);
    TALK(debugger, CONNECT, {"vCont;c:p1.1", "OK"}, {"QNonStop:0", "OK"}, {"Hgp1.1", "OK"}, {"p10", "0010000000000000"},
         {"?", "T05thread:p1.1;"}, {"vCont;s:p1.1", "T05thread:p1.1;"});
    assert_int_equal(fake_machine(&debugger->fake, 1)->resumes, 2);
}

static void it_goes_backwards(void **state)
{
    struct fake_debugger *debugger = *state;

    debugger->fake.keeps_history = true;
    spin(debugger, 2);
    TALK(debugger, CONNECT, {"vCont;c:p2.2", "OK"}, {"Hcp1.1", "OK"}, {"vCont;s:p1.1", "OK"},
         {NULL, "%Stop:T05thread:p1.1;"}, {"vStopped", "OK"}, {"bc", "OK"},
         {NULL, "%Stop:T05replaylog:begin;thread:p1.1;"}, {"vStopped", "OK"});
}

/* It runs on from there. */
static void a_running_one_goes_elsewhere(void **state)
{
    struct fake_debugger *debugger = *state;
    static const char packet[] = "qRcmd,676f746f207374617274"; /* goto start */
    static const char reply[] =
        "O564d203120686173206265656e206d6f7665642e2049742072756e73206f6e2066726f6d2074686572652e0a";

    debugger->fake.keeps_history = true;
    fake_target_limit(&debugger->fake, 1, 100);
    TALK(debugger, CONNECT, {"Hgp1.1", "OK"}, {"vCont;c:p1.1", "OK"}, {packet, reply}, {NULL, "OK"}, {"vCtrlC", "OK"},
         {NULL, "%Stop:T02thread:p1.1;"}, {"vStopped", "OK"});
    assert_int_equal(fake_machine(&debugger->fake, 1)->position, 200);
}

/* --- what the protocol has no place for --- */

struct notes {
    char text[1024];
    size_t length;
};

static void note(void *ctx, const struct gdb_machine *machine, const char *text, size_t length)
{
    struct notes *notes = ctx;

    notes->length += (size_t)snprintf(notes->text + notes->length, sizeof notes->text - notes->length, "%u: %.*s",
                                      machine->vm, (int)length, text);
}

static void texts_go_elsewhere(void **state)
{
    struct fake_debugger *debugger = *state;
    struct notes notes = {.length = 0};

    debugger->machines.print = note;
    debugger->machines.print_ctx = &notes;
    debugger->fake.talks = true;
    memcpy(fake_machine(&debugger->fake, 1)->memory + 0x1011, "\x0f\x0b", 2);
    TALK(debugger, CONNECT, {"Hgp1.1", "OK"}, {"Z0,1010,1;cmds:0," PRINT_RAX, "OK"}, {"vCont;c:p1.1", "OK"},
         {NULL, "%Stop:T04thread:p1.1;"}, {"vStopped", "OK"});
    assert_string_equal(notes.text, "1: running\n1: 0\n1: the guest crashed\n1: badly\n");
}

/* --- any order --- */

/* Packets in any order get one reply each, and stops are only reported one by one. All are made up beforehand. */
static void random_talk_is_consistent(void **state)
{
    struct fake_debugger *debugger = *state;
    static const char *const packets[] = {"vStopped",     "vCont;c",   "vCont;s:p1.1", "vCont;c:p2.2", "vCont;t:p1.1",
                                          "vCont;t:p2.2", "m1000,1",   "Hgp1.1",       "Hgp2.2",       "vStopped",
                                          "vCont;s",      "Z0,1010,1", "z0,1010,1",    "vCont;s:p2.2", "vStopped"};
    unsigned stops = 0, acknowledged = 0, seed = 1;

    spin(debugger, 1);
    memcpy(fake_machine(&debugger->fake, 2)->memory + 0x1020, "\xeb\xfe", 2);
    for (unsigned round = 0; round < 12; round++) {
        char sent[128][16];
        unsigned count = 0, replies = 0;
        bool notified = false;

        fake_debugger_packet(debugger, FEATURES);
        fake_debugger_packet(debugger, "QNonStop:1");
        for (; count < 120; count++) {
            seed = seed * 1103515245u + 12345u;
            snprintf(sent[count], sizeof sent[count], "%s", packets[(seed >> 16) % COUNT(packets)]);
            fake_debugger_packet(debugger, sent[count]);
        }
        fake_debugger_run_by_packets(debugger);
        for (unsigned i = 2; i < debugger->reply_count; i++) {
            const char *text = debugger->replies[i].text;

            if (text[0] == '%') {
                assert_false(notified);
                notified = true;
                stops++;
                continue;
            }
            if (strcmp(sent[replies], "vStopped") == 0) {
                acknowledged += notified;
                notified = false;
            }
            if (text[0] == 'E')
                fail_msg("%s: %s", sent[replies], text);
            replies++;
        }
        assert_int_equal(replies, count);
        assert_true(gdb_machine_is_stopped(&debugger->list[0]) && gdb_machine_is_stopped(&debugger->list[1]));
    }
    assert_true(stops > 120 && acknowledged > 100);
}

#define TWO(function) cmocka_unit_test_setup_teardown(function, fake_debugger_of_two, fake_debugger_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TWO(it_is_a_choice),
        TWO(machines_are_announced_one_by_one),
        TWO(each_runs_and_stops_alone),
        TWO(a_breakpoint_stops_one),
        TWO(registers_of_a_running_one_are_refused),
        TWO(memory_of_a_running_one_is_accessible),
        TWO(a_breakpoint_can_be_set_while_it_runs),
        TWO(a_stop_is_not_lost_in_a_pause),
        TWO(asked_to_stop_they_stop_without_a_signal),
        TWO(an_interrupt_is_for_all),
        TWO(the_old_interrupt_works_too),
        TWO(what_is_not_acknowledged_stays_stopped),
        TWO(what_runs_is_not_resumed),
        TWO(ends_are_reported),
        TWO(a_held_machine_ends_when_it_is_continued),
        TWO(a_signal_to_be_passed_ends_one),
        TWO(processes_come_and_go_while_others_run),
        TWO(all_can_be_killed_while_they_run),
        TWO(all_stop_again),
        TWO(it_goes_backwards),
        TWO(a_running_one_goes_elsewhere),
        TWO(texts_go_elsewhere),
        TWO(random_talk_is_consistent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
