/* Several machines, each on a thread of its own, behind one debug target. */
#include "debug/debug_group.h"

#include "debug/debug.h"
#include "fake_machine.h"
#include "unit.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

#define MACHINES 3u

struct seat {
    struct fixture *fixture;
    pthread_t thread;
    struct fake_machine *m;
    bool is_missing; /* its machine cannot be made */
    enum mh_status status;
};

struct fixture {
    struct mh_debug_group *group;
    struct seat seats[MACHINES];
    unsigned count;
    struct mh_debug_target target;
    const struct mh_debug_target_ops *ops;
    struct mh_error err;
    unsigned asked;
    bool is_wanted;
};

static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER; /* fakes are made one after the other */

static void *sit(void *ctx)
{
    struct seat *seat = ctx;
    unsigned index = (unsigned)(seat - seat->fixture->seats);
    if (!seat->is_missing) {
        pthread_mutex_lock(&making);
        seat->m->config.number = index + 1;
        fake_machine_create(seat->m);
        pthread_mutex_unlock(&making);
    }
    seat->status = mh_debug_group_join(seat->fixture->group, index, seat->m->vm, NULL);
    return NULL;
}

/* Start the group; bit i of `missing`: machine i cannot be made. */
static void start(struct fixture *f, unsigned count, unsigned missing)
{
    f->count = count;
    assert_int_equal(mh_debug_group_create(count, &f->group, NULL), MH_OK);
    for (unsigned i = 0; i < count; i++) {
        struct seat *seat = &f->seats[i];
        seat->fixture = f;
        seat->is_missing = (missing >> i & 1) != 0;
        assert_int_equal(pthread_create(&seat->thread, NULL, sit, seat), 0);
    }
    mh_debug_group_assemble(f->group, &f->target);
    f->ops = f->target.ops;
}

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    for (unsigned i = 0; i < MACHINES; i++)
        f->seats[i].m = fake_machine_make("\x90\xf4", 2);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    mh_debug_group_finish(f->group);
    for (unsigned i = 0; i < f->count; i++)
        pthread_join(f->seats[i].thread, NULL);
    for (unsigned i = 0; i < MACHINES; i++)
        fake_machine_remove(f->seats[i].m);
    mh_debug_group_destroy(f->group);
    test_free(f);
    return 0;
}

static struct fake_cpu *cpu(const struct fixture *f, unsigned vm)
{
    return f->seats[vm - 1].m->cpu;
}

static void resume(struct fixture *f, unsigned vm, enum mh_resume_kind kind)
{
    const struct mh_resume how = {.kind = kind};
    f->ops->resume(f->target.ctx, vm, &how);
}

/* Wait for a stop. Returns the machine's number. */
static unsigned stopped(struct fixture *f, struct mh_stop *stop)
{
    unsigned vm = 0;
    assert_int_equal(f->ops->wait(f->target.ctx, NULL, 0, &vm, stop), MH_WAIT_STOPPED);
    return vm;
}

static void is_idle(struct fixture *f)
{
    struct mh_stop stop;
    unsigned vm;
    assert_int_equal(f->ops->wait(f->target.ctx, NULL, 0, &vm, &stop), MH_WAIT_IDLE);
}

/* A guest that runs until it is kicked. */
static void spin(struct fake_cpu *self)
{
    while (!atomic_load(&self->kicked))
        sched_yield();
}

static void will_spin(struct fixture *f, unsigned vm, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        fake_cpu_will(cpu(f, vm), CPU_EXIT_KICKED)->during = spin;
}

static void machines_that_could_not_be_made_are_left_out(void **state)
{
    struct fixture *f = *state;
    start(f, 3, 2);
    assert_int_equal(f->ops->vm_count(f->target.ctx), 2);
    assert_int_equal(f->ops->vm_number(f->target.ctx, 0), 1);
    assert_int_equal(f->ops->vm_number(f->target.ctx, 1), 3);
    assert_string_equal(f->ops->vm_name(f->target.ctx, 3), "test");
    assert_true(f->ops->vm_alive(f->target.ctx, 3));
    is_idle(f);
}

static void without_any_machine_the_group_is_empty(void **state)
{
    struct fixture *f = *state;
    start(f, 2, 3);
    assert_int_equal(f->ops->vm_count(f->target.ctx), 0);
    is_idle(f);
}

static void each_stop_is_told_once(void **state)
{
    struct fixture *f = *state;
    struct mh_stop stop;
    unsigned seen = 0;
    start(f, 3, 0);
    fake_cpu_will(cpu(f, 2), CPU_EXIT_TRIPLE_FAULT);
    for (unsigned vm = 1; vm <= 3; vm++)
        resume(f, vm, MH_RESUME_CONTINUE);
    for (unsigned i = 0; i < 3; i++) {
        unsigned vm = stopped(f, &stop);
        seen |= 1u << vm;
        assert_int_equal(stop.kind, vm == 2 ? MH_STOP_TRIPLE_FAULT : MH_STOP_HALTED);
    }
    assert_int_equal(seen, 0xe);
    is_idle(f);
}

static void one_may_run_while_the_others_stand(void **state)
{
    struct fixture *f = *state;
    struct mh_stop stop;
    struct mh_x86_regs regs;
    start(f, 2, 0);
    will_spin(f, 1, 100);
    resume(f, 1, MH_RESUME_CONTINUE);
    assert_int_equal(f->ops->read_regs(f->target.ctx, 2, MH_REGS_GENERAL, &regs, &f->err), MH_OK);
    fake_cpu_will(cpu(f, 2), CPU_EXIT_STEP);
    resume(f, 2, MH_RESUME_STEP);
    assert_int_equal(stopped(f, &stop), 2);
    assert_int_equal(stop.kind, MH_STOP_STEP);
    f->ops->interrupt(f->target.ctx, 1);
    assert_int_equal(stopped(f, &stop), 1);
    assert_int_equal(stop.kind, MH_STOP_INTERRUPTED);
    f->ops->interrupt(f->target.ctx, 1); /* it stands already: its next run does not meet this */
    fake_cpu_clear(cpu(f, 1));
    resume(f, 1, MH_RESUME_CONTINUE);
    assert_int_equal(stopped(f, &stop), 1);
    assert_int_equal(stop.kind, MH_STOP_HALTED);
}

static void interrupts_are_never_lost(void **state)
{
    struct fixture *f = *state;
    struct mh_stop stop;
    start(f, 1, 0);
    for (unsigned i = 0; i < 200; i++) {
        fake_cpu_clear(cpu(f, 1));
        will_spin(f, 1, 100);
        resume(f, 1, MH_RESUME_CONTINUE);
        f->ops->interrupt(f->target.ctx, 1);
        assert_int_equal(stopped(f, &stop), 1);
        assert_int_equal(stop.kind, MH_STOP_INTERRUPTED);
    }
}

static void the_debuggers_input_comes_first(void **state)
{
    struct fixture *f = *state;
    struct mh_stop stop;
    unsigned vm;
    int fds[2];
    start(f, 1, 0);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    will_spin(f, 1, 100);
    resume(f, 1, MH_RESUME_CONTINUE);
    assert_int_equal(f->ops->wait(f->target.ctx, fds, 1, &vm, &stop), MH_WAIT_INPUT);
    f->ops->interrupt(f->target.ctx, 1);
    assert_int_equal(stopped(f, &stop), 1);
    close(fds[0]);
    close(fds[1]);
}

static bool filter(void *ctx, unsigned vm, struct mh_stop *stop)
{
    struct fixture *f = ctx;
    (void)vm, (void)stop;
    return ++f->asked == 3;
}

static void a_stop_nobody_wants_lets_the_machine_go_on(void **state)
{
    struct fixture *f = *state;
    struct mh_stop stop;
    const struct mh_resume how = {.kind = MH_RESUME_CONTINUE, .filter = filter, .filter_ctx = f};
    start(f, 1, 0);
    f->ops->set_breakpoint(f->target.ctx, 1, MH_OWNER_DEBUGGER, MH_BREAK_SOFTWARE, 0x10, 1, NULL);
    for (unsigned i = 0; i < 4; i++)
        fake_cpu_will_at(cpu(f, 1), CPU_EXIT_BREAKPOINT, 0x10);
    f->ops->resume(f->target.ctx, 1, &how);
    assert_int_equal(stopped(f, &stop), 1);
    assert_int_equal(stop.kind, MH_STOP_BREAKPOINT);
    assert_int_equal(f->asked, 3);
    assert_int_equal(cpu(f, 1)->runs, 3);
    assert_true(cpu(f, 1)->requests[1].step_off);
}

static bool refuse_all_but_steps(void *ctx, unsigned vm, struct mh_stop *stop)
{
    (void)ctx, (void)vm;
    return stop->kind == MH_STOP_STEP;
}

static void a_step_whose_watchpoint_nobody_wants_is_over(void **state)
{
    struct fixture *f = *state;
    struct mh_stop stop;
    const struct mh_resume how = {.kind = MH_RESUME_STEP, .filter = refuse_all_but_steps};
    start(f, 1, 0);
    f->ops->set_breakpoint(f->target.ctx, 1, MH_OWNER_DEBUGGER, MH_BREAK_WATCH_WRITE, 0x10, 1, NULL);
    fake_cpu_will(cpu(f, 1), CPU_EXIT_WATCHPOINT);
    f->ops->resume(f->target.ctx, 1, &how);
    assert_int_equal(stopped(f, &stop), 1);
    assert_int_equal(stop.kind, MH_STOP_STEP);
    assert_int_equal(cpu(f, 1)->runs, 1);
}

static void a_machine_is_restarted_on_its_own_thread(void **state)
{
    struct fixture *f = *state;
    struct mh_stop stop;
    start(f, 2, 0);
    resume(f, 1, MH_RESUME_CONTINUE);
    stopped(f, &stop);
    cpu(f, 1)->state.general.rip = 0x1234;
    assert_int_equal(f->ops->restart(f->target.ctx, 1, &f->err), MH_OK);
    assert_int_equal(cpu(f, 1)->state.general.rip, 0);
    cpu(f, 1)->failing = "restore";
    assert_int_equal(f->ops->restart(f->target.ctx, 1, &f->err), MH_ERR_HOST);
    assert_text_has(f->err.text, "refuses to restore");
    assert_false(f->ops->vm_alive(f->target.ctx, 1));
    resume(f, 1, MH_RESUME_CONTINUE);
    assert_int_equal(stopped(f, &stop), 1);
    assert_int_equal(stop.kind, MH_STOP_HOST_ERROR);
    cpu(f, 1)->failing = NULL;
    assert_int_equal(f->ops->restart(f->target.ctx, 1, &f->err), MH_OK);
    f->ops->kill(f->target.ctx, 1);
    assert_false(f->ops->vm_alive(f->target.ctx, 1));
    resume(f, 1, MH_RESUME_CONTINUE); /* a killed machine does not run, and the wait ends all the same */
    assert_int_equal(stopped(f, &stop), 1);
    assert_int_equal(stop.kind, MH_STOP_HOST_ERROR);
}

/* Everything ends while a machine runs: it stops without the debugger's asking. */
static void a_request_to_stop_stops_a_running_member(void **state)
{
    struct fixture *f = *state;
    struct mh_stop stop;
    start(f, 1, 0);
    will_spin(f, 1, 100);
    resume(f, 1, MH_RESUME_CONTINUE);
    mh_vm_request_stop(f->seats[0].m->vm);
    assert_int_equal(stopped(f, &stop), 1);
    assert_int_equal(stop.kind, MH_STOP_INTERRUPTED);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(machines_that_could_not_be_made_are_left_out),
        TEST(without_any_machine_the_group_is_empty),
        TEST(each_stop_is_told_once),
        TEST(one_may_run_while_the_others_stand),
        TEST(interrupts_are_never_lost),
        TEST(the_debuggers_input_comes_first),
        TEST(a_stop_nobody_wants_lets_the_machine_go_on),
        TEST(a_step_whose_watchpoint_nobody_wants_is_over),
        TEST(a_machine_is_restarted_on_its_own_thread),
        TEST(a_request_to_stop_stops_a_running_member),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
