#include "debug/catchpoints.h"

#include "taken_text.h"
#include "unit.h"

#include <string.h>

static void refused(const char *words)
{
    struct catchpoints catchpoints = {.count = 0};
    struct mh_error err;
    assert_int_equal(catchpoints_add(&catchpoints, words, &err), MH_ERR_RANGE);
    assert_text_has(err.text, "catch: say out PORT");
    assert_int_equal(catchpoints.count, 0);
}

static struct catchpoints of(const char *words)
{
    struct catchpoints catchpoints = {.count = 0};
    assert_int_equal(catchpoints_add(&catchpoints, words, NULL), MH_OK);
    assert_int_equal(catchpoints.last_number, 1);
    return catchpoints;
}

static bool caught(const char *words, const struct mh_event *event)
{
    struct catchpoints catchpoints = of(words);
    char text[64];
    bool is_hit = catchpoints_match(&catchpoints, event, text, sizeof text);
    catchpoints_remove(&catchpoints, 0);
    return is_hit;
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

static void the_first_catchpoint_that_is_hit_is_named(void **state)
{
    struct catchpoints catchpoints = of("out 2");
    const struct mh_event event = {.kind = MH_EVENT_PORT, .port = 1, .width = 4, .count = 3, .value = 7};
    char text[128] = "as was";
    (void)state;
    assert_false(catchpoints_match(&catchpoints, &event, text, sizeof text));
    assert_string_equal(text, "as was");
    assert_int_equal(catchpoints_add(&catchpoints, "out 1", NULL), MH_OK);
    assert_int_equal(catchpoints_add(&catchpoints, "out 1 7", NULL), MH_OK);
    assert_true(catchpoints_match(&catchpoints, &event, text, sizeof text));
    assert_string_equal(text, "catchpoint 2: out port 0x1, 4 bytes: 0x00000007 and 2 more");
    assert_true(catchpoints_match(&catchpoints, &event, text, 12)); /* cut to the room there is */
    assert_string_equal(text, "catchpoint ");
    catchpoints_remove(&catchpoints, 0);
}

static void the_processor_is_asked_to_report_only_what_is_caught(void **state)
{
    struct catchpoints catchpoints = of("out 1");
    (void)state;
    assert_int_equal(catchpoints.report, 0);
    assert_int_equal(catchpoints_add(&catchpoints, "cr3", NULL), MH_OK);
    assert_int_equal(catchpoints.report, CPU_REPORT_CR3);
    assert_int_equal(catchpoints_add(&catchpoints, "fault 3", NULL), MH_OK);
    assert_int_equal(catchpoints.report, CPU_REPORT_CR3 | CPU_REPORT_FAULTS);
    assert_true(catchpoints_remove(&catchpoints, 2));
    assert_false(catchpoints_remove(&catchpoints, 2));
    assert_int_equal(catchpoints.report, CPU_REPORT_FAULTS);
    assert_true(catchpoints_watch_port(&catchpoints, 1));
    assert_false(catchpoints_watch_port(&catchpoints, 2));
    assert_true(catchpoints_remove(&catchpoints, 0));
    assert_int_equal(catchpoints.report, 0);
    assert_null(catchpoints.list);
    assert_false(catchpoints_watch_port(&catchpoints, 1));
}

static void the_list_has_an_end_and_numbers_are_not_used_again(void **state)
{
    struct catchpoints catchpoints = of("cr3");
    struct mh_error err;
    struct taken_text taken = {.length = 0};
    const struct text_output output = {.sink = take_text, .ctx = &taken};
    (void)state;
    for (unsigned i = 1; i < CATCHPOINTS_MAX; i++)
        assert_int_equal(catchpoints_add(&catchpoints, "fault 14", NULL), MH_OK);
    assert_int_equal(catchpoints_add(&catchpoints, "cr3", &err), MH_ERR_RANGE);
    assert_text_has(err.text, "there are 32 catchpoints already");
    assert_true(catchpoints_remove(&catchpoints, 1));
    assert_int_equal(catchpoints_add(&catchpoints, "in 0xe9 0x41", &err), MH_OK);
    assert_int_equal(catchpoints.last_number, CATCHPOINTS_MAX + 1);
    catchpoints_list(&catchpoints, &output);
    assert_text_has(taken.bytes, "2  fault 14\n");
    assert_text_has(taken.bytes, "33  in 0xe9 0x41\n");
    catchpoints_remove(&catchpoints, 0);
    clear_text(&taken);
    catchpoints_list(&catchpoints, &output);
    assert_string_equal(taken.bytes, "no catchpoints\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_that_make_no_sense_are_refused),
        cmocka_unit_test(ports_are_told_apart),
        cmocka_unit_test(files_are_told_apart),
        cmocka_unit_test(faults_are_told_apart),
        cmocka_unit_test(the_first_catchpoint_that_is_hit_is_named),
        cmocka_unit_test(the_processor_is_asked_to_report_only_what_is_caught),
        cmocka_unit_test(the_list_has_an_end_and_numbers_are_not_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
