/* The choice of processor: mh_host_open() and the machines made on it. */
#include "accel/accel.h"

#include "fake_cpu.h"
#include "fake_kvm.h"
#include "taken_text.h"
#include "temp_dir.h"
#include "unit.h"
#include "x86/boot_state.h"

#include <errno.h>
#include <pthread.h>

struct fixture {
    struct mh_host *host;
    struct guest_ram ram;
    struct cpu *cpu;
    struct mh_error err;
    struct taken_text text;
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    fake_kvm_reset();
    fake_soft_fails = false;
    assert_int_equal(ram_create(&f->ram, 2 * MB, NULL), MH_OK);
    *state = f;
    return 0;
}

static void close_all(struct fixture *f)
{
    if (f->cpu != NULL)
        f->cpu->ops->destroy(f->cpu);
    mh_host_close(f->host);
    f->cpu = NULL;
    f->host = NULL;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    close_all(f);
    ram_free(&f->ram);
    test_free(f);
    return 0;
}

static enum mh_status make_cpu(struct fixture *f)
{
    struct mh_cpu_state boot = {.general = boot_general(&f->ram, 0), .system = boot_system(false)};
    assert_int_equal(accel_prepare(f->host, &f->err), MH_OK);
    return accel_create_cpu(f->host, &f->ram, &boot, &f->cpu, &f->err);
}

/* A host that could not open KVM, for each reason there is. */
static const struct {
    int open_errno, missing_capability, api_version, run_size;
    unsigned long failing_request;
    const char *words;
} problems[] = {
    {ENOENT, -1, 12, 0x3000, 0, "/dev/kvm does not exist"},
    {EACCES, -1, 12, 0x3000, 0, "no permission to use /dev/kvm"},
    {EPERM, -1, 12, 0x3000, 0, "no permission to use /dev/kvm"},
    {ENODEV, -1, 12, 0x3000, 0, "no driver behind it"},
    {ENXIO, -1, 12, 0x3000, 0, "no driver behind it"},
    {EMFILE, -1, 12, 0x3000, 0, "cannot open /dev/kvm: Too many open files"},
    {0, KVM_CAP_IMMEDIATE_EXIT, 12, 0x3000, 0, "lacks KVM_CAP_IMMEDIATE_EXIT"},
    {0, -1, 11, 0x3000, 0, "speaks API version 11"},
    {0, -1, 12, 16, 0, "run page"},
    {0, -1, 12, 0x3000, KVM_GET_API_VERSION, "does not answer as KVM does"},
};

static void break_kvm(size_t i)
{
    fake_kvm_reset();
    fake_kvm.open_errno = problems[i].open_errno;
    fake_kvm.missing_capability = problems[i].missing_capability;
    fake_kvm.api_version = problems[i].api_version;
    fake_kvm.run_size = problems[i].run_size;
    fake_kvm.failing_request = problems[i].failing_request;
    fake_kvm.failing_errno = ENOTTY;
}

static void auto_runs_in_software_where_kvm_does_not_work_and_knows_why(void **state)
{
    struct fixture *f = *state;
    unsigned fds = count_open_fds();
    for (size_t i = 0; i < COUNT(problems); i++) {
        break_kvm(i);
        assert_int_equal(mh_host_open(MH_ACCEL_AUTO, &f->host, &f->err), MH_OK);
        assert_false(mh_host_has_kvm(f->host));
        assert_text_has(mh_host_kvm_problem(f->host), problems[i].words);
        assert_int_equal(make_cpu(f), MH_OK);
        assert_string_equal(f->cpu->ops->name, "soft");
        clear_text(&f->text);
        assert_int_equal(mh_host_describe(f->host, take_text, &f->text, &f->err), MH_OK);
        assert_text_has(f->text.bytes, "accel: soft\n");
        assert_text_has(f->text.bytes, problems[i].words);
        close_all(f);
        assert_int_equal(count_open_fds(), fds);
    }
}

static void kvm_or_an_error_that_names_the_remedy(void **state)
{
    struct fixture *f = *state;
    unsigned fds = count_open_fds();
    for (size_t i = 0; i < COUNT(problems); i++) {
        break_kvm(i);
        assert_int_equal(mh_host_open(MH_ACCEL_KVM, &f->host, &f->err), MH_ERR_HOST);
        assert_null(f->host);
        assert_text_has(f->err.text, problems[i].words);
        assert_text_has(f->err.text, "; or use --accel soft, which needs no KVM");
        assert_int_equal(count_open_fds(), fds);
    }
}

static void software_does_not_touch_kvm(void **state)
{
    struct fixture *f = *state;
    break_kvm(0);
    assert_int_equal(mh_host_open(MH_ACCEL_SOFT, &f->host, &f->err), MH_OK);
    assert_int_equal(fake_kvm.calls, 0);
    assert_string_equal(mh_host_kvm_problem(f->host), ""); /* it was not asked for */
    assert_false(mh_host_has_kvm(f->host));
    mh_host_prepare(f->host);
    assert_int_equal(make_cpu(f), MH_OK);
    assert_string_equal(f->cpu->ops->name, "soft");
    assert_int_equal(mh_host_describe(f->host, take_text, &f->text, &f->err), MH_OK);
    assert_text_lacks(f->text.bytes, "kvm");
    assert_int_equal(fake_kvm.calls, 0);
}

static void where_kvm_works_machines_run_on_it(void **state)
{
    struct fixture *f = *state;
    static const enum mh_accel accels[] = {MH_ACCEL_AUTO, MH_ACCEL_KVM};
    for (size_t i = 0; i < COUNT(accels); i++) {
        assert_int_equal(mh_host_open(accels[i], &f->host, &f->err), MH_OK);
        assert_true(mh_host_has_kvm(f->host));
        assert_string_equal(mh_host_kvm_problem(f->host), "");
        assert_int_equal(make_cpu(f), MH_OK);
        assert_string_equal(f->cpu->ops->name, "auto");
        uint64_t moves = 1;
        assert_string_equal(f->cpu->ops->current(f->cpu, &moves), "kvm");
        assert_int_equal(moves, 0);
        assert_int_equal(fake_cpus, 0);
        close_all(f);
    }
}

/* As in a container that may open the device, or a virtual machine whose firmware forbids the rest. */
static void a_kvm_that_makes_no_machine_is_no_obstacle_to_auto(void **state)
{
    struct fixture *f = *state;
    static const unsigned long requests[] = {KVM_CREATE_VM, KVM_CREATE_VCPU, KVM_SET_CPUID2, KVM_GET_SUPPORTED_CPUID};
    unsigned fds = count_open_fds();
    fake_kvm.failing_errno = EBUSY;
    for (size_t i = 0; i < COUNT(requests); i++) {
        fake_kvm.failing_request = requests[i];
        assert_int_equal(mh_host_open(MH_ACCEL_AUTO, &f->host, &f->err), MH_OK);
        assert_int_equal(make_cpu(f), MH_OK);
        assert_string_equal(f->cpu->ops->name, "soft");
        close_all(f);
        assert_int_equal(count_open_fds(), fds);
    }
    fake_kvm.failing_request = KVM_CREATE_VM;
    assert_int_equal(mh_host_open(MH_ACCEL_KVM, &f->host, &f->err), MH_OK);
    assert_int_equal(make_cpu(f), MH_ERR_HOST);
    assert_text_has(f->err.text, "KVM refuses another machine");
    assert_null(f->cpu);
}

static void cpuid_is_asked_for_once_and_again_after_a_failure(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mh_host_open(MH_ACCEL_KVM, &f->host, &f->err), MH_OK);
    assert_int_equal(fake_kvm_count(KVM_GET_SUPPORTED_CPUID), 0);
    fake_kvm.failing_request = KVM_GET_SUPPORTED_CPUID;
    fake_kvm.failing_errno = E2BIG;
    mh_host_prepare(f->host);
    assert_int_equal(accel_prepare(f->host, &f->err), MH_ERR_HOST);
    assert_text_has(f->err.text, "KVM does not give its CPUID: Argument list too long");
    fake_kvm.failing_request = 0;
    assert_int_equal(accel_prepare(f->host, &f->err), MH_OK);
    assert_int_equal(accel_prepare(f->host, &f->err), MH_OK);
    assert_int_equal(fake_kvm_count(KVM_GET_SUPPORTED_CPUID), 3);
}

static void *prepare(void *host)
{
    return (void *)(intptr_t)accel_prepare(host, NULL);
}

static void threads_may_prepare_at_once(void **state)
{
    struct fixture *f = *state;
    pthread_t thread[8];
    assert_int_equal(mh_host_open(MH_ACCEL_AUTO, &f->host, &f->err), MH_OK);
    for (size_t i = 0; i < COUNT(thread); i++)
        assert_int_equal(pthread_create(&thread[i], NULL, prepare, f->host), 0);
    for (size_t i = 0; i < COUNT(thread); i++) {
        void *result = f;
        assert_int_equal(pthread_join(thread[i], &result), 0);
        assert_null(result);
    }
    assert_int_equal(fake_kvm_count(KVM_GET_SUPPORTED_CPUID), 1);
}

static void a_host_describes_what_it_found(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mh_host_open(MH_ACCEL_AUTO, &f->host, &f->err), MH_OK);
    assert_int_equal(mh_host_describe(f->host, take_text, &f->text, &f->err), MH_OK);
    assert_text_has(f->text.bytes, "accel: kvm\n");
    assert_text_has(f->text.bytes, "kvm-api: 12\n");
    assert_text_has(f->text.bytes, "kvm-int3-in-ring-0: lost\n"); /* the fake guest only halts */
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(auto_runs_in_software_where_kvm_does_not_work_and_knows_why),
        TEST(kvm_or_an_error_that_names_the_remedy),
        TEST(software_does_not_touch_kvm),
        TEST(where_kvm_works_machines_run_on_it),
        TEST(a_kvm_that_makes_no_machine_is_no_obstacle_to_auto),
        TEST(cpuid_is_asked_for_once_and_again_after_a_failure),
        TEST(threads_may_prepare_at_once),
        TEST(a_host_describes_what_it_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
