/* Running backwards and going to places in the history, against fake machines: nops from 1000 on, a hlt at 1fff. */
#include "fake_debugger.h"
#include "protocol/hex.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RICH "swbreak+;hwbreak+;error-message+"
#define MULTI "multiprocess+;swbreak+;hwbreak+;error-message+"

#define TRUE "X3,220127"
#define FALSE "X3,220027"
#define PRINT_RAX "X11,260000220022003401000525645c6e0027" /* printf("%d\n", rax) */
#define PRINTED_0 "O300a"

static uint64_t rip_of(struct fake_debugger *debugger, unsigned vm)
{
    return fake_machine(&debugger->fake, vm)->regs.general.rip;
}

/* The reply to `packet` starts with `reason`, and then machine 1 is at `rip`. */
static void stops(struct fake_debugger *debugger, const char *packet, const char *reason, uint64_t rip)
{
    const char *reply = fake_debugger_ask(debugger, RICH, packet);

    if (strncmp(reply, reason, strlen(reason)) != 0 || rip_of(debugger, 1) != rip)
        fail_msg("%s: %s at %llx", packet, reply, (unsigned long long)rip_of(debugger, 1));
}

static void set(struct fake_debugger *debugger, const char *packet)
{
    fake_debugger_expect(debugger, RICH, packet, "OK");
}

static const char *monitor(struct fake_debugger *debugger, const char *command)
{
    char packet[256] = "qRcmd,";

    gdb_hex_encode(packet + 6, (const uint8_t *)command, strlen(command));
    return fake_debugger_ask(debugger, RICH, packet);
}

/* The text of an 'O' reply. */
static const char *console(const struct fake_reply *reply)
{
    static char text[1024];
    size_t length = (reply->length - 1) / 2;

    assert_int_equal(reply->text[0], 'O');
    assert_true(length < sizeof text && gdb_hex_decode((uint8_t *)text, reply->text + 1, 2 * length));
    text[length] = '\0';
    return text;
}

static void goes_back_if_there_is_a_history(void **state)
{
    struct fake_debugger *debugger = *state;

    debugger->fake.keeps_history = false;
    assert_null(strstr(fake_debugger_ask(debugger, "", "qSupported:"), "Reverse"));
    stops(debugger, "s", "T05thread", 0x1001);
    stops(debugger, "bs", "E.VM 1 keeps no history", 0x1001);
    stops(debugger, "bc", "E.VM 1 keeps no history", 0x1001);
    assert_memory_equal(monitor(debugger, "goto start"), "E.VM 1 keeps no history", 23);
    fake_debugger_expect(debugger, "", "bc", "E01");
    debugger->fake.keeps_history = true;
    assert_non_null(strstr(fake_debugger_ask(debugger, "", "qSupported:"), ";ReverseStep+;ReverseContinue+"));
    fake_debugger_expect(debugger, RICH, "bs1", "");
    fake_debugger_expect(debugger, RICH, "bc;", "");
}

static void a_step_back_undoes_one_instruction(void **state)
{
    struct fake_debugger *debugger = *state;

    memcpy(fake_machine(&debugger->fake, 1)->memory + FAKE_START, "\xaa", 1);
    fake_machine(&debugger->fake, 1)->regs.general.gpr[MH_RDI] = 0x5000;
    stops(debugger, "s", "T05thread", 0x1001);
    assert_int_equal(fake_machine(&debugger->fake, 1)->memory[0x5000], 0);
    stops(debugger, "bs", "T05thread", 0x1000);
    assert_int_equal(fake_machine(&debugger->fake, 1)->memory[0x5000], 0x90);
    stops(debugger, "bs", "T05replaylog:begin;thread", 0x1000);
    stops(debugger, "bc", "T05replaylog:begin;thread", 0x1000);
    stops(debugger, "vCont;s", "T05thread", 0x1001);
}

static void breakpoints_stop_in_both_directions(void **state)
{
    struct fake_debugger *debugger = *state;

    set(debugger, "Z0,1030,1");
    stops(debugger, "c", "T05swbreak:;thread", 0x1030);
    set(debugger, "Z0,1010,1");
    set(debugger, "Z1,1020,1");
    /* where it starts, none counts */
    stops(debugger, "bc", "T05hwbreak:;thread", 0x1020);
    stops(debugger, "bc", "T05swbreak:;thread", 0x1010);
    stops(debugger, "bs", "T05thread", 0x100f);
    stops(debugger, "c", "T05swbreak:;", 0x1010);
}

static void a_watchpoint_stops_before_the_store(void **state)
{
    struct fake_debugger *debugger = *state;

    memcpy(fake_machine(&debugger->fake, 1)->memory + 0x1010, "\xaa", 1);
    fake_machine(&debugger->fake, 1)->regs.general.gpr[MH_RDI] = 0x5000;
    set(debugger, "Z0,1020,1");
    stops(debugger, "c", "T05swbreak:;", 0x1020);
    set(debugger, "Z2,5000,1");
    stops(debugger, "bc", "T05watch:5000;thread", 0x1010);
    stops(debugger, "bc", "T05replaylog:begin;", 0x1000);
    stops(debugger, "c", "T05watch:5000;", 0x1011);
}

static void conditions_hold_backwards(void **state)
{
    struct fake_debugger *debugger = *state;

    set(debugger, "Z0,1030,1");
    stops(debugger, "c", "T05swbreak:;", 0x1030);
    set(debugger, "Z0,1010,1;" TRUE);
    set(debugger, "Z0,1020,1;" FALSE);
    stops(debugger, "bc", "T05swbreak:;", 0x1010);
}

static void commands_do_not_run_backwards(void **state)
{
    struct fake_debugger *debugger = *state;

    set(debugger, "Z0,1010,1;cmds:0," PRINT_RAX);
    set(debugger, "Z0,1018,1");
    stops(debugger, "c", "T05swbreak:;", 0x1018);
    assert_string_equal(fake_debugger_last(debugger, 1)->text, PRINTED_0);
    stops(debugger, "bc", "T05replaylog:begin;", 0x1000);
    assert_int_equal(debugger->reply_count, 2);
    /* forwards, it arrives again */
    stops(debugger, "c", "T05swbreak:;", 0x1018);
    assert_string_equal(fake_debugger_last(debugger, 1)->text, PRINTED_0);
    assert_int_equal(debugger->reply_count, 3);
}

/* What it returned to backwards, and continues from, is not another arrival. */
static void commands_do_not_run_where_it_turns_around(void **state)
{
    struct fake_debugger *debugger = *state;

    set(debugger, "Z0,1010,1;cmds:0," PRINT_RAX);
    set(debugger, "Z0,1011,1");
    stops(debugger, "c", "T05swbreak:;", 0x1011);
    assert_int_equal(debugger->reply_count, 3);
    stops(debugger, "bs", "T05thread", 0x1010);
    assert_int_equal(debugger->reply_count, 2);
    stops(debugger, "c", "T05swbreak:;", 0x1011);
    assert_int_equal(debugger->reply_count, 2);
    /* but if it was put there */
    assert_string_equal(monitor(debugger, "goto 16"), "OK");
    stops(debugger, "c", "T05swbreak:;", 0x1011);
    assert_int_equal(debugger->reply_count, 3);
}

static void tracepoints_record_nothing_backwards(void **state)
{
    struct fake_debugger *debugger = *state;
    static const char *const packets[] = {"QTinit", "QTDP:1:1010:E:2:0-", "QTDP:-1:1010:SR03", "QTStart", "Z0,1020,1"};

    for (size_t i = 0; i < COUNT(packets); i++)
        set(debugger, packets[i]);
    stops(debugger, "c", "T05swbreak:;", 0x1020);
    assert_non_null(strstr(fake_debugger_ask(debugger, RICH, "qTStatus"), "tframes:3;"));
    stops(debugger, "bc", "T05replaylog:begin;", 0x1000);
    assert_non_null(strstr(fake_debugger_ask(debugger, RICH, "qTStatus"), "tframes:3;"));
    stops(debugger, "s", "T05thread", 0x1001);
    stops(debugger, "c", "T05swbreak:;", 0x1020);
    assert_non_null(strstr(fake_debugger_ask(debugger, RICH, "qTStatus"), "tframes:6;"));
}

/* while-stepping: the steps that were still to come are not the ones that are undone */
static void steps_of_a_hit_end_when_it_turns_back(void **state)
{
    struct fake_debugger *debugger = *state;
    static const char *const packets[] = {"QTinit", "QTDP:1:1010:E:20:0-", "QTDP:-1:1010:SR03", "QTStart", "Z0,1012,1"};

    for (size_t i = 0; i < COUNT(packets); i++)
        set(debugger, packets[i]);
    stops(debugger, "c", "T05swbreak:;", 0x1012);
    stops(debugger, "bc", "T05replaylog:begin;", 0x1000);
    assert_false(gdb_trace_is_stepping(&debugger->machines.trace));
    assert_non_null(strstr(fake_debugger_ask(debugger, RICH, "qTStatus"), "tframes:3;"));
}

static void the_end_of_a_recording_is_reported(void **state)
{
    struct fake_debugger *debugger = *state;

    fake_machine(&debugger->fake, 1)->replayed = 0x20;
    stops(debugger, "c", "T05replaylog:end;thread", 0x1020);
    stops(debugger, "s", "T05replaylog:end;thread", 0x1020);
    stops(debugger, "bs", "T05thread", 0x101f);
}

/* If machines are held at their end, it is not over. */
static void a_halted_machine_goes_back(void **state)
{
    struct fake_debugger *debugger = *state;

    debugger->machines.hold = true;
    stops(debugger, "c", "T05thread", 0x2000);
    stops(debugger, "bs", "T05thread", 0x1fff);
    stops(debugger, "s", "T05thread", 0x2000);
    fake_debugger_expect(debugger, RICH, "vCont;c", "W00");
    fake_debugger_expect(debugger, RICH, "bc", "E.no such machine, or it has ended");
}

static void a_crash_can_be_left_backwards(void **state)
{
    struct fake_debugger *debugger = *state;

    memcpy(fake_machine(&debugger->fake, 1)->memory + 0x1010, "\x0f\x0b", 2);
    stops(debugger, "c", "T04thread", 0x1010);
    stops(debugger, "bs", "T05thread", 0x100f);
    stops(debugger, "vCont;C04", "X04", 0x100f);
}

static void an_interrupt_stops_it(void **state)
{
    struct fake_debugger *debugger = *state;

    memcpy(fake_machine(&debugger->fake, 1)->memory + 0x1010, "\xeb\xfe", 2);
    fake_target_limit(&debugger->fake, 1, 100);
    fake_debugger_packet(debugger, "c");
    fake_debugger_raw(debugger, "\x03", 1);
    fake_debugger_packet(debugger, "qC");
    fake_debugger_run(debugger);
    assert_int_equal(fake_machine(&debugger->fake, 1)->position, 100);
    fake_target_limit(&debugger->fake, 1, 10);
    fake_debugger_packet(debugger, "bc");
    fake_debugger_raw(debugger, "\x03", 1);
    fake_debugger_packet(debugger, "qC");
    fake_debugger_run(debugger);
    assert_memory_equal(debugger->replies[0].text, "T02thread:1;", 12);
    assert_int_equal(fake_machine(&debugger->fake, 1)->position, 90);
}

static void vcont_is_forwards(void **state)
{
    struct fake_debugger *debugger = *state;

    set(debugger, "Z0,1010,1");
    stops(debugger, "c", "T05swbreak:;", 0x1010);
    stops(debugger, "bc", "T05replaylog:begin;", 0x1000);
    stops(debugger, "vCont;s", "T05thread", 0x1001);
    stops(debugger, "vCont;r1001,1008", "T05thread", 0x1008);
}

/* --- monitor --- */

static void monitor_goes_anywhere(void **state)
{
    struct fake_debugger *debugger = *state;

    set(debugger, "Z0,1020,1");
    stops(debugger, "c", "T05swbreak:;", 0x1020);
    assert_string_equal(monitor(debugger, "goto 16"), "OK");
    assert_int_equal(rip_of(debugger, 1), 0x1010);
    assert_non_null(strstr(console(fake_debugger_last(debugger, 1)), "maintenance flush register-cache"));
    assert_memory_equal(fake_debugger_ask(debugger, RICH, "?"), "T05thread:1;", 12);
    assert_string_equal(monitor(debugger, "goto -6"), "OK");
    assert_int_equal(rip_of(debugger, 1), 0x100a);
    assert_string_equal(monitor(debugger, "when"), "OK");
    assert_string_equal(console(fake_debugger_last(debugger, 1)), "at 10\n");
    assert_string_equal(monitor(debugger, "goto +1"), "OK");
    assert_int_equal(rip_of(debugger, 1), 0x100b);
    assert_string_equal(monitor(debugger, "goto end"), "OK");
    assert_int_equal(rip_of(debugger, 1), 0x1020);
    assert_string_equal(monitor(debugger, "goto start"), "OK");
    assert_int_equal(rip_of(debugger, 1), 0x1000);
}

static void monitor_says_what_it_cannot_reach(void **state)
{
    struct fake_debugger *debugger = *state;

    assert_string_equal(monitor(debugger, "goto 1"), "E.position 1 is not in the history");
    assert_string_equal(monitor(debugger, "goto there"), "E.there is no position 'there'");
    assert_string_equal(monitor(debugger, "goto"), "E.there is no position ''");
    assert_int_equal(rip_of(debugger, 1), 0x1000);
    assert_string_equal(monitor(debugger, "goto broken"), "E.the past is gone");
    fake_debugger_expect(debugger, RICH, "?", "X09");
    assert_memory_equal(monitor(debugger, "goto start"), "E.VM 1 has ended", 16);
}

static void monitor_help_names_the_commands(void **state)
{
    struct fake_debugger *debugger = *state;
    static const char *const names[] = {"when  ", "goto POSITION", "history  "};
    char text[4096] = "";

    assert_string_equal(monitor(debugger, "help"), "OK");
    const struct fake_reply *reply = fake_debugger_last(debugger, 1);
    assert_true(reply->length / 2 < sizeof text && gdb_hex_decode((uint8_t *)text, reply->text + 1, reply->length - 1));
    for (size_t i = 0; i < COUNT(names); i++)
        assert_non_null(strstr(text, names[i]));
}

/* The signal of a crash is void where there was none yet. */
static void a_signal_is_void_after_going_elsewhere(void **state)
{
    struct fake_debugger *debugger = *state;

    memcpy(fake_machine(&debugger->fake, 1)->memory + 0x1010, "\x0f\x0b", 2);
    stops(debugger, "c", "T04thread", 0x1010);
    assert_string_equal(monitor(debugger, "goto start"), "OK");
    stops(debugger, "vCont;C04", "T04thread", 0x1010);
}

/* --- texts of the target --- */

static void texts_come_while_it_runs(void **state)
{
    struct fake_debugger *debugger = *state;

    debugger->fake.talks = true;
    stops(debugger, "s", "T05thread", 0x1001);
    assert_string_equal(console(fake_debugger_last(debugger, 1)), "running\n");
    stops(debugger, "bs", "T05thread", 0x1000);
    assert_string_equal(console(fake_debugger_last(debugger, 1)), "running\n");
    /* there is no debugger for them now */
    assert_null(debugger->fake.console);
}

static void texts_wait_for_a_chance(void **state)
{
    struct fake_debugger *debugger = *state;

    debugger->fake.talks = true;
    fake_debugger_packet(debugger, "vRun;");
    fake_debugger_packet(debugger, "qC");
    fake_debugger_packet(debugger, "s");
    fake_debugger_packet(debugger, "vRun;");
    fake_debugger_packet(debugger, "qRcmd,6d6170"); /* map */
    fake_debugger_run(debugger);
    assert_int_equal(debugger->reply_count, 8);
    assert_string_equal(debugger->replies[1].text, "QC1");
    assert_string_equal(console(&debugger->replies[2]), "restarted\n");
    assert_string_equal(console(&debugger->replies[3]), "running\n");
    assert_string_equal(console(&debugger->replies[6]), "restarted\nmapped: everything\n");
}

static void too_many_texts_are_dropped(void **state)
{
    struct fake_debugger *debugger = *state;

    debugger->fake.talks = true;
    fake_debugger_packet(debugger, "!");
    for (unsigned i = 0; i < 2000; i++)
        fake_debugger_packet(debugger, i % 2 ? "R01" : "R00");
    fake_debugger_packet(debugger, "qRcmd,6d6170"); /* map */
    fake_debugger_run(debugger);
    assert_string_equal(fake_debugger_last(debugger, 0)->text, "OK");
    assert_memory_equal(fake_debugger_last(debugger, 2)->text, "O726573746172746564", 19);
}

/* --- several machines --- */

static void hc_says_which_goes_back(void **state)
{
    struct fake_debugger *debugger = *state;
    static const struct fake_exchange list[] = {
        {"qSupported:" MULTI, NULL},
        {"Hgp1.1", "OK"},
        {"Hcp1.0", "OK"},
        {"s", NULL},
        {"s", NULL},
        {"Hcp2.-1", "OK"},
        {"s", NULL},
        {"s", NULL},
        {"bs", NULL},
        {"Hcp1.0", "OK"},
        {"bc", NULL},
        {"Hcp0.0", "OK"},
        {"bs", NULL},
    };

    debugger->fake.keeps_history = true;
    fake_debugger_expect_session(debugger, list, COUNT(list));
    assert_memory_equal(debugger->replies[8].text, "T05thread:p2.2;", 15);
    assert_memory_equal(debugger->replies[10].text, "T05replaylog:begin;thread:p1.1;", 31);
    assert_memory_equal(debugger->replies[12].text, "T05replaylog:begin;thread:p1.1;", 31);
    assert_int_equal(rip_of(debugger, 1), 0x1000);
    assert_int_equal(rip_of(debugger, 2), 0x1001);
}

static void texts_name_their_machine(void **state)
{
    struct fake_debugger *debugger = *state;

    debugger->fake.talks = debugger->fake.keeps_history = true;
    fake_debugger_ask(debugger, MULTI, "vCont;s:p2.2");
    assert_string_equal(console(fake_debugger_last(debugger, 1)), "VM 2: running\n");
}

/* --- a model --- */

#define LAST 800u /* the position of the hlt */

enum point { NONE, PLAIN, HOLDS, NEVER, PRINTS, POINT_KINDS };

struct model {
    unsigned position; /* LAST + 1: halted */
    bool met;          /* it stopped here by running */
    enum point points[LAST + 2];
};

static bool model_stops(const struct model *model, unsigned position)
{
    return model->points[position] == PLAIN || model->points[position] == HOLDS;
}

/* Each of these returns how the stop reply begins, and adds to *prints what commands print. */

static const char *model_continue(struct model *model, unsigned *prints)
{
    unsigned at = model->position;

    if (model_stops(model, at)) {
        model->met = true;
        return "T05swbreak:;";
    }
    *prints += model->points[at] == PRINTS && !model->met;
    model->met = true;
    while (++at <= LAST && !model_stops(model, at))
        *prints += model->points[at] == PRINTS;
    model->position = at;
    return at <= LAST ? "T05swbreak:;" : "T05thread:1;";
}

static const char *model_step(struct model *model, unsigned *prints)
{
    model->position++;
    model->met = true;
    *prints += model->position <= LAST && model->points[model->position] == PRINTS;
    return "T05thread:1;";
}

static const char *model_continue_back(struct model *model)
{
    while (model->position > 0)
        if (model_stops(model, --model->position)) {
            model->met = true;
            return "T05swbreak:;";
        }
    model->met = false;
    return "T05replaylog:begin;";
}

static const char *model_step_back(struct model *model)
{
    model->met = model->position > 0;
    model->position -= model->met;
    return model->met ? "T05thread:1;" : "T05replaylog:begin;";
}

static void model_go_to(struct model *model, struct fake_debugger *debugger, unsigned position)
{
    char command[32];

    snprintf(command, sizeof command, "goto %u", position);
    assert_string_equal(monitor(debugger, command), "OK");
    model->position = position;
    model->met = false;
}

static void model_set_point(struct model *model, struct fake_debugger *debugger, unsigned position, enum point kind)
{
    static const char *const options[] = {
        [PLAIN] = "", [HOLDS] = ";" FALSE TRUE, [NEVER] = ";" FALSE, [PRINTS] = ";cmds:0," PRINT_RAX};
    char packet[96];

    snprintf(packet, sizeof packet, "%c0,%x,1%s", kind == NONE ? 'z' : 'Z', FAKE_START + position,
             kind == NONE ? "" : options[kind]);
    set(debugger, packet);
    model->points[position] = kind;
}

static void model_resume(struct model *model, struct fake_debugger *debugger, unsigned which)
{
    static const char *const packets[] = {"vCont;c", "c", "s", "bc", "bs"};
    bool halted = model->position > LAST;
    unsigned prints = 0;
    const char *reason;

    if (halted && which < 3)
        which = 3 + which % 2; /* forwards is the end */
    if (which < 2)
        reason = model_continue(model, &prints);
    else if (which == 2)
        reason = model_step(model, &prints);
    else
        reason = which == 3 ? model_continue_back(model) : model_step_back(model);
    stops(debugger, packets[which], reason, FAKE_START + model->position);
    /* before the stop reply, and before what is said of a halt */
    assert_int_equal(debugger->reply_count, 2 + prints + (model->position > LAST));
    for (unsigned i = 0; i < prints; i++)
        assert_string_equal(debugger->replies[1 + i].text, PRINTED_0);
}

static void random_walks_end_where_the_model_says(void **state)
{
    struct fake_debugger *debugger = *state;
    struct fake_machine *machine = fake_machine(&debugger->fake, 1);
    static struct model model;
    unsigned seed = 12345;

    machine->memory[FAKE_START + LAST] = 0xf4;
    debugger->machines.hold = true;
    for (unsigned i = 0; i < 3000; i++) {
        seed = seed * 1103515245u + 12345u;
        unsigned dice = (seed >> 16) % 16, where = (seed >> 8) % LAST;

        if (dice == 0 && fake_target_breaks(&debugger->fake, 1) < FAKE_BREAKS)
            model_set_point(&model, debugger, where, (enum point)(1 + seed / 65536 / 16 % (POINT_KINDS - 1)));
        else if (dice == 1)
            for (unsigned at = where; at < LAST && model.points[where] == NONE; at++)
                if (model.points[at] != NONE) {
                    model_set_point(&model, debugger, at, NONE);
                    break;
                }
        if (dice == 2 && where <= machine->furthest)
            model_go_to(&model, debugger, where);
        if (dice > 2)
            model_resume(&model, debugger, dice % 5);
    }
}

static int of_one(void **state)
{
    struct fake_debugger *debugger = fake_debugger_new(1);

    *state = debugger;
    if (debugger != NULL)
        debugger->fake.keeps_history = true;
    return debugger != NULL ? 0 : -1;
}

#define ONE(function) cmocka_unit_test_setup_teardown(function, of_one, fake_debugger_tear_down)
#define TWO(function) cmocka_unit_test_setup_teardown(function, fake_debugger_of_two, fake_debugger_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ONE(goes_back_if_there_is_a_history),
        ONE(a_step_back_undoes_one_instruction),
        ONE(breakpoints_stop_in_both_directions),
        ONE(a_watchpoint_stops_before_the_store),
        ONE(conditions_hold_backwards),
        ONE(commands_do_not_run_backwards),
        ONE(commands_do_not_run_where_it_turns_around),
        ONE(tracepoints_record_nothing_backwards),
        ONE(steps_of_a_hit_end_when_it_turns_back),
        ONE(the_end_of_a_recording_is_reported),
        ONE(a_halted_machine_goes_back),
        ONE(a_crash_can_be_left_backwards),
        ONE(an_interrupt_stops_it),
        ONE(vcont_is_forwards),
        ONE(monitor_goes_anywhere),
        ONE(monitor_says_what_it_cannot_reach),
        ONE(monitor_help_names_the_commands),
        ONE(a_signal_is_void_after_going_elsewhere),
        ONE(texts_come_while_it_runs),
        ONE(texts_wait_for_a_chance),
        ONE(too_many_texts_are_dropped),
        TWO(hc_says_which_goes_back),
        TWO(texts_name_their_machine),
        ONE(random_walks_end_where_the_model_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
