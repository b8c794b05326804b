#include "kvm/kvm_debug.h"

#include "fake_kvm_cpu.h"
#include "x86/exceptions.h"
#include "x86/paging.h"

#include <errno.h>

#define INT3 0xcc

/* What the guest's code looks like while it runs, and what happens then. */
struct view {
    uint8_t seen[16]; /* from 0x1000 on */
    unsigned runs;
    void (*during)(struct fake_kvm_cpu *f, struct kvm_run *run);
};

static struct view view;

static uint8_t *code(const struct fake_kvm_cpu *f)
{
    return f->ram.host + 0x1000;
}

static int look(void *ctx, struct kvm_run *run)
{
    struct fake_kvm_cpu *f = ctx;
    memcpy(view.seen, code(f), sizeof view.seen);
    view.runs++;
    run->exit_reason = KVM_EXIT_HLT;
    if (view.during != NULL)
        view.during(f, run);
    return 0;
}

static int set_up(void **state)
{
    fake_kvm_cpu_set_up(state);
    struct fake_kvm_cpu *f = *state;
    view = (struct view){.during = NULL};
    fake_kvm.on_run = look;
    memset(code(f), 0x90, 16);
    return 0;
}

static struct cpu_point points[8];

static enum mh_status arm(struct fake_kvm_cpu *f, size_t count)
{
    return f->cpu->ops->arm(f->cpu, points, count, &f->err);
}

static void execute(unsigned i, uint64_t address, bool persists)
{
    points[i] = (struct cpu_point){CPU_POINT_EXECUTE, address, 1, persists};
}

static void watch(unsigned i, enum cpu_point_kind kind, uint64_t address, uint64_t length)
{
    points[i] = (struct cpu_point){kind, address, length, false};
}

static void refused(struct fake_kvm_cpu *f, size_t count, const char *words)
{
    assert_int_equal(arm(f, count), MH_ERR_RANGE);
    assert_text_has(f->err.text, words);
    fake_kvm_cpu_run(f);
    assert_int_equal(fake_kvm.guest_debug.control, 0); /* none is armed */
    assert_int_equal(view.seen[0], 0x90);
}

/* ---- INT3 ---- */

static void a_breakpoint_is_in_memory_only_while_the_guest_runs(void **state)
{
    struct fake_kvm_cpu *f = *state;
    execute(0, 0x1001, false);
    assert_int_equal(arm(f, 1), MH_OK);
    assert_int_equal(code(f)[1], 0x90);
    fake_kvm_cpu_run(f);
    assert_int_equal(view.seen[0], 0x90);
    assert_int_equal(view.seen[1], INT3);
    assert_int_equal(code(f)[1], 0x90);
    assert_int_equal(fake_kvm.guest_debug.control, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP);
    assert_int_equal(arm(f, 0), MH_OK);
    fake_kvm_cpu_run(f);
    assert_int_equal(view.seen[1], 0x90);
    assert_int_equal(fake_kvm.guest_debug.control, 0);
}

static void two_at_one_place_leave_what_was_there(void **state)
{
    struct fake_kvm_cpu *f = *state;
    execute(0, 0x1001, false);
    execute(1, 0x1001, false);
    assert_int_equal(arm(f, 2), MH_OK);
    fake_kvm_cpu_run(f);
    assert_int_equal(view.seen[1], INT3);
    assert_int_equal(code(f)[1], 0x90);
}

static void overwrite(struct fake_kvm_cpu *f, struct kvm_run *run)
{
    (void)run;
    code(f)[1] = 0x42;
}

static void what_the_guest_writes_over_a_breakpoint_stays(void **state)
{
    struct fake_kvm_cpu *f = *state;
    execute(0, 0x1001, false);
    assert_int_equal(arm(f, 1), MH_OK);
    view.during = overwrite;
    fake_kvm_cpu_run(f);
    assert_int_equal(code(f)[1], 0x42);
    view.during = NULL;
    fake_kvm_cpu_run(f);
    assert_int_equal(view.seen[1], INT3);
    assert_int_equal(code(f)[1], 0x42);
}

static int enter_badly(void *ctx, struct kvm_run *run)
{
    look(ctx, run);
    return -EFAULT;
}

static void an_entry_that_fails_leaves_no_patch(void **state)
{
    struct fake_kvm_cpu *f = *state;
    execute(0, 0x1001, false);
    assert_int_equal(arm(f, 1), MH_OK);
    fake_kvm.on_run = enter_badly;
    assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_ERROR);
    assert_int_equal(view.seen[1], INT3);
    assert_int_equal(code(f)[1], 0x90);
}

static void hit_at(uint64_t rip, struct kvm_run *run)
{
    fake_kvm.regs.rip = rip;
    run->exit_reason = KVM_EXIT_DEBUG;
    run->debug.arch.exception = EXCEPTION_BREAKPOINT;
    run->debug.arch.pc = rip;
}

static void hit_ours(struct fake_kvm_cpu *f, struct kvm_run *run)
{
    (void)f;
    hit_at(0x1002, run);
}

static void a_hit_names_its_point(void **state)
{
    struct fake_kvm_cpu *f = *state;
    execute(0, 0x1001, false);
    execute(1, 0x1002, false);
    assert_int_equal(arm(f, 2), MH_OK);
    view.during = hit_ours;
    assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_BREAKPOINT);
    assert_int_equal(f->exit.point, 1);
}

static void hit_the_guests_own_first(struct fake_kvm_cpu *f, struct kvm_run *run)
{
    (void)f;
    if (view.runs == 1)
        hit_at(0x1005, run);
}

static void the_guests_own_int3_is_given_back_to_it_once(void **state)
{
    struct fake_kvm_cpu *f = *state;
    execute(0, 0x1001, false);
    assert_int_equal(arm(f, 1), MH_OK);
    view.during = hit_the_guests_own_first;
    assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_HALT);
    assert_int_equal(view.runs, 2);
    assert_int_equal(fake_kvm.guest_debug.control,
                     KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_INJECT_BP);
    fake_kvm_cpu_run(f);
    assert_int_equal(fake_kvm.guest_debug.control, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP);
}

static void report_as_an_error(struct fake_kvm_cpu *f, struct kvm_run *run)
{
    (void)f;
    fake_kvm.regs.rip = view.runs == 1 ? 0x1001 : 0x1005;
    run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
    run->internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
    run->emulation_failure.ndata = 0;
}

static void an_internal_error_at_a_patch_is_a_hit(void **state)
{
    struct fake_kvm_cpu *f = *state;
    execute(0, 0x1001, false);
    assert_int_equal(arm(f, 1), MH_OK);
    view.during = report_as_an_error;
    assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_BREAKPOINT);
    assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_ERROR);
    assert_true(f->exit.is_unsupported);
}

static void kvm_is_told_only_what_has_changed(void **state)
{
    struct fake_kvm_cpu *f = *state;
    execute(0, 0x1001, false);
    assert_int_equal(arm(f, 1), MH_OK);
    fake_kvm_cpu_run(f);
    unsigned before = fake_kvm_count(KVM_SET_GUEST_DEBUG);
    fake_kvm_cpu_run(f);
    fake_kvm_cpu_run(f);
    assert_int_equal(fake_kvm_count(KVM_SET_GUEST_DEBUG), before);
    assert_int_equal(f->cpu->ops->restore(f->cpu, &f->boot, &f->err), MH_OK); /* which KVM forgets it by */
    fake_kvm_cpu_run(f);
    assert_int_equal(fake_kvm_count(KVM_SET_GUEST_DEBUG), before + 1);
}

static void breakpoints_kvm_refuses_are_an_error_with_its_reason(void **state)
{
    struct fake_kvm_cpu *f = *state;
    execute(0, 0x1001, false);
    assert_int_equal(arm(f, 1), MH_OK);
    fake_kvm.failing_request = KVM_SET_GUEST_DEBUG;
    fake_kvm.failing_errno = EBUSY;
    assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_ERROR);
    assert_true(f->exit.is_host_error);
    assert_text_has(f->exit.text, "KVM refuses the breakpoints: Device or resource busy");
    assert_int_equal(view.runs, 0);
    assert_int_equal(code(f)[1], 0x90);
}

/* ---- debug registers ---- */

static void watchpoints_are_in_debug_registers(void **state)
{
    struct fake_kvm_cpu *f = *state;
    watch(0, CPU_POINT_WRITE, 0x2000, 1);
    watch(1, CPU_POINT_ACCESS, 0x2008, 8);
    watch(2, CPU_POINT_WRITE, 0x2004, 4);
    assert_int_equal(arm(f, 3), MH_OK);
    fake_kvm_cpu_run(f);
    assert_int_equal(fake_kvm.guest_debug.control, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP);
    assert_int_equal(fake_kvm.guest_debug.arch.debugreg[0], 0x2000);
    assert_int_equal(fake_kvm.guest_debug.arch.debugreg[1], 0x2008);
    assert_int_equal(fake_kvm.guest_debug.arch.debugreg[2], 0x2004);
    /* enabled globally; write of 1, access of 8, write of 4 */
    assert_int_equal(fake_kvm.guest_debug.arch.debugreg[7], 0x400 | 0x2a | 0x1u << 16 | 0xbu << 20 | 0xdu << 24);
}

static void hit_register_2(struct fake_kvm_cpu *f, struct kvm_run *run)
{
    (void)f;
    run->exit_reason = KVM_EXIT_DEBUG;
    run->debug.arch.exception = EXCEPTION_DEBUG;
    run->debug.arch.dr6 = 0xffff0ff0 | (view.runs == 1 ? 2 : 1);
}

static void a_register_that_hits_names_its_point(void **state)
{
    struct fake_kvm_cpu *f = *state;
    execute(0, 0x1001, false);
    watch(1, CPU_POINT_ACCESS, 0x2008, 2);
    watch(2, CPU_POINT_WRITE, 0x2000, 2);
    assert_int_equal(arm(f, 3), MH_OK);
    view.during = hit_register_2;
    assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_WATCHPOINT);
    assert_int_equal(f->exit.point, 2);
    assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_WATCHPOINT);
    assert_int_equal(f->exit.point, 1);
}

static void debug_exception_of_the_guest(struct fake_kvm_cpu *f, struct kvm_run *run)
{
    (void)f;
    if (view.runs > 1)
        return;
    run->exit_reason = KVM_EXIT_DEBUG;
    run->debug.arch.exception = EXCEPTION_DEBUG;
    run->debug.arch.dr6 = 0xffff4ff0; /* a single step */
}

static void the_guests_own_debug_exception_is_given_back_to_it(void **state)
{
    struct fake_kvm_cpu *f = *state;
    watch(0, CPU_POINT_WRITE, 0x2000, 2);
    assert_int_equal(arm(f, 1), MH_OK);
    view.during = debug_exception_of_the_guest;
    assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_HALT);
    assert_int_equal(fake_kvm.guest_debug.control,
                     KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP | KVM_GUESTDBG_INJECT_DB);
}

/* ---- refusals ---- */

static void what_no_debug_register_can_watch_is_refused(void **state)
{
    struct fake_kvm_cpu *f = *state;
    watch(0, CPU_POINT_READ, 0x2000, 4);
    refused(f, 1, "no debug registers for reads alone");
    execute(0, 0x1001, true);
    refused(f, 1, "an INT3 does not persist");
    watch(0, CPU_POINT_WRITE, 0x2001, 2);
    refused(f, 1, "no debug register watches 2 bytes at 0x2001");
    watch(0, CPU_POINT_WRITE, 0x2000, 3);
    refused(f, 1, "no debug register watches 3 bytes");
    watch(0, CPU_POINT_WRITE, 0x2000, 16);
    refused(f, 1, "no debug register watches 16 bytes");
    for (unsigned i = 0; i < 5; i++)
        watch(i, CPU_POINT_WRITE, 0x2000 + 8 * i, 8);
    refused(f, 5, "all four debug registers are in use");
}

static void a_breakpoint_on_no_memory_is_refused(void **state)
{
    struct fake_kvm_cpu *f = *state;
    execute(0, 0x1000, false);
    execute(1, 2 * MB, false);
    refused(f, 2, "no memory is mapped at 0x200000");
    assert_int_equal(code(f)[0], 0x90);
}

/* A breakpoint on a page of the guest's own making: another may be there when it is reached. */
static void what_the_guest_has_mapped_is_refused(void **state)
{
    struct fake_kvm_cpu *f = *state;
    uint64_t *const pdpt = (uint64_t *)(void *)(ram_system_area(&f->ram) + 0x1000);
    uint64_t *const own = (uint64_t *)(void *)(f->ram.host + 0x8000); /* a page directory in RAM */
    own[0] = PAGING_LARGE | PAGING_WRITE | PAGING_PRESENT;
    pdpt[1] = 0x8000 | PAGING_WRITE | PAGING_PRESENT;
    execute(0, 0x40001000, false);
    refused(f, 1, "page tables of the guest map 0x40001000");
    pdpt[1] = pdpt[0]; /* the directory of the start, elsewhere */
    execute(0, 0x40001000, false);
    refused(f, 1, "page tables of the guest map 0x40001000");
    execute(0, 0x1000, false);
    assert_int_equal(arm(f, 1), MH_OK);
}

static void too_many_breakpoints_are_refused(void **state)
{
    struct fake_kvm_cpu *f = *state;
    struct cpu_point *many = test_calloc(KVM_PATCHES_MAX + 1, sizeof *many);
    for (unsigned i = 0; i <= KVM_PATCHES_MAX; i++)
        many[i] = (struct cpu_point){CPU_POINT_EXECUTE, 0x1000 + i, 1, false};
    assert_int_equal(f->cpu->ops->arm(f->cpu, many, KVM_PATCHES_MAX + 1, &f->err), MH_ERR_RANGE);
    assert_text_has(f->err.text, "KVM holds at most 4096 breakpoints");
    assert_int_equal(f->cpu->ops->arm(f->cpu, many, KVM_PATCHES_MAX, &f->err), MH_OK);
    test_free(many);
}

static void registers_the_guest_uses_are_the_guests(void **state)
{
    struct fake_kvm_cpu *f = *state;
    fake_kvm.debugregs.dr7 = 0x401;
    watch(0, CPU_POINT_WRITE, 0x2000, 2);
    refused(f, 1, "the guest uses the debug registers itself");
    execute(0, 0x1001, false);
    assert_int_equal(arm(f, 1), MH_OK); /* an INT3 needs none */
    fake_kvm.failing_request = KVM_GET_DEBUGREGS;
    fake_kvm.failing_errno = EIO;
    watch(0, CPU_POINT_WRITE, 0x2000, 2);
    assert_int_equal(arm(f, 1), MH_ERR_RANGE);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, fake_kvm_cpu_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_breakpoint_is_in_memory_only_while_the_guest_runs),
        TEST(two_at_one_place_leave_what_was_there),
        TEST(what_the_guest_writes_over_a_breakpoint_stays),
        TEST(an_entry_that_fails_leaves_no_patch),
        TEST(a_hit_names_its_point),
        TEST(the_guests_own_int3_is_given_back_to_it_once),
        TEST(an_internal_error_at_a_patch_is_a_hit),
        TEST(kvm_is_told_only_what_has_changed),
        TEST(breakpoints_kvm_refuses_are_an_error_with_its_reason),
        TEST(watchpoints_are_in_debug_registers),
        TEST(a_register_that_hits_names_its_point),
        TEST(the_guests_own_debug_exception_is_given_back_to_it),
        TEST(what_no_debug_register_can_watch_is_refused),
        TEST(a_breakpoint_on_no_memory_is_refused),
        TEST(what_the_guest_has_mapped_is_refused),
        TEST(too_many_breakpoints_are_refused),
        TEST(registers_the_guest_uses_are_the_guests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
