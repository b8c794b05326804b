#include "x86/page_tables.h"

#include "unit.h"
#include "x86/boot_state.h"

#include <string.h>

#define PML4 0x10000u
#define PDPT 0x11000u
#define TABLES_MAX 16u

struct fixture {
    struct guest_ram ram;
    struct mh_page_table seen[TABLES_MAX];
    unsigned count;
};

static const struct paging_mode mode = {.cr0 = MH_CR0_PE | MH_CR0_PG,
                                        .cr3 = PML4 | 0x18, /* PWT and PCD are no part of the address */
                                        .cr4 = MH_CR4_PAE,
                                        .efer = MH_EFER_LME | MH_EFER_LMA};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    assert_int_equal(ram_create(&f->ram, 2 * MB, NULL), MH_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    ram_free(&f->ram);
    test_free(f);
    return 0;
}

static void put(struct fixture *f, uint64_t table, unsigned index, uint64_t entry)
{
    memcpy(f->ram.host + table + index * sizeof entry, &entry, sizeof entry);
}

static void take(void *ctx, const struct mh_page_table *table)
{
    struct fixture *f = ctx;
    if (f->count < TABLES_MAX)
        f->seen[f->count] = *table;
    f->count++;
}

static bool each(struct fixture *f, const struct paging_mode *with)
{
    f->count = 0;
    return page_tables_each(&f->ram, with, take, f);
}

static void the_tables_of_the_start_are_found_by_level(void **state)
{
    struct fixture *f = *state;
    struct paging_mode boot = mode;
    boot.cr3 = MH_SYSTEM_AREA + BOOT_PML4;
    boot_write_system_area(&f->ram, PAGE_4K);
    assert_true(each(f, &boot));
    assert_int_equal(f->count, 5);
    static const struct {
        uint64_t address;
        unsigned level;
    } expected[] = {{BOOT_PML4, 4}, {BOOT_PDPT, 3}, {BOOT_PD, 2}, {BOOT_RAM_PT, 1}, {BOOT_SYSTEM_PT, 1}};
    for (unsigned i = 0; i < COUNT(expected); i++) {
        assert_int_equal(f->seen[i].address, MH_SYSTEM_AREA + expected[i].address);
        assert_int_equal(f->seen[i].level, expected[i].level);
        assert_false(f->seen[i].is_known);
    }
    assert_int_equal(page_table_next(page_table_entry(&f->seen[0], 0)).v, MH_SYSTEM_AREA + BOOT_PDPT);
}

static void a_table_that_leads_to_itself_is_reported_once_a_level(void **state)
{
    struct fixture *f = *state;
    put(f, PML4, 511, PML4 | PAGING_PRESENT | PAGING_WRITE);
    assert_true(each(f, &mode));
    assert_int_equal(f->count, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(f->seen[i].address, PML4);
        assert_int_equal(f->seen[i].level, 4 - i);
        assert_int_equal(f->seen[i].is_known, i > 0);
    }
}

static void large_pages_and_missing_tables_are_none(void **state)
{
    struct fixture *f = *state;
    put(f, PML4, 0, PDPT | PAGING_PRESENT);
    put(f, PML4, 1, 0x40000000 | PAGING_PRESENT); /* no memory */
    put(f, PML4, 2, 0x12000);                     /* not present */
    put(f, PDPT, 0, PAGING_LARGE | PAGING_PRESENT);
    assert_true(each(f, &mode));
    assert_int_equal(f->count, 2);
}

static void all_of_memory_as_tables_is_too_much(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < 2 * MB / sizeof(uint64_t); i++) {
        const uint64_t entry = i * 0x1000 % (2 * MB) | PAGING_PRESENT;
        memcpy(f->ram.host + i * sizeof entry, &entry, sizeof entry);
    }
    assert_true(each(f, &mode));
    assert_int_equal(f->count, 1 + 3 * 512); /* the PML4, and each page as PDPT, PD and PT */
    struct guest_ram large;
    assert_int_equal(ram_create(&large, 8 * MB, NULL), MH_OK);
    for (size_t i = 0; i < 8 * MB / sizeof(uint64_t); i++) {
        const uint64_t entry = i * 0x1000 % (8 * MB) | PAGING_PRESENT;
        memcpy(large.host + i * sizeof entry, &entry, sizeof entry);
    }
    f->count = 0;
    assert_false(page_tables_each(&large, &mode, take, f));
    assert_int_equal(f->count, PAGE_TABLES_MAX);
    ram_free(&large);
}

static void without_paging_there_are_none(void **state)
{
    struct fixture *f = *state;
    struct paging_mode off = mode;
    off.cr0 = MH_CR0_PE;
    assert_true(each(f, &off));
    assert_int_equal(f->count, 0);
    off = mode;
    off.efer = 0;
    assert_true(each(f, &off));
    assert_int_equal(f->count, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_tables_of_the_start_are_found_by_level),
        TEST(a_table_that_leads_to_itself_is_reported_once_a_level),
        TEST(large_pages_and_missing_tables_are_none),
        TEST(all_of_memory_as_tables_is_too_much),
        TEST(without_paging_there_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
