#include "x86/boot_state.h"
#include "fake_machine.h"
#include "mh/x86_regs.h"
#include "x86/paging.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct fixture {
    struct fake_machine *machine;
    struct mh_debug_target target;
    struct mh_error err;
    struct taken_text text;
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    f->machine = fake_machine_make("\x90\x90\xf4", 3);
    f->machine->config.number = 1;
    fake_machine_create(f->machine);
    assert_int_equal(mh_vm_debug(f->machine->vm, &f->target, NULL), MH_OK);
    fake_kvm.run = f->machine->vm->vcpu.run; /* the machine of the probe is gone */
    f->machine->done = 0;
    *state = f;
    return 0;
}

static const char *monitor(struct fixture *f, const char *command)
{
    clear_text(&f->text);
    assert_int_equal(f->target.ops->monitor(f->target.ctx, 1, command, take_text, &f->text, &f->err), MH_OK);
    return f->text.bytes;
}

/* ---- a machine that cannot be made again ---- */

static struct mh_stop resume_as(struct fixture *f, const struct mh_resume *how)
{
    struct mh_stop stop = {.kind = MH_STOP_STEP};
    unsigned number = 0;
    f->target.ops->resume(f->target.ctx, 1, how);
    assert_int_equal(f->target.ops->wait(f->target.ctx, NULL, 0, &number, &stop), MH_WAIT_STOPPED);
    assert_int_equal(number, 1);
    return stop;
}

static struct mh_stop resume_and_wait(struct fixture *f)
{
    const struct mh_resume how = {.kind = MH_RESUME_CONTINUE};
    return resume_as(f, &how);
}

static void can_do_nothing(struct fixture *f)
{
    const struct mh_debug_target_ops *ops = f->target.ops;
    struct mh_x86_regs regs;
    uint8_t byte;
    size_t done;
    assert_false(ops->vm_alive(f->target.ctx, 1));
    assert_int_equal(ops->read_regs(f->target.ctx, 1, MH_REGS_ALL, &regs, &f->err), MH_ERR_HOST);
    assert_int_equal(ops->write_regs(f->target.ctx, 1, MH_REGS_GENERAL, &regs, &f->err), MH_ERR_HOST);
    for (unsigned space = MH_SPACE_VIRTUAL; space <= MH_SPACE_PHYSICAL; space++) {
        assert_int_equal(ops->read_memory(f->target.ctx, 1, space, 0, &byte, 1, &done), MH_ERR_RANGE);
        assert_int_equal(ops->write_memory(f->target.ctx, 1, space, MH_SYSTEM_AREA, &byte, 1, &done), MH_ERR_RANGE);
    }
    assert_int_equal(ops->set_breakpoint(f->target.ctx, 1, MH_BREAK_SOFTWARE, 0, 1, &f->err), MH_ERR_RANGE);
    assert_text_has(monitor(f, "regs"), "does not give the registers");
    monitor(f, "pt 0");
    monitor(f, "map");
    monitor(f, "files");
    assert_false(mh_vm_wants_kick(f->machine->vm));
    const struct mh_stop stop = resume_and_wait(f);
    assert_int_equal(stop.kind, MH_STOP_KVM_ERROR);
    ops->describe_stop(f->target.ctx, 1, &stop, take_text, &f->text);
}

static void a_restart_that_fails_leaves_no_machine_and_may_be_tried_again(void **state)
{
    struct fixture *f = *state;
    const struct mh_debug_target_ops *ops = f->target.ops;
    unsigned before = fake_kvm.calls;
    assert_int_equal(ops->restart(f->target.ctx, 1, &f->err), MH_OK);
    unsigned calls = fake_kvm.calls - before;
    fake_kvm.failing_errno = ENOMEM;
    for (unsigned call = 1; call <= calls; call++) {
        fake_kvm.failing_call = fake_kvm.calls + call;
        assert_int_equal(ops->restart(f->target.ctx, 1, &f->err), MH_ERR_HOST);
        can_do_nothing(f);
    }
    assert_int_equal(ops->restart(f->target.ctx, 1, &f->err), MH_OK);
    assert_true(ops->vm_alive(f->target.ctx, 1));
    assert_int_equal(resume_and_wait(f).kind, MH_STOP_HALTED);
}

static void triple_fault(struct kvm_run *run)
{
    run->exit_reason = KVM_EXIT_SHUTDOWN;
}

static void a_crash_before_a_restart_is_forgotten(void **state)
{
    struct fixture *f = *state;
    struct mh_stop last;
    will_exit(f->machine, triple_fault);
    assert_int_equal(resume_and_wait(f).kind, MH_STOP_TRIPLE_FAULT);
    f->target.ops->kill(f->target.ctx, 1);
    assert_true(mh_vm_last_stop(f->machine->vm, &last));
    assert_int_equal(last.kind, MH_STOP_TRIPLE_FAULT);
    assert_int_equal(f->target.ops->restart(f->target.ctx, 1, &f->err), MH_OK);
    assert_false(mh_vm_last_stop(f->machine->vm, &last));
    f->target.ops->kill(f->target.ctx, 1);
    assert_true(mh_vm_last_stop(f->machine->vm, &last));
    assert_int_equal(last.kind, MH_STOP_HALTED);
}

/* ---- going on ---- */

static void debug_registers_are_looked_at_once_a_told_stop(void **state)
{
    struct fixture *f = *state;
    const struct mh_resume again = {.kind = MH_RESUME_CONTINUE, .again = true};
    f->machine->vm->debug.host.execute_registers = f->machine->vm->debug.host.user_registers = true;
    assert_int_equal(f->target.ops->set_breakpoint(f->target.ctx, 1, MH_BREAK_SOFTWARE, 2, 1, &f->err), MH_OK);
    unsigned before = fake_kvm_count(KVM_GET_DEBUGREGS);
    resume_as(f, &again); /* nobody has looked yet */
    assert_int_equal(fake_kvm_count(KVM_GET_DEBUGREGS), before + 1);
    fake_kvm.debugregs.dr7 = 0x401;
    resume_as(f, &again);
    resume_as(f, &again);
    assert_int_equal(fake_kvm_count(KVM_GET_DEBUGREGS), before + 1);
    assert_int_equal(f->machine->vm->debug.breakpoints.register_count, 1);
    resume_and_wait(f);
    assert_int_equal(fake_kvm_count(KVM_GET_DEBUGREGS), before + 2);
    assert_int_equal(f->machine->vm->debug.breakpoints.register_count, 0);
}

static void get_to_2_and_ask_for_a_stop(struct kvm_run *run)
{
    struct fake_machine *machine = fake_kvm.on_run_ctx;
    (void)run;
    fake_kvm.regs.rip = 2;
    machine->vm->debug.interrupt_wanted = true;
}

static void a_breakpoint_reached_before_an_interrupt_comes_first(void **state)
{
    struct fixture *f = *state;
    f->machine->vm->debug.host.execute_registers = f->machine->vm->debug.host.user_registers = true;
    for (uint64_t address = 1; address <= 2; address++) {
        struct fake_exit *exit = will_exit(f->machine, get_to_2_and_ask_for_a_stop);
        exit->error = EINTR;
        f->target.ops->set_breakpoint(f->target.ctx, 1, MH_BREAK_SOFTWARE, address, 1, &f->err);
        fake_kvm.regs.rip = 0;
        f->machine->vm->vcpu.registers_are_current = false;
        assert_int_equal(resume_and_wait(f).kind, address == 2 ? MH_STOP_BREAKPOINT : MH_STOP_INTERRUPTED);
    }
}

/* ---- monitor map ---- */

static uint64_t *table(const struct fixture *f, uint32_t offset)
{
    return (uint64_t *)(void *)(ram_system_area(&f->machine->vm->ram) + offset);
}

static void the_map_shows_ram_and_system_area(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(monitor(f, "map"), "0x0000000000000000-0x0000000000200000 -> 0x0  rwx rings 0-3\n"
                                           "0x0000000001000000-0x000000000100a000 -> 0x1000000  rwx ring 0\n");
}

static void a_map_of_tables_that_lead_to_empty_ones_comes_to_an_end(void **state)
{
    struct fixture *f = *state;
    uint64_t *pml4 = table(f, BOOT_PML4), *pdpt = table(f, BOOT_PDPT), *pd = table(f, BOOT_PD);
    uint64_t entry = (MH_SYSTEM_AREA + BOOT_SYSTEM_PT) | PAGING_PRESENT;
    memset(table(f, BOOT_SYSTEM_PT), 0, PAGE_4K);
    for (unsigned i = 0; i < 512; i++) {
        pml4[i] = pml4[0];
        pdpt[i] = pdpt[0];
        pd[i] = entry;
    }
    assert_string_equal(monitor(f, "map"), "(and more)\n");
}

static void without_tables_there_is_no_map(void **state)
{
    struct fixture *f = *state;
    fake_kvm.sregs.cr0 &= ~(uint64_t)MH_CR0_PG;
    assert_text_has(monitor(f, "map"), "not in 64-bit mode");
}

/* ---- input that kicks ---- */

static bool sends_signals(int fd)
{
    return (fcntl(fd, F_GETFL) & O_ASYNC) != 0;
}

/* The machine is resumed with these to be waited for; is it kicked by input on the last of them? */
static bool heeds_last(struct mh_vm *vm, const int *fds, unsigned count)
{
    vm->debug.input_kicks = false;
    vm->debug.fds = fds;
    vm->debug.fd_count = count;
    assert_true(debug_heed_kicks(vm));
    debug_heed_no_kicks(vm);
    return sends_signals(fds[count - 1]);
}

static void whoever_is_waited_for_again_kicks_again(void **state)
{
    struct fixture *f = *state;
    struct mh_vm *vm = f->machine->vm;
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_true(heeds_last(vm, fds, 2));
    debug_ignore_input(vm);
    assert_false(sends_signals(fds[0]) || sends_signals(fds[1]));
    assert_true(heeds_last(vm, fds, 1));
    assert_true(heeds_last(vm, fds, 2));
    close(fds[0]);
    close(fds[1]);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, fake_machine_tear_down_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_restart_that_fails_leaves_no_machine_and_may_be_tried_again),
        TEST(a_crash_before_a_restart_is_forgotten),
        TEST(debug_registers_are_looked_at_once_a_told_stop),
        TEST(a_breakpoint_reached_before_an_interrupt_comes_first),
        TEST(the_map_shows_ram_and_system_area),
        TEST(a_map_of_tables_that_lead_to_empty_ones_comes_to_an_end),
        TEST(without_tables_there_is_no_map),
        TEST(whoever_is_waited_for_again_kicks_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
