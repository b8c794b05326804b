/*
 * What CPUID reports to a guest: one table for every processor, so that a guest cannot tell them apart and its state
 * can move between them. It is what the host's processor has, cut to what the software processor implements.
 */
#ifndef MH_CORE_X86_CPUID_H
#define MH_CORE_X86_CPUID_H

#include <stdbool.h>
#include <stdint.h>

#define X86_CPUID_MAX 64u

struct x86_cpuid_leaf {
    uint32_t leaf, subleaf;
    bool has_subleaves; /* false: whatever ECX is */
    uint32_t eax, ebx, ecx, edx;
};

/* The registers of CPUID that hold feature bits. */
enum x86_feature_word {
    X86_WORD_1_ECX,
    X86_WORD_1_EDX,
    X86_WORD_7_EBX,
    X86_WORD_7_ECX,
    X86_WORD_7_EDX,
    X86_WORD_D1_EAX,   /* leaf 0DH, subleaf 1 */
    X86_WORD_EXT1_ECX, /* leaf 80000001H */
    X86_WORD_EXT1_EDX,
    X86_FEATURE_WORDS,
};

/* Feature bits, as word * 32 + bit (Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E). */
enum x86_feature {
    X86_FEATURE_SSE3 = X86_WORD_1_ECX * 32 + 0,
    X86_FEATURE_PCLMULQDQ = X86_WORD_1_ECX * 32 + 1,
    X86_FEATURE_SSSE3 = X86_WORD_1_ECX * 32 + 9,
    X86_FEATURE_FMA = X86_WORD_1_ECX * 32 + 12,
    X86_FEATURE_CMPXCHG16B = X86_WORD_1_ECX * 32 + 13,
    X86_FEATURE_SSE4_1 = X86_WORD_1_ECX * 32 + 19,
    X86_FEATURE_SSE4_2 = X86_WORD_1_ECX * 32 + 20,
    X86_FEATURE_MOVBE = X86_WORD_1_ECX * 32 + 22,
    X86_FEATURE_POPCNT = X86_WORD_1_ECX * 32 + 23,
    X86_FEATURE_AES = X86_WORD_1_ECX * 32 + 25,
    X86_FEATURE_XSAVE = X86_WORD_1_ECX * 32 + 26,
    X86_FEATURE_AVX = X86_WORD_1_ECX * 32 + 28,
    X86_FEATURE_F16C = X86_WORD_1_ECX * 32 + 29,

    X86_FEATURE_FPU = X86_WORD_1_EDX * 32 + 0,
    X86_FEATURE_DE = X86_WORD_1_EDX * 32 + 2,
    X86_FEATURE_PSE = X86_WORD_1_EDX * 32 + 3,
    X86_FEATURE_TSC = X86_WORD_1_EDX * 32 + 4,
    X86_FEATURE_MSR = X86_WORD_1_EDX * 32 + 5,
    X86_FEATURE_PAE = X86_WORD_1_EDX * 32 + 6,
    X86_FEATURE_MCE = X86_WORD_1_EDX * 32 + 7,
    X86_FEATURE_CX8 = X86_WORD_1_EDX * 32 + 8,
    X86_FEATURE_SEP = X86_WORD_1_EDX * 32 + 11,
    X86_FEATURE_MTRR = X86_WORD_1_EDX * 32 + 12,
    X86_FEATURE_PGE = X86_WORD_1_EDX * 32 + 13,
    X86_FEATURE_MCA = X86_WORD_1_EDX * 32 + 14,
    X86_FEATURE_CMOV = X86_WORD_1_EDX * 32 + 15,
    X86_FEATURE_PAT = X86_WORD_1_EDX * 32 + 16,
    X86_FEATURE_CLFLUSH = X86_WORD_1_EDX * 32 + 19,
    X86_FEATURE_MMX = X86_WORD_1_EDX * 32 + 23,
    X86_FEATURE_FXSR = X86_WORD_1_EDX * 32 + 24,
    X86_FEATURE_SSE = X86_WORD_1_EDX * 32 + 25,
    X86_FEATURE_SSE2 = X86_WORD_1_EDX * 32 + 26,

    X86_FEATURE_FSGSBASE = X86_WORD_7_EBX * 32 + 0,
    X86_FEATURE_BMI1 = X86_WORD_7_EBX * 32 + 3,
    X86_FEATURE_AVX2 = X86_WORD_7_EBX * 32 + 5,
    X86_FEATURE_FDP_EXCPTN_ONLY = X86_WORD_7_EBX * 32 + 6,
    X86_FEATURE_SMEP = X86_WORD_7_EBX * 32 + 7,
    X86_FEATURE_BMI2 = X86_WORD_7_EBX * 32 + 8,
    X86_FEATURE_ERMS = X86_WORD_7_EBX * 32 + 9,
    X86_FEATURE_NO_FCS_FDS = X86_WORD_7_EBX * 32 + 13,
    X86_FEATURE_ADX = X86_WORD_7_EBX * 32 + 19,
    X86_FEATURE_SMAP = X86_WORD_7_EBX * 32 + 20,
    X86_FEATURE_CLFLUSHOPT = X86_WORD_7_EBX * 32 + 23,
    X86_FEATURE_CLWB = X86_WORD_7_EBX * 32 + 24,

    X86_FEATURE_UMIP = X86_WORD_7_ECX * 32 + 2,
    X86_FEATURE_RDPID = X86_WORD_7_ECX * 32 + 22,

    X86_FEATURE_FSRM = X86_WORD_7_EDX * 32 + 4,

    X86_FEATURE_XSAVEOPT = X86_WORD_D1_EAX * 32 + 0,
    X86_FEATURE_XSAVEC = X86_WORD_D1_EAX * 32 + 1,
    X86_FEATURE_XGETBV1 = X86_WORD_D1_EAX * 32 + 2,

    X86_FEATURE_LAHF = X86_WORD_EXT1_ECX * 32 + 0,
    X86_FEATURE_LZCNT = X86_WORD_EXT1_ECX * 32 + 5,
    X86_FEATURE_PREFETCHW = X86_WORD_EXT1_ECX * 32 + 8,

    X86_FEATURE_SYSCALL = X86_WORD_EXT1_EDX * 32 + 11,
    X86_FEATURE_NX = X86_WORD_EXT1_EDX * 32 + 20,
    X86_FEATURE_MMXEXT = X86_WORD_EXT1_EDX * 32 + 22,
    X86_FEATURE_PAGE_1G = X86_WORD_EXT1_EDX * 32 + 26,
    X86_FEATURE_RDTSCP = X86_WORD_EXT1_EDX * 32 + 27,
    X86_FEATURE_LM = X86_WORD_EXT1_EDX * 32 + 29,
};

struct x86_cpuid {
    unsigned count;
    struct x86_cpuid_leaf leaves[X86_CPUID_MAX];
    uint64_t xcr0; /* bits XCR0 may have; 0: no XSAVE */

    /* Copies of what the leaves say, for quick questions. */
    bool is_amd; /* AMD or Hygon; false: Intel, and others that follow the Intel manual */
    uint8_t physical_bits;
    uint32_t features[X86_FEATURE_WORDS];
};

/* Fill in the table from the host's processor. */
void x86_cpuid_init(struct x86_cpuid *cpuid);

/*
 * Take away what `limit` does not have: feature bits, state components, leaves, physical address bits. Used with what
 * KVM supports; of `limit` only `leaves`, `count` and `xcr0` need to be filled in.
 */
void x86_cpuid_intersect(struct x86_cpuid *cpuid, const struct x86_cpuid *limit);

/* Fill in the copies of what the leaves say, in a table whose `count`, `leaves` and `xcr0` come from elsewhere and may
 * hold anything. False: a processor could not have it. */
bool x86_cpuid_adopt(struct x86_cpuid *cpuid);

/* What CPUID with these operands returns. Leaves beyond the highest answer as the manual says (Intel: as the highest
 * basic leaf; AMD: zeros). CPUID.1:ECX.OSXSAVE and CPUID.(D,0):EBX depend on registers: the caller adds these. */
void x86_cpuid_query(const struct x86_cpuid *cpuid, uint32_t leaf, uint32_t subleaf, uint32_t result[4]);

static inline bool x86_cpuid_has(const struct x86_cpuid *cpuid, enum x86_feature feature)
{
    return cpuid->features[feature / 32] >> feature % 32 & 1;
}

#endif
