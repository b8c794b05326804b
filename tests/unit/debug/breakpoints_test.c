#include "debug/breakpoints.h"

#include "unit.h"

#include <string.h>

static int set_up(void **state)
{
    *state = test_calloc(1, sizeof(struct breakpoints));
    return 0;
}

static int tear_down(void **state)
{
    breakpoints_destroy(*state);
    test_free(*state);
    return 0;
}

static enum mh_status add_for(struct breakpoints *b, unsigned owners, enum mh_break_kind kind, uint64_t address,
                              uint64_t length)
{
    const struct breakpoint added = {.kind = kind, .address = address, .length = length, .owners = owners};
    return breakpoints_add(b, &added, NULL);
}

static enum mh_status add(struct breakpoints *b, enum mh_break_kind kind, uint64_t address, uint64_t length)
{
    return add_for(b, MH_OWNER_DEBUGGER, kind, address, length);
}

static void take_off(struct breakpoints *b, unsigned owners, enum mh_break_kind kind, uint64_t address, uint64_t length)
{
    const struct breakpoint removed = {.kind = kind, .address = address, .length = length, .owners = owners};
    breakpoints_remove(b, &removed);
}

static void refused(struct breakpoints *b, enum mh_break_kind kind, uint64_t address, uint64_t length,
                    const char *words)
{
    const struct breakpoint added = {.kind = kind, .address = address, .length = length, .owners = MH_OWNER_DEBUGGER};
    struct mh_error err = {.text = ""};
    size_t count = b->count;
    assert_int_equal(breakpoints_add(b, &added, &err), MH_ERR_RANGE);
    assert_text_has(err.text, words);
    assert_int_equal(b->count, count);
}

/* Has the list changed since it was armed last? */
static bool changes(struct breakpoints *b)
{
    bool have_changed = b->have_changed;
    breakpoints_points(b);
    return have_changed;
}

static void what_is_there_is_not_added_twice(void **state)
{
    struct breakpoints *b = *state;
    assert_int_equal(add(b, MH_BREAK_SOFTWARE, 1, 1), MH_OK);
    assert_int_equal(add(b, MH_BREAK_SOFTWARE, 1, 1), MH_OK);
    assert_int_equal(add(b, MH_BREAK_HARDWARE, 1, 1), MH_OK);
    assert_int_equal(add(b, MH_BREAK_WATCH_WRITE, 1, 1), MH_OK);
    assert_int_equal(add(b, MH_BREAK_WATCH_WRITE, 1, 2), MH_OK); /* another length is another watchpoint */
    assert_int_equal(b->count, 4);
    take_off(b, MH_OWNER_DEBUGGER, MH_BREAK_SOFTWARE, 1, 1);
    take_off(b, MH_OWNER_DEBUGGER, MH_BREAK_SOFTWARE, 1, 1);
    take_off(b, MH_OWNER_DEBUGGER, MH_BREAK_WATCH_WRITE, 1, 4);
    assert_int_equal(b->count, 3);
    assert_int_equal(breakpoints_at(b, 1)->kind, MH_BREAK_HARDWARE);
}

static void a_point_stays_until_its_last_owner_leaves(void **state)
{
    struct breakpoints *b = *state;
    assert_int_equal(add_for(b, MH_OWNER_DEBUGGER, MH_BREAK_SOFTWARE, 1, 1), MH_OK);
    assert_true(changes(b));
    assert_int_equal(add_for(b, MH_OWNER_TRACEPOINT, MH_BREAK_SOFTWARE, 1, 1), MH_OK);
    assert_int_equal(b->count, 1);
    assert_int_equal(b->list[0].owners, MH_OWNER_DEBUGGER | MH_OWNER_TRACEPOINT);
    take_off(b, MH_OWNER_DEBUGGER, MH_BREAK_SOFTWARE, 1, 1);
    take_off(b, MH_OWNER_DEBUGGER, MH_BREAK_SOFTWARE, 1, 1);
    assert_int_equal(b->count, 1);
    assert_false(changes(b)); /* to the processor it is the same */
    take_off(b, MH_OWNER_TRACEPOINT, MH_BREAK_SOFTWARE, 1, 1);
    assert_int_equal(b->count, 0);
    assert_true(changes(b));
}

static void an_owner_takes_off_only_its_own(void **state)
{
    struct breakpoints *b = *state;
    add_for(b, MH_OWNER_TRACEPOINT, MH_BREAK_SOFTWARE, 1, 1);
    take_off(b, MH_OWNER_DEBUGGER, MH_BREAK_SOFTWARE, 1, 1);
    assert_int_equal(b->count, 1);
    breakpoints_clear(b); /* a debugger that leaves takes all along */
    assert_int_equal(b->count, 0);
    assert_null(breakpoints_at(b, 1));
}

static void the_order_stays_and_points_follow_it(void **state)
{
    struct breakpoints *b = *state;
    for (uint64_t i = 0; i < 100; i++)
        assert_int_equal(add(b, i % 2 == 0 ? MH_BREAK_SOFTWARE : MH_BREAK_WATCH_READ, i, 1), MH_OK);
    for (uint64_t i = 0; i < 100; i += 4)
        take_off(b, MH_OWNER_DEBUGGER, MH_BREAK_SOFTWARE, i, 1);
    assert_int_equal(b->count, 75);
    const struct cpu_point *points = breakpoints_points(b);
    for (size_t i = 0; i < b->count; i++) {
        assert_int_equal(points[i].address, b->list[i].address);
        assert_int_equal(points[i].kind, points[i].address % 2 == 0 ? CPU_POINT_EXECUTE : CPU_POINT_READ);
        assert_true(i == 0 || points[i].address > points[i - 1].address);
    }
}

static void the_list_has_an_end(void **state)
{
    struct breakpoints *b = *state;
    /* all but one are there already, which keeps the test short: adding looks for doubles */
    for (uint64_t i = 0; i < 40; i++)
        assert_int_equal(add(b, MH_BREAK_SOFTWARE, i, 1), MH_OK);
    size_t count = b->count;
    b->count = BREAKPOINTS_MAX; /* none behind `count` is looked at before the refusal, but for doubles */
    struct breakpoint *list = b->list;
    b->list = test_calloc(BREAKPOINTS_MAX, sizeof *list);
    refused(b, MH_BREAK_SOFTWARE, 0x1000, 1, "there are 65536 break- and watchpoints already");
    test_free(b->list);
    b->list = list;
    b->count = count;
}

static void what_cannot_be_is_refused_in_words(void **state)
{
    struct breakpoints *b = *state;
    refused(b, MH_BREAK_WATCH_WRITE, 0, 0, "cannot watch 0 bytes");
    refused(b, MH_BREAK_WATCH_READ, UINT64_MAX - 3, 8, "beyond the end of the address space");
    refused(b, MH_BREAK_WATCH_READ, 2, UINT64_MAX, "beyond the end of the address space");
    assert_int_equal(add(b, MH_BREAK_WATCH_READ, UINT64_MAX - 3, 4), MH_OK);
    assert_int_equal(add(b, MH_BREAK_SOFTWARE, UINT64_MAX, 1), MH_OK); /* no memory need be there */
}

static void of_two_breakpoints_at_one_place_the_software_one_is_named(void **state)
{
    struct breakpoints *b = *state;
    add(b, MH_BREAK_WATCH_ACCESS, 5, 1);
    assert_null(breakpoints_at(b, 5));
    add(b, MH_BREAK_HARDWARE, 5, 1);
    assert_int_equal(breakpoints_at(b, 5)->kind, MH_BREAK_HARDWARE);
    add(b, MH_BREAK_SOFTWARE, 5, 1);
    assert_int_equal(breakpoints_at(b, 5)->kind, MH_BREAK_SOFTWARE);
    assert_null(breakpoints_at(b, 6));
}

static void clearing_nothing_changes_nothing(void **state)
{
    struct breakpoints *b = *state;
    breakpoints_clear(b);
    assert_false(changes(b));
    add(b, MH_BREAK_SOFTWARE, 5, 1);
    breakpoints_clear(b);
    assert_true(changes(b));
    breakpoints_destroy(b);
    assert_null(b->list);
    assert_int_equal(add(b, MH_BREAK_SOFTWARE, 5, 1), MH_OK); /* and it may be used again */
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_there_is_not_added_twice),
        TEST(a_point_stays_until_its_last_owner_leaves),
        TEST(an_owner_takes_off_only_its_own),
        TEST(the_order_stays_and_points_follow_it),
        TEST(the_list_has_an_end),
        TEST(what_cannot_be_is_refused_in_words),
        TEST(of_two_breakpoints_at_one_place_the_software_one_is_named),
        TEST(clearing_nothing_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
