#include "ram/ram.h"

#include "mh/guest_abi.h"
#include "unit.h"

#include <stdbool.h>
#include <string.h>

static const uint64_t ram_sizes[] = {2 * MB, 4 * MB, 8 * MB};

static struct guest_ram create(uint64_t ram_size)
{
    struct guest_ram memory;
    assert_int_equal(ram_create(&memory, ram_size, NULL), MH_OK);
    return memory;
}

/* Addresses and lengths worth trying: every edge, and one before and behind it. */
static size_t edges(uint64_t ram_size, uint64_t *values)
{
    const uint64_t at[] = {
        0,          ram_size,   MH_SYSTEM_AREA, MH_SYSTEM_AREA_SIZE, MH_SYSTEM_AREA + MH_SYSTEM_AREA_SIZE,
        1ull << 31, 1ull << 32, 1ull << 63};
    size_t count = 0;
    for (size_t i = 0; i < COUNT(at); i++) {
        values[count++] = at[i] - 1;
        values[count++] = at[i];
        values[count++] = at[i] + 1;
    }
    return count;
}

static bool lies_in(uint64_t start, uint64_t length, uint64_t first, uint64_t size)
{
    const unsigned __int128 end = (unsigned __int128)start + length;
    return start >= first && end <= (unsigned __int128)first + size;
}

static void ranges_are_checked_at_every_edge(void **state)
{
    (void)state;
    for (size_t r = 0; r < COUNT(ram_sizes); r++) {
        struct guest_ram memory = create(ram_sizes[r]);
        uint64_t value[32];
        size_t count = edges(ram_sizes[r], value);
        for (size_t i = 0; i < count * count; i++) {
            uint64_t start = value[i / count], length = value[i % count];
            bool in_ram = lies_in(start, length, 0, ram_sizes[r]);
            bool in_area = lies_in(start, length, MH_SYSTEM_AREA, MH_SYSTEM_AREA_SIZE);
            const uint8_t *in_ram_at = in_ram ? memory.host + start : NULL;
            const uint8_t *area_at = in_area ? memory.host + memory.ram_size + (start - MH_SYSTEM_AREA) : in_ram_at;
            assert_ptr_equal(ram_only_at(&memory, mh_gpa_of(start), length), in_ram_at);
            assert_ptr_equal(ram_at(&memory, mh_gpa_of(start), length), area_at);
        }
        ram_free(&memory);
    }
}

static void all_of_ram_is_one_range_and_not_a_byte_more(void **state)
{
    (void)state;
    struct guest_ram memory = create(2 * MB);
    assert_ptr_equal(ram_only_at(&memory, mh_gpa_of(0), 2 * MB), memory.host);
    assert_null(ram_only_at(&memory, mh_gpa_of(0), 2 * MB + 1));
    assert_non_null(ram_only_at(&memory, mh_gpa_of(2 * MB), 0));
    assert_null(ram_only_at(&memory, mh_gpa_of(2 * MB), 1));
    assert_null(ram_only_at(&memory, mh_gpa_of(2 * MB + 1), 0));
    ram_free(&memory);
}

static void a_range_does_not_run_from_ram_into_the_system_area(void **state)
{
    (void)state;
    /* the two are neighbours on the host only */
    struct guest_ram memory = create(2 * MB);
    assert_null(ram_at(&memory, mh_gpa_of(2 * MB - 4), 8));
    assert_null(ram_at(&memory, mh_gpa_of(0), MH_SYSTEM_AREA + 1));
    ram_free(&memory);
}

static void the_system_area_is_no_place_for_buffers(void **state)
{
    (void)state;
    struct guest_ram memory = create(8 * MB);
    assert_null(ram_only_at(&memory, mh_gpa_of(MH_SYSTEM_AREA), 1));
    assert_ptr_equal(ram_at(&memory, mh_gpa_of(MH_SYSTEM_AREA), 1), ram_system_area(&memory));
    ram_free(&memory);
}

static void sums_that_overflow_are_outside(void **state)
{
    (void)state;
    struct guest_ram memory = create(2 * MB);
    assert_null(ram_at(&memory, mh_gpa_of(16), UINT64_MAX));
    assert_null(ram_at(&memory, mh_gpa_of(UINT64_MAX), 2));
    assert_null(ram_at(&memory, mh_gpa_of(MH_SYSTEM_AREA), UINT64_MAX - MH_SYSTEM_AREA + 2));
    ram_free(&memory);
}

static void fresh_memory_is_zero(void **state)
{
    (void)state;
    static const uint8_t zero[4096];
    struct guest_ram memory = create(2 * MB);
    for (uint64_t at = 0; at < 2 * MB + MH_SYSTEM_AREA_SIZE; at += sizeof zero)
        assert_memory_equal(memory.host + at, zero, sizeof zero);
    ram_free(&memory);
}

static void two_machines_have_memory_of_their_own(void **state)
{
    (void)state;
    struct guest_ram one = create(2 * MB), two = create(2 * MB);
    memset(one.host, 0xaa, 4096);
    assert_int_equal(two.host[0], 0);
    ram_free(&one);
    assert_int_equal(two.host[4095], 0);
    ram_free(&two);
}

static void no_address_space_is_an_error_of_the_host(void **state)
{
    (void)state;
    struct guest_ram memory;
    struct mh_error err = {0};
    assert_int_equal(ram_create(&memory, 1ull << 60, &err), MH_ERR_HOST);
    assert_text_has(err.text, "no memory");
    ram_free(&memory);
    assert_null(memory.host);
}

static void memory_may_be_freed_twice(void **state)
{
    (void)state;
    struct guest_ram memory = create(2 * MB);
    ram_free(&memory);
    ram_free(&memory);
    assert_null(memory.host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_are_checked_at_every_edge),
        cmocka_unit_test(all_of_ram_is_one_range_and_not_a_byte_more),
        cmocka_unit_test(a_range_does_not_run_from_ram_into_the_system_area),
        cmocka_unit_test(the_system_area_is_no_place_for_buffers),
        cmocka_unit_test(sums_that_overflow_are_outside),
        cmocka_unit_test(fresh_memory_is_zero),
        cmocka_unit_test(two_machines_have_memory_of_their_own),
        cmocka_unit_test(no_address_space_is_an_error_of_the_host),
        cmocka_unit_test(memory_may_be_freed_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
