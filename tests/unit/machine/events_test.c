#include "machine/events.h"

#include "fake_machine.h"
#include "unit.h"

#include <string.h>

#define EVENTS_MAX 64u

/* The events of a machine, and its state at each. */
struct heard {
    struct mh_event event;
    char bytes[32];
    char text[512];
    enum mh_stop_kind stop;
};

struct fixture {
    struct fake_machine *m;
    struct heard heard[EVENTS_MAX];
    unsigned count;
};

static void hear(void *ctx, const struct mh_event *event)
{
    struct fixture *f = ctx;
    assert_true(f->count < EVENTS_MAX);
    struct heard *heard = &f->heard[f->count++];
    heard->event = *event;
    if (event->kind == MH_EVENT_PORT)
        memcpy(heard->bytes, event->data, (size_t)event->width * event->count);
    if (event->kind == MH_EVENT_STOP)
        heard->stop = event->stop->kind;
    mh_event_text(event, heard->text, sizeof heard->text);
}

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    f->m = fake_machine_make("\xf4", 1);
    f->m->config.event = hear;
    f->m->config.event_ctx = f;
    fake_machine_create(f->m);
    *state = f;
    return 0;
}

static void kinds_are(const struct fixture *f, const enum mh_event_kind *kinds, unsigned count)
{
    assert_int_equal(f->count, count);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(f->heard[i].event.kind, kinds[i]);
}

static void entries_exits_and_what_is_between_come_in_order(void **state)
{
    static const enum mh_event_kind kinds[] = {MH_EVENT_ENTER, MH_EVENT_EXIT, MH_EVENT_PORT,
                                               MH_EVENT_ENTER, MH_EVENT_EXIT, MH_EVENT_PORT,
                                               MH_EVENT_ENTER, MH_EVENT_EXIT, MH_EVENT_STOP};
    struct fixture *f = *state;
    f->m->input = "x";
    fake_cpu_will_out(f->m->cpu, MH_PORT_SERIAL, 1, "abc", 3);
    fake_cpu_will_in(f->m->cpu, MH_PORT_SERIAL, 1, 1);
    fake_machine_run(f->m);
    kinds_are(f, kinds, COUNT(kinds));
    assert_string_equal(f->heard[1].event.reason, "port access");
    assert_ptr_equal(f->heard[1].event.reason, f->heard[4].event.reason);
    assert_string_equal(f->heard[7].event.reason, "hlt");
    assert_string_equal(f->heard[2].bytes, "abc");
    assert_true(f->heard[5].event.is_in);
    assert_int_equal(f->heard[5].event.value, 'x');
    assert_int_equal(f->heard[8].stop, MH_STOP_HALTED);
    assert_text_has(f->heard[8].text, "halted at rip 0x");
    assert_string_equal(f->heard[0].text, "the guest runs");
    assert_string_equal(f->heard[7].text, "exit: hlt");
}

static void rip_costs_no_call(void **state)
{
    struct fixture *f = *state;
    fake_cpu_will_out(f->m->cpu, 0x60, 1, "a", 1);
    fake_machine_run(f->m);
    assert_int_equal(fake_cpu_asked(f->m->cpu, "read_regs"), 2); /* of the halt, and to tell of the stop */
    assert_true(f->heard[1].event.has_rip);
    assert_true(f->heard[2].event.has_rip);
}

static void an_entry_that_is_broken_off_is_an_exit_too(void **state)
{
    struct fixture *f = *state;
    fake_cpu_will(f->m->cpu, CPU_EXIT_KICKED);
    fake_machine_run(f->m);
    assert_string_equal(f->heard[1].event.reason, "interrupted by the hypervisor");
}

static void print_without_exits(struct fake_cpu *cpu)
{
    memcpy(cpu->batch, "abc", 3);
    cpu->batch_length = 3;
}

static void bytes_that_gathered_are_told_together_and_before_the_exit(void **state)
{
    static const enum mh_event_kind kinds[] = {MH_EVENT_ENTER, MH_EVENT_PORT, MH_EVENT_EXIT, MH_EVENT_STOP};
    struct fixture *f = *state;
    f->m->vm->gathers_serial = true;
    fake_cpu_will(f->m->cpu, CPU_EXIT_TRIPLE_FAULT)->during = print_without_exits;
    fake_machine_run(f->m);
    kinds_are(f, kinds, COUNT(kinds));
    assert_int_equal(f->heard[1].event.port, MH_PORT_SERIAL);
    assert_int_equal(f->heard[1].event.count, 3);
    assert_string_equal(f->heard[1].bytes, "abc");
    assert_false(f->heard[1].event.has_rip);
    assert_string_equal(f->heard[2].event.reason, "triple fault");
    assert_int_equal(f->heard[3].stop, MH_STOP_TRIPLE_FAULT);
    assert_text_lacks(f->heard[3].text, "\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(entries_exits_and_what_is_between_come_in_order, set_up,
                                        fake_machine_tear_down_fixture),
        cmocka_unit_test_setup_teardown(rip_costs_no_call, set_up, fake_machine_tear_down_fixture),
        cmocka_unit_test_setup_teardown(an_entry_that_is_broken_off_is_an_exit_too, set_up,
                                        fake_machine_tear_down_fixture),
        cmocka_unit_test_setup_teardown(bytes_that_gathered_are_told_together_and_before_the_exit, set_up,
                                        fake_machine_tear_down_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
