/*
 * What decides whether a vector instruction may run, and how: features, control registers, and MXCSR.
 *
 * The guest's MXCSR. Loading MXCSR costs more than an addition, so it is not done for each instruction. As long as the
 * guest masks all exceptions, its MXCSR stays in the host's register from the first instruction that depends on it to
 * the end of the run (soft_simd_leave()). Flags gather there as they do in the guest's. Nothing else in this process
 * calculates with SSE meanwhile: the software processor uses integers only.
 *
 * When the guest unmasks exceptions, each instruction runs with all of them masked and no flags set, and the flags it
 * leaves say which exceptions the guest's processor would have raised (Intel SDM volume 1, 11.5.3 and appendix E.4):
 *
 * - An unmasked invalid operation, denormal or division by zero is found before anything is calculated, in all
 * elements: the flags of the results (overflow, underflow, precision) stay as they were.
 * - Masked, underflow is reported for results that are tiny and inexact, unmasked for all tiny ones. A second run with
 *   FTZ finds these, because FTZ flushes every tiny result and reports underflow.
 */
#include "soft_simd.h"

#include "host_x86_64_simd.h"

/* ---- features ---- */

struct feature_bit {
    uint32_t leaf;
    uint8_t subleaf, output, bit; /* output: 0 to 3 for EAX to EDX */
};

static const struct feature_bit feature_bits[SIMD_FEATURES] = {
    [FPU] = {1, 0, 3, 0},       [MMX] = {1, 0, 3, 23},    [FXSR] = {1, 0, 3, 24},  [SSE] = {1, 0, 3, 25},
    [SSE2] = {1, 0, 3, 26},     [SSE3] = {1, 0, 2, 0},    [PCLMUL] = {1, 0, 2, 1}, [SSSE3] = {1, 0, 2, 9},
    [FMA] = {1, 0, 2, 12},      [SSE41] = {1, 0, 2, 19},  [SSE42] = {1, 0, 2, 20}, [AES] = {1, 0, 2, 25},
    [XSAVE] = {1, 0, 2, 26},    [AVX] = {1, 0, 2, 28},    [F16C] = {1, 0, 2, 29},  [AVX2] = {7, 0, 1, 5},
    [XSAVEOPT] = {13, 1, 0, 0}, [XSAVEC] = {13, 1, 0, 1},
};

static uint32_t read_features(const struct x86_cpuid *cpuid)
{
    uint32_t features = SIMD_FEATURES_KNOWN;
    for (unsigned i = NONE + 1; i < AVX_AES; i++) {
        uint32_t result[4];
        x86_cpuid_query(cpuid, feature_bits[i].leaf, feature_bits[i].subleaf, result);
        features |= (result[feature_bits[i].output] >> feature_bits[i].bit & 1) << i;
    }
    if ((features >> AVX & 1) != 0)
        features |= (features >> AES & 1) << AVX_AES | (features >> PCLMUL & 1) << AVX_PCLMUL;
    return features;
}

bool simd_has_feature(struct soft_cpu *cpu, enum simd_feature feature)
{
    if (cpu->simd_features == 0)
        cpu->simd_features = read_features(cpu->cpuid);
    return feature != NONE && (cpu->simd_features >> feature & 1) != 0;
}

/* ---- refusing ---- */

enum soft_result simd_refuse(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const uint64_t cr0 = cpu->cr0;
    cpu->cr0 &= ~(uint64_t)CR0_TS;
    const bool is_legal = simd_allowed(cpu, insn, simd_kind(insn));
    cpu->cr0 = cr0;
    return soft_raise(cpu, is_legal ? EXCEPTION_NM : EXCEPTION_UD);
}

bool simd_mmx_allowed(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return simd_has_feature(cpu, simd_info(insn)->feature[SIMD_LEGACY]) && (cpu->cr0 & (CR0_EM | CR0_TS)) == 0 &&
           (xsave_get16(cpu, XSAVE_FSW) & FSW_ES) == 0;
}

/* Intel SDM volume 3, 23.25.3: #UD, #NM, #MF. */
enum soft_result simd_refuse_mmx(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!simd_has_feature(cpu, simd_info(insn)->feature[SIMD_LEGACY]) || (cpu->cr0 & CR0_EM) != 0)
        return soft_raise(cpu, EXCEPTION_UD);
    if ((cpu->cr0 & CR0_TS) != 0)
        return soft_raise(cpu, EXCEPTION_NM);
    return simd_raise_pending(cpu);
}

/* ---- MXCSR ---- */

bool simd_load_mxcsr(struct soft_cpu *cpu)
{
    const uint32_t guest = xsave_get32(cpu, XSAVE_MXCSR);
    if ((guest & MXCSR_MASKS) != MXCSR_MASKS)
        return false;
    cpu->host_mxcsr = host_simd_mxcsr();
    cpu->mxcsr_is_loaded = true;
    host_simd_set_mxcsr(guest);
    return true;
}

void simd_sync_mxcsr(struct soft_cpu *cpu)
{
    if (cpu->mxcsr_is_loaded)
        xsave_set32(cpu, XSAVE_MXCSR, host_simd_mxcsr());
}

void soft_simd_leave(struct soft_cpu *cpu)
{
    if (!cpu->mxcsr_is_loaded)
        return;
    simd_sync_mxcsr(cpu);
    host_simd_set_mxcsr(cpu->host_mxcsr);
    cpu->mxcsr_is_loaded = false;
}

void simd_set_mxcsr(struct soft_cpu *cpu, uint32_t value)
{
    soft_simd_leave(cpu);
    xsave_set32(cpu, XSAVE_MXCSR, value);
}

/* ---- unmasked exceptions ---- */

static void call_host(enum simd_kind kind, struct host_simd_operands *operands, const uint8_t *stub)
{
    if (kind == SIMD_VEX256)
        host_simd_call_256(operands, stub);
    else if (kind == SIMD_MMX)
        host_mmx_call(operands, stub);
    else
        host_simd_call(operands, stub);
}

/* Execute with this MXCSR and return the flags it gets. */
static uint32_t call_for_flags(enum simd_kind kind, struct host_simd_operands *operands, const uint8_t *stub,
                               uint32_t mxcsr)
{
    const uint32_t host = host_simd_mxcsr();
    host_simd_set_mxcsr(mxcsr);
    call_host(kind, operands, stub);
    const uint32_t flags = host_simd_mxcsr() & MXCSR_FLAGS;
    host_simd_set_mxcsr(host);
    return flags;
}

#define MXCSR_BEFORE 0x07u /* invalid operation, denormal, division by zero */

/* Add `flags` to MXCSR. False with the exception set when one of them is unmasked. */
static bool accept_flags(struct soft_cpu *cpu, uint32_t guest, uint32_t flags)
{
    const uint32_t unmasked = flags & ~(guest >> MXCSR_MASKS_SHIFT);
    if ((unmasked & MXCSR_BEFORE) != 0)
        flags &= MXCSR_BEFORE;
    xsave_set32(cpu, XSAVE_MXCSR, guest | flags);
    if (unmasked == 0)
        return true;
    soft_raise(cpu, (cpu->cr4 & MH_CR4_OSXMMEXCPT) != 0 ? EXCEPTION_XM : EXCEPTION_UD);
    return false;
}

bool simd_accept_underflow(struct soft_cpu *cpu)
{
    const uint32_t guest = xsave_get32(cpu, XSAVE_MXCSR);
    return (guest & MXCSR_UE << MXCSR_MASKS_SHIFT) != 0 || accept_flags(cpu, guest, MXCSR_UE);
}

static bool call_checked(struct soft_cpu *cpu, enum simd_kind kind, struct host_simd_operands *operands,
                         const uint8_t *stub)
{
    const uint32_t guest = xsave_get32(cpu, XSAVE_MXCSR);
    const uint32_t masked = (guest & ~MXCSR_FLAGS) | MXCSR_MASKS;
    if ((guest & MXCSR_UE << MXCSR_MASKS_SHIFT) != 0)
        return accept_flags(cpu, guest, call_for_flags(kind, operands, stub, masked));
    /* FTZ has no effect while underflow is unmasked. */
    struct host_simd_operands again = *operands;
    uint32_t flags = call_for_flags(kind, operands, stub, masked & ~MXCSR_FTZ);
    flags |= call_for_flags(kind, &again, stub, masked | MXCSR_FTZ) & MXCSR_UE;
    return accept_flags(cpu, guest, flags);
}

bool simd_call(struct soft_cpu *cpu, const struct soft_insn *insn, enum simd_kind kind,
               struct host_simd_operands *operands, const uint8_t *stub)
{
    if ((simd_info(insn)->flags & SIMD_FP) != 0 && !simd_mxcsr_ready(cpu))
        return call_checked(cpu, kind, operands, stub);
    call_host(kind, operands, stub);
    return true;
}
