/*
 * What decides whether a vector instruction may run, and how: features, control registers, and MXCSR.
 *
 * The guest's MXCSR. Loading MXCSR costs more than an addition, so it is not done for each instruction. As long as the
 * guest masks all exceptions, its MXCSR stays in the host's register from the first instruction that depends on it to
 * the end of the run (soft_simd_leave()). Flags gather there as they do in the guest's. Nothing else in this process
 * calculates with SSE meanwhile: the software processor uses integers only.
 * While the guest unmasks exceptions, soft_simd_exceptions.c loads it for each instruction.
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
