#include "slots.h"

#include "fake_kvm.h"
#include "mh/guest_abi.h"
#include "x86/paging.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct fixture {
    int fd;
    struct guest_ram memory;
    struct slots slots;
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    fake_kvm_reset();
    f->fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_int_equal(ram_create(&f->memory, 2 * MB, NULL), MH_OK);
    assert_int_equal(slots_create(&f->slots, f->fd, &f->memory), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    ram_free(&f->memory);
    close(f->fd);
    test_free(f);
    return 0;
}

static void slot_is(const struct fixture *f, unsigned number, uint64_t start, uint64_t size, bool read_only)
{
    const struct kvm_userspace_memory_region *region = &fake_kvm.region[number];
    assert_int_equal(region->guest_phys_addr, start);
    assert_int_equal(region->memory_size, size);
    assert_int_equal(region->flags, read_only ? KVM_MEM_READONLY : 0);
    assert_int_equal(region->userspace_addr, (uintptr_t)ram_at(&f->memory, mh_gpa_of(start), size));
}

static void system_area_is(const struct fixture *f, unsigned number)
{
    slot_is(f, number, MH_SYSTEM_AREA, MH_SYSTEM_AREA_SIZE, false);
    assert_int_equal(f->slots.count, number + 1);
}

static void pages_are_listed_once_in_order(void **state)
{
    (void)state;
    struct page_list list = {0};
    assert_true(page_list_add(&list, mh_gpa_of(0x5123)));
    assert_true(page_list_add(&list, mh_gpa_of(0x1fff)));
    assert_true(page_list_add(&list, mh_gpa_of(0x3000)));
    assert_true(page_list_add(&list, mh_gpa_of(0x5fff)));
    assert_int_equal(list.count, 3);
    assert_int_equal(list.page[0], 0x1000);
    assert_int_equal(list.page[1], 0x3000);
    assert_int_equal(list.page[2], 0x5000);
    assert_true(page_list_has(&list, mh_gpa_of(0x3fff)));
    assert_false(page_list_has(&list, mh_gpa_of(0x2fff)));
    assert_false(page_list_has(&list, mh_gpa_of(0x4000)));
}

static void a_full_list_takes_only_what_it_has(void **state)
{
    (void)state;
    struct page_list list = {0};
    for (uint64_t i = 0; i < SLOTS_PROTECTED_MAX; i++)
        assert_true(page_list_add(&list, mh_gpa_of(i * PAGE_4K)));
    assert_false(page_list_add(&list, mh_gpa_of(SLOTS_PROTECTED_MAX * PAGE_4K)));
    assert_true(page_list_add(&list, mh_gpa_of(0x10)));
    assert_int_equal(list.count, SLOTS_PROTECTED_MAX);
}

static void without_protection_there_are_two_slots(void **state)
{
    const struct fixture *f = *state;
    slot_is(f, 0, 0, 2 * MB, false);
    system_area_is(f, 1);
}

static void a_page_in_the_middle_makes_three_of_one(void **state)
{
    struct fixture *f = *state;
    struct page_list pages = {0};
    page_list_add(&pages, mh_gpa_of(0x5000));
    assert_int_equal(slots_protect(&f->slots, &pages), 0);
    slot_is(f, 0, 0, 0x5000, false);
    slot_is(f, 1, 0x5000, PAGE_4K, true);
    slot_is(f, 2, 0x6000, 2 * MB - 0x6000, false);
    system_area_is(f, 3);
}

static void pages_at_the_ends_and_side_by_side_leave_nothing_empty(void **state)
{
    struct fixture *f = *state;
    struct page_list pages = {0};
    page_list_add(&pages, mh_gpa_of(0));
    page_list_add(&pages, mh_gpa_of(PAGE_4K));
    page_list_add(&pages, mh_gpa_of(2 * MB - 1));
    assert_int_equal(slots_protect(&f->slots, &pages), 0);
    slot_is(f, 0, 0, PAGE_4K, true);
    slot_is(f, 1, PAGE_4K, PAGE_4K, true);
    slot_is(f, 2, 2 * PAGE_4K, 2 * MB - 3 * PAGE_4K, false);
    slot_is(f, 3, 2 * MB - PAGE_4K, PAGE_4K, true);
    system_area_is(f, 4);
}

static void the_system_area_can_be_protected_too(void **state)
{
    struct fixture *f = *state;
    struct page_list pages = {0};
    page_list_add(&pages, mh_gpa_of(MH_SYSTEM_AREA + MH_SYSTEM_AREA_SIZE - 1));
    assert_int_equal(slots_protect(&f->slots, &pages), 0);
    slot_is(f, 0, 0, 2 * MB, false);
    slot_is(f, 1, MH_SYSTEM_AREA, MH_SYSTEM_AREA_SIZE - PAGE_4K, false);
    slot_is(f, 2, MH_SYSTEM_AREA + MH_SYSTEM_AREA_SIZE - PAGE_4K, PAGE_4K, true);
}

static void protection_that_ends_leaves_two_slots_again(void **state)
{
    struct fixture *f = *state;
    struct page_list pages = {0};
    const struct page_list none = {0};
    page_list_add(&pages, mh_gpa_of(0x5000));
    assert_int_equal(slots_protect(&f->slots, &pages), 0);
    assert_int_equal(slots_protect(&f->slots, &none), 0);
    without_protection_there_are_two_slots(state);
    assert_int_equal(fake_kvm.region[2].memory_size, 0);
    assert_int_equal(fake_kvm.region[3].memory_size, 0);
}

static void the_same_pages_again_cost_nothing(void **state)
{
    struct fixture *f = *state;
    struct page_list pages = {0};
    page_list_add(&pages, mh_gpa_of(0x5000));
    assert_int_equal(slots_protect(&f->slots, &pages), 0);
    unsigned calls = fake_kvm.calls;
    assert_int_equal(slots_protect(&f->slots, &pages), 0);
    assert_int_equal(fake_kvm.calls, calls);
}

static void a_refusal_is_told_and_mended_by_the_next_call(void **state)
{
    struct fixture *f = *state;
    struct page_list pages = {0};
    const struct page_list none = {0};
    page_list_add(&pages, mh_gpa_of(0x5000));
    fake_kvm.failing_errno = EINVAL;
    for (unsigned call = 1; call <= 6; call++) {
        fake_kvm.failing_call = fake_kvm.calls + call;
        assert_int_equal(slots_protect(&f->slots, &pages), -EINVAL);
        fake_kvm.failing_call = 0;
        assert_int_equal(slots_protect(&f->slots, &pages), 0);
        assert_int_equal(f->slots.count, 4);
        assert_int_equal(slots_protect(&f->slots, &none), 0);
        assert_int_equal(f->slots.count, 2);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pages_are_listed_once_in_order),
        TEST(a_full_list_takes_only_what_it_has),
        TEST(without_protection_there_are_two_slots),
        TEST(a_page_in_the_middle_makes_three_of_one),
        TEST(pages_at_the_ends_and_side_by_side_leave_nothing_empty),
        TEST(the_system_area_can_be_protected_too),
        TEST(protection_that_ends_leaves_two_slots_again),
        TEST(the_same_pages_again_cost_nothing),
        TEST(a_refusal_is_told_and_mended_by_the_next_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
