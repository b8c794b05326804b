/* Reading and writing registers, against the fake machines. */
#include "fake_debugger.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

#define TEXTS "error-message+"

/* In a session that has read the description first. */
static const char *ask_described(struct fake_debugger *debugger, const char *packet)
{
    fake_debugger_packet(debugger, "qSupported:" TEXTS);
    fake_debugger_packet(debugger, "qXfer:features:read:target.xml:0,10");
    fake_debugger_packet(debugger, packet);
    fake_debugger_run(debugger);
    return fake_debugger_last(debugger, 0)->text;
}

static void registers_are_read(void **state)
{
    struct fake_debugger *debugger = *state;
    const char *all = ask_described(debugger, "g");
    struct gdb_x86_layout layout;
    static const struct fake_exchange list[] = {
        {"p10", "0010000000000000"},
        {"p11", "02000000"},
        {"p12", "08000000"},
        {"p20", "7f030000"},
        {"pff", "E.no register has number 255"},
        {"pffffffffffffffff", "E.no register has number 18446744073709551615"},
        {"p", "E.malformed packet"},
        {"p1x", "E.malformed packet"},
        {"p10000000000000000", "E.malformed packet"},
    };

    gdb_x86_layout_init(&layout, debugger->fake.xcr0);
    /* g ends where the MSRs begin */
    size_t bytes = 0;
    for (unsigned i = 0; i < layout.g_count; i++)
        bytes += layout.reg[i]->size;
    assert_int_equal(strlen(all), 2 * bytes);
    assert_int_equal(layout.g_bytes, bytes);
    assert_int_equal(layout.count - layout.g_count, 7);
    assert_memory_equal(all + 32 * 8,
                        "0010000000000000"
                        "02000000",
                        24);
    fake_debugger_expect_each(debugger, TEXTS, list, COUNT(list));
}

static void registers_are_written(void **state)
{
    struct fake_debugger *debugger = *state;
    struct fake_machine *machine = fake_machine(&debugger->fake, 1);
    static const struct fake_exchange list[] = {
        {"P10=8877665544332211", "OK"},
        {"P12=01000100", "E.cs has 16 bits"},
        {"P12=10000000", "OK"},
        {"P10=00", "E.malformed packet"},
        {"P10=00000000000000000", "E.malformed packet"},
        {"P10=000000000000000g", "E.malformed packet"},
        {"P10", "E.malformed packet"},
        {"P10:0000000000000000", "E.malformed packet"},
        {"P=00", "E.malformed packet"},
        {"Pffff=00", "E.no register has number 65535"},
    };

    fake_debugger_expect_each(debugger, TEXTS, list, COUNT(list));
    assert_true(machine->regs.general.rip == 0x1122334455667788);
    assert_int_equal(machine->regs.system.seg[MH_CS].selector, 0x10);
}

static void refusals_of_registers_are_told(void **state)
{
    struct fake_debugger *debugger = *state;
    struct gdb_x86_layout layout;
    char packet[64];

    gdb_x86_layout_init(&layout, debugger->fake.xcr0);
    snprintf(packet, sizeof packet, "P%x=00000000", (unsigned)gdb_x86_find(&layout, "cr0"));
    assert_string_equal(fake_debugger_ask(debugger, TEXTS, packet), "E.cr0: protection stays on");
    assert_string_equal(fake_debugger_ask(debugger, "", packet), "E01");
    debugger->fake.refuse_regs = true;
    assert_string_equal(fake_debugger_ask(debugger, TEXTS, "g"), "E.rax is shy");
    assert_string_equal(fake_debugger_ask(debugger, TEXTS, "p0"), "E.rax is shy");
    assert_string_equal(fake_debugger_ask(debugger, TEXTS, "P0=0000000000000000"), "E.rax is shy");
    assert_string_equal(fake_debugger_ask(debugger, TEXTS, "?"), "T05thread:1;");
}

static void without_a_description_only_what_all_know_is_sent(void **state)
{
    const size_t known = 164 + 80 + 32 + 256 + 4;
    char packet[8192];

    assert_int_equal(strlen(fake_debugger_ask(*state, TEXTS, "g")), 2 * known);
    snprintf(packet, sizeof packet, "G%s", fake_debugger_ask(*state, TEXTS, "g"));
    assert_string_equal(fake_debugger_ask(*state, TEXTS, packet), "OK");
    assert_string_equal(ask_described(*state, packet), "E.malformed packet");
}

/* With several machines gdb 18 forgets a description that it has read. */
static void with_several_machines_no_description_counts(void **state)
{
    char undescribed[8192];

    snprintf(undescribed, sizeof undescribed, "%s", fake_debugger_ask(*state, TEXTS, "g"));
    assert_string_equal(ask_described(*state, "g"), undescribed);
}

static void all_registers_are_written_at_once(void **state)
{
    struct fake_debugger *debugger = *state;
    struct fake_machine *machine = fake_machine(&debugger->fake, 1);
    char packet[8192];

    snprintf(packet, sizeof packet, "G%s", ask_described(debugger, "g"));
    assert_string_equal(ask_described(debugger, packet), "OK");
    assert_int_equal(machine->written_groups, 0); /* nothing differs */
    memcpy(packet + 1, "2a00000000000000", 16);
    assert_string_equal(ask_described(debugger, packet), "OK");
    assert_int_equal(machine->written_groups, MH_REGS_GENERAL);
    assert_int_equal(machine->regs.general.gpr[MH_RAX], 0x2a);
    packet[strlen(packet) - 1] = '\0';
    assert_string_equal(ask_described(debugger, packet), "E.malformed packet");
    assert_string_equal(ask_described(debugger, "G"), "E.malformed packet");
    packet[5] = 'z';
    assert_string_equal(ask_described(debugger, packet), "E.malformed packet");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fake_debugger_of_one, fake_debugger_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(registers_are_read),
        TEST(registers_are_written),
        TEST(refusals_of_registers_are_told),
        TEST(without_a_description_only_what_all_know_is_sent),
        TEST(all_registers_are_written_at_once),
        cmocka_unit_test_setup_teardown(with_several_machines_no_description_counts, fake_debugger_of_two,
                                        fake_debugger_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
