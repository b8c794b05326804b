#include "report/timeline.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>

static int set_up(void **state)
{
    *state = test_calloc(1, sizeof(struct report_timeline));
    return 0;
}

static int tear_down(void **state)
{
    test_free(*state);
    return 0;
}

/* One byte out of the serial port, at a time that is also its count of instructions. */
static struct mh_event serial_out(uint64_t at)
{
    return (struct mh_event){.kind = MH_EVENT_PORT,
                             .port = MH_PORT_SERIAL,
                             .width = 1,
                             .count = 1,
                             .value = 'x',
                             .has_instructions = true,
                             .instructions = at,
                             .has_rip = true,
                             .rip = 0x1000 + at};
}

static void add(struct report_timeline *timeline, uint64_t at, struct mh_event event)
{
    event.has_instructions = true;
    event.instructions = at;
    report_timeline_event(timeline, 1000 + at, &event);
}

static struct mh_event file_call(uint8_t op, const char *name, int64_t result)
{
    return (struct mh_event){.kind = MH_EVENT_FILE, .op = op, .name = name, .result = result};
}

static void what_repeats_is_one_entry(void **state)
{
    struct report_timeline *timeline = *state;
    add(timeline, 0, (struct mh_event){.kind = MH_EVENT_EXIT, .reason = "start"});
    for (uint64_t i = 10; i < 20; i++)
        add(timeline, i, serial_out(i));
    add(timeline, 30, (struct mh_event){.kind = MH_EVENT_CR3, .now = 0x5000});
    add(timeline, 40, serial_out(40));
    assert_int_equal(report_timeline_kept(timeline), 3);
    const struct timeline_entry *entry = report_timeline_at(timeline, 0);
    assert_int_equal(entry->count, 10);
    assert_int_equal(entry->bytes, 10);
    assert_int_equal(entry->begin, 10);
    assert_int_equal(entry->end, 19);
    assert_int_equal(entry->first, 10);
    assert_int_equal(entry->last, 19);
    assert_int_equal(entry->rip, 0x100a);
    assert_int_equal(report_timeline_at(timeline, 1)->value, 0x5000);
    assert_int_equal(report_timeline_at(timeline, 2)->count, 1);
    assert_int_equal(timeline->end, 40);
}

static void a_machine_that_goes_back_begins_an_entry(void **state)
{
    struct report_timeline *timeline = *state;
    add(timeline, 20, serial_out(20));
    add(timeline, 10, serial_out(10));
    assert_int_equal(report_timeline_kept(timeline), 2);
}

static void files_are_counted_by_name(void **state)
{
    struct report_timeline *timeline = *state;
    add(timeline, 1, file_call(MH_FILE_OPEN, "a", 0));
    add(timeline, 2, file_call(MH_FILE_READ, "a", 100));
    add(timeline, 3, file_call(MH_FILE_READ, "a", 20));
    add(timeline, 4, file_call(MH_FILE_OPEN, "b", -2));
    add(timeline, 5, file_call(MH_FILE_WRITE, "a", 7));
    add(timeline, 6, file_call(200, "", -38));
    assert_int_equal(timeline->file_count, 2);
    assert_string_equal(timeline->files[0].name, "a");
    assert_int_equal(timeline->files[0].calls[MH_FILE_READ], 2);
    assert_int_equal(timeline->files[0].bytes_read, 120);
    assert_int_equal(timeline->files[0].bytes_written, 7);
    assert_int_equal(timeline->files[1].failed, 1);
    assert_int_equal(report_timeline_kept(timeline), 5);
    assert_int_equal(report_timeline_at(timeline, 1)->bytes, 120);
    assert_int_equal((int64_t)report_timeline_at(timeline, 2)->value, -2);
    assert_int_equal(report_timeline_at(timeline, 4)->file, TIMELINE_NO_FILE);
    assert_int_equal(timeline->unlisted_calls, 0);
}

static void files_beyond_the_limit_have_no_names(void **state)
{
    struct report_timeline *timeline = *state;
    char name[MH_FILE_NAME_MAX + 1];
    memset(name, 'n', MH_FILE_NAME_MAX);
    name[MH_FILE_NAME_MAX] = '\0';
    for (unsigned i = 0; i < TIMELINE_FILES_MAX + 10; i++) {
        name[0] = (char)('!' + i);
        add(timeline, i, file_call(MH_FILE_OPEN, name, 0));
    }
    assert_int_equal(timeline->file_count, TIMELINE_FILES_MAX);
    assert_int_equal(strlen(timeline->files[0].name), MH_FILE_NAME_MAX);
    assert_int_equal(report_timeline_at(timeline, TIMELINE_FILES_MAX)->file, TIMELINE_NO_FILE);
    assert_int_equal(timeline->unlisted_calls, 10);
}

static void of_a_long_run_the_first_and_the_last_are_kept(void **state)
{
    struct report_timeline *timeline = *state;
    const unsigned all = TIMELINE_ENTRIES + 2 * TIMELINE_LAST + 7;
    for (unsigned i = 0; i < all; i++)
        add(timeline, i, (struct mh_event){.kind = MH_EVENT_PORT, .port = (uint16_t)(i % 2), .count = 1, .width = 1});
    assert_int_equal(timeline->count, all);
    assert_int_equal(report_timeline_kept(timeline), TIMELINE_ENTRIES);
    for (unsigned i = 0; i < TIMELINE_ENTRIES; i++)
        assert_int_equal(report_timeline_at(timeline, i)->first, i < TIMELINE_FIRST ? i : i + all - TIMELINE_ENTRIES);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_repeats_is_one_entry),
        TEST(a_machine_that_goes_back_begins_an_entry),
        TEST(files_are_counted_by_name),
        TEST(files_beyond_the_limit_have_no_names),
        TEST(of_a_long_run_the_first_and_the_last_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
