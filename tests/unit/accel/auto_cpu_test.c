/* Which of two fake processors runs the guest when, and that the state moves with everything that belongs to it. */
#include "accel/auto_cpu.h"

#include "fake_cpu.h"
#include "unit.h"
#include "x86/boot_state.h"

#include <string.h>

struct fixture {
    struct guest_ram ram;
    struct x86_cpuid cpuid;
    struct fake_cpu *kvm;
    struct cpu *cpu;
    struct cpu_exit exit;
    struct mh_error err;
    struct kvm_quirks quirks;
    bool knows_no_quirks;
    unsigned probes;
    struct cpu_point points[8];
};

static const struct kvm_quirks *quirks(void *ctx)
{
    struct fixture *f = ctx;
    f->probes++;
    return f->knows_no_quirks ? NULL : &f->quirks;
}

static void make(struct fixture *f, bool prefers_kvm)
{
    struct mh_cpu_state boot = {.general = boot_general(&f->ram, 0x100), .system = boot_system(false)};
    f->kvm = fake_cpu_make("kvm", &f->ram, &boot);
    const struct auto_cpu_config config = {.kvm = &f->kvm->cpu,
                                           .ram = &f->ram,
                                           .cpuid = &f->cpuid,
                                           .prefers_kvm = prefers_kvm,
                                           .quirks = quirks,
                                           .quirks_ctx = f};
    assert_int_equal(auto_cpu_create(&config, &f->cpu, NULL), MH_OK);
}

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    assert_int_equal(ram_create(&f->ram, 2 * MB, NULL), MH_OK);
    f->quirks = (struct kvm_quirks){KVM_INT3_REPORTED, true, true, true};
    fake_soft_fails = false;
    make(f, false);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    f->cpu->ops->destroy(f->cpu);
    assert_int_equal(fake_cpus, 0);
    ram_free(&f->ram);
    test_free(f);
    return 0;
}

static enum cpu_exit_kind run_as(struct fixture *f, struct cpu_request request)
{
    f->cpu->ops->run(f->cpu, &request, &f->exit);
    return f->exit.kind;
}

static enum cpu_exit_kind run(struct fixture *f)
{
    return run_as(f, (struct cpu_request){.mode = CPU_RUN});
}

static enum cpu_exit_kind step(struct fixture *f)
{
    return run_as(f, (struct cpu_request){.mode = CPU_STEP, .step_off = true});
}

static void runs_on(const struct fixture *f, const char *name)
{
    uint64_t moves;
    assert_string_equal(f->cpu->ops->current(f->cpu, &moves), name);
}

static void arm(struct fixture *f, size_t count)
{
    assert_int_equal(f->cpu->ops->arm(f->cpu, f->points, count, &f->err), MH_OK);
}

/* One breakpoint. */
static void arm_breakpoint(struct fixture *f)
{
    f->points[0] = (struct cpu_point){.kind = CPU_POINT_EXECUTE, .address = 0x200, .length = 1};
    arm(f, 1);
}

/* ---- the table of docs/processor.md ---- */

static void without_a_debugger_there_is_no_software_processor(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(run(f), CPU_EXIT_HALT);
    assert_int_equal(run(f), CPU_EXIT_HALT);
    runs_on(f, "kvm");
    assert_int_equal(fake_cpus, 1);
    assert_int_equal(f->probes, 0);
    assert_int_equal(fake_cpu_asked(f->kvm, "save"), 0);
}

static void breakpoints_kvm_can_hold_run_on_kvm(void **state)
{
    struct fixture *f = *state;
    arm_breakpoint(f);
    assert_int_equal(fake_cpu_asked(f->kvm, "arm"), 0); /* not before it runs */
    run(f);
    run(f);
    runs_on(f, "kvm");
    assert_int_equal(fake_cpu_asked(f->kvm, "arm"), 1);
    assert_int_equal(f->kvm->point_count, 1);
    assert_int_equal(fake_cpus, 1);
}

static void steps_counts_and_reports_are_softwares(void **state)
{
    struct fixture *f = *state;
    static const struct cpu_request requests[] = {
        {.mode = CPU_STEP},
        {.mode = CPU_UNTIL, .until = 5},
        {.mode = CPU_RUN, .report = CPU_REPORT_CR3},
        {.mode = CPU_RUN, .report = CPU_REPORT_FAULTS},
        {.mode = CPU_STEP, .range_start = 1, .range_end = 9},
    };
    for (size_t i = 0; i < COUNT(requests); i++) {
        run_as(f, requests[i]);
        runs_on(f, "soft");
        assert_memory_equal(&fake_soft->requests[fake_soft->runs - 1], &requests[i], sizeof requests[i]);
    }
    assert_int_equal(f->kvm->runs, 0);
    run(f); /* the next plain continue moves back */
    runs_on(f, "kvm");
}

static void a_count_that_may_be_lost_is_no_reason_for_software(void **state)
{
    struct fixture *f = *state;
    const struct cpu_request request = {.mode = CPU_UNTIL, .until = 5, .may_lose_count = true};
    assert_int_equal(run_as(f, request), CPU_EXIT_HALT);
    runs_on(f, "kvm");
    assert_int_equal(f->kvm->requests[0].mode, CPU_RUN); /* KVM knows no count */
    f->quirks.int3_in_ring_0 = KVM_INT3_LOST;
    arm_breakpoint(f);
    run_as(f, request);
    runs_on(f, "soft");
    assert_int_equal(fake_soft->requests[0].mode, CPU_UNTIL);
    assert_int_equal(fake_soft->requests[0].until, 5);
}

static void the_state_moves_both_ways_and_only_when_it_must(void **state)
{
    struct fixture *f = *state;
    f->kvm->state.general.gpr[MH_RAX] = 1;
    step(f);
    assert_int_equal(fake_soft->state.general.gpr[MH_RAX], 1);
    step(f);
    assert_int_equal(fake_cpu_asked(f->kvm, "save"), 1);
    fake_soft->state.general.gpr[MH_RAX] = 2;
    run(f);
    assert_int_equal(f->kvm->state.general.gpr[MH_RAX], 2);
    run(f);
    assert_int_equal(fake_cpu_asked(f->kvm, "restore"), 1);
    assert_true(f->kvm->memory_changes > 0); /* software wrote memory meanwhile */
    unsigned changes = fake_soft->memory_changes;
    f->kvm->state.general.gpr[MH_RAX] = 3;
    step(f);
    assert_int_equal(fake_soft->state.general.gpr[MH_RAX], 3);
    assert_true(fake_soft->memory_changes > changes);
    assert_int_equal(fake_cpus, 2);
}

static void points_that_kvm_refuses_are_softwares(void **state)
{
    struct fixture *f = *state;
    f->kvm->failing = "arm";
    arm_breakpoint(f);
    run(f);
    run(f);
    runs_on(f, "soft");
    assert_int_equal(fake_cpu_asked(f->kvm, "arm"), 1); /* it is not asked again, ... */
    assert_int_equal(fake_soft->point_count, 1);
    f->kvm->failing = NULL;
    arm_breakpoint(f); /* ... until they change */
    run(f);
    runs_on(f, "kvm");
}

static void a_kvm_that_loses_points_gets_none(void **state)
{
    struct fixture *f = *state;
    static const struct cpu_point breakpoint = {.kind = CPU_POINT_EXECUTE, .length = 1};
    static const struct cpu_point watch = {.kind = CPU_POINT_WRITE, .length = 4};
    const struct {
        struct kvm_quirks quirks;
        struct cpu_point point;
        const char *name;
    } cases[] = {
        {{KVM_INT3_REPORTED, true, false, true}, breakpoint, "kvm"},
        {{KVM_INT3_ERROR, true, false, true}, breakpoint, "kvm"},
        {{KVM_INT3_LOST, true, true, true}, breakpoint, "soft"},
        {{KVM_INT3_REPORTED, false, true, true}, breakpoint, "soft"},
        {{KVM_INT3_REPORTED, true, false, true}, watch, "soft"},
        {{KVM_INT3_LOST, false, true, true}, watch, "kvm"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        f->quirks = cases[i].quirks;
        f->points[0] = cases[i].point;
        arm(f, 1);
        run(f);
        runs_on(f, cases[i].name);
    }
    f->knows_no_quirks = true;
    arm_breakpoint(f);
    run(f);
    runs_on(f, "soft");
}

static void when_all_points_are_gone_kvm_runs_again_without_them(void **state)
{
    struct fixture *f = *state;
    arm_breakpoint(f);
    run(f);
    step(f);
    arm(f, 0);
    assert_int_equal(f->kvm->point_count, 0);
    assert_int_equal(fake_soft->point_count, 0);
    run(f);
    runs_on(f, "kvm");
}

static void an_instruction_kvm_cannot_execute_goes_to_software_for_good(void **state)
{
    struct fixture *f = *state;
    struct fake_exit *exit = fake_cpu_will_at(f->kvm, CPU_EXIT_ERROR, 0x123);
    exit->exit.is_unsupported = true;
    assert_int_equal(run(f), CPU_EXIT_HALT); /* of software */
    assert_int_equal(fake_soft->state.general.rip, 0x123);
    assert_false(f->exit.is_unsupported);
    run(f);
    runs_on(f, "soft");
    assert_int_equal(f->kvm->runs, 1);
    struct mh_cpu_state boot = f->kvm->state;
    assert_int_equal(f->cpu->ops->restore(f->cpu, &boot, &f->err), MH_OK); /* a restart may try again */
    run(f);
    runs_on(f, "kvm");
}

static void what_software_cannot_take_over_is_an_error_of_the_guest(void **state)
{
    struct fixture *f = *state;
    struct fake_exit *exit = fake_cpu_will_at(f->kvm, CPU_EXIT_ERROR, 0x123);
    exit->exit.is_unsupported = true;
    strcpy(exit->exit.text, "KVM cannot");
    fake_soft_fails = true;
    assert_int_equal(run(f), CPU_EXIT_ERROR);
    assert_false(f->exit.is_host_error);
    assert_non_null(strstr(f->exit.text, "KVM cannot, and software cannot take over: "));
}

static void other_errors_are_errors(void **state)
{
    struct fixture *f = *state;
    fake_cpu_will(f->kvm, CPU_EXIT_ERROR);
    assert_int_equal(run(f), CPU_EXIT_ERROR);
    runs_on(f, "kvm");
}

static void a_continue_that_keeps_coming_back_goes_to_software(void **state)
{
    struct fixture *f = *state;
    arm_breakpoint(f);
    for (unsigned i = 0; i < 100; i++)
        fake_cpu_will(f->kvm, CPU_EXIT_BREAKPOINT);
    unsigned hits = 0;
    while (run(f) == CPU_EXIT_BREAKPOINT)
        hits++;
    assert_in_range(hits, 10, 50);
    runs_on(f, "soft");
    arm_breakpoint(f); /* a new resume begins to count anew */
    assert_int_equal(run(f), CPU_EXIT_BREAKPOINT);
    runs_on(f, "kvm");
}

static void who_prefers_kvm_keeps_it(void **state)
{
    struct fixture *f = *state;
    f->cpu->ops->destroy(f->cpu);
    make(f, true);
    arm_breakpoint(f);
    for (unsigned i = 0; i < 100; i++)
        fake_cpu_will(f->kvm, CPU_EXIT_BREAKPOINT);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(run(f), CPU_EXIT_BREAKPOINT);
    assert_int_equal(f->kvm->runs, 100);
}

/* ---- stepping off ---- */

static void stepping_off_a_point_is_one_step_in_software(void **state)
{
    struct fixture *f = *state;
    arm_breakpoint(f);
    run(f);
    step(f); /* makes it */
    fake_cpu_clear(fake_soft);
    fake_cpu_will_at(fake_soft, CPU_EXIT_STEP, 0x201);
    assert_int_equal(run_as(f, (struct cpu_request){.mode = CPU_RUN, .step_off = true, .range_end = 9}), CPU_EXIT_HALT);
    assert_int_equal(fake_soft->runs, 1);
    assert_int_equal(fake_soft->requests[0].mode, CPU_STEP);
    assert_true(fake_soft->requests[0].step_off);
    assert_int_equal(fake_soft->requests[0].range_end, 0);
    assert_int_equal(f->kvm->state.general.rip, 0x201);
    runs_on(f, "kvm");
}

static void without_points_there_is_nothing_to_step_off(void **state)
{
    struct fixture *f = *state;
    run_as(f, (struct cpu_request){.mode = CPU_RUN, .step_off = true});
    assert_int_equal(fake_cpus, 1);
}

static void what_ends_the_step_ends_the_run(void **state)
{
    struct fixture *f = *state;
    arm_breakpoint(f);
    step(f);
    fake_cpu_clear(fake_soft);
    f->kvm->runs = 0;
    fake_cpu_will_out(fake_soft, 0x80, 1, "x", 1);
    assert_int_equal(run_as(f, (struct cpu_request){.mode = CPU_RUN, .step_off = true}), CPU_EXIT_IO);
    assert_int_equal(f->kvm->runs, 0);
    assert_int_equal(run(f), CPU_EXIT_HALT); /* the access is completed where it began, then the state moves */
    runs_on(f, "kvm");
    assert_int_equal(f->kvm->state.general.rip, 0x101);
}

/* ---- accesses ---- */

static void an_access_is_completed_before_the_state_moves(void **state)
{
    struct fixture *f = *state;
    fake_cpu_will_out(f->kvm, 0x80, 1, "x", 1);
    assert_int_equal(run(f), CPU_EXIT_IO);
    step(f); /* the fake saves nothing half done */
    assert_int_equal(fake_soft->state.general.rip, 0x101);
}

static void accesses_end_at_the_processor_that_made_them(void **state)
{
    struct fixture *f = *state;
    fake_cpu_will_in(f->kvm, 0x80, 1, 1);
    run(f);
    f->cpu->ops->cancel_in(f->cpu);
    assert_int_equal(fake_cpu_asked(f->kvm, "cancel_in"), 1);
    step(f);
    fake_cpu_will_in(fake_soft, 0x80, 1, 1);
    step(f);
    f->cpu->ops->finish_io(f->cpu);
    assert_null(fake_soft->pending);
}

/* ---- kicks ---- */

static void a_kick_reaches_the_processor_that_runs_next(void **state)
{
    struct fixture *f = *state;
    f->cpu->ops->kick(f->cpu);
    assert_int_equal(run_as(f, (struct cpu_request){.mode = CPU_UNTIL}), CPU_EXIT_KICKED); /* the state has moved */
    assert_int_equal(run_as(f, (struct cpu_request){.mode = CPU_UNTIL}), CPU_EXIT_HALT);
    f->cpu->ops->kick(f->cpu);
    assert_int_equal(run(f), CPU_EXIT_KICKED);
}

static void kick_while_it_steps(struct fake_cpu *soft)
{
    struct fixture *f = soft->ctx;
    f->cpu->ops->kick(f->cpu);
}

static void a_kick_during_a_step_off_ends_the_run_behind_it(void **state)
{
    struct fixture *f = *state;
    arm_breakpoint(f);
    step(f);
    fake_cpu_clear(fake_soft);
    fake_soft->ctx = f;
    fake_cpu_will_at(fake_soft, CPU_EXIT_STEP, 0x201)->during = kick_while_it_steps;
    assert_int_equal(run_as(f, (struct cpu_request){.mode = CPU_RUN, .step_off = true}), CPU_EXIT_KICKED);
    assert_int_equal(f->kvm->state.general.rip, 0x201);
}

/* ---- registers, memory, failures ---- */

static void registers_are_those_of_the_one_that_has_the_state(void **state)
{
    struct fixture *f = *state;
    struct mh_x86_regs regs;
    struct mh_cpu_state saved;
    uint64_t rip, count;
    step(f);
    fake_soft->state.general.rip = 0x555;
    assert_true(f->cpu->ops->rip_at_hand(f->cpu, &rip));
    assert_int_equal(rip, 0x555);
    assert_int_equal(f->cpu->ops->read_regs(f->cpu, MH_REGS_GENERAL, &regs, &f->err), MH_OK);
    regs.general.rip = 0x666;
    assert_int_equal(f->cpu->ops->write_regs(f->cpu, MH_REGS_GENERAL, &regs, &f->err), MH_OK);
    assert_int_equal(f->cpu->ops->save(f->cpu, &saved, &f->err), MH_OK);
    assert_int_equal(saved.general.rip, 0x666);
    assert_int_equal(f->kvm->state.general.rip, 0x100);
    assert_false(f->cpu->ops->instructions(f->cpu, &count)); /* KVM's are not counted */
}

static void a_count_is_lost_once_kvm_has_run(void **state)
{
    struct fixture *f = *state;
    struct mh_cpu_state saved;
    uint64_t count = 0;
    step(f);
    fake_soft->counts = true;
    f->cpu->ops->set_instructions(f->cpu, 7);
    assert_true(f->cpu->ops->instructions(f->cpu, &count));
    assert_int_equal(count, 7);
    run(f);
    runs_on(f, "kvm");
    step(f);
    assert_false(f->cpu->ops->instructions(f->cpu, &count));
    f->cpu->ops->set_instructions(f->cpu, 8);
    assert_true(f->cpu->ops->instructions(f->cpu, &count));
    assert_int_equal(f->cpu->ops->save(f->cpu, &saved, &f->err), MH_OK);
    assert_int_equal(f->cpu->ops->restore(f->cpu, &saved, &f->err), MH_OK); /* a state of unknown count */
    assert_false(f->cpu->ops->instructions(f->cpu, &count));
}

static void writes_of_both_are_tracked(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(f->cpu->ops->track_writes(f->cpu, &f->err), MH_OK);
    assert_true(f->kvm->tracks_writes);
    step(f); /* made now, it tracks from the start; KVM's are collected at the move */
    assert_true(fake_soft->tracks_writes);
    assert_int_equal(fake_cpu_asked(f->kvm, "collect_writes"), 1);
    assert_int_equal(f->cpu->ops->collect_writes(f->cpu, &f->err), MH_OK);
    assert_int_equal(fake_cpu_asked(f->kvm, "collect_writes"), 2);
    assert_int_equal(fake_cpu_asked(fake_soft, "collect_writes"), 1);
    f->cpu->ops->memory_changed(f->cpu, mh_gpa_of(0), 1);
    assert_int_equal(fake_soft->memory_changes, 1);
}

static void a_software_processor_made_before_tracks_too(void **state)
{
    struct fixture *f = *state;
    step(f);
    assert_int_equal(f->cpu->ops->track_writes(f->cpu, &f->err), MH_OK);
    assert_true(fake_soft->tracks_writes);
}

static void a_state_that_cannot_move_is_an_error_of_the_host_and_stays(void **state)
{
    struct fixture *f = *state;
    f->kvm->failing = "save";
    assert_int_equal(step(f), CPU_EXIT_ERROR);
    assert_true(f->exit.is_host_error);
    assert_text_has(f->exit.text, "kvm refuses to save");
    runs_on(f, "kvm");
    f->kvm->failing = NULL;
    fake_soft_fails = true;
    assert_int_equal(step(f), CPU_EXIT_ERROR);
    assert_text_has(f->exit.text, "no memory for a processor");
    runs_on(f, "kvm");
    fake_soft_fails = false;
    assert_int_equal(step(f), CPU_EXIT_HALT);
    f->kvm->failing = "restore";
    assert_int_equal(run(f), CPU_EXIT_ERROR);
    assert_text_has(f->exit.text, "kvm refuses to restore");
    runs_on(f, "soft");
    f->kvm->failing = NULL;
    assert_int_equal(run(f), CPU_EXIT_HALT);
    runs_on(f, "kvm");
}

static void points_software_cannot_take_are_an_error(void **state)
{
    struct fixture *f = *state;
    step(f);
    arm_breakpoint(f);
    fake_soft->failing = "arm";
    assert_int_equal(step(f), CPU_EXIT_ERROR);
    assert_text_has(f->exit.text, "soft refuses to arm");
    fake_soft->failing = NULL;
    assert_int_equal(step(f), CPU_EXIT_HALT);
    assert_int_equal(fake_soft->point_count, 1);
}

static void bytes_gather_in_kvm(void **state)
{
    struct fixture *f = *state;
    uint8_t byte = 0;
    f->cpu->ops->batch_port(f->cpu, 0xe9, true);
    assert_true(f->kvm->batches);
    assert_false(f->cpu->ops->has_batch(f->cpu));
    f->kvm->batch[0] = 'x';
    f->kvm->batch_length = 1;
    step(f); /* whichever has the state now: they are not lost */
    assert_true(f->cpu->ops->has_batch(f->cpu));
    assert_int_equal(f->cpu->ops->take_batch(f->cpu, &byte, 1), 1);
    assert_int_equal(byte, 'x');
}

/* ---- interrupts ---- */

static void an_interrupt_that_kvm_did_not_deliver_is_softwares(void **state)
{
    struct fixture *f = *state;
    fake_cpu_will(f->kvm, CPU_EXIT_KICKED)->exit.interrupt_is_due = true;
    step(f); /* there is a software processor */
    fake_cpu_will(fake_soft, CPU_EXIT_STEP);
    assert_int_equal(run_as(f, (struct cpu_request){.mode = CPU_RUN, .interrupt = 32}), CPU_EXIT_KICKED);
    assert_false(f->exit.interrupt_is_due);
    runs_on(f, "soft");
    const struct cpu_request *request = &fake_soft->requests[fake_soft->runs - 1];
    assert_int_equal(request->mode, CPU_STEP);
    assert_int_equal(request->interrupt, 32);
    assert_int_equal(run(f), CPU_EXIT_HALT);
    runs_on(f, "kvm");
    assert_int_equal(f->kvm->requests[f->kvm->runs - 1].interrupt, 0);
}

static void stepping_off_a_point_delivers_the_interrupt(void **state)
{
    struct fixture *f = *state;
    arm_breakpoint(f);
    step(f);
    fake_cpu_will(fake_soft, CPU_EXIT_STEP);
    run_as(f, (struct cpu_request){.mode = CPU_RUN, .interrupt = 32, .step_off = true});
    assert_int_equal(fake_soft->requests[fake_soft->runs - 1].interrupt, 32);
    assert_int_equal(f->kvm->requests[f->kvm->runs - 1].interrupt, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_a_debugger_there_is_no_software_processor),
        TEST(breakpoints_kvm_can_hold_run_on_kvm),
        TEST(steps_counts_and_reports_are_softwares),
        TEST(a_count_that_may_be_lost_is_no_reason_for_software),
        TEST(the_state_moves_both_ways_and_only_when_it_must),
        TEST(points_that_kvm_refuses_are_softwares),
        TEST(a_kvm_that_loses_points_gets_none),
        TEST(when_all_points_are_gone_kvm_runs_again_without_them),
        TEST(what_software_cannot_take_over_is_an_error_of_the_guest),
        TEST(an_instruction_kvm_cannot_execute_goes_to_software_for_good),
        TEST(other_errors_are_errors),
        TEST(a_continue_that_keeps_coming_back_goes_to_software),
        TEST(who_prefers_kvm_keeps_it),
        TEST(stepping_off_a_point_is_one_step_in_software),
        TEST(without_points_there_is_nothing_to_step_off),
        TEST(what_ends_the_step_ends_the_run),
        TEST(an_access_is_completed_before_the_state_moves),
        TEST(accesses_end_at_the_processor_that_made_them),
        TEST(a_kick_reaches_the_processor_that_runs_next),
        TEST(a_kick_during_a_step_off_ends_the_run_behind_it),
        TEST(registers_are_those_of_the_one_that_has_the_state),
        TEST(a_count_is_lost_once_kvm_has_run),
        TEST(writes_of_both_are_tracked),
        TEST(a_software_processor_made_before_tracks_too),
        TEST(a_state_that_cannot_move_is_an_error_of_the_host_and_stays),
        TEST(points_software_cannot_take_are_an_error),
        TEST(bytes_gather_in_kvm),
        TEST(an_interrupt_that_kvm_did_not_deliver_is_softwares),
        TEST(stepping_off_a_point_delivers_the_interrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
