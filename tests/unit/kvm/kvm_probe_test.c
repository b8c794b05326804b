#include "kvm/kvm_probe.h"

#include "fake_kvm.h"
#include "taken_text.h"
#include "unit.h"
#include "x86/exceptions.h"

#include <errno.h>

/* A processor that ends each entry the same way. */
struct fixture {
    struct kvm_host *host;
    struct x86_cpuid cpuid;
    uint32_t exit_reason, exception;
    uint64_t dr6;
    uint64_t moves; /* rip, by so much */
    struct kvm_quirks quirks;
    struct mh_error err;
};

static int enter(void *ctx, struct kvm_run *run)
{
    struct fixture *f = ctx;
    run->exit_reason = f->exit_reason;
    run->debug.arch.exception = f->exception;
    run->debug.arch.dr6 = f->dr6;
    fake_kvm.regs.rip += f->moves;
    return 0;
}

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    fake_kvm_reset();
    fake_kvm.on_run = enter;
    fake_kvm.on_run_ctx = f;
    f->cpuid.xcr0 = 7;
    assert_int_equal(kvm_host_open(&f->host, NULL), MH_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    kvm_host_close(f->host);
    test_free(f);
    return 0;
}

static void probe(struct fixture *f)
{
    memset(&f->quirks, 0, sizeof f->quirks);
    assert_int_equal(kvm_probe(f->host, &f->cpuid, &f->quirks, &f->err), MH_OK);
    assert_int_equal(fake_kvm.mapped, 0);
}

static void exits_decide(void **state)
{
    struct fixture *f = *state;
    f->exit_reason = KVM_EXIT_UNKNOWN;
    probe(f);
    assert_int_equal(f->quirks.int3_in_ring_0, KVM_INT3_LOST);
    assert_false(f->quirks.int3_in_ring_3 || f->quirks.data_registers || f->quirks.sse);
    f->exit_reason = KVM_EXIT_INTERNAL_ERROR;
    probe(f);
    assert_int_equal(f->quirks.int3_in_ring_0, KVM_INT3_ERROR);
    assert_false(f->quirks.int3_in_ring_3);
    f->exit_reason = KVM_EXIT_DEBUG;
    f->exception = EXCEPTION_BREAKPOINT;
    probe(f);
    assert_int_equal(f->quirks.int3_in_ring_0, KVM_INT3_REPORTED);
    assert_true(f->quirks.int3_in_ring_3);
    assert_false(f->quirks.data_registers); /* no register was named */
    f->exception = EXCEPTION_DEBUG;
    f->dr6 = 0xffff0ff1;
    probe(f);
    assert_int_equal(f->quirks.int3_in_ring_0, KVM_INT3_LOST);
    assert_true(f->quirks.data_registers);
    f->exit_reason = KVM_EXIT_HLT;
    f->moves = 4;
    probe(f);
    assert_true(f->quirks.sse);
}

static void what_was_found_is_a_line_each(void **state)
{
    struct fixture *f = *state;
    struct taken_text text = {.length = 0};
    const struct text_output output = {.sink = take_text, .ctx = &text};
    f->quirks = (struct kvm_quirks){KVM_INT3_ERROR, true, true, false};
    kvm_probe_describe(f->host, &f->quirks, &output);
    assert_text_has(text.bytes, "kernel: ");
    assert_text_has(text.bytes, "\nkvm-api: 12\nkvm-synchronized-registers: yes\nkvm-coalesced-ports: yes\n"
                                "kvm-int3-in-ring-0: error\nkvm-int3-in-ring-3: reported\n"
                                "kvm-data-registers: yes\nkvm-sse-in-ring-0: no\n");
}

static void a_machine_that_cannot_be_made_is_an_error_and_nothing_is_left(void **state)
{
    struct fixture *f = *state;
    f->exit_reason = KVM_EXIT_HLT;
    unsigned before = fake_kvm.calls;
    probe(f);
    unsigned calls = fake_kvm.calls - before;
    fake_kvm.failing_errno = ENOMEM;
    for (unsigned call = 1; call <= calls; call++) {
        fake_kvm.failing_call = fake_kvm.calls + call;
        enum mh_status status = kvm_probe(f->host, &f->cpuid, &f->quirks, &f->err);
        assert_true(status == MH_OK || status == MH_ERR_HOST);
        assert_int_equal(fake_kvm.mapped, 0);
    }
    fake_kvm.failing_call = 0;
    fake_kvm.failing_request = KVM_CREATE_VM;
    assert_int_equal(kvm_probe(f->host, &f->cpuid, &f->quirks, &f->err), MH_ERR_HOST);
    assert_text_has(f->err.text, "another machine");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(exits_decide),
        TEST(what_was_found_is_a_line_each),
        TEST(a_machine_that_cannot_be_made_is_an_error_and_nothing_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
