#include "machine/machine.h"
#include "machine/snapshot.h"

#include "fake_machine.h"
#include "machine/machine.h"
#include "mh/guest_abi.h"
#include "unit.h"
#include "x86/boot_state.h"
#include "x86/paging.h"

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
static void fill_processor(struct fixture *f, uint8_t with)
{
    memset(&f->machine->cpu->state, with, sizeof f->machine->cpu->state);
}

static void processor_is_filled(const struct fixture *f, uint8_t with)
{
    struct mh_cpu_state state;
    memset(&state, with, sizeof state);
    assert_memory_equal(&f->machine->cpu->state, &state, sizeof state);
}

static void all_of_the_processor_comes_back(void **state)
{
    struct fixture *f = *state;
    fill_processor(f, 1);
    take(f);
    fill_processor(f, 2);
    put_back(f);
    processor_is_filled(f, 1);
    assert_int_equal(snapshot_rip(f->snapshot), 0x0101010101010101);
}

static void an_access_is_completed_before_a_snapshot_is_taken_or_put_back(void **state)
{
    struct fixture *f = *state;
    struct cpu *cpu = f->vm->cpu;
    const struct cpu_request request = {.mode = CPU_RUN};
    struct cpu_exit exit;
    fake_cpu_will_out(f->machine->cpu, 0x80, 1, "x", 1);
    fake_cpu_will_out(f->machine->cpu, 0x80, 1, "x", 1);
    cpu->ops->run(cpu, &request, &exit);
    take(f); /* the fake does not save half an access */
    assert_int_equal(snapshot_rip(f->snapshot), 1);
    cpu->ops->run(cpu, &request, &exit);
    put_back(f);
    assert_int_equal(f->machine->cpu->state.general.rip, 1);
}

static void pages_come_back_that_the_guest_or_we_wrote(void **state)
{
    struct fixture *f = *state;
    take(f);
    *ram(f, 0x3000) = 1; /* the guest, as the processor says */
    f->vm->ram.changed[0] |= 1 << 3;
    ram_put(&f->vm->ram, ram(f, 0x5000), "x", 1);
    unsigned before = f->machine->cpu->memory_changes;
    put_back(f);
    assert_int_equal(*ram(f, 0x3000), 0);
    assert_int_equal(*ram(f, 0x5000), 0);
    assert_true(f->machine->cpu->memory_changes >= before + 2);
}

static void writes_are_tracked_from_the_first_snapshot_on(void **state)
{
    struct fixture *f = *state;
    assert_false(f->machine->cpu->tracks_writes);
    take(f);
    assert_true(f->machine->cpu->tracks_writes);
    assert_int_equal(fake_cpu_asked(f->machine->cpu, "collect_writes"), 0);
    take(f);
    put_back(f);
    assert_int_equal(fake_cpu_asked(f->machine->cpu, "collect_writes"), 2);
    assert_int_equal(fake_cpu_asked(f->machine->cpu, "track_writes"), 1);
}

static void input_that_was_read_since_is_read_again(void **state)
{
    struct fixture *f = *state;
    f->machine->input = "abc";
    fake_cpu_will_in(f->machine->cpu, MH_PORT_SERIAL, 1, 1);
    fake_machine_run(f->machine);
    take(f);
    fake_cpu_clear(f->machine->cpu);
    fake_cpu_will_in(f->machine->cpu, MH_PORT_SERIAL, 1, 2);
    fake_machine_run(f->machine);
    put_back(f);
    fake_cpu_clear(f->machine->cpu);
    const struct fake_exit *again = fake_cpu_will_in(f->machine->cpu, MH_PORT_SERIAL, 1, 3);
    fake_machine_run(f->machine);
    assert_memory_equal(again->data, "bc\xff", 3);
    assert_int_equal(f->machine->reads, 4);
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

/* Whatever the processor refuses while one is taken: the machine is as it was, and the next one can be taken. */
static void a_failure_while_taking_changes_nothing(void **state)
{
    struct fixture *f = *state;
    static const char *const operations[] = {"track_writes", "save", "collect_writes"};
    ram_put(&f->vm->ram, ram(f, 0x3000), "x", 1);
    fill_processor(f, 3);
    for (size_t i = 0; i < COUNT(operations); i++) {
        struct snapshot *none = NULL;
        f->machine->cpu->failing = operations[i];
        assert_int_equal(snapshot_take(f->vm, &none, &f->err), MH_ERR_HOST);
        assert_text_has(f->err.text, operations[i]);
        assert_null(none);
        processor_is_filled(f, 3);
        assert_false(f->vm->is_lost);
        f->machine->cpu->failing = NULL;
        take(f);
        ram_put(&f->vm->ram, ram(f, 0x3000), "y", 1);
        put_back(f);
        assert_int_equal(*ram(f, 0x3000), 'x');
    }
}

/* During a restore: either it is complete, or the machine is lost until it is restarted. */
static void a_failure_while_putting_back_ends_the_machine(void **state)
{
    struct fixture *f = *state;
    static const char *const operations[] = {"collect_writes", "restore"};
    for (size_t i = 0; i < COUNT(operations); i++) {
        struct snapshot *none = NULL;
        fill_processor(f, 1);
        ram_put(&f->vm->ram, ram(f, 0x3000), "x", 1);
        take(f);
        ram_put(&f->vm->ram, ram(f, 0x3000), "y", 1);
        f->machine->cpu->failing = operations[i];
        assert_int_equal(snapshot_restore(f->vm, f->snapshot, &f->err), MH_ERR_HOST);
        assert_true(f->vm->is_lost);
        f->machine->cpu->failing = NULL;
        assert_int_equal(snapshot_take(f->vm, &none, &f->err), MH_ERR_HOST);
        assert_int_equal(snapshot_restore(f->vm, f->snapshot, &f->err), MH_ERR_RANGE);
        assert_int_equal(vm_restart(f->vm, &f->err), MH_OK);
        assert_false(f->vm->is_lost);
        put_back(f);
        processor_is_filled(f, 1);
        assert_int_equal(*ram(f, 0x3000), 'x');
    }
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
    assert_false(f->vm->is_lost);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

/* ---- comparing ---- */

/* The guest writes, as the processor says. */
static void guest_writes(struct fixture *f, uint64_t address, uint8_t value)
{
    *ram(f, address) = value;
    ram_mark_written(&f->vm->ram, ram(f, address), 1);
}

static void a_machine_is_compared_with_a_snapshot(void **state)
{
    struct fixture *f = *state;
    size_t page = 0;
    take(f);
    assert_null(snapshot_differs(f->vm, f->snapshot, &page));
    guest_writes(f, 0x5000, 1);
    assert_string_equal(snapshot_differs(f->vm, f->snapshot, &page), "memory");
    assert_int_equal(page, 5);
    guest_writes(f, 0x5000, 0);
    guest_writes(f, 0x3000, 1);
    assert_string_equal(snapshot_differs(f->vm, f->snapshot, &page), "memory"); /* before the last difference, too */
    assert_int_equal(page, 3);
    guest_writes(f, 0x3000, 0);
    assert_null(snapshot_differs(f->vm, f->snapshot, &page));
    f->machine->cpu->state.general.gpr[MH_RBX]++;
    assert_string_equal(snapshot_differs(f->vm, f->snapshot, &page), "the general registers");
    f->machine->cpu->state.general.gpr[MH_RBX]--;
    f->machine->cpu->state.system.cr2++;
    assert_string_equal(snapshot_differs(f->vm, f->snapshot, &page), "the control registers");
}

static void accessed_and_dirty_bits_of_tables_do_not_count(void **state)
{
    struct fixture *f = *state;
    const uint64_t table = MH_SYSTEM_AREA + BOOT_PML4, data = 0x5000;
    size_t page = 0;
    take(f);
    guest_writes(f, table, *ram(f, table) ^ (PAGING_ACCESSED | PAGING_DIRTY));
    assert_null(snapshot_differs(f->vm, f->snapshot, &page));
    guest_writes(f, table, *ram(f, table) ^ PAGING_USER);
    assert_string_equal(snapshot_differs(f->vm, f->snapshot, &page), "memory");
    guest_writes(f, table, *ram(f, table) ^ PAGING_USER);
    guest_writes(f, data, PAGING_ACCESSED); /* here it is a letter's case, or whatever */
    assert_string_equal(snapshot_differs(f->vm, f->snapshot, &page), "memory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_of_the_processor_comes_back),
        TEST(an_access_is_completed_before_a_snapshot_is_taken_or_put_back),
        TEST(pages_come_back_that_the_guest_or_we_wrote),
        TEST(writes_are_tracked_from_the_first_snapshot_on),
        TEST(input_that_was_read_since_is_read_again),
        TEST(a_restarted_machine_can_be_put_back),
        TEST(half_a_file_call_comes_back),
        TEST(a_failure_while_taking_changes_nothing),
        TEST(a_failure_while_putting_back_ends_the_machine),
        TEST(files_of_all_snapshots_are_bounded),
        TEST(who_may_write_more_may_have_as_much_in_snapshots),
        TEST(input_that_is_kept_no_longer_is_an_error_before_anything_changes),
        TEST(a_machine_is_compared_with_a_snapshot),
        TEST(accessed_and_dirty_bits_of_tables_do_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
