#include "machine/run_loop.h"

#include "fake_machine.h"
#include "unit.h"
#include "x86/boot_state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct fixture {
    struct fake_machine *m;
    struct fake_cpu *cpu;
    struct mh_vm *vm;
    struct run_result result;
    int pipe[2];
    unsigned events;      /* the hook saw */
    unsigned catch_event; /* the so-many-th is caught, from 1; 0: none */
    struct mh_event event;
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    f->m = fake_machine_make("\xf4", 1);
    fake_machine_create(f->m);
    f->cpu = f->m->cpu;
    f->vm = f->m->vm;
    f->m->ctx = f;
    f->cpu->ctx = f;
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

static void run_as(struct fixture *f, struct cpu_request request)
{
    run_loop(f->vm, &request, &f->result);
}

static void run(struct fixture *f)
{
    run_as(f, (struct cpu_request){.mode = CPU_RUN});
}

static struct cpu_request watching(const struct fixture *f)
{
    return (struct cpu_request){.mode = CPU_RUN, .wake_fds = &f->pipe[0], .wake_count = 1};
}

static void stopped(const struct fixture *f, enum mh_stop_kind kind)
{
    assert_int_equal(f->result.end, RUN_STOPPED);
    assert_int_equal(f->result.stop.kind, kind);
}

/* ---- each exit ---- */

static void exits_end_a_run_or_do_not(void **state)
{
    struct fixture *f = *state;
    static const struct {
        enum cpu_exit_kind exit;
        enum mh_stop_kind stop;
    } cases[] = {
        {CPU_EXIT_HALT, MH_STOP_HALTED},
        {CPU_EXIT_STEP, MH_STOP_STEP},
        {CPU_EXIT_BREAKPOINT, MH_STOP_BREAKPOINT},
        {CPU_EXIT_WATCHPOINT, MH_STOP_WATCHPOINT},
        {CPU_EXIT_NO_MEMORY, MH_STOP_NO_MEMORY},
        {CPU_EXIT_TRIPLE_FAULT, MH_STOP_TRIPLE_FAULT},
        {CPU_EXIT_COUNT_REACHED, MH_STOP_STEP},
        {CPU_EXIT_ERROR, MH_STOP_CPU_ERROR},
        {CPU_EXIT_FAULT_DELIVERED, MH_STOP_HALTED}, /* not wanted: the guest continues, and halts */
        {CPU_EXIT_CR3_WRITTEN, MH_STOP_HALTED},
        {CPU_EXIT_KICKED, MH_STOP_HALTED},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t before = f->vm->exits[cases[i].exit];
        fake_cpu_clear(f->cpu);
        fake_cpu_will(f->cpu, cases[i].exit);
        run(f);
        stopped(f, cases[i].stop);
        assert_int_equal(f->vm->exits[cases[i].exit], before + 1);
        assert_false(f->result.in_was_cancelled);
    }
}

static void each_exit_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CPU_EXIT_KINDS; i++) {
        assert_non_null(run_loop_exit_name((enum cpu_exit_kind)i));
        assert_ptr_equal(run_loop_exit_name((enum cpu_exit_kind)i), run_loop_exit_name((enum cpu_exit_kind)i));
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(run_loop_exit_name((enum cpu_exit_kind)i),
                                    run_loop_exit_name((enum cpu_exit_kind)k));
    }
}

static void points_come_with_their_number(void **state)
{
    struct fixture *f = *state;
    fake_cpu_will(f->cpu, CPU_EXIT_BREAKPOINT)->exit.point = 3;
    run(f);
    assert_int_equal(f->result.point, 3);
    fake_cpu_will(f->cpu, CPU_EXIT_WATCHPOINT)->exit.point = 5;
    run(f);
    assert_int_equal(f->result.point, 5);
}

static void errors_come_with_text_and_bytes(void **state)
{
    struct fixture *f = *state;
    struct fake_exit *exit = fake_cpu_will(f->cpu, CPU_EXIT_ERROR);
    memset(exit->exit.text, 'x', sizeof exit->exit.text - 1);
    memset(exit->exit.instruction, 0x66, CPU_INSTRUCTION_MAX);
    exit->exit.instruction_length = CPU_INSTRUCTION_MAX;
    run(f);
    assert_int_equal(strlen(f->result.stop.text), MH_STOP_TEXT_MAX - 1);
    assert_int_equal(f->result.stop.instruction_length, MH_INSTRUCTION_MAX);
    assert_int_equal(f->result.stop.instruction[MH_INSTRUCTION_MAX - 1], 0x66);
    fake_cpu_will(f->cpu, CPU_EXIT_ERROR)->exit.is_host_error = true;
    run(f);
    stopped(f, MH_STOP_HOST_ERROR);
}

static void a_halt_is_an_error_when_the_registers_cannot_be_read(void **state)
{
    struct fixture *f = *state;
    f->cpu->failing = "read_regs";
    run(f);
    stopped(f, MH_STOP_HOST_ERROR);
    assert_text_has(f->result.stop.text, "soft refuses to read_regs");
}

static void an_entry_point_that_returned_is_no_halt(void **state)
{
    struct fixture *f = *state;
    fake_cpu_will_at(f->cpu, CPU_EXIT_HALT, MH_SYSTEM_AREA + BOOT_STUBS + BOOT_STUB_RETURNED * BOOT_STUB_SIZE + 1);
    run(f);
    stopped(f, MH_STOP_RETURNED);
}

static void step_off_is_for_the_first_entry_only(void **state)
{
    struct fixture *f = *state;
    fake_cpu_will_out(f->cpu, MH_PORT_SERIAL, 1, "a", 1);
    run_as(f, (struct cpu_request){.mode = CPU_RUN, .step_off = true, .report = CPU_REPORT_CR3});
    stopped(f, MH_STOP_HALTED);
    assert_int_equal(f->cpu->runs, 2);
    assert_true(f->cpu->requests[0].step_off);
    assert_false(f->cpu->requests[1].step_off);
    assert_int_equal(f->cpu->requests[1].report, CPU_REPORT_CR3);
}

/* ---- requests ---- */

static void a_stop_that_was_requested_before_enters_no_guest(void **state)
{
    struct fixture *f = *state;
    mh_vm_request_stop(f->vm);
    run(f);
    stopped(f, MH_STOP_INTERRUPTED);
    assert_int_equal(f->cpu->runs, 0);
}

static void request_stop(struct fake_cpu *cpu)
{
    const struct fixture *f = cpu->ctx;
    mh_vm_request_stop(f->vm);
}

static void a_stop_that_is_requested_meanwhile_ends_the_run_with_nothing_half_done(void **state)
{
    struct fixture *f = *state;
    f->m->input = "k";
    struct fake_exit *in = fake_cpu_will_in(f->cpu, MH_PORT_SERIAL, 1, 1);
    in->during = request_stop;
    run(f);
    stopped(f, MH_STOP_INTERRUPTED);
    assert_int_equal(f->cpu->runs, 1);
    assert_int_equal(in->data[0], 'k'); /* served, and completed */
    assert_null(f->cpu->pending);
    assert_false(f->result.in_was_cancelled);
}

static void a_kick_that_no_exit_answered_is_not_lost(void **state)
{
    struct fixture *f = *state;
    struct fake_exit *out = fake_cpu_will_out(f->cpu, MH_PORT_SERIAL, 1, "a", 1);
    out->during = request_stop;
    run(f);
    stopped(f, MH_STOP_INTERRUPTED);
    assert_true(atomic_load(&f->cpu->kicked));
    assert_string_equal(f->m->output, "a");
}

/* ---- kicks ---- */

static void a_kick_hands_on_what_was_printed_and_goes_on(void **state)
{
    struct fixture *f = *state;
    fake_cpu_will_out(f->cpu, MH_PORT_SERIAL, 1, "seen", 4);
    fake_cpu_will(f->cpu, CPU_EXIT_KICKED);
    fake_cpu_will_in(f->cpu, MH_PORT_SERIAL, 1, 1);
    run(f);
    stopped(f, MH_STOP_HALTED);
    assert_int_equal(f->m->output_at_read, 4);
    assert_int_equal(f->cpu->runs, 4);
}

static void with_something_to_watch_a_kick_ends_the_run(void **state)
{
    struct fixture *f = *state;
    fake_cpu_will_out(f->cpu, MH_PORT_SERIAL, 1, "seen", 4);
    fake_cpu_will(f->cpu, CPU_EXIT_KICKED);
    run_as(f, watching(f));
    assert_int_equal(f->result.end, RUN_KICKED);
    assert_int_equal(f->cpu->runs, 2);
    assert_ptr_equal(f->cpu->requests[1].wake_fds, &f->pipe[0]);
    assert_string_equal(f->m->output, "seen");
}

/* ---- ports: steps and catchpoints end behind the access ---- */

static void the_next_entry_completes_an_access(void **state)
{
    struct fixture *f = *state;
    f->m->input = "ab";
    fake_cpu_will_in(f->cpu, MH_PORT_SERIAL, 1, 1);
    fake_cpu_will_in(f->cpu, MH_PORT_SERIAL, 1, 1);
    run(f);
    stopped(f, MH_STOP_HALTED);
    assert_int_equal(fake_cpu_asked(f->cpu, "finish_io"), 0);
    assert_int_equal(f->cpu->state.general.rip, 2);
}

static void a_step_over_an_access_ends_behind_it(void **state)
{
    struct fixture *f = *state;
    f->m->input = "k";
    struct fake_exit *in = fake_cpu_will_in(f->cpu, MH_PORT_SERIAL, 1, 1);
    run_as(f, (struct cpu_request){.mode = CPU_STEP});
    stopped(f, MH_STOP_STEP);
    assert_int_equal(in->data[0], 'k');
    assert_int_equal(f->cpu->runs, 2); /* the second completes it */
    assert_int_equal(f->cpu->state.general.rip, 1);
    assert_null(f->cpu->pending);
}

static void a_range_goes_on_over_accesses_within_it(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 3; i++) /* at 0, 1 and 2 */
        fake_cpu_will_out(f->cpu, MH_PORT_SERIAL, 1, "x", 1);
    run_as(f, (struct cpu_request){.mode = CPU_STEP, .range_start = 0, .range_end = 3});
    stopped(f, MH_STOP_STEP);
    assert_int_equal(f->cpu->runs, 4);
    assert_int_equal(f->cpu->state.general.rip, 3);
    assert_string_equal(f->m->output, "xxx");
    assert_int_equal(f->cpu->requests[2].range_end, 3);
}

static void a_range_ends_at_an_access_that_leaves_it_backwards(void **state)
{
    struct fixture *f = *state;
    fake_cpu_will_out(f->cpu, MH_PORT_SERIAL, 1, "x", 1)->rip = 8;
    f->cpu->exits[0].moves = true;
    run_as(f, (struct cpu_request){.mode = CPU_STEP, .range_start = 10, .range_end = 20});
    stopped(f, MH_STOP_STEP);
    assert_int_equal(f->cpu->state.general.rip, 9);
}

static bool on_event(void *ctx, const struct mh_event *event, char *text, size_t size)
{
    struct fixture *f = ctx;
    f->event = *event;
    if (++f->events != f->catch_event)
        return false;
    snprintf(text, size, "caught %u", f->events);
    return true;
}

static void catch_event(struct fixture *f, unsigned number)
{
    f->vm->hooks.event = on_event;
    f->vm->hooks.ctx = f;
    f->catch_event = number;
    f->events = 0;
}

static void a_caught_access_is_completed(void **state)
{
    struct fixture *f = *state;
    f->m->input = "k";
    catch_event(f, 2);
    fake_cpu_will_out(f->cpu, 0x80, 1, "a", 1);
    struct fake_exit *in = fake_cpu_will_in(f->cpu, MH_PORT_SERIAL, 1, 1);
    run(f);
    stopped(f, MH_STOP_CAUGHT);
    assert_string_equal(f->result.stop.text, "caught 2");
    assert_int_equal(in->data[0], 'k');
    assert_int_equal(f->cpu->state.general.rip, 2);
    assert_int_equal(f->event.value, 'k');
    f->vm->hooks.event = NULL;
}

static void caught_faults_and_cr3s_stop_where_they_are(void **state)
{
    struct fixture *f = *state;
    catch_event(f, 1);
    struct fake_exit *fault = fake_cpu_will_at(f->cpu, CPU_EXIT_FAULT_DELIVERED, 0x500);
    fault->exit.vector = 14;
    fault->exit.handler = 0x500;
    run_as(f, (struct cpu_request){.mode = CPU_RUN, .report = CPU_REPORT_FAULTS});
    stopped(f, MH_STOP_CAUGHT);
    assert_int_equal(f->event.kind, MH_EVENT_FAULT);
    assert_int_equal(f->event.vector, 14);
    assert_int_equal(f->event.handler, 0x500);
    catch_event(f, 1);
    struct fake_exit *cr3 = fake_cpu_will(f->cpu, CPU_EXIT_CR3_WRITTEN);
    cr3->exit.old_cr3 = 0x1000;
    cr3->exit.new_cr3 = 0x2000;
    run_as(f, (struct cpu_request){.mode = CPU_RUN, .report = CPU_REPORT_CR3});
    stopped(f, MH_STOP_CAUGHT);
    assert_int_equal(f->event.kind, MH_EVENT_CR3);
    assert_int_equal(f->event.old, 0x1000);
    assert_int_equal(f->event.now, 0x2000);
    f->vm->hooks.event = NULL;
}

static void events_nobody_catches_end_a_step_but_not_a_range(void **state)
{
    struct fixture *f = *state;
    static const enum cpu_exit_kind kinds[] = {CPU_EXIT_FAULT_DELIVERED, CPU_EXIT_CR3_WRITTEN};
    for (size_t i = 0; i < COUNT(kinds); i++) {
        fake_cpu_clear(f->cpu);
        fake_cpu_will_at(f->cpu, kinds[i], 0x500);
        run_as(f, (struct cpu_request){.mode = CPU_STEP});
        stopped(f, MH_STOP_STEP);
        assert_int_equal(f->cpu->runs, 1);
        fake_cpu_will_at(f->cpu, kinds[i], 0x500);
        run_as(f, (struct cpu_request){.mode = CPU_STEP, .range_start = 0x500, .range_end = 0x510});
        stopped(f, MH_STOP_HALTED);
    }
}

static void an_event_is_told_once(void **state)
{
    struct fixture *f = *state;
    catch_event(f, 0);
    f->m->input = "k";
    fake_cpu_will_out(f->cpu, MH_PORT_SERIAL, 1, "abc", 3);
    fake_cpu_will(f->cpu, CPU_EXIT_KICKED);
    fake_cpu_will_in(f->cpu, MH_PORT_SERIAL, 1, 1);
    fake_cpu_will(f->cpu, CPU_EXIT_FAULT_DELIVERED);
    run(f);
    assert_int_equal(f->events, 3);
    f->vm->hooks.event = NULL;
}

/* ---- the IN that is cancelled ---- */

static void interrupt_with_a_request(struct fake_machine *m)
{
    m->read_result = MH_SERIAL_INTERRUPTED;
    mh_vm_request_stop(m->vm);
}

static void a_stop_while_the_guest_waits_cancels_the_in(void **state)
{
    struct fixture *f = *state;
    f->m->on_read = interrupt_with_a_request;
    fake_cpu_will_in(f->cpu, MH_PORT_SERIAL, 1, 1);
    run(f);
    stopped(f, MH_STOP_INTERRUPTED);
    assert_true(f->result.in_was_cancelled);
    assert_int_equal(f->m->reads, 1);
    assert_int_equal(fake_cpu_asked(f->cpu, "cancel_in"), 1);
    assert_int_equal(f->cpu->state.general.rip, 0);
}

static void interrupt_with_input(struct fake_machine *m)
{
    const struct fixture *f = m->ctx;
    m->read_result = m->reads == 2 ? MH_SERIAL_INTERRUPTED : 0;
    if (m->reads == 2)
        assert_int_equal(write(f->pipe[1], "x", 1), 1);
}

/* A string of two: the first byte has been read when the debugger wants something. It is read again. */
static void input_for_the_debugger_cancels_the_in_and_takes_nothing(void **state)
{
    struct fixture *f = *state;
    f->m->input = "ab";
    f->m->on_read = interrupt_with_input;
    fake_cpu_will_in(f->cpu, MH_PORT_SERIAL, 1, 2);
    struct fake_exit *again = fake_cpu_will_in(f->cpu, MH_PORT_SERIAL, 1, 2);
    run_as(f, watching(f));
    assert_int_equal(f->result.end, RUN_KICKED);
    assert_true(f->result.in_was_cancelled);
    assert_int_equal(f->m->read_wake_count, 1);
    assert_int_equal(f->vm->input.bytes, 0);
    run(f);
    stopped(f, MH_STOP_HALTED);
    assert_memory_equal(again->data, "ab", 2);
    assert_int_equal(f->vm->input.bytes, 2);
    assert_int_equal(f->m->reads, 3); /* 'a' came from the log */
}

static void interrupt_once(struct fake_machine *m)
{
    m->read_result = m->reads == 1 ? MH_SERIAL_INTERRUPTED : 0;
}

static void an_interrupted_wait_without_a_reason_goes_on(void **state)
{
    struct fixture *f = *state;
    f->m->input = "k";
    f->m->on_read = interrupt_once;
    struct fake_exit *in = fake_cpu_will_in(f->cpu, MH_PORT_SERIAL, 1, 1);
    run_as(f, watching(f));
    stopped(f, MH_STOP_HALTED);
    assert_int_equal(in->data[0], 'k');
    assert_int_equal(fake_cpu_asked(f->cpu, "cancel_in"), 0);
}

/* ---- the serial line fails ---- */

static void input_that_cannot_be_read_stops_the_machine(void **state)
{
    struct fixture *f = *state;
    f->m->read_result = -EIO;
    fake_cpu_will_in(f->cpu, MH_PORT_SERIAL, 1, 1);
    run(f);
    stopped(f, MH_STOP_IO_ERROR);
    assert_int_equal(f->result.stop.host_errno, EIO);
    assert_int_equal(fake_cpu_asked(f->cpu, "cancel_in"), 1); /* the guest may be resumed, and tries again */
}

static void output_that_cannot_be_written_stops_an_endless_printer(void **state)
{
    struct fixture *f = *state;
    static const char page[FAKE_BYTES_MAX] = {'x'};
    f->m->write_result = -ENOSPC;
    for (unsigned i = 0; i < 2; i++)
        fake_cpu_will_out(f->cpu, MH_PORT_SERIAL, 1, page, sizeof page);
    run(f);
    stopped(f, MH_STOP_IO_ERROR);
    assert_int_equal(f->result.stop.host_errno, ENOSPC);
    assert_int_equal(f->cpu->runs, 1);
    assert_null(f->cpu->pending);
}

static void output_that_fails_at_the_halt_is_an_error_and_no_good_end(void **state)
{
    struct fixture *f = *state;
    f->m->write_result = -EPIPE;
    fake_cpu_will_out(f->cpu, MH_PORT_SERIAL, 1, "hello", 5);
    run(f);
    stopped(f, MH_STOP_IO_ERROR);
    assert_int_equal(f->result.stop.host_errno, EPIPE);
}

static void a_crash_is_told_even_when_the_output_fails(void **state)
{
    struct fixture *f = *state;
    f->m->write_result = -EPIPE;
    fake_cpu_will_out(f->cpu, MH_PORT_SERIAL, 1, "and this", 8);
    fake_cpu_will(f->cpu, CPU_EXIT_TRIPLE_FAULT);
    run(f);
    stopped(f, MH_STOP_TRIPLE_FAULT);
    assert_int_equal(f->result.stop.host_errno, EPIPE);
}

static void a_kick_that_finds_the_line_broken_stops_the_machine(void **state)
{
    struct fixture *f = *state;
    f->m->write_result = -EPIPE;
    fake_cpu_will_out(f->cpu, MH_PORT_SERIAL, 1, "x", 1);
    fake_cpu_will(f->cpu, CPU_EXIT_KICKED);
    run(f);
    stopped(f, MH_STOP_IO_ERROR);
    assert_int_equal(f->cpu->runs, 2);
    fake_cpu_clear(f->cpu); /* and under a debugger, which would otherwise enter again and again */
    f->vm->serial.error = 0;
    fake_cpu_will_out(f->cpu, MH_PORT_SERIAL, 1, "x", 1);
    fake_cpu_will(f->cpu, CPU_EXIT_KICKED);
    run_as(f, watching(f));
    stopped(f, MH_STOP_IO_ERROR);
}

/* A guest that waits for input never sees that its question was not written, unless the IN is where that ends. */
static void a_guest_that_waits_for_input_is_stopped_when_its_line_is_broken(void **state)
{
    struct fixture *f = *state;
    f->m->write_result = -EPIPE;
    f->m->input = "abc";
    fake_cpu_will_out(f->cpu, MH_PORT_SERIAL, 1, "name?", 5);
    fake_cpu_will_in(f->cpu, MH_PORT_SERIAL, 1, 1);
    fake_cpu_will_in(f->cpu, MH_PORT_SERIAL, 1, 1);
    run(f);
    stopped(f, MH_STOP_IO_ERROR);
    assert_int_equal(f->cpu->runs, 2);
}

static void a_write_that_a_stop_broke_off_is_no_error(void **state)
{
    struct fixture *f = *state;
    f->m->write_result = -EINTR;
    fake_cpu_will_out(f->cpu, MH_PORT_SERIAL, 1, "x", 1);
    fake_cpu_will(f->cpu, CPU_EXIT_KICKED);
    run(f);
    stopped(f, MH_STOP_HALTED);
}

/* ---- bytes that gather ---- */

static void print_some(struct fake_cpu *cpu)
{
    memset(cpu->batch, 'g', 600); /* more than is taken at once */
    cpu->batch_length = 600;
}

static void gathered_bytes_come_before_those_of_the_exit(void **state)
{
    struct fixture *f = *state;
    f->vm->gathers_serial = true;
    fake_cpu_will_out(f->cpu, MH_PORT_SERIAL, 1, "!", 1)->during = print_some;
    fake_cpu_will(f->cpu, CPU_EXIT_KICKED)->during = print_some;
    run(f);
    assert_int_equal(f->m->output_length, 1201);
    assert_int_equal(f->m->output[600], '!');
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(exits_end_a_run_or_do_not),
        TEST(each_exit_has_a_name_of_its_own),
        TEST(points_come_with_their_number),
        TEST(errors_come_with_text_and_bytes),
        TEST(a_halt_is_an_error_when_the_registers_cannot_be_read),
        TEST(an_entry_point_that_returned_is_no_halt),
        TEST(step_off_is_for_the_first_entry_only),
        TEST(a_stop_that_was_requested_before_enters_no_guest),
        TEST(a_stop_that_is_requested_meanwhile_ends_the_run_with_nothing_half_done),
        TEST(a_kick_that_no_exit_answered_is_not_lost),
        TEST(a_kick_hands_on_what_was_printed_and_goes_on),
        TEST(with_something_to_watch_a_kick_ends_the_run),
        TEST(the_next_entry_completes_an_access),
        TEST(a_step_over_an_access_ends_behind_it),
        TEST(a_range_goes_on_over_accesses_within_it),
        TEST(a_range_ends_at_an_access_that_leaves_it_backwards),
        TEST(a_caught_access_is_completed),
        TEST(caught_faults_and_cr3s_stop_where_they_are),
        TEST(events_nobody_catches_end_a_step_but_not_a_range),
        TEST(an_event_is_told_once),
        TEST(a_stop_while_the_guest_waits_cancels_the_in),
        TEST(input_for_the_debugger_cancels_the_in_and_takes_nothing),
        TEST(an_interrupted_wait_without_a_reason_goes_on),
        TEST(input_that_cannot_be_read_stops_the_machine),
        TEST(output_that_cannot_be_written_stops_an_endless_printer),
        TEST(output_that_fails_at_the_halt_is_an_error_and_no_good_end),
        TEST(a_crash_is_told_even_when_the_output_fails),
        TEST(a_kick_that_finds_the_line_broken_stops_the_machine),
        TEST(a_guest_that_waits_for_input_is_stopped_when_its_line_is_broken),
        TEST(a_write_that_a_stop_broke_off_is_no_error),
        TEST(gathered_bytes_come_before_those_of_the_exit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
