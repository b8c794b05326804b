/*
 * What CPUID tells a guest: one table for every processor, so that a guest cannot tell them apart and its state can
 * move between them. It is what the host's processor has, cut to what the software processor implements.
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

struct x86_cpuid {
    unsigned count;
    struct x86_cpuid_leaf leaves[X86_CPUID_MAX];
    uint64_t xcr0; /* bits XCR0 may have; 0: no XSAVE */
};

/* Fill in the table from the host's processor. */
void x86_cpuid_init(struct x86_cpuid *cpuid);

/* Take away what `limit` does not have: feature bits, state components, leaves. Used with what KVM supports. */
void x86_cpuid_intersect(struct x86_cpuid *cpuid, const struct x86_cpuid *limit);

/* What CPUID with these operands returns. Leaves beyond the highest answer as the manual says (Intel: as the highest
 * basic leaf; AMD: zeros). CPUID.1:ECX.OSXSAVE and CPUID.(D,0):EBX depend on registers: the caller adds these. */
void x86_cpuid_query(const struct x86_cpuid *cpuid, uint32_t leaf, uint32_t subleaf, uint32_t result[4]);

#endif
