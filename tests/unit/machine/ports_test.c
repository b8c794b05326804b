#include "machine/ports.h"

#include "fake_machine.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

static void runs_well(struct fake_machine *m)
{
    assert_int_equal(fake_machine_run(m).kind, MH_STOP_HALTED);
}

static void all_ones(const struct fake_exit *exit)
{
    for (size_t i = 0; i < (size_t)exit->exit.width * exit->exit.count; i++)
        assert_int_equal(exit->data[i], 0xff);
}

/* ---- the serial port ---- */

static void bytes_go_out_one_by_one_and_in_strings(void **state)
{
    struct fake_machine *m = *state;
    fake_cpu_will_out(m->cpu, MH_PORT_SERIAL, 1, "a", 1);
    fake_cpu_will_out(m->cpu, MH_PORT_SERIAL, 1, "bcd", 3);
    fake_cpu_will_out(m->cpu, MH_PORT_SERIAL, 1, "\0\xff", 2);
    runs_well(m);
    assert_int_equal(m->output_length, 6);
    assert_memory_equal(m->output, "abcd\0\xff", 6);
    assert_int_equal(m->files->notices, 0);
}

static void bytes_come_in_one_by_one_and_in_strings(void **state)
{
    struct fake_machine *m = *state;
    m->input = "abcd";
    const struct fake_exit *one = fake_cpu_will_in(m->cpu, MH_PORT_SERIAL, 1, 1);
    const struct fake_exit *string = fake_cpu_will_in(m->cpu, MH_PORT_SERIAL, 1, 5);
    const struct fake_exit *after = fake_cpu_will_in(m->cpu, MH_PORT_SERIAL, 1, 1);
    runs_well(m);
    assert_int_equal(one->data[0], 'a');
    assert_memory_equal(string->data, "bcd\xff\xff", 5);
    assert_int_equal(after->data[0], 0xff);
}

static void other_widths_have_no_effect_and_are_told_once(void **state)
{
    struct fake_machine *m = *state;
    m->input = "abcd";
    fake_cpu_will_out(m->cpu, MH_PORT_SERIAL, 2, "xy", 1);
    fake_cpu_will_out(m->cpu, MH_PORT_SERIAL, 4, "xyzw", 1);
    const struct fake_exit *word = fake_cpu_will_in(m->cpu, MH_PORT_SERIAL, 2, 1);
    const struct fake_exit *dwords = fake_cpu_will_in(m->cpu, MH_PORT_SERIAL, 4, 3);
    runs_well(m);
    all_ones(word);
    all_ones(dwords);
    assert_int_equal(m->output_length, 0);
    assert_int_equal(m->reads, 0);
    assert_int_equal(m->files->notices, 1);
    assert_string_equal(m->files->notice, "the serial port takes one byte at a time; a 2-byte access has no effect");
}

static void what_was_printed_comes_before_the_wait_for_input(void **state)
{
    struct fake_machine *m = *state;
    fake_cpu_will_out(m->cpu, MH_PORT_SERIAL, 1, "name? ", 6);
    fake_cpu_will_in(m->cpu, MH_PORT_SERIAL, 1, 1);
    runs_well(m);
    assert_int_equal(m->output_at_read, 6);
}

static void interrupt_twice(struct fake_machine *m)
{
    m->read_result = m->reads <= 2 ? MH_SERIAL_INTERRUPTED : 0;
}

static void an_interrupted_wait_goes_on_when_nobody_wants_a_stop(void **state)
{
    struct fake_machine *m = *state;
    m->input = "k";
    m->on_read = interrupt_twice;
    const struct fake_exit *in = fake_cpu_will_in(m->cpu, MH_PORT_SERIAL, 1, 1);
    runs_well(m);
    assert_int_equal(in->data[0], 'k');
    assert_int_equal(m->reads, 3);
}

/* ---- the file port ---- */

static void the_file_port_takes_bytes_one_by_one_and_in_strings(void **state)
{
    struct fake_machine *m = *state;
    fake_cpu_will_out(m->cpu, MH_PORT_FILE, 1, "\x01", 1);
    fake_cpu_will_out(m->cpu, MH_PORT_FILE, 1, "\x01\0\0\0\x09\0notes.txt", 15);
    const struct fake_exit *first = fake_cpu_will_in(m->cpu, MH_PORT_FILE, 1, 3);
    const struct fake_exit *rest = fake_cpu_will_in(m->cpu, MH_PORT_FILE, 1, 5);
    const struct fake_exit *behind = fake_cpu_will_in(m->cpu, MH_PORT_FILE, 1, 2);
    runs_well(m);
    assert_memory_equal(first->data, "\0\0\0", 3);
    assert_memory_equal(rest->data, "\0\0\0\0\0", 5);
    all_ones(behind);
}

static void a_32_bit_out_makes_a_call(void **state)
{
    struct fake_machine *m = *state;
    const struct mh_file_call call = {
        .op = MH_FILE_OPEN, .flags = MH_O_READ, .buffer = 0x2000, .length = 9, .result = INT64_MIN};
    const uint32_t addresses[] = {0x1000, 0x1100};
    for (size_t i = 0; i < COUNT(addresses); i++)
        memcpy(m->vm->ram.host + addresses[i], &call, sizeof call);
    memcpy(m->vm->ram.host + 0x2000, "notes.txt", 9);
    fake_cpu_will_out(m->cpu, MH_PORT_FILE, 4, addresses, 2);
    runs_well(m);
    for (size_t i = 0; i < COUNT(addresses); i++) {
        int64_t result;
        memcpy(&result, m->vm->ram.host + addresses[i] + offsetof(struct mh_file_call, result), sizeof result);
        assert_int_equal(result, i);
    }
}

static void other_accesses_to_the_file_port_have_no_effect_and_are_told_once(void **state)
{
    struct fake_machine *m = *state;
    fake_cpu_will_out(m->cpu, MH_PORT_FILE, 2, "\x01\x01\x02\x02", 2);
    const struct fake_exit *words = fake_cpu_will_in(m->cpu, MH_PORT_FILE, 2, 2);
    const struct fake_exit *dword = fake_cpu_will_in(m->cpu, MH_PORT_FILE, 4, 1);
    runs_well(m);
    all_ones(words);
    all_ones(dword);
    assert_int_equal(m->files->notices, 1);
    assert_string_equal(m->files->notice, "the file port has no 2-byte OUT; it has no effect");
}

static size_t output_at_exit;

static void note_output(struct fake_cpu *cpu)
{
    const struct fake_machine *m = cpu->ctx;
    output_at_exit = m->output_length;
}

static void what_was_printed_is_seen_at_the_next_file_access(void **state)
{
    struct fake_machine *m = *state;
    fake_cpu_will_out(m->cpu, MH_PORT_SERIAL, 1, "saving", 6);
    fake_cpu_will_out(m->cpu, MH_PORT_FILE, 1, "\x02", 1);
    fake_cpu_will(m->cpu, CPU_EXIT_HALT)->during = note_output;
    runs_well(m);
    assert_int_equal(output_at_exit, 6);
}

/* ---- everything else ---- */

static void ports_with_nothing_behind_read_as_ones_and_are_told_once(void **state)
{
    struct fake_machine *m = *state;
    static const uint16_t ports[] = {0x3f8, 0, 0x80, 0xe8, 0xea, 0x277, 0x279, 0xffff};
    const struct fake_exit *in[COUNT(ports)];
    for (size_t i = 0; i < COUNT(ports); i++) {
        fake_cpu_will_out(m->cpu, ports[i], (uint8_t)(1u << i % 3), "abcd", 1);
        in[i] = fake_cpu_will_in(m->cpu, ports[i], (uint8_t)(1u << i % 3), 2);
    }
    runs_well(m);
    for (size_t i = 0; i < COUNT(ports); i++)
        all_ones(in[i]);
    assert_int_equal(m->output_length, 0);
    assert_int_equal(m->files->notices, 1);
    assert_string_equal(m->files->notice, "no device is at port 0x3f8: writes have no effect, reads return all ones");
}

static void each_kind_of_notice_is_told_once(void **state)
{
    struct fake_machine *m = *state;
    for (unsigned i = 0; i < 3; i++) {
        fake_cpu_will_out(m->cpu, MH_PORT_SERIAL, 2, "ab", 1);
        fake_cpu_will_out(m->cpu, MH_PORT_FILE, 2, "ab", 1);
        fake_cpu_will_out(m->cpu, 0x80, 1, "a", 1);
    }
    runs_well(m);
    assert_int_equal(m->files->notices, 3);
}

/* A guest that speaks a protocol of its own hears of it once for each kind of misuse. */
static void misuse_of_the_file_port_is_told_once(void **state)
{
    struct fake_machine *m = *state;
    const uint32_t addresses[] = {0x3000, 0x3000, 0x90000000, 0x90000000};
    m->vm->ram.host[0x3000] = 0x77;
    for (unsigned i = 0; i < 2; i++) {
        fake_cpu_will_out(m->cpu, MH_PORT_FILE, 1, "0", 1);
        fake_cpu_will_in(m->cpu, MH_PORT_FILE, 1, 9);
        fake_cpu_will_out(m->cpu, MH_PORT_FILE, 1,
                          "\x01"
                          "12",
                          3);
        fake_cpu_will_in(m->cpu, MH_PORT_FILE, 1, 8);
    }
    fake_cpu_will_out(m->cpu, MH_PORT_FILE, 4, addresses, COUNT(addresses));
    runs_well(m);
    assert_int_equal(m->files->notices, 5);
    assert_string_equal(m->files->notice,
                        "the 32-bit OUT of 0x90000000 to the file port names a call that does not lie in RAM; "
                        "it has no effect (docs/guest-interface.md describes the port)");
}

static void right_use_of_the_file_port_is_not_told(void **state)
{
    struct fake_machine *m = *state;
    fake_cpu_will_out(m->cpu, MH_PORT_FILE, 1, "\x02\x07\x00\x00\x00", 5);
    fake_cpu_will_in(m->cpu, MH_PORT_FILE, 1, 8);
    runs_well(m);
    assert_int_equal(m->files->notices, 0);
}

static void notices_need_nobody_who_listens(void **state)
{
    struct fake_machine *m = *state;
    m->vm->config.notice = NULL;
    fake_cpu_will_out(m->cpu, 0x80, 1, "a", 1);
    runs_well(m);
    assert_int_equal(m->files->notices, 0);
}

static void the_largest_strings_go_through(void **state)
{
    struct fake_machine *m = *state;
    uint8_t bytes[FAKE_BYTES_MAX];
    memset(bytes, 's', sizeof bytes);
    char input[FAKE_BYTES_MAX + 1];
    memset(input, 'i', FAKE_BYTES_MAX);
    input[FAKE_BYTES_MAX] = '\0';
    m->input = input;
    fake_cpu_will_out(m->cpu, MH_PORT_SERIAL, 1, bytes, FAKE_BYTES_MAX);
    const struct fake_exit *in = fake_cpu_will_in(m->cpu, MH_PORT_SERIAL, 1, FAKE_BYTES_MAX);
    const struct fake_exit *nowhere = fake_cpu_will_in(m->cpu, 0x80, 4, FAKE_BYTES_MAX / 4);
    runs_well(m);
    assert_int_equal(m->output_length, FAKE_BYTES_MAX);
    assert_memory_equal(in->data, input, FAKE_BYTES_MAX);
    all_ones(nowhere);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fake_machine_set_up, fake_machine_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_go_out_one_by_one_and_in_strings),
        TEST(bytes_come_in_one_by_one_and_in_strings),
        TEST(other_widths_have_no_effect_and_are_told_once),
        TEST(what_was_printed_comes_before_the_wait_for_input),
        TEST(an_interrupted_wait_goes_on_when_nobody_wants_a_stop),
        TEST(the_file_port_takes_bytes_one_by_one_and_in_strings),
        TEST(a_32_bit_out_makes_a_call),
        TEST(other_accesses_to_the_file_port_have_no_effect_and_are_told_once),
        TEST(what_was_printed_is_seen_at_the_next_file_access),
        TEST(ports_with_nothing_behind_read_as_ones_and_are_told_once),
        TEST(each_kind_of_notice_is_told_once),
        TEST(misuse_of_the_file_port_is_told_once),
        TEST(right_use_of_the_file_port_is_not_told),
        TEST(notices_need_nobody_who_listens),
        TEST(the_largest_strings_go_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
