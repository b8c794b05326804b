#include "x86/cpu_state.h"

#include "x86/xsave.h"

#include <string.h>

bool x86_same_general(const struct mh_x86_general *a, const struct mh_x86_general *b)
{
    return a->rip == b->rip && memcmp(a->gpr, b->gpr, sizeof a->gpr) == 0 &&
           ((a->rflags ^ b->rflags) & ~(uint64_t)MH_RFLAGS_RF) == 0;
}

/* In 64-bit mode bases of FS and GS only, limits not at all. */
static bool x86_same_segments(const struct mh_x86_system *a, const struct mh_x86_system *b)
{
    for (unsigned i = 0; i < MH_SEG_COUNT; i++) {
        const bool has_base = i == MH_FS || i == MH_GS || i == MH_TR;
        if (a->seg[i].selector != b->seg[i].selector || (has_base && a->seg[i].base != b->seg[i].base))
            return false;
    }
    return true;
}

static bool x86_same_tables(const struct mh_x86_system *a, const struct mh_x86_system *b)
{
    return a->gdt.base == b->gdt.base && a->gdt.limit == b->gdt.limit && a->idt.base == b->idt.base &&
           a->idt.limit == b->idt.limit;
}

/* An exception that is pending may have its address in CR2, which software sets when it delivers it. */
static bool x86_same_cr2(const struct mh_cpu_state *a, const struct mh_cpu_state *b)
{
    return a->system.cr2 == b->system.cr2 || a->pending.valid || b->pending.valid;
}

static bool x86_same_control(const struct mh_x86_system *a, const struct mh_x86_system *b)
{
    return a->cr0 == b->cr0 && a->cr3 == b->cr3 && a->cr4 == b->cr4 && a->cr8 == b->cr8 && a->efer == b->efer;
}

static bool x86_same_fpu(const struct mh_cpu_state *a, const struct mh_cpu_state *b)
{
    struct mh_x86_fpu one, other;
    memset(&one, 0, sizeof one);
    memset(&other, 0, sizeof other);
    x86_xsave_to_fpu(a->xsave, a->xcr0, &one);
    x86_xsave_to_fpu(b->xsave, b->xcr0, &other);
    one.fop = other.fop = 0;
    one.fip = other.fip = one.fdp = other.fdp = 0;
    /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): both were zeroed, padding and all */
    return memcmp(&one, &other, sizeof one) == 0;
}

static bool x86_same_msrs(const struct mh_x86_msrs *a, const struct mh_x86_msrs *b)
{
    return a->star == b->star && a->lstar == b->lstar && a->cstar == b->cstar && a->sfmask == b->sfmask &&
           a->kernel_gs_base == b->kernel_gs_base && a->sysenter_cs == b->sysenter_cs &&
           a->sysenter_esp == b->sysenter_esp && a->sysenter_eip == b->sysenter_eip && a->tsc_aux == b->tsc_aux &&
           a->apic_base == b->apic_base;
}

const char *x86_state_differs(const struct mh_cpu_state *a, const struct mh_cpu_state *b)
{
    if (!x86_same_general(&a->general, &b->general))
        return "the general registers";
    if (!x86_same_segments(&a->system, &b->system))
        return "the segment registers";
    if (!x86_same_tables(&a->system, &b->system))
        return "GDTR or IDTR";
    if (!x86_same_control(&a->system, &b->system) || !x86_same_cr2(a, b) || a->xcr0 != b->xcr0)
        return "the control registers";
    if (!x86_same_fpu(a, b))
        return "the x87, SSE or AVX registers";
    return x86_same_msrs(&a->msrs, &b->msrs) ? NULL : "the model-specific registers";
}
