#include "kvm/kvm_host.h"

#include "fake_kvm.h"
#include "mh/x86_regs.h"
#include "temp_dir.h"
#include "unit.h"

#include <errno.h>

static int set_up(void **state)
{
    (void)state;
    fake_kvm_reset();
    return 0;
}

static struct kvm_host *open_host(void)
{
    struct kvm_host *host = NULL;
    assert_int_equal(kvm_host_open(&host, NULL), MH_OK);
    return host;
}

static void a_host_knows_what_its_kvm_offers(void **state)
{
    (void)state;
    struct kvm_host *host = open_host();
    assert_int_equal(host->run_size, FAKE_KVM_RUN_PAGES * FAKE_KVM_PAGE);
    assert_int_equal(host->coalesce_page, 2);
    assert_true(host->needs_tss_address);
    assert_true(host->syncs_registers);
    kvm_host_close(host);
}

static void opening_and_closing_leaves_nothing_open(void **state)
{
    (void)state;
    unsigned fds = count_open_fds();
    kvm_host_close(open_host());
    kvm_host_close(NULL);
    assert_int_equal(count_open_fds(), fds);
}

static void a_run_page_that_is_too_small_is_refused(void **state)
{
    (void)state;
    static const int sizes[] = {0, 1, (int)sizeof(struct kvm_run) - 1};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct kvm_host *host = NULL;
        struct mh_error err = {0};
        unsigned fds = count_open_fds();
        fake_kvm.run_size = sizes[i];
        assert_int_equal(kvm_host_open(&host, &err), MH_ERR_HOST);
        assert_text_has(err.text, "run page is: it is too small");
        assert_null(host);
        assert_int_equal(count_open_fds(), fds);
    }
}

static void what_is_missing_is_done_without(void **state)
{
    (void)state;
    static const int capabilities[] = {KVM_CAP_COALESCED_PIO, KVM_CAP_COALESCED_MMIO, KVM_CAP_SET_TSS_ADDR,
                                       KVM_CAP_SYNC_REGS};
    for (size_t i = 0; i < COUNT(capabilities); i++) {
        fake_kvm.missing_capability = capabilities[i];
        struct kvm_host *host = open_host();
        assert_int_equal(host->coalesce_page, i < 2 ? 0 : 2);
        assert_int_equal(host->needs_tss_address, i != 2);
        assert_int_equal(host->syncs_registers, i != 3);
        kvm_host_close(host);
    }
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
        {1u << 26, 0x0e7, 0x07},  /* AVX-512 */
        {1u << 26, 0x60e7, 0x07}, /* AMX */
        {1u << 26, 0x21f, 0x07},  /* MPX, PKRU */
        {0, 0x0e7, 0},            /* no XSAVE */
        {~(1u << 26), 0xffffffff, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct x86_cpuid cpuid;
        fake_kvm.cpuid_1_ecx = cases[i].features;
        fake_kvm.cpuid_xsave_eax = cases[i].offered;
        struct kvm_host *host = open_host();
        assert_int_equal(kvm_host_cpuid(host, &cpuid), 0);
        assert_int_equal(cpuid.xcr0, cases[i].used);
        assert_int_equal(cpuid.count, FAKE_KVM_CPUID_ENTRIES);
        kvm_host_close(host);
    }
}

static void a_cpuid_table_makes_the_round_trip(void **state)
{
    (void)state;
    struct x86_cpuid cpuid = {.count = 2,
                              .leaves = {{.leaf = 7, .subleaf = 1, .has_subleaves = true, 1, 2, 3, 4},
                                         {.leaf = 0x80000001, .eax = 5, .ebx = 6, .ecx = 7, .edx = 8}}};
    union kvm_sys_cpuid kvm;
    kvm_host_cpuid_to_kvm(&cpuid, &kvm);
    assert_int_equal(kvm.head.nent, 2);
    assert_int_equal(kvm.head.entries[0].function, 7);
    assert_int_equal(kvm.head.entries[0].index, 1);
    assert_int_equal(kvm.head.entries[0].flags, KVM_CPUID_FLAG_SIGNIFCANT_INDEX);
    assert_int_equal(kvm.head.entries[0].edx, 4);
    assert_int_equal(kvm.head.entries[1].flags, 0);
    assert_int_equal(kvm.head.entries[1].eax, 5);
    struct kvm_host *host = open_host();
    fake_kvm.failing_request = KVM_GET_SUPPORTED_CPUID;
    fake_kvm.failing_errno = E2BIG;
    assert_int_equal(kvm_host_cpuid(host, &cpuid), -E2BIG);
    assert_int_equal(cpuid.count, 0);
    assert_int_equal(cpuid.xcr0, 0);
    kvm_host_close(host);
}

#define TEST(function) cmocka_unit_test_setup(function, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_host_knows_what_its_kvm_offers),          TEST(opening_and_closing_leaves_nothing_open),
        TEST(a_run_page_that_is_too_small_is_refused),   TEST(what_is_missing_is_done_without),
        TEST(xcr0_is_what_the_host_has_of_what_we_want), TEST(a_cpuid_table_makes_the_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
