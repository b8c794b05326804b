#include "debug/debug_target.h"

#include "debug/debug.h"
#include "fake_machine.h"
#include "unit.h"
#include "x86/paging.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct fixture {
    struct fake_machine *machine;
    struct mh_debug_target target;
    const struct mh_debug_target_ops *ops;
    void *ctx;
    struct mh_error err;
    struct taken_text text;
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    f->machine = fake_machine_make("\x90\x90\xf4", 3);
    f->machine->config.number = 7;
    fake_machine_create(f->machine);
    assert_int_equal(mh_vm_debug(f->machine->vm, &f->target, NULL), MH_OK);
    f->ops = f->target.ops;
    f->ctx = f->target.ctx;
    *state = f;
    return 0;
}

static struct mh_stop run(struct fixture *f)
{
    const struct mh_resume how = {.kind = MH_RESUME_CONTINUE};
    struct mh_stop stop;
    unsigned number = 0;
    f->ops->resume(f->ctx, 7, &how);
    assert_int_equal(f->ops->wait(f->ctx, NULL, 0, &number, &stop), MH_WAIT_STOPPED);
    assert_int_equal(number, 7);
    return stop;
}

static void there_is_one_machine_with_its_own_number(void **state)
{
    struct fixture *f = *state;
    struct mh_memory_region regions[2];
    unsigned number = 0;
    struct mh_stop stop;
    assert_int_equal(f->ops->vm_count(f->ctx), 1);
    assert_int_equal(f->ops->vm_number(f->ctx, 0), 7);
    assert_string_equal(f->ops->vm_name(f->ctx, 7), "test");
    assert_null(f->ops->vm_exec_file(f->ctx, 7)); /* the image is flat */
    assert_true(f->ops->vm_alive(f->ctx, 7));
    assert_int_equal(f->ops->memory_map(f->ctx, 7, regions, 2), 2);
    assert_int_equal(regions[0].length, 2 * MB);
    assert_int_equal(regions[1].start, MH_SYSTEM_AREA);
    assert_int_equal(f->ops->memory_map(f->ctx, 7, regions, 0), 2);
    assert_int_equal(f->ops->wait(f->ctx, NULL, 0, &number, &stop), MH_WAIT_IDLE);
    assert_int_equal(f->ops->xcr0_supported(f->ctx, 7) & 3, 3);
}

static void registers_go_through(void **state)
{
    struct fixture *f = *state;
    struct mh_x86_regs regs;
    assert_int_equal(f->ops->read_regs(f->ctx, 7, MH_REGS_ALL, &regs, &f->err), MH_OK);
    regs.general.gpr[MH_RAX] = 5;
    assert_int_equal(f->ops->write_regs(f->ctx, 7, MH_REGS_GENERAL, &regs, &f->err), MH_OK);
    assert_int_equal(fake_machine_general(f->machine)->gpr[MH_RAX], 5);
    assert_int_equal(fake_cpu_asked(f->machine->cpu, "finish_io"), 1); /* before rip is changed */
    f->machine->cpu->failing = "write_regs";
    assert_int_equal(f->ops->write_regs(f->ctx, 7, MH_REGS_GENERAL, &regs, &f->err), MH_OK); /* nothing changes */
    regs.general.gpr[MH_RAX] = 6;
    assert_int_equal(f->ops->write_regs(f->ctx, 7, MH_REGS_ALL, &regs, &f->err), MH_ERR_HOST);
    assert_text_has(f->err.text, "write_regs");
    f->machine->cpu->failing = "read_regs";
    assert_int_equal(f->ops->read_regs(f->ctx, 7, MH_REGS_ALL, &regs, &f->err), MH_ERR_HOST);
}

static void memory_is_copied_in_either_space(void **state)
{
    struct fixture *f = *state;
    char text[16] = "";
    size_t done;
    for (enum mh_space space = MH_SPACE_VIRTUAL; space <= MH_SPACE_PHYSICAL; space++) {
        unsigned changes = f->machine->cpu->memory_changes;
        assert_int_equal(f->ops->write_memory(f->ctx, 7, space, 2 * MB - 3, "abcdef", 6, &done), MH_OK);
        assert_int_equal(done, 3);
        assert_true(f->machine->cpu->memory_changes > changes);
        assert_int_equal(f->ops->read_memory(f->ctx, 7, space, 2 * MB - 3, text, 6, &done), MH_OK);
        assert_int_equal(done, 3);
        assert_string_equal(text, "abc");
        assert_int_equal(f->ops->read_memory(f->ctx, 7, space, 2 * MB, text, 1, &done), MH_ERR_RANGE);
        assert_int_equal(f->ops->write_memory(f->ctx, 7, space, 2 * MB, text, 1, &done), MH_ERR_RANGE);
        assert_int_equal(done, 0);
        assert_int_equal(f->ops->read_memory(f->ctx, 7, space, 2 * MB, text, 0, &done), MH_OK);
        assert_int_equal(f->ops->read_memory(f->ctx, 7, space, UINT64_MAX, text, 2, &done), MH_ERR_RANGE);
        assert_int_equal(
            f->ops->read_memory(f->ctx, 7, space, MH_SYSTEM_AREA + MH_SYSTEM_AREA_SIZE - 2, text, 9, &done), MH_OK);
        assert_int_equal(done, 2);
    }
}

static void virtual_and_physical_are_told_apart(void **state)
{
    struct fixture *f = *state;
    char text[2] = "";
    size_t done;
    fake_machine_system(f->machine)->cr3 = 0x100000; /* where there are no tables */
    assert_int_equal(f->ops->read_memory(f->ctx, 7, MH_SPACE_VIRTUAL, 0, text, 1, &done), MH_ERR_RANGE);
    assert_int_equal(f->ops->read_memory(f->ctx, 7, MH_SPACE_PHYSICAL, 0, text, 1, &done), MH_OK);
    assert_int_equal(text[0] & 0xff, 0x90);
}

static void all_points_are_forgotten_with_the_debugger(void **state)
{
    struct fixture *f = *state;
    const struct debug *debug = debug_of(f->machine->vm);
    assert_int_equal(f->ops->set_breakpoint(f->ctx, 7, MH_OWNER_TRACEPOINT, MH_BREAK_SOFTWARE, 1, 1, &f->err), MH_OK);
    assert_int_equal(f->ops->set_breakpoint(f->ctx, 7, MH_OWNER_DEBUGGER, MH_BREAK_WATCH_WRITE, 1, 0, &f->err),
                     MH_ERR_RANGE);
    assert_int_equal(f->ops->clear_breakpoint(f->ctx, 7, MH_OWNER_DEBUGGER, MH_BREAK_SOFTWARE, 1, 1, &f->err), MH_OK);
    assert_int_equal(f->ops->monitor(f->ctx, 7, "catch cr3", false, take_text, &f->text, &f->err), MH_OK);
    assert_int_equal(debug->breakpoints.count, 1);
    assert_non_null(f->machine->vm->hooks.event);
    f->ops->clear_all_breakpoints(f->ctx, 7);
    assert_int_equal(debug->breakpoints.count, 0);
    assert_int_equal(debug->catchpoints.count, 0);
    assert_null(f->machine->vm->hooks.event);
}

static void a_catchpoint_stops_the_machine_and_names_itself(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(f->ops->monitor(f->ctx, 7, "catch out 0x80 0x41", false, take_text, &f->text, &f->err), MH_OK);
    assert_int_equal(f->ops->monitor(f->ctx, 7, "catch fault 14", false, take_text, &f->text, &f->err), MH_OK);
    fake_cpu_will_out(f->machine->cpu, 0x80, 1, "B", 1);
    fake_cpu_will_out(f->machine->cpu, 0x80, 1, "A", 1);
    struct mh_stop stop = run(f);
    assert_int_equal(stop.kind, MH_STOP_CAUGHT);
    assert_text_has(stop.text, "catchpoint 1: out port 0x80");
    assert_int_equal(f->machine->cpu->requests[0].report, CPU_REPORT_FAULTS);
    assert_int_equal(fake_machine_general(f->machine)->rip, 2);
    struct fake_exit *fault = fake_cpu_will(f->machine->cpu, CPU_EXIT_FAULT_DELIVERED);
    fault->exit.vector = 13;
    fault = fake_cpu_will(f->machine->cpu, CPU_EXIT_FAULT_DELIVERED);
    fault->exit.vector = 14;
    assert_text_has(run(f).text, "catchpoint 2: ");
}

static void a_crash_before_a_restart_is_forgotten(void **state)
{
    struct fixture *f = *state;
    struct mh_stop last;
    fake_cpu_will(f->machine->cpu, CPU_EXIT_TRIPLE_FAULT);
    assert_int_equal(run(f).kind, MH_STOP_TRIPLE_FAULT);
    f->ops->kill(f->ctx, 7);
    assert_true(mh_vm_last_stop(f->machine->vm, &last));
    assert_int_equal(last.kind, MH_STOP_TRIPLE_FAULT);
    assert_int_equal(f->ops->restart(f->ctx, 7, &f->err), MH_OK);
    assert_false(mh_vm_last_stop(f->machine->vm, &last));
    assert_int_equal(last.kind, MH_STOP_INTERRUPTED);
    f->ops->kill(f->ctx, 7);
    assert_true(mh_vm_last_stop(f->machine->vm, &last));
    assert_int_equal(last.kind, MH_STOP_HALTED);
}

static void a_halt_is_an_end(void **state)
{
    struct fixture *f = *state;
    struct mh_stop last;
    assert_false(mh_vm_last_stop(f->machine->vm, &last));
    assert_int_equal(run(f).kind, MH_STOP_HALTED);
    assert_true(mh_vm_last_stop(f->machine->vm, &last));
}

static void a_machine_that_is_put_back_stands_still_and_is_alive(void **state)
{
    struct fixture *f = *state;
    unsigned number = 0;
    struct mh_stop stop;
    assert_int_equal(f->ops->monitor(f->ctx, 7, "snapshot here", false, take_text, &f->text, &f->err), MH_OK);
    run(f);
    const struct mh_resume how = {.kind = MH_RESUME_CONTINUE};
    f->ops->resume(f->ctx, 7, &how);
    assert_int_equal(f->ops->restore(f->ctx, 7, "here", &f->err), MH_OK);
    assert_int_equal(f->ops->wait(f->ctx, NULL, 0, &number, &stop), MH_WAIT_IDLE);
    assert_false(mh_vm_last_stop(f->machine->vm, &stop));
    assert_int_equal(f->ops->restore(f->ctx, 7, "there", &f->err), MH_ERR_RANGE);
    f->ops->kill(f->ctx, 7);
    assert_int_equal(f->ops->restore(f->ctx, 7, "here", &f->err), MH_ERR_RANGE);
    assert_text_has(f->err.text, "restart it first");
    assert_int_equal(f->ops->restart(f->ctx, 7, &f->err), MH_OK);
    assert_int_equal(f->ops->restore(f->ctx, 7, "here", &f->err), MH_OK);
    f->machine->cpu->failing = "restore";
    assert_int_equal(f->ops->restore(f->ctx, 7, "here", &f->err), MH_ERR_HOST);
    assert_false(f->ops->vm_alive(f->ctx, 7));
    mh_vm_last_stop(f->machine->vm, &stop);
    assert_int_equal(stop.kind, MH_STOP_HOST_ERROR);
}

static void a_lost_machine_can_do_nothing_and_breaks_nothing(void **state)
{
    struct fixture *f = *state;
    f->machine->cpu->failing = "restore";
    assert_int_equal(f->ops->restart(f->ctx, 7, &f->err), MH_ERR_HOST);
    assert_false(f->ops->vm_alive(f->ctx, 7));
    assert_int_equal(f->ops->monitor(f->ctx, 7, "snapshot x", false, take_text, &f->text, &f->err), MH_ERR_HOST);
    assert_int_equal(f->ops->monitor(f->ctx, 7, "regs", false, take_text, &f->text, &f->err), MH_OK);
    assert_int_equal(f->ops->monitor(f->ctx, 7, "map", false, take_text, &f->text, &f->err), MH_OK);
    const struct mh_stop stop = run(f);
    assert_int_equal(stop.kind, MH_STOP_HOST_ERROR);
    f->ops->describe_stop(f->ctx, 7, &stop, take_text, &f->text);
    assert_text_has(f->text.bytes, "the machine could not be put back; restart it");
    f->machine->cpu->failing = NULL;
    assert_int_equal(f->ops->restart(f->ctx, 7, &f->err), MH_OK);
    assert_int_equal(run(f).kind, MH_STOP_HALTED);
}

static void files_are_the_machines_own_and_its_maps(void **state)
{
    struct fixture *f = *state;
    char text[256] = "";
    int fd = f->ops->open_file(f->ctx, 7, "/proc/1/maps");
    assert_true(fd >= 0);
    assert_true(pread(fd, text, sizeof text - 1, 0) > 0);
    assert_text_has(text, "0-200000 rwxp");
    close(fd);
    assert_int_equal(f->ops->open_file(f->ctx, 7, "nothing"), -ENOENT);
    struct file_store *store = &f->machine->vm->file.store;
    int32_t own = (int32_t)file_store_open(store, "own", 3, MH_O_WRITE);
    assert_int_equal(file_store_write(store, own, "abc", 3), 3);
    fd = f->ops->open_file(f->ctx, 7, "own");
    assert_true(fd >= 0);
    assert_int_equal(read(fd, text, 9), 3);
    assert_true(write(fd, "x", 1) < 0); /* read only */
    close(fd);
}

static void stops_are_told_to_the_listener(void *ctx, const struct mh_event *event)
{
    unsigned *stops = ctx;
    *stops += event->kind == MH_EVENT_STOP;
}

static void each_reported_stop_is_one_event(void **state)
{
    struct fixture *f = *state;
    unsigned stops = 0;
    f->machine->vm->config.event = stops_are_told_to_the_listener;
    f->machine->vm->config.event_ctx = &stops;
    fake_cpu_will(f->machine->cpu, CPU_EXIT_KICKED);
    run(f);
    assert_int_equal(stops, 1);
    run(f);
    assert_int_equal(stops, 2);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, fake_machine_tear_down_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(there_is_one_machine_with_its_own_number),
        TEST(registers_go_through),
        TEST(memory_is_copied_in_either_space),
        TEST(virtual_and_physical_are_told_apart),
        TEST(all_points_are_forgotten_with_the_debugger),
        TEST(a_catchpoint_stops_the_machine_and_names_itself),
        TEST(a_crash_before_a_restart_is_forgotten),
        TEST(a_halt_is_an_end),
        TEST(a_machine_that_is_put_back_stands_still_and_is_alive),
        TEST(a_lost_machine_can_do_nothing_and_breaks_nothing),
        TEST(files_are_the_machines_own_and_its_maps),
        TEST(each_reported_stop_is_one_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
