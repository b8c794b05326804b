#include "machine/guest_mem.h"

#include "fake_machine.h"
#include "mh/x86_regs.h"
#include "unit.h"
#include "x86/boot_state.h"

#include <string.h>

static uint64_t *page_table(const struct fake_machine *m)
{
    return (uint64_t *)(void *)(ram_system_area(&m->vm->ram) + BOOT_RAM_PT);
}

static void the_mode_is_what_the_processor_holds(void **state)
{
    struct fake_machine *m = *state;
    const struct paging_mode mode = guest_paging_mode(m->vm);
    assert_int_equal(mode.cr3, MH_SYSTEM_AREA + BOOT_PML4);
    assert_int_not_equal(mode.cr0 & MH_CR0_PG, 0);
    assert_int_not_equal(mode.efer & MH_EFER_LMA, 0);
}

static void without_registers_there_is_no_mode(void **state)
{
    struct fake_machine *m = *state;
    m->cpu->failing = "read_regs";
    const struct paging_mode mode = guest_paging_mode(m->vm);
    assert_int_equal(mode.cr0 | mode.cr3 | mode.cr4 | mode.efer, 0);
}

static void copies_follow_the_tables_from_page_to_page(void **state)
{
    struct fake_machine *m = *state;
    const struct paging_mode mode = guest_paging_mode(m->vm);
    uint8_t *ram = m->vm->ram.host;
    char text[16] = "";
    uint64_t entry = page_table(m)[5];
    page_table(m)[5] = page_table(m)[9];
    page_table(m)[9] = entry;
    assert_int_equal(gva_write(m->vm, &mode, mh_gva_of(0x4ffc), "abcdefgh", 8), 8);
    assert_memory_equal(ram + 0x4ffc, "abcd", 4);
    assert_memory_equal(ram + 0x9000, "efgh", 4);
    assert_int_equal(ram[0x5000], 0);
    assert_int_equal(gva_read(m->vm, &mode, mh_gva_of(0x4ffc), text, 8), 8);
    assert_string_equal(text, "abcdefgh");
    assert_ptr_equal(gva_to_host(m->vm, &mode, mh_gva_of(0x5007)), ram + 0x9007);
}

static void copies_end_where_nothing_is_mapped(void **state)
{
    struct fake_machine *m = *state;
    const struct paging_mode mode = guest_paging_mode(m->vm);
    char text[8] = "";
    page_table(m)[5] = 0;
    assert_int_equal(gva_write(m->vm, &mode, mh_gva_of(0x4ffe), "abcd", 4), 2);
    assert_int_equal(gva_read(m->vm, &mode, mh_gva_of(0x4ffe), text, 4), 2);
    assert_string_equal(text, "ab");
    assert_int_equal(gva_read(m->vm, &mode, mh_gva_of(0x5000), text, 4), 0);
    assert_int_equal(gva_read(m->vm, &mode, mh_gva_of(2 * MB - 2), text, 4), 2);
    assert_int_equal(gva_read(m->vm, &mode, mh_gva_of(0x4000), text, 0), 0);
    assert_null(gva_to_host(m->vm, &mode, mh_gva_of(0x5000)));
    assert_null(gva_to_host(m->vm, &mode, mh_gva_of(1ull << 47)));
}

static void pages_that_lead_out_of_memory_are_not_followed(void **state)
{
    struct fake_machine *m = *state;
    const struct paging_mode mode = guest_paging_mode(m->vm);
    char text[8];
    page_table(m)[5] = (uint64_t)(64 * MB) | PAGING_PRESENT | PAGING_WRITE;
    assert_int_equal(gva_read(m->vm, &mode, mh_gva_of(0x4ffe), text, 4), 2);
    assert_int_equal(gva_write(m->vm, &mode, mh_gva_of(0x5000), text, 4), 0);
    page_table(m)[5] = (uint64_t)(MH_SYSTEM_AREA + BOOT_GDT) | PAGING_PRESENT;
    assert_int_equal(gva_read(m->vm, &mode, mh_gva_of(0x5000), text, 4), 4);
}

static void a_debugger_may_write_what_the_guest_may_not(void **state)
{
    struct fake_machine *m = *state;
    const struct paging_mode mode = guest_paging_mode(m->vm);
    page_table(m)[5] &= ~(uint64_t)PAGING_WRITE;
    assert_int_equal(gva_write(m->vm, &mode, mh_gva_of(0x5000), "x", 1), 1);
    assert_int_equal(page_table(m)[5] & (PAGING_ACCESSED | PAGING_DIRTY), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fake_machine_set_up, fake_machine_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_mode_is_what_the_processor_holds),           TEST(without_registers_there_is_no_mode),
        TEST(copies_follow_the_tables_from_page_to_page),     TEST(copies_end_where_nothing_is_mapped),
        TEST(pages_that_lead_out_of_memory_are_not_followed), TEST(a_debugger_may_write_what_the_guest_may_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
