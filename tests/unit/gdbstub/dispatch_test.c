#include "packets/dispatch.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

/* The name of the command a packet is, "" when none; its arguments must be `args`. */
static const char *found(const char *packet, const char *args)
{
    struct gdb_text rest = gdb_text_of("");
    const struct gdb_command *command = gdb_command_find(gdb_text_of(packet), &rest);

    if (command == NULL)
        return "";
    assert_true(gdb_text_is(&rest, args));
    return command->name;
}

static void names_lead_to_commands(void **state)
{
    static const struct {
        const char *packet, *name, *args;
    } known[] = {
        {"?", "?", ""},
        {"m0,4", "m", "0,4"},
        {"vCont;c:1", "vCont", "c:1"},
        {"vCont?", "vCont?", ""},
        {"qC", "qC", ""},
        {"qCRC:0,1", "qCRC", "0,1"},
        {"qSupported", "qSupported", ""},
        {"qSupported:a;b", "qSupported", "a;b"},
        {"D", "D", ""},
        {"D;1", "D", "1"},
        {"qRcmd,", "qRcmd", ""},
        {"qXfer:features:read:target.xml:0,1", "qXfer:features:read", "target.xml:0,1"},
        {"vFile:open:00,0,0", "vFile:open", "00,0,0"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(known); i++)
        assert_string_equal(found(known[i].packet, known[i].args), known[i].name);
}

static void what_only_looks_like_a_command_is_none(void **state)
{
    static const char *const strangers[] = {
        "",
        "??",
        "gg",
        "qCx",
        "qSupportedx",
        "D1",
        "vCont",
        "vContx",
        "vCont?x",
        "vRun",
        "vFile:open",
        "vFile",
        "qXfer",
        "qXfer:features:write:a:0,1",
        "qXfer:auxv:read::0,1",
        "QStartNoAckModex",
        "k1",
        "vCtrlCx",
        "q",
        "Q",
        "v",
        "b",
        "r",
        "qCRC",
        "qRcmd",
        "\x01",
        "QNonStop",
        "qTStatusx",
        "qTBuffer",
        "QTBuffer",
        "QTDPx",
        "QTSave:00",
        "jThreadsInfo",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(strangers); i++)
        assert_string_equal(found(strangers[i], ""), "");
}

static void the_table_has_no_doubles(void **state)
{
    size_t count;
    const struct gdb_command *table = gdb_command_table(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        assert_non_null(table[i].run);
        assert_true((table[i].args == GDB_ARGS_AFTER || table[i].args == GDB_ARGS_OPTIONAL) ==
                    (table[i].separator != '\0'));
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(table[i].name, table[j].name);
    }
}

static void rows_are_in_the_order_of_their_first_characters(void **state)
{
    size_t count;
    const struct gdb_command *table = gdb_command_table(&count);

    (void)state;
    for (size_t i = 1; i < count; i++)
        assert_true(table[i - 1].name[0] <= table[i].name[0]);
    for (size_t i = 0; i < count; i++) {
        char packet[64];
        const bool has_args = table[i].separator != '\0';

        assert_in_range(snprintf(packet, sizeof packet, has_args ? "%s%c" : "%s", table[i].name, table[i].separator), 1,
                        sizeof packet - 1);
        assert_string_equal(found(packet, ""), table[i].name);
    }
}

static void whatever_resumes_is_acknowledged_first(void **state)
{
    static const char *const resuming[] = {"c", "C01", "s", "S01", "vCont;c"};
    struct gdb_text args;

    (void)state;
    for (size_t i = 0; i < COUNT(resuming); i++)
        assert_true(gdb_command_find(gdb_text_of(resuming[i]), &args)->flags & GDB_LATER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_lead_to_commands),
        cmocka_unit_test(what_only_looks_like_a_command_is_none),
        cmocka_unit_test(the_table_has_no_doubles),
        cmocka_unit_test(rows_are_in_the_order_of_their_first_characters),
        cmocka_unit_test(whatever_resumes_is_acknowledged_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
