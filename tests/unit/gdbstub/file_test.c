/* Files of the machines that a debugger fetches. */
#include "fake_debugger.h"
#include "unit.h"

#define TEXTS "error-message+"

static void files_are_read(void **state)
{
    struct fake_debugger *debugger = *state;
    static const char text[] = "what the guest wrote: $ # } *\n";
    static const struct fake_exchange list[] = {
        {"vFile:setfs:1", "F0"},          {"vFile:open:6e6f7465732e747874,0,0", "F0"}, /* notes.txt */
        {"vFile:fstat:0", NULL},          {"vFile:pread:0,1000,0", NULL},
        {"vFile:pread:0,4,5", "F4;the "}, {"vFile:pread:0,4,fff", "F0;"},
        {"vFile:close:0", "F0"},          {"vFile:close:0", "F-1,9"},
        {"vFile:pread:0,4,0", "F-1,9"},
    };

    fake_debugger_expect_session(debugger, list, COUNT(list));
    assert_memory_equal(debugger->replies[2].text, "F40;", 4);
    assert_int_equal(debugger->replies[2].length, 4 + 64);
    assert_memory_equal(debugger->replies[2].text + 4 + 8, "\0\0\x81\x24", 4); /* a regular file, 0444 */
    assert_int_equal(debugger->replies[2].text[4 + 35], sizeof text - 1);
    const struct fake_reply *read = &debugger->replies[3];
    assert_memory_equal(read->text, "F1e;", 4);
    assert_memory_equal(read->text + 4, text, sizeof text - 1);
}

static void nothing_else_of_the_host_can_be_had(void **state)
{
    static const struct fake_exchange list[] = {
        {"vFile:open:2f6574632f706173737764,0,0", "F-1,d"},
        {"vFile:open:6e6f6e65,0,0", "F-1,2"},
        {"vFile:open:6e6f7465732e747874,1,0", "F-1,1e"},
        {"vFile:open:6e6f7465732e747874,200,1b6", "F-1,1e"},
        {"vFile:open:,0,0", "F-1,16"},
        {"vFile:open:6e0061,0,0", "F-1,16"},
        {"vFile:open:6e6,0,0", "F-1,16"},
        {"vFile:open:6e", "F-1,16"},
        {"vFile:open:6e,0", "F-1,16"},
        {"vFile:open:6e,0,0,0", "F-1,16"},
        {"vFile:unlink:6e6f7465732e747874", "F-1,1e"},
        {"vFile:pwrite:0,0,abc", "F-1,1e"},
        {"vFile:readlink:2f", "F-1,16"},
        {"vFile:fstat:0", "F-1,9"},
        {"vFile:fstat:ffffffffff", "F-1,9"},
        {"vFile:close:", "F-1,9"},
        {"vFile:pread:8,1,0", "F-1,9"},
        {"vFile:setfs:x", "F-1,16"},
    };

    fake_debugger_expect_each(*state, TEXTS, list, COUNT(list));
}

static void files_are_few_and_closed_at_the_end(void **state)
{
    struct fake_debugger *debugger = *state;

    for (unsigned i = 0; i <= GDB_FILES_MAX; i++)
        fake_debugger_packet(debugger, "vFile:open:6e6f7465732e747874,0,0");
    fake_debugger_packet(debugger, "vFile:pread:0,1,ffffffffffffffff");
    fake_debugger_run(debugger);
    assert_string_equal(fake_debugger_last(debugger, 1)->text, "F-1,18");
    assert_string_equal(fake_debugger_last(debugger, 0)->text, "F-1,16");
    for (unsigned i = 0; i < GDB_FILES_MAX; i++)
        assert_int_equal(debugger->session.files[i], -1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fake_debugger_of_two, fake_debugger_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(files_are_read),
        TEST(nothing_else_of_the_host_can_be_had),
        TEST(files_are_few_and_closed_at_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
