#include "debug/breakpoints.h"

#include "fake_machine.h"
#include "unit.h"
#include "machine/guest_mem.h"

#include <string.h>

#define INT3 0xcc

/* A machine of 4 KB pages on a host where everything works that has not been switched off. */
static int set_up(void **state)
{
    struct fake_machine *m = fake_machine_make("\x90\x90\x90\x90\xf4", 5);
    fake_machine_create(m);
    m->vm->debug.host = (struct host_debug){HOST_INT3_REPORTED, true, true, true, true, true};
    *state = m;
    return 0;
}

static int tear_down(void **state)
{
    fake_machine_remove(*state);
    return 0;
}

static struct breakpoints *of(struct fake_machine *m)
{
    return &m->vm->debug.breakpoints;
}

static uint8_t *ram(const struct fake_machine *m)
{
    return m->vm->ram.host;
}

static enum mh_status add(struct fake_machine *m, enum mh_break_kind kind, uint64_t address, uint64_t length)
{
    const struct breakpoint breakpoint = {.kind = kind, .address = address, .length = length};
    struct mh_error err;
    return breakpoints_add(m->vm, &breakpoint, &err);
}

static void refused(struct fake_machine *m, enum mh_break_kind kind, uint64_t address, uint64_t length,
                    const char *words)
{
    const struct breakpoint breakpoint = {.kind = kind, .address = address, .length = length};
    struct mh_error err = {.text = ""};
    size_t count = of(m)->count;
    assert_int_not_equal(breakpoints_add(m->vm, &breakpoint, &err), MH_OK);
    assert_text_has(err.text, words);
    assert_int_equal(of(m)->count, count);
}

static void arm(struct fake_machine *m)
{
    assert_int_equal(breakpoints_arm(m->vm, false), 0);
}

static void without_registers(struct fake_machine *m)
{
    m->vm->debug.host.execute_registers = m->vm->debug.host.data_registers = false;
}

/* ---- the list ---- */

static void what_is_there_is_not_added_twice(void **state)
{
    struct fake_machine *m = *state;
    assert_int_equal(add(m, MH_BREAK_SOFTWARE, 1, 1), MH_OK);
    assert_int_equal(add(m, MH_BREAK_SOFTWARE, 1, 1), MH_OK);
    assert_int_equal(add(m, MH_BREAK_HARDWARE, 1, 1), MH_OK);
    assert_int_equal(of(m)->count, 2);
    breakpoints_remove(of(m), &(struct breakpoint){MH_BREAK_SOFTWARE, 1, 1});
    breakpoints_remove(of(m), &(struct breakpoint){MH_BREAK_SOFTWARE, 1, 1});
    assert_int_equal(of(m)->count, 1);
    assert_int_equal(breakpoints_at(of(m), 1)->kind, MH_BREAK_HARDWARE);
    breakpoints_clear(of(m));
    assert_null(breakpoints_at(of(m), 1));
}

static void hardware_has_four_slots(void **state)
{
    struct fake_machine *m = *state;
    for (uint64_t i = 0; i < DEBUG_REGISTERS; i++)
        assert_int_equal(add(m, MH_BREAK_HARDWARE, i, 1), MH_OK);
    refused(m, MH_BREAK_HARDWARE, 5, 1, "all four hardware slots are in use");
    assert_int_equal(add(m, MH_BREAK_HARDWARE, 0, 1), MH_OK);
}

static void the_list_has_an_end(void **state)
{
    struct fake_machine *m = *state;
    for (uint64_t i = 0; i < BREAKPOINTS_MAX; i++)
        assert_int_equal(add(m, i % 2 ? MH_BREAK_SOFTWARE : MH_BREAK_WATCH_READ, i, 1), MH_OK);
    refused(m, MH_BREAK_SOFTWARE, 0, 1, "there are 4096 break- and watchpoints already");
    refused(m, MH_BREAK_WATCH_READ, 1, 1, "there are 4096");
    assert_int_equal(add(m, MH_BREAK_SOFTWARE, 1, 1), MH_OK); /* which is there */
    breakpoints_remove(of(m), &(struct breakpoint){MH_BREAK_SOFTWARE, 1, 1});
    assert_int_equal(add(m, MH_BREAK_WATCH_READ, 1, 1), MH_OK);
}

static void what_cannot_be_is_refused_in_words(void **state)
{
    struct fake_machine *m = *state;
    refused(m, MH_BREAK_SOFTWARE, 2 * MB, 1, "no memory is mapped at 0x200000");
    refused(m, MH_BREAK_WATCH_WRITE, 2 * MB, 1, "no memory is mapped at 0x200000");
    refused(m, MH_BREAK_WATCH_WRITE, 0, 0, "cannot watch 0 bytes");
    refused(m, MH_BREAK_WATCH_READ, 0, MB, "cannot watch 1048576 bytes: 1 to 131072");
    refused(m, MH_BREAK_WATCH_READ, UINT64_MAX - 3, 8, "beyond the end of the address space");
}

static void watches_that_do_not_fit_the_pages_there_are_are_refused(void **state)
{
    struct fake_machine *m = *state;
    const uint64_t half = SLOTS_PROTECTED_MAX / 2 * PAGE_4K;
    without_registers(m);
    assert_int_equal(add(m, MH_BREAK_WATCH_WRITE, 0, half), MH_OK);
    assert_int_equal(add(m, MH_BREAK_WATCH_ACCESS, half, half), MH_OK);
    refused(m, MH_BREAK_WATCH_WRITE, 2 * half, 1, "may lie in 64 pages");
    assert_int_equal(add(m, MH_BREAK_WATCH_WRITE, 17, 1), MH_OK);
    assert_int_equal(add(m, MH_BREAK_WATCH_READ, 2 * half, half), MH_OK);
    arm(m);
    assert_int_equal(of(m)->pages.count, SLOTS_PROTECTED_MAX);
}

/* ---- arming ---- */

static void free_registers_serve_first_and_then_int3s(void **state)
{
    struct fake_machine *m = *state;
    assert_int_equal(add(m, MH_BREAK_HARDWARE, 0, 1), MH_OK);
    assert_int_equal(add(m, MH_BREAK_WATCH_WRITE, 0x1000, 8), MH_OK);
    for (uint64_t i = 1; i < 5; i++)
        assert_int_equal(add(m, MH_BREAK_SOFTWARE, i, 1), MH_OK);
    arm(m);
    assert_memory_equal(ram(m), "\x90\x90\x90\xcc\xcc", 5);
    assert_int_equal(of(m)->register_count, 4);
    struct kvm_guest_debug debug = {0};
    breakpoints_fill_registers(of(m), &debug);
    assert_int_equal(debug.control, KVM_GUESTDBG_USE_HW_BP);
    assert_int_equal(debug.arch.debugreg[0], 0);
    assert_int_equal(debug.arch.debugreg[1], 0x1000);
    assert_int_equal(debug.arch.debugreg[3], 2);
    assert_int_equal(debug.arch.debugreg[7], 0x4aa | 9u << 20); /* writes of 8 bytes in register 1 */
    breakpoints_unpatch(of(m));
    assert_memory_equal(ram(m), "\x90\x90\x90\x90\xf4", 5);
}

static void registers_the_guest_uses_are_left_to_it(void **state)
{
    struct fake_machine *m = *state;
    fake_kvm.debugregs.dr7 = 0x401;
    assert_int_equal(add(m, MH_BREAK_SOFTWARE, 1, 1), MH_OK);
    arm(m);
    assert_int_equal(of(m)->register_count, 0);
    assert_int_equal(ram(m)[1], INT3);
}

static void where_no_int3_is_reported_and_no_register_fires_steps_find_it(void **state)
{
    struct fake_machine *m = *state;
    without_registers(m);
    m->vm->debug.host.int3 = HOST_INT3_LOST;
    assert_int_equal(add(m, MH_BREAK_SOFTWARE, 1, 1), MH_OK);
    arm(m);
    assert_true(of(m)->breaks_by_step);
    assert_int_equal(ram(m)[1], 0x90);
    breakpoints_clear(of(m));
    assert_int_equal(add(m, MH_BREAK_HARDWARE, 1, 1), MH_OK);
    arm(m);
    assert_true(of(m)->breaks_by_step);
}

static void watches_without_registers_protect_pages_or_step(void **state)
{
    struct fake_machine *m = *state;
    without_registers(m);
    assert_int_equal(add(m, MH_BREAK_WATCH_WRITE, 0x1ffc, 8), MH_OK);
    arm(m);
    assert_false(of(m)->reads_by_step);
    assert_int_equal(of(m)->pages.count, 2);
    assert_int_equal(m->vm->slots.read_only.count, 2);
    assert_int_equal(add(m, MH_BREAK_WATCH_READ, 0x5000, 8), MH_OK);
    arm(m);
    assert_true(of(m)->reads_by_step);
    assert_int_equal(of(m)->pages.count, 2);
    breakpoints_clear(of(m));
    arm(m);
    assert_int_equal(m->vm->slots.read_only.count, 0);
}

static void lengths_that_fit_no_register_use_pages(void **state)
{
    struct fake_machine *m = *state;
    assert_int_equal(add(m, MH_BREAK_WATCH_WRITE, 0x1000, 3), MH_OK);
    assert_int_equal(add(m, MH_BREAK_WATCH_WRITE, 0x1002, 4), MH_OK);
    arm(m);
    assert_int_equal(of(m)->register_count, 0);
    assert_int_equal(of(m)->pages.count, 1);
}

static void for_a_single_step_only_watches_are_armed(void **state)
{
    struct fake_machine *m = *state;
    assert_int_equal(add(m, MH_BREAK_SOFTWARE, 1, 1), MH_OK);
    assert_int_equal(add(m, MH_BREAK_HARDWARE, 2, 1), MH_OK);
    assert_int_equal(add(m, MH_BREAK_WATCH_WRITE, 0x1000, 8), MH_OK);
    assert_int_equal(breakpoints_arm(m->vm, true), 0);
    assert_int_equal(of(m)->register_count, 1);
    assert_int_equal(of(m)->in_register[0].kind, MH_BREAK_WATCH_WRITE);
    assert_int_equal(ram(m)[1], 0x90);
}

/* ---- INT3s in memory ---- */

static void an_int3_of_ours_is_told_from_one_of_the_guest(void **state)
{
    struct fake_machine *m = *state;
    without_registers(m);
    ram(m)[3] = INT3;
    assert_int_equal(add(m, MH_BREAK_SOFTWARE, 1, 1), MH_OK);
    arm(m);
    assert_true(breakpoints_patched_at(m->vm, 1));
    assert_false(breakpoints_patched_at(m->vm, 3));
    assert_false(breakpoints_patched_at(m->vm, 0));
}

static void what_the_guest_writes_over_an_int3_stays(void **state)
{
    struct fake_machine *m = *state;
    without_registers(m);
    assert_int_equal(add(m, MH_BREAK_SOFTWARE, 1, 1), MH_OK);
    assert_int_equal(add(m, MH_BREAK_SOFTWARE, 2, 1), MH_OK);
    arm(m);
    ram(m)[1] = 0x40;
    ram(m)[2] = 0x41;
    breakpoints_refresh(of(m));
    assert_memory_equal(ram(m), "\x90\xcc\xcc\x90\xf4", 5);
    ram(m)[2] = 0x42;
    breakpoints_unpatch(of(m));
    assert_memory_equal(ram(m), "\x90\x40\x42\x90\xf4", 5);
}

static void where_no_int3_is_reported_patches_are_hlts(void **state)
{
    struct fake_machine *m = *state;
    const struct paging_mode mode = guest_paging_mode(m->vm);
    m->vm->debug.host.int3 = HOST_INT3_LOST;
    breakpoints_patch(m->vm, &mode, 1);
    breakpoints_patch(m->vm, &mode, 2);
    assert_memory_equal(ram(m), "\x90\xf4\xf4\x90\xf4", 5);
    assert_true(breakpoints_patched_at(m->vm, 1));
    assert_false(breakpoints_patched_at(m->vm, 4));
    ram(m)[2] = INT3; /* the guest's own */
    assert_false(breakpoints_patched_at(m->vm, 2));
    breakpoints_unpatch(of(m));
    assert_memory_equal(ram(m), "\x90\x90\xcc\x90\xf4", 5);
}

static void two_addresses_of_one_byte_are_patched_once(void **state)
{
    struct fake_machine *m = *state;
    uint64_t *table = (uint64_t *)(void *)(ram_system_area(&m->vm->ram) + 0x4000);
    without_registers(m);
    table[1] = table[0]; /* the second page is the first again */
    assert_int_equal(add(m, MH_BREAK_SOFTWARE, 0x0001, 1), MH_OK);
    assert_int_equal(add(m, MH_BREAK_SOFTWARE, 0x1001, 1), MH_OK);
    arm(m);
    assert_int_equal(of(m)->patch_count, 1);
    breakpoints_unpatch(of(m));
    assert_int_equal(ram(m)[1], 0x90);
}

static void a_breakpoint_whose_page_is_gone_waits_for_it(void **state)
{
    struct fake_machine *m = *state;
    uint64_t *table = (uint64_t *)(void *)(ram_system_area(&m->vm->ram) + 0x4000);
    const uint64_t entry = table[1];
    without_registers(m);
    assert_int_equal(add(m, MH_BREAK_SOFTWARE, 0x1001, 1), MH_OK);
    table[1] = 0;
    arm(m);
    assert_int_equal(of(m)->patch_count, 0);
    table[1] = entry;
    arm(m);
    assert_int_equal(ram(m)[0x1001], INT3);
    breakpoints_unpatch(of(m));
}

/* ---- which watchpoint an access touches ---- */

static void writes_are_found_by_their_physical_addresses(void **state)
{
    struct fake_machine *m = *state;
    uint64_t *table = (uint64_t *)(void *)(ram_system_area(&m->vm->ram) + 0x4000);
    table[8] = table[3];
    assert_int_equal(add(m, MH_BREAK_WATCH_WRITE, 0x8010, 4), MH_OK);
    assert_null(breakpoints_watching_write(m->vm, mh_gpa_of(0x300c), 4));
    assert_null(breakpoints_watching_write(m->vm, mh_gpa_of(0x3014), 8));
    assert_null(breakpoints_watching_write(m->vm, mh_gpa_of(0x8010), 4));
    assert_int_equal(breakpoints_watching_write(m->vm, mh_gpa_of(0x300d), 4)->address, 0x8010);
    assert_int_equal(breakpoints_watching_write(m->vm, mh_gpa_of(0x3013), 1)->address, 0x8010);
}

static void a_watch_over_two_pages_sees_both(void **state)
{
    struct fake_machine *m = *state;
    assert_int_equal(add(m, MH_BREAK_WATCH_ACCESS, 0x1ff0, 0x20), MH_OK);
    assert_non_null(breakpoints_watching_write(m->vm, mh_gpa_of(0x1ff0), 1));
    assert_non_null(breakpoints_watching_write(m->vm, mh_gpa_of(0x200f), 1));
    assert_null(breakpoints_watching_write(m->vm, mh_gpa_of(0x2010), 1));
    assert_null(breakpoints_watching_write(m->vm, mh_gpa_of(0x1fef), 1));
}

static void reads_and_writes_are_told_apart(void **state)
{
    struct fake_machine *m = *state;
    assert_int_equal(add(m, MH_BREAK_WATCH_WRITE, 0x1000, 4), MH_OK);
    assert_int_equal(add(m, MH_BREAK_WATCH_READ, 0x2000, 4), MH_OK);
    assert_int_equal(add(m, MH_BREAK_WATCH_ACCESS, 0x3000, 4), MH_OK);
    assert_null(breakpoints_watching_read(of(m), 0x1000, 4));
    assert_null(breakpoints_watching_write(m->vm, mh_gpa_of(0x2000), 4));
    assert_non_null(breakpoints_watching_read(of(m), 0x2003, 1));
    assert_non_null(breakpoints_watching_read(of(m), 0x3000, 1));
    assert_non_null(breakpoints_watching_write(m->vm, mh_gpa_of(0x3000), 1));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_there_is_not_added_twice),
        TEST(hardware_has_four_slots),
        TEST(the_list_has_an_end),
        TEST(what_cannot_be_is_refused_in_words),
        TEST(watches_that_do_not_fit_the_pages_there_are_are_refused),
        TEST(free_registers_serve_first_and_then_int3s),
        TEST(registers_the_guest_uses_are_left_to_it),
        TEST(where_no_int3_is_reported_and_no_register_fires_steps_find_it),
        TEST(watches_without_registers_protect_pages_or_step),
        TEST(lengths_that_fit_no_register_use_pages),
        TEST(for_a_single_step_only_watches_are_armed),
        TEST(an_int3_of_ours_is_told_from_one_of_the_guest),
        TEST(what_the_guest_writes_over_an_int3_stays),
        TEST(where_no_int3_is_reported_patches_are_hlts),
        TEST(two_addresses_of_one_byte_are_patched_once),
        TEST(a_breakpoint_whose_page_is_gone_waits_for_it),
        TEST(writes_are_found_by_their_physical_addresses),
        TEST(a_watch_over_two_pages_sees_both),
        TEST(reads_and_writes_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
