/* Points of a debugger and of the guest's debug registers, as sets. */
#include "soft/soft_points.h"

#include "soft_machine.h"
#include "unit.h"

#include <stdlib.h>

#define MANY 100000u
#define DR7_DATA_4 0xfu  /* R/W and LEN of a breakpoint on 4 bytes of data, read or written */
#define DR7_WRITE_1 0x1u /* on 1 byte, written */
#define DR7_PORT_2 0x6u  /* on 2 ports */

static void arm(struct soft_machine *machine, const struct cpu_point *points, size_t count)
{
    assert_int_equal(machine->cpu->ops->arm(machine->cpu, points, count, NULL), MH_OK);
}

static void no_points_are_found_where_none_are_armed(void **state)
{
    struct soft_machine *machine = *state;
    unsigned point;
    assert_false(soft_points_execute(machine->soft, 0, &point));
    assert_false(soft_page_has_points(machine->soft, 0));
    assert_false(soft_watched_in_page(machine->soft, 0, true));
}

static void each_of_many_points_is_found(void **state)
{
    struct soft_machine *machine = *state;
    struct cpu_point *points = calloc(MANY, sizeof *points);
    unsigned point;
    assert_non_null(points);
    for (unsigned i = 0; i < MANY; i++)
        points[i] = (struct cpu_point){.kind = CPU_POINT_EXECUTE, .address = i * 37ull + (i % 3) * 0xffff800000000000};
    arm(machine, points, MANY);
    for (unsigned i = 0; i < MANY; i++) {
        assert_true(soft_points_execute(machine->soft, points[i].address, &point));
        assert_int_equal(point, i);
        assert_true(soft_page_has_points(machine->soft, points[i].address | 0xfff));
        assert_false(soft_points_execute(machine->soft, points[i].address + 1, &point));
    }
    arm(machine, NULL, 0);
    assert_false(soft_points_execute(machine->soft, points[0].address, &point));
    free(points);
}

static void of_two_points_at_one_address_the_first_counts(void **state)
{
    struct soft_machine *machine = *state;
    const struct cpu_point points[] = {{.kind = CPU_POINT_WRITE, .address = 0x1000, .length = 8},
                                       {.kind = CPU_POINT_EXECUTE, .address = 0x1000, .length = 1},
                                       {.kind = CPU_POINT_EXECUTE, .address = 0x1000, .length = 1},
                                       {.kind = CPU_POINT_ACCESS, .address = 0x0ff0, .length = 0x100}};
    unsigned point = 99;
    arm(machine, points, COUNT(points));
    assert_true(soft_points_execute(machine->soft, 0x1000, &point));
    assert_int_equal(point, 1);
    assert_true(soft_points_watched(machine->soft, 0x1004, 0x1005, true, &point));
    assert_int_equal(point, 0);
    assert_true(soft_points_watched(machine->soft, 0x1004, 0x1005, false, &point));
    assert_int_equal(point, 3);
}

/* Against a list that is looked through from the start. */
static void watched_ranges_are_found_however_they_overlap(void **state)
{
    struct soft_machine *machine = *state;
    struct cpu_point points[64];
    uint64_t seed = 12345;
    for (unsigned i = 0; i < COUNT(points); i++) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        points[i] = (struct cpu_point){.kind = (enum cpu_point_kind)(1 + (seed >> 33) % 3),
                                       .address = (seed >> 40) % 4096,
                                       .length = 1 + (seed >> 50) % (i % 8 == 0 ? 1000 : 16)};
    }
    arm(machine, points, COUNT(points));
    for (uint64_t first = 0; first < 5200; first++) {
        bool is_write = first % 2 != 0;
        uint64_t last = first + first % 9;
        unsigned expected = COUNT(points), point = COUNT(points);
        for (unsigned i = COUNT(points); i-- > 0;) {
            if (points[i].address <= last && first < points[i].address + points[i].length &&
                points[i].kind != (is_write ? CPU_POINT_READ : CPU_POINT_WRITE))
                expected = i;
        }
        assert_int_equal(soft_points_watched(machine->soft, first, last, is_write, &point), expected != COUNT(points));
        assert_int_equal(point, expected);
    }
}

static void a_range_may_reach_to_the_end_of_the_address_space(void **state)
{
    struct soft_machine *machine = *state;
    const struct cpu_point points[] = {{.kind = CPU_POINT_WRITE, .address = 0xfffffffffffffff0, .length = 0x1000}};
    unsigned point;
    arm(machine, points, 1);
    assert_true(soft_points_watched(machine->soft, UINT64_MAX, UINT64_MAX, true, &point));
    assert_false(soft_points_watched(machine->soft, 0, 7, true, &point));
}

/* ---- the guest's: Intel SDM volume 3, 18.2 ---- */

static void set_debug(struct soft_cpu *cpu, unsigned i, uint64_t address, unsigned type_and_length, bool enabled)
{
    cpu->dr[i] = address;
    cpu->dr7 |= (uint64_t)type_and_length << (16 + 4 * i) | (enabled ? 1ull << (2 * i) : 0);
    soft_update_attention(cpu);
}

static void data_breakpoints_cover_their_aligned_bytes(void **state)
{
    struct soft_machine *machine = *state;
    struct soft_cpu *cpu = machine->soft;
    set_debug(cpu, 0, 0x1002, DR7_DATA_4, true); /* the low two bits do not count */
    for (uint64_t at = 0xff0; at < 0x1010; at++) {
        assert_int_equal(soft_debug_data(cpu, at, at + 1, false), at + 1 >= 0x1000 && at < 0x1004);
        assert_int_equal(soft_debug_data(cpu, at, at, true), at >= 0x1000 && at < 0x1004);
    }
}

static void write_breakpoints_do_not_meet_reads(void **state)
{
    struct soft_machine *machine = *state;
    set_debug(machine->soft, 2, 0x1003, DR7_WRITE_1, true);
    assert_int_equal(soft_debug_data(machine->soft, 0x1000, 0x1007, true), 4);
    assert_int_equal(soft_debug_data(machine->soft, 0x1000, 0x1007, false), 0);
}

static void dr6_reports_breakpoints_that_are_not_enabled_beside_one_that_is(void **state)
{
    struct soft_machine *machine = *state;
    set_debug(machine->soft, 1, 0x1000, DR7_DATA_4, false);
    assert_int_equal(soft_debug_data(machine->soft, 0x1000, 0x1000, true), 0);
    set_debug(machine->soft, 3, 0x1001, DR7_WRITE_1, true);
    assert_int_equal(soft_debug_data(machine->soft, 0x1000, 0x1003, true), 0xa);
    assert_int_equal(soft_debug_data(machine->soft, 0x1000, 0x1000, true), 0);
}

static void execute_breakpoints_meet_the_exact_address(void **state)
{
    struct soft_machine *machine = *state;
    set_debug(machine->soft, 0, 0x1234, 0, true);
    assert_int_equal(soft_debug_execute(machine->soft, 0x1234), 1);
    assert_int_equal(soft_debug_execute(machine->soft, 0x1235), 0);
    assert_true(soft_page_has_points(machine->soft, 0x1000));
    assert_false(soft_page_has_points(machine->soft, 0x2000));
}

static void port_breakpoints_need_de(void **state)
{
    struct soft_machine *machine = *state;
    set_debug(machine->soft, 0, 0x3f8, DR7_PORT_2, true);
    assert_int_equal(soft_debug_port(machine->soft, 0x3f9, 1), 0);
    machine->soft->cr4 |= MH_CR4_DE;
    assert_int_equal(soft_debug_port(machine->soft, 0x3f9, 1), 1);
    assert_int_equal(soft_debug_port(machine->soft, 0x3f6, 2), 0);
    assert_int_equal(soft_debug_port(machine->soft, 0x3f6, 4), 1);
    assert_int_equal(soft_debug_port(machine->soft, 0x3fa, 4), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, soft_machine_set_up, soft_machine_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(no_points_are_found_where_none_are_armed),
        TEST(each_of_many_points_is_found),
        TEST(of_two_points_at_one_address_the_first_counts),
        TEST(watched_ranges_are_found_however_they_overlap),
        TEST(a_range_may_reach_to_the_end_of_the_address_space),
        TEST(data_breakpoints_cover_their_aligned_bytes),
        TEST(write_breakpoints_do_not_meet_reads),
        TEST(dr6_reports_breakpoints_that_are_not_enabled_beside_one_that_is),
        TEST(execute_breakpoints_meet_the_exact_address),
        TEST(port_breakpoints_need_de),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
