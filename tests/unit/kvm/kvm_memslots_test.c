#include "kvm/kvm_memslots.h"

#include "fake_kvm_cpu.h"

#include <errno.h>

static void slot_is(const struct fake_kvm_cpu *f, unsigned number, uint64_t start, uint64_t size, uint32_t flags)
{
    const struct kvm_userspace_memory_region *region = &fake_kvm.region[number];
    assert_int_equal(region->guest_phys_addr, start);
    assert_int_equal(region->memory_size, size);
    assert_int_equal(region->flags, flags);
    assert_int_equal(region->userspace_addr, (uintptr_t)ram_at(&f->ram, mh_gpa_of(start), size));
}

static bool is_changed(const struct fake_kvm_cpu *f, size_t page)
{
    return (f->ram.changed[page / 64] >> page % 64 & 1) != 0;
}

static void there_are_two_slots(void **state)
{
    const struct fake_kvm_cpu *f = *state;
    slot_is(f, 0, 0, 2 * MB, 0);
    slot_is(f, 1, MH_SYSTEM_AREA, MH_SYSTEM_AREA_SIZE, 0);
    assert_int_equal(fake_kvm_count(KVM_SET_USER_MEMORY_REGION), 2);
}

static void installing_again_takes_them_away_first(void **state)
{
    struct fake_kvm_cpu *f = *state;
    unsigned before = fake_kvm_count(KVM_SET_USER_MEMORY_REGION);
    assert_int_equal(kvm_memslots_reinstall(&f->kvm->slots), 0);
    assert_int_equal(fake_kvm_count(KVM_SET_USER_MEMORY_REGION), before + 4);
    assert_int_equal(fake_kvm_count(KVM_GET_DIRTY_LOG), 0); /* nothing is logged */
    slot_is(f, 0, 0, 2 * MB, 0);
    slot_is(f, 1, MH_SYSTEM_AREA, MH_SYSTEM_AREA_SIZE, 0);
}

static void the_log_says_which_pages_were_written(void **state)
{
    struct fake_kvm_cpu *f = *state;
    assert_int_equal(f->cpu->ops->track_writes(f->cpu, NULL), MH_OK);
    slot_is(f, 0, 0, 2 * MB, KVM_MEM_LOG_DIRTY_PAGES);
    slot_is(f, 1, MH_SYSTEM_AREA, MH_SYSTEM_AREA_SIZE, KVM_MEM_LOG_DIRTY_PAGES);
    fake_kvm.dirty[0] = 1 << 3;
    fake_kvm.dirty[1] = 1 << 1;
    assert_int_equal(f->cpu->ops->collect_writes(f->cpu, NULL), MH_OK);
    assert_true(is_changed(f, 3));
    assert_true(is_changed(f, 2 * MB / PAGE_4K + 1));
    assert_false(is_changed(f, 2));
    assert_false(is_changed(f, 2 * MB / PAGE_4K));
}

/* Taking the slots away takes along what KVM had noted. */
static void what_was_noted_outlives_the_slots(void **state)
{
    struct fake_kvm_cpu *f = *state;
    assert_int_equal(f->cpu->ops->track_writes(f->cpu, NULL), MH_OK);
    fake_kvm.dirty[0] = 1 << 5;
    assert_int_equal(kvm_memslots_reinstall(&f->kvm->slots), 0);
    assert_true(is_changed(f, 5));
    slot_is(f, 0, 0, 2 * MB, KVM_MEM_LOG_DIRTY_PAGES);
}

static void refusals_are_told(void **state)
{
    struct fake_kvm_cpu *f = *state;
    fake_kvm.failing_errno = ENOMEM;
    fake_kvm.failing_request = KVM_SET_USER_MEMORY_REGION;
    assert_int_equal(f->cpu->ops->track_writes(f->cpu, &f->err), MH_ERR_HOST);
    assert_text_has(f->err.text, "KVM does not log the guest's writes: Cannot allocate memory");
    assert_int_equal(kvm_memslots_reinstall(&f->kvm->slots), -ENOMEM);
    fake_kvm.failing_request = 0;
    assert_int_equal(f->cpu->ops->collect_writes(f->cpu, &f->err), MH_OK); /* it does not log, so it is not asked */
    assert_int_equal(fake_kvm_count(KVM_GET_DIRTY_LOG), 0);
    assert_int_equal(f->cpu->ops->track_writes(f->cpu, &f->err), MH_OK);
    fake_kvm.failing_request = KVM_GET_DIRTY_LOG;
    assert_int_equal(f->cpu->ops->collect_writes(f->cpu, &f->err), MH_ERR_HOST);
    assert_text_has(f->err.text, "KVM does not say what the guest wrote");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fake_kvm_cpu_set_up, fake_kvm_cpu_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(there_are_two_slots),
        TEST(installing_again_takes_them_away_first),
        TEST(the_log_says_which_pages_were_written),
        TEST(what_was_noted_outlives_the_slots),
        TEST(refusals_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
