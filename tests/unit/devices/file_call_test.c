/* File calls in memory, by the second guest's port; and that both ways are the same. */
#include "ports.h"
#include "unit.h"

#include <string.h>

#define CALL_AT 0x1000u
#define BUFFER_AT 0x2000u
#define NOT_ANSWERED INT64_MIN

static int64_t call_at(struct ports *f, struct mh_file_call call, uint64_t address)
{
    call.result = NOT_ANSWERED;
    memcpy(f->memory.host + address, &call, sizeof call);
    file_port_call(f->port[1], &f->memory, &f->inbound, mh_gpa_of(address));
    memcpy(&call, f->memory.host + address, sizeof call);
    return call.result;
}

static int64_t call(struct ports *f, struct mh_file_call call)
{
    return call_at(f, call, CALL_AT);
}

static int64_t call_open(struct ports *f, const char *name, uint32_t flags)
{
    memcpy(f->memory.host + BUFFER_AT, name, strlen(name));
    return call(f,
                (struct mh_file_call){.op = MH_FILE_OPEN, .flags = flags, .buffer = BUFFER_AT, .length = strlen(name)});
}

static struct mh_file_call transfer(uint32_t op, uint64_t buffer, uint64_t length)
{
    return (struct mh_file_call){.op = op, .fd = 0, .buffer = buffer, .length = length};
}

static void calls_in_memory_do_the_same(void **state)
{
    struct ports *f = *state;
    assert_int_equal(call_open(f, "notes.txt", MH_O_READ | MH_O_WRITE), 0);
    assert_int_equal(call(f, transfer(MH_FILE_READ, BUFFER_AT, 5)), 5);
    assert_memory_equal(f->memory.host + BUFFER_AT, "these", 5);
    memcpy(f->memory.host + BUFFER_AT, " NOTES", 6);
    assert_int_equal(call(f, transfer(MH_FILE_WRITE, BUFFER_AT, 6)), 6);
    assert_true(on_host(f, "vm-files/2-two/notes.txt", "these NOTES belong to everybody"));
    assert_int_equal(call(f, (struct mh_file_call){.op = MH_FILE_SEEK, .flags = MH_SEEK_END, .offset = -9}), 22);
    assert_int_equal(call(f, (struct mh_file_call){.op = MH_FILE_SIZE}), strlen(NOTES));
    assert_int_equal(call(f, (struct mh_file_call){.op = MH_FILE_CLOSE}), 0);
    assert_int_equal(call(f, (struct mh_file_call){.op = MH_FILE_CLOSE}), -MH_EBADF);
}

static void a_call_changes_only_its_result(void **state)
{
    struct ports *f = *state;
    const struct mh_file_call before = {
        .op = MH_FILE_SIZE, .fd = 3, .flags = 7, .buffer = 8, .length = 9, .offset = 10};
    struct mh_file_call after = before;
    call(f, before);
    memcpy(&after, f->memory.host + CALL_AT, sizeof after);
    assert_memory_equal(&after, &before, offsetof(struct mh_file_call, result));
    assert_int_equal(after.result, -MH_EBADF);
}

static void buffers_outside_ram_are_refused(void **state)
{
    struct ports *f = *state;
    static const struct {
        uint64_t buffer, length;
    } bad[] = {
        {2 * MB, 1},     {2 * MB - 1, 2}, {2 * MB + 1, 0},         {0, 2 * MB + 1},      {MH_SYSTEM_AREA, 1},
        {UINT64_MAX, 0}, {UINT64_MAX, 1}, {UINT64_MAX, 2},         {0, UINT64_MAX},      {BUFFER_AT, UINT64_MAX},
        {1ull << 32, 8}, {1ull << 63, 8}, {BUFFER_AT, 1ull << 63}, {2 * MB, 1ull << 32},
    };
    assert_int_equal(call_open(f, "own", MH_O_READ | MH_O_WRITE), 0);
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(call(f, transfer(MH_FILE_READ, bad[i].buffer, bad[i].length)), -MH_EFAULT);
        assert_int_equal(call(f, transfer(MH_FILE_WRITE, bad[i].buffer, bad[i].length)), -MH_EFAULT);
        struct mh_file_call open = transfer(MH_FILE_OPEN, bad[i].buffer, bad[i].length);
        open.flags = MH_O_READ;
        assert_int_equal(call(f, open), -MH_EFAULT);
    }
    assert_int_equal(call(f, (struct mh_file_call){.op = MH_FILE_SIZE}), 0);
}

static void calls_without_a_buffer_ignore_where_it_would_be(void **state)
{
    struct ports *f = *state;
    assert_int_equal(call_open(f, "notes.txt", MH_O_READ), 0);
    assert_int_equal(call(f, transfer(MH_FILE_SIZE, UINT64_MAX, UINT64_MAX)), strlen(NOTES));
    assert_int_equal(call(f, transfer(MH_FILE_CLOSE, UINT64_MAX, UINT64_MAX)), 0);
}

static void buffers_up_to_the_end_of_ram_are_good(void **state)
{
    struct ports *f = *state;
    assert_int_equal(call_open(f, "notes.txt", MH_O_READ), 0);
    assert_int_equal(call(f, transfer(MH_FILE_READ, 2 * MB - 5, 5)), 5);
    assert_memory_equal(f->memory.host + 2 * MB - 5, "these", 5);
    assert_int_equal(call(f, transfer(MH_FILE_READ, 2 * MB, 0)), 0);
    static const uint8_t zero[4096];
    assert_memory_equal(ram_system_area(&f->memory), zero, sizeof zero);
}

static void a_buffer_may_be_all_of_ram_with_the_call_in_it(void **state)
{
    struct ports *f = *state;
    assert_int_equal(call_open(f, "notes.txt", MH_O_READ), 0);
    assert_int_equal(call(f, transfer(MH_FILE_READ, 0, 2 * MB)), strlen(NOTES));
    assert_memory_equal(f->memory.host, NOTES, strlen(NOTES));
    assert_int_equal(call(f, (struct mh_file_call){.op = MH_FILE_SEEK}), 0);
    assert_int_equal(call(f, transfer(MH_FILE_READ, CALL_AT, sizeof(struct mh_file_call))), strlen(NOTES));
    assert_memory_equal(f->memory.host + CALL_AT, NOTES, strlen(NOTES));
}

static void a_call_at_the_end_of_ram_is_made(void **state)
{
    struct ports *f = *state;
    const struct mh_file_call size = {.op = MH_FILE_SIZE};
    assert_int_equal(call_at(f, size, 2 * MB - sizeof size), -MH_EBADF);
    assert_int_equal(call_at(f, size, 0), -MH_EBADF);
    assert_int_equal(call_at(f, size, 0x1001), -MH_EBADF);
}

static void a_call_outside_ram_is_not_made_and_nothing_is_written(void **state)
{
    struct ports *f = *state;
    const size_t size = 2 * MB + MH_SYSTEM_AREA_SIZE;
    struct mh_file_call edge = {.op = MH_FILE_OPEN, .flags = MH_O_WRITE, .buffer = BUFFER_AT, .length = 3};
    uint8_t *before = test_malloc(size);
    memcpy(f->memory.host + BUFFER_AT, "new", 3);
    memcpy(f->memory.host + 2 * MB - sizeof edge + 1, &edge, sizeof edge); /* a byte lies in the area behind */
    memcpy(ram_system_area(&f->memory) + 0x100, &edge, sizeof edge);
    memcpy(before, f->memory.host, size);
    static const uint64_t bad[] = {2 * MB - sizeof edge + 1, 2 * MB - 1, 2 * MB, MH_SYSTEM_AREA + 0x100, UINT32_MAX};
    for (size_t i = 0; i < COUNT(bad); i++)
        file_port_call(f->port[1], &f->memory, &f->inbound, mh_gpa_of(bad[i]));
    assert_memory_equal(f->memory.host, before, size);
    assert_int_equal(f->port[1]->misuse, FILE_MISUSE_CALL_OUTSIDE);
    assert_int_equal(f->inbound.bytes, 0);
    assert_false(temp_exists(&f->files->dir, "vm-files"));
    test_free(before);
}

static void is_misuse(const struct ports *f, enum file_misuse misuse, uint32_t value)
{
    assert_int_equal(f->port[1]->misuse, misuse);
    assert_int_equal(f->port[1]->misuse_value, value);
}

static void what_must_be_zero_must_be_zero(void **state)
{
    struct ports *f = *state;
    assert_int_equal(call_open(f, "notes.txt", MH_O_READ), 0);
    for (uint32_t op = MH_FILE_OPEN; op <= MH_FILE_SIZE; op++)
        assert_int_equal(call(f, (struct mh_file_call){.op = op, .zero = 1, .buffer = BUFFER_AT}), NOT_ANSWERED);
    assert_int_equal(call(f, (struct mh_file_call){.op = MH_FILE_SIZE, .zero = 1u << 31}), NOT_ANSWERED);
    is_misuse(f, FILE_MISUSE_CALL, MH_FILE_SIZE);
    assert_int_equal(call(f, (struct mh_file_call){.op = MH_FILE_SIZE}), strlen(NOTES));
}

/* What lies there may be a structure of the guest's own: nothing in it may change. */
static void unknown_calls_change_nothing(void **state)
{
    struct ports *f = *state;
    static const uint32_t ops[] = {0, 7, 8, 255, 256, 257, 1u << 31, UINT32_MAX};
    for (size_t i = 0; i < COUNT(ops); i++) {
        f->port[1]->misuse = FILE_MISUSE_NONE;
        assert_int_equal(call(f, (struct mh_file_call){.op = ops[i]}), NOT_ANSWERED);
        is_misuse(f, FILE_MISUSE_CALL, ops[i]);
    }
    assert_int_equal(f->inbound.bytes, 0);
}

static void a_call_moves_more_than_the_other_path_at_once(void **state)
{
    struct ports *f = *state;
    memset(f->memory.host + BUFFER_AT, 'L', GUEST_BYTES);
    memcpy(f->memory.host + 0x100, "large", 5);
    assert_int_equal(
        call(f,
             (struct mh_file_call){.op = MH_FILE_OPEN, .flags = MH_O_READ | MH_O_WRITE, .buffer = 0x100, .length = 5}),
        0);
    assert_int_equal(call(f, transfer(MH_FILE_WRITE, BUFFER_AT, MB)), GUEST_BYTES);
    assert_int_equal(call(f, transfer(MH_FILE_WRITE, BUFFER_AT, 1)), -MH_EDQUOT);
    assert_int_equal(call(f, (struct mh_file_call){.op = MH_FILE_SEEK}), 0);
    assert_int_equal(call(f, transfer(MH_FILE_READ, 0x10000, MB)), GUEST_BYTES);
    assert_memory_equal(f->memory.host + 0x10000, f->memory.host + BUFFER_AT, GUEST_BYTES);
}

static void a_call_does_not_disturb_a_request_that_is_under_way(void **state)
{
    struct ports *f = *state;
    struct file_port *port = f->port[1];
    const struct request request = open_request("notes.txt", MH_O_READ);
    for (size_t i = 0; i < request.length; i++) {
        assert_int_equal(call(f, (struct mh_file_call){.op = MH_FILE_SIZE}), -MH_EBADF);
        file_port_out(port, request.bytes[i]);
    }
    for (unsigned i = 0; i < 8; i++) {
        uint8_t byte = 0xee;
        assert_int_equal(call(f, (struct mh_file_call){.op = MH_FILE_SIZE}), strlen(NOTES));
        file_port_in(port, &f->inbound, &byte);
        assert_int_equal(byte, 0);
    }
}

/* ---- both ways of making a call ---- */

static uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

static const char *const random_names[] = {"notes.txt", "a", "b", "./a", "..", "a/b", "", "missing"};

struct random_call {
    uint32_t op, flags, length;
    int32_t fd;
    int64_t offset;
    const char *name;
};

static struct random_call some_call(uint32_t *seed)
{
    return (struct random_call){
        .op = next_random(seed) % 8,
        .flags = next_random(seed) % 36,
        .length = next_random(seed) % 300,
        .fd = (int32_t)(next_random(seed) % (GUEST_OPEN_FILES + 2)) - 1,
        .offset = (int64_t)(next_random(seed) % 200) - 60,
        .name = random_names[next_random(seed) % COUNT(random_names)],
    };
}

static const char some_data[300] = "the same data for both of them, and then zeros";

static int64_t by_bytes(struct ports *f, const struct random_call *random)
{
    switch (random->op) {
    case MH_FILE_OPEN:
        return ask(f, open_request(random->name, random->flags));
    case MH_FILE_READ:
        return ask(f, read_request(random->fd, random->length));
    case MH_FILE_WRITE:
        out_number(f, MH_FILE_WRITE, 1);
        out_number(f, (uint32_t)random->fd, 4);
        out_number(f, random->length, 4);
        out(f, some_data, random->length);
        return result(f);
    case MH_FILE_SEEK:
        return ask(f, seek_request(random->fd, random->flags % 4, random->offset));
    case 0:
    case 7:
        out_number(f, random->op, 1);
        return result(f);
    default:
        return ask(f, plain_request((uint8_t)random->op, random->fd));
    }
}

static int64_t by_call(struct ports *f, const struct random_call *random)
{
    struct mh_file_call in_memory = transfer(random->op, BUFFER_AT, random->length);
    in_memory.fd = random->fd;
    in_memory.offset = random->offset;
    in_memory.flags = random->op == MH_FILE_SEEK ? random->flags % 4 : random->flags;
    if (random->op == MH_FILE_WRITE)
        memcpy(f->memory.host + BUFFER_AT, some_data, sizeof some_data);
    const int64_t got = random->op == MH_FILE_OPEN ? call_open(f, random->name, random->flags) : call(f, in_memory);
    return got == NOT_ANSWERED ? -MH_ENOSYS : got; /* what is no call is not answered in memory */
}

static void both_ways_give_the_same_results(void **state)
{
    struct ports *f = *state;
    uint32_t seed = 2463534242;
    for (unsigned i = 0; i < 5000; i++) {
        const struct random_call random = some_call(&seed);
        int64_t one = by_bytes(f, &random), other = by_call(f, &random);
        if (one != other)
            fail_msg("call %u, op %u, fd %d: %lld by bytes, %lld by a call", i, random.op, random.fd, (long long)one,
                     (long long)other);
        for (int64_t at = 0; random.op == MH_FILE_READ && at < one; at++)
            assert_int_equal(in(f), f->memory.host[BUFFER_AT + at]);
    }
}

static void too_long_names_are_the_same_error_both_ways(void **state)
{
    struct ports *f = *state;
    for (unsigned i = 0; i < 5000; i += 2)
        memcpy(f->memory.host + BUFFER_AT + i, "./", 2);
    f->memory.host[BUFFER_AT + 4999] = 'a';
    const struct mh_file_call open = {.op = MH_FILE_OPEN, .flags = MH_O_READ, .buffer = BUFFER_AT, .length = 5000};
    assert_int_equal(call(f, open), -MH_ENAMETOOLONG);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, ports_set_up, ports_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(calls_in_memory_do_the_same),
        TEST(a_call_changes_only_its_result),
        TEST(buffers_outside_ram_are_refused),
        TEST(calls_without_a_buffer_ignore_where_it_would_be),
        TEST(buffers_up_to_the_end_of_ram_are_good),
        TEST(a_buffer_may_be_all_of_ram_with_the_call_in_it),
        TEST(a_call_at_the_end_of_ram_is_made),
        TEST(a_call_outside_ram_is_not_made_and_nothing_is_written),
        TEST(what_must_be_zero_must_be_zero),
        TEST(unknown_calls_change_nothing),
        TEST(a_call_moves_more_than_the_other_path_at_once),
        TEST(a_call_does_not_disturb_a_request_that_is_under_way),
        TEST(both_ways_give_the_same_results),
        TEST(too_long_names_are_the_same_error_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
