#include "host.h"

#include "fake_kvm.h"
#include "mh/x86_regs.h"
#include "temp_dir.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

static int set_up(void **state)
{
    (void)state;
    fake_kvm_reset();
    return 0;
}

static struct mh_host *open_host(void)
{
    struct mh_host *host = NULL;
    assert_int_equal(mh_host_open(&host, NULL), MH_OK);
    return host;
}

static void a_host_knows_what_its_kvm_offers(void **state)
{
    (void)state;
    struct mh_host *host = open_host();
    assert_int_equal(host->run_size, FAKE_KVM_RUN_PAGES * FAKE_KVM_PAGE);
    assert_int_equal(host->coalesce_page, 2);
    assert_true(host->needs_tss_address);
    mh_host_close(host);
}

static void opening_and_closing_leaves_nothing_open(void **state)
{
    (void)state;
    unsigned fds = count_open_fds();
    mh_host_close(open_host());
    assert_int_equal(count_open_fds(), fds);
}

static void closing_no_host_does_nothing(void **state)
{
    (void)state;
    mh_host_close(NULL);
}

static void no_kvm_is_an_error_of_the_host(void **state)
{
    (void)state;
    struct mh_host *host = NULL;
    struct mh_error err = {0};
    fake_kvm.open_errno = ENOENT;
    assert_int_equal(mh_host_open(&host, &err), MH_ERR_HOST);
    assert_text_has(err.text, "/dev/kvm does not exist");
    assert_null(host);
}

static void a_run_page_that_is_too_small_is_refused(void **state)
{
    (void)state;
    static const int sizes[] = {0, 1, (int)sizeof(struct kvm_run) - 1};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct mh_host *host = NULL;
        struct mh_error err = {0};
        unsigned fds = count_open_fds();
        fake_kvm.run_size = sizes[i];
        assert_int_equal(mh_host_open(&host, &err), MH_ERR_HOST);
        assert_text_has(err.text, "run page");
        assert_int_equal(count_open_fds(), fds);
    }
}

static void without_coalescing_there_is_no_ring(void **state)
{
    (void)state;
    static const int capabilities[] = {KVM_CAP_COALESCED_PIO, KVM_CAP_COALESCED_MMIO};
    for (size_t i = 0; i < COUNT(capabilities); i++) {
        fake_kvm.missing_capability = capabilities[i];
        struct mh_host *host = open_host();
        assert_int_equal(host->coalesce_page, 0);
        mh_host_close(host);
    }
}

static void cpuid_is_asked_for_once_and_only_when_it_is_wanted(void **state)
{
    (void)state;
    struct mh_host *host = open_host();
    assert_int_equal(fake_kvm_count(KVM_GET_SUPPORTED_CPUID), 0);
    mh_host_prepare(host);
    assert_int_equal(host_cpuid(host), 0);
    assert_int_equal(host_cpuid(host), 0);
    assert_int_equal(fake_kvm_count(KVM_GET_SUPPORTED_CPUID), 1);
    assert_int_equal(host->cpuid.head.nent, FAKE_KVM_CPUID_ENTRIES);
    mh_host_close(host);
}

static void *ask_for_cpuid(void *host)
{
    return (void *)(intptr_t)host_cpuid(host);
}

static void threads_may_ask_for_cpuid_at_once(void **state)
{
    (void)state;
    struct mh_host *host = open_host();
    pthread_t thread[8];
    for (size_t i = 0; i < COUNT(thread); i++)
        assert_int_equal(pthread_create(&thread[i], NULL, ask_for_cpuid, host), 0);
    for (size_t i = 0; i < COUNT(thread); i++) {
        void *result = host;
        assert_int_equal(pthread_join(thread[i], &result), 0);
        assert_null(result);
    }
    assert_int_equal(fake_kvm_count(KVM_GET_SUPPORTED_CPUID), 1);
    mh_host_close(host);
}

static void cpuid_is_asked_for_again_after_a_failure(void **state)
{
    (void)state;
    struct mh_host *host = open_host();
    fake_kvm.failing_request = KVM_GET_SUPPORTED_CPUID;
    fake_kvm.failing_errno = E2BIG;
    assert_int_equal(host_cpuid(host), -E2BIG);
    assert_int_equal(host->xcr0, 0);
    fake_kvm.failing_request = 0;
    assert_int_equal(host_cpuid(host), 0);
    assert_int_equal(host->cpuid.head.nent, FAKE_KVM_CPUID_ENTRIES);
    mh_host_close(host);
}

static void xcr0_is_what_the_host_has_of_what_we_want(void **state)
{
    (void)state;
    static const struct {
        uint32_t features, offered;
        uint64_t used;
    } cases[] = {
        {1u << 26, 0x007, 0x07},  /* AVX */
        {1u << 26, 0x003, 0x03},  /* SSE only */
        {1u << 26, 0x0e7, 0xe7},  /* AVX-512 */
        {1u << 26, 0x067, 0x07},  /* parts of AVX-512 are none */
        {1u << 26, 0x60e7, 0xe7}, /* AMX */
        {1u << 26, 0x21f, 0x07},  /* MPX, PKRU */
        {0, 0x0e7, 0},            /* no XSAVE */
        {~(1u << 26), 0xffffffff, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        fake_kvm.cpuid_1_ecx = cases[i].features;
        fake_kvm.cpuid_xsave_eax = cases[i].offered;
        struct mh_host *host = open_host();
        assert_int_equal(host_cpuid(host), 0);
        assert_int_equal(host->xcr0, cases[i].used);
        mh_host_close(host);
    }
}

#define TEST(function) cmocka_unit_test_setup(function, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_host_knows_what_its_kvm_offers),
        TEST(opening_and_closing_leaves_nothing_open),
        TEST(closing_no_host_does_nothing),
        TEST(no_kvm_is_an_error_of_the_host),
        TEST(a_run_page_that_is_too_small_is_refused),
        TEST(without_coalescing_there_is_no_ring),
        TEST(cpuid_is_asked_for_once_and_only_when_it_is_wanted),
        TEST(threads_may_ask_for_cpuid_at_once),
        TEST(cpuid_is_asked_for_again_after_a_failure),
        TEST(xcr0_is_what_the_host_has_of_what_we_want),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
