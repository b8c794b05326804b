#include "x86/boot_state.h"
#include "x86/paging.h"

#include "mh/guest_abi.h"
#include "mh/x86_regs.h"
#include "unit.h"
#include "x86/boot_state.h"

#include <stdlib.h>
#include <string.h>

static const uint64_t ram_sizes[] = {2 * MB, 4 * MB, 8 * MB};
static const uint32_t page_sizes[] = {PAGE_4K, PAGE_2M};

static struct guest_ram create(uint64_t ram_size)
{
    struct guest_ram memory;
    assert_int_equal(ram_create(&memory, ram_size, NULL), MH_OK);
    return memory;
}

static struct paging_mode long_mode(uint64_t cr3)
{
    return (struct paging_mode){
        .cr0 = MH_CR0_PE | MH_CR0_PG,
        .cr3 = cr3,
        .cr4 = MH_CR4_PAE,
        .efer = MH_EFER_LME | MH_EFER_LMA | MH_EFER_NXE,
    };
}

static struct paging_walk walk_from(const struct guest_ram *memory, const struct paging_mode *mode, uint64_t address)
{
    struct paging_walk walk;
    bool mapped = paging_walk(memory, mode, mh_gva_of(address), &walk);
    assert_int_equal(mapped, walk.end == PAGING_MAPPED);
    return walk;
}

/* ---- the tables a guest starts with ---- */

static void for_each_build(void (*check)(const struct guest_ram *, uint32_t page_size))
{
    for (size_t r = 0; r < COUNT(ram_sizes); r++) {
        for (size_t p = 0; p < COUNT(page_sizes); p++) {
            struct guest_ram memory = create(ram_sizes[r]);
            boot_write_system_area(&memory, page_sizes[p]);
            check(&memory, page_sizes[p]);
            ram_free(&memory);
        }
    }
}

static void check_page(const struct guest_ram *memory, uint32_t page_size, uint64_t page)
{
    const struct paging_mode mode = long_mode(MH_SYSTEM_AREA + BOOT_PML4);
    bool is_ram = page < memory->ram_size;
    bool is_area = page >= MH_SYSTEM_AREA && page < MH_SYSTEM_AREA + MH_SYSTEM_AREA_SIZE;
    struct paging_walk walk = walk_from(memory, &mode, page + 0x123);
    assert_int_equal(walk.end, is_ram || is_area ? PAGING_MAPPED : PAGING_NOT_PRESENT);
    if (!is_ram && !is_area)
        return;
    assert_int_equal(walk.physical.v, page + 0x123);
    assert_int_equal(walk.page_size, is_area ? PAGE_4K : page_size);
    assert_int_equal(walk.user, is_ram);
    assert_true(walk.writable && walk.executable);
}

static void check_first_32_mb(const struct guest_ram *memory, uint32_t page_size)
{
    for (uint64_t page = 0; page < 32 * MB; page += PAGE_4K)
        check_page(memory, page_size, page);
}

static void ram_and_system_area_are_mapped_to_themselves_and_nothing_else(void **state)
{
    (void)state;
    for_each_build(check_first_32_mb);
}

static void check_far_addresses(const struct guest_ram *memory, uint32_t page_size)
{
    (void)page_size;
    const struct paging_mode mode = long_mode(MH_SYSTEM_AREA + BOOT_PML4);
    for (unsigned bit = 25; bit < 47; bit++)
        assert_int_equal(walk_from(memory, &mode, 1ull << bit).end, PAGING_NOT_PRESENT);
    assert_int_equal(walk_from(memory, &mode, 0x00007fffffffffff).end, PAGING_NOT_PRESENT);
    assert_int_equal(walk_from(memory, &mode, 0xffff800000000000).end, PAGING_NOT_PRESENT);
    assert_int_equal(walk_from(memory, &mode, UINT64_MAX).end, PAGING_NOT_PRESENT);
}

static void far_addresses_are_not_mapped(void **state)
{
    (void)state;
    for_each_build(check_far_addresses);
}

static void tables_fit_the_largest_ram(void **state)
{
    (void)state;
    assert_true(BOOT_RAM_PT + 8 * MB / PAGE_2M * PAGE_4K <= BOOT_GDT);
    assert_true(MH_SYSTEM_AREA_SIZE / PAGE_4K <= 512);
    assert_int_equal(MH_SYSTEM_AREA % PAGE_2M, 0);
}

static void a_walk_names_its_steps(void **state)
{
    (void)state;
    struct guest_ram memory = create(4 * MB);
    const struct paging_mode mode = long_mode(MH_SYSTEM_AREA + BOOT_PML4);
    boot_write_system_area(&memory, PAGE_4K);
    struct paging_walk walk = walk_from(&memory, &mode, 0x203456);
    assert_int_equal(walk.steps, 4);
    assert_string_equal(walk.step[0].level, "PML4");
    assert_string_equal(walk.step[1].level, "PDPT");
    assert_string_equal(walk.step[2].level, "PD");
    assert_string_equal(walk.step[3].level, "PT");
    assert_int_equal(walk.step[0].table.v, MH_SYSTEM_AREA + BOOT_PML4);
    assert_int_equal(walk.step[2].index, 1);
    assert_int_equal(walk.step[3].index, 3);
    assert_int_equal(walk.step[3].table.v, MH_SYSTEM_AREA + BOOT_RAM_PT + PAGE_4K);
    assert_int_equal(walk.step[3].entry & ~0xfffull, 0x203000);
    ram_free(&memory);
}

static void a_walk_changes_nothing(void **state)
{
    (void)state;
    struct guest_ram memory = create(2 * MB);
    const struct paging_mode mode = long_mode(MH_SYSTEM_AREA + BOOT_PML4);
    boot_write_system_area(&memory, PAGE_4K);
    size_t size = 2 * MB + MH_SYSTEM_AREA_SIZE;
    uint8_t *before = malloc(size);
    assert_non_null(before);
    memcpy(before, memory.host, size);
    for (uint64_t address = 0; address < 32 * MB; address += PAGE_4K)
        walk_from(&memory, &mode, address);
    assert_memory_equal(memory.host, before, size);
    free(before);
    ram_free(&memory);
}

/* ---- tables a guest made: PML5 to PT in RAM at 0x1000 to 0x5000 ---- */

enum { PML5 = 0x1000, PML4 = 0x2000, PDPT = 0x3000, PD = 0x4000, PT = 0x5000 };

#define TO_TABLE (PAGING_PRESENT | PAGING_WRITE | PAGING_USER)

static void set_entry(const struct guest_ram *memory, uint64_t table, unsigned index, uint64_t entry)
{
    memcpy(memory->host + table + index * sizeof entry, &entry, sizeof entry);
}

/* 0x7000 is mapped at address 0 */
static struct guest_ram create_own_tables(void)
{
    struct guest_ram memory = create(2 * MB);
    set_entry(&memory, PML5, 0, PML4 | TO_TABLE);
    set_entry(&memory, PML4, 0, PDPT | TO_TABLE);
    set_entry(&memory, PDPT, 0, PD | TO_TABLE);
    set_entry(&memory, PD, 0, PT | TO_TABLE);
    set_entry(&memory, PT, 0, 0x7000 | TO_TABLE);
    return memory;
}

static void a_page_of_4_kb_keeps_12_bits_of_the_address(void **state)
{
    (void)state;
    struct guest_ram memory = create_own_tables();
    const struct paging_mode mode = long_mode(PML4);
    struct paging_walk walk = walk_from(&memory, &mode, 0xfff);
    assert_int_equal(walk.physical.v, 0x7fff);
    assert_int_equal(walk.page_size, PAGE_4K);
    ram_free(&memory);
}

static void large_pages_keep_21_and_30_bits_of_the_address(void **state)
{
    (void)state;
    struct guest_ram memory = create_own_tables();
    const struct paging_mode mode = long_mode(PML4);
    const uint64_t pat = 1u << 12; /* an attribute in large pages, no part of the address */
    set_entry(&memory, PD, 1, 0x40000000 | pat | PAGING_LARGE | TO_TABLE);
    set_entry(&memory, PDPT, 2, 0x1c0000000 | pat | PAGING_LARGE | TO_TABLE);
    struct paging_walk walk = walk_from(&memory, &mode, 0x2fedcb);
    assert_int_equal(walk.physical.v, 0x400fedcb);
    assert_int_equal(walk.page_size, PAGE_2M);
    assert_int_equal(walk.steps, 3);
    walk = walk_from(&memory, &mode, 0x80000000ull + 0x3fedcba9);
    assert_int_equal(walk.physical.v, 0x1ffedcba9);
    assert_int_equal(walk.page_size, 1ull << 30);
    assert_int_equal(walk.steps, 2);
    ram_free(&memory);
}

static void the_large_bit_means_nothing_in_pml4_and_pt(void **state)
{
    (void)state;
    struct guest_ram memory = create_own_tables();
    const struct paging_mode mode = long_mode(PML4);
    set_entry(&memory, PML4, 0, PDPT | PAGING_LARGE | TO_TABLE);
    set_entry(&memory, PT, 0, 0x7000 | PAGING_LARGE | TO_TABLE); /* there it is PAT */
    struct paging_walk walk = walk_from(&memory, &mode, 0x10);
    assert_int_equal(walk.end, PAGING_MAPPED);
    assert_int_equal(walk.steps, 4);
    assert_int_equal(walk.page_size, PAGE_4K);
    ram_free(&memory);
}

static void a_missing_entry_ends_the_walk_at_its_level(void **state)
{
    (void)state;
    static const uint64_t tables[] = {PML4, PDPT, PD, PT};
    for (unsigned level = 0; level < COUNT(tables); level++) {
        struct guest_ram memory = create_own_tables();
        const struct paging_mode mode = long_mode(PML4);
        set_entry(&memory, tables[level], 0, 0xdead000 | PAGING_WRITE);
        struct paging_walk walk = walk_from(&memory, &mode, 0);
        assert_int_equal(walk.end, PAGING_NOT_PRESENT);
        assert_int_equal(walk.steps, level + 1);
        assert_int_equal(walk.step[level].entry, 0xdead000 | PAGING_WRITE);
        assert_int_equal(walk.step[level].table.v, tables[level]);
        ram_free(&memory);
    }
}

static void a_table_outside_memory_ends_the_walk(void **state)
{
    (void)state;
    static const uint64_t tables[] = {PML4, PDPT, PD};
    static const uint64_t places[] = {2 * MB, MH_SYSTEM_AREA - PAGE_4K, MH_SYSTEM_AREA + MH_SYSTEM_AREA_SIZE,
                                      0x000ffffffffff000};
    for (unsigned level = 0; level < COUNT(tables); level++) {
        for (size_t place = 0; place < COUNT(places); place++) {
            struct guest_ram memory = create_own_tables();
            const struct paging_mode mode = long_mode(PML4);
            set_entry(&memory, tables[level], 0, places[place] | TO_TABLE);
            struct paging_walk walk = walk_from(&memory, &mode, 0);
            assert_int_equal(walk.end, PAGING_NO_TABLE);
            assert_int_equal(walk.steps, level + 2);
            assert_int_equal(walk.step[level + 1].table.v, places[place]);
            ram_free(&memory);
        }
    }
}

static void a_root_outside_memory_ends_the_walk(void **state)
{
    (void)state;
    struct guest_ram memory = create(2 * MB);
    const struct paging_mode mode = long_mode(0x000ffffffffff000);
    struct paging_walk walk = walk_from(&memory, &mode, 0);
    assert_int_equal(walk.end, PAGING_NO_TABLE);
    assert_int_equal(walk.steps, 1);
    ram_free(&memory);
}

static void low_bits_of_cr3_are_no_part_of_the_root(void **state)
{
    (void)state;
    struct guest_ram memory = create_own_tables();
    const struct paging_mode mode = long_mode(PML4 | 0xfff | 1ull << 63);
    assert_int_equal(walk_from(&memory, &mode, 0).physical.v, 0x7000);
    ram_free(&memory);
}

static void a_page_may_lead_to_where_no_memory_is(void **state)
{
    (void)state;
    struct guest_ram memory = create_own_tables();
    const struct paging_mode mode = long_mode(PML4);
    set_entry(&memory, PT, 1, 0x000ffffffffff000 | TO_TABLE);
    struct paging_walk walk = walk_from(&memory, &mode, 0x1abc);
    assert_int_equal(walk.end, PAGING_MAPPED);
    assert_int_equal(walk.physical.v, 0x000ffffffffffabc);
    ram_free(&memory);
}

static void rights_are_those_of_all_levels_together(void **state)
{
    (void)state;
    static const uint64_t tables[] = {PML4, PDPT, PD, PT};
    for (unsigned level = 0; level < COUNT(tables); level++) {
        struct guest_ram memory = create_own_tables();
        const struct paging_mode mode = long_mode(PML4);
        uint64_t entry;
        memcpy(&entry, memory.host + tables[level], sizeof entry);
        set_entry(&memory, tables[level], 0, entry & ~(uint64_t)PAGING_WRITE);
        struct paging_walk walk = walk_from(&memory, &mode, 0);
        assert_true(!walk.writable && walk.user && walk.executable);
        set_entry(&memory, tables[level], 0, entry & ~(uint64_t)PAGING_USER);
        walk = walk_from(&memory, &mode, 0);
        assert_true(walk.writable && !walk.user && walk.executable);
        set_entry(&memory, tables[level], 0, entry | PAGING_NX);
        walk = walk_from(&memory, &mode, 0);
        assert_true(walk.writable && walk.user && !walk.executable);
        assert_int_equal(walk.physical.v, 0x7000);
        ram_free(&memory);
    }
}

static void nx_counts_only_when_it_is_switched_on(void **state)
{
    (void)state;
    struct guest_ram memory = create_own_tables();
    struct paging_mode mode = long_mode(PML4);
    mode.efer &= ~(uint64_t)MH_EFER_NXE;
    set_entry(&memory, PT, 0, 0x7000 | PAGING_NX | TO_TABLE);
    assert_true(walk_from(&memory, &mode, 0).executable);
    ram_free(&memory);
}

static void addresses_must_be_canonical(void **state)
{
    (void)state;
    static const uint64_t bad[] = {0x0000800000000000, 0xffff7fffffffffff, 0x8000000000000000, 0x7fffffffffffffff};
    struct guest_ram memory = create_own_tables();
    const struct paging_mode mode = long_mode(PML4);
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct paging_walk walk = walk_from(&memory, &mode, bad[i]);
        assert_int_equal(walk.end, PAGING_NOT_CANONICAL);
        assert_int_equal(walk.steps, 0);
    }
    ram_free(&memory);
}

static void five_levels_have_a_pml5_and_57_bits(void **state)
{
    (void)state;
    struct guest_ram memory = create_own_tables();
    struct paging_mode mode = long_mode(PML5);
    mode.cr4 |= MH_CR4_LA57;
    struct paging_walk walk = walk_from(&memory, &mode, 0x12);
    assert_int_equal(walk.end, PAGING_MAPPED);
    assert_int_equal(walk.steps, 5);
    assert_string_equal(walk.step[0].level, "PML5");
    assert_int_equal(walk.physical.v, 0x7012);
    assert_int_equal(walk_from(&memory, &mode, 0x0000800000000000).end, PAGING_NOT_PRESENT);
    assert_int_equal(walk_from(&memory, &mode, 0x0100000000000000).end, PAGING_NOT_CANONICAL);
    assert_int_equal(walk_from(&memory, &mode, 0xfeffffffffffffff).end, PAGING_NOT_CANONICAL);
    walk = walk_from(&memory, &mode, 0x00ff000000000000);
    assert_int_equal(walk.end, PAGING_NOT_PRESENT);
    assert_int_equal(walk.step[0].index, 0xff);
    ram_free(&memory);
}

static void the_last_entry_of_each_table_is_reached(void **state)
{
    (void)state;
    struct guest_ram memory = create(2 * MB);
    const struct paging_mode mode = long_mode(PML4);
    set_entry(&memory, PML4, 511, PDPT | TO_TABLE);
    set_entry(&memory, PDPT, 511, PD | TO_TABLE);
    set_entry(&memory, PD, 511, PT | TO_TABLE);
    set_entry(&memory, PT, 511, 0x9000 | TO_TABLE);
    assert_int_equal(walk_from(&memory, &mode, UINT64_MAX).physical.v, 0x9fff);
    ram_free(&memory);
}

static void tables_may_refer_to_themselves(void **state)
{
    (void)state;
    struct guest_ram memory = create(2 * MB);
    const struct paging_mode mode = long_mode(PML4);
    set_entry(&memory, PML4, 0, PML4 | TO_TABLE);
    struct paging_walk walk = walk_from(&memory, &mode, 0x44);
    assert_int_equal(walk.physical.v, PML4 + 0x44);
    assert_int_equal(walk.steps, 4);
    ram_free(&memory);
}

static void without_paging_an_address_is_its_own_translation(void **state)
{
    (void)state;
    struct guest_ram memory = create(2 * MB);
    const struct paging_mode mode = {.cr0 = MH_CR0_PE};
    struct paging_walk walk = walk_from(&memory, &mode, 0x123456);
    assert_int_equal(walk.physical.v, 0x123456);
    assert_int_equal(walk.steps, 0);
    assert_true(walk.writable && walk.user && walk.executable);
    ram_free(&memory);
}

static void tables_of_32_bit_modes_are_not_followed(void **state)
{
    (void)state;
    struct guest_ram memory = create_own_tables();
    struct paging_mode mode = long_mode(PML4);
    mode.efer = 0;
    struct paging_walk walk = walk_from(&memory, &mode, 0);
    assert_int_equal(walk.end, PAGING_NO_TABLE);
    assert_int_equal(walk.steps, 0);
    ram_free(&memory);
}

static void the_tables_are_known(void **state)
{
    (void)state;
    struct guest_ram memory = create(8 * MB);
    const struct paging_mode mode = long_mode(MH_SYSTEM_AREA + BOOT_PML4);
    struct paging_walk walk;
    boot_write_system_area(&memory, PAGE_4K);
    assert_true(paging_walk(&memory, &mode, mh_gva_of(0x201000), &walk));
    for (unsigned i = 0; i < walk.steps; i++)
        assert_true(paging_is_table(&memory, &mode, walk.step[i].table));
    assert_false(paging_is_table(&memory, &mode, mh_gpa_of(0x201000)));
    assert_false(paging_is_table(&memory, &mode, mh_gpa_of(MH_SYSTEM_AREA + BOOT_IDT)));
    const struct paging_mode none = {.cr3 = mode.cr3};
    assert_false(paging_is_table(&memory, &none, walk.step[0].table));
    ram_free(&memory);
}

static void looking_for_a_table_ends(void **state)
{
    (void)state;
    struct guest_ram memory = create(2 * MB);
    const struct paging_mode mode = long_mode(0x1000);
    for (unsigned i = 0; i < 512; i++)
        set_entry(&memory, 0x1000, i, 0x1000 | PAGING_PRESENT);
    assert_true(paging_is_table(&memory, &mode, mh_gpa_of(0x1000)));
    assert_false(paging_is_table(&memory, &mode, mh_gpa_of(0x2000)));
    ram_free(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ram_and_system_area_are_mapped_to_themselves_and_nothing_else),
        cmocka_unit_test(far_addresses_are_not_mapped),
        cmocka_unit_test(tables_fit_the_largest_ram),
        cmocka_unit_test(a_walk_names_its_steps),
        cmocka_unit_test(a_walk_changes_nothing),
        cmocka_unit_test(a_page_of_4_kb_keeps_12_bits_of_the_address),
        cmocka_unit_test(large_pages_keep_21_and_30_bits_of_the_address),
        cmocka_unit_test(the_large_bit_means_nothing_in_pml4_and_pt),
        cmocka_unit_test(a_missing_entry_ends_the_walk_at_its_level),
        cmocka_unit_test(a_table_outside_memory_ends_the_walk),
        cmocka_unit_test(a_root_outside_memory_ends_the_walk),
        cmocka_unit_test(low_bits_of_cr3_are_no_part_of_the_root),
        cmocka_unit_test(a_page_may_lead_to_where_no_memory_is),
        cmocka_unit_test(rights_are_those_of_all_levels_together),
        cmocka_unit_test(nx_counts_only_when_it_is_switched_on),
        cmocka_unit_test(addresses_must_be_canonical),
        cmocka_unit_test(five_levels_have_a_pml5_and_57_bits),
        cmocka_unit_test(the_last_entry_of_each_table_is_reached),
        cmocka_unit_test(tables_may_refer_to_themselves),
        cmocka_unit_test(without_paging_an_address_is_its_own_translation),
        cmocka_unit_test(tables_of_32_bit_modes_are_not_followed),
        cmocka_unit_test(the_tables_are_known),
        cmocka_unit_test(looking_for_a_table_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
