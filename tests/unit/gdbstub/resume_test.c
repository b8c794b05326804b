/* Running, stopping and ending, against the fake machines. */
#include "fake_debugger.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

#define RICH "swbreak+;hwbreak+;error-message+"
#define MULTI "multiprocess+;swbreak+;hwbreak+;error-message+"

/* Expedited registers of a fake machine, rip left out of the text for the tests to add. */
#define BEFORE_RIP "6:0000000000000000;7:f0ff010000000000;10:"
#define AFTER_RIP ";11:02000000;"

static void place(struct fake_debugger *debugger, unsigned vm, uint64_t address, const char *code, size_t length)
{
    memcpy(fake_machine(&debugger->fake, vm)->memory + address, code, length);
}

static void a_fresh_machine_waits(void **state)
{
    fake_debugger_expect(*state, RICH, "?", "T05thread:1;");
    fake_debugger_expect(*state, RICH, "vCont?", "vCont;c;C;s;S;t;r");
}

static void steps_are_single(void **state)
{
    struct fake_debugger *debugger = *state;

    fake_debugger_expect(debugger, RICH, "vCont;s:1", "T05thread:1;" BEFORE_RIP "0110000000000000" AFTER_RIP);
    fake_debugger_expect(debugger, RICH, "s", "T05thread:1;" BEFORE_RIP "0210000000000000" AFTER_RIP);
    fake_debugger_expect(debugger, RICH, "S00", "T05thread:1;" BEFORE_RIP "0310000000000000" AFTER_RIP);
    fake_debugger_expect(debugger, RICH, "s1800", "T05thread:1;" BEFORE_RIP "0118000000000000" AFTER_RIP);
    fake_debugger_expect(debugger, RICH, "S00;1900", "T05thread:1;" BEFORE_RIP "0119000000000000" AFTER_RIP);
    fake_debugger_expect(debugger, RICH, "vCont;r1900,1910:1", "T05thread:1;" BEFORE_RIP "1019000000000000" AFTER_RIP);
    assert_int_equal(fake_machine(&debugger->fake, 1)->resumes, 6);
}

static void breakpoints_stop(void **state)
{
    struct fake_debugger *debugger = *state;

    fake_debugger_ask(debugger, RICH, "Z0,1010,1");
    fake_debugger_expect(debugger, RICH, "vCont;c", "T05swbreak:;thread:1;" BEFORE_RIP "1010000000000000" AFTER_RIP);
    fake_debugger_ask(debugger, RICH, "z0,1010,1");
    fake_debugger_ask(debugger, RICH, "Z1,1020,1");
    fake_debugger_expect(debugger, RICH, "c", "T05hwbreak:;thread:1;" BEFORE_RIP "2010000000000000" AFTER_RIP);
    fake_debugger_ask(debugger, "", "z1,1020,1");
    fake_debugger_ask(debugger, "", "Z1,1030,1");
    fake_debugger_expect(debugger, "", "c", "T05thread:1;" BEFORE_RIP "3010000000000000" AFTER_RIP);
    fake_debugger_ask(debugger, RICH, "Z0,1038,1");
    fake_debugger_expect(debugger, RICH, "vCont;r1030,1040:1",
                         "T05swbreak:;thread:1;" BEFORE_RIP "3810000000000000" AFTER_RIP);
}

static void watchpoints_name_their_address(void **state)
{
    struct fake_debugger *debugger = *state;
    static const char *const packets[] = {"Z2,5000,1", "Z3,5001,1", "Z4,5002,4"};
    static const char *const reasons[] = {"T05watch:5000;", "T05rwatch:5001;", "T05awatch:5002;"};

    fake_machine(&debugger->fake, 1)->regs.general.gpr[MH_RDI] = 0x5000;
    place(debugger, 1, FAKE_START, "\xaa\xaa\xaa", 3);
    for (unsigned i = 0; i < 3; i++)
        fake_debugger_ask(debugger, RICH, packets[i]);
    for (unsigned i = 0; i < 3; i++)
        assert_memory_equal(fake_debugger_ask(debugger, "", "c"), reasons[i], strlen(reasons[i]));
}

static void halting_is_the_good_end(void **state)
{
    struct fake_debugger *debugger = *state;

    fake_debugger_expect(debugger, RICH, "vCont;c", "W00");
    assert_int_equal(debugger->end, GDB_SESSION_DETACHED);
    fake_debugger_expect(debugger, RICH, "?", "W00");
    fake_debugger_expect(debugger, RICH, "g", "E.VM 1 has ended; use run or monitor reset to start it again");
    fake_debugger_expect(debugger, RICH, "vCont;c", "E.no such machine, or it has ended");
    fake_debugger_expect(debugger, RICH, "m1000,1", "E.VM 1 has ended; use run or monitor reset to start it again");
    fake_debugger_expect(debugger, RICH, "qfThreadInfo", "l");
    fake_debugger_expect(debugger, RICH, "qC", "E.no such thread");
}

static void a_held_machine_stops_before_its_end(void **state)
{
    struct fake_debugger *debugger = *state;

    debugger->machines.hold = true;
    fake_debugger_expect(debugger, RICH, "vCont;c", "T05thread:1;" BEFORE_RIP "0020000000000000" AFTER_RIP);
    assert_int_equal(fake_debugger_last(debugger, 1)->text[0], 'O');
    assert_int_equal(strlen(fake_debugger_ask(debugger, RICH, "p10")), 16);
    fake_debugger_expect(debugger, RICH, "vCont;s", "W00");
    assert_int_equal(fake_machine(&debugger->fake, 1)->resumes, 1);
}

static void after_the_end_it_starts_again(void **state)
{
    struct fake_debugger *debugger = *state;
    static const char start[] = "T05thread:1;" BEFORE_RIP "0010000000000000" AFTER_RIP;

    fake_debugger_expect(debugger, RICH, "vCont;c", "W00");
    fake_debugger_expect(debugger, RICH, "vAttach;1", "E.VM 1 has ended; use run to start it again");
    fake_debugger_expect(debugger, RICH, "vRun;", start);
    fake_debugger_expect(debugger, RICH, "vCont;c", "W00");
    fake_debugger_expect(debugger, RICH, "vRun;68656c6c6f", start);               /* hello */
    fake_debugger_expect(debugger, RICH, "vRun;2f782f68656c6c6f2e656c66", start); /* /x/hello.elf */
    fake_debugger_expect(debugger, RICH, "vRun;61", "E.VM 1 runs its own image, not a");
    fake_debugger_expect(debugger, RICH, "vRun;;61", "E.VM 1 takes no arguments");
    fake_debugger_expect(debugger, RICH, "vRun;6", "E.VM 1 takes no arguments");
    debugger->fake.refuse_restart = true;
    fake_debugger_expect(debugger, RICH, "vRun;", "E.the image is gone");
    debugger->fake.refuse_restart = false;
    fake_debugger_packet(debugger, "!");
    fake_debugger_packet(debugger, "vCont;c");
    fake_debugger_packet(debugger, "qRcmd,7265736574"); /* reset */
    fake_debugger_packet(debugger, "vAttach;1");
    fake_debugger_packet(debugger, "R00");
    fake_debugger_packet(debugger, "?");
    fake_debugger_run(debugger);
    assert_string_equal(debugger->replies[1].text, "W00");
    assert_string_equal(debugger->replies[4].text, start);
    assert_string_equal(debugger->replies[5].text, "T05thread:1;");
    assert_int_equal(debugger->reply_count, 6);
    assert_int_equal(fake_machine(&debugger->fake, 1)->restarts, 5);
}

static void crashes_look_like_native_ones(void **state)
{
    static const struct {
        struct mh_stop stop;
        const char *reply;
    } crashes[] = {
        {{.kind = MH_STOP_EXCEPTION, .vector = 0}, "T08"},
        {{.kind = MH_STOP_EXCEPTION, .vector = 1}, "T05"},
        {{.kind = MH_STOP_EXCEPTION, .vector = 3}, "T05"},
        {{.kind = MH_STOP_EXCEPTION, .vector = 6}, "T04"},
        {{.kind = MH_STOP_EXCEPTION, .vector = 8}, "T0b"},
        {{.kind = MH_STOP_EXCEPTION, .vector = 11}, "T0a"},
        {{.kind = MH_STOP_EXCEPTION, .vector = 13}, "T0b"},
        {{.kind = MH_STOP_EXCEPTION, .vector = 14}, "T0b"},
        {{.kind = MH_STOP_EXCEPTION, .vector = 16}, "T08"},
        {{.kind = MH_STOP_EXCEPTION, .vector = 17}, "T0a"},
        {{.kind = MH_STOP_EXCEPTION, .vector = 19}, "T08"},
        {{.kind = MH_STOP_EXCEPTION, .vector = 200}, "T0b"},
        {{.kind = MH_STOP_RETURNED}, "T0b"},
        {{.kind = MH_STOP_TRIPLE_FAULT}, "T0b"},
        {{.kind = MH_STOP_NO_MEMORY}, "T0a"},
        {{.kind = MH_STOP_CPU_ERROR}, "T06"},
        {{.kind = MH_STOP_HOST_ERROR}, "T06"},
        {{.kind = MH_STOP_IO_ERROR}, "T06"},
    };

    for (size_t i = 0; i < COUNT(crashes); i++) {
        struct fake_debugger *debugger = *state;

        fake_target_report(&debugger->fake, 1, crashes[i].stop);
        assert_memory_equal(fake_debugger_ask(debugger, RICH, "c"), crashes[i].reply, 3);
        /* "the guest crashed\nbadly\n" before it */
        assert_string_equal(fake_debugger_last(debugger, 1)->text, "O74686520677565737420637261736865640a6261646c790a");
    }
}

static void a_crash_let_go_is_the_end(void **state)
{
    struct fake_debugger *debugger = *state;

    place(debugger, 1, FAKE_START, "\x0f\x0b", 2);
    assert_memory_equal(fake_debugger_ask(debugger, RICH, "c"), "T04", 3);
    assert_memory_equal(fake_debugger_ask(debugger, RICH, "vCont;c"), "T04", 3); /* tried again */
    fake_debugger_expect(debugger, RICH, "vCont;C04:1", "X04");
    assert_int_equal(fake_machine(&debugger->fake, 1)->kills, 1);
    fake_debugger_expect(debugger, RICH, "?", "X04");
}

static void signals_do_what_they_do_to_programs_without_handlers(void **state)
{
    struct fake_debugger *debugger = *state;

    assert_memory_equal(fake_debugger_ask(debugger, RICH, "vCont;S14"), "T05", 3); /* SIGCHLD */
    assert_memory_equal(fake_debugger_ask(debugger, RICH, "S11;1000"), "T05", 3);  /* SIGSTOP */
    fake_debugger_expect(debugger, RICH, "C0f", "X0f");
}

static void signals_the_program_may_not_get_are_dropped(void **state)
{
    struct fake_debugger *debugger = *state;

    fake_debugger_packet(debugger, "QProgramSignals:1;2");
    fake_debugger_packet(debugger, "S0b");
    fake_debugger_packet(debugger, "S02");
    fake_debugger_run(debugger);
    assert_memory_equal(debugger->replies[1].text, "T05", 3);
    assert_string_equal(debugger->replies[2].text, "X02");
}

static void crashes_nobody_wants_to_hear_of_end_at_once(void **state)
{
    struct fake_debugger *debugger = *state;

    place(debugger, 1, FAKE_START, "\x0f\x0b", 2);
    fake_debugger_packet(debugger, "QPassSignals:4");
    fake_debugger_packet(debugger, "c");
    fake_debugger_run(debugger);
    assert_string_equal(fake_debugger_last(debugger, 0)->text, "X04");
}

static void an_interrupt_stops_a_spinning_machine(void **state)
{
    struct fake_debugger *debugger = *state;

    place(debugger, 1, FAKE_START, "\xeb\xfe", 2);
    fake_debugger_packet(debugger, "c");
    fake_debugger_raw(debugger, "\x03", 1);
    fake_debugger_packet(debugger, "qC");
    fake_debugger_run(debugger);
    assert_memory_equal(debugger->replies[0].text, "T02thread:1;", 12);
    assert_string_equal(debugger->replies[1].text, "QC1");
}

static void a_packet_stops_it_too(void **state)
{
    struct fake_debugger *debugger = *state;

    place(debugger, 1, FAKE_START, "\xeb\xfe", 2);
    fake_debugger_packet(debugger, "vCont;c");
    fake_debugger_packet(debugger, "vCtrlC");
    fake_debugger_run(debugger);
    assert_memory_equal(debugger->replies[0].text, "T02", 3);
    assert_string_equal(debugger->replies[1].text, "OK");
}

static void an_interrupt_too_late_is_forgotten(void **state)
{
    struct fake_debugger *debugger = *state;

    fake_debugger_raw(debugger, "\x03\x03", 2);
    fake_debugger_packet(debugger, "s");
    fake_debugger_raw(debugger, "\x03", 1);
    fake_debugger_packet(debugger, "s");
    fake_debugger_run(debugger);
    assert_int_equal(debugger->reply_count, 2);
    assert_memory_equal(debugger->replies[0].text, "T05thread:1;", 12);
    assert_memory_equal(debugger->replies[1].text, "T05thread:1;", 12);
}

static void a_lost_connection_leaves_the_machine_stopped(void **state)
{
    struct fake_debugger *debugger = *state;

    place(debugger, 1, FAKE_START, "\xeb\xfe", 2);
    fake_debugger_packet(debugger, "c");
    fake_debugger_run(debugger);
    assert_int_equal(debugger->end, GDB_SESSION_LOST);
    assert_true(gdb_machine_is_stopped(&debugger->list[0]));
    assert_memory_equal(fake_debugger_ask(debugger, "", "?"), "T05", 3);
    fake_debugger_expect(debugger, "", "qAttached", "1");
}

static void malformed_resumptions_resume_nothing(void **state)
{
    struct fake_debugger *debugger = *state;
    static const char *const bad[] = {
        "vCont;",
        "vCont;x",
        "vCont;c:",
        "vCont;c:x",
        "vCont;C",
        "vCont;C100",
        "vCont;s1",
        "vCont;r",
        "vCont;r1",
        "vCont;r1,",
        "vCont;c;r1,2x",
        "vCont;c:1:1",
        "vCont;s;;c",
        "cx",
        "c10000000000000000",
        "C",
        "C100",
        "Cx",
        "C05x",
        "C05;x",
        "sx",
        "S",
        "vCont;c:1;Cx",
    };

    for (size_t i = 0; i < COUNT(bad); i++)
        fake_debugger_expect(debugger, RICH, bad[i], "E.malformed packet");
    fake_debugger_expect(debugger, RICH, "vCont;c:2", "E.no such machine, or it has ended");
    fake_debugger_expect(debugger, RICH, "vCont;c:p1.7", "E.no such machine, or it has ended");
    fake_debugger_expect(debugger, RICH, "vCont;t", "E.no such machine, or it has ended");
    assert_int_equal(fake_machine(&debugger->fake, 1)->resumes, 0);
}

static void killing_kills(void **state)
{
    struct fake_debugger *debugger = *state;

    fake_debugger_expect(debugger, MULTI, "vKill;9", "E.there is no VM 9");
    fake_debugger_expect(debugger, MULTI, "vKill;x", "E.malformed packet");
    fake_debugger_expect(debugger, MULTI, "vKill;1", "OK");
    assert_int_equal(fake_machine(&debugger->fake, 1)->kills, 1);
    fake_debugger_expect(debugger, MULTI, "?", "X09;process:1");
    fake_debugger_expect(debugger, MULTI, "vKill;1", "OK");
    assert_int_equal(fake_machine(&debugger->fake, 1)->kills, 1);
}

static void k_ends_the_session_or_says_nothing(void **state)
{
    struct fake_debugger *debugger = *state;

    fake_debugger_packet(debugger, "!");
    fake_debugger_packet(debugger, "k");
    fake_debugger_packet(debugger, "vMustReplyEmpty");
    fake_debugger_run(debugger);
    assert_int_equal(debugger->reply_count, 2);
    assert_int_equal(debugger->end, GDB_SESSION_LOST);
    fake_debugger_ask(debugger, "", "vRun;");
    fake_debugger_expect(debugger, "", "k", "X09");
    assert_int_equal(debugger->end, GDB_SESSION_DETACHED);
}

static void detaching_lets_go(void **state)
{
    struct fake_debugger *debugger = *state;

    place(debugger, 1, FAKE_START, "\xeb\xfe", 2);
    fake_debugger_ask(debugger, RICH, "Z0,1800,1");
    fake_debugger_expect(debugger, RICH, "D", "OK");
    assert_int_equal(debugger->end, GDB_SESSION_DETACHED);
    assert_int_equal(fake_target_breaks(&debugger->fake, 1), 0);
    assert_int_equal(debugger->list[0].state, GDB_MACHINE_RUNNING);
    /* the next debugger stops it */
    assert_memory_equal(fake_debugger_ask(debugger, RICH, "?"), "T05", 3);
    fake_debugger_expect(debugger, RICH, "D;7", "E.there is no VM 7");
    fake_debugger_expect(debugger, RICH, "D;1x", "E.malformed packet");
    fake_debugger_expect(debugger, RICH, "D1", "");
}

static void detaching_from_a_crash_is_the_end(void **state)
{
    struct fake_debugger *debugger = *state;

    place(debugger, 1, FAKE_START, "\x0f\x0b", 2);
    assert_memory_equal(fake_debugger_ask(debugger, RICH, "c"), "T04", 3);
    fake_debugger_expect(debugger, RICH, "D", "OK");
    assert_int_equal(debugger->list[0].state, GDB_MACHINE_ENDED);
    assert_int_equal(fake_machine(&debugger->fake, 1)->resumes, 1);
}

/* --- several machines --- */

static void each_process_does_as_it_is_told(void **state)
{
    struct fake_debugger *debugger = *state;

    assert_memory_equal(fake_debugger_ask(debugger, MULTI, "vCont;s:p2.2"), "T05thread:p2.2;", 15);
    assert_int_equal(fake_machine(&debugger->fake, 1)->resumes, 0);
    place(debugger, 1, FAKE_START, "\xeb\xfe", 2);
    assert_memory_equal(fake_debugger_ask(debugger, MULTI, "vCont;s:p2.-1;c:p-1.-1"), "T05thread:p2.2;", 15);
    assert_int_equal(fake_machine(&debugger->fake, 1)->resumes, 1);
    assert_int_equal(fake_machine(&debugger->fake, 1)->interrupts, 1);
    assert_true(gdb_machine_is_stopped(&debugger->list[0]));
    assert_memory_equal(fake_debugger_ask(debugger, MULTI, "vCont;t:p1.1;s"), "T05thread:p2.2;", 15);
    assert_int_equal(fake_machine(&debugger->fake, 1)->resumes, 1);
}

static void one_end_is_not_the_end_of_all(void **state)
{
    struct fake_debugger *debugger = *state;

    place(debugger, 2, FAKE_START, "\xeb\xfe", 2);
    fake_debugger_expect(debugger, MULTI, "vCont;c", "W00;process:1");
    assert_int_equal(debugger->end, GDB_SESSION_LOST);
    fake_debugger_expect(debugger, MULTI, "qfThreadInfo", "mp2.2");
    assert_memory_equal(fake_debugger_ask(debugger, MULTI, "vCont;s"), "T05thread:p2.2;", 15);
    fake_debugger_expect(debugger, MULTI, "vKill;2", "OK");
    fake_debugger_expect(debugger, MULTI, "?", "W00;process:1");
}

static void a_debugger_of_one_process_does_not_hear_of_one_end(void **state)
{
    struct fake_debugger *debugger = *state;

    place(debugger, 2, FAKE_START, "\xeb\xfe", 2);
    assert_memory_equal(fake_debugger_ask(debugger, "", "c"), "T05thread:2;", 12);
}

static void what_else_stopped_is_told_next(void **state)
{
    struct fake_debugger *debugger = *state;

    fake_debugger_ask(debugger, MULTI, "Z0,1001,1");
    fake_debugger_packet(debugger, "qSupported:" MULTI);
    fake_debugger_packet(debugger, "Hgp2.2");
    fake_debugger_packet(debugger, "Z1,1001,1");
    fake_debugger_packet(debugger, "vCont;c");
    fake_debugger_run(debugger);
    assert_memory_equal(fake_debugger_last(debugger, 0)->text, "T05swbreak:;thread:p1.1;", 24);
    /* machine 2 met its own on the way, and machine 1 does not run before that is reported */
    assert_memory_equal(fake_debugger_ask(debugger, MULTI, "vCont;c"), "T05hwbreak:;thread:p2.2;", 24);
    assert_int_equal(fake_machine(&debugger->fake, 1)->resumes, 1);
    assert_int_equal(fake_machine(&debugger->fake, 2)->resumes, 1);
    /* the step of machine 2 that ends while machine 1 does is not worth telling */
    fake_debugger_ask(debugger, MULTI, "z0,1001,1");
    fake_debugger_expect(debugger, MULTI, "vCont;s:p2.2;c", "W00;process:1");
    assert_false(debugger->list[1].stop_pending);
}

static void one_of_several_is_detached(void **state)
{
    struct fake_debugger *debugger = *state;
    static const struct fake_exchange list[] = {
        {"qSupported:multiprocess+", NULL},
        {"D;1", "OK"},
        {"qfThreadInfo", "mp2.2"},
        {"vCont;s:p2.2", NULL},
        {"Hgp1.1", "E03"},
        {"D;2", "OK"},
    };

    fake_debugger_expect_session(debugger, list, COUNT(list));
    assert_memory_equal(debugger->replies[3].text, "T05thread:p2.2;", 15);
    assert_int_equal(debugger->end, GDB_SESSION_DETACHED);
}

static void the_old_packets_obey_hc(void **state)
{
    struct fake_debugger *debugger = *state;

    fake_debugger_packet(debugger, "Hc2");
    fake_debugger_packet(debugger, "s");
    fake_debugger_packet(debugger, "s1400");
    fake_debugger_packet(debugger, "Hc-1");
    fake_debugger_packet(debugger, "Hg1");
    fake_debugger_packet(debugger, "s");
    fake_debugger_run(debugger);
    assert_memory_equal(debugger->replies[1].text, "T05thread:2;", 12);
    assert_int_equal(fake_machine(&debugger->fake, 2)->regs.general.rip, 0x1401);
    assert_memory_equal(debugger->replies[5].text, "T05thread:1;", 12);
    assert_int_equal(fake_machine(&debugger->fake, 2)->resumes, 2);
}

#define ONE(function) cmocka_unit_test_setup_teardown(function, fake_debugger_of_one, fake_debugger_tear_down)
#define TWO(function) cmocka_unit_test_setup_teardown(function, fake_debugger_of_two, fake_debugger_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ONE(a_fresh_machine_waits),
        ONE(steps_are_single),
        ONE(breakpoints_stop),
        ONE(watchpoints_name_their_address),
        ONE(halting_is_the_good_end),
        ONE(a_held_machine_stops_before_its_end),
        ONE(after_the_end_it_starts_again),
        ONE(crashes_look_like_native_ones),
        ONE(a_crash_let_go_is_the_end),
        ONE(signals_do_what_they_do_to_programs_without_handlers),
        ONE(signals_the_program_may_not_get_are_dropped),
        ONE(crashes_nobody_wants_to_hear_of_end_at_once),
        ONE(an_interrupt_stops_a_spinning_machine),
        ONE(a_packet_stops_it_too),
        ONE(an_interrupt_too_late_is_forgotten),
        ONE(a_lost_connection_leaves_the_machine_stopped),
        ONE(malformed_resumptions_resume_nothing),
        ONE(killing_kills),
        ONE(k_ends_the_session_or_says_nothing),
        ONE(detaching_lets_go),
        ONE(detaching_from_a_crash_is_the_end),
        TWO(each_process_does_as_it_is_told),
        TWO(one_end_is_not_the_end_of_all),
        TWO(a_debugger_of_one_process_does_not_hear_of_one_end),
        TWO(what_else_stopped_is_told_next),
        TWO(one_of_several_is_detached),
        TWO(the_old_packets_obey_hc),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
