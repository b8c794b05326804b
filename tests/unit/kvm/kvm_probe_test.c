#include "fake_kvm.h"
#include "mh/vm.h"
#include "taken_text.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

#define INS 0x30u /* where the probe has it */

/* A processor that makes the exit of each entry as the test says. */
struct fixture {
    struct mh_host *host;
    uint32_t exit_reason;
    unsigned runs;
    unsigned step_length; /* bytes of code that a step gets on by */
    bool is_completing;   /* an instruction that was waiting for data */
    struct taken_text text;
};

static int enter(void *ctx, struct kvm_run *run)
{
    struct fixture *f = ctx;
    f->runs++;
    run->exit_reason = f->exit_reason;
    return 0;
}

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    fake_kvm_reset();
    assert_int_equal(mh_host_open(&f->host, NULL), MH_OK);
    fake_kvm.on_run = enter;
    fake_kvm.on_run_ctx = f;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    mh_host_close(f->host);
    test_free(f);
    return 0;
}

static const char *describe(struct fixture *f, uint32_t exit_reason)
{
    f->exit_reason = exit_reason;
    clear_text(&f->text);
    assert_int_equal(mh_host_describe(f->host, take_text, &f->text, NULL), MH_OK);
    assert_int_equal(fake_kvm.mapped, 0);
    return f->text.bytes;
}

static void all_is_tried_whatever_comes_of_it(void **state)
{
    struct fixture *f = *state;
    const char *text = describe(f, KVM_EXIT_UNKNOWN);
    assert_text_has(text, "\nkvm-api: 12\nsynchronized-registers: yes\ncoalesced-ports: yes\nread-only-memory: yes\n"
                          "xcr0: 0x7\nint3: lost\nexecute-registers: no\ndata-registers: no\n");
    assert_text_has(text, "\nhlt-when-stepped: missed\nrip-at-out: unknown\nstep-after-out: unknown\n"
                          "trap-flag-in-pushf: unknown\nsoftware-interrupts: error\n"
                          "registers-after-triple-fault: unknown\nstack-faults: no\nreserved-bit-faults: "
                          "no\nx87-in-ring-0: no\nsse-in-ring-0: no\n"
                          "avx-in-ring-0: no\n");
}

static void exits_decide(void **state)
{
    struct fixture *f = *state;
    assert_text_has(describe(f, KVM_EXIT_HLT), "\nhlt-when-stepped: reported\n");
    assert_text_has(f->text.bytes, "\nsoftware-interrupts: delivered\n");
    assert_text_has(describe(f, KVM_EXIT_IO), "\nrip-at-out: at it\nstep-after-out: lost\n");
    assert_text_has(describe(f, KVM_EXIT_DEBUG), "\nhlt-when-stepped: missed\n");
    assert_text_has(f->text.bytes, "\ntrap-flag-in-pushf: hidden\n");
    assert_text_has(describe(f, KVM_EXIT_SHUTDOWN), "\nregisters-after-triple-fault: lost\n");
    assert_text_has(describe(f, KVM_EXIT_INTERNAL_ERROR), "\nint3: error\n");
}

/* The first instruction is one KVM emulates and needs data for; entering again completes it, which ends a step. */
static int step(void *ctx, struct kvm_run *run)
{
    struct fixture *f = ctx;
    if (fake_kvm.regs.rip == INS) {
        fake_kvm.regs.rip++;
        f->is_completing = true;
        run->exit_reason = KVM_EXIT_IO;
        return 0;
    }
    fake_kvm.regs.rip += f->is_completing ? 0 : f->step_length;
    f->is_completing = false;
    run->exit_reason = f->exit_reason;
    return 0;
}

static void steps_last_if_one_follows_what_kvm_emulates(void **state)
{
    struct fixture *f = *state;
    fake_kvm.on_run = step;
    f->step_length = 1;
    assert_text_has(describe(f, KVM_EXIT_DEBUG), "\nsteps-last: yes\n");
    assert_text_has(describe(f, KVM_EXIT_HLT), "\nsteps-last: no\n");
    f->step_length = 0; /* the same once more is no step, and behind two the trap flag was away */
    assert_text_has(describe(f, KVM_EXIT_DEBUG), "\nsteps-last: no\n");
    f->step_length = 2;
    assert_text_has(describe(f, KVM_EXIT_DEBUG), "\nsteps-last: no\n");
}

static void what_kvm_lacks_is_said(void **state)
{
    struct fixture *f = *state;
    fake_kvm.missing_capability = KVM_CAP_READONLY_MEM;
    assert_text_has(describe(f, KVM_EXIT_HLT), "\nread-only-memory: no\n");
}

static void a_machine_that_cannot_be_made_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct mh_error err = {0};
    describe(f, KVM_EXIT_HLT);
    unsigned calls = fake_kvm.calls;
    describe(f, KVM_EXIT_HLT);
    calls = fake_kvm.calls - calls;
    fake_kvm.failing_request = KVM_CREATE_VM;
    fake_kvm.failing_errno = ENOMEM;
    clear_text(&f->text);
    assert_int_equal(mh_host_describe(f->host, take_text, &f->text, &err), MH_ERR_HOST);
    assert_text_has(err.text, "another machine");
    fake_kvm.failing_request = 0;
    for (unsigned call = 1; call <= calls; call++) { /* whichever it is, nothing is left behind */
        fake_kvm.failing_call = fake_kvm.calls + call;
        clear_text(&f->text);
        mh_host_describe(f->host, take_text, &f->text, &err);
        assert_int_equal(fake_kvm.mapped, 0);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_is_tried_whatever_comes_of_it),           TEST(exits_decide),
        TEST(steps_last_if_one_follows_what_kvm_emulates), TEST(what_kvm_lacks_is_said),
        TEST(a_machine_that_cannot_be_made_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
