#include "ram/ram_snapshot.h"

#include "unit.h"

#include <string.h>

struct fixture {
    struct guest_ram memory;
    struct ram_snapshot *base;
    struct ram_snapshot *image[4];
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    assert_int_equal(ram_create(&f->memory, 2 * MB, NULL), MH_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT(f->image); i++)
        ram_snapshot_free(f->image[i]);
    ram_snapshot_free(f->base);
    ram_free(&f->memory);
    test_free(f);
    return 0;
}

static void put(struct fixture *f, uint64_t address, uint8_t byte)
{
    ram_put(&f->memory, ram_at(&f->memory, mh_gpa_of(address), 1), &byte, 1);
}

static void holds(const struct fixture *f, uint64_t address, uint8_t byte)
{
    assert_int_equal(*(uint8_t *)ram_at(&f->memory, mh_gpa_of(address), 1), byte);
}

static void take(struct fixture *f, unsigned number)
{
    assert_int_equal(ram_snapshot_take(&f->base, &f->memory, &f->image[number]), 0);
}

static void untouched_memory_takes_no_pages(void **state)
{
    struct fixture *f = *state;
    take(f, 0);
    assert_int_equal(ram_snapshot_pages(f->image[0]), 0);
}

static void each_image_brings_its_own_back(void **state)
{
    struct fixture *f = *state;
    const uint64_t addresses[] = {0, 0x1fff, 2 * MB - 1, MH_SYSTEM_AREA, MH_SYSTEM_AREA + MH_SYSTEM_AREA_SIZE - 1};
    for (unsigned number = 0; number < 3; number++) {
        for (size_t i = number; i < COUNT(addresses); i++)
            put(f, addresses[i], (uint8_t)(number + 1));
        take(f, number);
    }
    for (unsigned turn = 0; turn < 6; turn++) {
        unsigned number = turn * 2 % 3;
        put(f, 0x5000, 9);
        ram_snapshot_restore(f->base, &f->memory, f->image[number]);
        for (size_t i = 0; i < COUNT(addresses); i++)
            holds(f, addresses[i], (uint8_t)((i < number ? i : number) + 1));
        holds(f, 0x5000, 0);
    }
}

static void pages_that_become_zero_take_no_room(void **state)
{
    struct fixture *f = *state;
    put(f, 0x3000, 1);
    take(f, 0);
    put(f, 0x3000, 0);
    take(f, 1);
    assert_int_equal(ram_snapshot_pages(f->image[0]), 1);
    assert_int_equal(ram_snapshot_pages(f->image[1]), 0);
    ram_snapshot_restore(f->base, &f->memory, f->image[0]);
    holds(f, 0x3000, 1);
    ram_snapshot_restore(f->base, &f->memory, f->image[1]);
    holds(f, 0x3000, 0);
}

static void images_outlive_each_other(void **state)
{
    struct fixture *f = *state;
    put(f, 0x3000, 1);
    take(f, 0);
    put(f, 0x4000, 2);
    take(f, 1);
    ram_snapshot_free(f->image[0]);
    f->image[0] = NULL;
    put(f, 0x3000, 5);
    take(f, 2);
    ram_snapshot_restore(f->base, &f->memory, f->image[1]);
    holds(f, 0x3000, 1);
    holds(f, 0x4000, 2);
}

/* A write that was not recorded is not noticed: this is what recording is for. */
static void writes_across_pages_are_noted_in_each(void **state)
{
    struct fixture *f = *state;
    take(f, 0);
    uint8_t bytes[2 * PAGE_4K];
    memset(bytes, 7, sizeof bytes);
    ram_put(&f->memory, f->memory.host + PAGE_4K - 1, bytes, sizeof bytes);
    assert_int_equal(f->memory.changed[0], 7);
    ram_put(&f->memory, f->memory.host + 9 * PAGE_4K, bytes, 0);
    assert_int_equal(f->memory.changed[0], 7);
    take(f, 1);
    assert_int_equal(f->memory.changed[0], 0);
    assert_int_equal(ram_snapshot_pages(f->image[1]), 3);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(untouched_memory_takes_no_pages),       TEST(each_image_brings_its_own_back),
        TEST(pages_that_become_zero_take_no_room),   TEST(images_outlive_each_other),
        TEST(writes_across_pages_are_noted_in_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
