/* Requests to the file port, byte by byte. */
#include "ports.h"
#include "unit.h"

#include <string.h>

static void a_file_is_opened_read_and_closed(void **state)
{
    struct ports *f = *state;
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
    struct ports *f = *state;
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
    struct ports *f = *state;
    out(f, "\x01\x01\0\0\0\x01\0x", 8);
    static const uint8_t enoent[] = {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    for (size_t i = 0; i < sizeof enoent; i++)
        assert_int_equal(in(f), enoent[i]);
}

static void an_idle_port_reads_as_ff(void **state)
{
    struct ports *f = *state;
    is_idle(f);
    assert_int_equal(ask(f, open_request("notes.txt", MH_O_READ)), 0);
}

static void unknown_ops_are_answered_at_once(void **state)
{
    struct ports *f = *state;
    for (unsigned op = 0; op < 256; op++) {
        if (op >= MH_FILE_OPEN && op <= MH_FILE_SIZE)
            continue;
        f->port[0]->misuse = FILE_MISUSE_NONE;
        out_number(f, op, 1);
        assert_int_equal(f->port[0]->misuse, FILE_MISUSE_OP);
        assert_int_equal(f->port[0]->misuse_value, op);
        assert_int_equal(result(f), -MH_ENOSYS);
        is_idle(f);
        assert_int_equal(f->port[0]->misuse, FILE_MISUSE_NO_ANSWER);
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
    struct ports *f = *state;
    struct request requests[8];
    size_t count = all_requests(requests);
    assert_int_equal(ask(f, open_request("notes.txt", MH_O_READ)), 0);
    for (size_t i = 0; i < count; i++) {
        for (size_t length = 1; length < requests[i].length; length++) {
            out(f, requests[i].bytes, length);
            f->port[0]->misuse = FILE_MISUSE_NONE;
            assert_int_equal(result(f), -MH_EPROTO);
            assert_int_equal(f->port[0]->misuse, FILE_MISUSE_ABANDONED);
            assert_int_equal(f->port[0]->misuse_value, requests[i].bytes[0]);
            is_idle(f);
        }
    }
    assert_int_equal(ask(f, seek_request(0, MH_SEEK_CUR, 0)), 0);
    assert_int_equal(ask(f, plain_request(MH_FILE_SIZE, 0)), strlen(NOTES));
    assert_false(temp_exists(&f->files->dir, "vm-files"));
}

static void writing_before_an_answer_is_read_drops_its_rest(void **state)
{
    struct ports *f = *state;
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
    struct ports *f = *state;
    assert_int_equal(ask(f, open_request("", MH_O_READ)), -MH_ENOENT);
    assert_int_equal(ask(f, open_request("own", MH_O_WRITE)), 0);
    assert_int_equal(ask(f, write_request(0, "")), 0);
    assert_int_equal(ask(f, plain_request(MH_FILE_SIZE, 0)), 0);
}

static void a_name_that_is_too_long_is_taken_to_its_end_and_refused(void **state)
{
    struct ports *f = *state;
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
    struct ports *f = *state;
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
    struct ports *f = *state;
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
    struct ports *f = *state;
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
    struct ports *f = *state;
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
    struct ports *f = *state;
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
    struct ports *f = *state;
    assert_int_equal(ask(f, read_request(0, 100)), -MH_EBADF);
    is_idle(f);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, ports_set_up, ports_tear_down)

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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
