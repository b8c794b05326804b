/* Conditions and commands of breakpoints, against a fake machine: nops from 1000 on, a hlt at 1fff. */
#include "fake_debugger.h"
#include "protocol/hex.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

#define RICH "swbreak+;hwbreak+;error-message+"

#define TRUE "X3,220127"
#define FALSE "X3,220027"
#define RAX_IS_5 "X7,26000022051327"
#define ENDLESS "X2,2201"
#define NO_MEMORY "Xb,25ffffffff000000001727"
#define PRINT_RAX "X11,260000220022003401000525645c6e0027" /* printf("%d\n", rax) */
#define PRINTED_0 "O300a"

static void set(struct fake_debugger *debugger, const char *packet)
{
    fake_debugger_expect(debugger, RICH, packet, "OK");
}

/* Resume: the machine stops for `reason`, how the reply starts, at `rip`. */
static void stops(struct fake_debugger *debugger, const char *packet, const char *reason, uint64_t rip)
{
    const char *reply = fake_debugger_ask(debugger, RICH, packet);

    if (strncmp(reply, reason, strlen(reason)) != 0 || fake_machine(&debugger->fake, 1)->regs.general.rip != rip)
        fail_msg("%s: %s at %llx", packet, reply,
                 (unsigned long long)fake_machine(&debugger->fake, 1)->regs.general.rip);
}

/* Step off the breakpoint the machine stopped at, as debuggers do, then continue. */
static void goes_on_and_stops(struct fake_debugger *debugger, const char *packet, const char *reason, uint64_t rip)
{
    fake_debugger_ask(debugger, RICH, "s");
    stops(debugger, packet, reason, rip);
}

static void false_conditions_are_no_stop(void **state)
{
    struct fake_debugger *debugger = *state;

    set(debugger, "Z0,1010,1;" FALSE);
    set(debugger, "Z1,1020,1;" FALSE RAX_IS_5);
    fake_debugger_expect(debugger, RICH, "vCont;c", "W00");
    assert_int_equal(fake_machine(&debugger->fake, 1)->resumes, 1);
    assert_int_equal(fake_machine(&debugger->fake, 1)->filtered, 2);
}

/* The target stops at once where the machine stands; that is the arrival that was met before. */
static void continuing_asks_the_condition_again(void **state)
{
    struct fake_debugger *debugger = *state;

    set(debugger, "Z0,1010,1;" RAX_IS_5);
    fake_machine(&debugger->fake, 1)->regs.general.gpr[MH_RAX] = 5;
    stops(debugger, "c", "T05swbreak:;", 0x1010);
    stops(debugger, "c", "T05swbreak:;", 0x1010);
    fake_machine(&debugger->fake, 1)->regs.general.gpr[MH_RAX] = 6;
    fake_debugger_expect(debugger, RICH, "c", "W00");
}

static void plain_ones_stop_where_they_are_continued(void **state)
{
    struct fake_debugger *debugger = *state;

    set(debugger, "Z0,1000,1");
    stops(debugger, "c", "T05swbreak:;", 0x1000);
    stops(debugger, "vCont;c", "T05swbreak:;", 0x1000);
    stops(debugger, "s", "T05thread", 0x1001);
    set(debugger, "Z1,1001,1");
    stops(debugger, "c", "T05hwbreak:;", 0x1001);
    stops(debugger, "vCont;r1001,1010", "T05thread", 0x1010);
}

/* Put there by the debugger, the machine meets it; met at a stop, it does not meet it again. */
static void a_jump_onto_commands_runs_them_once(void **state)
{
    struct fake_debugger *debugger = *state;

    set(debugger, "Z0,1010,1;cmds:0," PRINT_RAX);
    set(debugger, "Z0,1011,1");
    stops(debugger, "c1010", "T05swbreak:;", 0x1011);
    assert_string_equal(fake_debugger_last(debugger, 1)->text, PRINTED_0);
    assert_int_not_equal(fake_debugger_last(debugger, 2)->text[0], 'O');
    stops(debugger, "P10=0f10000000000000", "OK", 0x100f);
    stops(debugger, "s", "T05thread", 0x1010);
    assert_string_equal(fake_debugger_last(debugger, 1)->text, PRINTED_0);
    stops(debugger, "c", "T05swbreak:;", 0x1011);
    assert_int_not_equal(fake_debugger_last(debugger, 1)->text[0], 'O');
}

static void a_loop_meets_commands_each_time(void **state)
{
    struct fake_debugger *debugger = *state;

    memcpy(fake_machine(&debugger->fake, 1)->memory + 0x1010, "\xeb\xfe", 2);
    set(debugger, "Z0,1010,1;cmds:0," PRINT_RAX);
    fake_debugger_packet(debugger, "qSupported:" RICH);
    fake_debugger_packet(debugger, "vCont;c");
    fake_target_limit(&debugger->fake, 1, 20);
    fake_debugger_run(debugger);
    for (unsigned back = 0; back < 5; back++)
        assert_string_equal(fake_debugger_last(debugger, back)->text, PRINTED_0);
}

static void one_true_condition_is_enough(void **state)
{
    struct fake_debugger *debugger = *state;

    fake_machine(&debugger->fake, 1)->regs.general.gpr[MH_RAX] = 5;
    set(debugger, "Z0,1010,1;" FALSE RAX_IS_5 FALSE);
    set(debugger, "Z1,1020,1;" FALSE ";" TRUE);
    stops(debugger, "c", "T05swbreak:;", 0x1010);
    goes_on_and_stops(debugger, "c", "T05hwbreak:;", 0x1020);
}

static void the_last_conditions_count(void **state)
{
    struct fake_debugger *debugger = *state;

    set(debugger, "Z0,1010,1;" FALSE);
    set(debugger, "Z0,1010,1;" TRUE);
    set(debugger, "Z0,1020,1;" FALSE);
    set(debugger, "Z0,1020,1");
    set(debugger, "Z0,1030,1;" TRUE);
    set(debugger, "Z0,1030,1;" FALSE);
    set(debugger, "Z0,1040,1;" FALSE);
    set(debugger, "z0,1040,1");
    set(debugger, "Z0,1040,1");
    stops(debugger, "c", "T05swbreak:;", 0x1010);
    goes_on_and_stops(debugger, "c", "T05swbreak:;", 0x1020);
    goes_on_and_stops(debugger, "c", "T05swbreak:;", 0x1040);
}

static void what_cannot_be_evaluated_stops(void **state)
{
    struct fake_debugger *debugger = *state;
    static const char text[] = "condition of the breakpoint at 0x1010: cannot read memory at 0xffffffff00000000\n";
    char expected[2 * sizeof text] = "O";

    set(debugger, "Z0,1010,1;" NO_MEMORY FALSE);
    set(debugger, "Z0,1020,1;" FALSE ENDLESS);
    set(debugger, "Z0,1030,1;X0,");
    set(debugger, "Z0,1040,1;cmds:0," NO_MEMORY PRINT_RAX);
    stops(debugger, "c", "T05swbreak:;", 0x1010);
    gdb_hex_encode(expected + 1, (const uint8_t *)text, sizeof text - 1);
    assert_string_equal(fake_debugger_last(debugger, 1)->text, expected);
    goes_on_and_stops(debugger, "c", "T05swbreak:;", 0x1020);
    goes_on_and_stops(debugger, "c", "T05swbreak:;", 0x1030);
    goes_on_and_stops(debugger, "c", "T05swbreak:;", 0x1040);
    fake_debugger_expect(debugger, RICH, "c", "W00");
}

static void registers_that_cannot_be_read_stop(void **state)
{
    struct fake_debugger *debugger = *state;

    set(debugger, "Z0,1010,1;X4,26ffff27");
    set(debugger, "Z0,1020,1;X4,26001827"); /* st0: 80 bits */
    stops(debugger, "c", "T05swbreak:;", 0x1010);
    goes_on_and_stops(debugger, "c", "T05swbreak:;", 0x1020);
    set(debugger, "Z0,1030,1;" FALSE);
    debugger->fake.refuse_regs = true;
    goes_on_and_stops(debugger, "c", "T05swbreak:;", 0x1030);
}

static void two_kinds_at_one_address(void **state)
{
    struct fake_debugger *debugger = *state;

    set(debugger, "Z0,1010,1;" FALSE);
    set(debugger, "Z1,1010,1");
    set(debugger, "Z0,1020,1");
    set(debugger, "Z1,1020,1;" FALSE);
    set(debugger, "Z0,1030,1;" FALSE);
    set(debugger, "Z1,1030,1;" FALSE);
    stops(debugger, "c", "T05hwbreak:;", 0x1010);
    goes_on_and_stops(debugger, "c", "T05swbreak:;", 0x1020);
    set(debugger, "z0,1020,1");
    fake_debugger_expect(debugger, RICH, "c", "W00");
}

static void steps_stop_all_the_same(void **state)
{
    struct fake_debugger *debugger = *state;

    set(debugger, "Z0,1001,1;" FALSE);
    set(debugger, "Z0,1005,1;" FALSE);
    set(debugger, "Z0,1010,1;" FALSE);
    set(debugger, "Z0,1018,1;" TRUE);
    stops(debugger, "vCont;s", "T05thread", 0x1001);
    /* one within the range, one where it is left, one that holds */
    stops(debugger, "vCont;r1001,1010", "T05thread", 0x1010);
    stops(debugger, "vCont;r1010,1020", "T05swbreak:;", 0x1018);
}

static void an_interrupt_is_not_lost_to_a_false_condition(void **state)
{
    struct fake_debugger *debugger = *state;

    set(debugger, "Z0,1000,1;" FALSE);
    fake_target_report(&debugger->fake, 1, (struct mh_stop){.kind = MH_STOP_BREAKPOINT});
    fake_debugger_packet(debugger, "qSupported:" RICH);
    fake_debugger_packet(debugger, "vCont;c");
    fake_debugger_raw(debugger, "\3", 1);
    fake_debugger_run(debugger);
    assert_memory_equal(fake_debugger_last(debugger, 0)->text, "T02thread", 9);
    assert_int_equal(fake_machine(&debugger->fake, 1)->resumes, 1);
}

static void commands_run_instead_of_stopping(void **state)
{
    struct fake_debugger *debugger = *state;

    set(debugger, "Z0,1010,1;cmds:0," PRINT_RAX PRINT_RAX);
    set(debugger, "Z1,1020,1;" FALSE ";cmds:0," PRINT_RAX);
    set(debugger, "Z1,1030,1;" TRUE ";cmds:0," PRINT_RAX);
    fake_debugger_expect(debugger, RICH, "vCont;c", "W00");
    for (unsigned back = 1; back <= 3; back++)
        assert_string_equal(fake_debugger_last(debugger, back)->text, PRINTED_0);
    assert_int_not_equal(fake_debugger_last(debugger, 4)->text[0], 'O');
}

/* Once an arrival: also when the machine stops there for another reason, and not again when it continues. */
static void commands_run_once_an_arrival(void **state)
{
    struct fake_debugger *debugger = *state;

    fake_machine(&debugger->fake, 1)->regs.general.gpr[MH_RDI] = 0x5000;
    fake_machine(&debugger->fake, 1)->memory[0x1001] = 0xaa;
    set(debugger, "Z2,5000,1");
    set(debugger, "Z0,1001,1;cmds:0," PRINT_RAX);
    set(debugger, "Z0,1002,1;cmds:0," PRINT_RAX);
    stops(debugger, "vCont;s", "T05thread", 0x1001);
    assert_string_equal(fake_debugger_last(debugger, 1)->text, PRINTED_0);
    stops(debugger, "vCont;c", "T05watch:5000;", 0x1002);
    assert_string_equal(fake_debugger_last(debugger, 1)->text, PRINTED_0);
    assert_int_not_equal(fake_debugger_last(debugger, 2)->text[0], 'O');
    fake_debugger_expect(debugger, RICH, "vCont;c", "W00");
    assert_int_not_equal(fake_debugger_last(debugger, 1)->text[0], 'O');
}

static void persistent_ones_stay_until_the_next_debugger(void **state)
{
    struct fake_debugger *debugger = *state;

    memcpy(fake_machine(&debugger->fake, 1)->memory + 0x1100, "\xeb\xfe", 2);
    fake_debugger_packet(debugger, "Z0,1010,1;cmds:1," PRINT_RAX);
    fake_debugger_packet(debugger, "Z0,1020,1;cmds:0," PRINT_RAX);
    fake_debugger_packet(debugger, "Z0,1030,1");
    fake_debugger_packet(debugger, "Z2,5000,1");
    fake_debugger_packet(debugger, "D");
    fake_debugger_run(debugger);
    assert_int_equal(debugger->end, GDB_SESSION_DETACHED);
    assert_int_equal(fake_target_breaks(&debugger->fake, 1), 1);
    fake_debugger_ask(debugger, RICH, "?");
    assert_int_equal(fake_target_breaks(&debugger->fake, 1), 0);
}

static void count_print(void *ctx, const struct gdb_machine *machine, const char *text, size_t length)
{
    unsigned *printed = ctx;

    (void)machine;
    *printed += length > 0 && text[length - 1] == '\n';
}

/* Detach from a machine with that breakpoint, and let it run to its end without a debugger. Returns the lines printed.
 */
static unsigned run_detached(struct fake_debugger *debugger, const char *breakpoint)
{
    const struct mh_debug_target *target = &debugger->fake.target;
    unsigned printed = 0, vm;
    struct mh_stop stop;

    debugger->machines.print = count_print;
    debugger->machines.print_ctx = &printed;
    fake_debugger_packet(debugger, breakpoint);
    fake_debugger_packet(debugger, "D");
    fake_debugger_run(debugger);
    assert_int_equal(debugger->list[0].state, GDB_MACHINE_RUNNING);
    assert_int_equal(target->ops->wait(target->ctx, NULL, 0, &vm, &stop), MH_WAIT_STOPPED);
    assert_int_equal(stop.kind, MH_STOP_HALTED);
    gdb_machines_on_stop(&debugger->machines, vm, &stop);
    assert_int_equal(debugger->list[0].state, GDB_MACHINE_ENDED);
    assert_int_equal(fake_machine(&debugger->fake, 1)->resumes, 1);
    assert_int_equal(fake_machine(&debugger->fake, 1)->filtered, 1);
    return printed;
}

static void persistent_commands_run_without_a_debugger(void **state)
{
    assert_int_equal(run_detached(*state, "Z0,1010,1;cmds:1," PRINT_RAX), 1);
    assert_int_equal(fake_target_breaks(&((struct fake_debugger *)*state)->fake, 1), 1);
}

static void those_that_fail_without_a_debugger_are_deleted(void **state)
{
    assert_int_equal(run_detached(*state, "Z0,1010,1;cmds:1," NO_MEMORY), 1);
    assert_int_equal(fake_target_breaks(&((struct fake_debugger *)*state)->fake, 1), 0);
}

static void attaching_again_clears_what_persists(void **state)
{
    struct fake_debugger *debugger = *state;

    fake_debugger_packet(debugger, "!");
    fake_debugger_packet(debugger, "Z0,1010,1;cmds:1," PRINT_RAX);
    fake_debugger_packet(debugger, "vAttach;1"); /* it is attached already: nothing changes */
    fake_debugger_packet(debugger, "vCont;c");
    fake_debugger_run(debugger);
    assert_string_equal(fake_debugger_last(debugger, 1)->text, PRINTED_0);
    assert_string_equal(fake_debugger_last(debugger, 0)->text, "W00");
}

static void so_does_starting_again(void **state)
{
    struct fake_debugger *debugger = *state;

    memcpy(fake_machine(&debugger->fake, 1)->memory + FAKE_START, "\xeb\xfe", 2);
    for (unsigned i = 0; i < 2; i++) {
        fake_debugger_packet(debugger, "!");
        fake_debugger_packet(debugger, "Z0,1010,1;cmds:1," PRINT_RAX);
        fake_debugger_packet(debugger, "Z0,1020,1;" FALSE);
        fake_debugger_packet(debugger, "Z2,5000,8");
        if (i == 1) /* what has ended or what runs on */
            fake_debugger_packet(debugger, "vKill;1");
        fake_debugger_packet(debugger, "D;1");
        fake_debugger_packet(debugger, "vRun;");
        fake_debugger_run(debugger);
        assert_int_equal(fake_target_breaks(&debugger->fake, 1), 0);
        assert_int_equal(debugger->list[0].breakpoints.count, 0);
        assert_true(gdb_machine_is_stopped(&debugger->list[0]));
        assert_int_equal(fake_machine(&debugger->fake, 1)->interrupts, 1);
    }
}

/* What runs on without a debugger keeps them, and runs on. */
static void but_not_when_that_is_refused(void **state)
{
    struct fake_debugger *debugger = *state;

    memcpy(fake_machine(&debugger->fake, 1)->memory + FAKE_START, "\xeb\xfe", 2);
    debugger->fake.refuse_restart = true;
    fake_debugger_packet(debugger, "!");
    fake_debugger_packet(debugger, "Z0,1010,1;cmds:1," PRINT_RAX);
    fake_debugger_packet(debugger, "D;1");
    fake_debugger_packet(debugger, "vRun;");
    fake_debugger_run(debugger);
    assert_int_equal(fake_debugger_last(debugger, 0)->text[0], 'E');
    assert_int_equal(fake_target_breaks(&debugger->fake, 1), 1);
    assert_int_equal(debugger->list[0].breakpoints.count, 1);
    assert_false(debugger->list[0].attached);
    assert_true(gdb_machine_is_running(&debugger->list[0]));
}

static void malformed_lists_are_refused(void **state)
{
    static const char *const options[] = {
        ";",
        ";X",
        ";X3",
        ";X3,",
        ";X3,2201",
        ";X3,22012",
        ";X3,2201zz",
        ";X,22",
        "X3,220127",
        ";3,2201",
        ";Y3,220127",
        ";X3,22012727",
        ";X3,220127;",
        ";cmds",
        ";cmds:",
        ";cmds:0",
        ";cmds:0,",
        ";cmds:2," TRUE,
        ";cmds:" TRUE,
        ";cmds:0;" TRUE,
        ",1",
        ";X1001",
        ";X1001,00",
        ";X-1,00",
        ";Xffffffff,00",
        ";cmds:0,Q",
        ";cmds:0," TRUE ";" TRUE,
    };
    static const char refusal[] = "E.malformed condition or command, or one longer than 4096 bytes";
    struct fake_debugger *debugger = *state;
    char packet[128];

    for (size_t i = 0; i < COUNT(options); i++) {
        snprintf(packet, sizeof packet, "Z0,1010,1%s", options[i]);
        fake_debugger_expect(debugger, RICH, packet, refusal);
    }
    assert_int_equal(fake_target_breaks(&debugger->fake, 1), 0);
    assert_int_equal(debugger->list[0].breakpoints.count, 0);
}

/* The one in the place of another counts for that; those that go count no more. */
static void what_all_hold_is_bounded(void **state)
{
    static const char refusal[] = "E.conditions and commands of all breakpoints can have at most 1048576 bytes";
    static char packet[0x14000] = "Z0,1000,1;";
    struct fake_debugger *debugger = *state;
    const size_t head = strlen(packet);

    for (size_t at = head; at + 4 < sizeof packet; at += 3)
        strcpy(packet + at, "X0,"); /* 16 bytes here for 3 of the packet */
    set(debugger, packet);
    set(debugger, packet);
    packet[6] = '1';
    fake_debugger_expect(debugger, RICH, packet, "OK");
    packet[6] = '2';
    fake_debugger_expect(debugger, RICH, packet, refusal);
    set(debugger, "Z0,1030,1");
    set(debugger, "z0,1000,1");
    set(debugger, packet);
}

static void a_refused_breakpoint_is_not_remembered(void **state)
{
    struct fake_debugger *debugger = *state;

    for (char digit = '1'; digit <= '4'; digit++) {
        char packet[] = "Z1,1000,1;" TRUE;

        packet[6] = digit;
        set(debugger, packet);
    }
    fake_debugger_expect(debugger, RICH, "Z1,1009,1;" TRUE, "E.cannot insert: all four hardware slots are in use");
    assert_int_equal(debugger->list[0].breakpoints.count, 4);
}

static void as_many_as_anybody_wants(void **state)
{
    struct fake_debugger *debugger = *state;

    for (unsigned i = 0; i < FAKE_BREAKS; i++) {
        char packet[64];

        snprintf(packet, sizeof packet, "Z0,%x,1;" FALSE, 0x1010 + i);
        set(debugger, packet);
    }
    fake_debugger_expect(debugger, RICH, "c", "W00");
    assert_int_equal(fake_machine(&debugger->fake, 1)->resumes, 1);
    assert_int_equal(fake_machine(&debugger->fake, 1)->filtered, FAKE_BREAKS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_debugger_of_one, fake_debugger_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(false_conditions_are_no_stop),
        TEST(continuing_asks_the_condition_again),
        TEST(plain_ones_stop_where_they_are_continued),
        TEST(a_jump_onto_commands_runs_them_once),
        TEST(a_loop_meets_commands_each_time),
        TEST(one_true_condition_is_enough),
        TEST(the_last_conditions_count),
        TEST(what_cannot_be_evaluated_stops),
        TEST(registers_that_cannot_be_read_stop),
        TEST(two_kinds_at_one_address),
        TEST(steps_stop_all_the_same),
        TEST(an_interrupt_is_not_lost_to_a_false_condition),
        TEST(commands_run_instead_of_stopping),
        TEST(commands_run_once_an_arrival),
        TEST(persistent_ones_stay_until_the_next_debugger),
        TEST(persistent_commands_run_without_a_debugger),
        TEST(those_that_fail_without_a_debugger_are_deleted),
        TEST(attaching_again_clears_what_persists),
        TEST(so_does_starting_again),
        TEST(but_not_when_that_is_refused),
        TEST(malformed_lists_are_refused),
        TEST(what_all_hold_is_bounded),
        TEST(a_refused_breakpoint_is_not_remembered),
        TEST(as_many_as_anybody_wants),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
