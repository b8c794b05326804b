#include "debug/catchpoints.h"

#include "unit.h"

#include <string.h>

static void refused(const char *words)
{
    struct catchpoints catches = {.count = 0};
    struct mh_error err;
    assert_int_equal(catchpoints_add(&catches, words, &err), MH_ERR_RANGE);
    assert_text_has(err.text, "catch: say out PORT");
    assert_int_equal(catches.count, 0);
}

static struct catchpoints of(const char *words)
{
    struct catchpoints catches = {.count = 0};
    assert_int_equal(catchpoints_add(&catches, words, NULL), MH_OK);
    assert_int_equal(catches.last_number, 1);
    return catches;
}

static bool caught(const char *words, const struct mh_event *event)
{
    struct catchpoints catches = of(words);
    catchpoints_note(&catches, event);
    catchpoints_remove(&catches, 0);
    return catches.hit;
}

static void words_that_make_no_sense_are_refused(void **state)
{
    static const char *const nonsense[] = {"",           "out",       "out x",         "out 0x10000", "out -1",
                                           "in 1 x",     "in 1 2 3",  "file",          "file seek a", "file open a b",
                                           "fault 0x20", "fault -14", "fault 14 more", "cr3 0",       "outside 1"};
    char long_name[300] = "file open ";
    (void)state;
    for (size_t i = 0; i < sizeof nonsense / sizeof nonsense[0]; i++)
        refused(nonsense[i]);
    memset(long_name + strlen(long_name), 'x', 256);
    refused(long_name);
}

static void ports_are_told_apart(void **state)
{
    const struct mh_event out = {.kind = MH_EVENT_PORT, .port = 0xe9, .width = 1, .count = 1, .value = 0x41};
    struct mh_event in = out;
    in.is_in = true;
    (void)state;
    assert_true(caught("out 0xe9", &out));
    assert_true(caught("  out   233   65  ", &out));
    assert_false(caught("out 0xe9 66", &out));
    assert_false(caught("out 0xe8", &out));
    assert_false(caught("in 0xe9", &out));
    assert_true(caught("in 0xe9 0x41", &in));
    assert_false(caught("cr3", &out));
}

static void files_are_told_apart(void **state)
{
    const struct mh_event event = {.kind = MH_EVENT_FILE, .op = MH_FILE_READ, .name = "notes.txt", .result = 5};
    (void)state;
    assert_true(caught("file read", &event));
    assert_true(caught("file read notes.txt", &event));
    assert_false(caught("file read notes", &event));
    assert_false(caught("file write notes.txt", &event));
}

static void faults_are_told_apart(void **state)
{
    const struct mh_event event = {.kind = MH_EVENT_FAULT, .vector = 14, .handler = 0x1000};
    (void)state;
    assert_true(caught("fault", &event));
    assert_true(caught("fault 14", &event));
    assert_false(caught("fault 0", &event));
}

static void the_first_of_several_events_is_told(void **state)
{
    struct catchpoints catches = of("out 1");
    const struct mh_event event = {.kind = MH_EVENT_PORT, .port = 1, .width = 4, .count = 3, .value = 7};
    const struct mh_event later = {.kind = MH_EVENT_PORT, .port = 1, .width = 1, .count = 1, .value = 9};
    (void)state;
    catchpoints_note(&catches, &event);
    catchpoints_note(&catches, &later);
    assert_string_equal(catches.text, "catchpoint 1: out port 0x1, 4 bytes: 0x00000007 and 2 more");
    catchpoints_remove(&catches, 0);
}

static void only_some_need_stepping(void **state)
{
    struct catchpoints catches = of("out 1");
    (void)state;
    assert_false(catches.by_step);
    assert_int_equal(catchpoints_add(&catches, "cr3", NULL), MH_OK);
    assert_true(catches.by_step);
    assert_true(catchpoints_remove(&catches, 2));
    assert_false(catches.by_step);
    assert_true(catchpoints_watch_port(&catches, 1));
    assert_false(catchpoints_watch_port(&catches, 2));
    assert_true(catchpoints_remove(&catches, 0));
    assert_null(catches.list);
    assert_false(catchpoints_watch_port(&catches, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_that_make_no_sense_are_refused),
        cmocka_unit_test(ports_are_told_apart),
        cmocka_unit_test(files_are_told_apart),
        cmocka_unit_test(faults_are_told_apart),
        cmocka_unit_test(the_first_of_several_events_is_told),
        cmocka_unit_test(only_some_need_stepping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
