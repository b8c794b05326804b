/* The log of answers: what was recorded is answered again, and nothing else. */
#include "replay/port_log.h"

#include "mh/guest_abi.h"
#include "unit.h"

#include <stdlib.h>

struct fixture {
    struct port_log log;
    struct guest_ram ram, other; /* recorded from, replayed to */
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    assert_int_equal(ram_create(&f->ram, 2 * MB, NULL), MH_OK);
    assert_int_equal(ram_create(&f->other, 2 * MB, NULL), MH_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    port_log_free(&f->log);
    ram_free(&f->ram);
    ram_free(&f->other);
    test_free(f);
    return 0;
}

static const struct mh_event no_call = {.op = 0};

static struct cpu_exit access_of(uint16_t port, uint8_t width, bool is_in, uint32_t count, uint8_t *data)
{
    return (struct cpu_exit){
        .kind = CPU_EXIT_IO, .port = port, .width = width, .is_in = is_in, .count = count, .data = data};
}

static void record(struct fixture *f, struct cpu_exit exit, const struct mh_event *file)
{
    port_log_begin(&f->log);
    port_log_finish(&f->log, &exit, file);
}

static void record_in(struct fixture *f, uint16_t port, uint8_t width, uint32_t value)
{
    record(f, access_of(port, width, true, 1, (uint8_t *)&value), &no_call);
}

static enum port_replay replay(struct fixture *f, struct port_cursor *cursor, struct cpu_exit exit,
                               struct mh_event *file)
{
    return port_log_replay(&f->log, cursor, &exit, &f->other, file);
}

static void an_in_gets_its_answer_again(void **state)
{
    struct fixture *f = *state;
    struct port_cursor cursor = {0};
    struct mh_event file;
    uint32_t data = 0;
    record_in(f, 0x10, 4, 0x12345678);
    assert_int_equal(replay(f, &cursor, access_of(0x10, 4, true, 1, (uint8_t *)&data), &file), PORT_REPLAYED);
    assert_int_equal(data, 0x12345678);
    assert_int_equal(file.op, 0);
    assert_true(port_log_is_at_end(&f->log, &cursor));
    assert_int_equal(replay(f, &cursor, access_of(0x10, 4, true, 1, (uint8_t *)&data), &file), PORT_REPLAY_ENDED);
}

static void an_out_without_an_answer_takes_no_room(void **state)
{
    struct fixture *f = *state;
    struct port_cursor cursor = {0};
    struct mh_event file;
    uint8_t data = 1;
    record(f, access_of(0x10, 1, false, 1, &data), &no_call);
    assert_int_equal(f->log.length, 0);
    assert_int_equal(f->log.accesses, 1);
    assert_int_equal(replay(f, &cursor, access_of(0x10, 1, false, 1, &data), &file), PORT_REPLAYED);
    assert_true(port_log_is_at_end(&f->log, &cursor));
}

static void printing_has_no_number(void **state)
{
    struct fixture *f = *state;
    struct port_cursor cursor = {0};
    struct mh_event file;
    uint8_t data = 'x';
    record(f, access_of(MH_PORT_SERIAL, 1, false, 1, &data), &no_call);
    assert_int_equal(f->log.accesses, 0);
    assert_int_equal(replay(f, &cursor, access_of(MH_PORT_SERIAL, 1, false, 1, &data), &file), PORT_REPLAYED);
}

/* KVM leaves once for a whole string instruction, software for each repetition. */
static void repetitions_can_be_replayed_one_by_one(void **state)
{
    struct fixture *f = *state;
    struct port_cursor cursor = {0};
    struct mh_event file;
    uint8_t data[] = {1, 2, 3}, got = 0;
    record(f, access_of(MH_PORT_SERIAL, 1, true, 3, data), &no_call);
    assert_int_equal(f->log.accesses, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(replay(f, &cursor, access_of(MH_PORT_SERIAL, 1, true, 1, &got), &file), PORT_REPLAYED);
        assert_int_equal(got, data[i]);
    }
    cursor = (struct port_cursor){0};
    uint8_t all[3] = {0};
    assert_int_equal(replay(f, &cursor, access_of(MH_PORT_SERIAL, 1, true, 3, all), &file), PORT_REPLAYED);
    assert_memory_equal(all, data, 3);
}

static void writes_to_memory_are_done_again(void **state)
{
    struct fixture *f = *state;
    struct port_cursor cursor = {0};
    struct mh_event file;
    uint8_t address[4] = {0};
    const struct mh_event call = {.kind = MH_EVENT_FILE, .op = MH_FILE_READ, .name = "notes.txt", .result = 5};
    struct cpu_exit exit = access_of(MH_PORT_FILE, 4, false, 1, address);
    port_log_begin(&f->log);
    port_log_wrote(&f->log, mh_gpa_of(0x1000), "hello", 5);
    port_log_wrote(&f->log, mh_gpa_of(2 * MB - 1), "!", 1);
    port_log_finish(&f->log, &exit, &call);
    assert_int_equal(replay(f, &cursor, exit, &file), PORT_REPLAYED);
    assert_memory_equal(f->other.host + 0x1000, "hello", 5);
    assert_int_equal(f->other.host[2 * MB - 1], '!');
    assert_int_equal(file.op, MH_FILE_READ);
    assert_int_equal(file.result, 5);
    assert_string_equal(file.name, "notes.txt");
}

static void a_different_access_is_noticed(void **state)
{
    struct fixture *f = *state;
    struct mh_event file;
    uint8_t data[4] = {7, 7, 7, 7};
    const struct cpu_exit others[] = {access_of(0x11, 1, true, 1, data), access_of(0x10, 2, true, 1, data),
                                      access_of(0x10, 1, false, 1, data)};
    record_in(f, 0x10, 1, 1);
    for (unsigned i = 0; i < COUNT(others); i++) {
        struct port_cursor cursor = {0};
        assert_int_equal(replay(f, &cursor, others[i], &file), PORT_REPLAY_DIFFERS);
        assert_int_equal(cursor.access, 0);
        assert_int_equal(data[0], 7);
    }
}

static void an_in_where_nothing_was_read_is_noticed(void **state)
{
    struct fixture *f = *state;
    struct port_cursor cursor = {0};
    struct mh_event file;
    uint8_t data = 7;
    record(f, access_of(0x10, 1, false, 1, &data), &no_call);
    record_in(f, 0x10, 1, 1);
    assert_int_equal(replay(f, &cursor, access_of(0x10, 1, true, 1, &data), &file), PORT_REPLAY_DIFFERS);
    assert_int_equal(cursor.access, 0);
}

static void a_cancelled_access_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    record_in(f, 0x10, 1, 1);
    const size_t length = f->log.length;
    port_log_begin(&f->log);
    port_log_wrote(&f->log, mh_gpa_of(0), "abc", 3);
    port_log_cancel(&f->log);
    assert_int_equal(f->log.length, length);
    assert_int_equal(f->log.accesses, 1);
}

static void a_cut_log_goes_on_from_there(void **state)
{
    struct fixture *f = *state;
    struct port_cursor cursor = {0}, middle;
    struct mh_event file;
    uint8_t data = 0;
    for (unsigned i = 0; i < 10; i++)
        record_in(f, 0x10, 1, i);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(replay(f, &cursor, access_of(0x10, 1, true, 1, &data), &file), PORT_REPLAYED);
    middle = cursor;
    port_log_cut(&f->log, &middle);
    assert_true(port_log_is_at_end(&f->log, &middle));
    record_in(f, 0x10, 1, 77);
    assert_int_equal(replay(f, &cursor, access_of(0x10, 1, true, 1, &data), &file), PORT_REPLAYED);
    assert_int_equal(data, 77);
    assert_true(port_log_is_at_end(&f->log, &cursor));
}

/* ---- random sequences ---- */

struct made {
    struct cpu_exit exit;
    uint8_t data[4];
};

static uint64_t next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
    return *seed >> 33;
}

static void make_random(struct fixture *f, struct made *made, uint64_t *seed)
{
    static const uint16_t ports[] = {MH_PORT_SERIAL, MH_PORT_FILE, 0x10};
    const struct mh_event call = {.op = (uint8_t)(1 + next(seed) % 6), .name = "a", .result = -2};
    made->exit = access_of(ports[next(seed) % 3], (uint8_t)(1u << next(seed) % 3), next(seed) % 2, 1, NULL);
    uint32_t value = (uint32_t)next(seed);
    memcpy(made->data, &value, sizeof value);
    struct cpu_exit exit = made->exit;
    exit.data = made->data;
    port_log_begin(&f->log);
    bool is_call = exit.port == MH_PORT_FILE && !exit.is_in && exit.width == 4;
    for (unsigned i = 0; is_call && i < next(seed) % 3; i++)
        port_log_wrote(&f->log, mh_gpa_of(next(seed) % (2 * MB - 4)), made->data, 4);
    port_log_finish(&f->log, &exit, is_call ? &call : &no_call);
}

static void replay_random(struct fixture *f, struct made *made, unsigned count)
{
    struct port_cursor cursor = {0};
    struct mh_event file;
    for (unsigned i = 0; i < count; i++) {
        uint8_t got[4] = {0};
        struct cpu_exit exit = made[i].exit;
        exit.data = got;
        assert_int_equal(replay(f, &cursor, exit, &file), PORT_REPLAYED);
        if (exit.is_in)
            assert_memory_equal(got, made[i].data, exit.width);
    }
    assert_true(port_log_is_at_end(&f->log, &cursor));
}

#define RANDOM 2000u

static void random_sequences_repeat(void **state)
{
    struct fixture *f = *state;
    struct made *made = test_calloc(RANDOM, sizeof *made);
    for (uint64_t seed = 1; seed < 20; seed++) {
        uint64_t chance = seed;
        port_log_free(&f->log);
        for (unsigned i = 0; i < RANDOM; i++)
            make_random(f, &made[i], &chance);
        replay_random(f, made, RANDOM);
    }
    test_free(made);
}

/* ---- logs from elsewhere ---- */

static void a_foreign_log_replays_like_its_original(void **state)
{
    struct fixture *f = *state;
    struct made *made = test_calloc(RANDOM, sizeof *made);
    struct port_log copy = {.bytes = NULL};
    uint64_t chance = 5;
    for (unsigned i = 0; i < RANDOM; i++)
        make_random(f, &made[i], &chance);
    assert_true(port_log_append_foreign(&copy, f->log.bytes, f->log.length, f->log.accesses, &f->other));
    port_log_free(&f->log);
    f->log = copy;
    replay_random(f, made, RANDOM);
    test_free(made);
}

/* Whatever is changed: it is refused, or it can be replayed without harm. */
static void damaged_logs_do_no_harm(void **state)
{
    struct fixture *f = *state;
    struct made made[40];
    uint64_t chance = 9;
    for (unsigned i = 0; i < COUNT(made); i++)
        make_random(f, &made[i], &chance);
    const size_t length = f->log.length;
    for (size_t bit = 0; bit < length * 8; bit++) {
        struct port_log copy = {.bytes = NULL};
        uint8_t *damaged = test_malloc(length); /* of its own size, so that a tool sees a byte too much */
        memcpy(damaged, f->log.bytes, length);
        damaged[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (port_log_append_foreign(&copy, damaged, length, f->log.accesses, &f->other)) {
            struct port_cursor cursor = {0};
            struct mh_event file;
            for (unsigned i = 0; i < COUNT(made); i++) {
                uint8_t got[4];
                struct cpu_exit exit = made[i].exit;
                exit.data = got;
                if (port_log_replay(&copy, &cursor, &exit, &f->other, &file) != PORT_REPLAYED)
                    break;
            }
        }
        port_log_free(&copy);
        test_free(damaged);
    }
}

static void cut_off_logs_are_refused(void **state)
{
    struct fixture *f = *state;
    struct port_log copy = {.bytes = NULL};
    record_in(f, 0x10, 4, 1);
    for (size_t length = 1; length < f->log.length; length++)
        assert_false(port_log_append_foreign(&copy, f->log.bytes, length, 1, &f->other));
    assert_false(port_log_append_foreign(&copy, f->log.bytes, f->log.length, 0, &f->other));
    assert_true(port_log_append_foreign(&copy, f->log.bytes, f->log.length, 1, &f->other));
    assert_false(port_log_append_foreign(&copy, f->log.bytes, f->log.length, 2, &f->other)); /* twice the same */
    port_log_free(&copy);
}

/* What is complete may be taken away while an access is under way. */
static void answers_are_dropped_around_an_open_access(void **state)
{
    struct fixture *f = *state;
    struct port_cursor cursor = {.access = 2, .answered = 1};
    struct mh_event file;
    uint32_t data = 5, got = 0;
    const struct cpu_exit exit = access_of(0x10, 4, true, 1, (uint8_t *)&data);
    record_in(f, 0x10, 4, 1);
    record(f, access_of(0x10, 1, false, 1, (uint8_t *)&data), &no_call);
    port_log_begin(&f->log);
    port_log_wrote(&f->log, mh_gpa_of(0x100), "abc", 3);
    port_log_drop_answers(&f->log);
    assert_int_equal(f->log.length, sizeof(struct port_write) + 3);
    port_log_finish(&f->log, &exit, &no_call);
    assert_int_equal(replay(f, &cursor, access_of(0x10, 4, true, 1, (uint8_t *)&got), &file), PORT_REPLAYED);
    assert_int_equal(got, 5);
    assert_memory_equal(f->other.host + 0x100, "abc", 3);
}

/* ---- interrupts ---- */

static void interrupts_come_where_they_came(void **state)
{
    struct fixture *f = *state;
    struct port_cursor cursor = {0};
    struct mh_event file;
    uint32_t data = 0;
    uint8_t byte = 0, vector = 1;
    record_in(f, MH_PORT_SERIAL, 1, 'a');
    port_log_interrupt(&f->log, 7, false, 32);
    port_log_interrupt(&f->log, 7, true, 0);
    port_log_interrupt(&f->log, 9, false, 33);
    record_in(f, MH_PORT_SERIAL, 1, 'b');
    assert_false(port_log_replay_interrupt(&f->log, &cursor, 7, false, &vector));
    assert_int_equal(replay(f, &cursor, access_of(MH_PORT_SERIAL, 1, true, 1, &byte), &file), PORT_REPLAYED);
    assert_false(port_log_replay_interrupt(&f->log, &cursor, 6, false, &vector)); /* a byte is still to be printed */
    assert_false(port_log_replay_interrupt(&f->log, &cursor, 7, true, &vector));
    assert_int_equal(replay(f, &cursor, access_of(0x10, 4, true, 1, (uint8_t *)&data), &file), PORT_REPLAY_DIFFERS);
    assert_true(port_log_replay_interrupt(&f->log, &cursor, 7, false, &vector));
    assert_int_equal(vector, 32);
    assert_false(port_log_replay_interrupt(&f->log, &cursor, 7, false, &vector));
    assert_true(port_log_replay_interrupt(&f->log, &cursor, 7, true, &vector));
    assert_int_equal(vector, 0);
    assert_true(port_log_replay_interrupt(&f->log, &cursor, 9, false, &vector));
    assert_int_equal(vector, 33);
    assert_int_equal(replay(f, &cursor, access_of(MH_PORT_SERIAL, 1, true, 1, &byte), &file), PORT_REPLAYED);
    assert_int_equal(byte, 'b');
    assert_true(port_log_is_at_end(&f->log, &cursor));
}

static void an_interrupt_behind_accesses_without_answers_waits_for_them(void **state)
{
    struct fixture *f = *state;
    struct port_cursor cursor = {0};
    struct mh_event file;
    uint8_t data = 1, vector;
    const struct cpu_exit exit = access_of(0x10, 1, false, 1, &data);
    record(f, exit, &no_call);
    record(f, exit, &no_call);
    port_log_interrupt(&f->log, 0, false, 32);
    record(f, exit, &no_call);
    assert_int_equal(replay(f, &cursor, exit, &file), PORT_REPLAYED);
    assert_false(port_log_replay_interrupt(&f->log, &cursor, 0, false, &vector));
    assert_int_equal(replay(f, &cursor, exit, &file), PORT_REPLAYED);
    assert_int_equal(replay(f, &cursor, exit, &file), PORT_REPLAY_DIFFERS);
    assert_true(port_log_replay_interrupt(&f->log, &cursor, 0, false, &vector));
    assert_int_equal(replay(f, &cursor, exit, &file), PORT_REPLAYED);
}

/* An interrupt with other contents: is it taken? */
static bool is_taken(struct fixture *f, const struct port_interrupt *interrupt)
{
    struct port_log copy = {.bytes = NULL};
    const size_t length = 1 + sizeof *interrupt;
    uint8_t *bytes = test_malloc(f->log.length);
    memcpy(bytes, f->log.bytes, f->log.length);
    memcpy(bytes + f->log.length - length + 1, interrupt, sizeof *interrupt);
    bool taken = port_log_append_foreign(&copy, bytes, f->log.length, f->log.accesses, &f->other);
    port_log_free(&copy);
    test_free(bytes);
    return taken;
}

static void foreign_interrupts_are_checked(void **state)
{
    struct fixture *f = *state;
    record_in(f, 0x10, 4, 1);
    record_in(f, 0x10, 4, 2);
    port_log_interrupt(&f->log, 0, false, 32);
    assert_true(is_taken(f, &(struct port_interrupt){.access = 2, .vector = 255}));
    assert_true(is_taken(f, &(struct port_interrupt){.access = 2, .at_halt = 1}));
    assert_false(is_taken(f, &(struct port_interrupt){.access = 2}));
    assert_false(is_taken(f, &(struct port_interrupt){.access = 2, .vector = 13}));
    assert_false(is_taken(f, &(struct port_interrupt){.access = 2, .vector = 32, .at_halt = 2}));
    assert_false(is_taken(f, &(struct port_interrupt){.access = 1, .vector = 32}));
    assert_false(is_taken(f, &(struct port_interrupt){.access = 3, .vector = 32}));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_in_gets_its_answer_again),
        TEST(an_out_without_an_answer_takes_no_room),
        TEST(printing_has_no_number),
        TEST(repetitions_can_be_replayed_one_by_one),
        TEST(writes_to_memory_are_done_again),
        TEST(a_different_access_is_noticed),
        TEST(an_in_where_nothing_was_read_is_noticed),
        TEST(a_cancelled_access_leaves_nothing),
        TEST(a_cut_log_goes_on_from_there),
        TEST(random_sequences_repeat),
        TEST(a_foreign_log_replays_like_its_original),
        TEST(damaged_logs_do_no_harm),
        TEST(cut_off_logs_are_refused),
        TEST(answers_are_dropped_around_an_open_access),
        TEST(interrupts_come_where_they_came),
        TEST(an_interrupt_behind_accesses_without_answers_waits_for_them),
        TEST(foreign_interrupts_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
