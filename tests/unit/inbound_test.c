#include "inbound.h"

#include "unit.h"

#include <string.h>

/* A source that gives what the test wants and remembers what it was asked for. */
struct source {
    int64_t result;
    size_t asked;
};

static int64_t give(void *ctx, void *to, size_t length)
{
    struct source *source = ctx;
    source->asked = length;
    if (source->result > 0)
        memset(to, 'x', (size_t)source->result);
    return source->result;
}

static void what_the_source_gives_comes_in_and_is_counted(void **state)
{
    (void)state;
    struct inbound inbound = {0};
    struct source source = {.result = 3};
    char to[8] = "";
    assert_int_equal(inbound_fill(&inbound, to, sizeof to, give, &source), 3);
    assert_int_equal(source.asked, sizeof to);
    assert_string_equal(to, "xxx");
    assert_int_equal(inbound.bytes, 3);
}

static void nothing_and_failures_are_passed_on_and_not_counted(void **state)
{
    (void)state;
    struct inbound inbound = {.bytes = 10};
    static const int64_t results[] = {0, -1, -5, INT64_MIN};
    for (size_t i = 0; i < COUNT(results); i++) {
        struct source source = {.result = results[i]};
        char to[8] = "as was";
        assert_true(inbound_fill(&inbound, to, sizeof to, give, &source) == results[i]);
        assert_string_equal(to, "as was");
    }
    assert_int_equal(inbound.bytes, 10);
}

static void copies_come_in_whole(void **state)
{
    (void)state;
    struct inbound inbound = {0};
    char to[4] = "";
    inbound_copy(&inbound, to, "abc", 3);
    inbound_copy(&inbound, to, "z", 1);
    assert_string_equal(to, "zbc");
    assert_int_equal(inbound.bytes, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_source_gives_comes_in_and_is_counted),
        cmocka_unit_test(nothing_and_failures_are_passed_on_and_not_counted),
        cmocka_unit_test(copies_come_in_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
