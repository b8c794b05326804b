/* The policy of a resume: what ends it, in which words, and what the processor is asked for. */
#include "debug/debug.h"

#include "fake_machine.h"
#include "unit.h"

#include <string.h>
#include <unistd.h>

#define ASKED_MAX 32u

struct fixture {
    struct fake_machine *m;
    struct fake_cpu *cpu;
    struct mh_vm *vm;
    struct mh_debug_target target;
    struct mh_stop stop;
    int pipe[2];

    /* the filter: which of its calls, from 1, wants the stop; 0: none */
    unsigned wanted_call;
    unsigned asked;
    enum mh_stop_kind asked_for[ASKED_MAX];
    void (*on_filter)(struct fixture *f);
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    f->m = fake_machine_make("\xf4", 1);
    fake_machine_create(f->m);
    f->cpu = f->m->cpu;
    f->vm = f->m->vm;
    f->cpu->ctx = f;
    f->m->ctx = f;
    assert_int_equal(mh_vm_debug(f->vm, &f->target, NULL), MH_OK);
    assert_int_equal(pipe(f->pipe), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    close(f->pipe[0]);
    close(f->pipe[1]);
    return fake_machine_tear_down_fixture(state);
}

static bool filter(void *ctx, unsigned vm, struct mh_stop *stop)
{
    struct fixture *f = ctx;
    assert_int_equal(vm, 1);
    assert_true(f->asked < ASKED_MAX);
    f->asked_for[f->asked++] = stop->kind;
    if (f->on_filter != NULL)
        f->on_filter(f);
    return f->asked == f->wanted_call;
}

static enum mh_wait_result wait_on(struct fixture *f, const int *fds, unsigned count)
{
    unsigned number = 0;
    enum mh_wait_result result = f->target.ops->wait(f->target.ctx, fds, count, &number, &f->stop);
    if (result == MH_WAIT_STOPPED)
        assert_int_equal(number, 1);
    return result;
}

static void resume(struct fixture *f, struct mh_resume how)
{
    f->asked = 0;
    f->target.ops->resume(f->target.ctx, 1, &how);
}

static enum mh_stop_kind run(struct fixture *f, struct mh_resume how)
{
    resume(f, how);
    assert_int_equal(wait_on(f, NULL, 0), MH_WAIT_STOPPED);
    return f->stop.kind;
}

static enum mh_stop_kind run_filtered(struct fixture *f, struct mh_resume how, unsigned wanted_call)
{
    how.filter = filter;
    how.filter_ctx = f;
    f->wanted_call = wanted_call;
    return run(f, how);
}

#define CONTINUE ((struct mh_resume){.kind = MH_RESUME_CONTINUE})
#define STEP ((struct mh_resume){.kind = MH_RESUME_STEP})
#define RANGE(from, to) ((struct mh_resume){.kind = MH_RESUME_RANGE, .start = from, .end = to})

static void set(struct fixture *f, enum mh_break_kind kind, uint64_t address, uint64_t length)
{
    assert_int_equal(f->target.ops->set_breakpoint(f->target.ctx, 1, MH_OWNER_DEBUGGER, kind, address, length, NULL),
                     MH_OK);
}

static void clear(struct fixture *f, enum mh_break_kind kind, uint64_t address, uint64_t length)
{
    assert_int_equal(f->target.ops->clear_breakpoint(f->target.ctx, 1, MH_OWNER_DEBUGGER, kind, address, length, NULL),
                     MH_OK);
}

/* ---- what the processor is asked for ---- */

static void a_continue_runs_and_lets_a_point_at_its_start_fire(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(run(f, CONTINUE), MH_STOP_HALTED);
    assert_int_equal(f->cpu->requests[0].mode, CPU_RUN);
    assert_false(f->cpu->requests[0].step_off);
    assert_int_equal(f->cpu->requests[0].wake_count, 0);
}

static void a_step_steps_off_a_point(void **state)
{
    struct fixture *f = *state;
    fake_cpu_will(f->cpu, CPU_EXIT_STEP);
    assert_int_equal(run(f, STEP), MH_STOP_STEP);
    assert_int_equal(f->cpu->requests[0].mode, CPU_STEP);
    assert_true(f->cpu->requests[0].step_off);
    assert_int_equal(f->cpu->requests[0].range_end, 0);
}

static void a_range_is_the_processors(void **state)
{
    struct fixture *f = *state;
    fake_cpu_will(f->cpu, CPU_EXIT_STEP);
    assert_int_equal(run(f, RANGE(0x10, 0x20)), MH_STOP_STEP);
    assert_int_equal(f->cpu->requests[0].mode, CPU_STEP);
    assert_int_equal(f->cpu->requests[0].range_start, 0x10);
    assert_int_equal(f->cpu->requests[0].range_end, 0x20);
    assert_int_equal(f->cpu->runs, 1);
}

static void the_debuggers_descriptors_are_watched(void **state)
{
    struct fixture *f = *state;
    resume(f, CONTINUE);
    assert_int_equal(wait_on(f, f->pipe, 2), MH_WAIT_STOPPED);
    assert_ptr_equal(f->cpu->requests[0].wake_fds, f->pipe);
    assert_int_equal(f->cpu->requests[0].wake_count, 2);
}

static void other_threads_are_to_kick_only_while_it_runs(void **state)
{
    struct fixture *f = *state;
    assert_false(mh_vm_wants_kick(f->vm));
    run(f, CONTINUE);
    assert_false(mh_vm_wants_kick(f->vm));
}

static void expect_kicks(struct fake_cpu *cpu)
{
    const struct fixture *f = cpu->ctx;
    assert_true(mh_vm_wants_kick(f->vm));
}

static void kicks_are_wanted_during_a_run(void **state)
{
    struct fixture *f = *state;
    fake_cpu_will(f->cpu, CPU_EXIT_HALT)->during = expect_kicks;
    run(f, CONTINUE);
}

/* ---- arming ---- */

static void points_are_armed_when_they_have_changed(void **state)
{
    struct fixture *f = *state;
    run(f, CONTINUE);
    assert_int_equal(fake_cpu_asked(f->cpu, "arm"), 0); /* there are none */
    set(f, MH_BREAK_SOFTWARE, 0x10, 1);
    set(f, MH_BREAK_HARDWARE, 0x20, 1);
    set(f, MH_BREAK_WATCH_WRITE, 0x30, 4);
    set(f, MH_BREAK_WATCH_READ, 0x40, 8);
    set(f, MH_BREAK_WATCH_ACCESS, 0x50, 2);
    run(f, CONTINUE);
    run(f, CONTINUE);
    assert_int_equal(fake_cpu_asked(f->cpu, "arm"), 1);
    static const struct cpu_point expected[] = {{CPU_POINT_EXECUTE, 0x10, 1, false},
                                                {CPU_POINT_EXECUTE, 0x20, 1, true},
                                                {CPU_POINT_WRITE, 0x30, 4, false},
                                                {CPU_POINT_READ, 0x40, 8, false},
                                                {CPU_POINT_ACCESS, 0x50, 2, false}};
    assert_int_equal(f->cpu->point_count, COUNT(expected));
    for (size_t i = 0; i < COUNT(expected); i++) {
        assert_int_equal(f->cpu->points[i].kind, expected[i].kind);
        assert_int_equal(f->cpu->points[i].address, expected[i].address);
        assert_int_equal(f->cpu->points[i].length, expected[i].length);
        assert_int_equal(f->cpu->points[i].persists, expected[i].persists);
    }
    f->target.ops->clear_all_breakpoints(f->target.ctx, 1);
    run(f, CONTINUE);
    assert_int_equal(fake_cpu_asked(f->cpu, "arm"), 2);
    assert_int_equal(f->cpu->point_count, 0);
}

static const char *current(const struct cpu *cpu, uint64_t *moves)
{
    (void)cpu;
    *moves = 0;
    return "kvm";
}

static void a_processor_that_translates_is_armed_for_each_resume(void **state)
{
    struct fixture *f = *state;
    f->cpu->ops.current = current;
    set(f, MH_BREAK_SOFTWARE, 0x10, 1);
    fake_cpu_will(f->cpu, CPU_EXIT_BREAKPOINT);
    fake_cpu_will(f->cpu, CPU_EXIT_BREAKPOINT);
    run_filtered(f, CONTINUE, 2);
    assert_int_equal(fake_cpu_asked(f->cpu, "arm"), 1); /* not again after an unwanted stop */
    run(f, CONTINUE);
    assert_int_equal(fake_cpu_asked(f->cpu, "arm"), 2);
}

static void points_that_cannot_be_armed_stop_the_machine_each_time(void **state)
{
    struct fixture *f = *state;
    set(f, MH_BREAK_SOFTWARE, 0x10, 1);
    f->cpu->failing = "arm";
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(run(f, CONTINUE), MH_STOP_HOST_ERROR);
        assert_string_equal(f->stop.text, "soft refuses to arm");
    }
    assert_int_equal(f->cpu->runs, 0);
    f->cpu->failing = NULL;
    assert_int_equal(run(f, CONTINUE), MH_STOP_HALTED);
    assert_int_equal(f->cpu->point_count, 1);
}

static void move_the_breakpoint(struct fixture *f)
{
    clear(f, MH_BREAK_SOFTWARE, 0x10, 1);
    set(f, MH_BREAK_SOFTWARE, 0x20, 1);
}

static void a_filter_may_set_and_clear_points(void **state)
{
    struct fixture *f = *state;
    set(f, MH_BREAK_SOFTWARE, 0x10, 1);
    f->on_filter = move_the_breakpoint;
    fake_cpu_will_at(f->cpu, CPU_EXIT_BREAKPOINT, 0x10);
    assert_int_equal(run_filtered(f, CONTINUE, 0), MH_STOP_HALTED);
    assert_int_equal(fake_cpu_asked(f->cpu, "arm"), 2);
    assert_int_equal(f->cpu->points[0].address, 0x20);
}

/* ---- names of stops ---- */

static void breakpoints_are_named_by_what_was_set(void **state)
{
    struct fixture *f = *state;
    set(f, MH_BREAK_SOFTWARE, 0x10, 1);
    set(f, MH_BREAK_HARDWARE, 0x20, 1);
    fake_cpu_will_at(f->cpu, CPU_EXIT_BREAKPOINT, 0x10);
    assert_int_equal(run(f, CONTINUE), MH_STOP_BREAKPOINT);
    fake_cpu_will_at(f->cpu, CPU_EXIT_BREAKPOINT, 0x20)->exit.point = 1;
    assert_int_equal(run(f, CONTINUE), MH_STOP_HW_BREAKPOINT);
    set(f, MH_BREAK_SOFTWARE, 0x20, 1); /* of two at one place the software one is named */
    fake_cpu_will_at(f->cpu, CPU_EXIT_BREAKPOINT, 0x20)->exit.point = 1;
    assert_int_equal(run(f, CONTINUE), MH_STOP_BREAKPOINT);
}

static void watchpoints_are_named_with_kind_and_address(void **state)
{
    struct fixture *f = *state;
    static const struct {
        enum mh_break_kind kind;
        enum mh_watch_kind named;
    } cases[] = {{MH_BREAK_WATCH_WRITE, MH_WATCH_WRITE},
                 {MH_BREAK_WATCH_READ, MH_WATCH_READ},
                 {MH_BREAK_WATCH_ACCESS, MH_WATCH_ACCESS}};
    set(f, MH_BREAK_SOFTWARE, 0x10, 1);
    for (unsigned i = 0; i < COUNT(cases); i++) {
        set(f, cases[i].kind, 0x1000 + i, 3);
        fake_cpu_will(f->cpu, CPU_EXIT_WATCHPOINT)->exit.point = i + 1;
        assert_int_equal(run(f, CONTINUE), MH_STOP_WATCHPOINT);
        assert_int_equal(f->stop.watch, cases[i].named);
        assert_int_equal(f->stop.watch_address, 0x1000 + i);
    }
}

/* ---- the filter ---- */

static void a_false_condition_steps_off_and_goes_on(void **state)
{
    struct fixture *f = *state;
    set(f, MH_BREAK_SOFTWARE, 0x10, 1);
    for (unsigned i = 0; i < 3; i++)
        fake_cpu_will_at(f->cpu, CPU_EXIT_BREAKPOINT, 0x10);
    assert_int_equal(run_filtered(f, CONTINUE, 3), MH_STOP_BREAKPOINT);
    assert_int_equal(f->asked, 3);
    assert_int_equal(f->cpu->runs, 3);
    assert_false(f->cpu->requests[0].step_off);
    assert_true(f->cpu->requests[1].step_off);
    assert_true(f->cpu->requests[2].step_off);
    assert_int_equal(f->cpu->requests[2].mode, CPU_RUN);
    run(f, CONTINUE); /* and a new resume does not */
    assert_false(f->cpu->requests[3].step_off);
}

static void behind_an_unwanted_watchpoint_a_breakpoint_is_not_missed(void **state)
{
    struct fixture *f = *state;
    set(f, MH_BREAK_WATCH_WRITE, 0x1000, 4);
    set(f, MH_BREAK_SOFTWARE, 0x10, 1);
    fake_cpu_will_at(f->cpu, CPU_EXIT_WATCHPOINT, 0x10);
    fake_cpu_will_at(f->cpu, CPU_EXIT_BREAKPOINT, 0x10)->exit.point = 1;
    assert_int_equal(run_filtered(f, CONTINUE, 2), MH_STOP_BREAKPOINT);
    assert_false(f->cpu->requests[1].step_off);
}

static void behind_an_unwanted_step_a_breakpoint_is_not_missed(void **state)
{
    struct fixture *f = *state;
    set(f, MH_BREAK_SOFTWARE, 0x11, 1);
    fake_cpu_will_at(f->cpu, CPU_EXIT_STEP, 0x11);
    fake_cpu_will_at(f->cpu, CPU_EXIT_BREAKPOINT, 0x11);
    assert_int_equal(run_filtered(f, STEP, 2), MH_STOP_BREAKPOINT);
    assert_false(f->cpu->requests[1].step_off);
}

static void a_step_is_one_instruction_even_when_its_watchpoint_is_unwanted(void **state)
{
    struct fixture *f = *state;
    set(f, MH_BREAK_WATCH_WRITE, 0x1000, 4);
    fake_cpu_will_at(f->cpu, CPU_EXIT_WATCHPOINT, 0x11);
    assert_int_equal(run_filtered(f, STEP, 2), MH_STOP_STEP);
    assert_int_equal(f->cpu->runs, 1);
    assert_int_equal(f->asked_for[0], MH_STOP_WATCHPOINT);
    assert_int_equal(f->asked_for[1], MH_STOP_STEP);
}

static void a_range_goes_on_over_unwanted_watchpoints_within_it(void **state)
{
    struct fixture *f = *state;
    set(f, MH_BREAK_WATCH_WRITE, 0x1000, 4);
    fake_cpu_will_at(f->cpu, CPU_EXIT_WATCHPOINT, 0x11);
    fake_cpu_will_at(f->cpu, CPU_EXIT_WATCHPOINT, 0x20);
    assert_int_equal(run_filtered(f, RANGE(0x10, 0x20), 3), MH_STOP_STEP);
    assert_int_equal(f->cpu->runs, 2);
    assert_int_equal(f->cpu->requests[1].range_end, 0x20);
}

static bool name_it_interrupted(void *ctx, unsigned vm, struct mh_stop *stop)
{
    (void)ctx, (void)vm;
    stop->kind = MH_STOP_INTERRUPTED;
    return true;
}

static void a_filter_may_change_what_is_reported(void **state)
{
    struct fixture *f = *state;
    fake_cpu_will(f->cpu, CPU_EXIT_STEP);
    struct mh_resume how = STEP;
    how.filter = name_it_interrupted;
    assert_int_equal(run(f, how), MH_STOP_INTERRUPTED);
}

static void other_stops_are_not_asked_about(void **state)
{
    struct fixture *f = *state;
    static const enum cpu_exit_kind kinds[] = {CPU_EXIT_HALT, CPU_EXIT_NO_MEMORY, CPU_EXIT_TRIPLE_FAULT,
                                               CPU_EXIT_ERROR};
    for (size_t i = 0; i < COUNT(kinds); i++) {
        fake_cpu_will(f->cpu, kinds[i]);
        run_filtered(f, CONTINUE, 0);
        assert_int_equal(f->asked, 0);
    }
}

/* ---- input and interrupts ---- */

static void make_input(struct fake_cpu *cpu)
{
    const struct fixture *f = cpu->ctx;
    assert_int_equal(write(f->pipe[1], "x", 1), 1);
}

static void drain(struct fixture *f)
{
    char byte;
    assert_int_equal(read(f->pipe[0], &byte, 1), 1);
}

static void input_ends_the_wait_and_the_machine_runs_on(void **state)
{
    struct fixture *f = *state;
    fake_cpu_will(f->cpu, CPU_EXIT_KICKED)->during = make_input;
    resume(f, CONTINUE);
    assert_int_equal(wait_on(f, f->pipe, 1), MH_WAIT_INPUT);
    assert_int_equal(f->cpu->runs, 1);
    assert_int_equal(wait_on(f, f->pipe, 1), MH_WAIT_INPUT); /* still there: the guest does not run */
    assert_int_equal(f->cpu->runs, 1);
    drain(f);
    assert_int_equal(wait_on(f, f->pipe, 1), MH_WAIT_STOPPED);
    assert_int_equal(f->stop.kind, MH_STOP_HALTED);
    assert_int_equal(f->cpu->runs, 2);
    assert_int_equal(wait_on(f, f->pipe, 1), MH_WAIT_IDLE);
}

static void a_kick_without_input_is_nothing(void **state)
{
    struct fixture *f = *state;
    fake_cpu_will(f->cpu, CPU_EXIT_KICKED);
    fake_cpu_will(f->cpu, CPU_EXIT_KICKED);
    resume(f, CONTINUE);
    assert_int_equal(wait_on(f, f->pipe, 1), MH_WAIT_STOPPED);
    assert_int_equal(f->stop.kind, MH_STOP_HALTED);
    assert_int_equal(f->cpu->runs, 3);
}

static void a_single_step_is_made_before_input_is_looked_at(void **state)
{
    struct fixture *f = *state;
    make_input(f->cpu);
    fake_cpu_will(f->cpu, CPU_EXIT_STEP);
    resume(f, STEP);
    assert_int_equal(wait_on(f, f->pipe, 1), MH_WAIT_STOPPED);
    assert_int_equal(f->stop.kind, MH_STOP_STEP);
}

static void an_interrupt_stops_between_two_runs(void **state)
{
    struct fixture *f = *state;
    fake_cpu_will(f->cpu, CPU_EXIT_KICKED)->during = make_input;
    resume(f, CONTINUE);
    assert_int_equal(wait_on(f, f->pipe, 1), MH_WAIT_INPUT);
    f->target.ops->interrupt(f->target.ctx, 1);
    assert_int_equal(wait_on(f, f->pipe, 1), MH_WAIT_STOPPED);
    assert_int_equal(f->stop.kind, MH_STOP_INTERRUPTED);
    drain(f);
    resume(f, CONTINUE); /* it was for that run only */
    assert_int_equal(wait_on(f, f->pipe, 1), MH_WAIT_STOPPED);
    assert_int_equal(f->stop.kind, MH_STOP_HALTED);
}

static void interrupt_self(struct fake_cpu *cpu)
{
    struct fixture *f = cpu->ctx;
    f->target.ops->interrupt(f->target.ctx, 1);
}

static void a_breakpoint_reached_before_an_interrupt_comes_first(void **state)
{
    struct fixture *f = *state;
    set(f, MH_BREAK_SOFTWARE, 0x10, 1);
    fake_cpu_will_at(f->cpu, CPU_EXIT_BREAKPOINT, 0x10)->during = interrupt_self;
    assert_int_equal(run(f, CONTINUE), MH_STOP_BREAKPOINT);
    fake_cpu_will(f->cpu, CPU_EXIT_STEP);
    assert_int_equal(run(f, STEP), MH_STOP_STEP); /* and the wish does not meet the next run */
}

static void an_interrupt_gets_through_where_no_stop_is_wanted(void **state)
{
    struct fixture *f = *state;
    set(f, MH_BREAK_SOFTWARE, 0x10, 1);
    fake_cpu_will_at(f->cpu, CPU_EXIT_BREAKPOINT, 0x10)->during = interrupt_self;
    assert_int_equal(run_filtered(f, CONTINUE, 0), MH_STOP_INTERRUPTED);
    assert_int_equal(f->cpu->runs, 1);
}

static void request_stop(struct fake_cpu *cpu)
{
    const struct fixture *f = cpu->ctx;
    mh_vm_request_stop(f->vm);
}

static void the_end_of_everything_ends_a_wait_like_input(void **state)
{
    struct fixture *f = *state;
    fake_cpu_will(f->cpu, CPU_EXIT_KICKED)->during = request_stop;
    resume(f, CONTINUE);
    assert_int_equal(wait_on(f, NULL, 0), MH_WAIT_INPUT);
    f->target.ops->interrupt(f->target.ctx, 1);
    assert_int_equal(wait_on(f, NULL, 0), MH_WAIT_STOPPED);
    assert_int_equal(f->stop.kind, MH_STOP_INTERRUPTED);
}

/* ---- the IN that waits ---- */

static void interrupt_with_input(struct fake_machine *m)
{
    struct fixture *f = m->ctx;
    m->read_result = m->reads == 1 ? MH_SERIAL_INTERRUPTED : 0;
    if (m->reads == 1)
        make_input(f->cpu);
}

/* The breakpoint at an IN has been met before the guest began to wait in it. */
static void a_wait_for_input_that_is_taken_up_again_meets_no_breakpoint_twice(void **state)
{
    struct fixture *f = *state;
    f->m->input = "k";
    f->m->on_read = interrupt_with_input;
    set(f, MH_BREAK_SOFTWARE, 0, 1);
    fake_cpu_will_in(f->cpu, MH_PORT_SERIAL, 1, 1);
    struct fake_exit *again = fake_cpu_will_in(f->cpu, MH_PORT_SERIAL, 1, 1);
    resume(f, CONTINUE);
    assert_int_equal(wait_on(f, f->pipe, 1), MH_WAIT_INPUT);
    drain(f);
    assert_int_equal(wait_on(f, f->pipe, 1), MH_WAIT_STOPPED);
    assert_true(f->cpu->requests[1].step_off);
    assert_int_equal(again->data[0], 'k');
    assert_false(f->cpu->requests[2].step_off);
}

/* ---- lost and killed ---- */

static void a_lost_machine_does_not_run(void **state)
{
    struct fixture *f = *state;
    f->cpu->failing = "restore";
    assert_int_equal(f->target.ops->restart(f->target.ctx, 1, NULL), MH_ERR_HOST);
    assert_false(f->target.ops->vm_alive(f->target.ctx, 1));
    assert_int_equal(run(f, CONTINUE), MH_STOP_HOST_ERROR);
    assert_text_has(f->stop.text, "restart it");
    assert_int_equal(f->cpu->runs, 0);
    f->cpu->failing = NULL;
    assert_int_equal(f->target.ops->restart(f->target.ctx, 1, NULL), MH_OK);
    assert_true(f->target.ops->vm_alive(f->target.ctx, 1));
    assert_int_equal(run(f, CONTINUE), MH_STOP_HALTED);
}

static void a_killed_machine_does_not_run(void **state)
{
    struct fixture *f = *state;
    f->target.ops->kill(f->target.ctx, 1);
    assert_int_equal(wait_on(f, NULL, 0), MH_WAIT_IDLE);
    assert_false(f->target.ops->vm_alive(f->target.ctx, 1));
    assert_int_equal(run(f, CONTINUE), MH_STOP_HOST_ERROR);
    assert_int_equal(f->cpu->runs, 0);
    assert_int_equal(f->target.ops->restart(f->target.ctx, 1, NULL), MH_OK);
    assert_int_equal(run(f, CONTINUE), MH_STOP_HALTED);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_continue_runs_and_lets_a_point_at_its_start_fire),
        TEST(a_step_steps_off_a_point),
        TEST(a_range_is_the_processors),
        TEST(the_debuggers_descriptors_are_watched),
        TEST(other_threads_are_to_kick_only_while_it_runs),
        TEST(kicks_are_wanted_during_a_run),
        TEST(points_are_armed_when_they_have_changed),
        TEST(a_processor_that_translates_is_armed_for_each_resume),
        TEST(points_that_cannot_be_armed_stop_the_machine_each_time),
        TEST(a_filter_may_set_and_clear_points),
        TEST(breakpoints_are_named_by_what_was_set),
        TEST(watchpoints_are_named_with_kind_and_address),
        TEST(a_false_condition_steps_off_and_goes_on),
        TEST(behind_an_unwanted_watchpoint_a_breakpoint_is_not_missed),
        TEST(behind_an_unwanted_step_a_breakpoint_is_not_missed),
        TEST(a_step_is_one_instruction_even_when_its_watchpoint_is_unwanted),
        TEST(a_range_goes_on_over_unwanted_watchpoints_within_it),
        TEST(a_filter_may_change_what_is_reported),
        TEST(other_stops_are_not_asked_about),
        TEST(input_ends_the_wait_and_the_machine_runs_on),
        TEST(a_kick_without_input_is_nothing),
        TEST(a_single_step_is_made_before_input_is_looked_at),
        TEST(an_interrupt_stops_between_two_runs),
        TEST(a_breakpoint_reached_before_an_interrupt_comes_first),
        TEST(an_interrupt_gets_through_where_no_stop_is_wanted),
        TEST(the_end_of_everything_ends_a_wait_like_input),
        TEST(a_wait_for_input_that_is_taken_up_again_meets_no_breakpoint_twice),
        TEST(a_lost_machine_does_not_run),
        TEST(a_killed_machine_does_not_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
