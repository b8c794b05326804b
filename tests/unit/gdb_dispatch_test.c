#include "gdbstub/dispatch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

/* The name of the command a packet is, "" when none; its arguments must be `args`. */
static const char *found(const char *packet, const char *args)
{
    struct gdb_text rest = gdb_text_of("");
    const struct gdb_command *command = gdb_command_find(gdb_text_of(packet), &rest);

    if (!command)
        return "";
    assert_true(gdb_text_is(&rest, args));
    return command->name;
}

static void names_lead_to_commands(void **state)
{
    (void)state;
    assert_string_equal(found("?", ""), "?");
    assert_string_equal(found("m0,4", "0,4"), "m");
    assert_string_equal(found("vCont;c:1", "c:1"), "vCont");
    assert_string_equal(found("vCont?", ""), "vCont?");
    assert_string_equal(found("qC", ""), "qC");
    assert_string_equal(found("qCRC:0,1", "0,1"), "qCRC");
    assert_string_equal(found("qSupported", ""), "qSupported");
    assert_string_equal(found("qSupported:a;b", "a;b"), "qSupported");
    assert_string_equal(found("D", ""), "D");
    assert_string_equal(found("D;1", "1"), "D");
    assert_string_equal(found("qRcmd,", ""), "qRcmd");
    assert_string_equal(found("qXfer:features:read:target.xml:0,1", "target.xml:0,1"), "qXfer:features:read");
    assert_string_equal(found("vFile:open:00,0,0", "00,0,0"), "vFile:open");
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
        "QNonStop:1",
        "qTStatusx",
        "qTBuffer",
        "QTBuffer",
        "QTDPx",
        "QTSave:00",
        "jThreadsInfo",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++)
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

static void whatever_resumes_is_acknowledged_first(void **state)
{
    static const char *const resuming[] = {"c", "C01", "s", "S01", "vCont;c"};
    struct gdb_text args;

    (void)state;
    for (size_t i = 0; i < sizeof(resuming) / sizeof(resuming[0]); i++)
        assert_true(gdb_command_find(gdb_text_of(resuming[i]), &args)->later);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_lead_to_commands),
        cmocka_unit_test(what_only_looks_like_a_command_is_none),
        cmocka_unit_test(the_table_has_no_doubles),
        cmocka_unit_test(whatever_resumes_is_acknowledged_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
