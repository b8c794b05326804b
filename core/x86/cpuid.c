/*
 * The table is made in two steps. read_host() copies the leaves of the host's processor that a guest may see. cut()
 * then reduces them to what the software processor implements, and replaces everything that differs from one core or
 * one boot to the next: APIC ids, topology, frequencies.
 *
 * Leaves that the table does not have read as zeros. So a new feature of a host's processor stays invisible until it
 * is added to offered[] below.
 */
#include "x86/cpuid.h"

#include "mh/cpu_state.h"

#include <cpuid.h>
#include <stddef.h>
#include <string.h>

#define BASIC_MAX 0xdu
#define EXTENDED 0x80000000u
#define EXTENDED_MAX 0x80000008u
#define LEAF_CACHES 4u
#define LEAF_FEATURES 7u
#define LEAF_XSAVE 0xdu
#define LEAF_ADDRESS_SIZES 0x80000008u

#define LINEAR_ADDRESS_BITS 48u
#define XSAVE_LEGACY_SIZE 576u /* legacy region and header */
#define XSAVE_AVX_SIZE 256u

#define BIT(feature) (1u << (feature) % 32)

/* Where a word of features stands. */
struct word {
    uint32_t leaf, subleaf;
    size_t result; /* offset in struct x86_cpuid_leaf */
};

static const struct word words[X86_FEATURE_WORDS] = {
    [X86_WORD_1_ECX] = {1, 0, offsetof(struct x86_cpuid_leaf, ecx)},
    [X86_WORD_1_EDX] = {1, 0, offsetof(struct x86_cpuid_leaf, edx)},
    [X86_WORD_7_EBX] = {LEAF_FEATURES, 0, offsetof(struct x86_cpuid_leaf, ebx)},
    [X86_WORD_7_ECX] = {LEAF_FEATURES, 0, offsetof(struct x86_cpuid_leaf, ecx)},
    [X86_WORD_7_EDX] = {LEAF_FEATURES, 0, offsetof(struct x86_cpuid_leaf, edx)},
    [X86_WORD_D1_EAX] = {LEAF_XSAVE, 1, offsetof(struct x86_cpuid_leaf, eax)},
    [X86_WORD_EXT1_ECX] = {0x80000001, 0, offsetof(struct x86_cpuid_leaf, ecx)},
    [X86_WORD_EXT1_EDX] = {0x80000001, 0, offsetof(struct x86_cpuid_leaf, edx)},
};

/* AMD repeats these of CPUID.1:EDX in CPUID.80000001H:EDX. */
#define REPEATED_BY_AMD                                                                                                \
    (BIT(X86_FEATURE_FPU) | BIT(X86_FEATURE_DE) | BIT(X86_FEATURE_PSE) | BIT(X86_FEATURE_TSC) | BIT(X86_FEATURE_MSR) | \
     BIT(X86_FEATURE_PAE) | BIT(X86_FEATURE_MCE) | BIT(X86_FEATURE_CX8) | BIT(X86_FEATURE_MTRR) |                      \
     BIT(X86_FEATURE_PGE) | BIT(X86_FEATURE_MCA) | BIT(X86_FEATURE_CMOV) | BIT(X86_FEATURE_PAT) |                      \
     BIT(X86_FEATURE_MMX) | BIT(X86_FEATURE_FXSR))

/* What the software processor implements. */
static const uint32_t offered[X86_FEATURE_WORDS] = {
    [X86_WORD_1_ECX] = BIT(X86_FEATURE_SSE3) | BIT(X86_FEATURE_PCLMULQDQ) | BIT(X86_FEATURE_SSSE3) |
                       BIT(X86_FEATURE_FMA) | BIT(X86_FEATURE_CMPXCHG16B) | BIT(X86_FEATURE_SSE4_1) |
                       BIT(X86_FEATURE_SSE4_2) | BIT(X86_FEATURE_MOVBE) | BIT(X86_FEATURE_POPCNT) |
                       BIT(X86_FEATURE_AES) | BIT(X86_FEATURE_XSAVE) | BIT(X86_FEATURE_AVX) | BIT(X86_FEATURE_F16C),
    [X86_WORD_1_EDX] = BIT(X86_FEATURE_FPU) | BIT(X86_FEATURE_DE) | BIT(X86_FEATURE_PSE) | BIT(X86_FEATURE_TSC) |
                       BIT(X86_FEATURE_MSR) | BIT(X86_FEATURE_PAE) | BIT(X86_FEATURE_MCE) | BIT(X86_FEATURE_CX8) |
                       BIT(X86_FEATURE_SEP) | BIT(X86_FEATURE_MTRR) | BIT(X86_FEATURE_PGE) | BIT(X86_FEATURE_MCA) |
                       BIT(X86_FEATURE_CMOV) | BIT(X86_FEATURE_PAT) | BIT(X86_FEATURE_CLFLUSH) | BIT(X86_FEATURE_MMX) |
                       BIT(X86_FEATURE_FXSR) | BIT(X86_FEATURE_SSE) | BIT(X86_FEATURE_SSE2),
    [X86_WORD_7_EBX] = BIT(X86_FEATURE_FSGSBASE) | BIT(X86_FEATURE_BMI1) | BIT(X86_FEATURE_AVX2) |
                       BIT(X86_FEATURE_FDP_EXCPTN_ONLY) | BIT(X86_FEATURE_SMEP) | BIT(X86_FEATURE_BMI2) |
                       BIT(X86_FEATURE_ERMS) | BIT(X86_FEATURE_NO_FCS_FDS) | BIT(X86_FEATURE_ADX) |
                       BIT(X86_FEATURE_SMAP) | BIT(X86_FEATURE_CLFLUSHOPT) | BIT(X86_FEATURE_CLWB),
    [X86_WORD_7_ECX] = BIT(X86_FEATURE_UMIP) | BIT(X86_FEATURE_RDPID),
    [X86_WORD_7_EDX] = BIT(X86_FEATURE_FSRM),
    [X86_WORD_D1_EAX] = BIT(X86_FEATURE_XSAVEOPT) | BIT(X86_FEATURE_XSAVEC) | BIT(X86_FEATURE_XGETBV1),
    [X86_WORD_EXT1_ECX] = BIT(X86_FEATURE_LAHF) | BIT(X86_FEATURE_LZCNT) | BIT(X86_FEATURE_PREFETCHW),
    [X86_WORD_EXT1_EDX] = REPEATED_BY_AMD | BIT(X86_FEATURE_SYSCALL) | BIT(X86_FEATURE_NX) | BIT(X86_FEATURE_MMXEXT) |
                          BIT(X86_FEATURE_PAGE_1G) | BIT(X86_FEATURE_RDTSCP) | BIT(X86_FEATURE_LM),
};

/* These say that something is missing. They describe how the host executes x87 instructions, so they must not be
 * cleared.
 */
static const uint32_t lacks[X86_FEATURE_WORDS] = {
    [X86_WORD_7_EBX] = BIT(X86_FEATURE_FDP_EXCPTN_ONLY) | BIT(X86_FEATURE_NO_FCS_FDS),
};

/* ---- the table ---- */

static const struct x86_cpuid_leaf *find_const(const struct x86_cpuid *cpuid, uint32_t leaf, uint32_t subleaf)
{
    for (unsigned i = 0; i < cpuid->count; i++) {
        const struct x86_cpuid_leaf *row = &cpuid->leaves[i];
        if (row->leaf == leaf && (!row->has_subleaves || row->subleaf == subleaf))
            return row;
    }
    return NULL;
}

static struct x86_cpuid_leaf *find(struct x86_cpuid *cpuid, uint32_t leaf, uint32_t subleaf)
{
    const struct x86_cpuid_leaf *row = find_const(cpuid, leaf, subleaf);
    return row == NULL ? NULL : &cpuid->leaves[row - cpuid->leaves];
}

static uint32_t *word_in(struct x86_cpuid *cpuid, unsigned word)
{
    struct x86_cpuid_leaf *row = find(cpuid, words[word].leaf, words[word].subleaf);
    return row == NULL ? NULL : (uint32_t *)(void *)((uint8_t *)row + words[word].result);
}

static bool has(struct x86_cpuid *cpuid, enum x86_feature feature)
{
    const uint32_t *word = word_in(cpuid, feature / 32);
    return word != NULL && (*word >> feature % 32 & 1);
}

static void take_away(struct x86_cpuid *cpuid, enum x86_feature feature)
{
    uint32_t *word = word_in(cpuid, feature / 32);
    if (word != NULL)
        *word &= ~BIT(feature);
}

static uint32_t minimum(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* The highest leaf of a range, which its first leaf says. */
static uint32_t highest(const struct x86_cpuid *cpuid, uint32_t range)
{
    const struct x86_cpuid_leaf *row = find_const(cpuid, range, 0);
    return row == NULL ? 0 : row->eax;
}

/* ---- reading the host ---- */

static struct x86_cpuid_leaf *add(struct x86_cpuid *cpuid, uint32_t leaf, uint32_t subleaf, bool has_subleaves)
{
    struct x86_cpuid_leaf *row = &cpuid->leaves[cpuid->count++];
    *row = (struct x86_cpuid_leaf){.leaf = leaf, .subleaf = subleaf, .has_subleaves = has_subleaves};
    __cpuid_count(leaf, subleaf, row->eax, row->ebx, row->ecx, row->edx);
    return row;
}

#define CACHES_MAX 8u
#define CACHE_TYPE 0x1fu
#define CACHE_SHARED_BY 0xffffc000u /* how many processors share it, and how many there are */

static void add_caches(struct x86_cpuid *cpuid)
{
    for (uint32_t i = 0; i < CACHES_MAX; i++) {
        struct x86_cpuid_leaf *row = add(cpuid, LEAF_CACHES, i, true);
        row->eax &= ~CACHE_SHARED_BY;
        if ((row->eax & CACHE_TYPE) == 0)
            return;
    }
}

static void read_host(struct x86_cpuid *cpuid)
{
    const uint32_t basic = minimum(add(cpuid, 0, 0, false)->eax, BASIC_MAX);
    cpuid->leaves[0].eax = basic;
    add(cpuid, 1, 0, false);
    add(cpuid, 2, 0, false);
    if (basic >= LEAF_CACHES && !cpuid->is_amd)
        add_caches(cpuid);
    if (basic >= LEAF_FEATURES)
        add(cpuid, LEAF_FEATURES, 0, true)->eax = 0; /* no subleaf but 0 */
    if (basic >= LEAF_XSAVE) {
        for (uint32_t subleaf = 0; subleaf <= 2; subleaf++)
            add(cpuid, LEAF_XSAVE, subleaf, true);
    }
    const uint32_t extended = minimum(add(cpuid, EXTENDED, 0, false)->eax, EXTENDED_MAX);
    find(cpuid, EXTENDED, 0)->eax = extended;
    for (uint32_t leaf = EXTENDED + 1; leaf <= extended; leaf++)
        add(cpuid, leaf, 0, false);
}

/* Which parts of the extended state the host's kernel lets programs use. */
static uint64_t host_xcr0(void)
{
    uint32_t eax, ebx, ecx, edx;
    __cpuid(1, eax, ebx, ecx, edx);
    if (!(ecx & bit_OSXSAVE))
        return 0;
    __asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
    return eax & (MH_XCR0_X87 | MH_XCR0_SSE | MH_XCR0_AVX);
}

/* ---- cutting ---- */

static void cut_features(struct x86_cpuid *cpuid)
{
    for (unsigned i = 0; i < X86_FEATURE_WORDS; i++) {
        uint32_t *word = word_in(cpuid, i);
        if (word != NULL)
            *word &= offered[i];
    }
    if (!cpuid->is_amd)
        *word_in(cpuid, X86_WORD_EXT1_EDX) &= ~(REPEATED_BY_AMD | BIT(X86_FEATURE_MMXEXT));
}

/* One processor, whose APIC id is 0. */
static void cut_identity(struct x86_cpuid *cpuid)
{
    struct x86_cpuid_leaf *row = find(cpuid, 1, 0);
    row->ebx = (row->ebx & 0xffffu) | 1u << 16;
}

static void cut_extended(struct x86_cpuid *cpuid)
{
    struct x86_cpuid_leaf *row = find(cpuid, 0x80000007, 0); /* power management, constant rate of the TSC */
    if (row != NULL)
        row->eax = row->ebx = row->ecx = row->edx = 0;
    row = find(cpuid, LEAF_ADDRESS_SIZES, 0);
    if (row == NULL)
        return;
    row->eax = (row->eax & 0xffu) | LINEAR_ADDRESS_BITS << 8;
    row->ebx = row->ecx = row->edx = 0;
    row = find(cpuid, 0x80000001, 0);
    if (!cpuid->is_amd)
        row->ebx = 0;
}

/* Features that need others. */
static void cut_dependent(struct x86_cpuid *cpuid)
{
    static const enum x86_feature need_xsave[] = {X86_FEATURE_AVX, X86_FEATURE_XSAVEOPT, X86_FEATURE_XSAVEC,
                                                  X86_FEATURE_XGETBV1};
    static const enum x86_feature need_avx[] = {X86_FEATURE_AVX2, X86_FEATURE_FMA, X86_FEATURE_F16C};
    if (!has(cpuid, X86_FEATURE_XSAVE) || cpuid->xcr0 == 0) {
        take_away(cpuid, X86_FEATURE_XSAVE);
        cpuid->xcr0 = 0;
        for (unsigned i = 0; i < sizeof need_xsave / sizeof need_xsave[0]; i++)
            take_away(cpuid, need_xsave[i]);
    }
    if (!(cpuid->xcr0 & MH_XCR0_AVX) || !has(cpuid, X86_FEATURE_AVX)) {
        take_away(cpuid, X86_FEATURE_AVX);
        cpuid->xcr0 &= ~(uint64_t)MH_XCR0_AVX;
        for (unsigned i = 0; i < sizeof need_avx / sizeof need_avx[0]; i++)
            take_away(cpuid, need_avx[i]);
    }
}

/* Leaf 0DH: sizes of the XSAVE area (Intel SDM volume 1, 13.2). */
static void write_xsave(struct x86_cpuid *cpuid)
{
    const bool avx = cpuid->xcr0 & MH_XCR0_AVX;
    const uint32_t size = cpuid->xcr0 == 0 ? 0 : avx ? MH_XSAVE_SIZE : XSAVE_LEGACY_SIZE;
    struct x86_cpuid_leaf *row = find(cpuid, LEAF_XSAVE, 0);
    if (row == NULL)
        return;
    row->eax = (uint32_t)cpuid->xcr0;
    row->ebx = row->ecx = size;
    row->edx = 0;
    row = find(cpuid, LEAF_XSAVE, 1);
    row->ebx = size;
    row->ecx = row->edx = 0;
    row = find(cpuid, LEAF_XSAVE, 2);
    row->eax = avx ? XSAVE_AVX_SIZE : 0;
    row->ebx = avx ? XSAVE_LEGACY_SIZE : 0;
    row->ecx = row->edx = 0;
}

/* Make everything follow from the leaves' feature bits and xcr0. */
static void finish(struct x86_cpuid *cpuid)
{
    cut_dependent(cpuid);
    write_xsave(cpuid);
    for (unsigned i = 0; i < X86_FEATURE_WORDS; i++) {
        const uint32_t *word = word_in(cpuid, i);
        cpuid->features[i] = word == NULL ? 0 : *word;
    }
    const struct x86_cpuid_leaf *sizes = find(cpuid, LEAF_ADDRESS_SIZES, 0);
    cpuid->physical_bits = sizes == NULL ? 36 : (uint8_t)sizes->eax;
}

static bool is_amd(void)
{
    uint32_t eax, ebx, ecx, edx;
    __cpuid(0, eax, ebx, ecx, edx);
    return ebx == signature_AMD_ebx || ebx == 0x6f677948; /* "Auth", "Hygo" */
}

void x86_cpuid_init(struct x86_cpuid *cpuid)
{
    *cpuid = (struct x86_cpuid){.is_amd = is_amd(), .xcr0 = host_xcr0()};
    read_host(cpuid);
    cut_features(cpuid);
    cut_identity(cpuid);
    cut_extended(cpuid);
    finish(cpuid);
}

bool x86_cpuid_adopt(struct x86_cpuid *cpuid)
{
    const bool has_xsave = find(cpuid, LEAF_XSAVE, 0) != NULL;
    const struct x86_cpuid_leaf *identity = find(cpuid, 0, 0), *sizes = find(cpuid, LEAF_ADDRESS_SIZES, 0);
    if (identity == NULL || find(cpuid, EXTENDED, 0) == NULL || (!has_xsave && cpuid->xcr0 != 0))
        return false;
    if (has_xsave && (find(cpuid, LEAF_XSAVE, 1) == NULL || find(cpuid, LEAF_XSAVE, 2) == NULL))
        return false;
    cpuid->is_amd = identity->ebx == signature_AMD_ebx || identity->ebx == 0x6f677948;
    cpuid->physical_bits = sizes == NULL ? 36 : (uint8_t)sizes->eax;
    if (cpuid->physical_bits < 32 || cpuid->physical_bits > 52)
        return false;
    for (unsigned i = 0; i < X86_FEATURE_WORDS; i++) {
        const uint32_t *word = word_in(cpuid, i);
        cpuid->features[i] = word == NULL ? 0 : *word;
    }
    return true;
}

/* ---- what another processor supports ---- */

static void intersect_features(struct x86_cpuid *cpuid, const struct x86_cpuid *limit)
{
    for (unsigned i = 0; i < X86_FEATURE_WORDS; i++) {
        uint32_t *word = word_in(cpuid, i);
        const struct x86_cpuid_leaf *row = find_const(limit, words[i].leaf, words[i].subleaf);
        uint32_t allowed = 0;
        if (row != NULL)
            memcpy(&allowed, (const uint8_t *)row + words[i].result, sizeof allowed);
        if (word != NULL)
            *word &= allowed | lacks[i];
    }
}

static void intersect_address_sizes(struct x86_cpuid *cpuid, const struct x86_cpuid *limit)
{
    struct x86_cpuid_leaf *row = find(cpuid, LEAF_ADDRESS_SIZES, 0);
    const struct x86_cpuid_leaf *other = find_const(limit, LEAF_ADDRESS_SIZES, 0);
    if (row != NULL && other != NULL)
        row->eax = (row->eax & ~0xffu) | minimum(row->eax & 0xffu, other->eax & 0xffu);
}

void x86_cpuid_intersect(struct x86_cpuid *cpuid, const struct x86_cpuid *limit)
{
    struct x86_cpuid_leaf *basic = find(cpuid, 0, 0), *extended = find(cpuid, EXTENDED, 0);
    basic->eax = minimum(basic->eax, highest(limit, 0));
    extended->eax = minimum(extended->eax, highest(limit, EXTENDED));
    cpuid->xcr0 &= limit->xcr0;
    intersect_features(cpuid, limit);
    intersect_address_sizes(cpuid, limit);
    finish(cpuid);
}

/* ---- answering ---- */

void x86_cpuid_query(const struct x86_cpuid *cpuid, uint32_t leaf, uint32_t subleaf, uint32_t result[4])
{
    memset(result, 0, 4 * sizeof result[0]);
    const uint32_t limit = leaf >= EXTENDED ? highest(cpuid, EXTENDED) : highest(cpuid, 0);
    if (leaf > limit) {
        if (cpuid->is_amd)
            return;
        leaf = highest(cpuid, 0);
    }
    const struct x86_cpuid_leaf *row = find_const(cpuid, leaf, subleaf);
    if (row == NULL)
        return;
    result[0] = row->eax;
    result[1] = row->ebx;
    result[2] = row->ecx;
    result[3] = row->edx;
}
