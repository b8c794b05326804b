#include "devices/file.h"

#include "guest_files.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Two guests with a port each. The tests of the calls in memory use the second's RAM. */
struct fixture {
    struct guest_files *files;
    struct file_port *port[2];
    struct inbound inbound;
    struct guest_memory memory;
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    f->files = guest_files_make();
    for (unsigned i = 0; i < 2; i++) {
        f->port[i] = calloc(1, sizeof *f->port[i]); /* not test_calloc(): its guards would hide a read behind the end */
        assert_non_null(f->port[i]);
        file_port_init(f->port[i], &f->files->config[i], &f->files->stop);
    }
    assert_int_equal(memory_create(&f->memory, 2 * MB, NULL), MH_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 2; i++) {
        file_port_destroy(f->port[i]);
        free(f->port[i]);
    }
    memory_free(&f->memory);
    guest_files_remove(f->files);
    test_free(f);
    return 0;
}

/* ---- the first guest's port, byte by byte ---- */

static void out(struct fixture *f, const void *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        file_port_out(f->port[0], ((const uint8_t *)bytes)[i]);
}

static void out_number(struct fixture *f, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        file_port_out(f->port[0], (uint8_t)(value >> 8 * i));
}

static uint8_t in(struct fixture *f)
{
    uint8_t byte = 0x77;
    file_port_in(f->port[0], &f->inbound, &byte);
    return byte;
}

static int64_t result(struct fixture *f)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++)
        value |= (uint64_t)in(f) << 8 * i;
    return (int64_t)value;
}

static void reads_back(struct fixture *f, const char *text)
{
    for (; *text != '\0'; text++)
        assert_int_equal(in(f), *text);
}

static void is_idle(struct fixture *f)
{
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(in(f), 0xff);
}

/* Requests as bytes. */
struct request {
    uint8_t bytes[64];
    size_t length;
};

static void add(struct request *request, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        request->bytes[request->length++] = (uint8_t)(value >> 8 * i);
}

static struct request open_request(const char *name, uint32_t flags)
{
    struct request request = {.length = 0};
    add(&request, MH_FILE_OPEN, 1);
    add(&request, flags, 4);
    add(&request, strlen(name), 2);
    memcpy(request.bytes + request.length, name, strlen(name));
    request.length += strlen(name);
    return request;
}

static struct request plain_request(uint8_t op, int32_t fd)
{
    struct request request = {.length = 0};
    add(&request, op, 1);
    add(&request, (uint32_t)fd, 4);
    return request;
}

static struct request read_request(int32_t fd, uint32_t length)
{
    struct request request = plain_request(MH_FILE_READ, fd);
    add(&request, length, 4);
    return request;
}

static struct request write_request(int32_t fd, const char *text)
{
    struct request request = plain_request(MH_FILE_WRITE, fd);
    add(&request, strlen(text), 4);
    memcpy(request.bytes + request.length, text, strlen(text));
    request.length += strlen(text);
    return request;
}

static struct request seek_request(int32_t fd, uint32_t whence, int64_t offset)
{
    struct request request = plain_request(MH_FILE_SEEK, fd);
    add(&request, whence, 4);
    add(&request, (uint64_t)offset, 8);
    return request;
}

static int64_t ask(struct fixture *f, struct request request)
{
    out(f, request.bytes, request.length);
    return result(f);
}

static bool on_host(const struct fixture *f, const char *path, const char *text)
{
    return temp_file_is(&f->files->dir, path, text);
}

static void a_file_is_opened_read_and_closed(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(ask(f, open_request("notes.txt", MH_O_READ)), 0);
    is_idle(f);
    assert_int_equal(ask(f, plain_request(MH_FILE_SIZE, 0)), strlen(NOTES));
    assert_int_equal(ask(f, read_request(0, 11)), 11);
    reads_back(f, "these notes");
    is_idle(f);
    assert_int_equal(ask(f, read_request(0, 4000)), strlen(NOTES) - 11);
    reads_back(f, " belong to everybody");
    assert_int_equal(ask(f, read_request(0, 4000)), 0);
    assert_int_equal(ask(f, plain_request(MH_FILE_CLOSE, 0)), 0);
    assert_int_equal(ask(f, plain_request(MH_FILE_CLOSE, 0)), -MH_EBADF);
}

static void a_file_is_made_written_and_sought(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(ask(f, open_request("own", MH_O_READ | MH_O_WRITE | MH_O_CREATE)), 0);
    assert_int_equal(ask(f, write_request(0, "hello")), 5);
    assert_true(on_host(f, "vm-files/1-one/own", "hello"));
    assert_int_equal(ask(f, seek_request(0, MH_SEEK_END, -4)), 1);
    assert_int_equal(ask(f, read_request(0, 2)), 2);
    reads_back(f, "el");
    assert_int_equal(ask(f, seek_request(0, MH_SEEK_SET, INT64_MIN)), -MH_EINVAL);
    assert_int_equal(ask(f, seek_request(0, 9, 0)), -MH_EINVAL);
}

static void the_bytes_of_the_documentation_work(void **state)
{
    struct fixture *f = *state;
    out(f, "\x01\x01\0\0\0\x01\0x", 8);
    static const uint8_t enoent[] = {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    for (size_t i = 0; i < sizeof enoent; i++)
        assert_int_equal(in(f), enoent[i]);
}

static void an_idle_port_reads_as_ff(void **state)
{
    struct fixture *f = *state;
    is_idle(f);
    assert_int_equal(ask(f, open_request("notes.txt", MH_O_READ)), 0);
}

static void unknown_ops_are_answered_at_once(void **state)
{
    struct fixture *f = *state;
    for (unsigned op = 0; op < 256; op++) {
        if (op >= MH_FILE_OPEN && op <= MH_FILE_SIZE)
            continue;
        out_number(f, op, 1);
        assert_int_equal(result(f), -MH_ENOSYS);
        is_idle(f);
    }
}

static size_t all_requests(struct request *requests)
{
    size_t count = 0;
    requests[count++] = open_request("new", MH_O_WRITE);
    requests[count++] = plain_request(MH_FILE_CLOSE, 0);
    requests[count++] = read_request(0, 5);
    requests[count++] = write_request(0, "abc");
    requests[count++] = seek_request(0, MH_SEEK_SET, 3);
    requests[count++] = plain_request(MH_FILE_SIZE, 0);
    return count;
}

static void reading_before_a_request_is_whole_drops_it(void **state)
{
    struct fixture *f = *state;
    struct request requests[8];
    size_t count = all_requests(requests);
    assert_int_equal(ask(f, open_request("notes.txt", MH_O_READ)), 0);
    for (size_t i = 0; i < count; i++) {
        for (size_t length = 1; length < requests[i].length; length++) {
            out(f, requests[i].bytes, length);
            assert_int_equal(result(f), -MH_EPROTO);
            is_idle(f);
        }
    }
    assert_int_equal(ask(f, seek_request(0, MH_SEEK_CUR, 0)), 0);
    assert_int_equal(ask(f, plain_request(MH_FILE_SIZE, 0)), strlen(NOTES));
    assert_false(temp_exists(&f->files->dir, "vm-files"));
}

static void writing_before_an_answer_is_read_drops_its_rest(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(ask(f, open_request("notes.txt", MH_O_READ)), 0);
    for (unsigned taken = 0; taken < 8 + 5; taken++) {
        const struct request request = read_request(0, 5);
        assert_int_equal(ask(f, seek_request(0, MH_SEEK_SET, 0)), 0);
        out(f, request.bytes, request.length);
        for (unsigned i = 0; i < taken; i++)
            in(f);
        assert_int_equal(ask(f, plain_request(MH_FILE_SIZE, 0)), strlen(NOTES));
        is_idle(f);
    }
}

static void a_request_of_no_payload_is_whole_without_one(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(ask(f, open_request("", MH_O_READ)), -MH_ENOENT);
    assert_int_equal(ask(f, open_request("own", MH_O_WRITE)), 0);
    assert_int_equal(ask(f, write_request(0, "")), 0);
    assert_int_equal(ask(f, plain_request(MH_FILE_SIZE, 0)), 0);
}

static void a_name_that_is_too_long_is_taken_to_its_end_and_refused(void **state)
{
    struct fixture *f = *state;
    static const uint32_t lengths[] = {256, 4095, 4096, 4097, 65535};
    for (size_t i = 0; i < COUNT(lengths); i++) {
        out_number(f, MH_FILE_OPEN, 1);
        out_number(f, MH_O_WRITE, 4);
        out_number(f, lengths[i], 2);
        for (uint32_t at = 0; at < lengths[i]; at++)
            out(f, "n", 1);
        assert_int_equal(result(f), -MH_ENAMETOOLONG);
        is_idle(f);
    }
    assert_false(temp_exists(&f->files->dir, "vm-files"));
}

/* What the guest sends beyond the port's buffer is not kept, so it cannot be looked at either. */
static void a_name_of_many_dots_and_slashes_is_too_long(void **state)
{
    struct fixture *f = *state;
    static const uint32_t lengths[] = {4098, 5000, 65534};
    for (size_t i = 0; i < COUNT(lengths); i++) {
        out_number(f, MH_FILE_OPEN, 1);
        out_number(f, MH_O_READ, 4);
        out_number(f, lengths[i], 2);
        for (uint32_t at = 0; at < lengths[i] / 2; at++)
            out(f, "./", 2);
        assert_int_equal(result(f), -MH_ENAMETOOLONG);
    }
}

static void a_long_write_is_taken_to_its_end_and_comes_out_short(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(ask(f, open_request("own", MH_O_READ | MH_O_WRITE)), 0);
    out_number(f, MH_FILE_WRITE, 1);
    out_number(f, 0, 4);
    out_number(f, 100000, 4);
    for (unsigned i = 0; i < 100000; i++)
        out_number(f, i / MH_FILE_STREAM_MAX + 'a', 1);
    assert_int_equal(result(f), MH_FILE_STREAM_MAX);
    assert_int_equal(ask(f, plain_request(MH_FILE_SIZE, 0)), MH_FILE_STREAM_MAX);
    assert_int_equal(ask(f, seek_request(0, MH_SEEK_END, -1)), MH_FILE_STREAM_MAX - 1);
    assert_int_equal(ask(f, read_request(0, 1)), 1);
    reads_back(f, "a");
}

static void the_longest_write_can_be_begun_and_dropped(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(ask(f, open_request("own", MH_O_WRITE)), 0);
    out_number(f, MH_FILE_WRITE, 1);
    out_number(f, 0, 4);
    out_number(f, UINT32_MAX, 4);
    for (unsigned i = 0; i < 100000; i++)
        out(f, "x", 1);
    assert_int_equal(result(f), -MH_EPROTO);
    assert_int_equal(ask(f, plain_request(MH_FILE_SIZE, 0)), 0);
}

static void the_longest_write_ends_after_its_last_byte(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(ask(f, open_request("own", MH_O_WRITE)), 0);
    out_number(f, MH_FILE_WRITE, 1);
    out_number(f, 0, 4);
    out_number(f, UINT32_MAX, 4);
    for (unsigned i = 0; i < MH_FILE_STREAM_MAX; i++)
        out(f, "x", 1);
    f->port[0]->request.got = UINT32_MAX - 1; /* as if all but one had come: four billion calls take too long here */
    out(f, "y", 1);
    assert_int_equal(result(f), MH_FILE_STREAM_MAX);
    assert_int_equal(ask(f, plain_request(MH_FILE_SIZE, 0)), MH_FILE_STREAM_MAX);
}

static void a_long_read_comes_out_short(void **state)
{
    struct fixture *f = *state;
    char *large = test_malloc(9001);
    memset(large, 'L', 9000);
    large[9000] = '\0';
    assert_int_equal(ask(f, open_request("own", MH_O_READ | MH_O_WRITE)), 0);
    assert_int_equal(file_store_write(&f->port[0]->store, 0, large, 9000), 9000);
    assert_int_equal(ask(f, seek_request(0, MH_SEEK_SET, 0)), 0);
    assert_int_equal(ask(f, read_request(0, UINT32_MAX)), MH_FILE_STREAM_MAX);
    reads_back(f, large + 9000 - MH_FILE_STREAM_MAX);
    is_idle(f);
    assert_int_equal(ask(f, seek_request(0, MH_SEEK_CUR, 0)), MH_FILE_STREAM_MAX);
    test_free(large);
}

static void a_failed_read_is_followed_by_no_data(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(ask(f, read_request(0, 100)), -MH_EBADF);
    is_idle(f);
}

/* ---- calls in memory, by the second guest's port ---- */

#define CALL_AT 0x1000u
#define BUFFER_AT 0x2000u
#define NOT_ANSWERED INT64_MIN

static int64_t call_at(struct fixture *f, struct mh_file_call call, uint64_t address)
{
    call.result = NOT_ANSWERED;
    memcpy(f->memory.host + address, &call, sizeof call);
    file_port_call(f->port[1], &f->memory, &f->inbound, mh_gpa_of(address));
    memcpy(&call, f->memory.host + address, sizeof call);
    return call.result;
}

static int64_t call(struct fixture *f, struct mh_file_call call)
{
    return call_at(f, call, CALL_AT);
}

static int64_t call_open(struct fixture *f, const char *name, uint32_t flags)
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
    struct fixture *f = *state;
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
    struct fixture *f = *state;
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
    struct fixture *f = *state;
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
    struct fixture *f = *state;
    assert_int_equal(call_open(f, "notes.txt", MH_O_READ), 0);
    assert_int_equal(call(f, transfer(MH_FILE_SIZE, UINT64_MAX, UINT64_MAX)), strlen(NOTES));
    assert_int_equal(call(f, transfer(MH_FILE_CLOSE, UINT64_MAX, UINT64_MAX)), 0);
}

static void buffers_up_to_the_end_of_ram_are_good(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(call_open(f, "notes.txt", MH_O_READ), 0);
    assert_int_equal(call(f, transfer(MH_FILE_READ, 2 * MB - 5, 5)), 5);
    assert_memory_equal(f->memory.host + 2 * MB - 5, "these", 5);
    assert_int_equal(call(f, transfer(MH_FILE_READ, 2 * MB, 0)), 0);
    static const uint8_t zero[4096];
    assert_memory_equal(memory_system_area(&f->memory), zero, sizeof zero);
}

static void a_buffer_may_be_all_of_ram_with_the_call_in_it(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(call_open(f, "notes.txt", MH_O_READ), 0);
    assert_int_equal(call(f, transfer(MH_FILE_READ, 0, 2 * MB)), strlen(NOTES));
    assert_memory_equal(f->memory.host, NOTES, strlen(NOTES));
    assert_int_equal(call(f, (struct mh_file_call){.op = MH_FILE_SEEK}), 0);
    assert_int_equal(call(f, transfer(MH_FILE_READ, CALL_AT, sizeof(struct mh_file_call))), strlen(NOTES));
    assert_memory_equal(f->memory.host + CALL_AT, NOTES, strlen(NOTES));
}

static void a_call_at_the_end_of_ram_is_made(void **state)
{
    struct fixture *f = *state;
    const struct mh_file_call size = {.op = MH_FILE_SIZE};
    assert_int_equal(call_at(f, size, 2 * MB - sizeof size), -MH_EBADF);
    assert_int_equal(call_at(f, size, 0), -MH_EBADF);
    assert_int_equal(call_at(f, size, 0x1001), -MH_EBADF);
}

static void a_call_outside_ram_is_not_made_and_nothing_is_written(void **state)
{
    struct fixture *f = *state;
    const size_t size = 2 * MB + MH_SYSTEM_AREA_SIZE;
    struct mh_file_call edge = {.op = MH_FILE_OPEN, .flags = MH_O_WRITE, .buffer = BUFFER_AT, .length = 3};
    uint8_t *before = test_malloc(size);
    memcpy(f->memory.host + BUFFER_AT, "new", 3);
    memcpy(f->memory.host + 2 * MB - sizeof edge + 1, &edge, sizeof edge); /* a byte lies in the area behind */
    memcpy(memory_system_area(&f->memory) + 0x100, &edge, sizeof edge);
    memcpy(before, f->memory.host, size);
    static const uint64_t bad[] = {2 * MB - sizeof edge + 1, 2 * MB - 1, 2 * MB, MH_SYSTEM_AREA + 0x100, UINT32_MAX};
    for (size_t i = 0; i < COUNT(bad); i++)
        file_port_call(f->port[1], &f->memory, &f->inbound, mh_gpa_of(bad[i]));
    assert_memory_equal(f->memory.host, before, size);
    assert_int_equal(f->inbound.bytes, 0);
    assert_false(temp_exists(&f->files->dir, "vm-files"));
    test_free(before);
}

static void what_must_be_zero_must_be_zero(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(call_open(f, "notes.txt", MH_O_READ), 0);
    for (uint32_t op = MH_FILE_OPEN; op <= MH_FILE_SIZE; op++)
        assert_int_equal(call(f, (struct mh_file_call){.op = op, .zero = 1, .buffer = BUFFER_AT}), -MH_EINVAL);
    assert_int_equal(call(f, (struct mh_file_call){.op = MH_FILE_SIZE, .zero = 1u << 31}), -MH_EINVAL);
    assert_int_equal(call(f, (struct mh_file_call){.op = MH_FILE_SIZE}), strlen(NOTES));
}

static void unknown_calls_are_refused(void **state)
{
    struct fixture *f = *state;
    static const uint32_t ops[] = {0, 7, 8, 255, 256, 257, 1u << 31, UINT32_MAX};
    for (size_t i = 0; i < COUNT(ops); i++)
        assert_int_equal(call(f, (struct mh_file_call){.op = ops[i]}), -MH_ENOSYS);
}

static void a_call_moves_more_than_the_other_path_at_once(void **state)
{
    struct fixture *f = *state;
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
    struct fixture *f = *state;
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

static int64_t by_bytes(struct fixture *f, const struct random_call *random)
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

static int64_t by_call(struct fixture *f, const struct random_call *random)
{
    struct mh_file_call in_memory = transfer(random->op, BUFFER_AT, random->length);
    in_memory.fd = random->fd;
    in_memory.offset = random->offset;
    in_memory.flags = random->op == MH_FILE_SEEK ? random->flags % 4 : random->flags;
    if (random->op == MH_FILE_WRITE)
        memcpy(f->memory.host + BUFFER_AT, some_data, sizeof some_data);
    return random->op == MH_FILE_OPEN ? call_open(f, random->name, random->flags) : call(f, in_memory);
}

static void both_ways_give_the_same_results(void **state)
{
    struct fixture *f = *state;
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
    struct fixture *f = *state;
    for (unsigned i = 0; i < 5000; i += 2)
        memcpy(f->memory.host + BUFFER_AT + i, "./", 2);
    f->memory.host[BUFFER_AT + 4999] = 'a';
    const struct mh_file_call open = {.op = MH_FILE_OPEN, .flags = MH_O_READ, .buffer = BUFFER_AT, .length = 5000};
    assert_int_equal(call(f, open), -MH_ENAMETOOLONG);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_file_is_opened_read_and_closed),
        TEST(a_file_is_made_written_and_sought),
        TEST(the_bytes_of_the_documentation_work),
        TEST(an_idle_port_reads_as_ff),
        TEST(unknown_ops_are_answered_at_once),
        TEST(reading_before_a_request_is_whole_drops_it),
        TEST(writing_before_an_answer_is_read_drops_its_rest),
        TEST(a_request_of_no_payload_is_whole_without_one),
        TEST(a_name_that_is_too_long_is_taken_to_its_end_and_refused),
        TEST(a_name_of_many_dots_and_slashes_is_too_long),
        TEST(a_long_write_is_taken_to_its_end_and_comes_out_short),
        TEST(the_longest_write_can_be_begun_and_dropped),
        TEST(the_longest_write_ends_after_its_last_byte),
        TEST(a_long_read_comes_out_short),
        TEST(a_failed_read_is_followed_by_no_data),
        TEST(calls_in_memory_do_the_same),
        TEST(a_call_changes_only_its_result),
        TEST(buffers_outside_ram_are_refused),
        TEST(calls_without_a_buffer_ignore_where_it_would_be),
        TEST(buffers_up_to_the_end_of_ram_are_good),
        TEST(a_buffer_may_be_all_of_ram_with_the_call_in_it),
        TEST(a_call_at_the_end_of_ram_is_made),
        TEST(a_call_outside_ram_is_not_made_and_nothing_is_written),
        TEST(what_must_be_zero_must_be_zero),
        TEST(unknown_calls_are_refused),
        TEST(a_call_moves_more_than_the_other_path_at_once),
        TEST(a_call_does_not_disturb_a_request_that_is_under_way),
        TEST(both_ways_give_the_same_results),
        TEST(too_long_names_are_the_same_error_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
