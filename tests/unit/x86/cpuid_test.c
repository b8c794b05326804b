#include "x86/cpuid.h"

#include "mh/cpu_state.h"
#include "unit.h"

#include <string.h>

static struct x86_cpuid host_table(void)
{
    struct x86_cpuid cpuid;
    x86_cpuid_init(&cpuid);
    return cpuid;
}

static void query(const struct x86_cpuid *cpuid, uint32_t leaf, uint32_t subleaf, uint32_t result[4])
{
    memset(result, 0xff, 4 * sizeof result[0]);
    x86_cpuid_query(cpuid, leaf, subleaf, result);
}

static void it_says_the_same_each_time(void **state)
{
    (void)state;
    const struct x86_cpuid first = host_table(), second = host_table();
    assert_memory_equal(&first, &second, sizeof first);
}

static void what_long_mode_needs_is_there(void **state)
{
    (void)state;
    static const enum x86_feature needed[] = {
        X86_FEATURE_FPU,  X86_FEATURE_TSC,  X86_FEATURE_MSR, X86_FEATURE_PAE,     X86_FEATURE_CX8, X86_FEATURE_PGE,
        X86_FEATURE_CMOV, X86_FEATURE_PAT,  X86_FEATURE_MMX, X86_FEATURE_FXSR,    X86_FEATURE_SSE, X86_FEATURE_SSE2,
        X86_FEATURE_NX,   X86_FEATURE_LAHF, X86_FEATURE_LM,  X86_FEATURE_SYSCALL,
    };
    const struct x86_cpuid cpuid = host_table();
    for (unsigned i = 0; i < COUNT(needed); i++)
        assert_true(x86_cpuid_has(&cpuid, needed[i]));
}

/* Feature bits that would make a guest use what the software processor does not have or what is not deterministic. */
static void nothing_else_is_offered(void **state)
{
    (void)state;
    static const struct {
        uint32_t leaf;
        unsigned result; /* 0 to 3: EAX to EDX */
        unsigned bit;
    } missing[] = {
        {1, 2, 3},           /* MONITOR */
        {1, 2, 5},           /* VMX */
        {1, 2, 17},          /* PCID */
        {1, 2, 21},          /* x2APIC */
        {1, 2, 24},          /* TSC deadline */
        {1, 2, 27},          /* OSXSAVE comes from CR4 */
        {1, 2, 30},          /* RDRAND */
        {1, 2, 31},          /* hypervisor */
        {1, 3, 9},           /* APIC */
        {1, 3, 28},          /* several logical processors */
        {7, 1, 4},           /* HLE */
        {7, 1, 10},          /* INVPCID */
        {7, 1, 11},          /* RTM */
        {7, 1, 16},          /* AVX512F */
        {7, 1, 18},          /* RDSEED */
        {7, 1, 29},          /* SHA */
        {7, 2, 3},           /* PKU */
        {7, 2, 8},           /* GFNI */
        {7, 2, 16},          /* LA57 */
        {0x80000001, 2, 2},  /* SVM */
        {0x80000001, 3, 25}, /* fast FXSAVE */
        {0x80000007, 3, 8},  /* invariant TSC */
    };
    const struct x86_cpuid cpuid = host_table();
    for (unsigned i = 0; i < COUNT(missing); i++) {
        uint32_t result[4];
        query(&cpuid, missing[i].leaf, 0, result);
        if (result[missing[i].result] >> missing[i].bit & 1)
            fail_msg("leaf %x, result %u, bit %u is set", missing[i].leaf, missing[i].result, missing[i].bit);
    }
}

static void no_core_of_the_host_shows(void **state)
{
    (void)state;
    uint32_t result[4];
    const struct x86_cpuid cpuid = host_table();
    query(&cpuid, 1, 0, result);
    assert_int_equal(result[1] >> 16, 1); /* APIC id 0, one logical processor */
    query(&cpuid, 0xb, 0, result);        /* topology */
    assert_int_equal(result[3], 0);
    query(&cpuid, 0x80000008, 0, result);
    assert_int_equal(result[0] >> 8, 48);
    assert_int_equal(result[2], 0);
}

static void the_words_are_those_of_the_leaves(void **state)
{
    (void)state;
    uint32_t result[4];
    const struct x86_cpuid cpuid = host_table();
    query(&cpuid, 1, 0, result);
    assert_int_equal(cpuid.features[X86_WORD_1_ECX], result[2]);
    assert_int_equal(cpuid.features[X86_WORD_1_EDX], result[3]);
    query(&cpuid, 0x80000001, 0, result);
    assert_int_equal(cpuid.features[X86_WORD_EXT1_EDX], result[3]);
}

/* Intel SDM volume 2, CPUID: "returns data for the highest basic information leaf". AMD returns zeros. */
static void leaves_beyond_the_highest_answer_as_the_vendor_says(void **state)
{
    (void)state;
    static const uint32_t beyond[] = {0x20, 0x40000000, 0x7fffffff, 0x80000009, 0x8fffffff, 0xffffffff};
    struct x86_cpuid cpuid = {.count = 3,
                              .leaves = {{.leaf = 0, .eax = 1, .ebx = 77},
                                         {.leaf = 1, .eax = 11, .ebx = 12, .ecx = 13, .edx = 14},
                                         {.leaf = 0x80000000, .eax = 0x80000008}}};
    for (unsigned i = 0; i < COUNT(beyond); i++) {
        uint32_t result[4];
        cpuid.is_amd = false;
        query(&cpuid, beyond[i], 0, result);
        assert_int_equal(result[0], 11);
        assert_int_equal(result[3], 14);
        cpuid.is_amd = true;
        query(&cpuid, beyond[i], 0, result);
        assert_int_equal(result[0] | result[1] | result[2] | result[3], 0);
    }
}

static void a_leaf_within_the_range_that_is_not_there_is_zero(void **state)
{
    (void)state;
    uint32_t result[4];
    const struct x86_cpuid cpuid = host_table();
    query(&cpuid, 5, 0, result);
    assert_int_equal(result[0] | result[1] | result[2] | result[3], 0);
    query(&cpuid, 7, 1, result);
    assert_int_equal(result[0] | result[1] | result[2] | result[3], 0);
}

static void an_intersection_with_itself_changes_nothing(void **state)
{
    (void)state;
    const struct x86_cpuid limit = host_table();
    struct x86_cpuid cpuid = limit;
    x86_cpuid_intersect(&cpuid, &limit);
    assert_memory_equal(&cpuid, &limit, sizeof cpuid);
}

static void a_limit_without_avx_takes_its_dependents_along(void **state)
{
    (void)state;
    uint32_t result[4];
    struct x86_cpuid limit = host_table(), cpuid = host_table();
    limit.xcr0 &= MH_XCR0_X87 | MH_XCR0_SSE;
    x86_cpuid_intersect(&cpuid, &limit);
    assert_false(x86_cpuid_has(&cpuid, X86_FEATURE_AVX));
    assert_false(x86_cpuid_has(&cpuid, X86_FEATURE_AVX2));
    assert_false(x86_cpuid_has(&cpuid, X86_FEATURE_FMA));
    assert_false(x86_cpuid_has(&cpuid, X86_FEATURE_F16C));
    assert_true(cpuid.xcr0 == limit.xcr0);
    query(&cpuid, 0xd, 0, result);
    assert_int_equal(result[0], cpuid.xcr0);
    assert_int_equal(result[2], cpuid.xcr0 == 0 ? 0 : 576);
    query(&cpuid, 0xd, 2, result);
    assert_int_equal(result[0], 0);
}

static void a_limit_without_xsave_leaves_none_of_it(void **state)
{
    (void)state;
    struct x86_cpuid limit = host_table(), cpuid = host_table();
    for (unsigned i = 0; i < limit.count; i++) {
        if (limit.leaves[i].leaf == 1)
            limit.leaves[i].ecx &= ~(1u << X86_FEATURE_XSAVE % 32);
    }
    x86_cpuid_intersect(&cpuid, &limit);
    assert_true(cpuid.xcr0 == 0);
    assert_false(x86_cpuid_has(&cpuid, X86_FEATURE_XSAVE));
    assert_false(x86_cpuid_has(&cpuid, X86_FEATURE_AVX));
    assert_int_equal(cpuid.features[X86_WORD_D1_EAX], 0);
}

/* These bits say that the host's x87 unit lacks something; a limit cannot give it back. */
static void what_is_lacking_stays_lacking(void **state)
{
    (void)state;
    const uint32_t lacks = 1u << 6 | 1u << 13;
    struct x86_cpuid limit = host_table(), cpuid = host_table();
    const uint32_t before = cpuid.features[X86_WORD_7_EBX] & lacks;
    for (unsigned i = 0; i < limit.count; i++) {
        if (limit.leaves[i].leaf == 7)
            limit.leaves[i].ebx = 0;
    }
    x86_cpuid_intersect(&cpuid, &limit);
    assert_int_equal(cpuid.features[X86_WORD_7_EBX], before);
}

static void the_smaller_physical_address_counts(void **state)
{
    (void)state;
    struct x86_cpuid limit = host_table(), cpuid = host_table();
    for (unsigned i = 0; i < limit.count; i++) {
        if (limit.leaves[i].leaf == 0x80000008)
            limit.leaves[i].eax = 57 << 8 | 36;
    }
    x86_cpuid_intersect(&cpuid, &limit);
    assert_int_equal(cpuid.physical_bits, 36);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_says_the_same_each_time),
        cmocka_unit_test(what_long_mode_needs_is_there),
        cmocka_unit_test(nothing_else_is_offered),
        cmocka_unit_test(no_core_of_the_host_shows),
        cmocka_unit_test(the_words_are_those_of_the_leaves),
        cmocka_unit_test(leaves_beyond_the_highest_answer_as_the_vendor_says),
        cmocka_unit_test(a_leaf_within_the_range_that_is_not_there_is_zero),
        cmocka_unit_test(an_intersection_with_itself_changes_nothing),
        cmocka_unit_test(a_limit_without_avx_takes_its_dependents_along),
        cmocka_unit_test(a_limit_without_xsave_leaves_none_of_it),
        cmocka_unit_test(what_is_lacking_stays_lacking),
        cmocka_unit_test(the_smaller_physical_address_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
