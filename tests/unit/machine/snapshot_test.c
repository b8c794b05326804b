#include "machine/snapshot.h"

#include "fake_machine.h"
#include "mh/guest_abi.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

struct fixture {
    struct fake_machine *machine;
    struct mh_vm *vm;
    struct snapshot *snapshot;
    struct mh_error err;
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    f->machine = fake_machine_make("\x90\x90\xf4", 3);
    fake_machine_create(f->machine);
    f->vm = f->machine->vm;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    snapshot_free(f->snapshot);
    fake_machine_remove(f->machine);
    test_free(f);
    return 0;
}

static void take(struct fixture *f)
{
    snapshot_free(f->snapshot);
    f->snapshot = NULL;
    assert_int_equal(snapshot_take(f->vm, &f->snapshot, &f->err), MH_OK);
}

static void put_back(struct fixture *f)
{
    assert_int_equal(snapshot_restore(f->vm, f->snapshot, &f->err), MH_OK);
}

static uint8_t *ram(struct fixture *f, uint64_t address)
{
    return ram_at(&f->vm->ram, mh_gpa_of(address), 1);
}

/* Give every part of a processor some value. */
static void fill_processor(uint8_t with)
{
    memset(&fake_kvm.regs, with, sizeof fake_kvm.regs);
    memset(&fake_kvm.xsave, with, sizeof fake_kvm.xsave);
    memset(&fake_kvm.events, with, sizeof fake_kvm.events);
    memset(&fake_kvm.debugregs, with, sizeof fake_kvm.debugregs);
    memset(fake_kvm.msrs, with, sizeof fake_kvm.msrs);
    fake_kvm.sregs.cr3 = with;
    fake_kvm.mp_state.mp_state = with;
    fake_kvm.xcrs.xcrs[0].value = with;
}

static void processor_is_filled(uint8_t with)
{
    struct kvm_regs regs;
    struct kvm_xsave xsave;
    struct kvm_vcpu_events events;
    struct kvm_debugregs debugregs;
    memset(&regs, with, sizeof regs);
    memset(&xsave, with, sizeof xsave);
    memset(&events, with, sizeof events);
    memset(&debugregs, with, sizeof debugregs);
    assert_memory_equal(&fake_kvm.regs, &regs, sizeof regs);
    assert_memory_equal(&fake_kvm.xsave, &xsave, sizeof xsave);
    assert_memory_equal(&fake_kvm.events, &events, sizeof events);
    assert_memory_equal(&fake_kvm.debugregs, &debugregs, sizeof debugregs);
    assert_int_equal(fake_kvm.sregs.cr3, with);
    assert_int_equal(fake_kvm.mp_state.mp_state, with);
    assert_int_equal(fake_kvm.xcrs.xcrs[0].value, with);
}

static void all_of_the_processor_comes_back(void **state)
{
    struct fixture *f = *state;
    fill_processor(1);
    take(f);
    fill_processor(2);
    f->vm->vcpu.registers_are_current = false;
    put_back(f);
    processor_is_filled(1);
    for (unsigned i = 1; i < FAKE_KVM_MSRS; i++)
        assert_int_equal(fake_kvm.msrs[i], 0x0101010101010101);
    assert_int_equal(fake_kvm.msrs[0], 0x0202020202020202); /* the time stamp counter, which this KVM keeps */
}

static void an_msr_that_cannot_be_put_back_is_told(void **state)
{
    struct fixture *f = *state;
    take(f);
    fake_kvm.msrs[1]++;
    fake_kvm.failing_request = KVM_SET_MSRS;
    fake_kvm.failing_errno = EIO;
    assert_int_equal(snapshot_restore(f->vm, f->snapshot, &f->err), MH_ERR_HOST);
}

static void pages_come_back_that_kvm_or_we_noted(void **state)
{
    struct fixture *f = *state;
    take(f);
    *ram(f, 0x3000) = 1; /* the guest, as KVM says */
    fake_kvm.dirty[0] = 1 << 3;
    ram_put(&f->vm->ram, ram(f, 0x5000), "x", 1);
    *ram(f, MH_SYSTEM_AREA + 0x1000) = 0x55;
    fake_kvm.dirty[1] = 1 << 1;
    put_back(f);
    assert_int_equal(*ram(f, 0x3000), 0);
    assert_int_equal(*ram(f, 0x5000), 0);
    assert_int_not_equal(*ram(f, MH_SYSTEM_AREA + 0x1000), 0x55);
}

static void the_log_is_switched_on_by_the_first(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(fake_kvm.region[0].flags, 0);
    take(f);
    assert_int_equal(fake_kvm.region[0].flags, KVM_MEM_LOG_DIRTY_PAGES);
    assert_int_equal(fake_kvm.region[1].flags, KVM_MEM_LOG_DIRTY_PAGES);
    put_back(f);
    assert_int_equal(fake_kvm.region[0].flags, KVM_MEM_LOG_DIRTY_PAGES);
}

/* Protecting a page takes the slots away, and with them what KVM had noted. */
static void what_was_noted_outlives_the_slots(void **state)
{
    struct fixture *f = *state;
    struct page_list pages = {0};
    take(f);
    *ram(f, 0x3000) = 1;
    fake_kvm.dirty[0] = 1 << 3;
    page_list_add(&pages, mh_gpa_of(0x6000));
    assert_int_equal(slots_protect(&f->vm->slots, &pages), 0);
    assert_int_equal(fake_kvm.region[1].flags, KVM_MEM_READONLY);
    *ram(f, 0x7000 + 0x2000) = 1;
    fake_kvm.dirty[2] = 1 << 2; /* the slot behind that page */
    put_back(f);
    assert_int_equal(*ram(f, 0x3000), 0);
    assert_int_equal(*ram(f, 0x9000), 0);
}

static void a_restarted_machine_can_be_put_back(void **state)
{
    struct fixture *f = *state;
    ram_put(&f->vm->ram, ram(f, 0x3000), "x", 1);
    take(f);
    assert_int_equal(vm_restart(f->vm, &f->err), MH_OK);
    assert_int_equal(*ram(f, 0x3000), 0);
    put_back(f);
    assert_int_equal(*ram(f, 0x3000), 'x');
}

static void half_a_file_call_comes_back(void **state)
{
    struct fixture *f = *state;
    file_port_out(&f->vm->file, MH_FILE_CLOSE);
    file_port_out(&f->vm->file, 9);
    take(f);
    file_port_out(&f->vm->file, 0);
    file_port_out(&f->vm->file, 0);
    put_back(f);
    assert_int_equal(f->vm->file.request.state, FILE_PORT_HEAD);
    assert_int_equal(f->vm->file.request.got, 1);
}

/* Whatever KVM refuses while one is taken: the machine is as it was, and the next one can be taken. */
static void a_failure_while_taking_changes_nothing(void **state)
{
    struct fixture *f = *state;
    fill_processor(3);
    ram_put(&f->vm->ram, ram(f, 0x3000), "x", 1);
    fake_kvm.failing_errno = EIO;
    unsigned failures = 0;
    for (unsigned call = 1;; call++) {
        struct snapshot *taken = NULL;
        f->vm->vcpu.registers_are_current = false;
        fake_kvm.failing_call = fake_kvm.calls + call;
        enum mh_status status = snapshot_take(f->vm, &taken, &f->err);
        bool reached = fake_kvm.calls >= fake_kvm.failing_call;
        fake_kvm.failing_call = 0;
        snapshot_free(taken);
        if (!reached)
            break;
        failures += status != MH_OK;
        processor_is_filled(3);
        assert_false(f->vm->debug.killed);
        assert_int_equal(*ram(f, 0x3000), 'x');
    }
    assert_true(failures > 5);
    take(f);
    ram_put(&f->vm->ram, ram(f, 0x3000), "y", 1);
    put_back(f);
    assert_int_equal(*ram(f, 0x3000), 'x');
}

/* While one is put back: either it is whole, or the machine counts as killed until it is restarted. */
static void a_failure_while_putting_back_ends_the_machine(void **state)
{
    struct fixture *f = *state;
    unsigned failures = 0;
    fake_kvm.failing_errno = EIO;
    for (unsigned call = 1;; call++) {
        fill_processor(1);
        f->vm->vcpu.registers_are_current = false;
        take(f);
        fill_processor(2);
        f->vm->vcpu.registers_are_current = false;
        fake_kvm.failing_call = fake_kvm.calls + call;
        enum mh_status status = snapshot_restore(f->vm, f->snapshot, &f->err);
        bool reached = fake_kvm.calls >= fake_kvm.failing_call;
        fake_kvm.failing_call = 0;
        assert_int_equal(f->vm->debug.killed, status != MH_OK);
        if (status == MH_OK)
            processor_is_filled(1);
        if (!reached)
            break;
        failures += status != MH_OK;
        struct snapshot *none;
        if (status != MH_OK)
            assert_int_equal(snapshot_take(f->vm, &none, &f->err), MH_ERR_HOST);
        if (status != MH_OK)
            assert_int_equal(snapshot_restore(f->vm, f->snapshot, &f->err), MH_ERR_RANGE);
        assert_int_equal(vm_restart(f->vm, &f->err), MH_OK);
    }
    assert_true(failures > 5);
}

/* Each version of a file takes room, which only dropping a snapshot gives back. */
static void files_of_all_snapshots_are_bounded(void **state)
{
    struct fixture *f = *state;
    struct file_store *store = &f->vm->file.store;
    assert_int_equal(f->vm->snapshot_room, 256 << 20);
    f->vm->snapshot_room = 25;
    int32_t fd = (int32_t)file_store_open(store, "own", 3, MH_O_WRITE);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(file_store_write(store, fd, "0123456789", 10), 10);
        file_store_seek(store, fd, MH_SEEK_SET, 0);
        assert_int_equal(snapshot_list_take(f->vm, i == 0 ? "first" : "second", &f->err), MH_OK);
    }
    assert_int_equal(snapshot_list_take(f->vm, "again", &f->err), MH_OK); /* nothing has changed */
    assert_int_equal(file_store_write(store, fd, "9876543210", 10), 10);
    assert_int_equal(snapshot_list_take(f->vm, "third", &f->err), MH_ERR_RANGE);
    assert_text_has(f->err.text, "the files of all snapshots would be more than 256 MB: monitor forget NAME");
    assert_int_equal(f->vm->snapshots.count, 3);
    assert_int_equal(snapshot_list_forget(&f->vm->snapshots, "nothing", &f->err), MH_ERR_RANGE);
    assert_int_equal(snapshot_list_forget(&f->vm->snapshots, "first", &f->err), MH_OK);
    assert_int_equal(snapshot_list_take(f->vm, "third", &f->err), MH_OK);
    assert_int_equal(vm_restart(f->vm, &f->err), MH_OK);
    assert_int_equal(f->vm->snapshot_room, 5);
}

static void who_may_write_more_may_have_as_much_in_snapshots(void **state)
{
    (void)state;
    assert_int_equal(snapshot_room(&(struct mh_file_limits){.bytes_written = 1}), 256 << 20);
    assert_int_equal(snapshot_room(&(struct mh_file_limits){.bytes_written = 1ull << 40}), 1ull << 40);
}

static void input_that_is_kept_no_longer_is_an_error_before_anything_changes(void **state)
{
    struct fixture *f = *state;
    take(f);
    f->vm->input.start = 1; /* as if more had been read than is kept */
    ram_put(&f->vm->ram, ram(f, 0x3000), "y", 1);
    assert_int_equal(snapshot_restore(f->vm, f->snapshot, &f->err), MH_ERR_RANGE);
    assert_text_has(f->err.text, "16 MB of input");
    assert_int_equal(*ram(f, 0x3000), 'y');
    assert_false(f->vm->debug.killed);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_of_the_processor_comes_back),
        TEST(an_msr_that_cannot_be_put_back_is_told),
        TEST(pages_come_back_that_kvm_or_we_noted),
        TEST(the_log_is_switched_on_by_the_first),
        TEST(what_was_noted_outlives_the_slots),
        TEST(a_restarted_machine_can_be_put_back),
        TEST(half_a_file_call_comes_back),
        TEST(a_failure_while_taking_changes_nothing),
        TEST(a_failure_while_putting_back_ends_the_machine),
        TEST(files_of_all_snapshots_are_bounded),
        TEST(who_may_write_more_may_have_as_much_in_snapshots),
        TEST(input_that_is_kept_no_longer_is_an_error_before_anything_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
