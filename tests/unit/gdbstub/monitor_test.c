/* The monitor commands, against the fake machines. */
#include "fake_debugger.h"
#include "protocol/hex.h"
#include "unit.h"

#include <string.h>

#define TEXTS "error-message+"

/* Send a monitor command; the last reply. */
static const char *monitor(struct fake_debugger *debugger, const char *features, const char *command)
{
    char packet[256] = "qRcmd,";

    gdb_hex_encode(packet + 6, (const uint8_t *)command, strlen(command));
    return fake_debugger_ask(debugger, features, packet);
}

/* The console text of the last command, from its `back`-th last reply. */
static const char *console(struct fake_debugger *debugger, unsigned back, char *text, size_t size)
{
    const struct fake_reply *reply = fake_debugger_last(debugger, back);

    assert_int_equal(reply->text[0], 'O');
    assert_true(reply->length / 2 < size);
    assert_true(gdb_hex_decode((uint8_t *)text, reply->text + 1, reply->length - 1));
    text[(reply->length - 1) / 2] = '\0';
    return text;
}

static void monitor_answers_on_the_console(void **state)
{
    struct fake_debugger *debugger = *state;
    char text[4096];

    assert_string_equal(monitor(debugger, "", "help"), "OK");
    assert_non_null(strstr(console(debugger, 1, text, sizeof text), "phys on|off"));
    assert_string_equal(monitor(debugger, "", ""), "OK");
    assert_string_equal(monitor(debugger, "", "  map "), "OK");
    assert_string_equal(console(debugger, 1, text, sizeof text), "mapped: everything\n");
    assert_string_equal(monitor(debugger, TEXTS, "phys on"), "OK");
    assert_string_equal(console(debugger, 1, text, sizeof text), "memory commands name guest-physical addresses\n");
    assert_string_equal(monitor(debugger, TEXTS, "phys"), "OK");
    assert_string_equal(monitor(debugger, TEXTS, "phys maybe"), "E.phys: expected on or off");
    assert_string_equal(fake_debugger_ask(debugger, TEXTS, "qRcmd,"), "OK");
    assert_string_equal(fake_debugger_ask(debugger, TEXTS, "qRcmd,6"), "E.malformed packet");
    assert_string_equal(fake_debugger_ask(debugger, TEXTS, "qRcmd,zz"), "E.malformed packet");
}

static void colors_are_shown_on_request(void **state)
{
    struct fake_debugger *debugger = *state;
    static const char *const commands[] = {"color", "color on", "map", "color off", "map"};
    static const char *const texts[] = {"map and pt are shown without color\n", "map and pt are shown in color\n",
                                        "mapped: \033[32meverything\033[0m\n", "map and pt are shown without color\n",
                                        "mapped: everything\n"};
    char text[4096], packet[256] = "qRcmd,";

    for (size_t i = 0; i < COUNT(commands); i++) {
        gdb_hex_encode(packet + 6, (const uint8_t *)commands[i], strlen(commands[i]));
        packet[6 + 2 * strlen(commands[i])] = '\0';
        fake_debugger_packet(debugger, packet);
    }
    fake_debugger_run(debugger);
    assert_int_equal(debugger->reply_count, 2 * COUNT(commands));
    for (unsigned i = 0; i < COUNT(commands); i++)
        assert_string_equal(console(debugger, 2 * ((unsigned)COUNT(commands) - 1 - i) + 1, text, sizeof text),
                            texts[i]);
    assert_string_equal(monitor(debugger, TEXTS, "color auto"), "E.color: expected on or off");
}

static void unknown_monitor_commands_are_errors_with_help(void **state)
{
    struct fake_debugger *debugger = *state;
    char text[4096];

    assert_string_equal(monitor(debugger, TEXTS, "reset now"), "E.reset takes no argument");
    assert_string_equal(monitor(debugger, TEXTS, "help reset"), "OK");
    assert_string_equal(monitor(debugger, TEXTS, "resetx"), "E.no such command: resetx (see \"monitor help\")");
    assert_string_equal(monitor(debugger, "", "nonsense"), "E01");
    assert_non_null(strstr(console(debugger, 1, text, sizeof text), "no such command: nonsense"));
}

static void an_ended_machine_says_so(void **state)
{
    struct fake_debugger *debugger = *state;
    static const char *const commands[] = {"map", "restore start"};
    char text[4096];

    fake_debugger_expect(debugger, "", "vCont;c", "W00");
    for (size_t i = 0; i < COUNT(commands); i++) {
        assert_string_equal(monitor(debugger, "", commands[i]), "E01");
        assert_non_null(
            strstr(console(debugger, 1, text, sizeof text), "has ended; use run or monitor reset to start it again\n"));
        assert_non_null(
            strstr(monitor(debugger, TEXTS, commands[i]), "has ended; use run or monitor reset to start it again"));
    }
}

static void long_output_comes_in_several_packets(void **state)
{
    struct fake_debugger *debugger = *state;
    size_t total = 0;

    assert_string_equal(monitor(debugger, "", "flood"), "OK");
    for (unsigned i = 1; i + 1 < debugger->reply_count; i++) {
        assert_true(debugger->replies[i].length <= GDB_PACKET_SIZE);
        total += (debugger->replies[i].length - 1) / 2;
    }
    assert_int_equal(total, 5000 * strlen("mapped: everything\n"));
}

static void reset_starts_over(void **state)
{
    struct fake_debugger *debugger = *state;
    struct fake_machine *machine = fake_machine(&debugger->fake, 1);

    machine->regs.general.rip = 0x1800;
    assert_string_equal(monitor(debugger, TEXTS, "reset"), "OK");
    assert_int_equal(machine->restarts, 1);
    assert_true(machine->regs.general.rip == FAKE_START);
    debugger->fake.refuse_restart = true;
    assert_string_equal(monitor(debugger, TEXTS, "reset"), "E.the image is gone");
}

static void restore_puts_back_and_gdb_is_told_what_to_forget(void **state)
{
    struct fake_debugger *debugger = *state;
    struct fake_machine *machine = fake_machine(&debugger->fake, 1);

    machine->regs.general.rip = 0x1800;
    assert_string_equal(monitor(debugger, TEXTS, "restore nothing"), "E.there is no snapshot 'nothing'");
    assert_true(machine->regs.general.rip == 0x1800);
    assert_string_equal(monitor(debugger, TEXTS, "restore start"), "OK");
    assert_true(machine->regs.general.rip == FAKE_START);
}

static void a_machine_half_put_back_has_ended(void **state)
{
    struct fake_debugger *debugger = *state;

    assert_string_equal(monitor(debugger, TEXTS, "restore broken"), "E.half of it is missing");
    assert_int_equal(debugger->machines.list[0].state, GDB_MACHINE_ENDED);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fake_debugger_of_two, fake_debugger_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(monitor_answers_on_the_console),
        TEST(colors_are_shown_on_request),
        TEST(unknown_monitor_commands_are_errors_with_help),
        TEST(an_ended_machine_says_so),
        TEST(long_output_comes_in_several_packets),
        TEST(reset_starts_over),
        TEST(restore_puts_back_and_gdb_is_told_what_to_forget),
        TEST(a_machine_half_put_back_has_ended),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
