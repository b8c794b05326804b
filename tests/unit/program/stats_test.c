#include "observe/stats.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>

static void enter(struct stats *stats, uint64_t now)
{
    const struct mh_event event = {.kind = MH_EVENT_ENTER};
    stats_event(stats, now, &event);
}

static void leave(struct stats *stats, uint64_t now, const char *reason)
{
    const struct mh_event event = {.kind = MH_EVENT_EXIT, .reason = reason};
    stats_event(stats, now, &event);
}

static void access_port(struct stats *stats, uint16_t port, uint8_t width, bool is_in, uint32_t count)
{
    const struct mh_event event = {.kind = MH_EVENT_PORT, .port = port, .width = width, .is_in = is_in, .count = count};
    stats_event(stats, 0, &event);
}

static void call_file(struct stats *stats, uint8_t op)
{
    const struct mh_event event = {.kind = MH_EVENT_FILE, .op = op, .name = ""};
    stats_event(stats, 0, &event);
}

/* The table; free() it. */
static char *table(const struct stats *stats)
{
    char *text = NULL;
    size_t length;
    FILE *stream = open_memstream(&text, &length);
    assert_non_null(stream);
    stats_print(stats, stream);
    assert_int_equal(fclose(stream), 0);
    return text;
}

static void a_table_of_exits(void **state)
{
    static const char port[] = "port access", hlt[] = "hlt";
    struct stats stats = {.reasons = 0};
    (void)state;
    enter(&stats, 1000);
    leave(&stats, 501000, port);
    enter(&stats, 502500);
    leave(&stats, 503500, port);
    enter(&stats, 504000);
    leave(&stats, 505000, hlt);
    access_port(&stats, MH_PORT_SERIAL, 1, false, 170);
    access_port(&stats, MH_PORT_SERIAL, 1, true, 3);
    access_port(&stats, MH_PORT_SERIAL, 2, false, 1000);
    access_port(&stats, 0x60, 1, true, 1000);
    call_file(&stats, MH_FILE_OPEN);
    call_file(&stats, MH_FILE_READ);
    call_file(&stats, MH_FILE_READ);
    call_file(&stats, 200);
    char *text = table(&stats);
    assert_string_equal(text, "     exits    ms outside  reason\n"
                              "         2         0.002  port access\n"
                              "         1         0.000  hlt\n"
                              "         3         0.002  all, and 0.502 ms in the guest\n"
                              "       170                bytes out of the serial port\n"
                              "         3                bytes into it\n"
                              "         1                file calls: unknown call\n"
                              "         1                file calls: open\n"
                              "         2                file calls: read\n");
    free(text);
}

static void a_machine_that_did_nothing(void **state)
{
    const struct stats stats = {.reasons = 0};
    (void)state;
    char *text = table(&stats);
    assert_text_has(text, "         0         0.000  all, and 0.000 ms in the guest\n");
    assert_text_lacks(text, "file calls");
    free(text);
}

static void more_reasons_than_there_is_room_for_are_counted_together(void **state)
{
    static const char reasons[STATS_REASONS_MAX + 5][2] = {{0}};
    struct stats stats = {.reasons = 0};
    uint64_t all = 0;
    (void)state;
    for (unsigned i = 0; i < COUNT(reasons); i++)
        leave(&stats, i, reasons[i]);
    assert_int_equal(stats.reasons, STATS_REASONS_MAX);
    for (unsigned i = 0; i < STATS_REASONS_MAX; i++)
        all += stats.exits[i].count;
    assert_int_equal(all, COUNT(reasons));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_of_exits),
        cmocka_unit_test(a_machine_that_did_nothing),
        cmocka_unit_test(more_reasons_than_there_is_room_for_are_counted_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
